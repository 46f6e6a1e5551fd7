//! Frames as seen on a wire, read just far enough to tell who waits for whom: DHCP, router solicitations and
//! advertisements, TFTP requests, and connections that are opened. Written apart from the `wire` crate, so that a
//! mistake there is not believed here.

use std::net::Ipv4Addr;

/// What a frame is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// DHCP (RFC 2131): message type (option 53), transaction, the address that is given (yiaddr), and all options outside
    /// encapsulations.
    Dhcp {
        message: u8,
        transaction: u32,
        given: Ipv4Addr,
        options: Vec<(u8, Vec<u8>)>,
    },
    /// ICMPv6 type 133 (RFC 4861, 4.1).
    RouterSolicitation,
    /// ICMPv6 type 134 (RFC 4861, 4.2): the router lifetime in seconds, and how many bytes of options follow.
    RouterAdvertisement {
        lifetime: u16,
        options: usize,
    },
    /// A read request (RFC 1350) for this file.
    TftpRead {
        file: String,
    },
    /// The first segment of a TCP connection to this port.
    Open {
        port: u16,
    },
    Other,
}

/// One frame: from which hardware address, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub source: [u8; 6],
    pub kind: Kind,
}

impl Frame {
    /// None when it is too short to be an Ethernet frame.
    pub fn read(bytes: &[u8]) -> Option<Frame> {
        let source = bytes.get(6..12)?.try_into().ok()?;
        let kind = match word(bytes, 12)? {
            0x0800 => ipv4(bytes.get(14..)?),
            0x86dd => ipv6(bytes.get(14..)?),
            _ => None,
        };
        Some(Frame { source, kind: kind.unwrap_or(Kind::Other) })
    }
}

impl Kind {
    /// The bytes of a DHCP option.
    pub fn option(&self, code: u8) -> Option<&[u8]> {
        let Kind::Dhcp { options, .. } = self else { return None };
        options.iter().find(|(found, _)| *found == code).map(|(_, bytes)| bytes.as_slice())
    }

    /// The bytes of an option encapsulated in another (RFC 2132, 8.4): iPXE keeps its own in option 175.
    pub fn encapsulated(&self, outer: u8, code: u8) -> Option<Vec<u8>> {
        let inner = options(self.option(outer)?);
        inner.into_iter().find(|(found, _)| *found == code).map(|(_, bytes)| bytes)
    }
}

fn ipv4(packet: &[u8]) -> Option<Kind> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let rest = packet.get(header..)?;
    match packet.get(9)? {
        6 => {
            // A SYN without an ACK.
            (rest.get(13)? & 0x12 == 0x02).then_some(())?;
            Some(Kind::Open { port: word(rest, 2)? })
        }
        17 => udp(rest),
        _ => None,
    }
}

fn ipv6(packet: &[u8]) -> Option<Kind> {
    const ICMP: u8 = 58;
    let rest = packet.get(40..)?;
    match (packet.get(6)?, rest.first()?) {
        (&ICMP, 133) => Some(Kind::RouterSolicitation),
        (&ICMP, 134) => {
            Some(Kind::RouterAdvertisement { lifetime: word(rest, 6)?, options: rest.len().saturating_sub(16) })
        }
        _ => None,
    }
}

fn udp(datagram: &[u8]) -> Option<Kind> {
    let payload = datagram.get(8..)?;
    match word(datagram, 2)? {
        67 | 68 | 4011 => {
            let transaction = u32::from_be_bytes(payload.get(4..8)?.try_into().ok()?);
            let given: [u8; 4] = payload.get(16..20)?.try_into().ok()?;
            (payload.get(236..240)? == [99, 130, 83, 99]).then_some(())?;
            let options = options(payload.get(240..)?);
            let message = options.iter().find(|(code, _)| *code == 53).and_then(|(_, bytes)| bytes.first().copied())?;
            Some(Kind::Dhcp { message, transaction, given: given.into(), options })
        }
        69 => {
            (word(payload, 0)? == 1).then_some(())?;
            let file = payload.get(2..)?.split(|byte| *byte == 0).next()?;
            Some(Kind::TftpRead { file: String::from_utf8_lossy(file).into_owned() })
        }
        _ => None,
    }
}

fn options(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut found: Vec<(u8, Vec<u8>)> = Vec::new();
    while let Some((&code, rest)) = bytes.split_first() {
        if code == 255 {
            break;
        }
        if code == 0 {
            bytes = rest;
            continue;
        }
        let Some((&length, rest)) = rest.split_first() else { break };
        let Some((body, rest)) = rest.split_at_checked(usize::from(length)) else { break };
        // An option that comes twice is one that was cut (RFC 3396).
        match found.iter_mut().find(|(before, _)| *before == code) {
            Some((_, begun)) => begun.extend(body),
            None => found.push((code, body.to_vec())),
        }
        bytes = rest;
    }
    found
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{Frame, Kind};

    fn ethernet(kind: u16, rest: &[u8]) -> Vec<u8> {
        let mut frame = vec![0xff; 6];
        frame.extend([0x52, 0x54, 0, 0, 0, 1]);
        frame.extend(kind.to_be_bytes());
        frame.extend(rest);
        frame
    }

    #[test]
    fn a_discover_with_ipxes_own_options_is_read() {
        let mut dhcp = vec![0; 236];
        dhcp[4..8].copy_from_slice(&[1, 2, 3, 4]);
        dhcp[16..20].copy_from_slice(&[10, 10, 0, 9]);
        dhcp.extend([99, 130, 83, 99, 53, 1, 1, 0, 175, 3, 176, 1, 1, 255, 9, 9]);
        let mut packet = vec![0x45; 20];
        packet[9] = 17;
        packet.extend([0, 68, 0, 67, 0, 0, 0, 0]);
        packet.extend(dhcp);
        let frame = Frame::read(&ethernet(0x0800, &packet)).unwrap();
        assert_eq!(frame.source, [0x52, 0x54, 0, 0, 0, 1]);
        let expected = Kind::Dhcp {
            message: 1,
            transaction: 0x0102_0304,
            given: [10, 10, 0, 9].into(),
            options: vec![(53, vec![1]), (175, vec![176, 1, 1])],
        };
        assert_eq!(frame.kind, expected);
        assert_eq!(frame.kind.encapsulated(175, 176), Some(vec![1]));
    }

    #[test]
    fn an_advertisement_tells_its_lifetime_and_whether_anything_follows() {
        let mut packet = vec![0; 40];
        packet[6] = 58;
        packet.extend([134, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let frame = Frame::read(&ethernet(0x86dd, &packet)).unwrap();
        assert_eq!(frame.kind, Kind::RouterAdvertisement { lifetime: 0, options: 0 });
    }

    #[test]
    fn what_is_cut_short_is_nothing_special() {
        assert_eq!(Frame::read(&[1, 2, 3]), None);
        assert_eq!(Frame::read(&ethernet(0x0800, &[0x45])).unwrap().kind, Kind::Other);
    }
}
