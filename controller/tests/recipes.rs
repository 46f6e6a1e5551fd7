//! Overlays kept as recipes: the same archives under the same tags as files, shared pieces once, and none too many.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use controller::build::bulk;
use controller::build::group::Group;
use controller::build::offer::{Offer, offer};
use controller::build::span::Span;
use controller::build::store::Store;
use controller::build::{OverlayKind, Works, Workshop, forget, forget_others, fresh_offer, fresh_overlay};
use controller::cluster::Cluster;
use controller::site::Site;
use model::{Conf, NodesConf};

/// Larger than what stands in a recipe itself, and of bytes that do not pack.
const LARGE: usize = 40_000;

/// A site with overlays as recipes, in a folder of its own.
struct Place {
    dir: tempfile::TempDir,
    works: Arc<Works>,
}

impl Place {
    fn new() -> Place {
        let place = Place { dir: tempfile::tempdir().unwrap(), works: Arc::default() };
        place.put("overlays/base/rootfs/etc/name.ww", b"{{.Id}}\n");
        place.put("overlays/base/rootfs/etc/hosts.ww", b"{{range .AllNodes}}{{.Id}} {{.Comment}} {{end}}\n");
        place.put("overlays/base/rootfs/bin/agent", &noise(1));
        place.nodes("");
        place
    }

    /// The same site for somebody who knows nothing yet.
    fn works_anew(self) -> Place {
        Place { works: Arc::default(), ..self }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn put(&self, path: &str, content: &[u8]) {
        // Times of change come in ticks of some milliseconds.
        std::thread::sleep(Duration::from_millis(12));
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Three nodes; what is given is said of the first.
    fn nodes(&self, first: &str) {
        let text =
            format!("nodes: {{n1: {{system overlay: [base], {first}}}, n2: {{system overlay: [base]}}, n3: {{}}}}");
        self.put("etc/warewulf/nodes.conf", text.as_bytes());
    }

    fn cluster(&self) -> Cluster {
        let root = self.dir.path().display();
        let conf = format!(
            "ipaddr: 10.0.0.1\nnetmask: 255.0.0.0\noverlays: {{materialize: false}}\npaths:\n  sysconfdir: {root}/etc\n  \
             datadir: {root}/share\n  wwoverlaydir: {root}/overlays\n  wwchrootdir: {root}/chroots\n  wwprovisiondir: {root}/provision\n"
        );
        let site = Site { conf_path: self.path("etc/warewulf/warewulf.conf"), conf: Conf::parse(&conf).unwrap() };
        let nodes = NodesConf::parse(&fs::read_to_string(self.path("etc/warewulf/nodes.conf")).unwrap()).unwrap();
        let generation = self.path("etc/warewulf/nodes.conf").metadata().unwrap().ctime_nsec().unsigned_abs();
        Cluster::new(site, nodes, generation, Arc::clone(&self.works))
    }

    /// What a node is sent that asks now: the plain archive, the packed one, their tags and time.
    fn sent(&self, node: &str) -> Sent {
        let cluster = self.cluster();
        fresh_overlay(&cluster, node, OverlayKind::System).unwrap();
        self.offered(node)
    }

    fn offered(&self, node: &str) -> Sent {
        let cluster = self.cluster();
        let one = |packed| offer(&cluster.site, cluster.node(node).unwrap(), OverlayKind::System, packed).unwrap();
        let (Offer::Known { spans, etag, modified, .. }, Offer::Known { spans: packed, etag: packed_tag, .. }) =
            (one(false), one(true))
        else {
            panic!("not known")
        };
        let packed = bytes(&packed);
        let mut unpacked = Vec::new();
        flate2::bufread::GzDecoder::new(packed.as_slice()).read_to_end(&mut unpacked).unwrap();
        assert_eq!(bytes(&spans), unpacked);
        Sent { plain: unpacked, packed, etag, packed_tag, modified }
    }

    fn recipe(&self, node: &str) -> PathBuf {
        self.path("provision/.overlays/recipes").join(format!("{node}.system"))
    }

    fn pieces(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("provision/.overlays/pieces")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.starts_with('.')).collect()
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Sent {
    plain: Vec<u8>,
    packed: Vec<u8>,
    etag: String,
    packed_tag: String,
    modified: i64,
}

impl Sent {
    fn text(&self, path: &str) -> String {
        let entries = archive::newc::read(&self.plain).unwrap();
        let entry = entries.into_iter().find(|entry| entry.path == path.as_bytes()).unwrap();
        let archive::Kind::File(content) = entry.kind else { panic!("{path} is no file") };
        String::from_utf8_lossy(&content).into_owned()
    }
}

fn bytes(spans: &[Span]) -> Vec<u8> {
    let mut all = Vec::new();
    for span in spans {
        match span {
            Span::Memory { bytes, .. } => all.extend_from_slice(&bytes[span.memory()]),
            Span::File { file, at, length } => {
                let mut part = vec![0; usize::try_from(*length).unwrap()];
                file.read_exact_at(&mut part, *at).unwrap();
                all.extend(part);
            }
        }
    }
    all
}

fn noise(seed: u32) -> Vec<u8> {
    (0..LARGE)
        .map(|n| ((u32::try_from(n).unwrap() + seed).wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0])
        .collect()
}

#[test]
fn a_recipe_and_files_are_the_same_archive_under_the_same_tags() {
    let place = Place::new();
    let recipe = place.sent("n1");
    assert_eq!(recipe.text("etc/name"), "n1\n");
    assert_ne!(recipe.etag, recipe.packed_tag);
    assert!(!place.path("provision/overlays/n1").exists());

    let shop = Workshop::of(&place.cluster()).materialized();
    shop.build(&shop.node("n1").unwrap(), OverlayKind::System).unwrap();
    assert_eq!(place.offered("n1"), recipe);
    assert_eq!(place.sent("n1"), recipe);
    assert!(!place.recipe("n1").exists(), "one form at a time");
    let names = ["__SYSTEM__.img", "__SYSTEM__.img.gz"].map(|name| place.path("provision/overlays/n1").join(name));
    assert_eq!(fs::read(&names[0]).unwrap(), recipe.plain);
    assert_eq!(fs::read(&names[1]).unwrap(), recipe.packed);

    let shop = Workshop::of(&place.cluster());
    shop.build(&shop.node("n1").unwrap(), OverlayKind::System).unwrap();
    assert_eq!(place.offered("n1"), recipe);
    assert!(names.iter().all(|name| !name.exists()), "a recipe takes the files away");
}

#[test]
fn what_a_recipe_holds_itself_goes_out_with_what_is_around_it_and_shared_pieces_from_their_files() {
    let place = Place::new();
    place.sent("n1");
    let cluster = place.cluster();
    let Offer::Known { spans, .. } =
        offer(&cluster.site, cluster.node("n1").unwrap(), OverlayKind::System, true).unwrap()
    else {
        panic!("not known")
    };
    let kinds: Vec<&str> =
        spans.iter().map(|span| if matches!(span, Span::File { .. }) { "file" } else { "memory" }).collect();
    assert_eq!(kinds, ["memory", "file", "memory"], "the agent, and what is before and behind it");
}

#[test]
fn files_that_became_stale_are_taken_away_by_the_recipe_that_is_fresher() {
    let place = Place::new();
    let shop = Workshop::of(&place.cluster()).materialized();
    shop.build(&shop.node("n1").unwrap(), OverlayKind::System).unwrap();
    place.nodes("comment: edited");
    assert_eq!(place.sent("n1").text("etc/hosts"), "n1 edited n2  n3  \n");
    assert!(!place.path("provision/overlays/n1/__SYSTEM__.img").exists());
}

#[test]
fn what_nodes_share_lies_in_the_store_once_and_all_of_it_is_roots() {
    let place = Place::new();
    let (one, two) = (place.sent("n1"), place.sent("n2"));
    assert_ne!((&one.plain, &one.etag), (&two.plain, &two.etag));
    assert_eq!(place.pieces().len(), 1, "the agent; all else is small");
    let memory = place.path("provision/.overlays");
    let mut seen = 0;
    for path in [memory.clone(), memory.join("recipes"), memory.join("pieces")] {
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o700, "{}", path.display());
        for entry in fs::read_dir(&path).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            if entry.metadata().unwrap().is_file() && !name.contains("lock") {
                assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o7777, 0o600, "{name}");
                seen += 1;
            }
        }
    }
    assert!(seen >= 5, "recipes, records, a piece: {seen}");
}

#[test]
fn an_edit_of_one_node_leaves_the_recipes_of_the_others_alone() {
    let place = Place::new();
    place.put("overlays/base/rootfs/etc/hosts.ww", b"{{.Comment}}\n");
    let other = place.sent("n2");
    let inode = place.recipe("n2").metadata().unwrap().ino();
    let first = place.sent("n1");
    let builds = place.works.builds();
    place.nodes("comment: edited");
    assert_ne!(place.sent("n1").etag, first.etag);
    assert_eq!(place.sent("n2"), other);
    assert_eq!(place.recipe("n2").metadata().unwrap().ino(), inode);
    assert_eq!(place.works.builds(), builds + 1);
}

#[test]
fn a_restart_knows_the_recipes_and_their_tags() {
    let mut place = Place::new();
    let before = place.sent("n1");
    place.works = Arc::default();
    assert_eq!(place.sent("n1"), before);
    assert_eq!(place.works.builds(), 0);
}

#[test]
fn a_recipe_that_is_cut_short_or_gone_is_made_anew_and_so_is_a_piece() {
    let place = Place::new();
    let before = place.sent("n1");
    let whole = fs::read(place.recipe("n1")).unwrap();
    fs::write(place.recipe("n1"), &whole[..whole.len() / 2]).unwrap();
    assert_eq!(place.sent("n1"), before);
    fs::remove_file(place.recipe("n1")).unwrap();
    assert_eq!(place.sent("n1"), before);
    let piece = place.path("provision/.overlays/pieces").join(&place.pieces()[0]);
    let whole = fs::read(&piece).unwrap();
    fs::write(&piece, &whole[..whole.len() - 9]).unwrap();
    fs::remove_file(place.recipe("n1")).unwrap();
    assert_eq!(place.sent("n1"), before);
    assert_eq!(fs::read(&piece).unwrap(), whole);
}

#[test]
fn an_archive_that_somebody_puts_beside_a_recipe_is_sent_as_it_is() {
    let place = Place::new();
    place.sent("n1");
    place.put("provision/overlays/n1/__SYSTEM__.img", b"by hand");
    let cluster = place.cluster();
    let node = cluster.node("n1").unwrap();
    let Offer::Foreign { mut file, name } = offer(&cluster.site, node, OverlayKind::System, false).unwrap() else {
        panic!("not foreign")
    };
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), name.as_str()), ("by hand", "__SYSTEM__.img"));
    assert!(matches!(offer(&cluster.site, node, OverlayKind::System, true), Ok(Offer::NotPacked)));
}

#[test]
fn pieces_that_no_recipe_names_are_swept_and_a_transfer_under_way_is_not_disturbed() {
    let place = Place::new();
    let before = place.sent("n1");
    place.sent("n2");
    let cluster = place.cluster();
    let Ok(Offer::Known { spans, .. }) = offer(&cluster.site, cluster.node("n1").unwrap(), OverlayKind::System, true)
    else {
        panic!("not known")
    };
    let store = Store::of(&cluster.site);
    assert_eq!(store.sweep().unwrap(), 0, "all are named");
    place.put("overlays/base/rootfs/bin/agent", &noise(2));
    place.sent("n1");
    assert_eq!((place.pieces().len(), store.sweep().unwrap()), (2, 0), "n2 still names the old one");
    place.sent("n2");
    let writing = store.write().unwrap();
    assert_eq!((place.pieces().len(), store.sweep().unwrap()), (2, 0), "somebody is writing");
    drop(writing);
    assert_eq!((store.sweep().unwrap(), place.pieces().len()), (1, 1));
    assert_eq!(bytes(&spans), before.packed);
}

#[test]
fn old_pieces_do_not_gather_while_the_daemon_runs() {
    let place = Place::new();
    for round in 0..70 {
        place.put("overlays/base/rootfs/bin/agent", &noise(round));
        place.sent("n1");
    }
    assert!(place.pieces().len() <= 40, "{}", place.pieces().len());
}

#[test]
fn what_is_forgotten_is_gone_in_every_form() {
    let place = Place::new();
    place.sent("n1");
    forget(&place.cluster().site, "n1").unwrap();
    assert!(!place.recipe("n1").exists());
    let shop = Workshop::of(&place.cluster()).materialized();
    shop.build(&shop.node("n1").unwrap(), OverlayKind::System).unwrap();
    forget(&place.cluster().site, "n1").unwrap();
    assert!(!place.path("provision/overlays/n1/__SYSTEM__.img").exists());
    assert!(!place.path("provision/overlays/n1/__SYSTEM__.img.gz").exists());
}

#[test]
fn a_piece_that_is_gone_is_made_again_by_who_asks() {
    let place = Place::new();
    let before = place.sent("n1");
    let piece = place.path("provision/.overlays/pieces").join(&place.pieces()[0]);
    fs::remove_file(&piece).unwrap();
    let cluster = place.cluster();
    let offered = fresh_offer(&cluster, cluster.node("n1").unwrap(), OverlayKind::System, false).unwrap();
    let Offer::Known { spans, .. } = offered else { panic!("not known") };
    // What is the node's own may be a second younger.
    let files = |plain: &[u8]| {
        let entries = archive::newc::read(plain).unwrap().into_iter();
        entries.map(|entry| (entry.path, entry.kind)).collect::<Vec<_>>()
    };
    assert!(files(&bytes(&spans)) == files(&before.plain));
}

#[test]
fn recipes_of_nodes_that_are_gone_are_forgotten_with_their_pieces() {
    let place = Place::new();
    place.sent("n1");
    let site = place.cluster().site;
    assert_eq!(forget_others(&site, |node| node.starts_with('n')).unwrap(), Vec::<PathBuf>::new());
    assert_eq!(place.pieces().len(), 1);
    let gone = forget_others(&site, |_| false).unwrap();
    assert!(gone.contains(&place.recipe("n1")), "{gone:?}");
    assert_eq!(place.pieces(), Vec::<String>::new());
}

#[test]
fn nodes_that_are_built_at_different_times_agree_on_the_dates_of_what_they_share() {
    let place = Place::new();
    place.sent("n1");
    std::thread::sleep(Duration::from_millis(1100));
    place.sent("n2");
    let date = |node: &str, path: &str| {
        let entries = archive::newc::read(&place.offered(node).plain).unwrap();
        entries.into_iter().find(|entry| entry.path == path.as_bytes()).unwrap().mtime
    };
    assert_eq!(date("n1", "etc/hosts"), date("n2", "etc/hosts"));
    assert!(date("n1", "etc/name") < date("n2", "etc/name"));
}

/// Builds all nodes, as `overlay build` does; answers who failed.
fn build_all(place: &Place) -> Vec<String> {
    let site = place.cluster().site;
    let nodes = NodesConf::parse(&fs::read_to_string(place.path("etc/warewulf/nodes.conf")).unwrap()).unwrap();
    let shop = Workshop::new(site.clone(), &nodes.all_merged()).grouped();
    let group = Group::begin(&site).unwrap();
    let failed = std::sync::Mutex::new(Vec::new());
    bulk::build(&shop, shop.nodes(), 3, |node, kind, built| {
        if built.is_err() {
            failed.lock().unwrap().push(format!("{} {kind}", node.id));
        }
    });
    group.finish().unwrap();
    failed.into_inner().unwrap()
}

/// The files below a folder of the store, with their inodes.
fn inodes(place: &Place, folder: &str) -> Vec<(String, u64)> {
    let entries =
        fs::read_dir(place.path("provision/.overlays").join(folder)).into_iter().flatten().map(Result::unwrap);
    let one = |entry: fs::DirEntry| Some((entry.file_name().into_string().unwrap(), entry.metadata().ok()?.ino()));
    // What goes meanwhile is not there.
    let mut all: Vec<_> = entries.filter_map(one).collect();
    all.sort();
    all
}

#[test]
fn a_build_of_all_nodes_lays_recipes_on_shelves_and_they_are_the_same_archives() {
    let place = Place::new();
    let one_by_one = place.sent("n1");
    assert_eq!(inodes(&place, "shelves"), []);
    fs::remove_dir_all(place.path("provision/.overlays")).unwrap();
    let since = place.works_anew();
    assert_eq!(build_all(&since), [""; 0]);
    let shelves = inodes(&since, "shelves");
    assert!(!shelves.is_empty());
    assert_eq!(inodes(&since, "recipes"), [], "none in a file of its own");
    let shelved = since.offered("n1");
    assert_eq!(
        (shelved.text("etc/name"), shelved.text("etc/hosts")),
        (one_by_one.text("etc/name"), one_by_one.text("etc/hosts"))
    );
    assert_eq!(since.sent("n1"), shelved, "fresh");
    assert_eq!(build_all(&since), [""; 0]);
    assert_eq!(inodes(&since, "shelves"), shelves, "nothing changed, nothing is written");
}

#[test]
fn what_is_built_for_one_node_counts_before_the_shelf_until_all_are_built_again() {
    let place = Place::new();
    build_all(&place);
    let other = place.offered("n2");
    place.nodes("comment: edited");
    let edited = place.sent("n1");
    assert!(edited.text("etc/hosts").contains("n1 edited"), "{}", edited.text("etc/hosts"));
    assert!(place.recipe("n1").exists());
    assert_eq!(place.offered("n2"), other, "not asked for yet");
    build_all(&place);
    assert!(place.recipe("n1").exists(), "it is what it should be");
    assert_eq!(place.offered("n1"), edited);
    assert!(place.offered("n2").text("etc/hosts").contains("n1 edited"));
    place.nodes("comment: again");
    build_all(&place);
    assert!(!place.recipe("n1").exists(), "on its shelf");
    assert!(place.offered("n1").text("etc/hosts").contains("n1 again"));
}

#[test]
fn a_node_that_fails_keeps_its_recipe_and_stops_no_other_of_its_shelf() {
    let place = Place::new();
    build_all(&place);
    let good = place.offered("n1");
    place.put("overlays/base/rootfs/etc/bad.ww", b"{{if eq .Id \"n1\"}}{{.Nope}}{{end}}");
    assert_eq!(build_all(&place), ["n1 system"]);
    assert_eq!(place.offered("n1"), good);
    place.offered("n2").text("etc/bad");
}

#[test]
fn a_shelf_that_is_cut_short_or_gone_is_as_if_nothing_was_built() {
    let place = Place::new();
    build_all(&place);
    let good = place.offered("n1");
    for keep in [0, 20, 700] {
        for (name, _) in inodes(&place, "shelves") {
            let path = place.path("provision/.overlays/shelves").join(name);
            fs::File::options().write(true).open(path).unwrap().set_len(keep).unwrap();
        }
        assert_eq!(place.sent("n1").text("etc/name"), good.text("etc/name"), "built for who asks");
        build_all(&place);
    }
    fs::remove_dir_all(place.path("provision/.overlays/shelves")).unwrap();
    assert_eq!(place.sent("n2").text("etc/name"), "n2\n");
}

#[test]
fn what_is_on_a_shelf_is_forgotten_with_its_node_and_given_up_for_files() {
    let place = Place::new();
    build_all(&place);
    let site = place.cluster().site;
    let gone = forget_others(&site, |node| node != "n1").unwrap();
    assert_eq!(gone.len(), 2);
    let nothing = |node: &str| {
        let cluster = place.cluster();
        matches!(offer(&site, cluster.node(node).unwrap(), OverlayKind::System, false).unwrap(), Offer::Nothing(_))
    };
    assert!(nothing("n1") && !nothing("n2"), "{gone:?}");
    // As files, the shelf has nothing of it any more.
    let before = place.offered("n2");
    let shop = Workshop::of(&place.cluster()).materialized();
    shop.build(&shop.node("n2").unwrap(), OverlayKind::System).unwrap();
    assert_eq!(place.offered("n2"), before);
    fs::remove_dir_all(place.path("provision/overlays")).unwrap();
    assert!(nothing("n2"));
}

#[test]
fn a_build_of_all_nodes_that_is_killed_at_any_moment_leaves_whole_archives_and_the_next_one_tidies_up() {
    let place = Place::new();
    let conf = place.cluster().site.conf_path.clone();
    let root = place.dir.path().display();
    let text = format!(
        "ipaddr: 10.0.0.1\nnetmask: 255.0.0.0\noverlays: {{materialize: false}}\npaths: {{sysconfdir: {root}/etc, datadir: \
         {root}/share, wwoverlaydir: {root}/overlays, wwchrootdir: {root}/chroots, wwprovisiondir: {root}/provision}}\n"
    );
    fs::write(&conf, text).unwrap();
    let build = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_wwctl"));
        command.arg("--warewulfconf").arg(&conf).args(["overlay", "build"]).stderr(std::process::Stdio::null());
        command.spawn().unwrap()
    };
    const NODES: usize = 40;
    let mut whole = 0;
    for round in 0..5 {
        let all: Vec<String> =
            (0..NODES).map(|n| format!("m{n}: {{system overlay: [base], comment: c{round}}}")).collect();
        place.put("etc/warewulf/nodes.conf", format!("nodes: {{{}}}", all.join(", ")).as_bytes());
        let before = inodes(&place, "shelves");
        let mut killed = build();
        // Killed when so many shelves were put up; the last ones may come to their end.
        let put_up = || inodes(&place, "shelves").iter().filter(|shelf| !before.contains(shelf)).count();
        while put_up() < 8 * round && killed.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        killed.kill().unwrap();
        killed.wait().unwrap();
        let cluster = place.cluster();
        for node in &cluster.merged {
            match offer(&cluster.site, node, OverlayKind::System, true).unwrap() {
                Offer::Nothing(_) => {}
                // What is sent packed is what is sent as it is, and it is an archive of this node.
                _ => {
                    assert_eq!(place.offered(&node.id).text("etc/name"), format!("{}\n", node.id));
                    whole += 1;
                }
            }
        }
    }
    assert!(build().wait().unwrap().success());
    assert!(whole > NODES, "nodes that had an archive after a kill: {whole}");
    let cluster = place.cluster();
    for node in &cluster.merged {
        assert!(place.offered(&node.id).text("etc/hosts").contains("m7 c4"), "{}", node.id);
    }
    for folder in ["recipes", "shelves", "pieces"] {
        let left: Vec<_> = inodes(&place, folder).into_iter().filter(|(name, _)| name.contains("new")).collect();
        assert_eq!(left, [], "{folder}");
    }
}
