//! The recorded requests of tests/vectors/http against our daemon: what stock answers, we answer.
//!
//! A case marked `stock_bug` is run, because later ones build on what it does, but not compared; `http_ours` asserts what
//! is right there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod daemon;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use daemon::{Reply, Way, World, in_namespace};

/// Cases that contradict what is right elsewhere, without being marked: the first looks at what is left over from a case
/// marked `stock_bug` just before; in the second a file that only its group may read would become readable by all.
const ON_PURPOSE: &[(&str, &str, &str)] = &[
    ("07-image", "image", "an unknown node"),
    ("08-overlays", "later overlays lie over earlier ones", "modes, owners, links, many files"),
];

macro_rules! topics {
    ($form:expr; $($name:ident $file:literal,)*) => { $(
        #[test]
        fn $name() {
            in_namespace(|| run_topic($file, $form));
        }
    )* };
}

/// As what the daemon keeps the overlays that it builds.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Files,
    Recipes,
}

topics! { Form::Files;
    scripts_of_a_node "01-ipxe",
    how_a_request_names_its_node "02-wwid",
    all_routes_and_their_older_names "03-routes",
    the_asset_key "04-asset",
    runtime_overlays_and_the_source_port "05-secure",
    kernels_and_initramfs "06-kernel",
    images_and_their_packed_forms "07-image",
    overlays_are_built_when_missing_or_stale "08-overlays",
    methods_ranges_and_conditions "09-http",
    unknown_addresses_and_discoverable_nodes "10-discover",
    grub_and_efi_boot_loaders "11-efi",
    static_files "12-files",
    what_status_says "13-status",
    nodes_conf_missing_broken_and_changed "15-database",
}

// Those in which overlays are sent.
topics! { Form::Recipes;
    all_routes_with_overlays_as_recipes "03-routes",
    secure_with_overlays_as_recipes "05-secure",
    overlays_as_recipes_are_built_when_missing_or_stale "08-overlays",
    ranges_and_conditions_with_overlays_as_recipes "09-http",
}

fn run_topic(topic: &str, form: Form) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/http").join(format!("{topic}.json"));
    let document: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let (mut compared, mut bad) = (0, Vec::new());
    for scenario in document["scenarios"].as_array().unwrap() {
        let scene = scenario["name"].as_str().unwrap();
        let mut world = World::new();
        for spec in scenario["files"].as_array().unwrap() {
            world.put_spec(spec);
        }
        if form == Form::Recipes {
            let conf = world.path("etc/warewulf/warewulf.conf");
            let text = std::fs::read_to_string(&conf).unwrap();
            std::fs::write(conf, format!("{text}\noverlays:\n  materialize: false\n")).unwrap();
        }
        world.start();
        for case in scenario["cases"].as_array().unwrap() {
            let name = case["name"].as_str().unwrap();
            let differences = run_case(&mut world, case, form);
            let listed = |(t, s, c): &(&str, &str, &str)| *t == topic && *s == scene && name.starts_with(c);
            if case["stock_bug"].is_string() || ON_PURPOSE.iter().any(listed) {
                continue;
            }
            compared += 1;
            if !differences.is_empty() {
                bad.push(format!("{scene} / {name}\n    {}", differences.join("\n    ")));
            }
        }
        assert_eq!(world.stop(), Some(0), "the daemon ends cleanly");
    }
    assert!(compared > 0);
    assert!(bad.is_empty(), "{} of {compared} cases differ:\n{}", bad.len(), bad.join("\n"));
}

/// Runs one case; what differs, in words.
fn run_case(world: &mut World, case: &Value, form: Form) -> Vec<String> {
    for step in case["before"].as_array().into_iter().flatten() {
        before(world, step);
    }
    let asked = &case["request"];
    let reply = ask(world, asked);
    let mut bad = compare(world, asked, &reply, &case["answer"]);
    if let Some(want) = case["status_after"].as_object() {
        bad.extend(compare_status(world, want));
    }
    for (name, want) in case["files_after"].as_object().into_iter().flatten() {
        let got = on_disk(world, name);
        if form == Form::Recipes && name.starts_with("var/provision/overlays/") {
            // What the daemon built is no file there; what somebody else put there may be.
            let files = |value: &Value| value["dir"].as_array().map_or(0, Vec::len);
            if files(&got) >= files(want) {
                bad.push(format!("folder {name}: {got} has what should be a recipe"));
            }
            continue;
        }
        let same_nodes = || {
            let text = |value: &Value| value["text"].as_str().map(model::NodesConf::parse);
            match (text(want), text(&got)) {
                (Some(Ok(want)), Some(Ok(got))) => name.ends_with("nodes.conf") && want.text() == got.text(),
                _ => false,
            }
        };
        if got != *want && !same_nodes() {
            bad.push(format!("file {name}: want {want} got {got}"));
        }
    }
    bad
}

fn before(world: &mut World, step: &Value) {
    if let Some(seconds) = step["wait"].as_f64() {
        std::thread::sleep(Duration::from_secs_f64(seconds));
    } else if step["signal"] == "HUP" {
        let reloads =
            |world: &World| world.log().matches("generation ").count() + world.log().matches("last good").count();
        let seen = reloads(world);
        world.signal(nix::sys::signal::Signal::SIGHUP);
        for _ in 0..200 {
            if reloads(world) > seen {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("no reload after SIGHUP");
    } else if let Some([ip, mac]) = step["neighbour"].as_array().map(Vec::as_slice) {
        let (ip, mac) = (ip.as_str().unwrap(), mac.as_str().unwrap());
        let arguments = ["neigh", "replace", ip, "lladdr", mac, "dev", "neigh0", "nud", "permanent"];
        assert!(std::process::Command::new("ip").args(arguments).status().unwrap().success());
    } else {
        assert!(step["path"].is_string(), "an unknown step: {step}");
        world.put_spec(step);
    }
}

fn ask(world: &mut World, asked: &Value) -> Reply {
    let mut way = Way::default();
    if let Some(host) = asked["host"].as_str() {
        way.host = host.parse().unwrap();
    }
    way.from = asked["peer"].as_str().map(|peer| peer.parse().unwrap());
    way.privileged = asked["source_port"] == "privileged";
    way.source_port = asked["source_port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
    let method = asked["method"].as_str().unwrap_or("GET");
    let bytes = match asked["raw"].as_str() {
        Some(raw) => world.fill(raw).into_bytes(),
        None => {
            let headers: Vec<(&str, &str)> = asked["headers"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
                .collect();
            let body = asked["body"].as_str().unwrap_or("");
            daemon::request(method, asked["path"].as_str().unwrap(), &headers, body)
        }
    };
    world.exchange(&way, &bytes, method == "HEAD")
}

fn compare(world: &World, asked: &Value, reply: &Reply, want: &Value) -> Vec<String> {
    let mut bad = Vec::new();
    let code = want["status"].as_u64().unwrap();
    if u64::from(reply.code) != code {
        bad.push(format!("status: want {code} got {}: {}", reply.code, reply.text().trim()));
        return bad;
    }
    if reply.cut {
        bad.push("the body ends early".into());
    }
    for (name, value) in want["headers"].as_object().into_iter().flatten() {
        let value = value.as_str().unwrap();
        let got = reply.header(name).map(|got| world.clear(got));
        let fits = match value {
            "@PRESENT@" => got.is_some(),
            "@LEN@" => got.is_some() && !reply.cut,
            // How long a packed file is depends on who packed it.
            value if want["body_broken"] == "gzip" && name == "Content-Range" => {
                got.as_deref().map(|got| got.split('/').next()) == Some(value.split('/').next())
            }
            value => got.as_deref() == Some(value),
        };
        if !fits {
            bad.push(format!("header {name}: want {value:?} got {got:?}"));
        }
    }
    if code >= 300 || asked["method"] == "HEAD" {
        return bad;
    }
    let plain = unpacked(&reply.body);
    if (plain.is_some()) != (want["gz"] == true) && want["body_broken"].is_null() {
        bad.push(format!("gz: want {} got {}", want["gz"], plain.is_some()));
    }
    let plain = plain.unwrap_or_else(|| reply.body.clone());
    if let Some(text) = want["body"].as_str() {
        let got = world.clear(&String::from_utf8_lossy(&plain));
        if got != text {
            bad.push(format!("body: want {text:?} got {got:?}"));
        }
    }
    if let Some(length) = want["body_len"].as_u64()
        && want["body_broken"].is_null()
    {
        let got = (u64::try_from(plain.len()).unwrap(), json!(hex(&Sha256::digest(&plain))));
        if got != (length, want["body_sha256"].clone()) {
            bad.push(format!("body: want {length} {} got {got:?}", want["body_sha256"]));
        }
    }
    if !want["json"].is_null() {
        let mut got: Value = serde_json::from_slice(&plain).unwrap_or_default();
        for line in got["nodes"].as_object_mut().into_iter().flat_map(|nodes| nodes.values_mut()) {
            if line["last seen"] != 0 {
                line["last seen"] = json!("@NOW@");
            }
        }
        if got != want["json"] {
            bad.push(format!("json: want {} got {got}", want["json"]));
        }
    }
    if let Some(entries) = want["cpio"].as_array() {
        let (want, got) = (by_name(entries), by_name(&cpio(world, &plain)));
        for name in want.keys().chain(got.keys()).collect::<std::collections::BTreeSet<_>>() {
            if want.get(name) != got.get(name) {
                bad.push(format!("entry {name}: want {:?} got {:?}", want.get(name), got.get(name)));
            }
        }
    }
    bad
}

fn compare_status(world: &mut World, want: &serde_json::Map<String, Value>) -> Vec<String> {
    let mut bad = Vec::new();
    for round in 0..15 {
        if round > 0 {
            std::thread::sleep(Duration::from_millis(50));
        }
        let lines = world.status();
        bad.clear();
        for (name, want) in want {
            let got = lines.get(name).map_or(Value::Null, |line| {
                json!({"stage": line["stage"], "sent": line["sent"], "ipaddr": line["ipaddr"],
                       "seen": line["last seen"].as_u64().unwrap_or(0) > 0})
            });
            if got != *want {
                bad.push(format!("status of {name:?}: want {want} got {got}"));
            }
        }
        if bad.is_empty() {
            break;
        }
    }
    bad
}

fn on_disk(world: &World, name: &str) -> Value {
    let path = world.path(name);
    match path.symlink_metadata() {
        Err(_) => Value::Null,
        Ok(data) if data.is_symlink() => {
            json!({"link": world.clear(std::fs::read_link(&path).unwrap().to_str().unwrap())})
        }
        Ok(data) if data.is_dir() => {
            // Files of our own begin with a dot and are nobody else's business.
            let mut names: Vec<String> = std::fs::read_dir(&path)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter(|name| !name.starts_with('.'))
                .collect();
            names.sort();
            json!({"dir": names})
        }
        Ok(_) => json!({"text": world.clear(&std::fs::read_to_string(&path).unwrap())}),
    }
}

fn unpacked(body: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    let is_gz = body.starts_with(&[0x1f, 0x8b]);
    (is_gz && std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(body), &mut plain).is_ok()).then_some(plain)
}

fn by_name(entries: &[Value]) -> BTreeMap<String, Value> {
    entries.iter().map(|entry| (entry["name"].as_str().unwrap().to_string(), entry.clone())).collect()
}

/// The entries of a newc archive as the vectors write them. Read here by hand: the reader under test reads the same way
/// as the writer under test.
fn cpio(world: &World, archive: &[u8]) -> Vec<Value> {
    let (mut at, mut out) = (0, Vec::new());
    let round = |n: usize| n.div_ceil(4) * 4;
    loop {
        let head = std::str::from_utf8(&archive[at..at + 110]).unwrap();
        assert_eq!(&head[..6], "070701");
        let field = |n: usize| usize::from_str_radix(&head[6 + 8 * n..14 + 8 * n], 16).unwrap();
        let (mode, size, length) = (field(1), field(6), field(11));
        let name = std::str::from_utf8(&archive[at + 110..at + 109 + length]).unwrap();
        let start = round(at + 110 + length);
        let body = &archive[start..start + size];
        at = round(start + size);
        if name == "TRAILER!!!" {
            return out;
        }
        let name = name.strip_prefix("./").unwrap_or(name);
        let mut entry = json!({"name": name, "mode": format!("{mode:06o}"), "uid": field(2), "gid": field(3)});
        match (mode & 0o170_000, std::str::from_utf8(body)) {
            (0o120_000, Ok(target)) => entry["target"] = json!(world.clear(target)),
            (0o100_000, Ok(text)) => entry["text"] = json!(world.clear(text)),
            (0o100_000, Err(_)) => {
                entry["size"] = json!(size);
                entry["sha256"] = json!(hex(&Sha256::digest(body)));
            }
            _ => {}
        }
        out.push(entry);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
