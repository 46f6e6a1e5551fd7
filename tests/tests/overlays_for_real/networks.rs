//! systemd-networkd, netplan, NetworkManager, ifupdown, udev, the resolver and a shell read their files.

use tests::readers::NETWORKMANAGER;

use crate::site::site;

/// The nodes with networks of every kind.
const NODES: [&str; 7] = ["plain", "bonded", "ib", "bridged", "six", "disks", "odd"];

/// Two cards, each at the other end of a cable. A namespace cannot rename what comes up, so they have their names.
const CARDS: &str = "
for i in 0 1; do
    ip link add eth$i type veth peer name cable$i
    ip link set cable$i up
    mac=$(sed -n 's/^PermanentMACAddress=//p' $(grep -l \"^Name=eth$i\" /etc/systemd/network/*.link) /dev/null)
    [ -z \"$mac\" ] || ip link set eth$i address $mac
done
";

/// networkd until nothing is pending any more.
const NETWORKD: &str = "
rm -rf /etc/netplan
mkdir -p /run/systemd/netif
chown -R systemd-network /run/systemd/netif
/lib/systemd/systemd-networkd >/tmp/log 2>&1 &
for i in $(seq 300); do
    sleep 0.1
    for card in /sys/class/net/*/ifindex; do
        state=/run/systemd/netif/links/$(cat $card)
        # What is brought up by hand is never done.
        grep -q '^ACTIVATION_POLICY=manual' $state 2>/dev/null && continue
        [ -e $state ] && ! grep -q '^ADMIN_STATE=\\(pending\\|initialized\\|configuring\\)' $state || continue 2
    done
    break
done
! grep '^/etc/systemd/network' /tmp/log || exit 1
";

fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

#[test]
fn networkd_gives_a_card_its_addresses_routes_size_and_name_servers() {
    let Some(site) = site() else { return };
    let said = site.on(
        "plain",
        &format!(
            "{CARDS}{NETWORKD}
            ip -o addr show dev eth0 scope global | awk '{{print $4}}'
            ip route show dev eth0 proto static
            ip -6 route show dev eth0 proto static | sed 's/ pref .*//'
            cat /sys/class/net/eth0/mtu
            grep -h '^\\(ADMIN_STATE\\|NETWORK_FILE\\|DNS\\|DOMAINS\\)=' /run/systemd/netif/links/$(cat /sys/class/net/eth0/ifindex)
            ip -br link show eth1 | awk '{{print $2}}'"
        ),
    );
    assert_eq!(
        lines(&said),
        [
            "10.20.1.1/16",
            "fd00:20::11/64",
            "default via 10.20.0.1",
            "10.99.0.0/16 via 10.20.0.254",
            "fd00:99::/64 via fd00:20::fe metric 1024",
            "default via fd00:20::1 metric 1024",
            "9000",
            "ADMIN_STATE=configured",
            "NETWORK_FILE=/etc/systemd/network/10-ww4-networkd-default.network",
            "DNS=10.20.0.2 10.20.0.3",
            "DOMAINS=amber.example example",
            // Not on boot: it is left down.
            "DOWN",
        ]
    );
}

#[test]
fn networkd_makes_a_bridge_with_its_port_and_a_vlan_where_the_kernel_has_vlans() {
    let Some(site) = site() else { return };
    let said = site.on(
        "bridged",
        &format!(
            "{CARDS}{NETWORKD}
            ip -o addr show dev br0 scope global | awk '{{print $4}}'
            ip route show dev br0 proto static
            basename $(readlink /sys/class/net/eth0/master)
            if ip link add link cable0 name try.9 type vlan id 9 2>/dev/null; then
                ip -d link show eth0.40 | sed -n 's/.*vlan protocol 802.1Q id \\([0-9]*\\).*/vlan \\1/p'
            else
                echo vlan 40
                sed -n '/^\\[VLAN\\]/,$p' /etc/systemd/network/10-ww4-networkd-tagged.netdev >&2
            fi"
        ),
    );
    let said = lines(&said);
    assert_eq!(said[..5], ["10.20.1.7/16", "fd00:20::17/64", "default via 10.20.0.1", "br0", "vlan 40"]);
}

#[test]
fn networkd_reads_the_files_of_every_node_without_a_complaint() {
    let Some(site) = site() else { return };
    for node in NODES {
        site.on(node, NETWORKD);
    }
}

#[test]
fn udev_reads_the_names_of_cards_from_both_overlays() {
    let Some(site) = site() else { return };
    let said = site.on(
        "ib",
        "ip link add card type veth peer name cable
        ip link set card address 52:54:00:00:03:01
        udevadm test-builtin net_setup_link /sys/class/net/card 2>&1 | grep '10-ww4'
        udevadm test /sys/class/net/card 2>&1 | grep '70-persistent-net.rules:'",
    );
    assert_eq!(
        lines(&said),
        [
            "Parsed configuration file \"/etc/systemd/network/10-ww4-netname-ib.link\"",
            "Parsed configuration file \"/etc/systemd/network/10-ww4-netname-default.link\"",
            "card: /etc/udev/rules.d/70-persistent-net.rules:2 NAME 'eth0'",
        ]
    );
}

#[test]
fn netplan_makes_files_for_networkd_of_every_node() {
    let Some(site) = site() else { return };
    let generate = "/usr/lib/netplan/generate 2>&1; cd /run/systemd/network; ls | tr '\\n' ' '";
    let made = |node: &str| site.on(node, generate).trim().replace("10-netplan-", "");
    let expected = [
        ("plain", "eth0.link eth0.network eth1.link eth1.network"),
        (
            "bonded",
            "bond0.40.netdev bond0.40.network bond0.netdev bond0.network eth0.link eth0.network eth1.link eth1.network",
        ),
        ("ib", "eth0.link eth0.network ib0.link ib0.network"),
        (
            "bridged",
            "br0.netdev br0.network eth0.40.netdev eth0.40.network eth0.link eth0.network eth1.link eth1.network",
        ),
        ("six", "eth0.link eth0.network"),
        ("disks", "eth0.network"),
        (
            "odd",
            "bond1.41.netdev bond1.41.network bond1.netdev bond1.network eth1.network eth2.link eth2.network eth3.network ib0.network nameless.network",
        ),
    ];
    for (node, files) in expected {
        assert_eq!(made(node), files, "node {node}");
    }
    let bond = site.on("bonded", "/usr/lib/netplan/generate; cat /run/systemd/network/10-netplan-bond0.netdev");
    assert_eq!(
        bond,
        "[NetDev]\nName=bond0\nMACAddress=52:54:00:00:02:99\nKind=bond\n\n[Bond]\nMode=802.3ad\nMIIMonitorSec=50ms\nTransmitHashPolicy=layer3+4\nUpDelaySec=0ms\nDownDelaySec=0ms\n"
    );
    let card = site.on("plain", "/usr/lib/netplan/generate; cat /run/systemd/network/10-netplan-eth0.network");
    for line in [
        "PermanentMACAddress=52:54:00:00:01:01",
        "MTUBytes=9000",
        "Address=10.20.1.1/16",
        "Address=fd00:20::11/64",
        "DNS=10.20.0.2",
        "DNS=10.20.0.3",
        "Domains=amber.example example",
        "Gateway=10.20.0.1",
        "Destination=10.99.0.0/16",
        "Gateway=fd00:20::1",
        "Destination=fd00:99::/64",
    ] {
        assert!(card.lines().any(|got| got == line), "no {line} in:\n{card}");
    }
}

#[test]
fn networkmanager_takes_every_connection_for_what_nodes_conf_says() {
    let Some(site) = site() else { return };
    // What nmcli writes it has read and found valid; what it did not understand is not there any more.
    let read = "cd /etc/NetworkManager/system-connections
        for file in *; do
            echo \"# $file\"
            nmcli --offline connection modify connection.autoconnect-priority 1 <$file | grep -v '^$\\|^uuid=\\|priority'
        done
        NetworkManager --print-config | grep '^\\(unmanaged-devices\\|plugins\\|keep-configuration\\)='";
    let mut got = String::new();
    for node in ["plain", "bonded", "ib", "bridged", "six", "odd"] {
        got.push_str(&format!("=== node {node}\n{}", site.on(node, read)));
    }
    assert_eq!(got, include_str!("NetworkManager.txt"), "{got}");
}

#[test]
fn networkmanager_gives_a_card_its_addresses_routes_size_and_name_servers_and_leaves_this_machine_its_name() {
    let Some(site) = site() else { return };
    let name = || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let before = name();
    let said = site.on(
        "plain",
        &format!(
            "{CARDS}{NETWORKMANAGER} || {{ cat /tmp/log; exit 1; }}
            ip -o addr show dev eth0 scope global | awk '{{print $4}}'
            ip route show dev eth0 proto static
            ip -6 route show dev eth0 proto static | sed 's/ pref .*//'
            cat /sys/class/net/eth0/mtu /etc/resolv.conf
            nmcli -t -f DEVICE,STATE,CONNECTION device | sort"
        ),
    );
    assert_eq!(
        lines(&said),
        [
            "10.20.1.1/16",
            "fd00:20::11/64",
            "default via 10.20.0.1 metric 100",
            "10.99.0.0/16 via 10.20.0.254 metric 100",
            "fd00:99::/64 via fd00:20::fe metric 100",
            "default via fd00:20::1 metric 100",
            "9000",
            "# Generated by NetworkManager",
            "search amber.example example",
            "nameserver 10.20.0.2",
            "nameserver 10.20.0.3",
            // What nodes.conf does not name is not its business.
            "cable0:unmanaged:",
            "cable1:unmanaged:",
            "eth0:connected:default",
            // Not on boot.
            "eth1:disconnected:",
            "lo:unmanaged:",
        ]
    );
    assert_eq!(name(), before);
}

#[test]
fn networkmanager_makes_a_bridge_with_its_port() {
    let Some(site) = site() else { return };
    let said = site.on(
        "bridged",
        &format!(
            "{CARDS}{NETWORKMANAGER} || {{ cat /tmp/log; exit 1; }}
            ip -o addr show dev br0 scope global | awk '{{print $4}}'
            ip route show dev br0 proto static | sed 's/ metric .*//'
            basename $(readlink /sys/class/net/eth0/master)
            cat /sys/class/net/br0/mtu /sys/class/net/br0/bridge/stp_state /etc/resolv.conf
            # A VLAN can only be had where the kernel has them.
            nmcli -t -f NAME,DEVICE,STATE connection show --active | grep -v tagged | sort"
        ),
    );
    assert_eq!(
        lines(&said),
        [
            "10.20.1.7/16",
            "fd00:20::17/64",
            "default via 10.20.0.1",
            "br0",
            "1500",
            "0",
            "# Generated by NetworkManager",
            "nameserver 10.20.0.2",
            "bridge:br0:activated",
            "port:eth0:activated",
            "under:eth1:activated",
        ]
    );
}

#[test]
fn ifupdown_brings_a_card_up_with_addresses_routes_and_size() {
    let Some(site) = site() else { return };
    let said = site.on(
        "plain",
        &format!(
            "{CARDS}
            mkdir -p /run/network
            ifup -a >/dev/null 2>&1 || exit
            ip -o addr show dev eth0 scope global | awk '{{print $4}}'
            ip route show dev eth0 | grep via
            ip -6 route show dev eth0 | grep via | sed 's/ pref .*//'
            cat /sys/class/net/eth0/mtu
            ip -br link show eth1 | awk '{{print $2}}'"
        ),
    );
    assert_eq!(
        lines(&said),
        [
            "10.20.1.1/16",
            "fd00:20::11/64",
            "default via 10.20.0.1 onlink",
            "10.99.0.0/16 via 10.20.0.254",
            "fd00:99::/64 via fd00:20::fe metric 1024",
            "default via fd00:20::1 metric 1024 onlink",
            "9000",
            "DOWN",
        ]
    );
}

#[test]
fn ifupdown_reads_the_interfaces_of_every_node() {
    let Some(site) = site() else { return };
    let list = "ifquery --list --all | tr '\\n' ' '
        for name in $(ifquery --list --all); do ifquery $name >/dev/null || exit; done";
    let listed = NODES.map(|node| (node, site.on(node, list).trim().to_owned()));
    assert_eq!(
        listed.each_ref().map(|(node, names)| (*node, names.as_str())),
        [
            ("plain", "lo eth0"),
            ("bonded", "lo bond0 bond0.40"),
            ("ib", "lo eth0 ib0"),
            ("bridged", "lo br0 eth0.40 eth1"),
            ("six", "lo eth0"),
            ("disks", "lo eth0"),
            ("odd", "lo bond1 eth1 ib0 bond1.41"),
        ]
    );
    let bond = site.on("bonded", "ifquery bond0");
    assert_eq!(
        lines(&bond),
        [
            "address: 10.20.1.2",
            "gateway: 10.20.0.1",
            "hwaddress: 52:54:00:00:02:99",
            "dns-nameservers: 10.20.0.2",
            "bond-slaves: eth0 eth1",
            "bond-mode: 802.3ad",
            "bond-miimon: 50",
            "bond-downdelay: 0",
            "bond-updelay: 0",
            "bond-xmit-hash-policy: layer3+4",
            "broadcast: 10.20.255.255",
            "netmask: 255.255.0.0",
        ]
    );
}

#[test]
fn a_shell_reads_the_ifcfg_files() {
    let Some(site) = site() else { return };
    for node in NODES {
        let said = site.on(
            node,
            "for file in /etc/sysconfig/network /etc/sysconfig/network-scripts/ifcfg-*; do
                sh -euc '. \"$1\"; case $1 in */ifcfg-*) : $NAME ${DEVICE-$HWADDR} $ONBOOT $BOOTPROTO ;; esac' - \"$file\" || exit
            done
            for file in /etc/sysconfig/network-scripts/route-*; do
                [ -e \"$file\" ] || continue
                # Each line is what ip takes, after the device.
                while read -r to via gateway rest; do
                    case $to in '#') continue ;; esac
                    case $via:$rest in : | via: | via:metric\\ *) continue ;; esac
                    { echo \"$file: $to $via $gateway $rest\"; exit 1; }
                done <$file
            done",
        );
        assert_eq!(said, "", "node {node}");
    }
    let said =
        site.on("bonded", ". /etc/sysconfig/network-scripts/ifcfg-fast.conf; echo \"$TYPE $DEVICE $BONDING_OPTS\"");
    assert_eq!(said, "Bond bond0 mode=802.3ad miimon=50 downdelay=0 updelay=0 xmit_hash_policy=layer3+4\n");
}

/// What wicked knows of an interface, as far as we write it (its schema/*.xml: interface, bond, bridge, vlan, addrconf), and
/// what it calls modes and policies (the maps of user names in its src/bonding.c).
const WICKED: &[&str] = &[
    "name",
    "link-type ethernet",
    "link-type infiniband",
    "control/mode boot",
    "control/mode manual",
    "firewall",
    "vlan/device",
    "vlan/tag",
    "vlan/protocol ieee802-1Q",
    "bond/mode balance-rr",
    "bond/mode active-backup",
    "bond/mode balance-xor",
    "bond/mode broadcast",
    "bond/mode ieee802-3ad",
    "bond/mode balance-tlb",
    "bond/mode balance-alb",
    "bond/address",
    "bond/miimon/frequency",
    "bond/miimon/updelay",
    "bond/miimon/downdelay",
    "bond/xmit-hash-policy layer2",
    "bond/xmit-hash-policy layer23",
    "bond/xmit-hash-policy layer34",
    "bond/slaves/slave/device",
    "bridge/stp false",
    "bridge/ports/port/device",
    "link/master",
    "link/mtu",
    "ipv4/enabled true",
    "ipv4/enabled false",
    "ipv4:static/address/local",
    "ipv4:static/route/destination",
    "ipv4:static/route/nexthop/gateway",
    "ipv6/enabled true",
    "ipv6/enabled false",
    "ipv6/privacy prefer-public",
    "ipv6/accept-redirects false",
    "ipv6:static/address/local",
    "ipv6:static/route/destination",
    "ipv6:static/route/nexthop/gateway",
];

#[test]
fn wickeds_documents_are_well_formed_and_say_nothing_that_wicked_does_not_know() {
    let Some(site) = site() else { return };
    for node in NODES {
        let said = site.on(
            node,
            "cat >/tmp/leaves <<'END'
import sys, pyexpat
path, text, leaf = [], '', False
def start(name, _):
    global text, leaf
    path.append(name)
    text, leaf = '', True
def words(more):
    global text
    text += more
def end(_):
    global leaf
    if leaf:
        print('/'.join(path[1:]), text)
    path.pop()
    leaf = False
for name in sys.argv[1:]:
    parser = pyexpat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, words
    parser.ParseFile(open(name, 'rb'))
END
            python3 /tmp/leaves /etc/wicked/ifconfig/*.xml",
        );
        let known = |leaf: &&str| {
            let path = leaf.split_once(' ').map_or(*leaf, |(path, _)| path);
            WICKED.contains(leaf) || WICKED.contains(&path)
        };
        let unknown: Vec<&str> = lines(&said).into_iter().filter(|leaf| !known(leaf)).collect();
        assert_eq!(unknown, Vec::<&str>::new(), "node {node}");
        assert!(said.contains("name "), "node {node}: {said}");
    }
}

#[test]
fn the_resolver_finds_every_node_and_the_controller() {
    let Some(site) = site() else { return };
    let said = site.on(
        "six",
        // Without an address of its own the resolver gives none of that kind.
        "ip addr add 10.20.9.9/32 dev lo
        for name in plain plain-default plain-eth0 bonded-storage bonded warewulf; do
            getent -s files ahostsv4 $name | awk -v name=$name 'NR == 1 { print name, $1 }'
        done; cat /etc/hostname",
    );
    assert_eq!(
        lines(&said),
        [
            "plain 10.20.1.1",
            "plain-default 10.20.1.1",
            "plain-eth0 10.20.1.1",
            "bonded-storage 10.40.1.2",
            "bonded 10.20.1.2",
            "warewulf 10.10.0.1",
            "six"
        ]
    );
}
