//! Questions of every class and architecture, and the states of RFC 2131, 4.3.2: whole packets.
#![allow(clippy::cast_possible_truncation, reason = "numbers of a test are made to be cut")]

mod packets;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use model::{NetDev, Node};
use proptest::prelude::*;
use wire::dhcp::AnswerKind;

use super::*;
use wire::dhcp::Question;

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 10, 0, 1);
const OWN: [Ipv4Addr; 2] = [SERVER, Ipv4Addr::new(192, 0, 2, 1)];
const N1: [u8; 6] = [0x52, 0x54, 0, 0x10, 0, 1];
const GUEST: [u8; 6] = [0x52, 0x54, 0, 0x99, 0, 9];

fn ip(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 10, 0, last)
}

fn conf() -> Conf {
    let mut conf = Conf { ipaddr: Some(SERVER), netmask: Some(Ipv4Addr::new(255, 255, 255, 0)), ..Conf::default() };
    conf.dhcp.range_start = Some(ip(100));
    conf.dhcp.range_end = Some(ip(110));
    conf
}

fn device(hwaddr: &str, address: Option<Ipv4Addr>) -> NetDev {
    NetDev { hwaddr: hwaddr.into(), ipaddr: address.map(IpAddr::V4), ..NetDev::default() }
}

fn node(name: &str, device: NetDev) -> Node {
    let mut node = Node { id: name.into(), ..Node::default() };
    node.profile.network_devices.insert("default".into(), device);
    node
}

/// n1 with a gateway and name servers; n2 has an address inside the range; n3 has none.
fn nodes() -> Nodes {
    let mut n1 = device("52:54:00:10:00:01", Some(ip(11)));
    n1.netmask = Some(IpAddr::from([255, 255, 0, 0]));
    n1.gateway = Some(IpAddr::from([10, 10, 0, 254]));
    n1.tags = [("DNS1", "9.9.9.9"), ("DNS2", "1.1.1.1"), ("DNSSEARCH", "example.org")]
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .into();
    Nodes::new(&[
        node("n1", n1),
        node("n2", device("52-54-00-10-00-0A", Some(ip(101)))),
        node("n3", device("52:54:00:10:00:03", None)),
    ])
}

/// A packet of a client: message type, hardware address, and options as bytes.
fn asked(kind: u8, mac: [u8; 6], options: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 236];
    bytes[..8].copy_from_slice(&[1, 1, 6, 0, 0xca, 0xfe, 0xba, 0xbe]);
    bytes[28..34].copy_from_slice(&mac);
    bytes.extend_from_slice(&[99, 130, 83, 99, 53, 1, kind]);
    bytes.extend_from_slice(options);
    bytes.push(255);
    bytes
}

/// What a PXE ROM adds (Intel's boot agent, EDK2).
fn rom(architecture: u8, class: &str) -> Vec<u8> {
    let text = format!("{class}:Arch:{architecture:05}:UNDI:003016");
    let mut options = vec![57, 2, 5, 192, 55, 9, 1, 3, 6, 12, 28, 43, 60, 66, 67, 97, 17, 0];
    options.extend_from_slice(&[0xab; 16]);
    options.extend_from_slice(&[94, 3, 1, 3, 16, 93, 2, 0, architecture, 60, text.len() as u8]);
    options.extend_from_slice(text.as_bytes());
    options
}

/// What iPXE adds.
fn ipxe(architecture: u8) -> Vec<u8> {
    let mut options = rom(architecture, "PXEClient");
    options.extend_from_slice(b"\x4d\x04iPXE");
    // Encapsulated: the bus and card (177), what it can do (19, 33).
    options.extend_from_slice(&[175, 13, 177, 5, 1, 0x1a, 0xf4, 0x10, 0, 19, 1, 1, 33, 1, 1]);
    options.extend_from_slice(&[61, 7, 1, 0x52, 0x54, 0, 0x10, 0, 1]);
    options
}

/// A link with everything that a decision needs.
struct Bench {
    conf: Conf,
    nodes: Nodes,
    leases: Leases,
    now: u64,
    unicast: bool,
}

impl Bench {
    fn new() -> Bench {
        Bench { conf: conf(), nodes: nodes(), leases: Leases::default(), now: 1_000_000, unicast: false }
    }

    fn arrival(&self, free: Option<Ipv4Addr>) -> Arrival<'static> {
        Arrival { server: SERVER, prefix: 24, own: &OWN, unicast: self.unicast, free }
    }

    fn view(&self) -> View<'_> {
        View { conf: &self.conf, nodes: &self.nodes, leases: &self.leases, now: self.now }
    }

    fn first(&self, packet: &[u8]) -> (Question, Decision) {
        let question = Question::decode(packet).unwrap();
        let decision = decide(&question, self.arrival(None), self.view());
        (question, decision)
    }

    /// Decides as the server does: probes find nobody, leases are noted.
    fn answer(&mut self, packet: &[u8]) -> Decision {
        let (question, mut decision) = self.first(packet);
        if let Decision::Probe(lease) = decision {
            let address = lease.address;
            self.leases.put(lease);
            decision = decide(&question, self.arrival(Some(address)), self.view());
        }
        match &decision {
            Decision::Offer(reply) | Decision::Ack(reply) | Decision::Nak(reply, _) => {
                if let Some(lease) = &reply.lease {
                    self.leases.put(lease.clone());
                }
            }
            Decision::Note(lease) => self.leases.put(lease.clone()),
            Decision::Probe(_) | Decision::Silent(_) => {}
        }
        decision
    }

    /// The same as one line.
    fn told(&mut self, packet: &[u8]) -> String {
        let decision = self.answer(packet);
        decision.line(&Question::decode(packet).unwrap())
    }
}

fn probed(decision: Decision) -> Ipv4Addr {
    let Decision::Probe(lease) = decision else { panic!("{decision:?}") };
    assert_eq!(lease.state, State::Asking);
    lease.address
}

#[test]
fn a_node_is_offered_its_own_address_at_once() {
    let (_, decision) = Bench::new().first(&asked(1, N1, &[]));
    let Decision::Offer(reply) = decision else { panic!("{decision:?}") };
    assert_eq!((reply.answer.yiaddr, reply.to, reply.lease), (ip(11), To::Hardware(ip(11)), None));
}

#[test]
fn a_stranger_waits_until_the_link_was_asked() {
    let mut bench = Bench::new();
    let (question, decision) = bench.first(&asked(1, GUEST, &[]));
    assert_eq!(probed(decision), ip(100));
    // Somebody answers: the next address is asked for; n2 has .101.
    let other = Client::Hardware(wire::dhcp::Hardware::ethernet([2, 0, 0, 0, 0, 7]));
    bench.leases.put(Lease::taken(ip(100), other, bench.now));
    let decision = decide(&question, bench.arrival(None), bench.view());
    assert_eq!(probed(decision), ip(102));
    let Decision::Offer(reply) = decide(&question, bench.arrival(Some(ip(102))), bench.view()) else { panic!() };
    assert_eq!(reply.answer.yiaddr, ip(102));
    assert_eq!(reply.answer.lease, Some(wire::dhcp::Lease { seconds: 3600 }));
    assert_eq!(reply.answer.router, None);
}

#[test]
fn the_same_stranger_gets_the_same_address_again_without_asking_the_link() {
    let mut bench = Bench::new();
    let request = asked(3, GUEST, &[54, 4, 10, 10, 0, 1, 50, 4, 10, 10, 0, 100]);
    assert_eq!(bench.told(&asked(1, GUEST, &[])), "52:54:00:99:00:09 DISCOVER -> OFFER 10.10.0.100");
    assert_eq!(bench.told(&request), "52:54:00:99:00:09 REQUEST -> ACK 10.10.0.100");
    let held = bench.leases.at(ip(100)).unwrap().clone();
    assert_eq!((held.state, held.until), (State::Bound, bench.now + 3600));
    bench.now += 100;
    let (_, decision) = bench.first(&asked(1, GUEST, &[61, 2, 0, 9]));
    let Decision::Offer(reply) = decision else { panic!("{decision:?}") };
    assert_eq!((reply.answer.yiaddr, reply.lease), (ip(100), None), "an offer does not shorten the lease");
}

#[test]
fn an_address_that_was_asked_for_is_given_when_it_is_free() {
    let mut bench = Bench::new();
    let line = bench.told(&asked(1, GUEST, &[50, 4, 10, 10, 0, 105]));
    assert_eq!(line, "52:54:00:99:00:09 DISCOVER -> OFFER 10.10.0.105");
    for (asked_for, why) in [(101, "a node's"), (1, "ours"), (105, "kept for another"), (200, "outside")] {
        let line = bench.told(&asked(1, [2, 0, 0, 0, 0, asked_for], &[50, 4, 10, 10, 0, asked_for]));
        assert!(
            line.ends_with("OFFER 10.10.0.100")
                || line.ends_with("OFFER 10.10.0.102")
                || line.ends_with("OFFER 10.10.0.103")
                || line.ends_with("OFFER 10.10.0.104"),
            "{why}: {line}"
        );
    }
}

#[test]
fn selecting_is_granted_what_was_offered_and_nothing_else() {
    let mut bench = Bench::new();
    let select = |mac, last: u8| asked(3, mac, &[54, 4, 10, 10, 0, 1, 50, 4, 10, 10, 0, last]);
    assert_eq!(bench.told(&select(N1, 11)), "52:54:00:10:00:01 REQUEST -> ACK 10.10.0.11 (node n1)");
    assert_eq!(
        bench.told(&select(N1, 12)),
        "52:54:00:10:00:01 REQUEST -> NAK (node n1): 10.10.0.12 is not yours, 10.10.0.11 is"
    );
    let _ = bench.answer(&asked(1, GUEST, &[]));
    assert_eq!(bench.told(&select(GUEST, 103)), "52:54:00:99:00:09 REQUEST -> NAK: 10.10.0.103 is not yours");
    assert_eq!(bench.told(&select(GUEST, 101)), "52:54:00:99:00:09 REQUEST -> NAK: 10.10.0.101 is not yours");
    assert_eq!(
        bench.told(&select([2, 0, 0, 0, 0, 2], 100)),
        "02:00:00:00:00:02 REQUEST -> NAK: 10.10.0.100 is not yours"
    );
    assert_eq!(bench.told(&select(GUEST, 100)), "52:54:00:99:00:09 REQUEST -> ACK 10.10.0.100");
}

#[test]
fn an_offer_that_a_restart_forgot_is_still_good_when_nobody_has_the_address() {
    let mut bench = Bench::new();
    let request = asked(3, GUEST, &[54, 4, 10, 10, 0, 1, 50, 4, 10, 10, 0, 104]);
    assert_eq!(probed(bench.first(&request).1), ip(104));
    assert_eq!(bench.told(&request), "52:54:00:99:00:09 REQUEST -> ACK 10.10.0.104");
}

#[test]
fn another_servers_offer_was_taken() {
    let line = Bench::new().told(&asked(3, N1, &[54, 4, 10, 10, 0, 2, 50, 4, 10, 10, 0, 11]));
    assert_eq!(line, "52:54:00:10:00:01 REQUEST -> no answer: it took the offer of 10.10.0.2");
}

#[test]
fn init_reboot_is_confirmed_refused_or_left_to_others() {
    let mut bench = Bench::new();
    let reboot = |mac, address: [u8; 4]| asked(3, mac, &[&[50, 4][..], &address].concat());
    assert_eq!(bench.told(&reboot(N1, [10, 10, 0, 11])), "52:54:00:10:00:01 REQUEST -> ACK 10.10.0.11 (node n1)");
    assert_eq!(
        bench.told(&reboot(N1, [10, 10, 0, 100])),
        "52:54:00:10:00:01 REQUEST -> NAK (node n1): 10.10.0.100 is not yours, 10.10.0.11 is"
    );
    assert_eq!(
        bench.told(&reboot(GUEST, [192, 168, 1, 5])),
        "52:54:00:99:00:09 REQUEST -> NAK: 192.168.1.5 is not an address of this network"
    );
    assert_eq!(
        bench.told(&reboot(GUEST, [10, 10, 0, 100])),
        "52:54:00:99:00:09 REQUEST -> no answer: nothing is known here of its lease of 10.10.0.100"
    );
    assert_eq!(
        bench.told(&reboot(GUEST, [10, 10, 0, 11])),
        "52:54:00:99:00:09 REQUEST -> NAK: 10.10.0.11 is not yours"
    );
    assert_eq!(bench.told(&asked(3, GUEST, &[])), "52:54:00:99:00:09 REQUEST -> no answer: it names no address");
}

#[test]
fn renewing_is_extended_and_answered_to_the_address() {
    let mut bench = Bench::new();
    let _ = bench.answer(&asked(1, GUEST, &[]));
    let _ = bench.answer(&asked(3, GUEST, &[54, 4, 10, 10, 0, 1, 50, 4, 10, 10, 0, 100]));
    bench.now += 1800;
    bench.unicast = true;
    let mut renew = asked(3, GUEST, &[]);
    renew[12..16].copy_from_slice(&[10, 10, 0, 100]);
    let Decision::Ack(reply) = bench.answer(&renew) else { panic!() };
    assert_eq!((reply.to, reply.answer.ciaddr), (To::Client(ip(100)), ip(100)));
    assert_eq!(bench.leases.at(ip(100)).unwrap().until, bench.now + 3600);

    // Somebody else, rebinding to what is not known: silence. Renewing at us: we gave it, before our file was lost.
    let mut other = asked(3, [2, 0, 0, 0, 0, 2], &[]);
    other[12..16].copy_from_slice(&[10, 10, 0, 107]);
    bench.unicast = false;
    assert!(bench.told(&other).contains("no answer: nothing is known"));
    bench.unicast = true;
    assert_eq!(bench.told(&other), "02:00:00:00:00:02 REQUEST -> ACK 10.10.0.107");
}

#[test]
fn a_declined_address_is_not_given_to_anybody_for_an_hour() {
    let mut bench = Bench::new();
    let _ = bench.answer(&asked(1, GUEST, &[]));
    let _ = bench.answer(&asked(3, GUEST, &[54, 4, 10, 10, 0, 1, 50, 4, 10, 10, 0, 100]));
    let decline = asked(4, GUEST, &[54, 4, 10, 10, 0, 1, 50, 4, 10, 10, 0, 100]);
    let stranger = asked(4, [2, 0, 0, 0, 0, 2], &[54, 4, 10, 10, 0, 1, 50, 4, 10, 10, 0, 100]);
    assert_eq!(bench.told(&stranger), "02:00:00:00:00:02 DECLINE -> no answer: 10.10.0.100 was not its");
    assert_eq!(bench.told(&decline), "52:54:00:99:00:09 DECLINE -> 10.10.0.100 is declined");
    assert_eq!(bench.told(&asked(1, GUEST, &[])), "52:54:00:99:00:09 DISCOVER -> OFFER 10.10.0.102");
    assert_eq!(
        bench.told(&asked(1, [2, 0, 0, 0, 0, 2], &[50, 4, 10, 10, 0, 100])),
        "02:00:00:00:00:02 DISCOVER -> OFFER 10.10.0.103"
    );
    let own = asked(4, N1, &[54, 4, 10, 10, 0, 1, 50, 4, 10, 10, 0, 11]);
    assert_eq!(
        bench.told(&own),
        "52:54:00:10:00:01 DECLINE -> no answer: somebody else uses 10.10.0.11, which is the node's own"
    );
}

#[test]
fn a_released_address_stays_in_mind_for_its_client_until_it_is_needed() {
    let mut bench = Bench::new();
    let _ = bench.answer(&asked(1, GUEST, &[]));
    let _ = bench.answer(&asked(3, GUEST, &[54, 4, 10, 10, 0, 1, 50, 4, 10, 10, 0, 100]));
    let mut release = asked(7, GUEST, &[54, 4, 10, 10, 0, 1]);
    release[12..16].copy_from_slice(&[10, 10, 0, 100]);
    assert_eq!(bench.told(&release), "52:54:00:99:00:09 RELEASE -> 10.10.0.100 is released");
    assert_eq!(bench.told(&asked(1, [2, 0, 0, 0, 0, 2], &[])), "02:00:00:00:00:02 DISCOVER -> OFFER 10.10.0.102");
    assert_eq!(bench.told(&asked(1, GUEST, &[])), "52:54:00:99:00:09 DISCOVER -> OFFER 10.10.0.100");
}

#[test]
fn a_full_range_says_so_and_takes_what_is_longest_over() {
    let mut bench = Bench::new();
    bench.leases.aim(ip(100));
    for last in 0..10u8 {
        let _ = bench.answer(&asked(1, [2, 0, 0, 0, 0, last], &[]));
        bench.now += 1;
    }
    let late = asked(1, [2, 0, 0, 0, 1, 0], &[]);
    assert_eq!(bench.told(&late), "02:00:00:00:01:00 DISCOVER -> no answer: all addresses of dhcp: range are taken");
    bench.now += 52;
    assert_eq!(bench.told(&late), "02:00:00:00:01:00 DISCOVER -> OFFER 10.10.0.100");
}

#[test]
fn an_empty_range_serves_nobody_but_nodes() {
    let mut bench = Bench::new();
    bench.conf.dhcp.range_start = None;
    assert!(bench.told(&asked(1, GUEST, &[])).contains("no answer: no node has this address"));
    assert!(bench.told(&asked(3, GUEST, &[50, 4, 192, 168, 1, 5])).contains("no answer"), "another server's client");
    assert!(bench.told(&asked(1, N1, &[])).contains("OFFER 10.10.0.11"));
}

#[test]
fn a_node_without_address_boots_from_the_range_under_its_name() {
    let line = Bench::new().told(&asked(1, [0x52, 0x54, 0, 0x10, 0, 3], &ipxe(0)));
    assert!(line.starts_with("52:54:00:10:00:03 DISCOVER -> OFFER 10.10.0.100 (node n3) file http://"), "{line}");
}

#[test]
fn a_node_whose_address_is_of_another_network_gets_one_of_the_range() {
    let mut bench = Bench::new();
    bench.nodes = Nodes::new(&[node("far", device("52:54:00:10:00:01", Some(Ipv4Addr::new(172, 16, 0, 9))))]);
    assert_eq!(bench.told(&asked(1, N1, &[])), "52:54:00:10:00:01 DISCOVER -> OFFER 10.10.0.100 (node far)");
}

#[test]
fn behind_a_relay_a_node_of_that_network_is_served_and_nobody_else() {
    let mut bench = Bench::new();
    let mut far = device("52:54:00:10:00:01", Some(Ipv4Addr::new(172, 16, 0, 9)));
    far.netmask = Some(IpAddr::from([255, 255, 255, 0]));
    bench.nodes = Nodes::new(&[node("far", far)]);
    let relayed = |mac| {
        let mut packet = asked(1, mac, &[]);
        packet[24..28].copy_from_slice(&[172, 16, 0, 1]);
        packet
    };
    let Decision::Offer(reply) = bench.answer(&relayed(N1)) else { panic!() };
    assert_eq!(reply.to, To::Relay(Ipv4Addr::new(172, 16, 0, 1)));
    assert_eq!(reply.answer.yiaddr, Ipv4Addr::new(172, 16, 0, 9));
    assert_eq!(reply.answer.router, Some(Ipv4Addr::new(172, 16, 0, 1)), "nothing of ours is reached without one");
    assert_eq!(
        bench.told(&relayed(GUEST)),
        "52:54:00:99:00:09 DISCOVER by relay 172.16.0.1 -> no answer: neither ipaddr's network nor a node's device is on the \
         network of the relay 172.16.0.1"
    );
}

#[test]
fn where_an_answer_goes_depends_on_what_the_client_can_take() {
    let to = |packet: Vec<u8>| match Bench::new().answer(&packet) {
        Decision::Offer(reply) | Decision::Ack(reply) | Decision::Nak(reply, _) => reply.to,
        other => panic!("{other:?}"),
    };
    assert_eq!(to(asked(1, N1, &[])), To::Hardware(ip(11)));
    let mut packet = asked(1, N1, &[]);
    packet[10] = 0x80;
    assert_eq!(to(packet), To::Everybody);
    let mut packet = asked(3, N1, &[]);
    packet[12..16].copy_from_slice(&[10, 10, 0, 11]);
    assert_eq!(to(packet), To::Client(ip(11)));
    assert_eq!(to(asked(3, N1, &[50, 4, 1, 2, 3, 4])), To::Everybody, "a NAK");
}

#[test]
fn an_infiniband_port_is_known_by_its_guid() {
    let mut bench = Bench::new();
    let hwaddr = "80:00:02:08:fe:80:00:00:00:00:00:00:00:02:c9:03:00:01:02:03";
    bench.nodes = Nodes::new(&[node("ib", device(hwaddr, Some(ip(12))))]);
    let mut packet = asked(1, [0; 6], &[61, 13, 255, 0, 0, 0, 0, 0, 2, 0, 2, 0xc9, 3, 0, 1]);
    packet.truncate(240);
    packet.extend_from_slice(&[53, 1, 1, 61, 13, 255, 0, 0, 0, 0, 0, 2, 0xc9, 3, 0, 1, 2, 3, 255]);
    packet[1..3].copy_from_slice(&[32, 0]);
    let Decision::Offer(reply) = bench.answer(&packet) else { panic!() };
    assert_eq!((reply.answer.yiaddr, reply.to), (ip(12), To::Everybody));
}

#[test]
fn of_two_nodes_with_one_address_the_later_by_cluster_and_name_has_it() {
    let mut first = node("a", device("52:54:00:10:00:01", Some(ip(20))));
    first.profile.cluster_name = "z".into();
    let nodes = Nodes::new(&[first, node("b", device("52:54:00:10:00:01", Some(ip(21))))]);
    let question = Question::decode(&asked(1, N1, &[])).unwrap();
    assert_eq!(nodes.asking(&question).unwrap().node, "a");
}

#[test]
fn a_client_is_read_back_from_the_lease_file() {
    let hardware = |kind, bytes: &[u8]| Client::Hardware(wire::dhcp::Hardware::new(kind, bytes).unwrap());
    for (client, text) in [
        (hardware(1, &N1), "52:54:00:10:00:01"),
        (hardware(6, &[1, 2]), "6/01:02"),
        (hardware(32, &[]), "32/-"),
        (Client::Id(vec![255, 0, 16]), "id/ff0010"),
    ] {
        assert_eq!(client.to_string(), text);
        assert_eq!(text.parse(), Ok(client));
    }
    for text in ["", "52:54:zz", "id/f\u{e9}", "x/01", "1/01:02:03:04:05:06:07:08:09:0a:0b:0c:0d:0e:0f:10:11"] {
        assert!(text.parse::<Client>().is_err(), "{text}");
    }
}

proptest! {
    /// Whatever clients do: no address has two holders, and none is a node's, ours, or outside of the range.
    #[test]
    fn no_address_is_ever_given_twice(events in proptest::collection::vec((0u8..6, 0u8..14, 95u8..115, 0u64..400), 1..300)) {
        let mut bench = Bench::new();
        bench.leases.aim(ip(100));
        let mut held: HashMap<Ipv4Addr, (u8, u64)> = HashMap::new();
        for (kind, client, last, later) in events {
            bench.now += later;
            let mac = [2, 0, 0, 0, 0, client];
            let mut packet = match kind {
                0 => asked(1, mac, &[]),
                1 => asked(1, mac, &[50, 4, 10, 10, 0, last]),
                2 => asked(3, mac, &[54, 4, 10, 10, 0, 1, 50, 4, 10, 10, 0, last]),
                3 => asked(3, mac, &[50, 4, 10, 10, 0, last]),
                4 => asked(7, mac, &[54, 4, 10, 10, 0, 1]),
                _ => asked(4, mac, &[54, 4, 10, 10, 0, 1, 50, 4, 10, 10, 0, last]),
            };
            if kind == 4 {
                packet[12..16].copy_from_slice(&[10, 10, 0, last]);
                if held.get(&ip(last)).is_some_and(|(holder, _)| *holder == client) {
                    held.remove(&ip(last));
                }
            }
            let decision = bench.answer(&packet);
            if let Decision::Ack(reply) | Decision::Offer(reply) = &decision {
                let address = reply.answer.yiaddr;
                prop_assert!((100..=110).contains(&address.octets()[3]) && address != ip(101));
                if let Some((holder, until)) = held.get(&address) {
                    prop_assert!(*holder == client || *until <= bench.now, "{address} is {holder}'s until {until}");
                }
                if reply.answer.kind == AnswerKind::Ack {
                    held.retain(|_, (holder, _)| *holder != client);
                    held.insert(address, (client, bench.now + 3600));
                }
            }
            if kind == 5 && matches!(decision, Decision::Note(_)) {
                held.remove(&ip(last));
            }
        }
    }
}
