//! Router solicitation and the one advertisement that we send (RFC 4861, 4.1 and 4.2).
//!
//! The kernel fills in ICMPv6's checksum.

use std::net::Ipv6Addr;

/// All nodes of the link.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// All routers of the link: where solicitations go.
pub const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// Neighbour discovery is only believed from the link itself: a packet that was routed has less (RFC 4861, 6.1).
pub const HOP_LIMIT: u8 = 255;

/// Whether an ICMPv6 message is a router solicitation that RFC 4861, 6.1.1 takes as valid.
pub fn is_solicitation(message: &[u8], hop_limit: u8) -> bool {
    let Some((head, mut options)) = message.split_at_checked(8) else { return false };
    if hop_limit != HOP_LIMIT || !head.starts_with(&[133, 0]) {
        return false;
    }
    while let Some(&units) = options.get(1) {
        let length = usize::from(units) * 8;
        let Some(rest) = options.get(length..) else { return false };
        if length == 0 {
            return false;
        }
        options = rest;
    }
    options.is_empty()
}

/// An advertisement with router lifetime 0 and nothing else: no router here, no addresses to be had, so nobody need wait.
pub fn quiet_advertisement() -> [u8; 16] {
    // Type, code, checksum; hop limit unspecified, no flags, lifetime 0; both timers unspecified.
    [134, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_solicitation_with_and_without_source_address_is_heard() {
        assert!(is_solicitation(&[133, 0, 1, 2, 0, 0, 0, 0], 255));
        assert!(is_solicitation(&[133, 0, 1, 2, 0, 0, 0, 0, 1, 1, 0x52, 0x54, 0, 1, 2, 3], 255));
    }

    #[test]
    fn routed_short_foreign_or_torn_messages_are_not() {
        assert!(!is_solicitation(&[133, 0, 1, 2, 0, 0, 0, 0], 64));
        assert!(!is_solicitation(&[133, 0, 1, 2, 0, 0, 0], 255));
        assert!(!is_solicitation(&[135, 0, 1, 2, 0, 0, 0, 0], 255));
        assert!(!is_solicitation(&[133, 0, 1, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0], 255));
        assert!(!is_solicitation(&[133, 0, 1, 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0], 255));
        assert!(!is_solicitation(&[133, 0, 1, 2, 0, 0, 0, 0, 1], 255));
        assert!(!is_solicitation(&[], 255));
    }

    #[test]
    fn the_advertisement_makes_nobody_a_router() {
        let message = quiet_advertisement();
        assert_eq!(message[0], 134);
        assert_eq!(message[5], 0, "no flags");
        assert_eq!(message[6..8], [0, 0], "lifetime 0");
        assert_eq!(message.len(), 16, "no options");
    }
}
