//! A netlink socket that asks one thing and reads its answer.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use netlink_packet_core::{NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, send, socket,
};

/// An rtnetlink socket.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
}

impl Socket {
    /// `groups` is a mask of multicast groups, 0 for none.
    pub fn open(groups: u32) -> io::Result<Socket> {
        let flags = if groups == 0 { SockFlag::SOCK_CLOEXEC } else { SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK };
        let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
        Ok(Socket { fd, sequence: 0 })
    }

    /// Sends one request and reads until its answer or its acknowledgement.
    pub fn ask(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<NetlinkPayload<RouteNetlinkMessage>> {
        self.sequence += 1;
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.sequence;
        let mut packet = NetlinkMessage::new(header, NetlinkPayload::from(message));
        packet.finalize();
        let mut bytes = vec![0; packet.buffer_len()];
        packet.serialize(&mut bytes);
        send(self.fd.as_raw_fd(), &bytes, MsgFlags::empty())?;
        self.answer()
    }

    fn answer(&self) -> io::Result<NetlinkPayload<RouteNetlinkMessage>> {
        let mut buffer = vec![0; 32 << 10];
        loop {
            let length = recv(self.fd.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
            let bytes = buffer.get(..length).unwrap_or_default();
            let packet = NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes)
                .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, format!("rtnetlink: {e}")))?;
            if packet.header.sequence_number != self.sequence {
                continue;
            }
            return match packet.payload {
                NetlinkPayload::Error(error) => match error.code {
                    None => Ok(NetlinkPayload::Noop),
                    Some(code) => Err(io::Error::from_raw_os_error(code.get().saturating_abs())),
                },
                other => Ok(other),
            };
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> i32 {
        self.fd.as_raw_fd()
    }
}
