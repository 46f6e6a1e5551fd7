//! Waits until links, addresses or routes changed.

use std::io;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use std::os::fd::AsRawFd;
use tokio::io::unix::AsyncFd;

use super::Socket;
use crate::sys;

/// The group of rtnetlink(7) that tells of links.
pub const LINKS: u32 = 1;
/// Groups of rtnetlink(7): link, IPv4 address and route, IPv6 address and route.
const GROUPS: u32 = LINKS | 1 << 4 | 1 << 6 | 1 << 8 | 1 << 10;

/// Open before looking at the state, so that no change falls between the two.
#[derive(Debug)]
pub struct Watch {
    socket: AsyncFd<Socket>,
}

impl Watch {
    pub fn open() -> io::Result<Watch> {
        Ok(Watch { socket: sys::readable(Socket::open(GROUPS)?)? })
    }

    /// Returns after at least one event, with all that have come taken off the socket.
    pub async fn change(&self) -> io::Result<()> {
        loop {
            let mut ready = self.socket.readable().await?;
            let mut events = 0;
            let drained: io::Result<()> = loop {
                // What exactly happened is asked for afterwards, so the content does not matter.
                match recv(self.socket.as_raw_fd(), &mut [0; 64], MsgFlags::MSG_TRUNC) {
                    Ok(_) | Err(Errno::EINTR) => events += 1,
                    // More events than the kernel could keep: certainly a change.
                    Err(Errno::ENOBUFS) => events += 1,
                    Err(Errno::EAGAIN) => break Ok(()),
                    Err(e) => break Err(e.into()),
                }
            };
            ready.clear_ready();
            drained?;
            if events > 0 {
                return Ok(());
            }
        }
    }
}
