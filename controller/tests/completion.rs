//! What a shell is told about the next word, switches that are written with a value, and the manual. One sentence a test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod world;

use std::process::Command;

use model::NodesConf;
use serde_json::json;
use world::{NODES, World};

fn site() -> World {
    let world = World::with_nodes(
        "nodeprofiles:\n  default: {}\n  gpu: {}\nnodes:\n  n2:\n    image name: oak\n  n1: {}\n  n10: {}\n",
    );
    world.put("share/warewulf/overlays/base/rootfs/etc/motd.ww", &json!("x"));
    world.put("var/overlays/site/rootfs/etc/own", &json!("x"));
    world.put("var/chroots/oak/rootfs/boot/vmlinuz-6.1.0-1-amd64", &json!("x"));
    world
}

/// What `wwctl __complete` answers, without the helps.
fn offered(world: &World, words: &[&str]) -> Vec<String> {
    let ran = world.run(&[&["__complete"], words].concat());
    assert_eq!((ran.exit, ran.stderr.as_str()), (0, ""), "{words:?}");
    ran.stdout.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
}

#[test]
fn a_shell_is_offered_what_is_on_the_controller() {
    let world = site();
    for (words, wanted) in [
        (&["node", "list", ""][..], &["n1", "n10", "n2", ":4"][..]),
        (&["nodes", "modify", "--image", "x", "n1", "zz"], &["n1", "n10", "n2", ":4"]),
        (&["node", "add", ""], &[":4"]),
        (&["node", "import", ""], &[":0"]),
        (&["power", "status", ""], &["n1", "n10", "n2", ":4"]),
        (&["ssh", "-n", ""], &["n1", "n10", "n2", ":4"]),
        (&["ssh", "n1", ""], &[":4"]),
        (&["overlay", "build", ""], &["n1", "n10", "n2", ":4"]),
        (&["overlay", "show", "-r", ""], &["n1", "n10", "n2", ":4"]),
        (&["overlay", "show", "--render=n1", ""], &["base", "site", ":4"]),
        (&["overlay", "cat", "base", ""], &["etc/", "etc/motd.ww", ":4"]),
        (&["overlay", "create", ""], &[":4"]),
        (&["overlay", "import", "site", ""], &[":0"]),
        (&["profile", "unset", ""], &["default", "gpu", ":4"]),
        (&["node", "set", "-P", ""], &["default", "gpu", ":4"]),
        (&["node", "set", "-O", ""], &["base", "site", ":4"]),
        (&["node", "set", "--runtime-overlays", "base,"], &["base,base", "base,site", ":4"]),
        (&["container", "show", ""], &["oak", ":4"]),
        (&["profile", "set", "--image", ""], &["oak", ":4"]),
        (&["image", "pull", ""], &[":0"]),
        (&["node", "set", "n2", "--kernelversion", ""], &["/boot/vmlinuz-6.1.0-1-amd64", "6.1.0-1-amd64", ":4"]),
        (&["profi"], &["profile", ":4"]),
        (&["node", "e"], &["edit", "export", ":4"]),
        (&["node", "list", "--n"], &["--net", ":4"]),
    ] {
        assert_eq!(offered(&world, words), wanted, "{words:?}");
    }
}

#[test]
fn completion_reads_the_configuration_that_the_line_names() {
    let world = site();
    let conf = world.path("etc/warewulf/warewulf.conf");
    let conf = conf.to_str().unwrap();
    let ran = world.run_with(&["__complete", "--warewulfconf", conf, "profile", "list", ""], "", false);
    assert_eq!(ran.stdout, "default\ngpu\n:4\n");
    // A file that cannot be read offers nothing, and says nothing into the middle of a line that is being typed.
    let ran = world.run_with(&["__complete", "--warewulfconf=/none", "profile", "list", ""], "", false);
    assert_eq!((ran.exit, ran.stdout.as_str(), ran.stderr.as_str()), (0, ":4\n", ""));
}

#[test]
fn bash_completes_a_name_that_was_begun() {
    let world = site();
    let program = env!("CARGO_BIN_EXE_wwctl");
    let typed = format!("{program} node list n1");
    let script = format!(
        "source <({program} completion bash); COMP_LINE='{typed}'; COMP_POINT=${{#COMP_LINE}}; \
         COMP_WORDS=({typed}); COMP_CWORD=3; _wwctl; echo \"${{COMPREPLY[@]}}\""
    );
    let conf = world.path("etc/warewulf/warewulf.conf");
    let ran = Command::new("bash").args(["-c", &script]).env("WAREWULFCONF", conf).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "n1 n10\n", "{}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
fn every_shell_has_its_script_and_needs_no_configuration() {
    let world = World::empty();
    for (shell, has) in [
        ("bash", "complete -F _wwctl wwctl"),
        ("zsh", "#compdef wwctl"),
        ("fish", "complete -c wwctl"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let ran = world.run_with(&["completion", shell], "", false);
        assert_eq!(ran.exit, 0);
        assert!(ran.stdout.contains(has), "{shell}: {}", ran.stdout);
    }
    assert_eq!(world.run_with(&["completion", "csh"], "", false).exit, 255);
}

#[test]
fn switches_take_a_value_behind_an_equals_sign() {
    let world = site();
    assert!(world.run(&["node", "list", "--all=false", "n1"]).stdout.starts_with("NODE NAME"));
    assert!(world.run(&["node", "list", "-a=true", "n1"]).stdout.starts_with("NODE  FIELD"));
    // Not said is not said: the question is asked, and the end of input is a no.
    assert_eq!(world.run(&["node", "delete", "n1", "--yes=false"]).exit, 0);
    assert!(NodesConf::parse(&world.read(NODES)).unwrap().nodes.contains_key("n1"));
    assert_eq!(world.run(&["node", "delete", "n1", "-y=1"]).exit, 0);
    assert!(!NodesConf::parse(&world.read(NODES)).unwrap().nodes.contains_key("n1"));
    assert_eq!(world.run(&["node", "unset", "-y", "n2", "--image=true", "--init=false"]).exit, 0);
    assert_eq!(NodesConf::parse(&world.read(NODES)).unwrap().nodes["n2"].profile.image_name, "");
    let ran = world.run(&["node", "list", "--all=maybe"]);
    assert_eq!(ran.exit, 255);
    assert!(ran.stderr.contains("--all"), "{}", ran.stderr);
}

#[test]
fn the_manual_has_a_page_for_every_verb() {
    let world = World::empty();
    for (verb, page, title) in [
        ("man", "wwctl-node-set.1", ".TH \"WWCTL\\-NODE\\-SET\" 1"),
        ("man_pages", "wwctl-overlay.1", ".SH VERBS\n"),
        ("reference", "wwctl_image_build.rst", "wwctl image build\n-----------------\n"),
    ] {
        let folder = world.path(verb);
        let ran = world.run_with(&["genconfig", verb, folder.to_str().unwrap()], "", false);
        assert_eq!(ran.exit, 0, "{}", ran.stderr);
        let text = std::fs::read_to_string(folder.join(page)).unwrap();
        assert!(text.contains(title), "{text}");
    }
}
