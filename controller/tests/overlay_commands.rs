//! What an administrator types, and types wrong: `wwctl overlay` beside the recorded cases.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop at the first surprise")]

mod world;

use std::os::unix::fs::{MetadataExt, symlink};

use serde_json::json;
use world::{CONF, World};

/// A site with one overlay and a node that has it.
fn site() -> World {
    let world = World::with_nodes("nodes: {n1: {system overlay: [a]}}\n");
    world.put("var/overlays/a/rootfs/etc/id.ww", &json!("{{.Id}}\n"));
    world
}

#[test]
fn no_command_goes_through_a_link_that_leads_out_of_the_overlay() {
    let mut world = site();
    world.env.push(("EDITOR".into(), "sed -i s/own/other/".into()));
    world.put("outside/file", &json!("own\n"));
    world.put("in.txt", &json!("in\n"));
    let root = world.path("var/overlays/a/rootfs");
    symlink(world.path("outside"), root.join("out")).unwrap();
    symlink("../../../../outside", root.join("up")).unwrap();
    symlink("/nowhere/at/all", root.join("nowhere")).unwrap();
    symlink("etc", root.join("in")).unwrap();
    let file = world.path("in.txt").display().to_string();
    for link in ["out", "up", "nowhere"] {
        let [below, new, same] = ["file", "new/folder", "in.txt"].map(|name| format!("{link}/{name}"));
        let calls: [&[&str]; 9] = [
            &["mkdir", "a", &new],
            &["import", "-p", "a", &file, &new],
            &["import", "-o", "a", &file, &same],
            &["delete", "a", &below],
            &["edit", "a", &below],
            &["show", "a", &below],
            &["info", "a", &below],
            &["chmod", "a", &below, "0600"],
            &["chown", "a", &below, "1"],
        ];
        for call in calls {
            let ran = world.run(&[&["overlay"], call].concat());
            let why = "leads out of the overlay: name the place in the overlay that is meant";
            assert_eq!(ran.exit, 255, "{call:?}");
            assert!(
                ran.stderr.contains(&format!("/{link} is a link to ")) && ran.stderr.contains(why),
                "{}",
                ran.stderr
            );
        }
    }
    // A link to a folder as the place to import to.
    let ran = world.run(&["overlay", "import", "a", &file, "out"]);
    assert!(ran.exit == 255 && ran.stderr.contains("/out is a link to "), "{}", ran.stderr);
    assert_eq!(world.read("outside/file"), "own\n");
    assert_eq!(std::fs::read_dir(world.path("outside")).unwrap().count(), 1);
    // One that stays inside is a way like any other.
    assert_eq!(world.run(&["overlay", "import", "a", &file, "in/new"]).exit, 0);
    assert_eq!(world.read("var/overlays/a/rootfs/etc/new"), "in\n");
    assert_eq!(world.run(&["overlay", "delete", "a", "in/new"]).exit, 0);
    assert_eq!(world.run(&["overlay", "delete", "a", "out"]).exit, 0, "the link itself");
}

#[test]
fn a_node_whose_name_leads_elsewhere_is_not_built_and_stops_no_other() {
    let world = World::with_nodes(
        "nodes: {n1: {system overlay: [a]}, ../../../up: {system overlay: [a]}, x/y: {}, 'sp ace ü': {system overlay: [a]}}\n",
    );
    world.put("var/overlays/a/rootfs/etc/id.ww", &json!("{{.Id}}\n"));
    let ran = world.run(&["overlay", "build"]);
    let why = "its name is no name of a folder, where its overlays would lie: rename the node";
    assert!(ran.exit == 255 && ran.stderr.contains(&format!("ERROR  : node ../../../up: {why}\n")), "{}", ran.stderr);
    assert!(ran.stderr.contains(&format!("ERROR  : node x/y: {why}\n")), "{}", ran.stderr);
    let mut built: Vec<_> = std::fs::read_dir(world.path("var/provision/overlays")).unwrap().flatten().collect();
    built.sort_by_key(std::fs::DirEntry::file_name);
    assert_eq!(
        built.iter().map(|entry| entry.file_name().into_string().unwrap()).collect::<Vec<_>>(),
        ["n1", "sp ace ü"]
    );
    assert!(!world.path("up").exists() && !world.path("../up").exists());
}

#[test]
fn many_who_change_one_distribution_overlay_at_once_lose_nothing() {
    let world = site();
    world.put("share/warewulf/overlays/d/rootfs/etc/there", &json!("there\n"));
    let names: Vec<String> = (0..8).map(|n| format!("f{n}")).collect();
    names.iter().for_each(|name| world.put(name, &json!(format!("{name}\n"))));
    std::thread::scope(|scope| {
        for name in &names {
            let file = world.path(name).display().to_string();
            let world = &world;
            scope.spawn(move || {
                let ran = world.run(&["overlay", "import", "d", &file, &format!("etc/{name}")]);
                assert_eq!(ran.exit, 0, "{}", ran.stderr);
            });
        }
    });
    for name in names {
        assert_eq!(world.read(&format!("var/overlays/d/rootfs/etc/{name}")), format!("{name}\n"));
    }
    assert_eq!(world.read("var/overlays/d/rootfs/etc/there"), "there\n");
}

#[test]
fn what_a_killed_command_left_is_no_overlay_and_is_gone_after_the_next_one() {
    let world = site();
    world.put("var/overlays/.gone-b/rootfs/half", &json!("x\n"));
    world.put("var/overlays/.new-Ab12/rootfs/half", &json!("x\n"));
    world.put("var/overlays/.new-Ab13", &json!("x\n"));
    let listed = world.run(&["overlay", "list"]).stdout;
    assert_eq!(
        listed,
        "OVERLAY NAME  FILES/DIRS  SITE\n------------  ----------  ----\na             2           true\n\n"
    );
    assert_eq!(world.run(&["overlay", "create", "b"]).exit, 0);
    let mut left: Vec<_> = std::fs::read_dir(world.path("var/overlays")).unwrap().flatten().collect();
    left.sort_by_key(std::fs::DirEntry::file_name);
    assert_eq!(left.iter().map(|entry| entry.file_name().into_string().unwrap()).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn an_editor_s_text_is_never_lost_and_never_undoes_what_somebody_else_wrote() {
    let mut world = site();
    let other = "sh -c 'echo theirs > @ROOT@/var/overlays/a/rootfs/etc/id.ww; echo mine > $1' edit";
    world.env.push(("EDITOR".into(), other.into()));
    world.env.push(("TMPDIR".into(), "@ROOT@".into()));
    let ran = world.run(&["overlay", "edit", "a", "etc/id.ww"]);
    let place =
        ran.stderr.split_once("nothing is changed; what was edited is in ").unwrap().1.split_once(": ").unwrap();
    assert_eq!(ran.exit, 255);
    assert!(place.1.ends_with("/etc/id.ww was changed by somebody else meanwhile\n"), "{}", ran.stderr);
    assert_eq!(
        std::fs::read_to_string(
            std::path::Path::new(&place.0.replace("@ROOT@", world.root().to_str().unwrap())).join("id.ww")
        )
        .unwrap(),
        "mine\n"
    );
    assert_eq!(world.read("var/overlays/a/rootfs/etc/id.ww"), "theirs\n");
}

#[test]
fn nobody_waits_for_a_fifo_in_an_overlay() {
    let world = site();
    let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
    for name in ["p", "p.ww"] {
        nix::unistd::mkfifo(&world.path("var/overlays/a/rootfs").join(name), mode).unwrap();
    }
    let said = |words: &[&str]| world.run(words).stderr.replace(world.root().to_str().unwrap(), "@ROOT@");
    let why = |name: &str| {
        format!("ERROR: @ROOT@/var/overlays/a/rootfs/{name}: it is a FIFO, and only plain files can be read\n")
    };
    assert_eq!(said(&["overlay", "show", "-r", "n1", "a", "p"]), why("p"));
    assert_eq!(said(&["overlay", "info", "a", "p.ww"]), why("p.ww"));
    assert_eq!(world.run(&["overlay", "build"]).exit, 0);
}

#[test]
fn check_tells_of_what_no_archive_can_hold() {
    let world = site();
    world.put("var/overlays/a/rootfs/TRAILER!!!", &json!("x\n"));
    let ran = world.run(&["overlay", "check"]);
    let why = "TRAILER!!!: a file of this name at the root would end the archive; rename or exclude it";
    let said = format!(
        "ERROR  : node n1: the system overlay cannot be packed: {why}\nERROR: 1 errors in the overlays of 1 nodes\n"
    );
    assert_eq!((ran.exit, ran.stdout.as_str(), ran.stderr), (255, "", said));
}

#[test]
fn all_that_a_build_writes_is_readable_by_root_only() {
    for materialize in [true, false] {
        let world = site();
        world.put("etc/warewulf/warewulf.conf", &json!(format!("{CONF}overlays: {{materialize: {materialize}}}\n")));
        assert_eq!(world.run(&["overlay", "build"]).exit, 0);
        let provision = world.path("var/provision");
        let mut files = 0;
        for thing in controller::build::trees::walk(&provision).unwrap() {
            let mode = thing.data.mode() & 0o777;
            files += u32::from(thing.data.is_file());
            let most = if thing.data.is_dir() { 0o750 } else { 0o600 };
            assert_eq!(mode & !most, 0, "{} has mode {mode:o}", thing.path.display());
        }
        assert!(files >= 3, "{files}");
    }
}

#[test]
fn what_goes_through_a_link_of_the_image_is_told_once_with_all_its_nodes() {
    let world = World::with_nodes(
        "nodes:\n  n1: {image name: oak, system overlay: [a]}\n  n2: {image name: oak, system overlay: [a]}\n  n3: {system overlay: [a]}\n",
    );
    world.put("var/overlays/a/rootfs/lib64/one", &json!("1\n"));
    world.put("var/overlays/a/rootfs/lib64/two", &json!("2\n"));
    world.put("var/chroots/oak/rootfs/usr/lib64/x", &json!("x\n"));
    symlink("usr/lib64", world.path("var/chroots/oak/rootfs/lib64")).unwrap();
    let word = "WARN   : node n[1-2]: overlay a: /lib64 is a link to /usr/lib64 in the image: what the overlay has below it goes there\n";
    let told = |command: &str| {
        let ran = world.run(&["overlay", command]);
        assert_eq!(ran.exit, 0, "{}", ran.stderr);
        ran.stderr.lines().filter(|line| line.contains("lib64")).map(|line| format!("{line}\n")).collect::<String>()
    };
    assert_eq!(told("build"), word);
    assert_eq!(told("check"), word);
}

#[test]
fn show_tells_of_each_file_under_the_name_that_was_typed() {
    let world = site();
    world.put("var/overlays/a/rootfs/etc/many.ww", &json!("lost{{file \"x\"}}one{{file \"y\"}}two\n"));
    let shown = |words: &[&str]| world.run(&[&["overlay", "show", "-r", "n1", "a"], words].concat()).stdout;
    let head = "backupFile: true\nwriteFile: true\nFilename: ";
    for (typed, name) in [("etc/id.ww", "etc/id"), ("/etc/id.ww", "/etc/id"), ("etc/id", "etc/id")] {
        assert_eq!(shown(&[typed]), format!("{head}{name}\nn1\n"));
    }
    assert_eq!(shown(&["etc/many"]), format!("{head}x\none\n{head}y\ntwo\n"));
    assert_eq!(shown(&["-q", "etc/many"]), "one\ntwo\n");
}

#[test]
fn who_is_no_node_is_the_controller_itself_and_that_is_said() {
    let world = site();
    world.put("var/overlays/a/rootfs/own.ww", &json!("{{.Id}} {{.ClusterName}} {{.BuildHost}} {{len .AllNodes}}\n"));
    let host = nix::unistd::gethostname().unwrap().into_string().unwrap();
    let ran = world.run(&["overlay", "show", "-q", "-r", "host", "a", "own"]);
    assert_eq!((ran.exit, ran.stdout), (0, format!("{host} {host} {host} 1\n")));
    let said = format!("WARN   : there is no node host: this is what the controller itself, {host}, would get\n");
    assert_eq!(ran.stderr, said);
}

#[test]
fn a_new_template_begins_with_words_that_render_and_is_written_only_when_they_change() {
    let mut world = site();
    let full = world.path("var/overlays/a/rootfs/new.ww");
    world.env.push(("EDITOR".into(), "true".into()));
    assert_eq!((world.run(&["overlay", "edit", "a", "new.ww"]).exit, full.exists()), (0, false));
    world.env.push(("EDITOR".into(), "sed -i 's/autogenerated by warewulf/edited/'".into()));
    assert_eq!(world.run(&["overlay", "edit", "a", "new.ww"]).exit, 0);
    assert!(world.read("var/overlays/a/rootfs/new.ww").ends_with("# This file is edited\n"));
    assert_eq!(world.run(&["overlay", "build", "n1"]).exit, 0);
}
