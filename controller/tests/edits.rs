//! After any edit, what is served is what a build from nothing gives, and what did not change stays the same file.
//!
//! Seeds are printed; EDIT_SEED sets one.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use archive::{Entry, Kind};
use controller::build::record::Record;
use controller::build::{OverlayKind, Works, Workshop, fresh_overlay, trees};
use controller::cluster::Cluster;
use controller::site::Site;
use model::{Conf, NodesConf};
use render::Job;

/// Numbers that look random and are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % sides
    }

    fn one_of<'a>(&mut self, items: &[&'a str]) -> &'a str {
        items[self.roll(items.len())]
    }
}

/// Fields of nodes.conf that an edit may set, with `%` for a number, and where `@` is the name of a device.
const FIELDS: &[&str] = &[
    "comment=c%",
    "cluster name=c%",
    "init=/sbin/init%",
    "root=tmpfs%",
    "ipxe template=t%",
    "asset key=k%",
    "discoverable=true",
    "primary network=@",
    "kernel/version=6.1.%",
    "kernel/args=[quiet, a%]",
    "ipmi/ipaddr=10.9.0.%",
    "ipmi/username=u%",
    "ipmi/password=p%",
    "ipmi/write=true",
    "tags/rack=r%",
    "tags/hidden=h%",
    "tags/a.b=%",
    "network devices/@/device=eth%",
    "network devices/@/hwaddr=00:00:00:00:00:%",
    "network devices/@/ipaddr=10.0.%.1",
    "network devices/@/netmask=255.255.0.0",
    "network devices/@/gateway=10.0.0.%",
    "network devices/@/mtu=15%",
    "network devices/@/onboot=false",
    "network devices/@/type=ethernet",
    "network devices/@/tags/vlan=%",
    "disks//dev/vda/wipe_table=true",
    "disks//dev/vda/partitions/scratch/number=%",
    "disks//dev/vda/partitions/scratch/size_mib=1%",
    "filesystems//dev/disk/by-partlabel/scratch/format=ext4",
    "filesystems//dev/disk/by-partlabel/scratch/path=/scratch%",
    "resources/fstab=[{spec: home%, file: /home, vfstype: nfs}]",
    "resources/free/deep=%",
];

const DEVICES: &[&str] = &["default", "ib0", "eno1"];
const OWNERS: &[&str] = &["nodes/n1", "nodes/n2", "nodes/n3", "nodeprofiles/all", "nodeprofiles/some"];

/// Settings of warewulf.conf.
const SETTINGS: &[&str] = &[
    "ipaddr=10.0.0.%",
    "warewulf/port=98%",
    "warewulf/update interval=6%",
    "dhcp/range start=10.0.1.%",
    "tftp/enabled=true",
];

/// Path of slashes -> value, as YAML flow text.
type Fields = BTreeMap<String, String>;

/// A site whose files are written anew after each edit.
struct Place {
    dir: tempfile::TempDir,
    works: Arc<Works>,
    generation: u64,
    /// `nodes/n1` and the rest -> its fields.
    owners: BTreeMap<&'static str, Fields>,
    settings: Fields,
    /// The overlays that take part.
    overlays: Vec<String>,
}

/// An archive as a client tells it from others, and the identity of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Served {
    file: (u64, i64, i64),
    entries: BTreeMap<Vec<u8>, Entry>,
}

impl Place {
    fn new(overlays: &[(&str, &str)]) -> Place {
        let mut names: Vec<String> =
            overlays.iter().map(|(path, _)| path.split('/').next().unwrap().to_owned()).collect();
        names.dedup();
        let place = Place {
            dir: tempfile::tempdir().unwrap(),
            works: Arc::default(),
            generation: 0,
            owners: OWNERS.iter().map(|owner| (*owner, Fields::new())).collect(),
            settings: Fields::new(),
            overlays: names,
        };
        for (path, text) in overlays {
            place.put(&format!("overlays/{path}"), text);
        }
        place
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn put(&self, path: &str, text: &str) {
        // Times of change come in ticks of some milliseconds.
        std::thread::sleep(Duration::from_millis(12));
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn conf(&self) -> String {
        let root = self.dir.path().display();
        let mut settings = self.settings.clone();
        settings.entry("ipaddr".into()).or_insert("10.0.0.1".into());
        settings.insert("netmask".into(), "255.0.0.0".into());
        settings.insert("overlays/materialize".into(), "true".into());
        for (key, below) in [
            ("sysconfdir", "etc"),
            ("datadir", "share"),
            ("wwoverlaydir", "overlays"),
            ("wwchrootdir", "chroots"),
            ("wwprovisiondir", "provision"),
        ] {
            settings.insert(format!("paths/{key}"), format!("{root}/{below}"));
        }
        flow(&settings)
    }

    /// The lists of overlays are taken in turn, so that nodes differ in them.
    fn nodes_conf(&self) -> String {
        let mut text = String::new();
        for section in ["nodeprofiles", "nodes"] {
            writeln!(text, "{section}:").unwrap();
            for (owner, fields) in self.owners.iter().filter(|(owner, _)| owner.starts_with(&format!("{section}/"))) {
                let mut fields = fields.clone();
                let name = owner.split_once('/').unwrap().1;
                if section == "nodes" {
                    let list = self.overlays.join(", ");
                    fields.insert("runtime overlay".into(), format!("[{list}]"));
                    if name != "n3" {
                        fields.insert("system overlay".into(), format!("[{}]", self.overlays[0]));
                    }
                    fields.insert("profiles".into(), if name == "n1" { "[all]" } else { "[all, some]" }.into());
                }
                writeln!(text, "  {name}: {}", flow(&fields)).unwrap();
            }
        }
        text
    }

    fn edit(&mut self, dice: &mut Dice) -> String {
        let number = (dice.roll(8) + 10).to_string();
        let fill = |text: &str, dice: &mut Dice| text.replace('%', &number).replace('@', dice.one_of(DEVICES));
        match dice.roll(12) {
            0 => {
                let setting = fill(dice.one_of(SETTINGS), dice);
                let (key, value) = setting.split_once('=').unwrap();
                self.settings.insert(key.into(), value.into());
                setting
            }
            1 => {
                let path = format!("etc/warewulf/{}", dice.one_of(&["one", "two"]));
                if dice.roll(3) == 0 {
                    let _ = fs::remove_file(self.path(&path));
                    return format!("{path} gone");
                }
                self.put(&path, &format!("included {number}\nEND\n"));
                path
            }
            2 => {
                let path = format!("overlays/{}/rootfs/etc/plain", self.overlays[dice.roll(self.overlays.len())]);
                self.put(&path, &number);
                path
            }
            3 | 4 => {
                // A device, or all of what was said, goes.
                let owner = dice.one_of(OWNERS);
                let device = format!("network devices/{}/", dice.one_of(DEVICES));
                let what = if dice.roll(2) == 0 { device } else { fill(dice.one_of(FIELDS), dice) };
                let what = what.split('=').next().unwrap().to_owned();
                self.owners.get_mut(owner).unwrap().retain(|key, _| !key.starts_with(&what));
                format!("{owner}: no {what}")
            }
            _ => {
                let owner = dice.one_of(OWNERS);
                let field = fill(dice.one_of(FIELDS), dice);
                let (key, value) = field.split_once('=').unwrap();
                // Only nodes have these.
                if owner.starts_with("nodes/") || !matches!(key, "asset key" | "discoverable") {
                    self.owners.get_mut(owner).unwrap().insert(key.into(), value.into());
                }
                format!("{owner}: {field}")
            }
        }
    }

    fn cluster(&mut self) -> Cluster {
        self.generation += 1;
        self.put("etc/warewulf/nodes.conf", &self.nodes_conf());
        let conf = Conf::parse(&self.conf()).unwrap_or_else(|error| panic!("{error}\n{}", self.conf()));
        let site = Site { conf_path: self.path("etc/warewulf/warewulf.conf"), conf };
        let text = self.nodes_conf();
        let nodes = NodesConf::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        Cluster::new(site, nodes, self.generation, Arc::clone(&self.works))
    }

    fn served(&self, cluster: &Cluster, node: &str, kind: OverlayKind) -> Served {
        use std::os::unix::fs::MetadataExt;
        let path = fresh_overlay(cluster, node, kind).unwrap();
        let data = path.metadata().unwrap();
        let entries = archive::newc::read(&fs::read(path).unwrap()).unwrap();
        let entries = entries.into_iter().map(|entry| (entry.path.clone(), entry)).collect();
        Served { file: (data.ino(), data.ctime(), data.ctime_nsec()), entries }
    }

    fn record(&self, node: &str, kind: OverlayKind) -> Record {
        Record::read(&self.path(&format!("provision/.overlays/.{node}.{kind}.record"))).unwrap()
    }

    /// A build from nothing: no parsed template, no result and no state is known, but for clocks and seeds.
    fn scratch_build(&self, cluster: &Cluster, node: &str, kind: OverlayKind) -> BTreeMap<Vec<u8>, Entry> {
        let record = self.record(node, kind);
        let nodes: Vec<_> = cluster.merged.iter().map(|node| (**node).clone()).collect();
        let shop = Workshop::new(cluster.site.clone(), &nodes);
        let node = shop.node(node).unwrap();
        let found = |name: &String| trees::find(&cluster.site.conf, name).unwrap();
        let overlays: Vec<_> = kind.list(&node).iter().map(|name| shop.overlay(&found(name)).unwrap().1).collect();
        let job = Job { kept: Arc::new(record.kept.clone()), ..shop.job(&node) };
        let outcome = job.run(&overlays);
        assert_eq!(outcome.problems, []);
        let dated = |placed: render::layer::Placed| {
            let since = record.dates.get(&placed.entry.path).map_or(0, |(_, since)| *since);
            let mtime = if placed.rendered { since } else { placed.entry.mtime };
            (placed.entry.path.clone(), Entry { mtime, ..placed.entry })
        };
        outcome.tree.into_iter().map(dated).collect()
    }
}

/// Keys with slashes as maps in maps; a doubled slash begins a key that is a path itself, up to the next key that is none.
fn flow(fields: &Fields) -> String {
    #[derive(Default)]
    struct Tree(BTreeMap<String, Tree>, Option<String>);
    fn write(tree: &Tree) -> String {
        if let Some(value) = &tree.1 {
            return value.clone();
        }
        let inner: Vec<String> = tree.0.iter().map(|(key, below)| format!("{key:?}: {}", write(below))).collect();
        format!("{{{}}}", inner.join(", "))
    }
    let mut top = Tree::default();
    for (key, value) in fields {
        let names: Vec<String> = match key.split_once("//") {
            None => key.split('/').map(str::to_owned).collect(),
            Some((map, rest)) => {
                let cut =
                    ["/wipe_table", "/partitions", "/format", "/path"].iter().filter_map(|end| rest.find(end)).min();
                let (device, fields) = rest.split_at(cut.unwrap());
                let mut names = vec![map.to_owned(), format!("/{device}")];
                names.extend(fields.split('/').filter(|name| !name.is_empty()).map(str::to_owned));
                names
            }
        };
        let mut at = &mut top;
        for name in names {
            at = at.0.entry(name).or_default();
        }
        at.1 = Some(value.clone());
    }
    write(&top)
}

/// Edits, and after each of them all nodes asked for.
fn drive(mut place: Place, seed: u64, edits: usize) -> (usize, usize) {
    eprintln!("seed {seed}");
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut before: BTreeMap<(String, OverlayKindName), (Served, Record)> = BTreeMap::new();
    let (mut same, mut changed) = (0, 0);
    for step in 0..edits {
        let edit = if step == 0 { "nothing yet".to_owned() } else { place.edit(&mut dice) };
        // Now and then the daemon begins anew.
        if dice.roll(10) == 0 {
            place.works = Arc::default();
        }
        let cluster = place.cluster();
        for node in ["n1", "n2", "n3"] {
            for kind in OverlayKind::BOTH {
                let told = format!("seed {seed}, edit {step} ({edit}): {kind} overlay of {node}");
                let served = place.served(&cluster, node, kind);
                let record = place.record(node, kind);
                let fresh = place.scratch_build(&cluster, node, kind);
                for path in served.entries.keys().chain(fresh.keys()) {
                    let shown = |entry: Option<&Entry>| entry.map(|entry| (said(entry), entry.mode, entry.mtime));
                    assert_eq!(shown(served.entries.get(path)), shown(fresh.get(path)), "{told}: {path:?}");
                }
                assert_eq!(served.entries, fresh, "{told}");
                if let Some((earlier, old)) = before.get(&(node.to_owned(), kind.stem())) {
                    let stays = earlier.entries == served.entries;
                    assert_eq!(
                        stays,
                        earlier.file == served.file,
                        "{told}: a file is replaced only by another content"
                    );
                    assert_eq!(stays, old.content == record.content, "{told}: the content key is that of the content");
                    assert!(stays || old.input != record.input, "{told}: a content without a cause");
                    *if stays { &mut same } else { &mut changed } += 1;
                }
                before.insert((node.to_owned(), kind.stem()), (served, record));
            }
        }
    }
    (same, changed)
}

type OverlayKindName = &'static str;

fn said(entry: &Entry) -> String {
    match &entry.kind {
        Kind::File(content) => String::from_utf8_lossy(content).into_owned(),
        other => format!("{other:?}"),
    }
}

fn seeds(default: &[u64]) -> Vec<u64> {
    match std::env::var("EDIT_SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => default.to_vec(),
    }
}

/// Templates that read a little each, in every way there is.
const SMALL: &[(&str, &str)] = &[
    ("one/rootfs/etc/motd.ww", "{{.Id}} {{.Comment}} {{.Kernel.Version}} {{join \" \" .Kernel.Args}}\n"),
    ("one/rootfs/etc/plain", "plain\n"),
    (
        "one/rootfs/etc/net.ww",
        "{{range $n, $d := .ThisNode.NetDevs}}{{file $n}}{{$d.Device}} {{$d.IpCIDR}} {{$d.Primary}}\n{{end}}",
    ),
    ("two/rootfs/etc/hosts.ww", "{{range .AllNodes}}{{.Id}}{{range .NetDevs}} {{.Ipaddr}}{{end}}\n{{end}}"),
    ("two/rootfs/etc/tags.ww", "{{.Tags.rack}} {{index .Tags \"none\"}} {{len .Tags}} {{if .Disks}}disks{{end}}\n"),
    ("two/rootfs/etc/all.ww", "{{.Resources | toJson}}{{range .AllNodes}}{{.Tags.hidden}}{{end}}\n"),
    ("two/rootfs/etc/include.ww", "{{Include \"one\"}} {{IncludeBlock \"two\" \"END\"}}\n"),
    ("two/rootfs/etc/conf.ww", "{{.Warewulf.Port}} {{.Dhcp.RangeStart}} {{.BuildHost}}\n"),
    (
        "three/rootfs/etc/secret.ww",
        "{{randAlphaNum 12}} {{.Tags.rack}} {{uuidv4}} {{now | date \"15:04:05.000000000\"}}\n",
    ),
    ("three/rootfs/etc/time.ww", "{{.BuildTime}} {{range .AllNodes}}{{.ClusterName}}{{end}}\n"),
    ("three/rootfs/etc/ignition.ww", "{{IgnitionJson}}\n"),
    ("three/rootfs/etc/plain", "three\n"),
];

#[test]
fn after_random_edits_each_node_is_served_what_a_build_from_nothing_gives() {
    let (mut same, mut changed) = (0, 0);
    for seed in seeds(&[1, 3]) {
        let counts = drive(Place::new(SMALL), seed, 30);
        same += counts.0;
        changed += counts.1;
    }
    eprintln!("{same} stayed, {changed} changed");
    // Both must have been seen for the test to mean something.
    assert!(same > 50 && changed > 50, "{same} stayed, {changed} changed");
}

/// All that the distribution brings, for nodes that have something of everything.
#[test]
fn after_random_edits_the_distributions_overlays_are_what_a_build_from_nothing_gives() {
    let share = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../share/overlays");
    let mut files = Vec::new();
    for found in fs::read_dir(&share).unwrap().map(|entry| entry.unwrap().path()) {
        let root = found.join("rootfs");
        let name = found.file_name().unwrap().to_str().unwrap().to_owned();
        if name.starts_with('.') || !root.is_dir() || found.is_symlink() {
            continue;
        }
        for thing in trees::walk(&root).unwrap().into_iter().filter(|thing| thing.data.is_file()) {
            let text = fs::read_to_string(root.join(&thing.path)).unwrap();
            files.push((format!("{name}/rootfs/{}", thing.path.display()), text));
        }
    }
    files.sort();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    assert!(files.len() > 50, "{files:?}");
    for seed in seeds(&[11]) {
        let (same, changed) = drive(Place::new(&files), seed, 10);
        eprintln!("{same} stayed, {changed} changed");
        assert!(same > 0 && changed > 0);
    }
}
