//! What a client is told: an answer as a value, and its bytes.

use std::net::Ipv4Addr;

use dhcproto::v4::{DhcpOption, HType, MAGIC, MessageType, Opcode, OptionCode, UnknownOption};
use dhcproto::{Encodable, Encoder};

use super::{Hardware, Question};

/// The messages that a server sends (RFC 2131, table 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerKind {
    Offer,
    Ack,
    Nak,
}

impl AnswerKind {
    /// The name in the RFC, without its prefix.
    pub fn name(self) -> &'static str {
        match self {
            AnswerKind::Offer => "OFFER",
            AnswerKind::Ack => "ACK",
            AnswerKind::Nak => "NAK",
        }
    }
}

/// How long an address may be used, seconds (options 51, 58, 59).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    pub seconds: u32,
}

/// Option 43 as PXE reads it (PXE 2.1, table 2-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PxeControl {
    /// Suboption 6 = 8: take the boot file of this answer, ask no other server, show no menu.
    FileIsHere,
}

impl PxeControl {
    fn bytes(self) -> Vec<u8> {
        match self {
            PxeControl::FileIsHere => vec![6, 1, 8, 255],
        }
    }
}

/// A server's packet. What is `None` or empty is not sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub kind: AnswerKind,
    pub xid: u32,
    pub broadcast: bool,
    pub ciaddr: Ipv4Addr,
    pub yiaddr: Ipv4Addr,
    /// The next server: where the boot file is fetched from.
    pub siaddr: Ipv4Addr,
    pub giaddr: Ipv4Addr,
    pub hardware: Hardware,
    /// Option 54.
    pub server: Ipv4Addr,
    pub lease: Option<Lease>,
    pub netmask: Option<Ipv4Addr>,
    pub broadcast_address: Option<Ipv4Addr>,
    pub router: Option<Ipv4Addr>,
    pub name_servers: Vec<Ipv4Addr>,
    pub host_name: String,
    /// Option 60.
    pub vendor_class: Vec<u8>,
    /// Option 43.
    pub pxe: Option<PxeControl>,
    /// Option 66, and the header's `sname` when it fits there.
    pub server_name: String,
    /// Option 67, and the header's `file` when it fits there: a path for TFTP, or a URL.
    pub file: String,
    /// Option 175, suboption 176 = 1: no proxyDHCP here, so iPXE does not wait for one.
    pub ipxe_no_proxy: bool,
    /// Option 61, echoed (RFC 6842).
    pub client_id: Option<Vec<u8>>,
    /// Option 97, echoed (RFC 4578, 2.3).
    pub machine: Option<Vec<u8>>,
    /// Option 56: why not.
    pub message: String,
    /// Option 82, echoed as the last one (RFC 3046, 2.2).
    pub relay: Option<Vec<u8>>,
}

/// An answer's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    pub bytes: Vec<u8>,
    /// Codes of options that the client's longest message had no room for.
    pub omitted: Vec<u8>,
}

/// Option 57 may not say less (RFC 2132, 9.10).
const SMALLEST_LIMIT: u16 = 576;
/// What Ethernet carries without fragments; also where a client claims more.
const LARGEST_LIMIT: u16 = 1500;
/// IP and UDP header, which option 57 counts as well.
const HEADERS: usize = 28;
/// BOOTP's length (RFC 951); relays and old ROMs drop what is shorter.
const SMALLEST_PACKET: usize = 300;
const FIXED: usize = 240;

impl Answer {
    /// An answer to that question from that server, with everything that is echoed, and nothing else yet.
    pub fn to(question: &Question, kind: AnswerKind, server: Ipv4Addr) -> Answer {
        Answer {
            kind,
            xid: question.xid,
            broadcast: question.broadcast,
            ciaddr: Ipv4Addr::UNSPECIFIED,
            yiaddr: Ipv4Addr::UNSPECIFIED,
            siaddr: Ipv4Addr::UNSPECIFIED,
            giaddr: question.giaddr,
            hardware: question.hardware,
            server,
            lease: None,
            netmask: None,
            broadcast_address: None,
            router: None,
            name_servers: Vec::new(),
            host_name: String::new(),
            vendor_class: Vec::new(),
            pxe: None,
            server_name: String::new(),
            file: String::new(),
            ipxe_no_proxy: false,
            client_id: question.client_id.clone(),
            machine: question.machine.clone(),
            message: String::new(),
            relay: question.relay.clone(),
        }
    }

    /// The packet, no longer than the client takes (its option 57; 576 bytes with IP and UDP header when it said nothing).
    ///
    /// What does not fit into the option field goes into `file` and `sname` when those are free (option 52), and what then
    /// does not fit is left out, least important first, and named.
    pub fn encode(&self, max_size: Option<u16>) -> Encoded {
        let limit = usize::from(max_size.unwrap_or(SMALLEST_LIMIT).clamp(SMALLEST_LIMIT, LARGEST_LIMIT)) - HEADERS;
        let relay = self.relay.as_deref().map(|value| raw(82, value)).unwrap_or_default();
        let mut fields = Fields {
            // End, and option 52 should it be needed, have their place reserved.
            room: limit.saturating_sub(FIXED + 1 + 3 + relay.len()),
            ..Fields::default()
        };
        fields.file_is_free = self.file.is_empty() || self.file.len() >= 128;
        fields.sname_is_free = self.server_name.is_empty() || self.server_name.len() >= 64;
        for (code, bytes) in self.options() {
            fields.place(code, bytes);
        }

        let mut out = Vec::with_capacity(limit);
        self.header(&mut out, &fields);
        out.extend_from_slice(&fields.options);
        if fields.overload() > 0 {
            out.extend_from_slice(&[52, 1, fields.overload()]);
        }
        out.extend_from_slice(&relay);
        out.push(255);
        if out.len() < SMALLEST_PACKET {
            out.resize(SMALLEST_PACKET, 0);
        }
        Encoded { bytes: out, omitted: fields.omitted }
    }

    fn header(&self, out: &mut Vec<u8>, fields: &Fields) {
        let hlen = u8::try_from(self.hardware.bytes().len()).unwrap_or(0);
        out.extend_from_slice(&[Opcode::BootReply.into(), HType::from(self.hardware.kind()).into(), hlen, 0]);
        out.extend_from_slice(&self.xid.to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&(if self.broadcast { 0x8000u16 } else { 0 }).to_be_bytes());
        for address in [self.ciaddr, self.yiaddr, self.siaddr, self.giaddr] {
            out.extend_from_slice(&address.octets());
        }
        out.extend_from_slice(&self.hardware.field());
        let sname = if fields.sname_is_free { closed(&fields.sname) } else { self.server_name.as_bytes().to_vec() };
        let file = if fields.file_is_free { closed(&fields.file) } else { self.file.as_bytes().to_vec() };
        out.extend(sname.into_iter().chain(std::iter::repeat(0)).take(64));
        out.extend(file.into_iter().chain(std::iter::repeat(0)).take(128));
        out.extend_from_slice(&MAGIC);
    }

    /// In the order of what a client cannot do without.
    fn options(&self) -> Vec<(u8, Vec<u8>)> {
        let kind = match self.kind {
            AnswerKind::Offer => MessageType::Offer,
            AnswerKind::Ack => MessageType::Ack,
            AnswerKind::Nak => MessageType::Nak,
        };
        let mut list = vec![
            typed(DhcpOption::MessageType(kind)),
            // RFC 2132, 9.7: in every OFFER, ACK and NAK.
            typed(DhcpOption::ServerIdentifier(self.server)),
        ];
        if let Some(lease) = self.lease {
            list.push(typed(DhcpOption::AddressLeaseTime(lease.seconds)));
        }
        list.extend(self.netmask.map(|mask| typed(DhcpOption::SubnetMask(mask))));
        list.extend(self.router.map(|router| typed(DhcpOption::Router(vec![router]))));
        if !self.vendor_class.is_empty() {
            list.push(typed(DhcpOption::ClassIdentifier(self.vendor_class.clone())));
        }
        list.extend(self.pxe.map(|control| typed(DhcpOption::VendorExtensions(control.bytes()))));
        if !self.server_name.is_empty() {
            list.push(typed(DhcpOption::TFTPServerName(self.server_name.clone().into_bytes())));
        }
        if !self.file.is_empty() {
            list.push(typed(DhcpOption::BootfileName(self.file.clone().into_bytes())));
        }
        if self.ipxe_no_proxy {
            list.push((175, raw(175, &[176, 1, 1])));
        }
        list.extend(self.machine.as_ref().map(|value| typed(DhcpOption::ClientMachineIdentifier(value.clone()))));
        list.extend(self.client_id.as_ref().map(|value| typed(DhcpOption::ClientIdentifier(value.clone()))));
        if !self.name_servers.is_empty() {
            list.push(typed(DhcpOption::DomainNameServer(self.name_servers.clone())));
        }
        if !self.host_name.is_empty() {
            list.push(typed(DhcpOption::Hostname(self.host_name.clone())));
        }
        list.extend(self.broadcast_address.map(|address| typed(DhcpOption::BroadcastAddr(address))));
        if !self.message.is_empty() {
            list.push(typed(DhcpOption::Message(self.message.clone())));
        }
        list
    }
}

/// Where options found their place.
#[derive(Debug, Default)]
struct Fields {
    room: usize,
    options: Vec<u8>,
    file_is_free: bool,
    file: Vec<u8>,
    sname_is_free: bool,
    sname: Vec<u8>,
    omitted: Vec<u8>,
}

impl Fields {
    fn place(&mut self, code: u8, bytes: Vec<u8>) {
        if self.options.len() + bytes.len() <= self.room {
            self.options.extend(bytes);
        } else if self.file_is_free && self.file.len() + bytes.len() < 128 {
            self.file.extend(bytes);
        } else if self.sname_is_free && self.sname.len() + bytes.len() < 64 {
            self.sname.extend(bytes);
        } else {
            self.omitted.push(code);
        }
    }

    fn overload(&self) -> u8 {
        u8::from(!self.file.is_empty()) + 2 * u8::from(!self.sname.is_empty())
    }
}

fn closed(options: &[u8]) -> Vec<u8> {
    let mut field = options.to_vec();
    if !field.is_empty() {
        field.push(255);
    }
    field
}

fn typed(option: DhcpOption) -> (u8, Vec<u8>) {
    let code = OptionCode::from(&option).into();
    let mut bytes = Vec::new();
    // Writing to memory has one way to fail, a length that overflows; the option is then as good as empty.
    if option.encode(&mut Encoder::new(&mut bytes)).is_err() {
        bytes.clear();
    }
    (code, bytes)
}

fn raw(code: u8, value: &[u8]) -> Vec<u8> {
    typed(DhcpOption::Unknown(UnknownOption::new(code.into(), value.to_vec()))).1
}
