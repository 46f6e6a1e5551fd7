//! The DHCP server that hands out addresses (`dhcp: mode: internal`).

use std::net::Ipv4Addr;

use wire::dhcp::{Answer, AnswerKind, ClientClass, PxeControl, Question, QuestionKind};

use super::{Arrival, BootFile, Client, Decision, Known, Lease, Reason, Refusal, Reply, State, To, View, boot_file};

/// Seconds that a node's own address is lent for.
const NODE_LEASE: u32 = 86_400;
/// Seconds that an address of the range is lent for.
const RANGE_LEASE: u32 = 3_600;
/// Seconds that an offer is kept; PXE ROMs take up to half a minute to choose.
const OFFER_KEPT: u64 = 60;
/// Seconds that a declined or taken address is not tried again.
const AVOIDED: u64 = 3_600;
/// Seconds that an address is kept while the link is asked; longer than that takes.
const ASKING: u64 = 3;

/// Answers a question as the server of the link's addresses.
pub fn decide(question: &Question, arrival: Arrival<'_>, view: View<'_>) -> Decision {
    let link = match Link::of(question, arrival, view) {
        Ok(link) => link,
        Err(reason) => return Decision::Silent(reason),
    };
    let desk = Desk { question, arrival, view, link };
    match question.kind {
        QuestionKind::Discover => desk.discover(),
        QuestionKind::Request => desk.request(),
        QuestionKind::Decline => desk.decline(),
        QuestionKind::Release => desk.release(),
        QuestionKind::Inform => desk.inform(),
    }
}

/// Lease entry for an address that answered when it was asked for.
impl Lease {
    /// Somebody who is not the asking client has the address.
    pub fn taken(address: Ipv4Addr, by: Client, now: u64) -> Lease {
        Lease { address, client: by, state: State::Taken, until: now + AVOIDED }
    }
}

/// The network that the client is on.
#[derive(Clone, Copy, Debug)]
struct Link {
    /// An address of it: ours, or the relay's.
    address: Ipv4Addr,
    netmask: Ipv4Addr,
}

impl Link {
    fn of(question: &Question, arrival: Arrival<'_>, view: View<'_>) -> Result<Link, Reason> {
        let giaddr = question.giaddr;
        let ours = Link { address: arrival.server, netmask: mask(arrival.prefix) };
        if giaddr.is_unspecified() || ours.holds(giaddr) {
            return Ok(ours);
        }
        // A relayed network is one that ipaddr's network or the asking node's own device describes.
        let conf = view.conf;
        let site = conf.ipaddr.zip(conf.netmask).map(|(address, netmask)| Link { address, netmask });
        let device = view.nodes.asking(question).and_then(|known| {
            let netmask = known.netmask.or(conf.netmask)?;
            Some(Link { address: known.address?, netmask })
        });
        let found = [site, device].into_iter().flatten().find(|link| link.holds(giaddr));
        found.map(|link| Link { address: giaddr, ..link }).ok_or(Reason::UnknownNetwork(giaddr))
    }

    fn holds(self, address: Ipv4Addr) -> bool {
        address.to_bits() & self.netmask.to_bits() == self.address.to_bits() & self.netmask.to_bits()
    }

    fn broadcast(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.address.to_bits() | !self.netmask.to_bits())
    }

    /// Neither the network itself nor everybody in it.
    fn has_host(self, address: Ipv4Addr) -> bool {
        let host = address.to_bits() & !self.netmask.to_bits();
        self.holds(address) && (self.netmask.to_bits() >= u32::MAX - 1 || (host != 0 && address != self.broadcast()))
    }
}

/// What a client may have.
enum Entitled<'a> {
    /// A node's own address.
    Own(&'a Known, Ipv4Addr),
    /// An address of the range: first and last of it.
    Range(Ipv4Addr, Ipv4Addr),
    Nothing(Reason),
}

/// Everything at hand while one question is answered.
struct Desk<'a> {
    question: &'a Question,
    arrival: Arrival<'a>,
    view: View<'a>,
    link: Link,
}

impl<'a> Desk<'a> {
    fn discover(&self) -> Decision {
        match self.entitled() {
            Entitled::Own(known, address) => Decision::Offer(self.reply(AnswerKind::Offer, address, Some(known), None)),
            Entitled::Nothing(reason) => Decision::Silent(reason),
            Entitled::Range(start, end) => {
                let Some((address, sure)) = self.range_address(start, end) else {
                    return Decision::Silent(Reason::RangeFull);
                };
                if !sure && !self.is_sure(address) {
                    return self.probe(address);
                }
                let lease =
                    Lease { address, client: self.client(), state: State::Offered, until: self.view.now + OFFER_KEPT };
                // An offer must not shorten what the client holds.
                let lease = if sure { None } else { Some(lease) };
                Decision::Offer(self.reply(AnswerKind::Offer, address, self.known(), lease))
            }
        }
    }

    /// RFC 2131, 4.3.2, tells by these fields which of four states the client is in.
    fn request(&self) -> Decision {
        let question = self.question;
        match (question.server, question.requested, question.ciaddr) {
            (Some(server), _, _) if !self.arrival.own.contains(&server) && server != self.arrival.server => {
                Decision::Silent(Reason::ChoseAnother(server))
            }
            // SELECTING; clients that put the address into ciaddr instead are taken at their word.
            (Some(_), Some(asked), _) => self.grant(asked, Wanted::Selecting),
            (Some(_), None, asked) if !asked.is_unspecified() => self.grant(asked, Wanted::Selecting),
            (None, Some(asked), ciaddr) if ciaddr.is_unspecified() => self.grant(asked, Wanted::InitReboot),
            (None, _, asked) if !asked.is_unspecified() => {
                self.grant(asked, if self.arrival.unicast { Wanted::Renewing } else { Wanted::Rebinding })
            }
            _ => Decision::Silent(Reason::NoAddress),
        }
    }

    fn grant(&self, asked: Ipv4Addr, wanted: Wanted) -> Decision {
        let entitled = self.entitled();
        // A stranger who gets nothing here may be somebody else's client on the same wire: not even a NAK.
        if let Entitled::Nothing(reason) = entitled {
            return Decision::Silent(reason);
        }
        if !self.link.holds(asked) {
            return self.nak(Refusal::WrongNetwork(asked));
        }
        match entitled {
            Entitled::Own(known, own) if own == asked => {
                Decision::Ack(self.reply(AnswerKind::Ack, own, Some(known), None))
            }
            Entitled::Own(_, own) => self.nak(Refusal::NotYours { asked, yours: Some(own) }),
            Entitled::Range(start, end) => self.grant_of_range(asked, wanted, start, end),
            Entitled::Nothing(reason) => Decision::Silent(reason),
        }
    }

    fn grant_of_range(&self, asked: Ipv4Addr, wanted: Wanted, start: Ipv4Addr, end: Ipv4Addr) -> Decision {
        let refused = Refusal::NotYours { asked, yours: None };
        if !(start..=end).contains(&asked) || self.is_forbidden(asked) {
            return self.nak(refused);
        }
        let client = self.client();
        let leases = self.view.leases;
        if leases.at(asked).is_some_and(|lease| lease.client == client && self.is_kept(lease)) {
            return self.bind(asked);
        }
        let held = leases.at(asked).is_some_and(|lease| lease.client != client && lease.holds(self.view.now));
        if held || leases.of(&client).is_some_and(|lease| lease.address != asked) {
            return self.nak(refused);
        }
        match wanted {
            // It is nobody's, and the client has it from us: before a restart, or before the file of leases was lost.
            Wanted::Selecting | Wanted::Renewing if self.is_sure(asked) => self.bind(asked),
            Wanted::Selecting | Wanted::Renewing => self.probe(asked),
            Wanted::InitReboot | Wanted::Rebinding => Decision::Silent(Reason::NoRecord(asked)),
        }
    }

    /// Nobody answered for the address. What a relay stands before cannot be asked for from here.
    fn is_sure(&self, address: Ipv4Addr) -> bool {
        self.arrival.free == Some(address) || !self.question.giaddr.is_unspecified()
    }

    fn probe(&self, address: Ipv4Addr) -> Decision {
        let until = self.view.now + ASKING;
        Decision::Probe(Lease { address, client: self.client(), state: State::Asking, until })
    }

    fn bind(&self, address: Ipv4Addr) -> Decision {
        let until = self.view.now + u64::from(RANGE_LEASE);
        let lease = Lease { address, client: self.client(), state: State::Bound, until };
        Decision::Ack(self.reply(AnswerKind::Ack, address, self.known(), Some(lease)))
    }

    fn decline(&self) -> Decision {
        let Some(address) = self.question.requested else { return Decision::Silent(Reason::NoAddress) };
        if self.known().is_some_and(|known| known.address == Some(address)) {
            return Decision::Silent(Reason::DeclinedOwn(address));
        }
        self.theirs(address).map_or(Decision::Silent(Reason::NotTheirs(address)), |lease| {
            Decision::Note(Lease { state: State::Declined, until: self.view.now + AVOIDED, ..lease })
        })
    }

    fn release(&self) -> Decision {
        let address = self.question.ciaddr;
        if self.known().is_some_and(|known| known.address == Some(address)) {
            return Decision::Silent(Reason::ReleasedOwn(address));
        }
        self.theirs(address).map_or(Decision::Silent(Reason::NotTheirs(address)), |lease| {
            Decision::Note(Lease { state: State::Released, until: self.view.now, ..lease })
        })
    }

    /// The client has an address by other means and wants the rest (RFC 2131, 4.3.5).
    fn inform(&self) -> Decision {
        if self.question.ciaddr.is_unspecified() {
            return Decision::Silent(Reason::NoAddress);
        }
        let mut reply = match self.entitled() {
            Entitled::Nothing(reason) => return Decision::Silent(reason),
            Entitled::Own(known, own) => self.reply(AnswerKind::Ack, own, Some(known), None),
            Entitled::Range(..) => self.reply(AnswerKind::Ack, Ipv4Addr::UNSPECIFIED, self.known(), None),
        };
        reply.answer.lease = None;
        reply.answer.yiaddr = Ipv4Addr::UNSPECIFIED;
        reply.answer.ciaddr = self.question.ciaddr;
        reply.to = To::Client(self.question.ciaddr);
        Decision::Ack(reply)
    }

    fn nak(&self, refusal: Refusal) -> Decision {
        let mut answer = Answer::to(self.question, AnswerKind::Nak, self.arrival.server);
        answer.message = refusal.to_string();
        // RFC 2131, 4.3.2: the client may not have the address that a unicast would go to.
        answer.broadcast |= !answer.giaddr.is_unspecified();
        let to = if answer.giaddr.is_unspecified() { To::Everybody } else { To::Relay(answer.giaddr) };
        let node = self.known().map(|known| known.node.clone());
        Decision::Nak(Box::new(Reply { answer, to, lease: None, node, file: BootFile::NotAsked }), refusal)
    }

    fn reply(&self, kind: AnswerKind, address: Ipv4Addr, known: Option<&Known>, lease: Option<Lease>) -> Box<Reply> {
        let question = self.question;
        let own = known.filter(|known| known.address == Some(address));
        let mut answer = Answer::to(question, kind, self.arrival.server);
        answer.yiaddr = address;
        answer.ciaddr = if kind == AnswerKind::Ack { question.ciaddr } else { Ipv4Addr::UNSPECIFIED };
        let seconds = if own.is_some() { NODE_LEASE } else { RANGE_LEASE };
        answer.lease = Some(wire::dhcp::Lease { seconds });
        let netmask = own.and_then(|known| known.netmask).unwrap_or(self.link.netmask);
        answer.netmask = Some(netmask);
        let net = Link { address: if own.is_some() { address } else { self.link.address }, netmask };
        answer.broadcast_address = Some(net.broadcast());
        // Behind a relay nothing of ours is reached without a router, and the relay is one.
        let relay = Some(question.giaddr).filter(|relay| !relay.is_unspecified() && *relay != self.arrival.server);
        answer.router = own.and_then(|known| known.gateway).or(relay);
        if let Some(known) = known {
            answer.name_servers.clone_from(&known.name_servers);
            answer.host_name.clone_from(&known.node);
        }
        let file = boot_file(question, self.view.conf, self.arrival.server);
        put_file(&mut answer, question, &file, self.arrival.server);
        answer.ipxe_no_proxy = question.class() == ClientClass::Ipxe;
        let to = destination(question, address);
        Box::new(Reply { answer, to, lease, node: known.map(|known| known.node.clone()), file })
    }

    fn entitled(&self) -> Entitled<'a> {
        let known = self.known();
        if let Some(known) = known
            && let Some(address) = known.address
            && self.link.has_host(address)
        {
            return Entitled::Own(known, address);
        }
        let dhcp = &self.view.conf.dhcp;
        match (dhcp.range_start, dhcp.range_end) {
            (Some(start), Some(end)) if start <= end && self.link.holds(start) && self.link.holds(end) => {
                Entitled::Range(start, end)
            }
            _ => Entitled::Nothing(Reason::NoRange),
        }
    }

    /// The address of the range for the client, and whether it is the client's already.
    fn range_address(&self, start: Ipv4Addr, end: Ipv4Addr) -> Option<(Ipv4Addr, bool)> {
        let now = self.view.now;
        let leases = self.view.leases;
        let may = |address| !self.is_forbidden(address);
        let good = |address: Ipv4Addr| (start..=end).contains(&address) && may(address);
        if let Some(lease) = leases.of(&self.client()).filter(|lease| good(lease.address)) {
            return Some((lease.address, lease.holds(now) && lease.state != State::Asking));
        }
        let asked = self.question.requested.filter(|asked| good(*asked));
        if let Some(asked) = asked.filter(|asked| leases.at(*asked).is_none_or(|lease| !lease.holds(now))) {
            return Some((asked, false));
        }
        leases.pick(start, end, now, may).map(|address| (address, false))
    }

    /// Never a node's address, one of ours, the relay's, or one that no host can have.
    fn is_forbidden(&self, address: Ipv4Addr) -> bool {
        self.view.nodes.own(address)
            || self.arrival.own.contains(&address)
            || address == self.arrival.server
            || self.view.conf.ipaddr == Some(address)
            || address == self.question.giaddr
            || !self.link.has_host(address)
    }

    /// A released or expired lease is still its client's while nobody else took it.
    fn is_kept(&self, lease: &Lease) -> bool {
        matches!(lease.state, State::Offered | State::Bound | State::Released)
    }

    fn theirs(&self, address: Ipv4Addr) -> Option<Lease> {
        let client = self.client();
        self.view.leases.at(address).filter(|lease| lease.client == client && self.is_kept(lease)).cloned()
    }

    fn client(&self) -> Client {
        Client::asking(self.question)
    }

    fn known(&self) -> Option<&'a Known> {
        self.view.nodes.asking(self.question)
    }
}

/// The client's state when it requests (RFC 2131, 4.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Selecting,
    InitReboot,
    Renewing,
    Rebinding,
}

/// Everything in an answer that makes a machine boot.
pub(super) fn put_file(answer: &mut Answer, question: &Question, file: &BootFile, server: Ipv4Addr) {
    match file {
        BootFile::NotAsked | BootFile::Nothing(_) => return,
        BootFile::Script(_) => {}
        BootFile::Tftp(_) => {
            if question.class() == ClientClass::PxeClient {
                // Without the class a ROM waits for a proxyDHCP; with it and without option 43 it asks port 4011.
                answer.vendor_class = b"PXEClient".to_vec();
                answer.pxe = Some(PxeControl::FileIsHere);
            }
            answer.server_name = server.to_string();
        }
        // UEFI 2.10, 24.7.3.1: an offer without this class is no HTTP Boot offer.
        BootFile::Http(_) => answer.vendor_class = b"HTTPClient".to_vec(),
    }
    answer.siaddr = server;
    answer.file = file.text().into();
}

/// Where an OFFER or ACK goes.
fn destination(question: &Question, address: Ipv4Addr) -> To {
    if !question.giaddr.is_unspecified() {
        To::Relay(question.giaddr)
    } else if !question.ciaddr.is_unspecified() {
        To::Client(question.ciaddr)
    } else if question.broadcast || question.hardware.mac().is_none() {
        To::Everybody
    } else {
        To::Hardware(address)
    }
}

fn mask(prefix: u8) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0))
}
