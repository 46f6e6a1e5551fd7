//! `overlays: merge: files`: a site overlay over the distribution overlay of its name, as the commands show it and as a node
//! gets it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop at the first surprise")]

mod world;

use std::os::unix::fs::MetadataExt;

use serde_json::json;
use world::{CONF, Ran, World};

const SHARE: &str = "share/warewulf/overlays/ssh";
const SITE: &str = "var/overlays/ssh/rootfs";

/// A distribution overlay with a folder and a key that are nobody's business, and a node that has it.
fn world(merge: &str) -> World {
    let world = World::with_nodes("nodes: {n1: {runtime overlay: [ssh]}}\n");
    world.put("etc/warewulf/warewulf.conf", &json!(format!("{CONF}overlays: {{merge: {merge}}}\n")));
    world.put(&format!("{SHARE}/modes"), &json!("root 0700 0 0\nroot/key.ww 0600 0 0\n"));
    world.put(&format!("{SHARE}/rootfs/root/key.ww"), &json!("key of {{ .Id }}, {{ base .BuildSource }}\n"));
    world.put(&format!("{SHARE}/rootfs/etc/hosts.ww"), &json!("hosts by {{ .BuildSource }}\n"));
    world.put(&format!("{SHARE}/rootfs/etc/motd"), &json!("welcome\n"));
    world
}

fn run(world: &World, words: &[&str]) -> Ran {
    let ran = world.run(words);
    assert_eq!(ran.exit, 0, "{words:?}: {}", ran.stderr);
    ran
}

/// Path, mode in octal and content of all that the node gets.
fn given(world: &World) -> Vec<String> {
    run(world, &["overlay", "build", "n1"]);
    let archive = std::fs::read(world.path("var/provision/overlays/n1/__RUNTIME__.img")).unwrap();
    let root = world.root().display().to_string();
    let mut entries = archive::newc::read(&archive).unwrap();
    // What many nodes share stands first in an archive.
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    entries
        .into_iter()
        .map(|entry| {
            let text = match &entry.kind {
                archive::Kind::File(content) => String::from_utf8_lossy(content).trim().replace(&root, "@ROOT@"),
                _ => "/".to_owned(),
            };
            format!("{} {:o} {text}", String::from_utf8_lossy(&entry.path), entry.mode)
        })
        .collect()
}

/// What the site's overlay holds: paths with their modes.
fn held(world: &World) -> Vec<String> {
    let root = world.path(SITE);
    controller::build::trees::walk(&root)
        .unwrap()
        .iter()
        .map(|thing| format!("{} {:o}", thing.path.display(), thing.data.mode() & 0o7777))
        .collect()
}

const ALL: [&str; 5] = [
    "etc 755 /",
    "etc/hosts 644 hosts by @ROOT@/share/warewulf/overlays/ssh/rootfs/etc/hosts.ww",
    "etc/motd 644 welcome",
    "root 700 /",
    "root/key 600 key of n1, key.ww",
];

#[test]
fn a_site_overlay_hides_only_the_files_it_holds_and_a_template_knows_its_own_path() {
    let world = world("files");
    assert_eq!(given(&world), ALL);
    world.put(&format!("{SITE}/etc/motd.ww"), &json!("by {{ .BuildSource }}\n"));
    world.put(&format!("{SITE}/root/more"), &json!("more\n"));
    let mut expected = ALL.map(str::to_owned).to_vec();
    expected[2] = "etc/motd 644 by @ROOT@/var/overlays/ssh/rootfs/etc/motd.ww".to_owned();
    expected.push("root/more 644 more".to_owned());
    assert_eq!(given(&world), expected);
}

#[test]
fn merged_whole_the_same_overlay_hides_all() {
    let world = world("whole");
    world.put(&format!("{SITE}/etc/motd"), &json!("the site's\n"));
    assert_eq!(given(&world), ["etc 755 /", "etc/motd 644 the site's"]);
}

#[test]
fn a_change_of_either_layer_is_seen_by_the_next_build() {
    let world = world("files");
    world.put(&format!("{SITE}/etc/motd"), &json!("the site's\n"));
    assert_eq!(given(&world)[2], "etc/motd 644 the site's");
    world.put(&format!("{SHARE}/rootfs/etc/hosts.ww"), &json!("other hosts\n"));
    std::fs::remove_file(world.path(SITE).join("etc/motd")).unwrap();
    assert_eq!(given(&world)[1..3], ["etc/hosts 644 other hosts", "etc/motd 644 welcome"]);
}

#[test]
fn list_tells_the_layer_of_each_file() {
    let world = world("files");
    world.put(&format!("{SITE}/etc/motd"), &json!("the site's\n"));
    let rows = |words: &[&str]| -> Vec<String> {
        let text = run(&world, words).stdout;
        text.lines()
            .skip(2)
            .filter(|line| !line.is_empty())
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    };
    assert_eq!(
        rows(&["overlay", "list", "-a", "ssh"]),
        ["ssh etc/ true", "ssh etc/hosts.ww false", "ssh etc/motd true", "ssh root/ false", "ssh root/key.ww false"]
    );
    let long = rows(&["overlay", "list", "-l", "-p", "ssh"]);
    assert_eq!(long[4], "-rw------- 0 0 ssh root/key.ww @ROOT@/share/warewulf/overlays/ssh");
    assert_eq!(long[2], "-rw-r--r-- 0 0 ssh etc/motd @ROOT@/var/overlays/ssh");
    assert_eq!(rows(&["overlay", "list"]), ["ssh 5 true"]);
}

#[test]
fn show_and_info_read_the_layer_that_holds_the_file() {
    let world = world("files");
    world.put(&format!("{SITE}/etc/motd"), &json!("the site's\n"));
    let show = |path: &str| run(&world, &["overlay", "show", "ssh", path]).stdout;
    assert_eq!(show("/etc/motd"), "the site's\n");
    assert_eq!(show("/etc/hosts.ww"), "hosts by {{ .BuildSource }}\n");
    let shown = run(&world, &["overlay", "show", "-q", "-r", "n1", "ssh", "/etc/hosts"]).stdout;
    assert_eq!(shown, "hosts by @ROOT@/share/warewulf/overlays/ssh/rootfs/etc/hosts.ww\n");
    let info = run(&world, &["overlay", "info", "ssh", "/etc/hosts.ww"]).stdout;
    assert!(info.contains(".BuildSource"), "{info}");
    // What the site hides is not there.
    world.put(&format!("{SITE}/etc/hosts"), &json!("mine\n"));
    assert_eq!(world.run(&["overlay", "show", "ssh", "/etc/hosts.ww"]).exit, 255);
}

#[test]
fn editing_copies_that_file_alone_with_its_declared_mode() {
    let mut world = world("files");
    world.put("ed", &json!({"text": "#!/bin/sh\necho mine >> \"$1\"\n", "mode": "0755"}));
    world.env.push(("EDITOR".into(), "@ROOT@/ed".into()));
    run(&world, &["overlay", "edit", "ssh", "/root/key.ww"]);
    assert_eq!(held(&world), ["root 700", "root/key.ww 600"]);
    assert_eq!(given(&world)[4], "root/key 600 key of n1, key.ww\nmine");
    run(&world, &["overlay", "edit", "ssh", "/etc/new"]);
    assert_eq!(held(&world), ["etc 755", "etc/new 644", "root 700", "root/key.ww 600"]);
}

#[test]
fn editing_merged_whole_copies_the_overlay_and_the_edited_file_keeps_its_declared_mode() {
    let mut world = world("whole");
    world.put("ed", &json!({"text": "#!/bin/sh\necho mine >> \"$1\"\n", "mode": "0755"}));
    world.env.push(("EDITOR".into(), "@ROOT@/ed".into()));
    run(&world, &["overlay", "edit", "ssh", "/root/key.ww"]);
    assert_eq!(held(&world), ["etc 755", "etc/hosts.ww 644", "etc/motd 644", "root 700", "root/key.ww 600"]);
}

#[test]
fn an_editor_that_changes_nothing_leaves_no_site_overlay() {
    let mut world = world("files");
    world.env.push(("EDITOR".into(), "true".into()));
    run(&world, &["overlay", "edit", "ssh", "/etc/motd"]);
    assert!(!world.path("var/overlays/ssh").exists());
}

#[test]
fn chmod_chown_and_import_take_that_file_to_the_site() {
    let world = world("files");
    run(&world, &["overlay", "chmod", "ssh", "/etc/motd", "0600"]);
    assert_eq!(held(&world), ["etc 755", "etc/motd 600"]);
    run(&world, &["overlay", "chown", "ssh", "/root/key.ww", "7:8"]);
    assert_eq!(held(&world), ["etc 755", "etc/motd 600", "root 700", "root/key.ww 600"]);
    let owner = world.path(SITE).join("root/key.ww").metadata().unwrap();
    assert_eq!((owner.uid(), owner.gid()), (7, 8));
    world.put("mine", &json!("imported\n"));
    let mine = world.path("mine").display().to_string();
    assert_eq!(world.run(&["overlay", "import", "ssh", &mine, "/etc/hosts.ww"]).exit, 255);
    run(&world, &["overlay", "import", "-o", "ssh", &mine, "/etc/hosts.ww"]);
    assert_eq!(given(&world)[1..3], ["etc/hosts 644 imported", "etc/motd 600 welcome"]);
}

#[test]
fn a_folder_that_the_distribution_keeps_closed_stays_closed_and_chmod_says_so() {
    let world = world("files");
    let ran = run(&world, &["overlay", "chmod", "ssh", "/root", "0755"]);
    assert!(ran.stderr.contains("overlay ssh: /root stays 0700: "), "{}", ran.stderr);
    assert_eq!(given(&world)[3], "root 700 /");
}

#[test]
fn deleting_the_sites_file_lets_the_distributions_count_again_and_that_one_cannot_be_deleted() {
    let world = world("files");
    world.put(&format!("{SITE}/etc/hosts"), &json!("mine\n"));
    let ran = run(&world, &["overlay", "delete", "ssh", "/etc/hosts"]);
    assert_eq!(ran.stdout, "overlay ssh: /etc/hosts.ww of @ROOT@/share/warewulf/overlays/ssh counts again\n");
    assert_eq!(given(&world), ALL);
    let refused = world.run(&["overlay", "delete", "ssh", "/etc/hosts.ww"]);
    assert_eq!(refused.exit, 255);
    assert!(refused.stderr.contains("/etc/hosts.ww is part of the distribution"), "{}", refused.stderr);
    run(&world, &["overlay", "delete", "-f", "ssh"]);
    assert_eq!(given(&world), ALL);
}

#[test]
fn an_overlay_made_by_create_hides_nothing_until_it_holds_something() {
    let world = world("files");
    run(&world, &["overlay", "create", "ssh"]);
    assert_eq!(given(&world), ALL);
    run(&world, &["overlay", "mkdir", "-m", "0750", "ssh", "/srv/data"]);
    assert_eq!(held(&world), ["srv 750", "srv/data 750"]);
}
