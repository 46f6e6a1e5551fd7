//! What a template reads decides what it depends on: of each field, changed alone, the key knows whether it was read.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use archive::{Entry, Kind};
use model::node::{Any, Disk, FileSystem, NetDev, Partition, Truth};
use model::{Conf, Node};
use render::layer::{ImageLinks, NoImage};
use render::reads::{Read, ReadSet};
use render::template::Nowhere;
use render::{Job, Overlay, Source, World};

/// No files at all.
struct Bare;

impl Source for Bare {
    fn file(&self, _: &str) -> Result<Option<Vec<u8>>, String> {
        Ok(None)
    }

    fn image_file(&self, _: &str, _: &str) -> Result<Option<Vec<u8>>, String> {
        Ok(None)
    }

    fn resolve(&self, path: &str) -> Result<String, String> {
        Ok(path.to_owned())
    }

    fn newest_kernel(&self, _: &str) -> Option<String> {
        None
    }

    fn image_links(&self, _: &str) -> Box<dyn ImageLinks + '_> {
        Box::new(NoImage)
    }

    fn state(&self, _: &Read) -> [u8; 32] {
        [0; 32]
    }
}

type Edit = fn(&mut Node);

/// Each is a leaf, how a template reads it of `$n`, and a change of it alone.
const LEAVES: &[(&str, Edit)] = &[
    ("$n.Comment", |n| n.profile.comment += "x"),
    ("$n.ClusterName", |n| n.profile.cluster_name += "x"),
    ("$n.ImageName", |n| n.profile.image_name += "x"),
    ("$n.Ipxe", |n| n.profile.ipxe_template += "x"),
    ("$n.Init", |n| n.profile.init += "x"),
    ("$n.Root", |n| n.profile.root += "x"),
    ("$n.AssetKey", |n| n.asset_key += "x"),
    ("$n.Discoverable.Bool", |n| n.discoverable = Truth("yes".into())),
    ("range $n.Profiles}}{{.", |n| n.profile.profiles.push("x".into())),
    ("$n.RuntimeOverlay", |n| n.profile.runtime_overlay.push("x".into())),
    ("join \",\" $n.SystemOverlay", |n| n.profile.system_overlay.push("x".into())),
    ("$n.Kernel.Version", |n| n.profile.kernel.version += "x"),
    ("index $n.Kernel.Args 0", |n| n.profile.kernel.args.push("x".into())),
    ("$n.Ipmi.UserName", |n| n.profile.ipmi.username += "x"),
    ("$n.Ipmi.Password", |n| n.profile.ipmi.password += "x"),
    ("$n.Ipmi.Ipaddr", |n| n.profile.ipmi.ipaddr = "10.9.9.9".parse().ok()),
    ("$n.Ipmi.Write.Bool", |n| n.profile.ipmi.write = Truth("yes".into())),
    ("$n.Ipmi.Tags.a", |n| n.profile.ipmi.tags.insert("a".into(), "x".into()).map_or((), drop)),
    ("$n.Tags.rack", |n| n.profile.tags.insert("rack".into(), "x".into()).map_or((), drop)),
    ("index $n.Tags \"a.b c\"", |n| n.profile.tags.insert("a.b c".into(), "x".into()).map_or((), drop)),
    ("hasKey $n.Resources \"seldom\"", |n| resource(n, "seldom", Any::Int(1))),
    ("index $n.Tags \"seldom\"", |n| n.profile.tags.insert("seldom".into(), "x".into()).map_or((), drop)),
    ("$n.NetDevs.default.Type", |n| device(n).kind += "x"),
    ("$n.NetDevs.default.OnBoot.BoolDefaultTrue", |n| device(n).onboot = Truth("no".into())),
    ("$n.NetDevs.default.Device", |n| device(n).device += "x"),
    ("(index $n.NetDevs \"default\").Hwaddr", |n| device(n).hwaddr += "x"),
    ("$n.NetDevs.default.Ipaddr", |n| device(n).ipaddr = "10.9.9.9".parse().ok()),
    ("$n.NetDevs.default.Netmask", |n| device(n).netmask = "255.0.0.0".parse().ok()),
    ("$n.NetDevs.default.Gateway", |n| device(n).gateway = "10.9.9.9".parse().ok()),
    ("$n.NetDevs.default.Ipaddr6", |n| device(n).ipaddr6 = "fd00::9".parse().ok()),
    ("$n.NetDevs.default.PrefixLen6", |n| device(n).prefixlen6 += "1"),
    ("$n.NetDevs.default.MTU", |n| device(n).mtu += "1"),
    ("$n.NetDevs.default.Tags.vlan", |n| device(n).tags.insert("vlan".into(), "x".into()).map_or((), drop)),
    ("with index $n.Disks \"/dev/vda\"}}{{.WipeTable", |n| disk(n).wipe_table = Some(true)),
    ("range (index $n.Disks \"/dev/vda\").PartitionList}}{{.SizeMiB", |n| partition(n).size_mib += "1"),
    ("(index (index $n.Disks \"/dev/vda\").Partitions \"scratch\").Guid", |n| partition(n).guid += "1"),
    ("range $n.FileSystemList}}{{.Format", |n| system(n).format += "x"),
    ("range $n.FileSystems}}{{.MountOptions", |n| system(n).mount_options += "x"),
    ("$n.Resources.fstab | toJson", |n| resource(n, "fstab", Any::List(vec![Any::Int(1)]))),
    ("$n.Resources.deep.down.there", |n| {
        let Some(Any::Map(deep)) = n.profile.resources.get_mut("deep") else { return };
        let Some(Any::Map(down)) = deep.get_mut("down") else { return };
        down.insert("there".into(), Any::Int(9));
    }),
];

fn device(node: &mut Node) -> &mut NetDev {
    node.profile.network_devices.get_mut("default").unwrap()
}

fn disk(node: &mut Node) -> &mut Disk {
    node.profile.disks.get_mut("/dev/vda").unwrap()
}

fn partition(node: &mut Node) -> &mut Partition {
    disk(node).partitions.get_mut("scratch").unwrap()
}

fn system(node: &mut Node) -> &mut FileSystem {
    node.profile.filesystems.get_mut("/dev/vda1").unwrap()
}

fn resource(node: &mut Node, name: &str, value: Any) {
    node.profile.resources.insert(name.into(), value);
}

/// A node that has something everywhere.
fn node(id: &str) -> Node {
    let mut node = Node { id: id.into(), ..Node::default() };
    let profile = &mut node.profile;
    profile.kernel.version = "6.1".into();
    profile.kernel.args = vec!["quiet".into()];
    profile.profiles = vec!["default".into()];
    profile.system_overlay = vec!["base".into()];
    profile.tags = [("rack", "r1"), ("a.b c", "1")].map(|(k, v)| (k.into(), v.into())).into();
    profile.ipmi.tags = [("a".into(), "1".into())].into();
    let tags = BTreeMap::from([("vlan".to_owned(), "7".to_owned())]);
    let device = |ip: &str| NetDev { ipaddr: ip.parse().ok(), tags: tags.clone(), ..NetDev::default() };
    profile.network_devices = [("default".into(), device("10.0.0.1")), ("ib0".into(), device("10.1.0.1"))].into();
    let scratch = Partition { number: "1".into(), ..Partition::default() };
    profile
        .disks
        .insert("/dev/vda".into(), Disk { wipe_table: None, partitions: [("scratch".into(), scratch)].into() });
    profile.filesystems.insert("/dev/vda1".into(), FileSystem::default());
    let down = Any::Map([("there".into(), Any::Text("x".into())), ("other".into(), Any::Null)].into());
    profile.resources.insert("deep".into(), Any::Map([("down".into(), down)].into()));
    profile.resources.insert("fstab".into(), Any::List(vec![Any::Text("x".into())]));
    node
}

/// `n1` among its neighbours; the first edit is of itself, the second of a neighbour.
fn job(own: Option<Edit>, other: Option<Edit>, conf: &Conf) -> Job {
    let mut nodes: Vec<Node> = ["n1", "n2", "n3"].map(node).into();
    own.into_iter().for_each(|edit| edit(&mut nodes[0]));
    other.into_iter().for_each(|edit| edit(&mut nodes[1]));
    let world = Arc::new(World::new(conf.clone(), &nodes, "head".into()));
    let node = Arc::clone(world.node("n1").unwrap());
    Job { world, node, source: Arc::new(Bare), outside: Arc::new(Nowhere), kept: Arc::default() }
}

fn read_by(job: &Job, text: &str) -> ReadSet {
    let kind = Kind::File(text.as_bytes().into());
    let entry = Entry { path: "t.ww".into(), mode: 0o644, uid: 0, gid: 0, mtime: 5, kind, xattrs: BTreeMap::new() };
    let outcome = job.run(&[Arc::new(Overlay::new("a", "/overlays/a", vec![entry]))]);
    assert_eq!(outcome.problems, [], "{text}");
    // The image is not a template's to read.
    ReadSet::new(outcome.reads.iter().filter(|read| !read.is_file()).cloned().collect())
}

fn lines(text: &str) -> Vec<String> {
    read_by(&job(None, None, &Conf::default()), text).iter().map(Read::line).collect()
}

/// A template that reads these leaves.
fn text(leaves: &[usize], around: (&str, &str)) -> String {
    let one = |leaf: &usize| {
        let (read, _) = LEAVES[*leaf];
        let end = if read.contains("range ") || read.contains("with ") { "{{end}}" } else { "" };
        format!("{{{{{read}}}}}{end}\n")
    };
    format!("{}{}{}", around.0, leaves.iter().map(one).collect::<String>(), around.1)
}

const OWN: (&str, &str) = ("{{$n := .ThisNode}}", "");
const TOP: (&str, &str) = ("{{$n := .}}", "");
const WORLD: (&str, &str) = ("{{range $n := .AllNodes}}", "{{end}}");

#[test]
fn each_leaf_alone_changes_the_key_of_who_reads_it_and_of_nobody_else() {
    let conf = Conf::default();
    let before = job(None, None, &conf);
    for (read, (leaf, _)) in LEAVES.iter().enumerate() {
        for around in [OWN, TOP, WORLD] {
            // At the top a node has no methods.
            if around == TOP && leaf.contains("FileSystemList") {
                continue;
            }
            let text = text(&[read], around);
            let reads = read_by(&before, &text);
            let key = before.key(&reads);
            assert_eq!(job(None, None, &conf).key(&reads), key);
            for (changed, (name, edit)) in LEAVES.iter().enumerate() {
                let own = job(Some(*edit), None, &conf).key(&reads) != key;
                assert_eq!(own, read == changed, "{text} when {name} of the node changes: {reads:?}");
                let other = job(None, Some(*edit), &conf).key(&reads) != key;
                assert_eq!(
                    other,
                    read == changed && around == WORLD,
                    "{text} when {name} of another changes: {reads:?}"
                );
            }
        }
    }
}

#[test]
fn of_many_leaves_those_that_are_read_count() {
    let conf = Conf::default();
    let before = job(None, None, &conf);
    for seed in 1..=60u64 {
        eprintln!("seed {seed}");
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut half = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random & 1 == 1
        };
        let own: Vec<usize> = (0..LEAVES.len()).filter(|_| half()).collect();
        let world: Vec<usize> = (0..LEAVES.len()).filter(|_| half()).collect();
        let reads = read_by(&before, &format!("{}{}", text(&own, OWN), text(&world, WORLD)));
        let key = before.key(&reads);
        for (changed, (name, edit)) in LEAVES.iter().enumerate() {
            let (own, world) = (own.contains(&changed), world.contains(&changed));
            assert_eq!(job(Some(*edit), None, &conf).key(&reads) != key, own || world, "{name} of the node");
            assert_eq!(job(None, Some(*edit), &conf).key(&reads) != key, world, "{name} of another");
        }
    }
}

#[test]
fn of_the_configuration_what_is_read_counts() {
    type Change = fn(&mut Conf);
    let settings: &[(&str, Change)] = &[
        ("{{.Ipaddr}}", |c| c.ipaddr = "10.0.0.9".parse().ok()),
        ("{{.Netmask}}", |c| c.netmask = "255.255.0.0".parse().ok()),
        ("{{.Warewulf.Port}}", |c| c.warewulf.port += 1),
        ("{{.Warewulf.UpdateInterval}}", |c| c.warewulf.update_interval += 1),
        ("{{.Warewulf.Secure}}", |c| c.warewulf.secure = !c.warewulf.secure),
        ("{{.Dhcp.RangeStart}}", |c| c.dhcp.range_start = "10.0.0.9".parse().ok()),
        ("{{.Dhcp.RangeEnd}}", |c| c.dhcp.range_end = "10.0.0.9".parse().ok()),
        ("{{.Tftp.TftpRoot}}", |c| c.tftp.tftproot.push("x")),
        ("{{range .Nfs.ExportsExtended}}{{.Path}}{{end}}", |c| c.nfs.export_paths.push(("/x".into(), "rw".into()))),
        ("{{.Ssh.KeyTypes}}", |c| c.ssh.key_types.push("x".into())),
        ("{{.Paths.Sysconfdir}}", |c| c.paths.cachedir.push("x")),
    ];
    let conf = Conf::default();
    for (read, (text, _)) in settings.iter().enumerate().take(settings.len() - 1) {
        let before = job(None, None, &conf);
        let reads = read_by(&before, text);
        for (changed, (name, change)) in settings.iter().enumerate() {
            let mut conf = conf.clone();
            change(&mut conf);
            let is_new = job(None, None, &conf).key(&reads) != before.key(&reads);
            assert_eq!(is_new, read == changed, "{text} when {name} changes: {reads:?}");
        }
    }
}

#[test]
fn reads_are_noted_at_the_leaf() {
    assert_eq!(
        lines("{{.NetDevs.default.IpCIDR}}"),
        ["own NetDevs.default?", "own NetDevs.default.Ipaddr", "own NetDevs.default.Netmask",]
    );
    assert_eq!(
        lines("{{if .Tags}}{{len .Disks}}{{end}}{{.Tags.none}}{{hasKey .Resources \"fstab\"}}"),
        ["own Disks#", "own Resources.fstab?", "own Tags+", "own Tags.none?"]
    );
    assert_eq!(
        lines("{{range $name, $dev := .ThisNode.NetDevs}}{{$name}} {{$dev.Primary}}{{end}}"),
        ["own NetDevs{}", "own NetDevs.default?", "own NetDevs.ib0?", "own PrimaryNetDev",]
    );
    assert_eq!(
        lines("{{range .AllNodes}}{{.Id}} {{range .NetDevs}}{{.Ipaddr}}{{end}}{{end}}"),
        [
            "world #",
            "world Id",
            "world NetDevs{}",
            "world NetDevs.default?",
            "world NetDevs.default.Ipaddr",
            "world NetDevs.ib0?",
            "world NetDevs.ib0.Ipaddr",
        ]
    );
    assert_eq!(
        lines("{{env \"HOME\"}}{{.Dhcp.Enabled}}{{.BuildHost}}{{.BuildTime}}"),
        ["conf BuildHost", "conf Dhcp.Enabled", "environment HOME",]
    );
}

#[test]
fn a_value_handed_whole_to_a_function_is_a_read_of_all_of_it() {
    for call in ["toJson", "print", "printf \"%v\""] {
        let text = format!("{{{{.Tags | {call}}}}}");
        let lines = lines(&text);
        for read in ["own Tags{}", "own Tags.rack", "own Tags.a%2eb%20c"] {
            assert!(lines.contains(&read.to_owned()), "{text}: {lines:?}");
        }
    }
    let all = lines("{{printf \"%v\" (index .NetDevs \"ib0\")}}{{deepCopy .Resources | toJson}}{{IgnitionJson}}");
    for read in ["own NetDevs.ib0.Gateway6", "own NetDevs.ib0.Tags.vlan", "own Resources.deep.down.other", "own Disks"]
    {
        assert!(all.contains(&read.to_owned()), "{read}: {all:?}");
    }
}

#[test]
fn two_ways_to_one_device_are_equal_as_in_go() {
    let job = job(None, None, &Conf::default());
    let text = "{{eq .NetDevs.ib0 (index .ThisNode.NetDevs \"ib0\")}} {{eq .NetDevs.ib0 .NetDevs.default}}";
    let kind = Kind::File(text.as_bytes().into());
    let entry = Entry { path: "t.ww".into(), mode: 0o644, uid: 0, gid: 0, mtime: 5, kind, xattrs: BTreeMap::new() };
    let outcome = job.run(&[Arc::new(Overlay::new("a", "/overlays/a", vec![entry]))]);
    assert_eq!(outcome.problems, []);
    assert_eq!(outcome.tree[0].entry.kind, Kind::File(b"true false".as_slice().into()));
}

/// What was read, its key, and the bodies of the files.
type Given = (Arc<ReadSet>, [u8; 32], Vec<Arc<[u8]>>);

/// What each of many nodes gets of two overlays: a hosts file that lists all of them, and some lines of the node's own.
struct Crowd {
    overlay: Arc<Overlay>,
    nodes: Vec<Node>,
}

impl Crowd {
    fn new(count: u8) -> Crowd {
        let file = |path: &str, text: &str| {
            let kind = Kind::File(text.as_bytes().into());
            Entry { path: path.into(), mode: 0o644, uid: 0, gid: 0, mtime: 5, kind, xattrs: BTreeMap::new() }
        };
        let hosts = "# {{.BuildTime}}\n{{range .AllNodes}}{{.NetDevs.default.Ipaddr}} {{.Id}}\n{{end}}";
        let entries = vec![
            file("hosts.ww", hosts),
            file("motd.ww", "{{.Id}} {{.Tags.rack}}\n"),
            file("rack.ww", "{{.ClusterName}} {{.Tags.rack}}\n"),
        ];
        Crowd { overlay: Arc::new(Overlay::new("a", "/overlays/a", entries)), nodes: (0..count).map(one).collect() }
    }

    /// Of each node.
    fn run(&self) -> Vec<Given> {
        let world = Arc::new(World::new(Conf::default(), &self.nodes, "head".into()));
        let job = |node: &Arc<Node>| Job {
            world: Arc::clone(&world),
            node: Arc::clone(node),
            source: Arc::new(Bare),
            outside: Arc::new(Nowhere),
            kept: Arc::default(),
        };
        let one = |node: &Arc<Node>| {
            let job = job(node);
            let outcome = job.run(&[Arc::clone(&self.overlay)]);
            assert_eq!(outcome.problems, []);
            let body = |placed: &render::layer::Placed| match &placed.entry.kind {
                Kind::File(body) => Arc::clone(body),
                other => panic!("{other:?}"),
            };
            let key = job.key(&outcome.reads);
            (outcome.reads, key, outcome.tree.iter().map(body).collect())
        };
        world.nodes().iter().map(one).collect()
    }
}

fn one(number: u8) -> Node {
    let mut node = node(&format!("n{number:03}"));
    device(&mut node).ipaddr = format!("10.0.0.{number}").parse().ok();
    node.profile.tags.insert("rack".into(), format!("r{}", number / 40));
    node
}

#[test]
fn a_comment_changes_no_identity_and_an_address_renders_the_hosts_file_once() {
    let mut crowd = Crowd::new(200);
    let before = crowd.run();
    let (hosts, motd, rack) = (&before[0].2[0], &before[0].2[1], &before[0].2[2]);
    for (_, _, bodies) in &before[1..] {
        assert!(Arc::ptr_eq(&bodies[0], hosts), "the hosts file is one for all");
        assert_ne!(&bodies[1], motd);
        assert_eq!(Arc::ptr_eq(&bodies[2], rack), &bodies[2] == rack, "a rack's file is one for the rack");
    }
    let keys = |crowd: &[Given]| crowd.iter().map(|(_, key, _)| *key).collect::<Vec<_>>();
    crowd.nodes[7].profile.comment = "new".into();
    let after = crowd.run();
    assert_eq!(keys(&after), keys(&before));
    assert!(Arc::ptr_eq(&after[0].2[0], hosts));

    device(&mut crowd.nodes[7]).ipaddr = "10.0.9.9".parse().ok();
    let after = crowd.run();
    assert!(keys(&after).iter().zip(keys(&before)).all(|(after, before)| *after != before));
    for (_, _, bodies) in &after {
        assert!(Arc::ptr_eq(&bodies[0], &after[0].2[0]) && !Arc::ptr_eq(&bodies[0], hosts));
        assert!(String::from_utf8_lossy(&bodies[0]).contains("10.0.9.9 n007\n"));
    }
}
