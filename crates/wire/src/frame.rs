//! Frames below UDP sockets: UDP over IPv4 for a client that has no address yet, and ARP to ask whether an address is taken.
//!
//! The Ethernet header is the packet socket's to write.

use std::net::Ipv4Addr;

/// Address and port.
pub type End = (Ipv4Addr, u16);

/// An IPv4 packet that carries `payload` by UDP, both checksums filled in (RFC 791, 768).
///
/// `None` when the payload is longer than an IPv4 packet can be.
pub fn udp(from: End, to: End, payload: &[u8]) -> Option<Vec<u8>> {
    let udp_length = u16::try_from(payload.len() + 8).ok()?;
    let length = udp_length.checked_add(20)?;
    let mut ip = Vec::with_capacity(usize::from(length));
    ip.extend_from_slice(&[0x45, 0x10]);
    ip.extend_from_slice(&length.to_be_bytes());
    // Never in fragments, so the identification may stay 0 (RFC 6864).
    ip.extend_from_slice(&[0, 0, 0x40, 0, 64, 17, 0, 0]);
    ip.extend_from_slice(&from.0.octets());
    ip.extend_from_slice(&to.0.octets());
    let sum = checksum(&[&ip]);
    put(&mut ip, 10, sum);

    let mut header = Vec::with_capacity(8);
    for field in [from.1, to.1, udp_length, 0] {
        header.extend_from_slice(&field.to_be_bytes());
    }
    let [high, low] = udp_length.to_be_bytes();
    let sum = checksum(&[&from.0.octets(), &to.0.octets(), &[0, 17, high, low], &header, payload]);
    // 0 would mean that there is no checksum.
    put(&mut header, 6, if sum == 0 { 0xffff } else { sum });
    ip.extend_from_slice(&header);
    ip.extend_from_slice(payload);
    Some(ip)
}

/// The other direction: sender, receiver and payload of an IPv4 packet by UDP; `None` for anything else.
pub fn read_udp(packet: &[u8]) -> Option<(End, End, &[u8])> {
    let &first = packet.first()?;
    let header = usize::from(first & 15) * 4;
    if first >> 4 != 4 || header < 20 || *packet.get(9)? != 17 {
        return None;
    }
    let address = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?));
    let number = |at: usize| Some(u16::from_be_bytes(packet.get(at..at + 2)?.try_into().ok()?));
    let length = usize::from(number(header + 4)?);
    let payload = packet.get(header + 8..header + length)?;
    Some(((address(12)?, number(header)?), (address(16)?, number(header + 2)?), payload))
}

/// Who says that it has which address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArpSender {
    pub mac: [u8; 6],
    pub address: Ipv4Addr,
}

/// An ARP probe for `target` (RFC 5227, 2.1.1): the sender's address stays 0, so that nobody's table changes.
pub fn arp_probe(mac: [u8; 6], target: Ipv4Addr) -> [u8; 28] {
    let mut frame = [0; 28];
    let parts: [&[u8]; 5] = [&[0, 1, 8, 0, 6, 4, 0, 1], &mac, &[0; 4], &[0; 6], &target.octets()];
    for (to, from) in frame.iter_mut().zip(parts.concat()) {
        *to = from;
    }
    frame
}

/// The sender of an ARP request or reply over Ethernet; `None` for anything else, and for a probe, which claims nothing.
pub fn arp_sender(frame: &[u8]) -> Option<ArpSender> {
    let head = frame.get(..8)?;
    if head.get(..6)? != [0, 1, 8, 0, 6, 4] {
        return None;
    }
    let mac = frame.get(8..14)?.try_into().ok()?;
    let address = Ipv4Addr::from(<[u8; 4]>::try_from(frame.get(14..18)?).ok()?);
    (!address.is_unspecified()).then_some(ArpSender { mac, address })
}

/// The Internet checksum over parts of even length but for the last (RFC 1071).
pub(crate) fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for part in parts {
        for pair in part.chunks(2) {
            let word = u16::from_be_bytes([pair.first().copied().unwrap_or(0), pair.get(1).copied().unwrap_or(0)]);
            sum += u32::from(word);
            sum = (sum & 0xffff) + (sum >> 16);
        }
    }
    !u16::try_from(sum & 0xffff).unwrap_or(0)
}

fn put(bytes: &mut [u8], at: usize, value: u16) {
    for (to, from) in bytes.iter_mut().skip(at).zip(value.to_be_bytes()) {
        *to = from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_udp_packet_is_read_back_and_its_checksums_come_to_zero() {
        let from = (Ipv4Addr::new(10, 10, 0, 1), 67);
        let to = (Ipv4Addr::new(10, 10, 0, 11), 68);
        for payload in [&b""[..], b"x", b"an odd number of bytes!", &[0xff; 1400]] {
            let packet = udp(from, to, payload).unwrap();
            assert_eq!(read_udp(&packet), Some((from, to, payload)));
            assert_eq!(checksum(&[&packet[..20]]), 0);
            let length = u16::try_from(payload.len() + 8).unwrap().to_be_bytes();
            assert_eq!(checksum(&[&packet[12..20], &[0, 17], &length, &packet[20..]]), 0);
        }
        assert_eq!(udp(from, to, &[0; 65_508]), None);
    }

    #[test]
    fn a_probe_asks_for_the_address_and_claims_none() {
        let probe = arp_probe([0x52, 0x54, 0, 1, 2, 3], Ipv4Addr::new(10, 10, 0, 100));
        assert_eq!(
            probe,
            [0, 1, 8, 0, 6, 4, 0, 1, 0x52, 0x54, 0, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, 10, 0, 100]
        );
        assert_eq!(arp_sender(&probe), None);
    }

    #[test]
    fn the_sender_of_a_reply_is_who_has_the_address() {
        let mut reply = arp_probe([2, 0, 0, 0, 0, 9], Ipv4Addr::new(10, 10, 0, 1));
        reply[7] = 2;
        reply[14..18].copy_from_slice(&[10, 10, 0, 100]);
        let sender = ArpSender { mac: [2, 0, 0, 0, 0, 9], address: Ipv4Addr::new(10, 10, 0, 100) };
        assert_eq!(arp_sender(&reply), Some(sender));
        assert_eq!(arp_sender(&reply[..17]), None);
    }
}
