//! The recorded answers of stock to `wwctl overlay`, asked of ours, with modes, owners and the entries of archives; and
//! our own answers where stock is wrong.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod world;

use std::os::unix::fs::MetadataExt;

use serde_json::json;
use world::World;
use world::recorded::topic;

#[test]
fn overlay() {
    topic("overlay");
}

#[test]
fn render() {
    topic("render");
}

/// A world with an overlay `site` that holds /etc/site, and one node.
fn small() -> World {
    let world = World::with_nodes("nodes: {n1: {runtime overlay: [site]}}\n");
    world.put("var/overlays/site/rootfs/etc/site", &json!("site file\n"));
    world
}

fn mode(world: &World, path: &str) -> u32 {
    world.path(path).metadata().unwrap().mode() & 0o7777
}

#[test]
fn modes_are_octal_with_or_without_a_nought_and_keep_set_id_bits() {
    let world = small();
    assert_eq!(world.run(&["overlay", "mkdir", "-m", "700", "site", "/private"]).exit, 0);
    assert_eq!(mode(&world, "var/overlays/site/rootfs/private"), 0o700);
    assert_eq!(world.run(&["overlay", "chmod", "site", "/etc/site", "4755"]).exit, 0);
    assert_eq!(mode(&world, "var/overlays/site/rootfs/etc/site"), 0o4755);
    let refused = world.run(&["overlay", "chmod", "site", "/etc/site", "u+x"]);
    assert_eq!(refused.exit, 255);
    assert!(refused.stderr.contains("a mode is octal"), "{}", refused.stderr);
}

#[test]
fn a_set_uid_bit_goes_into_the_archive() {
    let world = small();
    world.put("var/overlays/site/rootfs/s", &json!({"text": "suid", "mode": "4755"}));
    assert_eq!(world.run(&["overlay", "build", "n1"]).exit, 0);
    let archive = std::fs::read(world.path("var/provision/overlays/n1/__RUNTIME__.img")).unwrap();
    let entries = archive::newc::read(&archive).unwrap();
    assert_eq!(entries.iter().find(|entry| entry.path == b"s").unwrap().mode, 0o4755);
}

#[test]
fn a_new_file_has_the_mode_that_people_expect() {
    let mut world = small();
    world.put("ed", &json!({"text": "#!/bin/sh\necho only > \"$1\"\n", "mode": "0755"}));
    world.env.push(("EDITOR".into(), "@ROOT@/ed".into()));
    assert_eq!(world.run(&["overlay", "edit", "-p", "site", "/a/b/new"]).exit, 0);
    assert_eq!(mode(&world, "var/overlays/site/rootfs/a/b/new"), 0o644);
}

#[test]
fn an_editor_may_replace_its_file() {
    let mut world = small();
    world.put("ed", &json!({"text": "#!/bin/sh\necho new > \"$1.tmp\" && mv \"$1.tmp\" \"$1\"\n", "mode": "0755"}));
    world.env.push(("EDITOR".into(), "@ROOT@/ed".into()));
    assert_eq!(world.run(&["overlay", "edit", "site", "/etc/site"]).exit, 0);
    assert_eq!(world.read("var/overlays/site/rootfs/etc/site"), "new\n");
}

#[test]
fn check_prints_every_error_with_its_nodes_and_changes_nothing() {
    let world = World::with_nodes(
        "nodes: {n1: {runtime overlay: [site]}, n2: {runtime overlay: [site, gone]}, n3: {system overlay: [site]}}\n",
    );
    world.put("var/overlays/site/rootfs/a.ww", &json!("{{if}}"));
    world.put("var/overlays/site/rootfs/b.ww", &json!("x\n{{.Nothing}}"));
    let ran = world.run(&["overlay", "check"]);
    assert_eq!(ran.exit, 255);
    assert!(
        ran.stderr.contains("node n2: there is no overlay gone, which is in the runtime overlays"),
        "{}",
        ran.stderr
    );
    for place in ["a.ww:1:", "b.ww:2:"] {
        let line = ran.stderr.lines().find(|line| line.contains(place)).unwrap_or_else(|| panic!("{}", ran.stderr));
        assert!(line.starts_with("ERROR  : node n[1-3]: overlay site: @ROOT@/var/overlays/site/rootfs/"), "{line}");
    }
    assert!(!world.path("var/provision").exists());
}

#[test]
fn diff_and_show_have_the_clock_and_the_lots_that_the_node_was_given_in_whichever_form_its_archive_lies() {
    for form in [true, false] {
        let world = small();
        let conf = "etc/warewulf/warewulf.conf";
        let text = world.read(conf);
        world.put(conf, &json!(format!("{text}overlays:\n  materialize: {form}\n")));
        let lot = "{{now | date \"15:04:05.000000000\"}} {{randAlphaNum 20}}\n";
        world.put("var/overlays/site/rootfs/etc/lot.ww", &json!(lot));
        assert_eq!(world.run(&["overlay", "build"]).exit, 0);
        assert_eq!(world.path("var/provision/overlays/n1/__RUNTIME__.img").exists(), form);
        let diff = world.run(&["overlay", "diff", "n1"]);
        assert_eq!((diff.exit, diff.stdout.as_str(), diff.stderr.as_str()), (0, "", ""));
        let show = || world.run(&["overlay", "show", "-q", "-r", "n1", "site", "etc/lot.ww"]).stdout;
        assert_eq!(show(), show());
        assert!(show().len() > 30, "{}", show());
    }
}

#[test]
fn diff_shows_what_a_build_would_change_and_a_build_then_leaves_nothing_to_show() {
    let world = small();
    assert_eq!(world.run(&["overlay", "diff", "n1"]).stdout, "runtime + /etc\nruntime + /etc/site\n");
    assert_eq!(world.run(&["overlay", "build"]).exit, 0);
    assert_eq!(world.run(&["overlay", "diff", "n1"]).stdout, "");
    world.put("var/overlays/site/rootfs/etc/site", &json!({"text": "other\n", "mode": "0600"}));
    assert_eq!(
        world.run(&["overlay", "diff", "n1"]).stdout,
        "runtime ~ /etc/site (mode, content)\n    -site file\n    +other\n"
    );
}

#[test]
fn a_node_that_fails_stops_no_other() {
    let world = World::with_nodes("nodes: {n1: {runtime overlay: [gone]}, n2: {runtime overlay: [site]}}\n");
    world.put("var/overlays/site/rootfs/etc/site", &json!("site file\n"));
    let ran = world.run(&["overlay", "build"]);
    assert_eq!(ran.exit, 255);
    assert!(
        ran.stderr.ends_with("ERROR: overlays of n1 are not built; what was built before stays\n"),
        "{}",
        ran.stderr
    );
    assert!(world.path("var/provision/overlays/n2/__RUNTIME__.img").exists());
    assert!(world.path("var/provision/overlays/n1/__SYSTEM__.img").exists());
}

#[test]
fn who_puts_a_secret_into_an_overlay_that_all_may_read_is_told_at_once_and_by_check() {
    let world = small();
    world.put("key", &json!("-----BEGIN OPENSSH PRIVATE KEY-----\nx\n-----END OPENSSH PRIVATE KEY-----\n"));
    let key = world.path("key").display().to_string();
    let word = "overlay site: /etc/key holds a private key that all may read";
    let told = world.run(&["overlay", "import", "site", &key, "/etc/key"]);
    assert_eq!(told.exit, 0);
    assert!(told.stderr.contains(&format!("{word}: wwctl overlay chmod site /etc/key 0600")), "{}", told.stderr);
    assert!(world.run(&["overlay", "check"]).stderr.contains(word));
    let silent = world.run(&["overlay", "chmod", "site", "/etc/key", "0600"]);
    assert_eq!((silent.exit, silent.stderr.as_str()), (0, ""));
    assert!(!world.run(&["overlay", "check"]).stderr.contains("private key"));
}
