//! Capture: what went over a Net's bridge port, as frames with their time. Only what says who waits for whom is kept;
//! an image's bytes are not.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::socket::{
    AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use crate::frame::{Frame, Kind};
use crate::net::Net;

/// A running capture; it ends when this value goes.
#[derive(Debug)]
pub struct Capture {
    seen: Arc<Mutex<Vec<(Duration, Frame)>>>,
    stop: Arc<AtomicBool>,
}

impl Capture {
    /// Watches one interface from now on; times count from now.
    ///
    /// # Errors
    /// When a packet socket cannot be opened.
    pub fn start(net: &Net, interface: &str) -> anyhow::Result<Capture> {
        let name = interface.to_owned();
        let opened = net.inside(move || open(&name))?;
        let (socket, index) = opened.with_context(|| format!("cannot watch {interface}"))?;
        let capture = Capture { seen: Arc::default(), stop: Arc::default() };
        let (seen, stop) = (Arc::clone(&capture.seen), Arc::clone(&capture.stop));
        let begin = Instant::now();
        std::thread::spawn(move || {
            let mut buffer = vec![0; 2048];
            while !stop.load(Ordering::Relaxed) {
                let Ok((length, from)) = recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut buffer) else { continue };
                if from.is_none_or(|from| from.ifindex() != index) {
                    continue;
                }
                let frame = Frame::read(buffer.get(..length).unwrap_or_default());
                if let Some(frame) = frame.filter(|frame| frame.kind != Kind::Other) {
                    seen.lock().unwrap_or_else(PoisonError::into_inner).push((begin.elapsed(), frame));
                }
            }
        });
        Ok(capture)
    }

    /// What was seen so far, in order.
    pub fn frames(&self) -> Vec<(Duration, Frame)> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn open(interface: &str) -> anyhow::Result<(OwnedFd, usize)> {
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)?;
    // An image comes by faster than a slow machine reads: room for what is wanted between its segments.
    setsockopt(&socket, sockopt::RcvBufForce, &(32 << 20))?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::new(0, 200_000))?;
    let index = nix::net::if_::if_nametoindex(interface)?;
    Ok((socket, usize::try_from(index)?))
}
