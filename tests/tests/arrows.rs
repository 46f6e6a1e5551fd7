//! The direction of the arrows, held against what cargo says: which room names which, and that the thinking rooms
//! list nothing that reads, writes, waits or talks.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

/// What each room may name when it is built: ARCHITECTURE.md, "The arrows".
const ARROWS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("template", &[]),
    ("archive", &[]),
    ("wire", &[]),
    ("render", &["archive", "model", "template"]),
    ("boot", &["model", "wire"]),
    ("initrd", &["archive", "model"]),
    ("wwclient", &["archive", "model", "wire"]),
    ("controller", &["archive", "boot", "initrd", "model", "render", "template", "wire"]),
    ("xtask", &[]),
    ("tests", &["archive", "boot", "controller", "initrd", "model", "render", "template", "wire", "wwclient"]),
];

/// What a room's own tests may name beyond that, and why: recorded template cases use render's functions.
const IN_TESTS: &[(&str, &[&str])] = &[("template", &["render"])];

/// The rooms that only think.
const PURE: &[&str] = &["model", "template", "archive", "wire", "render", "boot"];

/// Crates that reach outside: a pure room lists none of them to be built with.
const REACHING: &[&str] = &[
    "axum",
    "hyper",
    "hyper-util",
    "libc",
    "mio",
    "netlink-packet-route",
    "nix",
    "notify",
    "reqwest",
    "rtnetlink",
    "rustix",
    "sd-notify",
    "socket2",
    "tar",
    "tempfile",
    "tokio",
    "tracing-subscriber",
    "walkdir",
];

#[test]
fn no_room_names_a_room_that_it_may_not() {
    let rooms = rooms();
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let named: BTreeSet<&str> = rooms.iter().map(|room| room.name.as_str()).collect();
    let known: BTreeSet<&str> = allowed.keys().copied().collect();
    assert_eq!(named, known, "a room came or went: the table of arrows must say what it may name");
    let mut broken = Vec::new();
    for room in &rooms {
        for other in room.builds_with.iter().filter(|other| known.contains(other.as_str())) {
            if !allowed[room.name.as_str()].contains(&other.as_str()) {
                broken.push(format!("{} -> {other}", room.name));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new(), "arrows that point back");
}

#[test]
fn a_rooms_own_tests_name_no_more_than_the_table_says() {
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let extra: BTreeMap<&str, &[&str]> = IN_TESTS.iter().copied().collect();
    let mut broken = Vec::new();
    for room in rooms() {
        for other in room.tests_with.iter().filter(|other| allowed.contains_key(other.as_str())) {
            let name = room.name.as_str();
            let fine = allowed[name].contains(&other.as_str())
                || extra.get(name).is_some_and(|extra| extra.contains(&other.as_str()));
            if !fine {
                broken.push(format!("{name} -> {other} (in tests)"));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new(), "arrows of tests that point back");
}

#[test]
fn a_pure_room_lists_no_crate_that_reaches_outside() {
    let mut broken = Vec::new();
    for room in rooms().iter().filter(|room| PURE.contains(&room.name.as_str())) {
        for crate_name in room.builds_with.iter().filter(|name| REACHING.contains(&name.as_str())) {
            broken.push(format!("{} -> {crate_name}", room.name));
        }
    }
    assert_eq!(broken, Vec::<String>::new(), "pure rooms that could reach outside");
}

#[test]
fn a_pure_room_forbids_the_calls_and_unsafe_code() {
    for name in PURE {
        let room = root().join("crates").join(name);
        let rules = std::fs::read_to_string(room.join("clippy.toml")).unwrap_or_default();
        for call in [
            "std::fs::",
            "std::net::",
            "std::process::",
            "std::env::",
            "std::time::Instant::now",
            "std::time::SystemTime::now",
        ] {
            assert!(rules.contains(call), "crates/{name}/clippy.toml does not forbid {call}");
        }
        let library = std::fs::read_to_string(room.join("src/lib.rs")).unwrap();
        assert!(library.contains("#![forbid(unsafe_code)]"), "crates/{name}/src/lib.rs does not forbid unsafe code");
    }
}

#[test]
fn every_module_opens_by_saying_what_it_is_for() {
    let mut silent = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !path.is_symlink() && !name.starts_with('.') && name != "target" {
                folders.push(path);
            } else if name.ends_with(".rs") && !std::fs::read_to_string(&path).unwrap().starts_with("//!") {
                silent.push(path);
            }
        }
    }
    assert_eq!(silent, Vec::<PathBuf>::new(), "modules whose first line is not `//!`");
}

struct Room {
    name: String,
    builds_with: BTreeSet<String>,
    tests_with: BTreeSet<String>,
}

fn rooms() -> Vec<Room> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let described: Value = serde_json::from_slice(&output.stdout).expect("cargo speaks JSON");
    described["packages"].as_array().expect("packages").iter().map(room).collect()
}

fn room(package: &Value) -> Room {
    let mut room = Room {
        name: package["name"].as_str().unwrap().to_owned(),
        builds_with: BTreeSet::new(),
        tests_with: BTreeSet::new(),
    };
    for dependency in package["dependencies"].as_array().unwrap() {
        let name = dependency["name"].as_str().unwrap().to_owned();
        match dependency["kind"].as_str() {
            Some("dev") => room.tests_with.insert(name),
            _ => room.builds_with.insert(name),
        };
    }
    room
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}
