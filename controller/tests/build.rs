//! Overlays are built when something that they are made of changed, and only then.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop at the first surprise")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use archive::Kind;
use controller::build::offer::Offer;
use controller::build::wait;
use controller::build::{OverlayKind, Works, Workshop, fresh_overlay};
use controller::cluster::{Cluster, Shared};
use controller::site::Site;
use model::{Conf, NodesConf};

/// A site in a folder of its own.
struct Place {
    dir: tempfile::TempDir,
    works: Arc<Works>,
}

impl Place {
    fn new() -> Place {
        let place = Place { dir: tempfile::tempdir().unwrap(), works: Arc::default() };
        place.put("share/warewulf/overlays/base/rootfs/etc/motd.ww", "welcome to {{.Id}}\n");
        place.put("share/warewulf/overlays/base/rootfs/etc/plain", "plain\n");
        place.put("share/warewulf/overlays/live/rootfs/etc/hosts.ww", "{{range .AllNodes}}{{.Id}} {{end}}\n");
        place.put("share/warewulf/overlays/live/rootfs/etc/more.ww", "{{Include \"more\"}}|{{index .Tags \"rack\"}}\n");
        place.nodes("nodes: {n1: {system overlay: [base], runtime overlay: [live]}, n2: {}}");
        place
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn nodes(&self, text: &str) {
        self.put("etc/warewulf/nodes.conf", text);
    }

    fn conf(&self, autobuild: bool) -> String {
        let root = self.dir.path().display();
        format!(
            "ipaddr: 10.0.0.1\nnetmask: 255.0.0.0\nwarewulf: {{autobuild overlays: {autobuild}}}\npaths:\n  sysconfdir: {root}/etc\n  \
             datadir: {root}/share\n  wwoverlaydir: {root}/overlays\n  wwchrootdir: {root}/chroots\n  wwprovisiondir: {root}/provision\n"
        )
    }

    /// The state of the cluster, read anew as a daemon would after a change.
    fn cluster_with(&self, autobuild: bool) -> Cluster {
        let conf = self.conf(autobuild);
        let site = Site { conf_path: self.path("etc/warewulf/warewulf.conf"), conf: Conf::parse(&conf).unwrap() };
        let nodes = NodesConf::parse(&fs::read_to_string(self.path("etc/warewulf/nodes.conf")).unwrap()).unwrap();
        let generation = self.path("etc/warewulf/nodes.conf").metadata().unwrap().ctime_nsec().unsigned_abs();
        Cluster::new(site, nodes, generation, Arc::clone(&self.works))
    }

    fn cluster(&self) -> Cluster {
        self.cluster_with(true)
    }

    /// The handle of a daemon over the same files.
    fn shared(&self) -> Shared {
        let site = self.cluster().site;
        fs::write(&site.conf_path, self.conf(true)).unwrap();
        Shared::new(site)
    }

    fn fresh(&self, kind: OverlayKind) -> Built {
        Built::of(&fresh_overlay(&self.cluster(), "n1", kind).unwrap())
    }

    fn runtime(&self) -> Built {
        self.fresh(OverlayKind::Runtime)
    }

    fn system(&self) -> Built {
        self.fresh(OverlayKind::System)
    }
}

/// What a client can tell of a built archive.
#[derive(Debug, PartialEq, Eq)]
struct Built {
    inode: u64,
    changed: (i64, i64),
    packed: u64,
    files: Vec<(String, String, u64)>,
}

impl Built {
    fn of(path: &Path) -> Built {
        let data = path.metadata().unwrap();
        let files = archive::newc::read(&fs::read(path).unwrap())
            .unwrap()
            .into_iter()
            .filter_map(|entry| match entry.kind {
                Kind::File(content) => Some((
                    String::from_utf8(entry.path).unwrap(),
                    String::from_utf8_lossy(&content).into_owned(),
                    entry.mtime,
                )),
                _ => None,
            })
            .collect();
        let packed = path.with_extension("img.gz").metadata().unwrap().ino();
        Built { inode: data.ino(), changed: (data.ctime(), data.ctime_nsec()), packed, files }
    }

    fn text(&self, path: &str) -> &str {
        self.files.iter().find(|file| file.0 == path).map_or("(not there)", |file| &file.1)
    }
}

#[test]
fn what_is_missing_is_built_also_when_autobuild_is_off_and_the_other_kind_with_it() {
    let place = Place::new();
    let path = fresh_overlay(&place.cluster_with(false), "n1", OverlayKind::System).unwrap();
    assert_eq!(Built::of(&path).text("etc/motd"), "welcome to n1\n");
    for name in ["__SYSTEM__.img", "__SYSTEM__.img.gz", "__RUNTIME__.img", "__RUNTIME__.img.gz"] {
        let data = place.path("provision/overlays/n1").join(name).metadata().unwrap();
        assert_eq!(data.permissions().mode() & 0o7777, 0o600, "{name}");
    }
}

#[test]
fn with_autobuild_off_what_is_stale_is_sent_as_it_is() {
    let place = Place::new();
    let before = place.system();
    place.put("share/warewulf/overlays/base/rootfs/etc/plain", "changed\n");
    let path = fresh_overlay(&place.cluster_with(false), "n1", OverlayKind::System).unwrap();
    assert_eq!(Built::of(&path), before);
}

#[test]
fn a_change_inside_an_overlay_is_seen_by_the_next_request() {
    let place = Place::new();
    assert_eq!(place.system().text("etc/plain"), "plain\n");
    place.put("share/warewulf/overlays/base/rootfs/etc/plain", "other\n");
    assert_eq!(place.system().text("etc/plain"), "other\n");
    place.put("overlays/base/rootfs/etc/plain", "the site's\n");
    assert_eq!(place.system().text("etc/plain"), "the site's\n");
    assert_eq!(place.system().text("etc/motd"), "(not there)");
}

#[test]
fn a_change_of_an_included_file_is_seen_also_when_it_appears_only_then() {
    let place = Place::new();
    assert_eq!(place.runtime().text("etc/more"), "|\n");
    place.put("etc/warewulf/more", "1");
    assert_eq!(place.runtime().text("etc/more"), "1|\n");
    place.put("etc/warewulf/more", "2");
    assert_eq!(place.runtime().text("etc/more"), "2|\n");
}

#[test]
fn fields_that_no_template_reads_leave_the_file_alone_and_those_that_one_reads_do_not() {
    let place = Place::new();
    let before = (place.system(), place.runtime());
    place.nodes(
        "nodes: {n1: {comment: new, system overlay: [base], runtime overlay: [live], root: tmpfs}, n2: {comment: x}}",
    );
    assert_eq!((place.system(), place.runtime()), before);
    place.nodes("nodes: {n1: {system overlay: [base], runtime overlay: [live], tags: {rack: r1}}, n2: {}}");
    assert_eq!(place.system(), before.0);
    assert_eq!(place.runtime().text("etc/more"), "|r1\n");
    place.nodes("nodes: {n1: {system overlay: [base], runtime overlay: [live], tags: {rack: r1}}, n3: {}}");
    assert_eq!(place.system(), before.0);
    assert_eq!(place.runtime().text("etc/hosts"), "n1 n3 \n");
}

#[test]
fn a_build_that_gives_the_same_bytes_keeps_the_file_and_its_times() {
    let place = Place::new();
    let before = place.system();
    let shop = Workshop::of(&place.cluster());
    shop.build(&shop.node("n1").unwrap(), OverlayKind::System).unwrap();
    assert_eq!(place.system(), before);
}

#[test]
fn a_rendered_file_keeps_the_time_of_its_content_when_another_one_changes() {
    let place = Place::new();
    let date = |built: &Built| built.files.iter().find(|file| file.0 == "etc/motd").unwrap().2;
    let before = date(&place.system());
    std::thread::sleep(Duration::from_millis(1100));
    place.put("share/warewulf/overlays/base/rootfs/etc/plain", "other\n");
    assert_eq!(date(&place.system()), before);
    place.put("share/warewulf/overlays/base/rootfs/etc/motd.ww", "hello {{.Id}}\n");
    assert!(date(&place.system()) > before);
}

#[test]
fn when_a_build_fails_the_last_good_archive_is_sent_until_it_is_mended() {
    let place = Place::new();
    let before = place.system();
    place.put("share/warewulf/overlays/base/rootfs/etc/motd.ww", "{{.Nothing}}\n");
    assert_eq!(place.system(), before);
    assert_eq!(place.system(), before);
    let problems = place.works.problems(&place.cluster().merged);
    assert_eq!(problems.len(), 1);
    assert!(problems[0].starts_with("the system overlay of n1 is not built: overlay base: "), "{problems:?}");
    place.put("share/warewulf/overlays/base/rootfs/etc/motd.ww", "mended {{.Id}}\n");
    assert_eq!(place.system().text("etc/motd"), "mended n1\n");
    assert_eq!(place.works.problems(&place.cluster().merged), Vec::<String>::new());
}

#[test]
fn an_overlay_that_is_not_there_is_named_and_nothing_is_left_behind() {
    let place = Place::new();
    place.nodes("nodes: {n1: {runtime overlay: [gone]}}");
    let error = fresh_overlay(&place.cluster(), "n1", OverlayKind::Runtime).unwrap_err();
    assert_eq!(
        error.to_string(),
        "node n1: there is no overlay gone: create it, or take it out of the node's runtime overlays"
    );
    assert!(!place.path("provision/overlays/n1/__RUNTIME__.img").exists());
}

#[test]
fn an_archive_that_we_did_not_make_is_sent_unless_it_is_older_than_nodes_conf() {
    let place = Place::new();
    place.put("provision/overlays/n1/__RUNTIME__.img", "by hand");
    // Times of change come in ticks of some milliseconds, and only the order of the two files tells their age.
    std::thread::sleep(Duration::from_millis(12));
    let path = fresh_overlay(&place.cluster(), "n1", OverlayKind::Runtime).unwrap();
    assert_eq!(fs::read_to_string(path).unwrap(), "by hand");
    place.nodes("nodes: {n1: {system overlay: [base], runtime overlay: [live]}, n2: {}}");
    assert_eq!(place.runtime().text("etc/hosts"), "n1 n2 \n");
}

#[test]
fn many_requests_at_once_are_one_build() {
    let place = Place::new();
    let cluster = place.cluster();
    let built: Vec<Built> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| Built::of(&fresh_overlay(&cluster, "n1", OverlayKind::System).unwrap())))
            .collect();
        asked.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(built.windows(2).all(|pair| pair[0] == pair[1]), "{built:?}");
    assert_eq!(place.works.builds(), 2, "one of each kind");
}

#[test]
fn what_a_killed_build_left_beside_an_archive_goes_with_the_next_one() {
    let place = Place::new();
    place.system();
    for name in [".__SYSTEM__.new-Xy12", ".__RUNTIME__.new-Xy12"] {
        place.put(&format!("provision/overlays/n1/{name}"), "a pa");
    }
    place.put("share/warewulf/overlays/base/rootfs/etc/plain", "other\n");
    place.system();
    assert!(!place.path("provision/overlays/n1/.__SYSTEM__.new-Xy12").exists());
    // Another archive's writer may be at work on that one right now.
    assert!(place.path("provision/overlays/n1/.__RUNTIME__.new-Xy12").exists());
}

#[test]
fn a_node_without_overlays_gets_an_empty_archive() {
    let place = Place::new();
    let path = fresh_overlay(&place.cluster(), "n2", OverlayKind::Runtime).unwrap();
    assert_eq!(Built::of(&path).files, []);
}

#[test]
fn a_restart_remembers_what_was_built() {
    let mut place = Place::new();
    let before = (place.system(), place.runtime());
    place.works = Arc::default();
    assert_eq!((place.system(), place.runtime()), before);
    assert_eq!(place.works.builds(), 0);
}

const NODES: &str = "nodes: {n1: {system overlay: [base], runtime overlay: [live]}, n2: {runtime overlay: [live]}}";

/// A place whose runtime overlay draws lots, reads the clock, a tag and a file.
fn lottery() -> Place {
    let place = Place::new();
    let text = "{{randAlphaNum 20}} {{uuidv4}} {{genPrivateKey \"ed25519\" | sha256sum}} {{now | date \"15:04:05.000000000\"}} \
                {{.BuildTime}} {{.Tags.rack}}{{Include \"more\"}}\n";
    place.put("share/warewulf/overlays/live/rootfs/etc/lot.ww", text);
    place.nodes(NODES);
    place
}

fn with_tag(place: &Place, tag: &str) {
    place.nodes(&NODES.replace("n1: {", &format!("n1: {{tags: {{rack: {tag}}}, ")));
}

#[test]
fn clock_and_lots_are_those_of_the_first_time_and_survive_a_restart() {
    let mut place = lottery();
    let before = place.runtime();
    assert!(before.text("etc/lot").len() > 100, "{before:?}");
    // Another template of the archive is rendered anew, with a daemon that knows nothing.
    for text in ["1", "2"] {
        place.works = Arc::default();
        place.put("share/warewulf/overlays/live/rootfs/etc/other.ww", text);
        let built = place.runtime();
        assert_eq!((built.text("etc/other"), built.text("etc/lot")), (text, before.text("etc/lot")));
    }
    let record = place.path("provision/.overlays/.n1.runtime.record");
    assert_eq!(record.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let lines = |text: &str| text.lines().filter(|line| line.starts_with("drawn ")).count();
    assert_eq!(lines(&fs::read_to_string(record).unwrap()), 1);
    let system = place.path("provision/.overlays/.n1.system.record");
    assert_eq!(lines(&fs::read_to_string(system).unwrap()), 0, "who draws nothing notes nothing");
}

#[test]
fn other_inputs_have_lots_of_their_own_and_the_first_ones_come_back_with_theirs() {
    let mut place = lottery();
    with_tag(&place, "a");
    place.put("etc/warewulf/more", "more");
    let mut seen = vec![place.runtime().text("etc/lot").to_owned()];
    with_tag(&place, "b");
    seen.push(place.runtime().text("etc/lot").to_owned());
    place.put("etc/warewulf/more", "less");
    place.works = Arc::default();
    seen.push(place.runtime().text("etc/lot").to_owned());
    let words = |text: &str| text.split(' ').take(3).map(str::to_owned).collect::<Vec<_>>();
    for (at, one) in seen.iter().enumerate() {
        for other in &seen[at + 1..] {
            assert!(words(one).iter().zip(words(other)).all(|(one, other)| *one != other), "{one} {other}");
        }
    }
    place.put("etc/warewulf/more", "more");
    assert_eq!(place.runtime().text("etc/lot"), seen[1]);
    with_tag(&place, "a");
    place.works = Arc::default();
    assert_eq!(place.runtime().text("etc/lot"), seen[0]);
}

#[test]
fn lots_are_a_nodes_own_and_the_clock_of_what_all_share_is_the_same() {
    let place = lottery();
    place.put(
        "share/warewulf/overlays/live/rootfs/etc/hosts.ww",
        "{{now | unixEpoch}}{{range .AllNodes}} {{.Id}}{{end}}\n",
    );
    let cluster = place.cluster();
    let one = place.runtime();
    std::thread::sleep(Duration::from_millis(1100));
    let two = Built::of(&fresh_overlay(&cluster, "n2", OverlayKind::Runtime).unwrap());
    assert_eq!(one.text("etc/hosts"), two.text("etc/hosts"));
    assert_ne!(one.text("etc/lot"), two.text("etc/lot"));
}

#[test]
fn what_a_failing_template_read_decides_whether_to_try_again() {
    let place = Place::new();
    place.put(
        "share/warewulf/overlays/live/rootfs/etc/bad.ww",
        "{{if eq .Comment \"bad\"}}{{fail \"no\"}}{{end}}{{.Comment}}",
    );
    place.nodes(&NODES.replace("n1: {", "n1: {comment: bad, "));
    assert!(fresh_overlay(&place.cluster(), "n1", OverlayKind::Runtime).is_err());
    let tries = place.works.builds();
    assert!(fresh_overlay(&place.cluster(), "n1", OverlayKind::Runtime).is_err());
    assert_eq!(place.works.builds(), tries);
    place.nodes(&NODES.replace("n1: {", "n1: {comment: good, "));
    assert_eq!(place.runtime().text("etc/bad"), "good");
}

#[test]
fn where_a_folder_link_of_the_image_leads_is_an_input() {
    let place = Place::new();
    place.put("share/warewulf/overlays/live/rootfs/lib64/agent", "x");
    place.nodes("nodes: {n1: {image name: oak, runtime overlay: [live]}}");
    let root = place.path("chroots/oak/rootfs");
    fs::create_dir_all(root.join("usr/lib64")).unwrap();
    assert_eq!(place.runtime().text("lib64/agent"), "x");
    std::os::unix::fs::symlink("usr/lib64", root.join("lib64")).unwrap();
    assert_eq!(place.runtime().text("usr/lib64/agent"), "x");
    fs::remove_file(root.join("lib64")).unwrap();
    assert_eq!(place.runtime().text("lib64/agent"), "x");
}

#[test]
fn every_one_of_many_quick_edits_of_one_length_is_in_the_next_archive() {
    let place = Place::new();
    place.put("etc/warewulf/more", "0");
    for round in 0..30 {
        let text = format!("{}", round % 10);
        place.put("share/warewulf/overlays/base/rootfs/etc/plain", &text);
        assert_eq!(place.system().text("etc/plain"), text, "round {round}");
        place.put("etc/warewulf/more", &text);
        assert_eq!(place.runtime().text("etc/more"), format!("{text}|\n"), "round {round}");
    }
}

#[test]
fn an_edit_that_is_undone_takes_its_trouble_with_it() {
    let place = Place::new();
    let file = "share/warewulf/overlays/base/rootfs/etc/motd.ww";
    let before = place.system();
    let good = place.path(file).with_extension("old");
    fs::rename(place.path(file), &good).unwrap();
    place.put(file, "{{.Nothing}}\n");
    assert_eq!(place.system(), before);
    assert_eq!(place.works.problems(&place.cluster().merged).len(), 1);
    fs::rename(&good, place.path(file)).unwrap();
    assert_eq!(place.system().text("etc/motd"), "welcome to n1\n");
    assert_eq!(place.works.problems(&place.cluster().merged), Vec::<String>::new());
}

/// As a request asks.
async fn ask(shared: &Shared, node: &str, kind: OverlayKind) -> Result<Built, String> {
    let cluster = shared.fresh().await;
    let path = wait::overlay(shared, &cluster, cluster.node(node).unwrap(), kind).await;
    path.map(|path| Built::of(&path)).map_err(|refusal| refusal.to_string())
}

#[tokio::test]
async fn a_request_sees_every_edit_and_builds_nothing_without_one() {
    let place = Place::new();
    let shared = place.shared();
    let works = Arc::clone(&shared.current().works);
    let first = ask(&shared, "n1", OverlayKind::Runtime).await.unwrap();
    for _ in 0..5 {
        assert_eq!(ask(&shared, "n1", OverlayKind::Runtime).await.unwrap(), first);
    }
    assert_eq!(works.builds(), 2, "one of each kind");
    for round in 0..10 {
        let text = format!("{round}");
        place.put("etc/warewulf/more", &text);
        let now = ask(&shared, "n1", OverlayKind::Runtime).await.unwrap();
        assert_eq!(now.text("etc/more"), format!("{text}|\n"));
        assert_eq!(ask(&shared, "n1", OverlayKind::Runtime).await.unwrap(), now);
    }
    place.nodes("nodes: {n1: {system overlay: [base], runtime overlay: [live], tags: {rack: r9}}}");
    assert_eq!(ask(&shared, "n1", OverlayKind::Runtime).await.unwrap().text("etc/more"), "9|r9\n");
    // A site overlay that comes to hide the distribution's.
    place.put("overlays/live/rootfs/etc/more", "the site's");
    assert_eq!(ask(&shared, "n1", OverlayKind::Runtime).await.unwrap().text("etc/more"), "the site's");
    fs::remove_dir_all(place.path("overlays/live")).unwrap();
    assert_eq!(ask(&shared, "n1", OverlayKind::Runtime).await.unwrap().text("etc/more"), "9|r9\n");
}

#[tokio::test]
async fn an_archive_is_at_hand_only_until_something_happens_to_it_or_to_what_it_is_made_of() {
    let place = Place::new();
    let shared = place.shared();
    let cluster = shared.fresh().await;
    let (node, kind) = (cluster.node("n1").unwrap(), OverlayKind::Runtime);
    let at_hand = || wait::at_hand(&cluster, node, kind, true);
    assert!(at_hand().is_none(), "nothing was built");
    for round in 0..2 {
        // Who finds it fresh has looked; from then on it is at hand.
        ask(&shared, "n1", kind).await.unwrap();
        ask(&shared, "n1", kind).await.unwrap();
        assert!(matches!(at_hand(), Some(Offer::Known { .. })));
        place.put("etc/warewulf/more", &round.to_string());
        assert!(at_hand().is_none(), "an edit");
    }
    ask(&shared, "n1", kind).await.unwrap();
    let path = ask(&shared, "n1", kind).await.map(|_| place.path("provision/overlays/n1/__RUNTIME__.img")).unwrap();
    assert!(at_hand().is_some());
    fs::remove_file(path).unwrap();
    assert!(at_hand().is_none(), "it is gone");
}

#[tokio::test]
async fn a_node_that_fails_stops_no_other_and_is_told_as_long_as_it_fails() {
    let place = Place::new();
    place.nodes("nodes: {n1: {runtime overlay: [live]}, n2: {runtime overlay: [live]}, n3: {runtime overlay: [live]}}");
    let more = "share/warewulf/overlays/live/rootfs/etc/more.ww";
    place.put(more, "good {{.Id}}\n");
    let shared = place.shared();
    let good = ask(&shared, "n2", OverlayKind::Runtime).await.unwrap();
    place.put(more, "{{if ne .Id \"n3\"}}{{.Nothing}}{{end}}better {{.Id}}\n");
    let refused = ask(&shared, "n1", OverlayKind::Runtime).await.unwrap_err();
    assert!(refused.contains("can't evaluate field Nothing"), "{refused}");
    assert_eq!(ask(&shared, "n2", OverlayKind::Runtime).await.unwrap(), good);
    assert_eq!(ask(&shared, "n3", OverlayKind::Runtime).await.unwrap().text("etc/more"), "better n3\n");
    let works = Arc::clone(&shared.current().works);
    let tries = works.builds();
    for _ in 0..3 {
        let problems = shared.problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with("the runtime overlay of n[1-2] is not built: overlay live: "), "{problems:?}");
        assert_eq!(ask(&shared, "n2", OverlayKind::Runtime).await.unwrap(), good);
    }
    assert_eq!(works.builds(), tries, "what failed is not tried again before something changes");
    // Mended, and neither node asks.
    place.put(more, "mended {{.Id}}\n");
    shared.fresh().await;
    wait::mend(&shared);
    while !shared.problems().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(ask(&shared, "n1", OverlayKind::Runtime).await.unwrap().text("etc/more"), "mended n1\n");
}
