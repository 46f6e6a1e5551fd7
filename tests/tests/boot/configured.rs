//! A machine with two cards that has everything of its node from the distribution overlays: names of cards, addresses, a
//! route, packet sizes, name servers, hosts, a mount, keys, a time zone, what stands above the login. Asked is the machine.

use std::collections::BTreeMap;
use std::fs;

use tests::world::Wishes;
use tests::{Machine, Net, Vm};

use crate::scenario::{PATIENCE, Scenario};
use crate::site;

const LAN: &str = "52:54:00:10:00:51";
const FAST: &str = "52:54:00:10:00:52";

const SYSTEM: &str = "wwinit,wwclient,hosts,fstab,hostname,ssh.host_keys,issue,resolv,systemd.netname,systemd.networkd,\
                      localtime";
const RUNTIME: &str = "hosts,ssh.authorized_keys,syncuser,lab";

/// What the machine is asked, a name and a question each.
const QUESTIONS: &[(&str, &str)] = &[
    ("name", "uname -n; cat /etc/hostname"),
    ("cards", "for c in lan0 fast0; do ip -o addr show dev $c scope global; done | awk '{print $2, $4}'"),
    ("sizes", "cat /sys/class/net/lan0/mtu /sys/class/net/fast0/mtu"),
    ("routes", "ip route show proto static"),
    ("resolver", "grep -v '^#' /etc/resolv.conf"),
    ("hosts", "getent hosts n6 n6-default warewulf | awk '{print $1}'"),
    ("mount", "findmnt -no SOURCE,FSTYPE,TARGET /scratch; stat -fc %b:%S /scratch"),
    ("keys", "cd /; stat -c '%a %U %n' etc/ssh/ssh_host* root root/.ssh root/.ssh/authorized_keys warewulf/config"),
    ("zone", "readlink /etc/localtime"),
    ("users", "getent passwd ada; getent group ada"),
    (
        "networkd",
        "for c in lan0 fast0; do grep -h '^\\(ADMIN\\|OPER\\)_STATE=' /run/systemd/netif/links/$(cat /sys/class/net/$c/ifindex); done",
    ),
    ("failed", "systemctl --failed --no-legend --plain"),
];

#[derive(Debug)]
struct Record {
    answers: BTreeMap<String, String>,
    console: String,
}

static CONFIGURED: Scenario<Record> = Scenario::new(|| {
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
    let asked: String =
        QUESTIONS.iter().map(|(name, question)| format!("echo '=={name}'\n({question}) 2>&1\n")).collect();
    world.overlay_file("etc/lab/ask", &asked)?;
    world.start()?;
    let second = net.tap()?;
    let more = format!(
        "-netdev tap,id=n1,ifname={second},script=no,downscript=no -device virtio-net-pci,netdev=n1,mac={FAST},romfile="
    );
    let more = more.split(' ').map(str::to_owned).collect();
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
  n6:
    profiles: [default]
    network devices:
      default: {{device: eth0, ipaddr: 10.10.0.61, netmask: 255.255.255.0}}
"
    )
}

fn answer<'a>(record: &'a Record, question: &str) -> Vec<&'a str> {
    let answer = record.answers.get(question).unwrap_or_else(|| panic!("no {question} in {:?}", record.answers));
    answer.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

#[test]
fn cards_have_the_names_addresses_and_packet_sizes_of_nodes_conf() {
    let Some(record) = CONFIGURED.record() else { return };
    assert_eq!(answer(record, "cards"), ["lan0 10.10.0.51/24", "fast0 10.11.0.51/24", "fast0 fd00:11::51/64"]);
    assert_eq!(answer(record, "sizes"), ["1400", "9000"]);
    assert_eq!(
        answer(record, "networkd"),
        ["ADMIN_STATE=configured", "OPER_STATE=routable", "ADMIN_STATE=configured", "OPER_STATE=routable"]
    );
}

#[test]
fn routes_name_servers_and_hosts_are_those_of_nodes_conf() {
    let Some(record) = CONFIGURED.record() else { return };
    assert_eq!(answer(record, "routes"), ["default via 10.10.0.1 dev lan0", "10.99.0.0/16 via 10.10.0.9 dev lan0"]);
    assert_eq!(
        answer(record, "resolver"),
        ["search lab.example example", "nameserver 10.10.0.1", "nameserver 10.10.0.2"]
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
