//! Answers router solicitations by an advertisement that says: no router here (`dhcp: quiet ra`).
//!
//! Firmware and iPXE configure IPv6 beside IPv4 and go on when both are done. On a network without a router that is a wait
//! of 13 s, twice in a boot. An advertisement of lifetime 0 with nothing in it ends the wait; nobody takes it for a router.

use std::io::{self, IoSliceMut};
use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use crate::sys;
use model::Conf;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn6, recvmsg};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinSet;
use wire::icmp6::{ALL_NODES, ALL_ROUTERS, HOP_LIMIT, is_solicitation, quiet_advertisement};

use crate::cluster::Shared;
use crate::serve::Shutdown;
use crate::serve::link::{Changes, Link, Links};

/// A socket for each interface.
#[derive(Debug)]
pub struct Sockets {
    ears: Vec<Arc<Ear>>,
    links: Links,
    is_on: bool,
    changes: Changes,
}

#[derive(Debug)]
struct Ear {
    link: Link,
    socket: AsyncFd<Socket>,
}

/// Opens a socket on each interface that is served. One that has no IPv6 is passed over: nobody waits there for an answer
/// that we could give.
///
/// # Errors
/// When the kernel does not tell its interfaces.
pub fn bind(conf: &Conf) -> anyhow::Result<Sockets> {
    let changes = Changes::listen()?;
    let is_on = is_on(conf);
    let links = if is_on { Links::look(conf)? } else { Links::default() };
    let mut ears = Vec::new();
    for link in &links.served {
        match Ear::open(link) {
            Ok(ear) => ears.push(Arc::new(ear)),
            Err(error) => tracing::warn!("ra: {}: solicitations are not answered, nodes may wait: {error}", link.name),
        }
    }
    Ok(Sockets { ears, links, is_on, changes })
}

/// Answers until shutdown. Other interfaces or another configuration are taken up as they come.
///
/// # Errors
/// Never: a controller without it only has nodes that wait.
pub async fn run(mut sockets: Sockets, shared: Shared, shutdown: Shutdown) -> io::Result<()> {
    loop {
        let mut tasks = JoinSet::new();
        for ear in &sockets.ears {
            tasks.spawn(answer(ear.clone()));
        }
        loop {
            let generation = shared.current().generation;
            tokio::select! {
                changed = sockets.changes.next() => if changed.is_err() { break },
                () = shared.changed(generation) => {}
                () = shutdown.requested() => return Ok(()),
            }
            let cluster = shared.current();
            let conf = &cluster.site.conf;
            let served = if is_on(conf) { Links::look(conf).unwrap_or_default().served } else { Vec::new() };
            if is_on(conf) != sockets.is_on || served != sockets.links.served {
                break;
            }
        }
        drop(tasks);
        sockets = loop {
            match bind(&shared.current().site.conf) {
                Ok(sockets) => break sockets,
                Err(error) => tracing::error!("ra: {error:#}; trying again"),
            }
            tokio::select! {
                () = tokio::time::sleep(std::time::Duration::from_secs(2)) => {}
                () = shutdown.requested() => return Ok(()),
            }
        };
    }
}

fn is_on(conf: &Conf) -> bool {
    conf.dhcp.enabled && conf.dhcp.quiet_ra
}

async fn answer(ear: Arc<Ear>) {
    loop {
        match ear.solicitation().await {
            Ok(from) => match ear.advertise(from) {
                Ok(()) => tracing::info!("ra: {}: {from} SOLICITATION -> no router here", ear.link.name),
                Err(error) => tracing::warn!("ra: {}: {from} SOLICITATION: no answer: {error}", ear.link.name),
            },
            Err(error) => return tracing::error!("ra: {}: {error}", ear.link.name),
        }
    }
}

impl Ear {
    fn open(link: &Link) -> io::Result<Ear> {
        let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
        socket.bind_device(Some(link.name.as_bytes()))?;
        socket.join_multicast_v6(&ALL_ROUTERS, link.index)?;
        socket.set_multicast_if_v6(link.index)?;
        socket.set_multicast_loop_v6(false)?;
        socket.set_multicast_hops_v6(u32::from(HOP_LIMIT))?;
        socket.set_unicast_hops_v6(u32::from(HOP_LIMIT))?;
        socket.set_recv_hoplimit_v6(true)?;
        socket.set_nonblocking(true)?;
        Ok(Ear { link: link.clone(), socket: sys::awaited(socket)? })
    }

    /// Who asks next.
    async fn solicitation(&self) -> io::Result<Ipv6Addr> {
        loop {
            match self.socket.async_io(Interest::READABLE, take).await {
                Ok(Some(from)) => return Ok(from),
                Ok(None) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn advertise(&self, to: Ipv6Addr) -> io::Result<()> {
        // Who has no address yet cannot be sent to (RFC 4861, 6.2.6).
        let to = if to.is_unspecified() { ALL_NODES } else { to };
        let address = SocketAddrV6::new(to, 0, 0, self.link.index);
        self.socket.get_ref().send_to(&quiet_advertisement(), &address.into()).map(drop)
    }
}

fn take(socket: &Socket) -> io::Result<Option<Ipv6Addr>> {
    let mut buffer = [0; 1500];
    let mut control = nix::cmsg_space!(i32);
    let mut parts = [IoSliceMut::new(&mut buffer)];
    let message = recvmsg::<SockaddrIn6>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty())?;
    let hops = message.cmsgs()?.find_map(|part| match part {
        ControlMessageOwned::Ipv6HopLimit(hops) => u8::try_from(hops).ok(),
        _ => None,
    });
    let (length, from) = (message.bytes, message.address);
    let is_for_us = is_solicitation(buffer.get(..length).unwrap_or_default(), hops.unwrap_or(0));
    Ok(from.filter(|_| is_for_us).map(|from| from.ip()))
}
