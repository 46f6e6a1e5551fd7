//! DHCP, as the addresses' server (`dhcp: mode: internal`) or beside one (`proxy`): receive, let `boot::dhcp` decide, note
//! leases on disk, send. One line in the log for each packet.
//!
//! Packets are taken in batches. What needs no disk leaves at once; the rest waits in the [`Ledger`], while the next batches
//! are answered.

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

/// Sends what waited for the disk.
fn release(written: Written<Letter>) {
    match written.result {
        Ok(()) => written.answers.iter().for_each(Letter::send),
        // Without a line on disk a restart would give the address to somebody else.
        Err(error) => tracing::error!(
            "dhcp: {} clients get no answer, their leases cannot be written: {error}. They ask again; make room",
            written.answers.len()
        ),
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

/// What a batch came to, not yet sent.
#[derive(Debug, Default)]
struct Outbox {
    now: Vec<Letter>,
    /// To be sent when `leases` are on disk.
    after: Vec<Letter>,
    leases: Vec<Lease>,
}

#[derive(Debug)]
struct Letter {
    door: Arc<Door>,
    incoming: Incoming,
    reply: Box<Reply>,
    max_size: Option<u16>,
    line: String,
}

/// Everything that decisions go by, and what is under way.
#[derive(Debug)]
struct Desk {
    generation: u64,
    nodes: Nodes,
    /// Every address of this machine.
    own: Vec<Ipv4Addr>,
    leases: Leases,
    ledger: Option<Ledger<Letter>>,
    probes: Probes,
}

impl Desk {
    fn without_leases(cluster: &Cluster) -> Desk {
        let nodes = Nodes::new(&cluster.merged);
        let generation = cluster.generation;
        Desk { generation, nodes, own: Vec::new(), leases: Leases::default(), ledger: None, probes: Probes::default() }
    }

    async fn open(cluster: &Cluster) -> io::Result<Desk> {
        let path: PathBuf = cluster.site.conf.paths.localstatedir.join("warewulf/leases");
        let named = |error: io::Error| io::Error::new(error.kind(), format!("leases {}: {error}", path.display()));
        let at = path.clone();
        let opened =
            tokio::task::spawn_blocking(move || LeaseFile::open(&at, now())).await.map_err(io::Error::other)?;
        let (file, leases, complaints) = opened.map_err(named)?;
        for complaint in complaints {
            tracing::warn!("dhcp: {complaint}");
        }
        let mut desk = Desk { leases, ledger: Some(Ledger::new(file)), ..Desk::without_leases(cluster) };
        desk.aim(&cluster.site.conf);
        Ok(desk)
    }

    /// Whether the interfaces are those that the sockets are for. Addresses elsewhere on this machine may come and go.
    fn is_same_links(&mut self, sockets: &Sockets, cluster: &Cluster) -> bool {
        if sockets.basis.mode == DhcpMode::External {
            return true;
        }
        let Ok(links) = Links::look(&cluster.site.conf) else { return false };
        self.own = links.own;
        links.served == sockets.links.served
    }

    fn refresh(&mut self, cluster: &Cluster) {
        if cluster.generation != self.generation {
            self.generation = cluster.generation;
            self.nodes = Nodes::new(&cluster.merged);
            self.aim(&cluster.site.conf);
        }
    }

    fn aim(&mut self, conf: &Conf) {
        if let Some(start) = conf.dhcp.range_start {
            self.leases.aim(start);
        }
    }

    fn packet(&mut self, sockets: &Sockets, cluster: &Cluster, incoming: Incoming, out: &mut Outbox) {
        match Question::decode(&incoming.bytes) {
            Ok(question) => self.answer(sockets, cluster, incoming, &question, None, out),
            Err(fault) => tracing::info!("dhcp: packet of {} passed over: {fault}", incoming.from.ip()),
        }
    }

    fn answer(
        &mut self,
        sockets: &Sockets,
        cluster: &Cluster,
        incoming: Incoming,
        question: &Question,
        free: Option<Ipv4Addr>,
        out: &mut Outbox,
    ) {
        let Some(door) = sockets.doors.iter().find(|door| door.link.index == incoming.interface) else { return };
        if !cluster.usable {
            // Every node would look like a stranger, and be given a stranger's address.
            tracing::warn!("dhcp: {} gets no answer: nodes.conf cannot be read", question.hardware);
            return;
        }
        let arrival = Arrival {
            server: door.link.address,
            prefix: door.link.prefix,
            own: &self.own,
            unicast: incoming.unicast,
            free,
        };
        let view = View { conf: &cluster.site.conf, nodes: &self.nodes, leases: &self.leases, now: now() };
        let decision = match sockets.basis.mode {
            DhcpMode::Proxy => proxy(question, incoming.port == BOOT_PORT, arrival, view),
            DhcpMode::Internal | DhcpMode::External => decide(question, arrival, view),
        };
        let line = decision.line(question);
        match decision {
            Decision::Offer(reply) | Decision::Ack(reply) | Decision::Nak(reply, _) => {
                let letter = Letter { door: door.clone(), incoming, reply, max_size: question.max_size, line };
                let lease = letter.reply.lease.clone();
                let durable = lease.as_ref().is_some_and(Lease::is_durable);
                if let Some(lease) = lease {
                    self.leases.put(lease.clone());
                    out.leases.extend(durable.then_some(lease));
                }
                if durable { out.after.push(letter) } else { out.now.push(letter) }
            }
            Decision::Note(lease) => {
                tracing::info!("dhcp: {line}");
                self.leases.put(lease.clone());
                out.leases.push(lease);
            }
            Decision::Probe(lease) => {
                let address = lease.address;
                self.leases.put(lease);
                let is_new = self.probes.begin(address, incoming, question.clone(), Instant::now());
                match door.frames.as_ref().filter(|_| is_new).map(|frames| frames.probe(address)) {
                    Some(Err(error)) => tracing::warn!("dhcp: {line}: {error}"),
                    Some(Ok(())) => tracing::debug!("dhcp: {line}"),
                    None => {}
                }
            }
            // An operating system in a network that boots by proxy is no news.
            Decision::Silent(boot::dhcp::Reason::DoesNotBoot) => tracing::debug!("dhcp: {line}"),
            Decision::Silent(boot::dhcp::Reason::DeclinedOwn(_)) => tracing::warn!("dhcp: {line}"),
            Decision::Silent(_) => tracing::info!("dhcp: {line}"),
        }
    }

    /// Somebody says by ARP that an address is theirs.
    fn claimed(&mut self, sockets: &Sockets, cluster: &Cluster, interface: u32, sender: ArpSender, out: &mut Outbox) {
        let Some((incoming, question)) = self.probes.claimed(interface, sender) else { return };
        let by = wire::dhcp::Hardware::ethernet(sender.mac);
        tracing::warn!(
            "dhcp: {} is in use by {by}, which has no lease of it; not given to {}",
            sender.address,
            question.hardware
        );
        let taken = Lease::taken(sender.address, boot::dhcp::Client::Hardware(by), now());
        self.leases.put(taken.clone());
        out.leases.push(taken);
        self.answer(sockets, cluster, incoming, &question, None, out);
    }

    /// Nobody has answered in time.
    fn probes_due(&mut self, sockets: &Sockets, cluster: &Cluster, out: &mut Outbox) {
        for (interface, address) in self.probes.repeats(Instant::now()) {
            let door = sockets.doors.iter().find(|door| door.link.index == interface);
            if let Some(Err(error)) = door.and_then(|door| door.frames.as_ref()).map(|frames| frames.probe(address)) {
                tracing::warn!("dhcp: ARP for {address}: {error}");
            }
        }
        for (address, incoming, question) in self.probes.silent(Instant::now()) {
            self.answer(sockets, cluster, incoming, &question, Some(address), out);
        }
    }

    /// Sends of a batch what needs no disk; the rest waits for its leases.
    fn close(&mut self, sockets: &Sockets, out: Outbox) {
        debug_assert!(sockets.basis.mode == DhcpMode::Internal || out.leases.is_empty());
        out.now.iter().for_each(Letter::send);
        if out.leases.is_empty() {
            return;
        }
        if let Some(ledger) = &mut self.ledger {
            ledger.add(out.leases, out.after, &self.leases);
        }
    }

    /// Writes what came while the last write was under way.
    fn write_on(&mut self) {
        if let Some(ledger) = &mut self.ledger {
            ledger.start(&self.leases);
        }
    }

    /// Waits until all is written and answered.
    async fn settle(&mut self) {
        self.write_on();
        while let Some(ledger) = self.ledger.as_mut().filter(|ledger| ledger.is_busy()) {
            release(ledger.written().await);
            self.write_on();
        }
    }
}

impl Letter {
    fn send(&self) {
        let answer = &self.reply.answer;
        let encoded = answer.encode(self.max_size);
        let boot = self.door.boot.as_ref().filter(|_| self.incoming.port == BOOT_PORT);
        let port = boot.unwrap_or(&self.door.server);
        let frames = self.door.frames.as_ref();
        let sent =
            deliver(&self.door.link, port, frames, &encoded.bytes, self.reply.to, answer.hardware, self.incoming.from);
        match sent {
            Ok(()) if encoded.omitted.is_empty() => tracing::info!("dhcp: {}", self.line),
            Ok(()) => {
                tracing::info!("dhcp: {}, without options {:?}, for which it has no room", self.line, encoded.omitted)
            }
            Err(error) => tracing::warn!("dhcp: {}, but it could not be sent: {error}", self.line),
        }
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
