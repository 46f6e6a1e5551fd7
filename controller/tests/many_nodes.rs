//! What an edit of one node means for all the others: what they share is made once, and what is not theirs does not
//! concern them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop at the first surprise")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use controller::build::{OverlayKind, Works, Workshop, fresh_overlay, offer};
use controller::cluster::Cluster;
use controller::site::Site;
use model::{Conf, Node, NodesConf};
use render::reads::ReadSet;

fn site(folder: &Path, datadir: &Path) -> Arc<Site> {
    let mut conf = Conf::parse("ipaddr: 10.0.0.1\nnetmask: 255.0.0.0\noverlays: {materialize: false}\n").unwrap();
    conf.paths.sysconfdir = folder.join("etc");
    conf.paths.datadir = datadir.into();
    conf.paths.wwoverlaydir = folder.join("overlays");
    conf.paths.wwchrootdir = folder.join("chroots");
    conf.paths.wwprovisiondir = folder.join("provision");
    Arc::new(Site { conf_path: folder.join("etc/warewulf/warewulf.conf"), conf })
}

fn put(path: PathBuf, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Nodes whose hosts file names them all, with the nanosecond of its rendering in it.
const NODES: usize = 60;

struct Hall {
    dir: tempfile::TempDir,
    site: Arc<Site>,
    works: Arc<Works>,
}

impl Hall {
    fn new() -> Hall {
        let dir = tempfile::tempdir().unwrap();
        let site = site(dir.path(), &dir.path().join("share"));
        // Too large to stand in each recipe.
        let mut hosts = "# {{now | date \"15:04:05.000000000\"}}\n".to_owned();
        (0..2000).for_each(|line| writeln!(hosts, "# line {line} of what is the same for all").unwrap());
        hosts.push_str("{{range .AllNodes}}{{.Id}} {{(index .NetDevs \"default\").Ipaddr}}\n{{end}}");
        put(dir.path().join("overlays/base/rootfs/etc/hosts.ww"), &hosts);
        put(dir.path().join("overlays/base/rootfs/etc/name.ww"), "{{.Id}}\n");
        Hall { dir, site, works: Arc::default() }
    }

    /// `last` is the end of the first node's address.
    fn cluster(&self, generation: u64, last: u8) -> Cluster {
        let mut text = "nodeprofiles: {p: {system overlay: [base]}}\nnodes:\n".to_owned();
        for node in 0..NODES {
            let address = if node == 0 { format!("10.9.9.{last}") } else { format!("10.0.1.{node}") };
            writeln!(text, "  n{node:02}: {{profiles: [p], network devices: {{default: {{ipaddr: {address}}}}}}}")
                .unwrap();
        }
        Cluster::new(Arc::clone(&self.site), NodesConf::parse(&text).unwrap(), generation, Arc::clone(&self.works))
    }

    /// All nodes ask, four at a time; their hosts files.
    fn all_ask(&self, cluster: &Cluster) -> BTreeSet<Vec<u8>> {
        std::thread::scope(|scope| {
            let some = |first: usize| {
                let ask = move |node: &Arc<Node>| {
                    fresh_overlay(cluster, &node.id, OverlayKind::System).unwrap();
                    let archive = offer::archive(&cluster.site, node, OverlayKind::System).unwrap().unwrap();
                    let entries = archive::newc::read(&archive).unwrap();
                    let hosts = entries.into_iter().find(|entry| entry.path == b"etc/hosts").unwrap();
                    let archive::Kind::File(content) = hosts.kind else { return Vec::new() };
                    content.to_vec()
                };
                scope.spawn(move || cluster.merged.iter().skip(first).step_by(4).map(ask).collect::<Vec<_>>())
            };
            let askers = [0, 1, 2, 3].map(some);
            askers.into_iter().flat_map(|asker| asker.join().unwrap()).collect()
        })
    }

    /// The shared pieces, each with its inode.
    fn pieces(&self) -> BTreeSet<(String, u64)> {
        let entries = fs::read_dir(self.dir.path().join("provision/.overlays/pieces")).unwrap().map(Result::unwrap);
        let name = |entry: &fs::DirEntry| entry.file_name().into_string().unwrap();
        let pieces = entries.filter(|entry| !name(entry).starts_with('.'));
        pieces.map(|entry| (name(&entry), entry.metadata().unwrap().ino())).collect()
    }

    fn tag(&self, cluster: &Cluster, node: usize) -> String {
        match offer::offer(&cluster.site, &cluster.merged[node], OverlayKind::System, true).unwrap() {
            offer::Offer::Known { etag, .. } => etag,
            other => format!("{other:?}"),
        }
    }
}

#[test]
fn after_an_address_edit_hosts_is_rendered_and_packed_once_for_all_who_ask() {
    let hall = Hall::new();
    let before = hall.cluster(1, 1);
    assert_eq!(hall.all_ask(&before).len(), 1, "one clock in all of them");
    let (pieces, packings, builds) = (hall.pieces(), hall.works.packings(), hall.works.builds());
    assert_eq!(pieces.len(), 1);
    let tags: Vec<String> = (0..NODES).map(|node| hall.tag(&before, node)).collect();

    let after = hall.cluster(2, 2);
    fresh_overlay(&after, "n00", OverlayKind::System).unwrap();
    assert_eq!(hall.works.builds(), builds + 1, "nobody else asked");
    assert_eq!(hall.works.packings(), packings + 1);
    let other = (1..NODES).filter(|node| hall.tag(&after, *node) != tags[*node]).count();
    assert_eq!(other, 0, "what nobody asked for is what it was");
    let first: Vec<_> = hall.pieces().difference(&pieces).cloned().collect();
    assert_eq!(first.len(), 1);

    let hosts = hall.all_ask(&after);
    assert_eq!(hosts.len(), 1, "one clock in all of them");
    assert!(String::from_utf8_lossy(hosts.first().unwrap()).contains("\nn00 10.9.9.2\nn01 10.0.1.1\n"));
    assert_eq!(hall.works.builds(), builds + NODES as u64, "each once, when it asked");
    assert_eq!(hall.works.packings(), packings + 1, "by the first");
    let now: Vec<_> = hall.pieces().difference(&pieces).cloned().collect();
    assert_eq!(now, first, "and written once");
    assert_eq!((0..NODES).filter(|node| hall.tag(&after, *node) == tags[*node]).count(), 0);
}

#[test]
fn an_overlay_that_many_read_at_once_is_one_for_all_of_them() {
    let hall = Hall::new();
    let cluster = hall.cluster(1, 1);
    for _ in 0..20 {
        let cluster = Cluster::new(
            Arc::clone(&hall.site),
            NodesConf::parse("nodes: {n: {system overlay: [base]}}").unwrap(),
            cluster.generation,
            Arc::default(),
        );
        let start = std::sync::Barrier::new(4);
        let read = || {
            let shop = Workshop::of(&cluster);
            let found = shop.find("base").unwrap();
            start.wait();
            shop.overlay(&found).unwrap().1
        };
        let all = std::thread::scope(|scope| [(); 4].map(|()| scope.spawn(read)).map(|one| one.join().unwrap()));
        assert!(all.iter().all(|overlay| Arc::ptr_eq(overlay, &all[0])), "what one renders the others find");
    }
}

/// As many as the largest site that we were asked for.
const LARGE: usize = 10_000;

/// Which nodes' archives of a kind are made from something else, when templates read this.
fn concerned(before: &Workshop, after: &Workshop, reads: &ReadSet) -> Vec<usize> {
    let key = |shop: &Workshop, node: &Arc<Node>| shop.job(node).key(reads);
    let pairs = before.nodes().iter().zip(after.nodes()).enumerate();
    pairs.filter(|(_, (old, new))| key(before, old) != key(after, new)).map(|(at, _)| at).collect()
}

#[test]
fn a_comment_among_ten_thousand_nodes_concerns_nobody_and_an_address_all_who_have_hosts() {
    let dir = tempfile::tempdir().unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../share");
    fs::create_dir(dir.path().join("share")).unwrap();
    std::os::unix::fs::symlink(&shipped, dir.path().join("share/warewulf")).unwrap();
    let site = site(dir.path(), &dir.path().join("share"));
    let conf = fs::read_to_string(shipped.join("etc/nodes.conf")).unwrap();
    let profile = &NodesConf::parse(&conf).unwrap().profiles["default"];
    let one = NodesConf::parse("nodes: {n: {network devices: {default: {device: eth0, netmask: 255.0.0.0}}}}").unwrap();
    let mut node = one.merged("n").unwrap();
    node.profile.system_overlay = profile.system_overlay.clone();
    node.profile.runtime_overlay = profile.runtime_overlay.clone();
    let node = |serial: usize| {
        let mut node = Node { id: format!("n{serial:05}"), ..node.clone() };
        let device = node.profile.network_devices.get_mut("default").unwrap();
        device.hwaddr = format!("52:54:00:00:{:02x}:{:02x}", serial / 256, serial % 256);
        device.ipaddr = Some(std::net::Ipv4Addr::from_bits(0x0a00_0000 + u32::try_from(serial).unwrap()).into());
        node
    };
    let mut nodes: Vec<Node> = (0..LARGE).map(node).collect();
    let first = Workshop::new(Arc::clone(&site), &nodes);
    nodes[77].profile.comment = "edited".into();
    let comment = Workshop::new(Arc::clone(&site), &nodes);
    nodes[77].profile.network_devices.get_mut("default").unwrap().ipaddr = Some([10, 9, 9, 9].into());
    let address = Workshop::new(Arc::clone(&site), &nodes);
    for kind in OverlayKind::BOTH {
        let found = kind.list(&nodes[0]).iter().map(|name| first.find(name).unwrap());
        let overlays: Vec<_> = found.map(|found| first.overlay(&found).unwrap().1).collect();
        let reads = |serial: usize| {
            let outcome = first.job(&first.nodes()[serial]).run(&overlays);
            assert_eq!(outcome.problems, []);
            outcome.reads
        };
        let all = reads(0);
        assert!([76, 77, 78, LARGE - 1].iter().all(|serial| reads(*serial).id() == all.id()), "all read the same");
        assert_eq!(concerned(&first, &comment, &all), [0_usize; 0], "{kind}");
        assert_eq!(concerned(&comment, &address, &all).len(), LARGE, "{kind}: hosts is in both lists");
    }
}
