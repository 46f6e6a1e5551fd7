//! A machine with five cards that has everything of its node from the distribution overlays: names of cards, a bond, VLANs
//! over it and over a card, a bridge, addresses, routes, packet sizes, name servers, hosts, a mount, keys, a time zone, what
//! stands above the login. Asked is the machine. InfiniBand no machine here can have.

use std::collections::BTreeMap;
use std::fs;

use tests::world::Wishes;
use tests::{Machine, Net, Vm};

use crate::scenario::{PATIENCE, Scenario};
use crate::site;
use crate::stacks;

const LAN: &str = "52:54:00:10:00:51";
const FAST: &str = "52:54:00:10:00:52";
/// Two for a bond, one for a bridge.
const MORE: [&str; 3] = ["52:54:00:10:00:53", "52:54:00:10:00:54", "52:54:00:10:00:55"];

const SYSTEM: &str = "wwinit,wwclient,hosts,fstab,hostname,ssh.host_keys,issue,resolv,systemd.netname,systemd.networkd,\
                      ifupdown,NetworkManager,localtime";
const RUNTIME: &str = "hosts,ssh.authorized_keys,syncuser,lab";

/// What has an address.
const CARDS: [&str; 6] = ["lan0", "fast0", "bond0", "bond0.40", "fast0.50", "br0"];

/// What the machine is asked, a name and a question each.
const QUESTIONS: &[(&str, &str)] = &[
    ("name", "uname -n; cat /etc/hostname"),
    (
        "up",
        "/lib/systemd/systemd-networkd-wait-online --timeout=120 $(for c in $CARDS; do echo -i $c; done) && echo up",
    ),
    ("cards", "for c in $CARDS; do ip -o addr show dev $c scope global; done | awk '{print $2, $4}'"),
    ("sizes", "for c in $CARDS; do echo $c $(cat /sys/class/net/$c/mtu); done"),
    ("routes", "ip route show proto static; ip -6 route show proto static | sed 's/ metric .*//'"),
    (
        "bond",
        "cat /sys/class/net/bond0/address; cd /sys/class/net/bond0; echo lower_*
        grep '^\\(Bonding Mode\\|Transmit\\|MII\\|Up D\\|Down D\\)' /proc/net/bonding/bond0",
    ),
    ("vlans", "sed 1,2d /proc/net/vlan/config | tr -d ' ' | sort"),
    ("bridge", "ls /sys/class/net/br0/brif; cat /sys/class/net/br0/address /sys/class/net/br0/bridge/stp_state"),
    ("resolver", "grep -v '^#' /etc/resolv.conf"),
    ("hosts", "getent hosts n6 n6-default warewulf | awk '{print $1}'"),
    ("mount", "findmnt -no SOURCE,FSTYPE,TARGET /scratch; stat -fc %b:%S /scratch"),
    ("keys", "cd /; stat -c '%a %U %n' etc/ssh/ssh_host* root root/.ssh root/.ssh/authorized_keys warewulf/config"),
    ("zone", "readlink /etc/localtime"),
    ("users", "getent passwd ada; getent group ada"),
    (
        "networkd",
        "for c in $CARDS; do
            echo $c $(sed -n 's/^\\(ADMIN\\|OPER\\)_STATE=//p' /run/systemd/netif/links/$(cat /sys/class/net/$c/ifindex))
        done",
    ),
    ("failed", "systemctl --failed --no-legend --plain"),
    // Somebody in the VLAN of the bond, at another card: what comes from there has gone over both cables with its tag. No
    // server listens, and only who heard the question can say so.
    (
        "carried",
        "ip netns add far
        ip link add link fast0 name far40 type vlan id 40
        ip link set far40 netns far
        ip -n far addr add 10.40.0.9/24 dev far40
        ip -n far link set far40 up
        for try in 1 2 3 4 5; do
            said=$(ip netns exec far timeout 10 bash -c ': </dev/tcp/10.40.0.51/9' 2>&1)
            case $said in *refused*) echo refused; break ;; esac
            echo \"$said\" | head -n 1
        done",
    ),
];

#[derive(Debug)]
pub struct Record {
    answers: BTreeMap<String, String>,
    console: String,
}

pub static CONFIGURED: Scenario<Record> = Scenario::new(|| {
    let net = Net::new()?;
    let mut world = site::with_image(&net, &Wishes::default())?;
    let file = world.at("etc/warewulf/nodes.conf");
    fs::write(&file, fs::read_to_string(&file)?.replace("nodes: {}\n", &nodes()))?;
    world.wwctl(&["profile", "set", "-y", "default", "--system-overlays", SYSTEM, "--runtime-overlays", RUNTIME])?;
    let keys = world.at("etc/warewulf/keys");
    fs::create_dir_all(&keys)?;
    fs::write(keys.join("ssh_host_ed25519_key"), "private\n")?;
    fs::write(keys.join("ssh_host_ed25519_key.pub"), "public\n")?;
    // Typed by hand, the questions would take longer than the boot.
    let asked: String = std::iter::once(format!("CARDS='{}'\n", CARDS.join(" ")))
        .chain(QUESTIONS.iter().map(|(name, question)| format!("echo '=={name}'\n({question}) 2>&1\n")))
        .chain([stacks::ASK.to_owned()])
        .collect();
    world.overlay_file("etc/lab/ask", &asked)?;
    for (path, text) in stacks::scripts() {
        world.overlay_file(path, &text)?;
    }
    world.start()?;
    let disk = world.at("disk");
    tests::readers::disk(&tests::place::cache()?, &disk)?;
    let mut more = vec!["-drive".to_owned(), format!("if=none,id=d0,format=raw,file={}", disk.display())];
    more.extend(["-device", "virtio-blk-pci,drive=d0"].map(str::to_owned));
    for (mac, number) in std::iter::once(FAST).chain(MORE).zip(1..) {
        let tap = net.tap()?;
        let card = format!(
            "-netdev tap,id=n{number},ifname={tap},script=no,downscript=no \
             -device virtio-net-pci,netdev=n{number},mac={mac},speed=1000,duplex=full,romfile="
        );
        more.extend(card.split(' ').map(str::to_owned));
    }
    let mut vm = Vm::start(&net, &Machine { more, ..Machine::bios(LAN) })?;
    vm.wait_for("login:", PATIENCE).map_err(|error| error.context(world.last_log(30)))?;
    world.wait_for_log(&["/runtime", "wwclient"], 1, PATIENCE).map_err(|error| error.context(vm.console().last(30)))?;
    let said = vm.ask("sh /etc/lab/ask", PATIENCE)?;
    let answers = said
        .split("==")
        .filter_map(|part| part.split_once('\n'))
        .map(|(name, answer)| (name.trim().to_owned(), answer.to_owned()))
        .collect();
    Ok(Record { answers, console: vm.console().text() })
});

/// The node that boots, and another one that it shall know of.
fn nodes() -> String {
    let [one, two, three] = MORE;
    format!(
        "\
nodes:
  n5:
    profiles: [default]
    tags: {{localtime: Europe/Vienna}}
    primary network: default
    resources:
      fstab:
        - {{spec: tmpfs, file: /scratch, vfstype: tmpfs, mntops: \"size=8m,nofail\"}}
      localusers:
        - {{name: ada, uid: 2001, gid: 2001, home: /home/ada, shell: /bin/sh}}
      localgroups:
        - {{name: ada, gid: 2001}}
    network devices:
      default:
        device: lan0
        hwaddr: {LAN}
        ipaddr: 10.10.0.51
        netmask: 255.255.255.0
        gateway: 10.10.0.1
        mtu: \"1400\"
        tags:
          DNS1: 10.10.0.1
          DNS2: 10.10.0.2
          DNSSEARCH: lab.example; example
          route1: 10.99.0.0/16,10.10.0.9
      fast:
        device: fast0
        hwaddr: {FAST}
        ipaddr: 10.11.0.51
        netmask: 255.255.255.0
        ipaddr6: fd00:11::51
        prefixlen6: \"64\"
        mtu: \"9000\"
      one: {{device: up0, hwaddr: \"{one}\", tags: {{master: bond0}}}}
      two: {{device: up1, hwaddr: \"{two}\", tags: {{master: bond0}}}}
      both:
        type: bond
        device: bond0
        ipaddr: 10.12.0.51
        netmask: 255.255.255.0
        ipaddr6: fd00:12::51
        prefixlen6: \"64\"
        gateway6: fd00:12::1
        mtu: \"9000\"
        tags:
          mode: 802.3ad
          miimon: \"50\"
          updelay: \"100\"
          downdelay: \"200\"
          xmit_hash_policy: layer3+4
          cloned-mac-address: 52:54:00:10:00:5f
          DNS3: fd00:12::1
          route1: fd00:98::/48,fd00:12::9
      storage:
        type: vlan
        device: bond0.40
        ipaddr: 10.40.0.51
        netmask: 255.255.255.0
        mtu: \"9000\"
        tags: {{parent_device: bond0, vlan_id: \"40\", route1: \"10.41.0.0/16,10.40.0.8\"}}
      tagged:
        device: fast0.50
        ipaddr: 10.50.0.51
        netmask: 255.255.255.0
        ipaddr6: fd00:50::51
        prefixlen6: \"64\"
        mtu: \"1500\"
        tags: {{type: vlan, parent_device: fast0, vlan_id: \"50\"}}
      guests:
        type: bridge
        device: br0
        hwaddr: 52:54:00:10:00:5e
        ipaddr: 10.13.0.51
        netmask: 255.255.255.0
        mtu: \"1300\"
      port: {{device: port0, hwaddr: \"{three}\", tags: {{master: br0}}}}
  n6:
    profiles: [default]
    network devices:
      default: {{device: eth0, ipaddr: 10.10.0.61, netmask: 255.255.255.0}}
"
    )
}

/// A question, for those who ask it of another machine.
pub fn question(name: &str) -> String {
    let (_, question) = QUESTIONS.iter().find(|(named, _)| *named == name).unwrap();
    question.replace("$CARDS", &CARDS.join(" "))
}

pub fn answer<'a>(record: &'a Record, question: &str) -> Vec<&'a str> {
    let answer = record.answers.get(question).unwrap_or_else(|| panic!("no {question} in {:?}", record.answers));
    answer.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

#[test]
fn cards_bonds_vlans_and_bridges_have_the_names_addresses_and_packet_sizes_of_nodes_conf() {
    let Some(record) = CONFIGURED.record() else { return };
    assert_eq!(answer(record, "up"), ["up"]);
    assert_eq!(
        answer(record, "cards"),
        [
            "lan0 10.10.0.51/24",
            "fast0 10.11.0.51/24",
            "fast0 fd00:11::51/64",
            "bond0 10.12.0.51/24",
            "bond0 fd00:12::51/64",
            "bond0.40 10.40.0.51/24",
            "fast0.50 10.50.0.51/24",
            "fast0.50 fd00:50::51/64",
            "br0 10.13.0.51/24",
        ]
    );
    assert_eq!(
        answer(record, "sizes"),
        ["lan0 1400", "fast0 9000", "bond0 9000", "bond0.40 9000", "fast0.50 1500", "br0 1300"]
    );
    assert_eq!(answer(record, "networkd"), CARDS.map(|card| format!("{card} configured routable")));
}

#[test]
fn a_bond_has_its_cards_mode_and_delays() {
    let Some(record) = CONFIGURED.record() else { return };
    assert_eq!(
        answer(record, "bond"),
        [
            "52:54:00:10:00:5f",
            "lower_up0 lower_up1",
            "Bonding Mode: IEEE 802.3ad Dynamic link aggregation",
            "Transmit Hash Policy: layer3+4 (1)",
            "MII Status: up",
            "MII Polling Interval (ms): 50",
            "Up Delay (ms): 100",
            "Down Delay (ms): 200",
            // Each of the two.
            "MII Status: up",
            "MII Status: up",
        ]
    );
}

#[test]
fn vlans_stand_over_a_bond_and_over_a_card_and_the_wire_carries_their_tags() {
    let Some(record) = CONFIGURED.record() else { return };
    assert_eq!(answer(record, "vlans"), ["bond0.40|40|bond0", "fast0.50|50|fast0"]);
    assert_eq!(answer(record, "carried").last(), Some(&"refused"), "{:?}", answer(record, "carried"));
}

#[test]
fn a_bridge_has_its_port_and_its_own_address_and_sends_no_spanning_tree() {
    let Some(record) = CONFIGURED.record() else { return };
    assert_eq!(answer(record, "bridge"), ["port0", "52:54:00:10:00:5e", "0"]);
}

#[test]
fn routes_name_servers_and_hosts_are_those_of_nodes_conf() {
    let Some(record) = CONFIGURED.record() else { return };
    assert_eq!(
        answer(record, "routes"),
        [
            "default via 10.10.0.1 dev lan0",
            "10.41.0.0/16 via 10.40.0.8 dev bond0.40",
            "10.99.0.0/16 via 10.10.0.9 dev lan0",
            "fd00:98::/48 via fd00:12::9 dev bond0",
            "default via fd00:12::1 dev bond0",
        ]
    );
    assert_eq!(
        answer(record, "resolver"),
        ["search lab.example example", "nameserver fd00:12::1", "nameserver 10.10.0.1", "nameserver 10.10.0.2"]
    );
    assert_eq!(answer(record, "hosts"), ["10.10.0.61", "10.10.0.61", "10.10.0.1"]);
    assert_eq!(answer(record, "name"), ["n5", "n5"]);
}

#[test]
fn an_entry_of_fstab_is_mounted_and_no_unit_has_failed() {
    let Some(record) = CONFIGURED.record() else { return };
    assert_eq!(answer(record, "mount"), ["tmpfs  tmpfs  /scratch", "2048:4096"]);
    assert_eq!(answer(record, "failed"), Vec::<&str>::new());
}

#[test]
fn keys_belong_to_root_alone_and_users_of_nodes_conf_are_there() {
    let Some(record) = CONFIGURED.record() else { return };
    assert_eq!(
        answer(record, "keys"),
        [
            "600 root etc/ssh/ssh_host_ed25519_key",
            "644 root etc/ssh/ssh_host_ed25519_key.pub",
            "700 root root",
            "700 root root/.ssh",
            "600 root root/.ssh/authorized_keys",
            "600 root warewulf/config",
        ]
    );
    assert_eq!(answer(record, "users"), ["ada:x:2001:2001::/home/ada:/bin/sh", "ada:x:2001:"]);
    assert_eq!(answer(record, "zone"), ["/usr/share/zoneinfo/Europe/Vienna"]);
}

#[test]
fn above_the_login_stands_who_the_node_is_and_what_its_cards_have() {
    let Some(record) = CONFIGURED.record() else { return };
    for line in [
        "Node:      n5",
        "Image:     lab",
        "Network:   default on lan0",
        "configured 10.10.0.51/24",
        "MAC        52:54:00:10:00:51",
    ] {
        assert!(record.console.contains(line), "no {line} in:\n{}", record.console);
    }
}
