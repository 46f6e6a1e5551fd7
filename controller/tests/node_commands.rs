//! What `wwctl node` and `wwctl profile` do where stock is wrong, and what they promise beyond it. One sentence a test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod world;

use model::NodesConf;
use serde_json::{Value, json};
use world::{NODES, Ran, World};

const NONE: &str = "nodeprofiles: {}\nnodes: {}\n";

fn ok(world: &World, words: &[&str]) -> Ran {
    let ran = world.run(words);
    assert_eq!(ran.exit, 0, "{words:?}: {}", ran.stderr);
    ran
}

/// It fails, says this, and leaves nodes.conf as it was.
fn refused(world: &World, words: &[&str], says: &str) {
    let before = world.read(NODES);
    let ran = world.run(words);
    assert_eq!(ran.exit, 255, "{words:?}: {}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.starts_with("ERROR: ") || ran.stderr.contains("\nERROR: "), "{}", ran.stderr);
    assert!(ran.stderr.contains(says), "{}", ran.stderr);
    assert_eq!(world.read(NODES), before);
}

fn nodes(world: &World) -> NodesConf {
    NodesConf::parse(&world.read(NODES)).unwrap()
}

#[test]
fn a_node_without_a_value_is_an_empty_node() {
    let world = World::with_nodes("nodes:\n  n1:\n");
    assert!(ok(&world, &["node", "list"]).stdout.contains("\nn1         --        --\n"));
    ok(&world, &["node", "set", "-y", "n1", "--init", "/i"]);
    assert_eq!(nodes(&world).nodes["n1"].profile.init, "/i");
}

#[test]
fn a_profile_without_a_value_is_an_empty_profile() {
    let world = World::with_nodes("nodeprofiles:\n  p1:\nnodes:\n  n1:\n    profiles: [p1]\n");
    assert!(ok(&world, &["profile", "list"]).stdout.contains("\np1            --\n"));
    ok(&world, &["node", "list", "-a"]);
}

#[test]
fn unknown_words_are_errors() {
    let world = World::with_nodes(NONE);
    refused(&world, &["bogus"], "bogus");
    refused(&world, &["node", "bogus"], "bogus");
}

#[test]
fn unknown_keys_and_comments_stay_when_the_file_is_written() {
    let world = World::with_nodes("extra: 1\nnodes: # all of them\n  n1:\n    colour: red\n    init: /x\n");
    let ran = ok(&world, &["node", "set", "-y", "--init", "/y", "n1"]);
    let text = "nodeprofiles: {}\nextra: 1\nnodes: # all of them\n  n1:\n    colour: red\n    init: /y\n";
    assert_eq!(world.read(NODES), text);
    assert!(ran.stderr.contains("line 4, column 5: nodes.n1.colour: nobody knows this key"), "{}", ran.stderr);
}

#[test]
fn a_broken_file_is_refused_with_its_place_and_what_to_do() {
    let world = World::with_nodes("nodes:\n  n1:\n    network devices:\n      default:\n        ipaddr: 10.0.0.300\n");
    let says = "@ROOT@/etc/warewulf/nodes.conf: line 5, column 17: nodes.n1.network devices.default.ipaddr: \
                \"10.0.0.300\" is not an address like 10.0.0.1 or fd00::1; correct it";
    refused(&world, &["node", "set", "-y", "n1", "--init", "/i"], says);
    refused(&world, &["node", "list"], says);
}

#[test]
fn node_add_stores_tags_of_all_three_kinds() {
    let world = World::with_nodes(NONE);
    ok(
        &world,
        &[
            "node",
            "add",
            "n1",
            "--tagadd",
            "a=1,b=two",
            "--tagadd",
            "c=x=y",
            "--nettagadd",
            "k=v",
            "--ipmitagadd",
            "vlan=7",
        ],
    );
    let profile = &nodes(&world).nodes["n1"].profile;
    assert_eq!(profile.tags["c"], "x=y");
    assert_eq!(profile.network_devices["default"].tags["k"], "v");
    assert_eq!(profile.ipmi.tags["vlan"], "7");
}

#[test]
fn profile_add_stores_tags_of_all_three_kinds() {
    let world = World::with_nodes(NONE);
    ok(
        &world,
        &[
            "profile",
            "add",
            "p",
            "--netname",
            "ib",
            "-N",
            "ib0",
            "--nettagadd",
            "k=v",
            "--tagadd",
            "a=b",
            "--ipmitagadd",
            "m=n",
        ],
    );
    let profile = &nodes(&world).profiles["p"];
    assert_eq!(profile.network_devices["ib"].tags["k"], "v");
    assert_eq!((profile.tags["a"].as_str(), profile.ipmi.tags["m"].as_str()), ("b", "n"));
}

#[test]
fn profile_set_puts_each_tag_where_it_was_said_and_nowhere_else() {
    let world =
        World::with_nodes("nodeprofiles:\n  p:\n    network devices:\n      default:\n        device: e\nnodes: {}\n");
    ok(&world, &["profile", "set", "-y", "p", "--tagadd", "plain=1"]);
    assert!(nodes(&world).profiles["p"].network_devices["default"].tags.is_empty());
    ok(&world, &["profile", "set", "-y", "p", "-G", "10.0.0.1", "--nettagadd", "net=2"]);
    let profile = &nodes(&world).profiles["p"];
    assert_eq!(profile.network_devices["default"].tags["net"], "2");
    assert_eq!(profile.tags.len(), 1);
}

#[test]
fn what_is_no_hardware_address_or_mtu_is_refused() {
    let world = World::with_nodes(NONE);
    refused(&world, &["node", "add", "n1", "--hwaddr", "hello"], "\"hello\" is no hardware address");
    refused(&world, &["node", "add", "n1", "--mtu", "lots"], "\"lots\" is no MTU");
}

#[test]
fn old_names_of_flags_are_taken_with_a_notice() {
    let world = World::with_nodes(NONE);
    let ran = ok(&world, &["node", "add", "n1", "-C", "img", "--wwinit", "a,b", "--runtime", "c"]);
    assert!(ran.stderr.contains("--container is an old name; use --image"), "{}", ran.stderr);
    let profile = &nodes(&world).nodes["n1"].profile;
    assert_eq!(profile.image_name, "img");
    assert_eq!(profile.system_overlay, ["a", "b"]);
    assert_eq!(profile.runtime_overlay, ["c"]);
}

#[test]
fn names_that_match_nothing_are_an_error() {
    let world = World::with_nodes("nodeprofiles: {p: {}}\nnodes: {n1: {}}\n");
    refused(&world, &["node", "set", "-y", "zz", "--image", "x"], "zz");
    refused(&world, &["node", "delete", "-y", "zz"], "zz");
    refused(&world, &["profile", "set", "-y", "zz", "--image", "x"], "zz");
}

#[test]
fn a_zero_address_alone_is_written_and_an_unset_word_takes_it_away() {
    let world = World::with_nodes(
        "nodes:\n  n1:\n    network devices:\n      default:\n        device: e\n        ipaddr: 10.0.0.1\n",
    );
    ok(&world, &["node", "set", "-y", "n1", "--ipaddr", "0.0.0.0"]);
    let ip = |world: &World| nodes(world).nodes["n1"].profile.network_devices["default"].ipaddr;
    assert_eq!(ip(&world), Some("0.0.0.0".parse().unwrap()));
    ok(&world, &["node", "set", "-y", "n1", "--ipaddr", "UNDEF"]);
    assert_eq!(ip(&world), None);
}

#[test]
fn a_disk_without_a_partition_is_refused_by_set_too() {
    let world = World::with_nodes("nodes: {n1: {}}\n");
    refused(&world, &["node", "set", "-y", "n1", "--diskname", "/dev/sdz", "--diskwipe"], "--partname");
}

#[test]
fn a_deleted_profile_is_forgotten_by_those_who_named_it() {
    let world = World::with_nodes("nodeprofiles: {p: {}, q: {profiles: [p]}}\nnodes: {n1: {profiles: [q, p, ~p]}}\n");
    ok(&world, &["profile", "delete", "-y", "p"]);
    let conf = nodes(&world);
    assert_eq!(conf.nodes["n1"].profile.profiles, ["q"]);
    assert!(conf.profiles["q"].profiles.is_empty());
}

#[test]
fn import_keeps_a_false() {
    let world = World::with_nodes(NONE);
    let text = "n3:\n  disks:\n    /dev/sda:\n      wipe_table: false\n      partitions: {p: {should_exist: false}}\n";
    world.put("in.yaml", &Value::String(text.into()));
    ok(&world, &["node", "import", "-y", "in.yaml"]);
    let disk = &nodes(&world).nodes["n3"].profile.disks["/dev/sda"];
    assert_eq!((disk.wipe_table, disk.partitions["p"].should_exist), (Some(false), Some(false)));
}

#[test]
fn an_editor_that_replaces_its_file_by_rename_is_understood() {
    let mut world = World::with_nodes("nodes:\n  n1:\n    comment: one\n");
    world.put("ed", &json!({"text": "#!/bin/sh\nsed -i 's/comment: one/comment: ONE/' \"$1\"\n", "mode": "0755"}));
    world.env.push(("EDITOR".into(), "@ROOT@/ed".into()));
    let ran = world.run_with(&["node", "edit", "n1"], "y\n", true);
    assert_eq!(ran.exit, 0, "{}", ran.stderr);
    assert_eq!(nodes(&world).nodes["n1"].profile.comment, "ONE");
}

#[test]
fn data_does_not_depend_on_the_log_level() {
    let world = World::with_nodes("nodes: {b4: {}}\n");
    assert_eq!(ok(&world, &["--loglevel", "30", "node", "list", "-y", "b4"]).stdout, "b4: {}\n");
    assert_eq!(ok(&world, &["-v", "node", "list", "-y", "b4"]).stdout, "b4: {}\n");
}

#[test]
fn status_as_json_is_the_daemons_document() {
    let mut world = World::empty();
    let document = r#"{"nodes":{"c001":{"node name":"c001","stage":"runtime","sent":"x","ipaddr":"","last seen":1}}}"#;
    world.serve(&json!({"/status": document}));
    let conf = "ipaddr: 127.0.0.1\nwarewulf:\n  port: @PORT@\npaths:\n  sysconfdir: @ROOT@/etc\n";
    world.put("etc/warewulf/warewulf.conf", &Value::String(conf.into()));
    assert_eq!(ok(&world, &["node", "status", "-o", "json"]).stdout, format!("{document}\n"));
    assert!(ok(&world, &["node", "status"]).stdout.contains("\nc001                 RUNTIME_OVERLAY      x"));
}

#[test]
fn doubles_and_names_of_nothing_are_warnings() {
    let world =
        World::with_nodes("nodes:\n  a:\n    network devices:\n      default:\n        hwaddr: 52:54:00:ab:cd:01\n");
    let ran =
        ok(&world, &["node", "add", "b", "-H", "52-54-00-AB-CD-01", "--image", "ghost", "-R", "none", "-P", "nope"]);
    for says in [
        "hardware address 52:54:00:ab:cd:01 is that of a/default and b/default",
        "node b: there is no image \"ghost\"",
        "node b: there is no overlay \"none\"",
        "node b: there is no profile \"nope\"",
    ] {
        assert!(ran.stderr.contains(&format!("WARN   : {says}")), "{says} is not in {}", ran.stderr);
    }
}

#[test]
fn ten_writers_at_once_lose_nothing() {
    let world = World::with_nodes("# mine\nnodes: {}\n");
    std::thread::scope(|scope| {
        for index in 0..10 {
            let world = &world;
            scope.spawn(move || ok(world, &["node", "add", &format!("n{index}")]));
        }
    });
    assert_eq!(nodes(&world).nodes.len(), 10);
    assert!(world.read(NODES).starts_with("# mine\n"));
}

#[test]
fn power_of_a_node_without_bmc_names_the_node() {
    let world = World::with_nodes("nodes: {b4: {}}\n");
    refused(&world, &["power", "on", "b4"], "node b4 has no BMC address");
}

#[test]
fn the_shipped_bmc_template_keeps_the_password_off_the_command_line() {
    let nodes = "nodes:\n  b1:\n    ipmi: {ipaddr: 10.30.0.1, username: adm, password: 'p''$(x)'}\n";
    let world = World::with_nodes(nodes);
    let template = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../share/bmc/ipmitool.tmpl")).unwrap();
    world.put("share/warewulf/bmc/ipmitool.tmpl", &Value::String(template));
    let tool = "#!/bin/sh\necho \"$@\" \"$IPMI_PASSWORD\"\n";
    world.put(".programs/ipmitool", &json!({"text": tool, "mode": "0755"}));
    let shown = ok(&world, &["power", "cycle", "-s", "b1"]).stdout;
    assert!(shown.starts_with("10.30.0.1: ipmitool ") && shown.ends_with(" chassis power cycle\n"), "{shown}");
    assert!(!shown.contains("$(x)"));
    let ran = ok(&world, &["power", "status", "b1"]).stdout;
    assert_eq!(ran, "10.30.0.1: -I lanplus -H 10.30.0.1 -p 623 -U adm -E -e ~ chassis power status p'$(x)\n");
}

#[test]
fn ssh_prefixes_each_line_with_its_node() {
    let nodes = "nodes:\n  n1: {network devices: {default: {ipaddr: 10.0.0.1}}}\n  n2: {network devices: {default: {ipaddr: 10.0.0.2}}}\n";
    let world = World::with_nodes(nodes);
    world.put("rsh", &json!({"text": "#!/bin/sh\necho \"to $*\"\necho more\n", "mode": "0755"}));
    let stdout = ok(&world, &["ssh", "--rsh", "@ROOT@/rsh", "n[1-2]", "uptime", "-p"]).stdout;
    let mut lines: Vec<&str> = stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["n1: more", "n1: to 10.0.0.1 uptime -p", "n2: more", "n2: to 10.0.0.2 uptime -p"]);
}

#[test]
fn version_needs_no_configuration() {
    let world = World::empty();
    let ran = world.run_with(&["version"], "", false);
    assert_eq!((ran.exit, ran.stdout.as_str()), (0, concat!("wwctl version:\t", env!("CARGO_PKG_VERSION"), "\n")));
}

#[test]
fn a_bad_address_in_warewulf_conf_is_refused() {
    let world = World::with_nodes(NONE);
    world.put("etc/warewulf/warewulf.conf", &Value::String("ipaddr: 10.0.0.999\n".into()));
    refused(&world, &["genconfig", "warewulfconf", "print"], "line 1, column 9: ipaddr");
}

#[test]
fn a_daemon_that_does_not_reload_is_a_warning() {
    let world = World::with_nodes(NONE);
    world.put("systemd/warewulfd.service", &Value::String(String::new()));
    world.put(".programs/service", &json!({"text": "#!/bin/sh\necho \"$*: not today\" >&2\nexit 1\n", "mode": "0755"}));
    let ran = ok(&world, &["node", "add", "n1"]);
    assert!(ran.stderr.contains("WARN   : service warewulfd reload failed"), "{}", ran.stderr);
    assert!(ran.stderr.contains("warewulfd reload: not today"), "{}", ran.stderr);
    assert_eq!(nodes(&world).nodes.len(), 1);
}

#[test]
fn a_word_that_unsets_makes_no_network() {
    let world = World::with_nodes("nodes: {n1: {}}\n");
    ok(&world, &["node", "set", "-y", "n1", "--mtu", "UNSET"]);
    assert!(nodes(&world).nodes["n1"].profile.network_devices.is_empty());
}

#[test]
fn what_was_wrong_before_is_not_told_again() {
    let world = World::with_nodes("nodes: {n1: {image name: ghost, system overlay: [none]}}\n");
    let ran = ok(&world, &["node", "set", "-y", "n1", "-R", "other"]);
    assert_eq!(ran.stderr, "WARN   : node n1: there is no overlay \"other\"\n");
}

#[test]
fn a_noun_without_a_verb_shows_its_help() {
    let world = World::with_nodes(NONE);
    for words in [&[][..], &["node"], &["profile"]] {
        let ran = ok(&world, words);
        assert!(
            ran.stdout.contains("\nCommands:\n") && ran.stderr.is_empty(),
            "{words:?}: {}{}",
            ran.stdout,
            ran.stderr
        );
    }
}

#[test]
fn a_list_says_what_is_odd_about_the_file_and_shows_it_all_the_same() {
    let world = World::with_nodes("node:\n  x: {}\nnodes:\n  n1:\n    network devices: {d: {onboot: maybe}}\n");
    for words in [&["node", "list"][..], &["profile", "list"]] {
        let ran = ok(&world, words);
        let file = format!("@ROOT@/{NODES}");
        let odd = format!(
            "WARN   : {file}: line 1, column 1: node: nobody knows this key; it is kept, and has no effect\n\
             WARN   : {file}: line 5, column 35: nodes.n1.network devices.d.onboot: \"maybe\" is neither true nor false and \
             counts as false; write one of them\n"
        );
        assert_eq!(ran.stderr, odd, "{words:?}");
    }
    assert!(ok(&world, &["node", "list"]).stdout.contains("\nn1         --        d\n"));
}

#[test]
fn an_import_says_which_keys_it_leaves_out() {
    let world = World::with_nodes(NONE);
    world.put("in.yaml", &json!("nodes:\n  n1:\n    init: /i\n"));
    let file = world.path("in.yaml").display().to_string();
    let ran = ok(&world, &["node", "import", "-y", &file]);
    let said = "WARN   : @ROOT@/in.yaml: line 2, column 3: nodes.n1: nobody knows this key; it is left out\n\
                WARN   : @ROOT@/in.yaml: nodes is taken for the name of a node: entries stand here without a key above \
                them\n";
    assert_eq!(ran.stderr, said);
    assert!(nodes(&world).nodes.contains_key("nodes"));
}

#[test]
fn files_that_are_no_utf_8_are_refused_with_their_place() {
    let world = World::with_nodes(NONE);
    std::fs::write(world.path(NODES), b"nodes:\n  n1: {comment: \xff}\n").unwrap();
    let ran = world.run(&["node", "list"]);
    assert_eq!(ran.exit, 255);
    assert!(ran.stderr.contains("nodes.conf: line 2, column 17: this is no text in UTF-8"), "{}", ran.stderr);
    std::fs::write(world.path("etc/warewulf/warewulf.conf"), b"fqdn: \xff\n").unwrap();
    let ran = world.run(&["node", "list"]);
    assert!(ran.stderr.contains("warewulf.conf: line 1, column 7: this is no text in UTF-8"), "{}", ran.stderr);
}

#[test]
fn an_address_in_a_profile_that_many_nodes_get_is_told() {
    let world = World::with_nodes("nodeprofiles:\n  p: {}\nnodes:\n  n1: {profiles: [p]}\n  n2: {profiles: [p]}\n");
    let ran = ok(&world, &["profile", "set", "-y", "p", "--ipaddr", "10.20.0.9", "--netmask", "255.255.0.0"]);
    assert_eq!(ran.stderr, "WARN   : address 10.20.0.9 is that of n1/default and n2/default\n");
    let ran = ok(&world, &["profile", "set", "-y", "p", "--netmask", "255.255.255.0", "--ipaddr", "UNSET"]);
    assert_eq!(ran.stderr, "");
}

#[test]
fn a_word_that_is_nearly_one_is_answered_with_the_one_that_was_meant() {
    let world = World::with_nodes(NONE);
    for (words, says) in [
        (&["profil"][..], "ERROR: unrecognized subcommand 'profil'; a similar subcommand exists: 'profile'\n"),
        (&["node", "list", "--jsn"], "ERROR: unexpected argument '--jsn' found; a similar argument exists: '--json'\n"),
    ] {
        assert_eq!(world.run(words).stderr, says);
    }
}

#[test]
fn a_nodes_conf_that_is_made_anew_is_for_root_only() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::with_nodes(NONE);
    let new = world.path("new.conf");
    ok(&world, &["upgrade", "nodes", "--add-defaults=0", "--replace-overlays=F", "-o", new.to_str().unwrap()]);
    assert_eq!(new.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
}

#[test]
fn an_edit_takes_nothing_back_that_somebody_else_wrote_meanwhile() {
    let mut world = World::with_nodes("nodes:\n  n1:\n    comment: old\n  n2: {}\n");
    let editor = world.path("editor");
    let program = env!("CARGO_BIN_EXE_wwctl");
    let conf = world.path("etc/warewulf/warewulf.conf");
    let script = |node: &str| {
        format!(
            "#!/bin/sh\nsed -i s/old/mine/ \"$1\"\n{program} --warewulfconf {} node set -y {node} --init /theirs >/dev/null\n",
            conf.display()
        )
    };
    world.env.push(("EDITOR".into(), editor.display().to_string()));
    // Another node is nobody's business.
    world.put("editor", &json!({"text": script("n2"), "mode": "0755"}));
    let ran = world.run_with(&["node", "edit", "n1"], "y\n", true);
    assert_eq!(ran.exit, 0, "{}", ran.stderr);
    assert_eq!(nodes(&world).nodes["n1"].profile.comment, "mine");
    assert_eq!(nodes(&world).nodes["n2"].profile.init, "/theirs");

    world.put(NODES, &json!("nodes:\n  n1:\n    comment: old\n"));
    world.put("editor", &json!({"text": script("n1"), "mode": "0755"}));
    let ran = world.run_with(&["node", "edit", "n1"], "y\n", true);
    assert_eq!(ran.exit, 255);
    let kept = ran.stderr.split("what you wrote is kept in ").nth(1).unwrap().split(": ").next().unwrap().to_owned();
    assert!(
        ran.stderr.contains("node n1 was changed by somebody else meanwhile; nothing was written"),
        "{}",
        ran.stderr
    );
    assert_eq!(nodes(&world).nodes["n1"].profile.init, "/theirs");
    let text = std::fs::read_to_string(&kept).unwrap();
    assert!(text.contains("comment: mine"), "{text}");
    std::fs::remove_dir_all(std::path::Path::new(&kept).parent().unwrap()).unwrap();
}

#[test]
fn a_name_that_is_said_twice_is_not_added() {
    let world = World::with_nodes(NONE);
    refused(&world, &["node", "add", "n[1-3]", "n2"], "node \"n2\" is named twice");
    refused(&world, &["node", "add", "n[,]"], "node \"n\" is named twice");
    refused(&world, &["profile", "add", "a", "b", "a"], "profile \"a\" is named twice");
}

#[test]
fn a_network_in_which_nothing_is_said_can_be_taken_away_by_hand() {
    let world = World::with_nodes("nodes:\n  n1:\n    network devices:\n      ib: {}\n");
    let ran = world.run_with(&["node", "set", "n1", "--netdel", "ib"], "y\n", true);
    assert_eq!(ran.exit, 0, "{}", ran.stderr);
    assert!(nodes(&world).nodes["n1"].profile.network_devices.is_empty(), "{}", ran.stdout);
}

#[test]
fn an_empty_name_of_a_configuration_is_none() {
    let mut world = World::empty();
    world.env.push(("WAREWULFCONF".into(), String::new()));
    let ran = world.run_with(&["--emptyconf", "genconfig", "warewulfconf", "print"], "", false);
    assert_eq!(ran.exit, 0, "{}", ran.stderr);
    let ran = world.run_with(&["-v", "--emptyconf", "genconfig", "warewulfconf", "print"], "", false);
    assert!(ran.stderr.contains("configuration: /etc/warewulf/warewulf.conf\n"), "{}", ran.stderr);
}
