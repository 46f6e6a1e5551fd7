//! DHCPv4 (RFC 2131, 2132): the question a client asks and the answer it gets, as typed values.
//!
//! Packets of the wire pass through dhcproto's header and option encoders. Its owned decoder is not used: it gives up
//! silently at the first option that it cannot read, joins no overloaded fields, and stops the program in debug builds
//! when option 80, 81 or 94 has a length of its own.

mod answer;
mod options;
mod question;

pub use answer::{Answer, AnswerKind, Encoded, Lease, PxeControl};
pub use dhcproto::v4::Architecture;
pub use options::Fault;
pub use question::{ClientClass, Question, QuestionKind};

use std::fmt;

/// Hardware type Ethernet (RFC 1700, ARP parameters).
pub const ETHERNET: u8 = 1;
/// Hardware type InfiniBand (RFC 4390): `hlen` and `chaddr` are empty, the client identifier carries the address.
pub const INFINIBAND: u8 = 32;

/// A client's hardware address: type of the network and at most 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hardware {
    kind: u8,
    length: u8,
    bytes: [u8; 16],
}

impl Hardware {
    /// An address of `kind`; what is past 16 bytes does not fit the header and is refused.
    pub fn new(kind: u8, address: &[u8]) -> Option<Hardware> {
        let mut bytes = [0; 16];
        bytes.get_mut(..address.len())?.copy_from_slice(address);
        Some(Hardware { kind, length: u8::try_from(address.len()).ok()?, bytes })
    }

    /// An Ethernet address.
    pub fn ethernet(mac: [u8; 6]) -> Hardware {
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().zip(mac) {
            *to = from;
        }
        Hardware { kind: ETHERNET, length: 6, bytes }
    }

    /// ARP's hardware type.
    pub fn kind(&self) -> u8 {
        self.kind
    }

    /// The address itself; empty for InfiniBand.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// The address as Ethernet has it.
    pub fn mac(&self) -> Option<[u8; 6]> {
        if self.kind == ETHERNET { self.bytes().try_into().ok() } else { None }
    }

    /// All 16 bytes, as the header carries them.
    pub(crate) fn field(&self) -> [u8; 16] {
        self.bytes
    }
}

impl fmt::Display for Hardware {
    /// Lower case with colons; `-` when there is no address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.length == 0 {
            return f.write_str("-");
        }
        for (at, byte) in self.bytes().iter().enumerate() {
            if at > 0 {
                f.write_str(":")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Hardware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{self}", self.kind)
    }
}

#[cfg(test)]
mod tests;
