//! Every distribution overlay, rendered for nodes of every kind, compared with whole files.
//!
//! `overlays/nodes.conf` goes in; what comes out stands in `overlays/expected/NAME.txt`. After a change that is meant,
//! run with `UPDATE_GOLDEN=1` and read the difference before you commit it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop at the first surprise")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use archive::Kind;
use controller::build::trees::{self, Found};
use model::{Conf, Node, NodesConf};
use render::layer::{ImageLinks, NoImage};
use render::reads::Read;
use render::template::{self, Time, Zone};
use render::{Job, Outcome, Overlay, Source, World};

/// A controller whose files are a list.
struct Shelf {
    files: BTreeMap<&'static str, &'static str>,
    links: BTreeMap<&'static str, &'static str>,
}

impl Shelf {
    fn stocked() -> Shelf {
        Shelf {
            files: [
                ("/root/.ssh/authorized_keys", "ssh-ed25519 AAAAkey root@head\n"),
                ("keys/ssh_host_rsa_key", "-----BEGIN RSA-----\nprivate\n-----END RSA-----\n"),
                ("keys/ssh_host_rsa_key.pub", "ssh-rsa AAAA host\n"),
                ("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\nadmin:x:1000:1000::/home/admin:/bin/bash\n"),
                ("/etc/group", "root:x:0:\nadmin:x:1000:\n"),
                ("/etc/hosts", "127.0.0.1 localhost\n# Do not edit after this line\n10.0.0.1 old\n"),
                ("image:/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nbin:x:1:1::/:/bin/false\n"),
                ("image:/etc/group", "root:x:0:\nbin:x:1:\n"),
            ]
            .into(),
            links: [("/etc/localtime", "/usr/share/zoneinfo/Etc/UTC")].into(),
        }
    }
}

impl Source for Shelf {
    fn file(&self, path: &str) -> Result<Option<Vec<u8>>, String> {
        let path = path.strip_prefix("/etc/warewulf/").unwrap_or(path);
        Ok(self.files.get(path).map(|text| text.as_bytes().to_vec()))
    }

    fn image_file(&self, image: &str, path: &str) -> Result<Option<Vec<u8>>, String> {
        let path = format!("image:{path}");
        Ok(self.files.get(path.as_str()).filter(|_| image == "oak").map(|text| text.as_bytes().to_vec()))
    }

    fn resolve(&self, path: &str) -> Result<String, String> {
        self.links.get(path).map(|target| (*target).to_owned()).ok_or_else(|| format!("{path}: nothing there"))
    }

    fn newest_kernel(&self, image: &str) -> Option<String> {
        (image == "oak").then(|| "6.1.0-28-amd64".to_owned())
    }

    fn image_links(&self, _image: &str) -> Box<dyn ImageLinks + '_> {
        Box::new(NoImage)
    }

    fn state(&self, _read: &Read) -> [u8; 32] {
        [0; 32]
    }
}

/// A clock that stands at one moment, and nothing else.
struct Noon;

impl template::World for Noon {
    fn now(&self) -> Time {
        Time::unix(1_767_323_045, 0, Zone::Utc)
    }
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/overlays")
}

fn overlays() -> Vec<Found> {
    let share = Path::new(env!("CARGO_MANIFEST_DIR")).join("../share/overlays");
    let mut names: Vec<String> = fs::read_dir(&share)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.') && !share.join(name).is_symlink())
        .collect();
    names.sort();
    names
        .into_iter()
        .map(|name| {
            let folder = share.join(&name);
            Found { root: folder.join("rootfs"), folder, name, site: false, behind: None }
        })
        .collect()
}

/// What every node gets of an overlay.
fn everybody(overlay: &Arc<Overlay>) -> Vec<(String, Outcome)> {
    every_node_of(&fs::read_to_string(here().join("nodes.conf")).unwrap(), overlay)
}

fn every_node_of(nodes: &str, overlay: &Arc<Overlay>) -> Vec<(String, Outcome)> {
    let conf = Conf::parse(&fs::read_to_string(here().join("warewulf.conf")).unwrap()).unwrap();
    let world = Arc::new(World::new(conf, &NodesConf::parse(nodes).unwrap().all_merged(), "head".into()));
    let job = |node: &Arc<Node>| Job {
        world: Arc::clone(&world),
        node: Arc::clone(node),
        source: Arc::new(Shelf::stocked()),
        outside: Arc::new(Noon),
        kept: Arc::default(),
    };
    world.nodes().iter().map(|node| (node.id.clone(), job(node).run(&[Arc::clone(overlay)]))).collect()
}

/// The same as one text.
fn shown(found: &Found) -> String {
    let overlay = Arc::new(Overlay::new(&found.name, "/overlay", trees::read(found).unwrap()));
    let mut text = String::new();
    for (node, outcome) in everybody(&overlay) {
        writeln!(text, "=== node {node}").unwrap();
        for problem in &outcome.problems {
            writeln!(text, "!!! {problem}").unwrap();
        }
        for placed in &outcome.tree {
            let entry = &placed.entry;
            let path = String::from_utf8_lossy(&entry.path);
            let owner = format!("{}:{}", entry.uid, entry.gid);
            match &entry.kind {
                Kind::Directory => writeln!(text, "--- /{path}/ {:04o} {owner}", entry.mode).unwrap(),
                Kind::Symlink(target) => {
                    writeln!(text, "--- /{path} -> {}", String::from_utf8_lossy(target)).unwrap();
                }
                Kind::File(content) if content.contains(&0) => {
                    writeln!(text, "--- /{path} {:04o} {owner} (a program)", entry.mode).unwrap();
                }
                Kind::File(content) => {
                    writeln!(text, "--- /{path} {:04o} {owner}", entry.mode).unwrap();
                    text.push_str(&String::from_utf8_lossy(content));
                    if !content.is_empty() && content.last() != Some(&b'\n') {
                        text.push_str("\\ no line break at the end\n");
                    }
                }
                other => writeln!(text, "--- /{path} {other:?}").unwrap(),
            }
        }
    }
    text
}

#[test]
fn every_distribution_overlay_gives_the_files_that_were_agreed_on() {
    let expected = here().join("expected");
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    if update {
        fs::create_dir_all(&expected).unwrap();
    }
    let mut wrong = Vec::new();
    for found in overlays() {
        let file = expected.join(format!("{}.txt", found.name));
        let got = shown(&found);
        if update {
            fs::write(&file, &got).unwrap();
        } else if fs::read_to_string(&file).unwrap_or_default() != got {
            wrong.push(format!("{}:\n{got}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_distribution_overlay_fails_on_any_node_or_leaves_the_words_of_a_missing_value() {
    for found in overlays() {
        let text = shown(&found);
        // The overlay debug shows all data, missing and nil values among them.
        if found.name != "debug" {
            for word in ["!!! ", "<no value>", "<nil>", "%!"] {
                assert!(!text.contains(word), "overlay {} gives {word}:\n{text}", found.name);
            }
        }
    }
}

#[test]
fn what_cannot_be_written_fails_and_says_what_to_mend() {
    let networks = ["NetworkManager", "systemd.networkd", "netplan", "ifupdown", "ifcfg", "wicked"].as_slice();
    let with_vlans = ["NetworkManager", "systemd.networkd", "netplan", "wicked"].as_slice();
    let cases = [
        (
            networks,
            "network devices: {a: {device: bond0, type: bond, tags: {master: bond1}}, b: {device: bond1, type: bond}}",
            "node n, network a: a bond cannot be in another bond (tag master: bond1)",
        ),
        (
            networks,
            "network devices: {a: {type: bond, ipaddr: 10.0.0.1, netmask: 255.0.0.0}}",
            "node n, network a: a bond needs a device, the name it is to have",
        ),
        (
            networks,
            "network devices: {a: {device: eth0, ipaddr: 10.0.0.1, netmask: 255.0.255.0}}",
            "node n, network a: the netmask 255.0.255.0 has holes",
        ),
        (
            with_vlans,
            "network devices: {a: {device: storage, type: vlan}}",
            "node n, network a: a VLAN needs the tags vlan_id (a number) and parent_device, or a device such as eth0.40",
        ),
        (
            &["netplan"],
            "network devices: {a: {device: eth0, mtu: jumbo}}",
            "node n, network a: the MTU jumbo is no number",
        ),
        (
            &["systemd.mount"],
            "filesystems: {/dev/vda1: {format: ext4, path: scratch}}",
            "node n, file system /dev/vda1: the path scratch is not absolute",
        ),
        (
            &["syncuser"],
            "resources: {localusers: [{name: a, uid: b, gid: 1}]}",
            "node n, resource localusers: entry 0 would be \"a:x:b:1::/:/sbin/nologin\", which is no line of passwd",
        ),
        (
            &["syncuser"],
            "resources: {localgroups: [{name: 'a:b', gid: 1}]}",
            "node n, resource localgroups: entry 0 would be \"a:b:x:1:\", which is no line of group",
        ),
        (&["fstab"], "resources: {fstab: all}", "node n: the resource fstab is to be a list of maps, not all"),
        (
            &["fstab"],
            "resources: {fstab: [{spec: a, file: /a}, {spec: b}]}",
            "node n, resource fstab: entry 1 lacks spec or file: each is a map with spec, file, vfstype, mntops, freq, passno",
        ),
        (
            &["syncuser"],
            "resources: {localusers: [{name: ada, uid: 1}]}",
            "node n, resource localusers: entry 0 lacks a name, a uid or a gid",
        ),
        (
            &["syncuser"],
            "resources: {localgroups: [{gid: 1}]}",
            "node n, resource localgroups: entry 0 lacks a name or a gid",
        ),
        (
            &["mkfs"],
            "resources: {mkfs: [{type: ext4}]}",
            "node n, resource mkfs: entry 0 names no device: each is a map with device, type, label, uuid, options, size, overwrite",
        ),
        (
            &["mkswap"],
            "resources: {mkswap: [1]}",
            "node n, resource mkswap: entry 0 names no device: each is a map with device, label, uuid, options, size, overwrite",
        ),
        (
            &["sfdisk"],
            "resources: {sfdisk: {a: {label: gpt}}}",
            "node n, resource sfdisk: entry a names no device: each is a map with device, label, wipe, partitions",
        ),
        (
            &["ignition"],
            "resources: {ignition: x}",
            "node n: the resource ignition is no map: it is to be a configuration of ignition",
        ),
    ];
    let overlays = overlays();
    for (names, fields, told) in cases {
        for name in names {
            let found = overlays.iter().find(|found| found.name == *name).unwrap();
            let overlay = Arc::new(Overlay::new(&found.name, "/overlay", trees::read(found).unwrap()));
            let (_, outcome) = every_node_of(&format!("nodes: {{n: {{{fields}}}}}"), &overlay).pop().unwrap();
            let problems: Vec<String> = outcome.problems.iter().map(ToString::to_string).collect();
            assert!(
                problems.iter().any(|problem| problem.ends_with(told)),
                "overlay {name} does not say `{told}`: {problems:?}"
            );
        }
    }
}

#[test]
fn nothing_that_holds_a_secret_can_be_read_by_others() {
    let secrets = ["it's secret", "it'\\''s secret", "\nprivate\n", "$6$hush"];
    let mut holders = std::collections::BTreeSet::new();
    for found in overlays() {
        let overlay = Arc::new(Overlay::new(&found.name, "/overlay", trees::read(&found).unwrap()));
        for placed in everybody(&overlay).into_iter().flat_map(|(_, outcome)| outcome.tree) {
            let Kind::File(content) = &placed.entry.kind else { continue };
            let text = String::from_utf8_lossy(content);
            if secrets.iter().any(|secret| text.contains(secret)) {
                let path = String::from_utf8_lossy(&placed.entry.path).into_owned();
                assert_eq!(placed.entry.mode & 0o077, 0, "overlay {}: /{path} is {:o}", found.name, placed.entry.mode);
                holders.insert(format!("{} /{path}", found.name));
            }
        }
    }
    let holders: Vec<String> = holders.into_iter().collect();
    assert_eq!(
        holders,
        [
            "debug /tstruct.md",
            "ignition /warewulf/ignition.json",
            "ssh.host_keys /etc/ssh/ssh_host_rsa_key",
            "wwinit /warewulf/config"
        ]
    );
}

#[test]
fn every_declared_mode_is_of_a_file_that_is_there() {
    for found in overlays() {
        let Ok(text) = fs::read_to_string(found.folder.join("modes")) else { continue };
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let path = line.split(' ').next().unwrap().trim_start_matches('/');
            assert!(
                found.root.join(path).symlink_metadata().is_ok() || path.starts_with("warewulf/wwclient"),
                "overlay {} declares {path}, which is not there",
                found.name
            );
        }
    }
}

#[test]
fn every_distribution_overlay_declares_its_modes() {
    for found in overlays() {
        assert!(found.folder.join("modes").is_file(), "overlay {} has no file modes", found.name);
    }
}

#[test]
fn every_script_for_sh_parses() {
    for found in overlays() {
        let overlay = Arc::new(Overlay::new(&found.name, "/overlay", trees::read(&found).unwrap()));
        for placed in everybody(&overlay).into_iter().flat_map(|(_, outcome)| outcome.tree) {
            let Kind::File(content) = &placed.entry.kind else { continue };
            if !content.starts_with(b"#!/bin/sh\n") {
                continue;
            }
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), content).unwrap();
            let checked = std::process::Command::new("/bin/sh").arg("-n").arg(file.path()).output().unwrap();
            let path = String::from_utf8_lossy(&placed.entry.path).into_owned();
            assert!(
                checked.status.success(),
                "overlay {}: /{path}: {}",
                found.name,
                String::from_utf8_lossy(&checked.stderr)
            );
        }
    }
}
