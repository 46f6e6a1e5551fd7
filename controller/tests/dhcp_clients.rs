//! DHCP with real clients, in network namespaces: dhclient, dhcping, dnsmasq as relay and as the foreign server.
#![allow(clippy::cast_possible_truncation, reason = "numbers of a test are made to be cut")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod net;

use std::collections::HashMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use net::{Dice, INTERNAL, NODES, net, seed};

const NODE: &str = "52:54:00:10:00:01";
const GUEST: &str = "52:54:00:99:00:09";

/// A packet of a client that takes broadcasts: message type, hardware address, options as bytes.
fn asked(kind: u8, mac: [u8; 6], options: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 236];
    bytes[..4].copy_from_slice(&[1, 1, 6, 0]);
    bytes[4..8].copy_from_slice(&mac[2..]);
    bytes[10] = 0x80;
    bytes[28..34].copy_from_slice(&mac);
    bytes.extend_from_slice(&[99, 130, 83, 99, 53, 1, kind]);
    bytes.extend_from_slice(options);
    bytes.push(255);
    bytes
}

/// The value of an option.
fn option(packet: &[u8], code: u8) -> Option<&[u8]> {
    let mut rest = packet.get(240..)?;
    while let [found, length, after @ ..] = rest {
        match *found {
            0 => rest = &rest[1..],
            255 => return None,
            found if found == code => return after.get(..usize::from(*length)),
            _ => rest = after.get(usize::from(*length)..)?,
        }
    }
    None
}

fn yiaddr(packet: &[u8]) -> Ipv4Addr {
    Ipv4Addr::new(packet[16], packet[17], packet[18], packet[19])
}

fn everybody() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::BROADCAST, 67))
}

#[test]
fn dhclient_on_a_node_gets_its_address_and_all_that_goes_with_it() {
    let Some(mut net) = net(&["dhclient"]) else { return };
    net.daemon();
    let began = Instant::now();
    assert_eq!(
        net.dhclient(NODE, None),
        "10.10.0.11 mask 255.255.255.0 router 10.10.0.254 dns 9.9.9.9 1.1.1.1 name n1 for 86400"
    );
    assert!(began.elapsed() < Duration::from_secs(2), "a node does not wait");
    assert!(net.leases().lines().count() <= 1, "its address stands in nodes.conf, not among the leases");
}

#[test]
fn a_change_of_nodes_conf_holds_for_the_next_question() {
    let Some(mut net) = net(&["dhclient"]) else { return };
    net.daemon();
    assert!(net.dhclient(NODE, None).starts_with("10.10.0.11 "));
    net.nodes(&NODES.replace("10.10.0.11", "10.10.0.12"));
    assert!(net.dhclient(NODE, None).starts_with("10.10.0.12 "));
    // It remembers an address that is not its own any more: NAK, and a new one.
    let memory = "lease {\n  interface \"c0\";\n  fixed-address 10.10.0.11;\n  option subnet-mask 255.255.255.0;\n  option \
                  dhcp-server-identifier 10.10.0.1;\n  renew never;\n  rebind never;\n  expire never;\n}\n";
    assert!(net.dhclient(NODE, Some(memory)).starts_with("10.10.0.12 "));
    assert!(net.log().contains("REQUEST -> NAK (node n1): 10.10.0.11 is not yours, 10.10.0.12 is"), "{}", net.log());
}

#[test]
fn a_stranger_keeps_its_address_over_kill_9_and_a_second_one_gets_another() {
    let Some(mut net) = net(&["dhclient"]) else { return };
    net.daemon();
    assert!(net.dhclient(GUEST, None).starts_with("10.10.0.100 mask 255.255.255.0 router  dns  name  for 3600"));
    net.kill();
    assert!(net.leases().contains("10.10.0.100 bound 20"), "{}", net.leases());
    net.daemon();
    assert!(net.dhclient("52:54:00:99:00:0a", None).starts_with("10.10.0.101 "));
    assert!(net.dhclient(GUEST, None).starts_with("10.10.0.100 "));
}

#[test]
fn an_address_that_somebody_uses_without_a_lease_is_not_given() {
    let Some(mut net) = net(&["dhclient"]) else { return };
    // The squatter sits on the controller's side of a bridge with the client.
    net.add("x");
    net.ip("s", "addr del 10.10.0.1/24 dev v0");
    net.ip("s", "link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0");
    net.wire("s", "v1", "x", "x0");
    for words in
        ["link set v0 master br0", "link set v1 master br0", "link set br0 up", "addr add 10.10.0.1/24 dev br0"]
    {
        net.ip("s", words);
    }
    net.ip("x", "addr add 10.10.0.100/24 dev x0");
    net.daemon();
    assert!(net.dhclient(GUEST, None).starts_with("10.10.0.101 "), "{}", net.log());
    assert!(net.leases().contains("10.10.0.100 taken 20"), "{}", net.leases());
    assert!(net.log().contains("10.10.0.100 is in use by"), "{}", net.log());
}

#[test]
fn dhcping_is_answered_when_it_informs_and_when_it_requests() {
    let Some(mut net) = net(&["dhcping"]) else { return };
    net.ip("c", "link set c0 down");
    net.ip("c", &format!("link set c0 address {NODE} up"));
    net.ip("c", "addr add 10.10.0.11/24 dev c0");
    net.daemon();
    for more in [&[][..], &["-i"]] {
        let words = [&["dhcping", "-v", "-c", "10.10.0.11", "-s", "10.10.0.1", "-h", NODE], more].concat();
        let out = net.run("c", &words);
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(out.status.success() && text.contains("Got answer from: 10.10.0.1"), "{text}\n{}", net.log());
    }
}

#[test]
fn a_relayed_node_boots_on_a_network_of_its_own_and_option_82_comes_back() {
    let Some(mut net) = net(&["dnsmasq", "dhclient"]) else { return };
    // c is the relay's foot on the controller's wire; the machine is behind it.
    net.add("m");
    net.ip("c", "addr add 10.10.0.2/24 dev c0");
    net.wire("c", "r0", "m", "m0");
    net.ip("c", "addr add 172.16.0.1/24 dev r0");
    net.ip("s", "route add 172.16.0.0/24 via 10.10.0.2");
    net.ip("m", "link set m0 down");
    net.ip("m", &format!("link set m0 address {NODE} up"));
    net.nodes("nodes: {far: {network devices: {default: {hwaddr: \"52:54:00:10:00:01\", ipaddr: 172.16.0.9, netmask: 255.255.255.0}}}}\n");
    net.daemon();
    let relay =
        ["dnsmasq", "-k", "-p0", "-C", "/dev/null", "--dhcp-relay=172.16.0.1,10.10.0.1", "--pid-file=", "--user=root"];
    let _relay = net.start("c", &relay);
    let bound = net.dhclient_on("m", "m0");
    assert_eq!(bound, "172.16.0.9 mask 255.255.255.0 router 172.16.0.1 dns  name far for 86400", "{}", net.log());

    drop(_relay);
    let socket = net.socket("c", Ipv4Addr::new(172, 16, 0, 1), 67);
    let mut packet = asked(1, [0x52, 0x54, 0, 0x10, 0, 1], &[82, 6, 1, 4, b'r', b'0', 0, 7]);
    packet[24..28].copy_from_slice(&[172, 16, 0, 1]);
    socket.send_to(&packet, "10.10.0.1:67").unwrap();
    let mut buffer = [0; 1500];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    let answer = &buffer[..length];
    assert_eq!(from, "10.10.0.1:67".parse().unwrap());
    assert_eq!(option(answer, 82), Some(&[1, 4, b'r', b'0', 0, 7][..]));
    let end = answer.iter().rposition(|byte| *byte == 255).unwrap();
    assert_eq!(answer[end - 8..end - 6], [82, 6], "the relay's option is the last");
}

#[test]
fn beside_a_foreign_server_only_who_boots_hears_the_proxy() {
    let Some(mut net) = net(&["dnsmasq", "dhclient"]) else { return };
    net.conf(&INTERNAL.replace("internal", "proxy"), "external");
    net.add("f");
    net.ip("s", "addr del 10.10.0.1/24 dev v0");
    net.ip("s", "link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0");
    net.wire("s", "v1", "f", "f0");
    for words in
        ["link set v0 master br0", "link set v1 master br0", "link set br0 up", "addr add 10.10.0.1/24 dev br0"]
    {
        net.ip("s", words);
    }
    net.ip("f", "addr add 10.10.0.2/24 dev f0");
    let range = [
        "dnsmasq",
        "-k",
        "-p0",
        "-C",
        "/dev/null",
        "--dhcp-range=10.10.0.50,10.10.0.60",
        "--interface=f0",
        "--pid-file=",
        "--dhcp-leasefile=/dev/null",
        "--user=root",
    ];
    let _foreign = net.start("f", &range);
    net.daemon();
    let bound = net.dhclient(NODE, None);
    assert!(bound.starts_with("10.10.0.5") || bound.starts_with("10.10.0.60"), "the foreign server's address: {bound}");
    assert!(!net.log().contains("-> OFFER"), "an operating system hears nothing: {}", net.log());

    let socket = net.client("c", "c0");
    let rom = [&b"\x3c\x20PXEClient:Arch:00007:UNDI:003016"[..], &[93, 2, 0, 7]].concat();
    socket.send_to(&asked(1, [0x52, 0x54, 0, 0x10, 0, 1], &rom), everybody()).unwrap();
    let mut offers = HashMap::new();
    let mut buffer = [0; 1500];
    while offers.len() < 2 {
        let (length, from) = socket.recv_from(&mut buffer).unwrap();
        offers.insert(from.ip().to_string(), buffer[..length].to_vec());
    }
    let (ours, theirs) = (&offers["10.10.0.1"], &offers["10.10.0.2"]);
    assert!(!yiaddr(theirs).is_unspecified());
    assert_eq!(yiaddr(ours), Ipv4Addr::UNSPECIFIED, "never an address");
    assert_eq!(option(ours, 60), Some(&b"PXEClient"[..]));
    assert_eq!(option(ours, 67), Some(&b"warewulf/ipxe-snponly-x86_64.efi"[..]));

    let address = bound.split(' ').next().unwrap().parse().unwrap();
    let socket = net.socket("c", address, 5068);
    let mut request = asked(3, [0x52, 0x54, 0, 0x10, 0, 1], &rom);
    request[12..16].copy_from_slice(&address.octets());
    socket.send_to(&request, "10.10.0.1:4011").unwrap();
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    assert_eq!(from, "10.10.0.1:4011".parse().unwrap());
    assert_eq!(option(&buffer[..length], 53), Some(&[5][..]));
    assert_eq!(option(&buffer[..length], 67), Some(&b"warewulf/ipxe-snponly-x86_64.efi"[..]));
}

#[test]
fn every_interface_of_the_network_is_served_also_one_that_comes_later() {
    let Some(mut net) = net(&["dhclient"]) else { return };
    net.conf(&INTERNAL.replace("10.10.0.1/24", "10.10.0.1/16"), "external");
    net.nodes("nodes: {v: {network devices: {default: {hwaddr: \"52:54:00:10:00:07\", ipaddr: 10.10.7.9}}}}\n");
    net.daemon();
    // A VLAN is an interface as any other; the name is all that tells it from this one.
    net.wire("s", "v0.7", "c", "c0.7");
    net.ip("s", "addr add 10.10.7.1/24 dev v0.7");
    net.until("the new interface is served", |net| net.log().contains("serving on v0.7 (10.10.7.1/24)"));
    let socket = net.client("c", "c0.7");
    let mut buffer = [0; 1500];
    // The first may meet the sockets being opened.
    net.until("an answer there", |_| {
        socket.send_to(&asked(1, [0x52, 0x54, 0, 0x10, 0, 7], &[]), everybody()).unwrap();
        socket.recv_from(&mut [0; 1500]).is_ok()
    });
    socket.send_to(&asked(1, [0x52, 0x54, 0, 0x10, 0, 7], &[]), everybody()).unwrap();
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    assert_eq!(from.ip().to_string(), "10.10.7.1", "the address of that interface");
    assert_eq!(yiaddr(&buffer[..length]), Ipv4Addr::new(10, 10, 7, 9));
}

#[test]
fn garbage_is_passed_over_and_costs_nobody_an_answer() {
    let Some(mut net) = net(&["dhclient"]) else { return };
    net.ip("c", "addr add 10.10.0.77/24 dev c0");
    net.daemon();
    let socket = net.socket("c", Ipv4Addr::UNSPECIFIED, 0);
    let mut dice = Dice(seed());
    for _ in 0..2000 {
        let mut bytes: Vec<u8> = (0..dice.roll() % 700).map(|_| dice.roll() as u8).collect();
        if dice.roll().is_multiple_of(2) {
            let mut packet = asked((dice.roll() % 10) as u8, [2, 0, 0, 0, 0, 1], &bytes);
            packet[2] = dice.roll() as u8;
            bytes = packet;
        }
        let _ = socket.send_to(&bytes, "10.10.0.1:67");
    }
    net.until("the garbage was read", |net| net.log().contains("passed over"));
    assert!(net.dhclient(NODE, None).starts_with("10.10.0.11 "), "{}", net.log());
    assert!(!net.log().contains("panicked"));
}

#[test]
fn a_taken_port_is_said_with_what_to_do() {
    let Some(mut net) = net(&[]) else { return };
    let _other = net.socket("s", Ipv4Addr::UNSPECIFIED, 67);
    let conf = net.path("etc/warewulf/warewulf.conf");
    let out = net.run("s", &[env!("CARGO_BIN_EXE_wwctl"), "--warewulfconf", conf.to_str().unwrap(), "server"]);
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(255), "{text}");
    assert!(
        text.contains(
            "ERROR: UDP port 67 on v0: Address already in use (os error 98). Another DHCP server runs here (`ss \
                       -lunp 'sport = 67'` names it): stop it, or write `mode: external` under `dhcp:` in warewulf.conf"
        ),
        "{text}"
    );
    drop(_other);
    net.daemon();
}

#[test]
fn a_router_solicitation_is_told_that_there_is_no_router() {
    let Some(mut net) = net(&[]) else { return };
    net.daemon();
    // Its link-local address must be past duplicate detection on our side first.
    net.until("the controller's own address", |net| {
        !String::from_utf8_lossy(&net.run("s", &["ip", "-6", "addr", "show", "dev", "v0"]).stdout).contains("tentative")
    });
    net.ip("c", "link set c0 down");
    net.ip("c", "link set c0 up");
    net.until("a solicitation was answered", |net| net.log().contains("SOLICITATION -> no router here"));
    let routes = net.run("c", &["ip", "-6", "route", "show", "default"]);
    assert!(routes.stdout.is_empty(), "nobody takes us for a router");
    let addresses = net.run("c", &["ip", "-6", "addr", "show", "dev", "c0", "scope", "global"]);
    assert!(addresses.stdout.is_empty());
}

/// Machines that want addresses, while the controller is killed at any moment: what was acknowledged is on disk.
#[test]
fn no_acknowledged_lease_is_lost_however_the_controller_is_killed() {
    let Some(mut net) = net(&[]) else { return };
    net.conf(&INTERNAL.replace("10.10.0.1/24", "10.10.0.1/16").replace("10.10.0.150", "10.10.3.250"), "external");
    net.ip("s", "addr del 10.10.0.1/24 dev v0");
    net.ip("s", "addr add 10.10.0.1/16 dev v0");
    net.ip("c", "addr add 10.10.200.1/16 dev c0");
    let socket = net.client("c", "c0");
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut dice = Dice(seed());
    let mut held: HashMap<[u8; 6], Ipv4Addr> = HashMap::new();
    let mut serial = 0u32;
    for round in 0..8 {
        net.daemon();
        let dies = Instant::now() + Duration::from_millis(250 + dice.roll() % 300);
        let mut buffer = [0; 1500];
        while Instant::now() < dies {
            for _ in 0..8 {
                serial += 1;
                let [_, b, c, d] = serial.to_be_bytes();
                socket.send_to(&asked(1, [2, 0, 0, b, c, d], &[]), everybody()).unwrap();
            }
            while let Ok((length, _)) = socket.recv_from(&mut buffer) {
                let packet = &buffer[..length];
                let mac: [u8; 6] = packet[28..34].try_into().unwrap();
                let address = yiaddr(packet);
                match option(packet, 53) {
                    Some([2]) => {
                        let options = [&[54, 4, 10, 10, 0, 1, 50, 4][..], &address.octets()].concat();
                        socket.send_to(&asked(3, mac, &options), everybody()).unwrap();
                    }
                    Some([5]) => {
                        let before = held.insert(mac, address);
                        assert!(before.is_none_or(|before| before == address));
                    }
                    _ => {}
                }
                if Instant::now() >= dies {
                    break;
                }
            }
        }
        net.kill();
        let text = net.leases();
        for (mac, address) in &held {
            let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
            let line = text.lines().find(|line| line.starts_with(&format!("{address} bound ")) && line.ends_with(&mac));
            assert!(line.is_some(), "round {round}: {address} of {mac} is not among\n{text}");
        }
        let mut holders: HashMap<&str, &str> = HashMap::new();
        for line in text.lines().filter(|line| line.contains(" bound ")) {
            let (address, mac) = (line.split(' ').next().unwrap(), line.rsplit(' ').next().unwrap());
            assert!(holders.insert(address, mac).is_none_or(|other| other == mac), "{address} has two holders");
        }
    }
    assert!(held.len() > 20, "{} leases", held.len());
}

#[test]
fn while_nodes_conf_was_never_readable_nobody_is_taken_for_a_stranger() {
    let Some(mut net) = net(&["dhclient"]) else { return };
    net.nodes("nodes: [\n");
    net.daemon();
    let socket = net.client("c", "c0");
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    socket.send_to(&asked(1, [0x52, 0x54, 0, 0x10, 0, 1], &[]), everybody()).unwrap();
    assert!(socket.recv_from(&mut [0; 1500]).is_err());
    assert!(net.log().contains("52:54:00:10:00:01 gets no answer: nodes.conf cannot be read"), "{}", net.log());
    drop(socket);
    net.nodes(NODES);
    assert!(net.dhclient(NODE, None).starts_with("10.10.0.11 "));
}

#[test]
fn another_mode_holds_without_a_restart() {
    let Some(mut net) = net(&["dhclient"]) else { return };
    net.conf(&INTERNAL.replace("internal", "external"), "external");
    net.daemon();
    let theirs = net.socket("s", Ipv4Addr::UNSPECIFIED, 67);
    drop(theirs);
    net.conf(INTERNAL, "external");
    net.until("the port is opened", |net| net.log().contains("dhcp: serving on v0"));
    assert!(net.dhclient(NODE, None).starts_with("10.10.0.11 "));
    net.conf(&INTERNAL.replace("internal", "external"), "external");
    // socket() waits until the port is free.
    let _theirs = net.socket("s", Ipv4Addr::UNSPECIFIED, 67);
}

/// A stranger's four packets; nothing when one of the two answers does not come.
fn lease(socket: &std::net::UdpSocket, mac: [u8; 6]) -> Option<Ipv4Addr> {
    let mut buffer = [0; 1500];
    let mut say = |packet: &[u8], wanted: u8| {
        socket.send_to(packet, everybody()).unwrap();
        loop {
            let (length, _) = socket.recv_from(&mut buffer).ok()?;
            let answer = &buffer[..length];
            if answer[28..34] == mac && option(answer, 53) == Some(&[wanted][..]) {
                return Some(yiaddr(answer));
            }
        }
    };
    let address = say(&asked(1, mac, &[]), 2)?;
    say(&asked(3, mac, &[&[54, 4, 10, 10, 0, 1, 50, 4][..], &address.octets()].concat()), 5)
}

#[test]
fn a_full_disk_gives_no_lease_and_says_so_and_room_heals_it() {
    let Some(mut net) = net(&["mount"]) else { return };
    net.conf(&INTERNAL.replace("10.10.0.150", "10.10.0.250"), "external");
    let folder = net.path("var/warewulf");
    fs::create_dir_all(&folder).unwrap();
    let disk = Mounted::small(&folder);
    // A file that nearly fills its first page: it has room for some more lines however full the disk is.
    let old = |last: u8| format!("10.10.0.{last} released 2099-01-01T00:00:00Z 02:00:00:00:09:{last:02x}\n");
    fs::write(folder.join("leases"), (180..240).map(old).collect::<String>()).unwrap();
    net.daemon();
    let socket = net.client("c", "c0");
    socket.set_read_timeout(Some(Duration::from_millis(600))).unwrap();
    assert_eq!(lease(&socket, [2, 0, 0, 0, 0, 1]), Some(Ipv4Addr::new(10, 10, 0, 100)));
    let _ = fs::write(folder.join("filler"), vec![0; 1 << 20]);
    let mut given = 1;
    while lease(&socket, [2, 0, 0, 0, 1, given]).is_some() {
        given += 1;
        assert!(given < 70, "the disk takes everything: {}", net.leases());
    }
    assert!(net.log().contains("clients get no answer, their leases cannot be written"), "{}", net.log());
    let text = net.leases();
    assert!(text.ends_with('\n') && text.lines().count() == 61 + usize::from(given), "whole lines only: {text}");
    net.nodes(NODES);
    socket.send_to(&asked(1, [0x52, 0x54, 0, 0x10, 0, 1], &[]), everybody()).unwrap();
    assert!(socket.recv_from(&mut [0; 1500]).is_ok(), "a node needs no disk");
    fs::remove_file(folder.join("filler")).unwrap();
    assert!(lease(&socket, [2, 0, 0, 0, 1, given]).is_some(), "{}", net.log());
    net.kill();
    drop(disk);
}

/// A disk of 32 kB, until dropped.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn small(folder: &std::path::Path) -> Mounted {
        let words = ["-t", "tmpfs", "-o", "size=32k", "tmpfs"];
        assert!(std::process::Command::new("mount").args(words).arg(folder).status().unwrap().success());
        Mounted(folder.into())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
