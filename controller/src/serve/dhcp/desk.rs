//! Desk: what decisions go by while packets are answered (nodes, leases, probes), and what is under way: letters that
//! leave at once, and letters that wait until their leases are on disk.

use super::*;

/// What a batch came to, not yet sent.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub(super) now: Vec<Letter>,
    /// To be sent when `leases` are on disk.
    pub(super) after: Vec<Letter>,
    pub(super) leases: Vec<Lease>,
}

#[derive(Debug)]
pub(super) struct Letter {
    pub(super) door: Arc<Door>,
    pub(super) incoming: Incoming,
    pub(super) reply: Box<Reply>,
    pub(super) max_size: Option<u16>,
    pub(super) line: String,
}

/// Everything that decisions go by, and what is under way.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) generation: u64,
    pub(super) nodes: Nodes,
    /// Every address of this machine.
    pub(super) own: Vec<Ipv4Addr>,
    pub(super) leases: Leases,
    pub(super) ledger: Option<Ledger<Letter>>,
    pub(super) probes: Probes,
}

impl Desk {
    pub(super) fn without_leases(cluster: &Cluster) -> Desk {
        let nodes = Nodes::new(&cluster.merged);
        let generation = cluster.generation;
        Desk { generation, nodes, own: Vec::new(), leases: Leases::default(), ledger: None, probes: Probes::default() }
    }

    pub(super) async fn open(cluster: &Cluster) -> io::Result<Desk> {
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
    pub(super) fn is_same_links(&mut self, sockets: &Sockets, cluster: &Cluster) -> bool {
        if sockets.basis.mode == DhcpMode::External {
            return true;
        }
        let Ok(links) = Links::look(&cluster.site.conf) else { return false };
        self.own = links.own;
        links.served == sockets.links.served
    }

    pub(super) fn refresh(&mut self, cluster: &Cluster) {
        if cluster.generation != self.generation {
            self.generation = cluster.generation;
            self.nodes = Nodes::new(&cluster.merged);
            self.aim(&cluster.site.conf);
        }
    }

    pub(super) fn aim(&mut self, conf: &Conf) {
        if let Some(start) = conf.dhcp.range_start {
            self.leases.aim(start);
        }
    }

    pub(super) fn packet(&mut self, sockets: &Sockets, cluster: &Cluster, incoming: Incoming, out: &mut Outbox) {
        match Question::decode(&incoming.bytes) {
            Ok(question) => self.answer(sockets, cluster, incoming, &question, None, out),
            Err(fault) => tracing::info!("dhcp: packet of {} passed over: {fault}", incoming.from.ip()),
        }
    }

    pub(super) fn answer(
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
    pub(super) fn claimed(
        &mut self,
        sockets: &Sockets,
        cluster: &Cluster,
        interface: u32,
        sender: ArpSender,
        out: &mut Outbox,
    ) {
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
    pub(super) fn probes_due(&mut self, sockets: &Sockets, cluster: &Cluster, out: &mut Outbox) {
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
    pub(super) fn close(&mut self, sockets: &Sockets, out: Outbox) {
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
    pub(super) fn write_on(&mut self) {
        if let Some(ledger) = &mut self.ledger {
            ledger.start(&self.leases);
        }
    }

    /// Waits until all is written and answered.
    pub(super) async fn settle(&mut self) {
        self.write_on();
        while let Some(ledger) = self.ledger.as_mut().filter(|ledger| ledger.is_busy()) {
            release(ledger.written().await);
            self.write_on();
        }
    }
}

/// Sends what waited for the disk.
pub(super) fn release(written: Written<Letter>) {
    match written.result {
        Ok(()) => written.answers.iter().for_each(Letter::send),
        // Without a line on disk a restart would give the address to somebody else.
        Err(error) => tracing::error!(
            "dhcp: {} clients get no answer, their leases cannot be written: {error}. They ask again; make room",
            written.answers.len()
        ),
    }
}

impl Letter {
    pub(super) fn send(&self) {
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
