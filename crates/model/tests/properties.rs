//! What must hold for every input: reading never panics, what is written reads back, edits lose no comment.

use std::collections::BTreeMap;
use std::net::IpAddr;

use model::edit::{Rewritten, rewrite};
use model::node::{Any, Disk, FileSystem, NetDev, Partition, Truth};
use model::{Conf, Node, NodesConf, Profile, flags, hostlist};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

/// Letters that YAML cares about, and some others.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9]{0,8}",
        "[ \\t\\n#:,\\[\\]{}&*!|>'\"%@`~a-c0-9.\\-?=+_<]{0,12}",
        "\\PC{0,6}",
        Just("yes".to_owned()),
        Just("0777".to_owned()),
        Just("1e3".to_owned()),
        Just("\u{85}\u{2028}\u{feff}\r\u{7f}\u{1b}\u{1f600}".to_owned()),
    ]
}

fn texts() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(text(), text(), 0..3)
}

fn address() -> impl Strategy<Value = Option<IpAddr>> {
    proptest::option::of(prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)])
}

fn any_value() -> impl Strategy<Value = Any> {
    let leaf = prop_oneof![
        Just(Any::Null),
        any::<bool>().prop_map(Any::Bool),
        any::<i64>().prop_map(Any::Int),
        (-1e9..1e9).prop_map(Any::Float),
        text().prop_map(Any::Text),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![vec(inner.clone(), 0..3).prop_map(Any::List), btree_map(text(), inner, 0..3).prop_map(Any::Map)]
    })
}

prop_compose! {
    fn device()(kind in text(), device in text(), ipaddr in address(), mtu in text(), tags in texts()) -> NetDev {
        NetDev { kind, device, ipaddr, mtu, tags, onboot: Truth("true".into()), ..NetDev::default() }
    }
}

prop_compose! {
    fn disk()(wipe_table in any::<Option<bool>>(), label in text(), number in text()) -> Disk {
        let partition = Partition { number, should_exist: Some(false), ..Partition::default() };
        Disk { wipe_table, partitions: BTreeMap::from([(label, partition)]) }
    }
}

prop_compose! {
    fn profile()(
        comment in text(),
        init in text(),
        args in vec(text(), 0..3),
        tags in texts(),
        network_devices in btree_map(text(), device(), 0..3),
        disks in btree_map(text(), disk(), 0..2),
        system in text(),
        resources in btree_map(text(), any_value(), 0..2),
        username in text(),
    ) -> Profile {
        let mut profile = Profile { comment, init, tags, network_devices, disks, resources, ..Profile::default() };
        profile.kernel.args = args;
        profile.ipmi.given = !username.is_empty();
        profile.ipmi.username = username;
        profile.filesystems.insert("/dev/x".into(), FileSystem { path: system, ..FileSystem::default() });
        profile
    }
}

fn conf() -> impl Strategy<Value = NodesConf> {
    let entries = (btree_map(text(), profile(), 0..3), btree_map(text(), profile(), 0..3));
    entries.prop_map(|(profiles, nodes)| {
        let mut conf = NodesConf::default();
        conf.profiles = profiles;
        conf.nodes =
            nodes.into_iter().map(|(id, profile)| (id.clone(), Node { id, profile, ..Node::default() })).collect();
        conf
    })
}

const COMMENTED: &str = "\
# head
nodeprofiles:
  default: # all
    init: /sbin/init # ours
    # words
    kernel:
      args: [quiet]
nodes:
  # first
  a:
    tags:
      k: v # tag
  b:
    runtime overlay:
    - x # one
    - y
# tail
";

proptest! {
    // Failing inputs are printed whole; nothing is kept in files.
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reading_any_text_never_panics(text in "\\PC{0,200}") {
        let _ = NodesConf::parse(&text);
        let _ = Conf::parse(&text);
        let _ = hostlist::expand(&[text]);
    }

    #[test]
    fn reading_any_text_of_yamls_letters_never_panics(text in "[ \\n:#,\\[\\]{}&*!|>'\"%~a\\-?<=nodes]{0,80}") {
        let _ = NodesConf::parse(&text);
        let _ = Conf::parse(&format!("dhcp:{text}"));
        let _ = NodesConf::parse(&format!("nodes:\n  n:{text}"));
    }

    #[test]
    fn upgrading_any_file_never_panics(
        key in "(container name|kernel args|kernel override|runtime overlay|ipmi ipaddr|keys|tags|tagsdel|ipxe template|discoverable)",
        value in text(),
        other in any_value(),
    ) {
        let options = model::upgrade::Options { add_defaults: true, replace_overlays: true };
        let other = model::yaml::json(&(&other).into(), false);
        for value in [&value, &other] {
            let text = format!("nodes:\n  n:\n    {key}: {value}\n    network devices: {{d: {{ipcidr: {value}}}}}\n");
            let _ = model::upgrade::nodes(&text, options, &[], &|_, _| false);
            let _ = model::conf_write::upgraded(&format!("nfs: {{exports: {value}}}\nwarewulf: {{datastore: {value}}}\n"));
            let _ = model::conf_write::old_mounts(&format!("nfs: {{export paths: {value}}}\n"));
        }
    }

    #[test]
    fn a_configuration_in_effect_reads_as_itself(port in 1u16.., mode in "(internal|proxy|external)", secure in any::<bool>()) {
        let text = format!("ipaddr: 10.1.2.3/22\nwarewulf: {{port: {port}, secure: {secure}}}\ndhcp: {{mode: {mode}}}\n");
        let conf = Conf::parse(&text).unwrap();
        let again = Conf::parse(&model::yaml::yaml(&conf.doc(), 4, 0)).unwrap();
        prop_assert_eq!(conf.doc(), again.doc());
        prop_assert_eq!(conf.dhcp, again.dhcp);
    }

    #[test]
    fn what_is_written_reads_back_the_same(conf in conf()) {
        let read = NodesConf::parse(&conf.text());
        prop_assert_eq!(read.as_ref().map(|read| (&read.profiles, &read.nodes)), Ok((&conf.profiles, &conf.nodes)), "{}", conf.text());
        prop_assert!(conf.warnings().iter().all(|warning| warning.line == 0));
    }

    #[test]
    fn an_edited_file_reads_as_it_was_meant(conf in conf()) {
        let mut after = NodesConf::parse(COMMENTED).unwrap();
        after.profiles.extend(conf.profiles.into_iter().map(|(name, profile)| (format!("+{name}"), profile)));
        after.nodes.extend(conf.nodes.into_iter().map(|(id, node)| (format!("+{id}"), node)));
        match rewrite(COMMENTED, &after) {
            Ok(Rewritten::Whole(text)) => {
                prop_assert_eq!(NodesConf::parse(&text).unwrap().doc(), after.doc());
                for comment in ["# head", "# all", "# ours", "# words", "# first", "# tag", "# one", "# tail"] {
                    prop_assert!(text.contains(comment), "{} is gone:\n{}", comment, text);
                }
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn merging_any_file_never_panics(mut conf in conf(), names in vec("[a-c~]{1,2}", 0..4)) {
        for node in conf.nodes.values_mut() {
            node.profile.profiles = names.clone();
        }
        for profile in conf.profiles.values_mut() {
            profile.profiles = names.clone();
        }
        prop_assert_eq!(conf.all_merged().len(), conf.nodes.len());
        for id in conf.nodes.keys() {
            let explained = conf.explained(id).unwrap();
            let _ = explained.leaves();
        }
    }

    #[test]
    fn folding_and_expanding_gives_the_same_names(names in proptest::collection::btree_set("[a-c]{1,2}[0-9]{1,3}", 0..12)) {
        let names: Vec<String> = names.into_iter().collect();
        let mut back = hostlist::expand(&[hostlist::fold(&names)]);
        back.retain(|name| !name.is_empty());
        back.sort();
        prop_assert_eq!(back, names);
    }

    #[test]
    fn any_words_for_flags_never_panic(word in text(), flag in "(ipaddr|tagadd|kernelargs|diskname|partname|fsname|onboot|netname|hwaddr|diskwipe)") {
        let given = flags::Given::from([(flag, vec![word])]);
        let _ = flags::change(&given, flags::Verb::Set).map(|change| change.apply(&mut Node::default()));
        let _ = flags::unset(&given).map(|change| change.apply(&mut Node::default()));
    }
}
