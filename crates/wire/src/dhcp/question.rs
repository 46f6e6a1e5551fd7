//! What a client asks: a DHCP packet after reading, every option that matters with its type.

use std::net::Ipv4Addr;

use dhcproto::v4::borrowed::Message;
use dhcproto::v4::{Architecture, MAGIC, MessageType, Opcode};

use super::options::{Fault, Options};
use super::{Hardware, INFINIBAND};

/// The messages that clients send (RFC 2131, table 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuestionKind {
    Discover,
    Request,
    Decline,
    Release,
    Inform,
}

impl QuestionKind {
    /// The name in the RFC, without its prefix.
    pub fn name(self) -> &'static str {
        match self {
            QuestionKind::Discover => "DISCOVER",
            QuestionKind::Request => "REQUEST",
            QuestionKind::Decline => "DECLINE",
            QuestionKind::Release => "RELEASE",
            QuestionKind::Inform => "INFORM",
        }
    }
}

/// What kind of program asks; it decides which file it is told to load, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientClass {
    /// iPXE, by its user class: it runs scripts.
    Ipxe,
    /// UEFI HTTP Boot: vendor class `HTTPClient...`.
    HttpClient,
    /// A PXE ROM: vendor class `PXEClient...` (RFC 4578).
    PxeClient,
    /// Anything that does not boot: an operating system's DHCP client.
    Other,
}

/// A client's packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub kind: QuestionKind,
    pub xid: u32,
    /// Seconds since the client began, by its own account.
    pub secs: u16,
    pub hops: u8,
    /// The client cannot take a unicast before it has its address.
    pub broadcast: bool,
    pub ciaddr: Ipv4Addr,
    /// The relay that passed the question on; 0.0.0.0 without one.
    pub giaddr: Ipv4Addr,
    pub hardware: Hardware,
    /// Option 43, as the client encapsulated it.
    pub vendor: Option<Vec<u8>>,
    /// Option 50.
    pub requested: Option<Ipv4Addr>,
    /// Option 51, seconds.
    pub lease_time: Option<u32>,
    /// Option 54.
    pub server: Option<Ipv4Addr>,
    /// Option 55: the options that the client would like to see.
    pub wants: Vec<u8>,
    /// Option 57: the longest IP datagram that the client takes.
    pub max_size: Option<u16>,
    /// Option 60.
    pub vendor_class: Vec<u8>,
    /// Option 61.
    pub client_id: Option<Vec<u8>>,
    /// Option 66 or the header's `sname`: which server's file a request at port 4011 is about.
    pub server_name: Vec<u8>,
    /// Option 67 or the header's `file`.
    pub file: Vec<u8>,
    /// Option 77.
    pub user_class: Vec<u8>,
    /// Option 82, to be echoed as it is.
    pub relay: Option<Vec<u8>>,
    /// Option 93; the first counts.
    pub architectures: Vec<Architecture>,
    /// Option 94: type, major, minor of the network interface's UNDI.
    pub interface: Option<[u8; 3]>,
    /// Option 97, to be echoed as it is.
    pub machine: Option<Vec<u8>>,
    /// Option 175 is there: the client speaks iPXE's own options.
    pub ipxe_options: bool,
    /// Suboption 176 of option 175, as iPXE calls it `no-pxedhcp`.
    pub ipxe_no_proxy: bool,
}

impl Question {
    /// Reads a packet from the wire.
    ///
    /// # Errors
    /// [`Fault`] when it is no DHCP request, or when an option that matters has a length that it cannot have.
    pub fn decode(bytes: &[u8]) -> Result<Question, Fault> {
        let header = header(bytes)?;
        let file = bytes.get(108..236).unwrap_or_default();
        let sname = bytes.get(44..108).unwrap_or_default();
        let options = Options::read(bytes.get(240..).unwrap_or_default(), file, sname)?;
        let kind = match options.byte(53)?.map(MessageType::from) {
            Some(MessageType::Discover) => QuestionKind::Discover,
            Some(MessageType::Request) => QuestionKind::Request,
            Some(MessageType::Decline) => QuestionKind::Decline,
            Some(MessageType::Release) => QuestionKind::Release,
            Some(MessageType::Inform) => QuestionKind::Inform,
            Some(other) => return Err(Fault::MessageType(other.into())),
            None => return Err(Fault::NoMessageType),
        };
        let hardware =
            Hardware::new(header.htype().into(), bytes.get(28..28 + usize::from(header.hlen())).unwrap_or_default())
                .ok_or(Fault::HardwareLength(header.hlen()))?;
        let ipxe = options.encapsulated(175)?;
        Ok(Question {
            kind,
            xid: header.xid(),
            secs: header.secs(),
            hops: header.hops(),
            broadcast: header.flags().broadcast(),
            ciaddr: header.ciaddr(),
            giaddr: header.giaddr(),
            hardware,
            vendor: options.owned(43),
            requested: options.address(50)?,
            lease_time: options.number(51)?,
            server: options.address(54)?,
            wants: options.owned(55).unwrap_or_default(),
            max_size: options.short(57)?,
            vendor_class: options.owned(60).unwrap_or_default(),
            client_id: options.owned(61),
            server_name: options.owned(66).unwrap_or_else(|| text(sname, options.overloads(2))),
            file: options.owned(67).unwrap_or_else(|| text(file, options.overloads(1))),
            user_class: options.owned(77).unwrap_or_default(),
            relay: options.owned(82),
            architectures: options.shorts(93)?.into_iter().map(Architecture::from).collect(),
            interface: options.triple(94)?,
            machine: options.owned(97),
            ipxe_options: ipxe.is_some(),
            ipxe_no_proxy: ipxe.and_then(|inner| inner.byte(176).ok().flatten()).is_some_and(|value| value != 0),
        })
    }

    /// The program that asks.
    ///
    /// The user class must say `iPXE`: ROMs that were built from iPXE send option 175 too, and a script is not for them.
    pub fn class(&self) -> ClientClass {
        if self.says_ipxe() {
            ClientClass::Ipxe
        } else if self.vendor_class.starts_with(b"HTTPClient") {
            ClientClass::HttpClient
        } else if self.vendor_class.starts_with(b"PXEClient") {
            ClientClass::PxeClient
        } else {
            ClientClass::Other
        }
    }

    /// Whether the client must send its replies' hardware address elsewhere: InfiniBand has none in the header.
    pub fn is_infiniband(&self) -> bool {
        self.hardware.kind() == INFINIBAND
    }

    /// iPXE sends the bare text; RFC 3004 wants a length before each class. Both count.
    fn says_ipxe(&self) -> bool {
        if self.user_class == b"iPXE" {
            return true;
        }
        let mut rest = self.user_class.as_slice();
        while let Some((&length, after)) = rest.split_first() {
            let Some((class, after)) = after.split_at_checked(usize::from(length)) else { return false };
            if class == b"iPXE" {
                return true;
            }
            rest = after;
        }
        false
    }
}

fn header(bytes: &[u8]) -> Result<Message<'_>, Fault> {
    // Checked before the header's accessors are used: they index by what the packet claims.
    let hlen = bytes.get(2).copied().unwrap_or(0);
    let cookie: [u8; 4] =
        bytes.get(236..240).and_then(|slice| slice.try_into().ok()).ok_or(Fault::Short(bytes.len()))?;
    if usize::from(hlen) > 16 {
        return Err(Fault::HardwareLength(hlen));
    }
    let header = Message::new(bytes).map_err(|_| Fault::Short(bytes.len()))?;
    if header.opcode() != Opcode::BootRequest {
        return Err(Fault::Operation(header.opcode().into()));
    }
    if cookie != MAGIC {
        return Err(Fault::Cookie(cookie));
    }
    Ok(header)
}

fn text(field: &[u8], overloaded: bool) -> Vec<u8> {
    if overloaded {
        return Vec::new();
    }
    field.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
}
