//! Sends one file: the state machine of `wire` on a socket and the clock.
//!
//! The blocks of a window leave in one system call, cut by the kernel (UDP_SEGMENT); one by one where it cannot.

use std::io::{self, IoSlice};
use std::net::SocketAddrV4;
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::time::Instant;
use wire::tftp::{Code, Limits, Outcome, Packet, ReadRequest, Send, Step, Transfer};

use super::open::Source;

/// Bytes of operation and block number before the data.
const HEAD: usize = 4;
/// What one call may carry: an IPv4 datagram's length, and 64 segments (linux/udp.h).
const LONGEST_BURST: usize = 65_000;
const MOST_SEGMENTS: usize = 64;

/// Sends until it is over, one way or the other; tells how it went.
pub async fn send(socket: &UdpSocket, peer: SocketAddrV4, wish: &ReadRequest, name: &str, mut source: Source) {
    let began = Instant::now();
    let mut transfer = Transfer::new(wish, source.size(), Limits::default());
    let mut burst = Burst::new(usize::from(transfer.block_size()) + HEAD);
    let outcome = match carry(socket, &mut source, &mut transfer, &mut burst, began).await {
        Ok(outcome) => outcome,
        Err(error) => {
            super::refuse(socket, Code::Undefined, "the file cannot be read").await;
            return tracing::warn!("tftp: {peer}: {name}: broken off: {error}");
        }
    };
    let took = began.elapsed();
    let size = source.size();
    match outcome {
        Outcome::Sent => tracing::info!("tftp: {peer}: {name}: {size} bytes in {took:.1?}"),
        Outcome::Unconfirmed => tracing::info!("tftp: {peer}: {name}: {size} bytes in {took:.1?}, the end unconfirmed"),
        Outcome::SizeOnly => tracing::info!("tftp: {peer}: {name}: asked for the size alone ({size} bytes)"),
        Outcome::Refused { code, message } => {
            tracing::warn!("tftp: {peer}: {name}: broken off by the client: error {code} {message:?}");
        }
        Outcome::Silent { acknowledged } => {
            tracing::warn!("tftp: {peer}: {name}: the client fell silent after {acknowledged} of {size} bytes");
        }
    }
}

async fn carry(
    socket: &UdpSocket,
    source: &mut Source,
    transfer: &mut Transfer,
    burst: &mut Burst,
    began: Instant,
) -> io::Result<Outcome> {
    let mut buffer = [0; 2048];
    loop {
        match transfer.poll(began.elapsed()) {
            Step::Send(Send::OptionAck(packet)) => lenient(socket.send(&packet).await.map(drop))?,
            Step::Send(Send::Data { block, offset, length }) => {
                if burst.is_full() {
                    lenient(burst.send(socket).await)?;
                }
                burst.add(source, block, offset, length)?;
            }
            Step::Wait { until } => {
                lenient(burst.send(socket).await)?;
                let left = until.saturating_sub(began.elapsed()).max(Duration::from_micros(100));
                match tokio::time::timeout(left, socket.recv(&mut buffer)).await {
                    Ok(Ok(length)) => match Packet::decode(buffer.get(..length).unwrap_or_default()) {
                        Ok(packet) => transfer.receive(&packet, began.elapsed()),
                        Err(fault) => tracing::debug!("tftp: packet passed over: {fault}"),
                    },
                    // The client's port is closed: it has gone, most likely with what it wanted.
                    Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => transfer.unreachable(),
                    Ok(Err(error)) => lenient(Err(error))?,
                    Err(_time_is_up) => {}
                }
            }
            Step::Finished(outcome) => {
                lenient(burst.send(socket).await)?;
                return Ok(outcome);
            }
        }
    }
}

/// A network that does not take a packet is one that lost it: the transfer knows what to do.
fn lenient(sent: io::Result<()>) -> io::Result<()> {
    match sent {
        Err(error) if is_network(&error) => {
            tracing::debug!("tftp: not sent: {error}");
            Ok(())
        }
        other => other,
    }
}

fn is_network(error: &io::Error) -> bool {
    let passing =
        [libc::ENETDOWN, libc::ENETUNREACH, libc::EHOSTUNREACH, libc::ENOBUFS, libc::EPERM, libc::ECONNREFUSED];
    error.raw_os_error().is_some_and(|code| passing.contains(&code))
}

/// Data packets that leave together.
#[derive(Debug)]
struct Burst {
    /// Length of a full packet.
    packet: usize,
    bytes: Vec<u8>,
    count: usize,
    /// Whether the kernel cuts for us.
    cuts: bool,
}

impl Burst {
    fn new(packet: usize) -> Burst {
        Burst { packet, bytes: Vec::new(), count: 0, cuts: true }
    }

    fn is_full(&self) -> bool {
        self.count == MOST_SEGMENTS || self.bytes.len() + self.packet > LONGEST_BURST
    }

    fn add(&mut self, source: &mut Source, block: u16, offset: u64, length: u16) -> io::Result<()> {
        let data = source.read_at(offset, length)?;
        self.bytes.extend_from_slice(&[0, 3]);
        self.bytes.extend_from_slice(&block.to_be_bytes());
        self.bytes.extend_from_slice(data);
        self.count += 1;
        Ok(())
    }

    async fn send(&mut self, socket: &UdpSocket) -> io::Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        let mut sent = Err(io::Error::from_raw_os_error(libc::EIO));
        if self.cuts && self.count > 1 {
            sent = self.send_cut(socket).await;
        }
        if sent.as_ref().is_err_and(|error| !is_network(error)) {
            // EIO or EINVAL: the device cannot do checksums. It will not learn to.
            self.cuts &= self.count == 1;
            sent = self.send_each(socket).await;
        }
        self.bytes.clear();
        self.count = 0;
        sent
    }

    async fn send_cut(&self, socket: &UdpSocket) -> io::Result<()> {
        let size = u16::try_from(self.packet).map_err(io::Error::other)?;
        let whole = [IoSlice::new(&self.bytes)];
        let sent = socket.async_io(Interest::WRITABLE, || {
            let control = [ControlMessage::UdpGsoSegments(&size)];
            Ok(sendmsg::<()>(socket.as_raw_fd(), &whole, &control, MsgFlags::empty(), None)?)
        });
        sent.await.map(drop)
    }

    async fn send_each(&self, socket: &UdpSocket) -> io::Result<()> {
        for packet in self.bytes.chunks(self.packet) {
            socket.send(packet).await?;
        }
        Ok(())
    }
}
