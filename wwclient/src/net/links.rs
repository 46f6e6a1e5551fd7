//! Links: looked up, and set up.

use std::io;

use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};

use super::Socket;

/// A link up, with the addresses that the kernel gives it by itself (127.0.0.1 and ::1 for `lo`).
pub fn set_up(name: &str) -> io::Result<()> {
    let mut socket = Socket::open(0)?;
    let mut ask = LinkMessage::default();
    ask.attributes.push(LinkAttribute::IfName(name.to_owned()));
    let found = link(&mut socket, ask)?;
    let mut change = LinkMessage::default();
    change.header.index = found.header.index;
    change.header.flags = LinkFlags::Up;
    change.header.change_mask = LinkFlags::Up;
    socket.ask(RouteNetlinkMessage::SetLink(change), NLM_F_REQUEST | NLM_F_ACK).map(drop)
}

/// The link of that index.
pub fn by_index(socket: &mut Socket, index: u32) -> io::Result<LinkMessage> {
    let mut ask = LinkMessage::default();
    ask.header.index = index;
    link(socket, ask)
}

fn link(socket: &mut Socket, ask: LinkMessage) -> io::Result<LinkMessage> {
    match socket.ask(RouteNetlinkMessage::GetLink(ask), NLM_F_REQUEST)? {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => Ok(link),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "rtnetlink answered something else than a link")),
    }
}
