//! Addresses with their prefix, as `IpCIDR` and its kind show them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `10.20.1.1/16`; empty when either is missing or the mask has holes.
pub(crate) fn cidr(address: Option<IpAddr>, mask: Option<IpAddr>) -> String {
    match (address, mask.and_then(prefix)) {
        (Some(address), Some(prefix)) => format!("{address}/{prefix}"),
        _ => String::new(),
    }
}

/// `fd00::1/64`; empty when either is missing.
pub(crate) fn cidr6(address: Option<IpAddr>, prefix: &str) -> String {
    match address {
        Some(address) if !prefix.is_empty() => format!("{address}/{prefix}"),
        _ => String::new(),
    }
}

/// The length of a netmask; `None` when it has holes.
pub(crate) fn prefix(mask: IpAddr) -> Option<u32> {
    let (bits, width) = match mask {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    let ones = bits.leading_ones();
    (ones <= width && bits.checked_shl(ones).unwrap_or(0) == 0).then_some(ones)
}

/// The network that an address is in.
pub(crate) fn network(address: Ipv4Addr, mask: Ipv4Addr) -> Ipv4Addr {
    Ipv4Addr::from_bits(address.to_bits() & mask.to_bits())
}

/// The network that an address is in.
pub(crate) fn network6(address: Ipv6Addr, prefix: &str) -> Option<Ipv6Addr> {
    let length: u32 = prefix.parse().ok().filter(|length| *length <= 128)?;
    let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
    Some(Ipv6Addr::from_bits(address.to_bits() & mask))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_with_holes_has_no_prefix() {
        assert_eq!(prefix("255.255.0.0".parse().unwrap()), Some(16));
        assert_eq!(prefix("0.0.0.0".parse().unwrap()), Some(0));
        assert_eq!(prefix("255.255.255.255".parse().unwrap()), Some(32));
        assert_eq!(prefix("255.0.255.0".parse().unwrap()), None);
    }

    #[test]
    fn the_network_of_an_address_is_its_masked_part() {
        assert_eq!(network6("fd00:20::1".parse().unwrap(), "64"), Some("fd00:20::".parse().unwrap()));
        assert_eq!(network6("fd00:20::1".parse().unwrap(), "0"), Some("::".parse().unwrap()));
        assert_eq!(network6("fd00:20::1".parse().unwrap(), "x"), None);
    }
}
