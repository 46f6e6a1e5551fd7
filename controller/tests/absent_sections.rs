//! Every optional section of warewulf.conf and nodes.conf may be absent, without a value, or empty: nothing panics over it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod world;

use serde_json::json;
use world::{CONF, NODES, World};

const CONF_FILE: &str = "etc/warewulf/warewulf.conf";

/// Every section there is, each with something in it.
const SECTIONS: [(&str, &str); 9] = [
    ("warewulf", "{port: @PORT@, secure: false, update interval: 30}"),
    ("api", "{enabled: false, allowed subnets: [127.0.0.0/8]}"),
    ("dhcp", "{enabled: true, template: default, range start: 10.20.1.1, range end: 10.20.1.9}"),
    ("tftp", "{enabled: true, tftproot: /srv/tftp, ipxe: {\"00:00\": undionly.kpxe}}"),
    ("nfs", "{enabled: true, export paths: [{path: /home, export options: rw}]}"),
    ("ssh", "{key types: [ed25519]}"),
    ("image mounts", "[{source: /etc/hosts}]"),
    ("overlays", "{materialize: true}"),
    ("wwclient", "{port: 987}"),
];

/// Every field of a node that holds others.
const FIELDS: [(&str, &str); 10] = [
    ("profiles", "[default]"),
    ("runtime overlay", "[all]"),
    ("system overlay", "[all]"),
    ("kernel", "{version: 6.1.0, args: [quiet]}"),
    ("ipmi", "{ipaddr: 10.30.0.1, username: u, write: true, template: x.tmpl, tags: {vlan: \"5\"}}"),
    (
        "network devices",
        "{default: {device: eth0, hwaddr: 02:00:00:00:00:01, ipaddr: 10.20.0.5, tags: {DNS1: 10.0.0.1}}}",
    ),
    ("tags", "{a: b}"),
    ("disks", "{/dev/vda: {wipe_table: true, partitions: {root: {number: 1, size_mib: 100}}}}"),
    ("filesystems", "{/dev/vda1: {format: ext4, path: /, options: [-F]}}"),
    ("resources", "{fstab: [{file: /home}]}"),
];

/// It touches every part of the data that a section gives.
const TEMPLATE: &str = "{{.Id}} {{.Hostname}} {{.ClusterName}} {{.Kernel.Version}} {{.Kernel.Args}} {{.Ipmi.Ipaddr}}
{{.Ipmi.UserName}} {{.Ipmi.Write}} {{.Ipmi.Write.Bool}} {{.Ipmi.Tags}} {{.Tags}} {{.NetDevs}} {{.Disks}} {{.FileSystems}}
{{.Resources}} {{range .AllNodes}}{{.Id}}{{range .NetDevs}}{{.Ipaddr}}{{.IpCIDR}}{{end}}{{end}} {{.ThisNode.Valid}}
{{range .ThisNode.DiskList}}{{.Id}}{{range .PartitionList}}{{.Id}}{{end}}{{end}}{{range .ThisNode.FileSystemList}}{{.Id}}{{end}}
{{.Ipaddr}} {{.Netmask}} {{.Network}} {{.NetworkCIDR}} {{.Ipv6}} {{.Warewulf.Port}} {{.Warewulf.Secure}} {{.Warewulf.UpdateInterval}}
{{.Dhcp.Enabled}} {{.Dhcp.RangeStart}} {{.Tftp.Enabled}} {{.Tftp.IpxeBinaries}} {{.Nfs.Enabled}} {{.Nfs.ExportsExtended}}
{{.Ssh.KeyTypes}} {{.Paths.Sysconfdir}} {{.Paths.NodesConf}} {{IgnitionJson}}
";

fn world(conf: &str, nodes: &str) -> World {
    let world = World::empty();
    world.put(CONF_FILE, &json!(conf));
    world.put(NODES, &json!(nodes));
    world.put("share/warewulf/overlays/all/rootfs/etc/all.ww", &json!(TEMPLATE));
    world.put("share/warewulf/bmc/x.tmpl", &json!("{{ $cmd := .Cmd }}echo {{ .Cmd }} {{ .Ipaddr }} {{ .Tags }}"));
    world
}

/// The rows with one of them as it is said, or without it.
fn rows(rows: &[(&str, &str)], odd: Option<(usize, &str)>, indent: &str) -> String {
    let mut text = String::new();
    for (at, (key, value)) in rows.iter().enumerate() {
        match odd {
            Some((which, "")) if which == at => {}
            Some((which, said)) if which == at => text.push_str(&format!("{indent}{key}: {said}\n")),
            _ => text.push_str(&format!("{indent}{key}: {value}\n")),
        }
    }
    text
}

/// What reads nodes.conf, in every form.
const OF_NODES: [&[&str]; 16] = [
    &["node", "list"],
    &["node", "list", "-a"],
    &["node", "list", "-n"],
    &["node", "list", "-i"],
    &["node", "list", "-l"],
    &["node", "list", "-y"],
    &["node", "list", "-j"],
    &["profile", "list", "-a"],
    &["overlay", "show", "-q", "-r", "n1", "all", "/etc/all.ww"],
    &["overlay", "build"],
    &["power", "status", "-s", "n1"],
    &["ssh", "-n", "n1", "true"],
    &["image", "list", "-l"],
    &["node", "set", "-y", "n1", "--comment", "x"],
    &["node", "unset", "-y", "n1", "--comment"],
    &["upgrade", "nodes", "--add-defaults=true", "--replace-overlays=true", "-o", "-"],
];

/// What looks into all of warewulf.conf.
const OF_CONF: [&[&str]; 5] = [
    &["genconfig", "warewulfconf", "print"],
    &["overlay", "show", "-q", "-r", "n1", "all", "/etc/all.ww"],
    &["overlay", "build"],
    &["upgrade", "config", "-o", "-"],
    &["clean"],
];

/// All of it comes to an end that is no crash. Exit 255 is said with a reason.
fn nothing_crashes(world: &World, commands: &[&[&str]], what: &str) {
    for words in commands {
        let ran = world.run(words);
        let said = ran.exit == 255 && ran.stderr.contains("ERROR: ");
        assert!(ran.exit == 0 || said, "{what}: {words:?}: {} {}", ran.exit, ran.stderr);
        assert!(!ran.stderr.contains("panicked"), "{what}: {words:?}: {}", ran.stderr);
        // Only a machine without a BMC, and one that is in no file, are reasons to fail.
        assert!(ran.exit == 0 || words[0] == "power", "{what}: {words:?}: {}", ran.stderr);
    }
}

fn nodes(odd: Option<(usize, &str)>) -> String {
    format!("nodeprofiles:\n  default: {{}}\nnodes:\n  n1:\n{}  n2: {{}}\n", rows(&FIELDS, odd, "    "))
}

fn conf(odd: Option<(usize, &str)>) -> String {
    CONF.replace("warewulf:\n  secure: false\n", &rows(&SECTIONS, odd, "")).replace("@PORT@", "9873")
}

#[test]
fn every_section_of_warewulf_conf_may_be_absent_or_empty() {
    for (at, (key, value)) in SECTIONS.iter().enumerate() {
        let empty = if value.starts_with('[') { "[]" } else { "{}" };
        for said in ["", "~", empty] {
            nothing_crashes(&world(&conf(Some((at, said))), &nodes(None)), &OF_CONF, &format!("{key}: {said:?}"));
        }
    }
}

#[test]
fn every_section_of_a_node_may_be_absent_or_empty() {
    for (at, (key, value)) in FIELDS.iter().enumerate() {
        let empty = if value.starts_with('[') { "[]" } else { "{}" };
        for said in ["", if at % 2 == 0 { "~" } else { empty }] {
            nothing_crashes(&world(&conf(None), &nodes(Some((at, said)))), &OF_NODES, &format!("{key}: {said:?}"));
        }
    }
}

#[test]
fn both_files_may_say_nothing_at_all() {
    let paths = CONF.split_once("paths:").unwrap().1;
    for nodes in ["nodes: {n1: {}}\n", "nodes:\n  n1:\n", "nodeprofiles:\nnodes: {n1: ~}\n"] {
        nothing_crashes(&world(&format!("paths:{paths}"), nodes), &[&OF_NODES[..], &OF_CONF].concat(), nodes);
    }
    // Of each device nothing is said but its name.
    let bare = "nodes: {n1: {network devices: {a: , b: {}}, disks: {/dev/a: , /dev/b: {partitions: {x: }}}, \
                filesystems: {/dev/c: }, ipmi: , kernel: , tags: {t: }, resources: {r: }}}\n";
    nothing_crashes(&world(&conf(None), bare), &OF_NODES, bare);
}
