//! DHCP, as the addresses' server (`dhcp: mode: internal`) or beside one (`proxy`): receive, let `boot::dhcp` decide, note
//! leases on disk, send. One line in the log for each packet.
//!
//! Packets are taken in batches. What needs no disk leaves at once; the rest waits in the [`Ledger`], while the next batches
//! are answered.

mod desk;
mod ledger;
mod probe;
mod socket;

use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use boot::dhcp::{Arrival, Decision, Lease, Leases, Nodes, Reply, View, decide, proxy};
use model::Conf;
use model::conf::DhcpMode;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use wire::dhcp::Question;
use wire::frame::ArpSender;

use crate::cluster::{Cluster, Shared};
use crate::serve::Shutdown;
use crate::serve::link::{Changes, Link, Links};
use crate::store::leases::LeaseFile;
use desk::{Desk, Letter, Outbox, release};
use ledger::{Ledger, Written};
use probe::Probes;
use socket::{BOOT_PORT, Frames, Incoming, Port, SERVER_PORT, deliver};

/// Packets that one batch holds at most.
const BATCH: usize = 512;
/// Packets that wait for their batch; what comes then is dropped, as a full network drops it, and clients ask again.
const WAITING: usize = 8192;

/// Everything that was opened before the daemon serves.
#[derive(Debug)]
pub struct Sockets {
    /// What they were opened for.
    basis: Basis,
    doors: Vec<Arc<Door>>,
    links: Links,
    changes: Changes,
}

/// What of the configuration the sockets depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Basis {
    mode: DhcpMode,
    ipaddr: Option<Ipv4Addr>,
    netmask: Option<Ipv4Addr>,
}

impl Basis {
    fn of(conf: &Conf) -> Basis {
        let mode = if conf.dhcp.enabled { conf.dhcp.mode } else { DhcpMode::External };
        Basis { mode, ipaddr: conf.ipaddr, netmask: conf.netmask }
    }
}

/// The sockets of one interface.
#[derive(Debug)]
struct Door {
    link: Link,
    server: Port,
    boot: Option<Port>,
    frames: Option<Frames>,
}

/// Opens the ports on every interface that is to be served; none when the mode is external.
///
/// # Errors
/// When a port is taken or a right is missing; the message says what to do.
pub fn bind(conf: &Conf) -> anyhow::Result<Sockets> {
    let basis = Basis::of(conf);
    // Before the look, so that nothing changes in between unheard.
    let changes = Changes::listen()?;
    let links = if basis.mode == DhcpMode::External { Links::default() } else { Links::look(conf)? };
    let mut doors = Vec::new();
    for link in &links.served {
        let proxy = basis.mode == DhcpMode::Proxy;
        doors.push(Arc::new(Door {
            link: link.clone(),
            server: Port::bind(link, SERVER_PORT)?,
            boot: if proxy { Some(Port::bind(link, BOOT_PORT)?) } else { None },
            frames: Frames::open(link, !proxy)?,
        }));
        tracing::info!("dhcp: {} on {} ({}/{})", word(basis.mode), link.name, link.address, link.prefix);
    }
    if doors.is_empty() && basis.mode != DhcpMode::External {
        tracing::warn!(
            "dhcp: no interface has an address of ipaddr's network (warewulf.conf, ipaddr); waiting for one"
        );
    }
    Ok(Sockets { basis, doors, links, changes })
}

/// Answers until shutdown. Other interfaces or another mode are taken up as they come.
///
/// # Errors
/// When the leases cannot be read.
pub async fn run(mut sockets: Sockets, shared: Shared, shutdown: Shutdown) -> io::Result<()> {
    let mut kept: Option<Desk> = None;
    loop {
        let cluster = shared.fresh().await;
        let mut desk = match (sockets.basis.mode, kept.take()) {
            (DhcpMode::Internal, Some(desk)) => desk,
            (DhcpMode::Internal, None) => Desk::open(&cluster).await?,
            (DhcpMode::Proxy | DhcpMode::External, _) => Desk::without_leases(&cluster),
        };
        desk.own.clone_from(&sockets.links.own);
        // Serving may last for many generations; this one need not stay in memory for it.
        drop(cluster);
        if serve(&sockets, &mut desk, &shared, &shutdown).await == Ended::Shutdown {
            return Ok(());
        }
        desk.probes = Probes::default();
        kept = Some(desk).filter(|desk| desk.ledger.is_some());
        let Some(others) = rebind(sockets, &shared, &shutdown).await else { return Ok(()) };
        sockets = others;
    }
}

/// Opens the sockets anew, and goes on trying while that fails: an interface may be half up.
async fn rebind(old: Sockets, shared: &Shared, shutdown: &Shutdown) -> Option<Sockets> {
    // A port must be free before it is bound again.
    drop(old);
    loop {
        match bind(&shared.fresh().await.site.conf) {
            Ok(sockets) => return Some(sockets),
            Err(error) => tracing::error!("dhcp: {error:#}; trying again"),
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(2)) => {}
            () = shutdown.requested() => return None,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Ended {
    Shutdown,
    /// Interfaces or configuration are others now.
    Changed,
}

#[derive(Debug)]
enum Event {
    Packet(Incoming),
    Arp(u32, ArpSender),
    Broken(io::Error),
}

/// One spell with one set of sockets.
async fn serve(sockets: &Sockets, desk: &mut Desk, shared: &Shared, shutdown: &Shutdown) -> Ended {
    let (sender, events) = mpsc::channel(WAITING);
    let mut ears = JoinSet::new();
    for door in &sockets.doors {
        ears.spawn(listen(door.clone(), sender.clone()));
    }
    drop(sender);
    let ended = answer(sockets, desk, events, shared, shutdown).await;
    desk.settle().await;
    // Each holds its door open, and the port is to be bound again.
    ears.shutdown().await;
    ended
}

async fn answer(
    sockets: &Sockets,
    desk: &mut Desk,
    mut events: mpsc::Receiver<Event>,
    shared: &Shared,
    shutdown: &Shutdown,
) -> Ended {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let due = desk.probes.next_deadline();
        tokio::select! {
            taken = events.recv_many(&mut batch, BATCH), if !sockets.doors.is_empty() => {
                if taken == 0 {
                    return Ended::Changed;
                }
            }
            () = probe::sleep_until(due) => {}
            written = written(desk.ledger.as_mut()) => {
                release(written);
                desk.write_on();
                continue;
            }
            changed = sockets.changes.next() => {
                if changed.is_err() || !desk.is_same_links(sockets, &shared.current()) {
                    return Ended::Changed;
                }
            }
            () = shared.changed(desk.generation) => {}
            () = shutdown.requested() => return Ended::Shutdown,
        }
        let cluster = shared.fresh().await;
        if Basis::of(&cluster.site.conf) != sockets.basis {
            return Ended::Changed;
        }
        desk.refresh(&cluster);
        let mut out = Outbox::default();
        for event in batch.drain(..) {
            match event {
                Event::Packet(incoming) => desk.packet(sockets, &cluster, incoming, &mut out),
                Event::Arp(interface, sender) => desk.claimed(sockets, &cluster, interface, sender, &mut out),
                Event::Broken(error) => tracing::error!("dhcp: {error}"),
            }
        }
        desk.probes_due(sockets, &cluster, &mut out);
        desk.close(sockets, out);
    }
}

async fn written(ledger: Option<&mut Ledger<Letter>>) -> Written<Letter> {
    match ledger {
        Some(ledger) => ledger.written().await,
        None => std::future::pending().await,
    }
}

/// Brings what one interface hears.
async fn listen(door: Arc<Door>, events: mpsc::Sender<Event>) {
    loop {
        let event = tokio::select! {
            packet = door.server.receive() => packet.map(Event::Packet),
            packet = from(door.boot.as_ref()) => packet.map(Event::Packet),
            claim = heard(door.frames.as_ref()) => claim.map(|sender| Event::Arp(door.link.index, sender)),
        };
        let is_broken = event.is_err();
        if events.send(event.unwrap_or_else(Event::Broken)).await.is_err() {
            return;
        }
        if is_broken {
            // What does not pass must not fill the log.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

async fn from(port: Option<&Port>) -> io::Result<Incoming> {
    match port {
        Some(port) => port.receive().await,
        None => std::future::pending().await,
    }
}

async fn heard(frames: Option<&Frames>) -> io::Result<ArpSender> {
    match frames {
        Some(frames) => frames.hear().await,
        None => std::future::pending().await,
    }
}

fn word(mode: DhcpMode) -> &'static str {
    match mode {
        DhcpMode::Internal => "serving",
        DhcpMode::Proxy => "proxy",
        DhcpMode::External => "off",
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
