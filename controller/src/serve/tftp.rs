//! TFTP (`tftp: mode: internal`), read only: one task a transfer, on a port of its own. `wire::tftp` decides what is sent
//! when, `boot::tftp` which file a name stands for.
//!
//! All of it runs on one thread of its own: a transfer is a ping-pong of small packets, and handing each from thread to
//! thread took as long as everything else.

mod open;
mod send;

use std::collections::HashSet;
use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, PoisonError};

use crate::sys;
use model::Conf;
use model::conf::TftpMode;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use wire::tftp::{Code, Packet, ReadRequest};

use crate::cluster::Shared;
use crate::serve::Shutdown;
use open::{Refusal, open};

const PORT: u16 = 69;
/// Transfers at once; who comes later is told nothing and asks again.
const AT_ONCE: usize = 4096;

/// The socket for requests; none when the mode is external.
#[derive(Debug)]
pub struct Requests(Option<Socket>);

/// Opens the port, and says which of iPXE's programs are missing.
///
/// # Errors
/// When the port is taken or the right is missing; the message says what to do.
pub fn bind(conf: &Conf) -> anyhow::Result<Requests> {
    if !is_on(conf) {
        return Ok(Requests(None));
    }
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
    let _ = socket.set_recv_buffer_size(1 << 20);
    socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT).into()).map_err(|error| {
        anyhow::anyhow!(
            "UDP port {PORT}: {error}. Another TFTP server runs here (`ss -lunp 'sport = {PORT}'` names it): stop it, or \
             write `mode: external` under `tftp:` in warewulf.conf"
        )
    })?;
    socket.set_nonblocking(true)?;
    tracing::info!("tftp: serving {}", conf.tftp.tftproot.display());
    for missing in open::missing_programs(conf) {
        tracing::warn!("tftp: {missing}");
    }
    Ok(Requests(Some(socket)))
}

/// Answers until shutdown. Another mode is taken up as it comes.
///
/// # Errors
/// When the thread cannot be made.
pub async fn run(requests: Requests, shared: Shared, shutdown: Shutdown) -> io::Result<()> {
    let (tell, told) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("tftp".into()).spawn(move || {
        let ended = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .and_then(|runtime| runtime.block_on(serve(requests, shared, shutdown)));
        // Nobody listens when the daemon has gone already.
        let _ = tell.send(ended);
    });
    thread?;
    told.await.map_err(io::Error::other)?
}

async fn serve(requests: Requests, shared: Shared, shutdown: Shutdown) -> io::Result<()> {
    let mut socket = requests.0.map(sys::awaited).transpose()?;
    let mut transfers = JoinSet::new();
    let peers = Peers::default();
    loop {
        let cluster = shared.current();
        if is_on(&cluster.site.conf) != socket.is_some() {
            drop(socket.take());
            match bind(&cluster.site.conf) {
                Ok(requests) => socket = requests.0.map(sys::awaited).transpose()?,
                Err(error) => tracing::error!("tftp: {error:#}"),
            }
        }
        tokio::select! {
            request = receive(socket.as_ref()) => match request {
                Ok(Some(request)) if transfers.len() < AT_ONCE => {
                    transfers.spawn(answer(request, shared.clone(), peers.clone()));
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::error!("tftp: {error}");
                    // What does not pass must not fill the log.
                    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                }
            },
            Some(_) = transfers.join_next() => {}
            () = shared.changed(cluster.generation) => {}
            () = shutdown.requested() => return Ok(()),
        }
    }
}

fn is_on(conf: &Conf) -> bool {
    conf.tftp.enabled && conf.tftp.mode == TftpMode::Internal
}

/// A datagram at port 69.
#[derive(Debug)]
struct Request {
    bytes: Vec<u8>,
    peer: SocketAddrV4,
    /// The address of ours that it was sent to; the answer comes from there.
    local: Ipv4Addr,
}

async fn receive(socket: Option<&AsyncFd<Socket>>) -> io::Result<Option<Request>> {
    match socket {
        Some(socket) => socket.async_io(Interest::READABLE, take).await,
        None => std::future::pending().await,
    }
}

fn take(socket: &Socket) -> io::Result<Option<Request>> {
    let mut buffer = [0; 1500];
    let mut control = nix::cmsg_space!(libc::in_pktinfo);
    let mut parts = [IoSliceMut::new(&mut buffer)];
    let message = recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty())?;
    let local = message.cmsgs()?.find_map(|part| match part {
        ControlMessageOwned::Ipv4PacketInfo(info) => Some(Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes())),
        _ => None,
    });
    let (length, peer) = (message.bytes, message.address);
    let (Some(peer), Some(local)) = (peer, local) else { return Ok(None) };
    let bytes = buffer.get(..length).unwrap_or_default().to_vec();
    Ok(Some(Request { bytes, peer: SocketAddrV4::new(peer.ip(), peer.port()), local }))
}

/// Clients that are being answered. A client that asks again from the same port has not heard us yet: it will.
#[derive(Clone, Debug, Default)]
struct Peers(Arc<Mutex<HashSet<SocketAddrV4>>>);

/// One of them, until dropped.
#[derive(Debug)]
struct Peer(Peers, SocketAddrV4);

impl Peers {
    fn enter(&self, peer: SocketAddrV4) -> Option<Peer> {
        let is_new = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(peer);
        is_new.then(|| Peer(self.clone(), peer))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

/// Answers one request, from a port of its own (RFC 1350, 4).
async fn answer(request: Request, shared: Shared, peers: Peers) {
    let peer = request.peer;
    let packet = match Packet::decode(&request.bytes) {
        Ok(packet) => packet,
        Err(fault) => return tracing::info!("tftp: {peer}: packet passed over: {fault}"),
    };
    let Some(_peer) = peers.enter(peer) else { return };
    let socket = match connected(request.local, peer).await {
        Ok(socket) => socket,
        Err(error) => return tracing::warn!("tftp: {peer}: no port for an answer: {error}"),
    };
    match packet {
        Packet::Read(wish) => read(&socket, peer, &wish, &shared).await,
        Packet::Write => {
            tracing::info!("tftp: {peer}: wants to write: refused");
            refuse(&socket, Code::Access, "this server is read only").await;
        }
        // Belongs to a transfer that is over, or to none (RFC 1350, 4); an error is never answered.
        Packet::Data { .. } | Packet::Ack { .. } | Packet::OptionAck(_) => {
            refuse(&socket, Code::UnknownTransfer, "transfers do not go to port 69").await;
        }
        Packet::Error { .. } => {}
    }
}

async fn read(socket: &UdpSocket, peer: SocketAddrV4, wish: &ReadRequest, shared: &Shared) {
    // As it is written to the log: a line break in it must not make a line of its own.
    let name = String::from_utf8_lossy(&wish.name).escape_debug().to_string();
    let conf = shared.fresh().await.site.conf.clone();
    let (asked, mode) = (wish.name.clone(), wish.mode);
    let opened = tokio::task::spawn_blocking(move || open(&asked, mode, &conf)).await;
    match opened {
        Ok(Ok(source)) => send::send(socket, peer, wish, &name, source).await,
        Ok(Err(refusal)) => {
            tracing::warn!("tftp: {peer}: {name}: {refusal}");
            let code = match refusal {
                Refusal::Escape | Refusal::Denied(_) => Code::Access,
                Refusal::NoName => Code::Illegal,
                Refusal::Missing(_) => Code::NotFound,
                Refusal::Broken(_) => Code::Undefined,
            };
            refuse(socket, code, refusal.brief()).await;
        }
        Err(error) => tracing::error!("tftp: {peer}: {name}: {error}"),
    }
}

/// Told once. Who does not hear it asks again and is told again.
async fn refuse(socket: &UdpSocket, code: Code, message: &str) {
    if let Err(error) = socket.send(&Packet::error(code, message).encode()).await {
        tracing::debug!("tftp: a refusal could not be sent: {error}");
    }
}

async fn connected(local: Ipv4Addr, peer: SocketAddrV4) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(SocketAddr::from((local, 0))).await?;
    socket.connect(peer).await?;
    Ok(socket)
}
