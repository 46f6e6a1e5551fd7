//! The option field of a DHCP packet (RFC 2132), with overload (RFC 2131, 4.1) and long options (RFC 3396).

use std::net::Ipv4Addr;

use thiserror::Error;

/// Why a packet is not a question that can be answered.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// The fixed header and the cookie are 240 bytes.
    #[error("{0} bytes are too short for DHCP, whose header alone is 240")]
    Short(usize),
    #[error("not DHCP: the cookie after the header is {0:02x?}")]
    Cookie([u8; 4]),
    #[error("operation {0} is not a request")]
    Operation(u8),
    #[error("a hardware address of {0} bytes; the header has room for 16")]
    HardwareLength(u8),
    #[error("option {code} claims {claims} bytes, {left} are left")]
    Overrun { code: u8, claims: usize, left: usize },
    #[error("option {code} has {has} bytes, {wants} wanted")]
    Length { code: u8, has: usize, wants: &'static str },
    #[error("no message type (option 53): BOOTP is not answered")]
    NoMessageType,
    #[error("message type {0} is not one that a client sends")]
    MessageType(u8),
}

const PAD: u8 = 0;
const END: u8 = 255;
const OVERLOAD: u8 = 52;

/// All options of a packet: code and content, parts of one code joined in order of appearance.
#[derive(Debug, Default)]
pub(super) struct Options {
    list: Vec<(u8, Vec<u8>)>,
}

impl Options {
    /// Reads the option field, then `file` and `sname` as far as option 52 says that they hold options.
    pub(super) fn read(field: &[u8], file: &[u8], sname: &[u8]) -> Result<Options, Fault> {
        let mut options = Options::default();
        options.area(field)?;
        let overload = options.byte(OVERLOAD)?.unwrap_or(0);
        if overload & 1 != 0 {
            options.area(file)?;
        }
        if overload & 2 != 0 {
            options.area(sname)?;
        }
        Ok(options)
    }

    /// Whether the field of that overload bit holds options and not what its name says.
    pub(super) fn overloads(&self, bit: u8) -> bool {
        self.bytes(OVERLOAD).and_then(|value| value.first()).is_some_and(|value| value & bit != 0)
    }

    fn area(&mut self, area: &[u8]) -> Result<(), Fault> {
        let mut rest = area;
        // A packet that just ends without option 255 is accepted: old relays cut it off.
        while let Some((&code, after)) = rest.split_first() {
            match code {
                PAD => rest = after,
                END => return Ok(()),
                _ => {
                    let Some((&length, after)) = after.split_first() else {
                        return Err(Fault::Overrun { code, claims: 1, left: 0 });
                    };
                    let claims = usize::from(length);
                    let Some((value, after)) = after.split_at_checked(claims) else {
                        return Err(Fault::Overrun { code, claims, left: after.len() });
                    };
                    self.push(code, value);
                    rest = after;
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, code: u8, value: &[u8]) {
        match self.list.iter_mut().find(|(known, _)| *known == code) {
            Some((_, joined)) => joined.extend_from_slice(value),
            None => self.list.push((code, value.to_vec())),
        }
    }

    pub(super) fn bytes(&self, code: u8) -> Option<&[u8]> {
        self.list.iter().find(|(known, _)| *known == code).map(|(_, value)| value.as_slice())
    }

    pub(super) fn owned(&self, code: u8) -> Option<Vec<u8>> {
        self.bytes(code).map(<[u8]>::to_vec)
    }

    fn fixed<const N: usize>(&self, code: u8, wants: &'static str) -> Result<Option<[u8; N]>, Fault> {
        let Some(value) = self.bytes(code) else { return Ok(None) };
        value.try_into().map(Some).map_err(|_| Fault::Length { code, has: value.len(), wants })
    }

    pub(super) fn byte(&self, code: u8) -> Result<Option<u8>, Fault> {
        Ok(self.fixed::<1>(code, "1")?.map(|[byte]| byte))
    }

    pub(super) fn triple(&self, code: u8) -> Result<Option<[u8; 3]>, Fault> {
        self.fixed(code, "3")
    }

    pub(super) fn short(&self, code: u8) -> Result<Option<u16>, Fault> {
        Ok(self.fixed(code, "2")?.map(u16::from_be_bytes))
    }

    pub(super) fn number(&self, code: u8) -> Result<Option<u32>, Fault> {
        Ok(self.fixed(code, "4")?.map(u32::from_be_bytes))
    }

    pub(super) fn address(&self, code: u8) -> Result<Option<Ipv4Addr>, Fault> {
        Ok(self.fixed::<4>(code, "4")?.map(Ipv4Addr::from))
    }

    /// A list of 16-bit numbers.
    pub(super) fn shorts(&self, code: u8) -> Result<Vec<u16>, Fault> {
        let Some(value) = self.bytes(code) else { return Ok(Vec::new()) };
        if value.is_empty() || !value.len().is_multiple_of(2) {
            return Err(Fault::Length { code, has: value.len(), wants: "an even number" });
        }
        Ok(value.chunks_exact(2).filter_map(|pair| pair.try_into().ok().map(u16::from_be_bytes)).collect())
    }

    /// Suboptions of one byte code and one byte length each.
    pub(super) fn encapsulated(&self, code: u8) -> Result<Option<Options>, Fault> {
        let Some(value) = self.bytes(code) else { return Ok(None) };
        let mut inner = Options::default();
        inner.area(value)?;
        Ok(Some(inner))
    }
}
