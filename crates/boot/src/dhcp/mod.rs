//! Who asks by DHCP, and what that machine gets (RFC 2131, PXE 2.1, UEFI 2.10 section 24).
//!
//! A decision is a value: the question, where it came in, the configuration, the nodes, the leases and the time go in.
//! Nothing is sent and no lease is written here; a [`Reply`] carries the change of leases that has to be on disk before it
//! leaves.

mod decide;
mod file;
mod leases;
mod line;
mod nodes;
mod proxy;

pub use decide::decide;
pub use file::{BootFile, boot_file, script_url};
pub use leases::{Client, Lease, Leases, State};
pub use nodes::{Known, Nodes};
pub use proxy::proxy;

use std::net::Ipv4Addr;

use model::Conf;
use wire::dhcp::Answer;

/// What decisions go by, besides the question.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub conf: &'a Conf,
    pub nodes: &'a Nodes,
    pub leases: &'a Leases,
    /// Seconds since 1970.
    pub now: u64,
}

/// Where a question came in.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// Our address on that link: option 54, and where files are fetched from.
    pub server: Ipv4Addr,
    /// Length of the link's network prefix.
    pub prefix: u8,
    /// Every address of the controller.
    pub own: &'a [Ipv4Addr],
    /// Sent to our address and not to everybody.
    pub unicast: bool,
    /// The address that was asked for on the link a moment ago, by ARP, and that nobody has.
    pub free: Option<Ipv4Addr>,
}

/// Where an answer goes (RFC 2131, 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// The relay, at the servers' port 67.
    Relay(Ipv4Addr),
    /// A client that has its address, at port 68.
    Client(Ipv4Addr),
    /// A client that has none yet but takes a frame to its hardware address, with this address in the IP header.
    Hardware(Ipv4Addr),
    /// Everybody on the link, at port 68.
    Everybody,
    /// Whoever sent it, at the port it was sent from: requests to port 4011.
    Sender,
}

/// An answer, and all that goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub answer: Answer,
    pub to: To,
    /// To be noted before the answer is sent; on disk, unless it is an offer.
    pub lease: Option<Lease>,
    /// The node, when the client is one.
    pub node: Option<String>,
    /// What was there to boot.
    pub file: BootFile,
}

/// What a question comes to.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Offer(Box<Reply>),
    Ack(Box<Reply>),
    Nak(Box<Reply>, Refusal),
    /// Note the lease, ask the link whether somebody has its address, and come again with the answer.
    Probe(Lease),
    /// Note the lease; such a message has no answer.
    Note(Lease),
    Silent(Reason),
}

/// Why an address is not the client's (DHCPNAK).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It belongs to another network than the one the client is on.
    WrongNetwork(Ipv4Addr),
    /// The client is to have another one.
    NotYours { asked: Ipv4Addr, yours: Option<Ipv4Addr> },
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The client took another server's offer.
    ChoseAnother(Ipv4Addr),
    /// No node and no range: strangers get nothing.
    NoRange,
    /// All addresses of the range are taken.
    RangeFull,
    /// The relay is on a network that neither the range nor a node belongs to.
    UnknownNetwork(Ipv4Addr),
    /// The client claims a lease that we know nothing of; another server may (RFC 2131, 4.3.2).
    NoRecord(Ipv4Addr),
    /// A request that names no address.
    NoAddress,
    /// A node says that somebody else uses its own address. There is no other for it.
    DeclinedOwn(Ipv4Addr),
    /// A release or decline of what was not the client's.
    NotTheirs(Ipv4Addr),
    /// A node gives its own address back; it stays the node's.
    ReleasedOwn(Ipv4Addr),
    /// Proxy: the client does not boot.
    DoesNotBoot,
    /// Proxy: no node, and none is to be discovered.
    NotANode,
    /// Proxy: nothing to boot on that architecture.
    NoFile,
    /// Proxy: for the server that hands out addresses.
    NotForProxy,
}

#[cfg(test)]
mod tests;
