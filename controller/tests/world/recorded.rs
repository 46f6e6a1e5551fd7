//! The recorded answers of stock, asked of ours, with modes, owners and the entries of archives.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use archive::{Entry, Kind};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::World;

/// Every case of a topic that is not marked as stock's fault.
pub fn topic(name: &str) {
    if !nix::unistd::geteuid().is_root() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "owners of files need root");
        eprintln!("skipped: owners of files need root");
        return;
    }
    let file = format!("{}/../tests/vectors/wwctl/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let document: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let mut wrong = Vec::new();
    for case in document["cases"].as_array().unwrap() {
        if case.get("stock_bug").is_none() {
            let differences = check(case, &document["bases"]);
            if !differences.is_empty() {
                wrong.push(format!("{}\n  {}", case["name"], differences.join("\n  ")));
            }
        }
    }
    assert!(wrong.is_empty(), "{} cases are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn laid_out(case: &Value, bases: &Value) -> World {
    let mut world = World::empty();
    let mut files: BTreeMap<&String, &Value> = BTreeMap::new();
    for base in case["bases"].as_array().into_iter().flatten() {
        files.extend(bases[base.as_str().unwrap()].as_object().unwrap());
    }
    files.extend(case["files"].as_object().into_iter().flatten());
    for (path, what) in files {
        world.put(path, what);
        let owner = |key: &str| what[key].as_u64().map(|id| u32::try_from(id).unwrap());
        if owner("uid").is_some() || owner("gid").is_some() {
            std::os::unix::fs::chown(world.path(path), owner("uid"), owner("gid")).unwrap();
        }
        // A change of owner takes set-id bits away.
        if let Some(mode) = what["mode"].as_str() {
            let mode = std::fs::Permissions::from_mode(u32::from_str_radix(mode, 8).unwrap());
            std::fs::set_permissions(world.path(path), mode).unwrap();
        }
    }
    for (key, value) in case["env"].as_object().into_iter().flatten() {
        world.env.push((key.clone(), value.as_str().unwrap().to_owned()));
    }
    world
}

fn check(case: &Value, bases: &Value) -> Vec<String> {
    let world = laid_out(case, bases);
    let before = states(&world);
    let steps = case["steps"].as_array().cloned().unwrap_or_else(|| vec![case.clone()]);
    let (mut differences, mut heard) = (Vec::new(), false);
    for step in &steps {
        let words: Vec<&str> = step["argv"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        let ran = world.run_with(&words, step["stdin"].as_str().unwrap_or_default(), true);
        heard |= !ran.stderr.trim().is_empty();
        if step["exit"] != ran.exit {
            differences.push(format!("exit {}, wanted {}: {}", ran.exit, step["exit"], ran.stderr));
        }
        if let Some(text) = step["stdout"].as_str()
            && tidy(text) != tidy(&ran.stdout)
        {
            differences.push(format!("stdout: wanted\n{}\n  got\n{}", tidy(text), tidy(&ran.stdout)));
        }
        if let Some(pattern) = step["matches"].as_str()
            && !regex::Regex::new(pattern).unwrap().is_match(&ran.stdout)
        {
            differences.push(format!("stdout does not match {pattern}: {}", ran.stdout));
        }
    }
    if case.get("stderr_kind").is_some() && !heard {
        differences.push(format!("nothing on stderr, wanted: {}", case["stderr_kind"]));
    }
    let after = states(&world);
    let empty = serde_json::Map::new();
    let wanted = case["files_after"].as_object().unwrap_or(&empty);
    for (path, what) in wanted {
        differences.extend(file_after(&world, path, what));
    }
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for path in names {
        let named = wanted
            .iter()
            .any(|(known, what)| known == path || (what.is_null() && path.starts_with(&format!("{known}/"))));
        // What a failed build leaves is free.
        let free = path.starts_with("var/provision") && wanted.is_empty();
        if before.get(path) != after.get(path) && !named && !free && path != "var" {
            differences.push(format!("{path} changed: {:?} -> {:?}", before.get(path), after.get(path)));
        }
    }
    differences
}

fn file_after(world: &World, path: &str, what: &Value) -> Vec<String> {
    let full = world.path(path);
    let mut differences = Vec::new();
    let mut expect = |right: bool, words: String| {
        if !right {
            differences.push(format!("{path}: {words}"));
        }
    };
    let Ok(data) = full.symlink_metadata() else {
        expect(what.is_null(), format!("is not there, wanted {what}"));
        return differences;
    };
    if what.is_null() {
        expect(false, "is still there".into());
        return differences;
    }
    if let Some(mode) = what["mode"].as_str()
        && !path.starts_with("var/provision")
        && path != "var"
    {
        let got = format!("{:04o}", data.permissions().mode() & 0o7777);
        expect(got == mode, format!("mode {got}, wanted {mode}"));
    }
    for (key, got) in [("uid", data.uid()), ("gid", data.gid())] {
        if let Some(id) = what[key].as_u64() {
            expect(u64::from(got) == id, format!("{key} {got}, wanted {id}"));
        }
    }
    let content = || std::fs::read(&full).unwrap();
    if what["dir"] == true {
        expect(data.is_dir(), "is no folder".into());
    } else if let Some(target) = what["link"].as_str() {
        let got = std::fs::read_link(&full).unwrap();
        expect(got.to_str() == Some(target), format!("leads to {}", got.display()));
    } else if let Some(size) = what["bytes"].as_u64() {
        expect(data.len() == size, format!("{} bytes, wanted {size}", data.len()));
    } else if let Some(other) = what["gz_of"].as_str() {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(content().as_slice()).read_to_end(&mut plain).unwrap();
        expect(plain == std::fs::read(world.path(other)).unwrap(), format!("is not {other} packed"));
    } else if let Some(entries) = what["cpio"].as_array() {
        // They are recorded sorted by name.
        let mut entries_there = archive::newc::read(&content()).unwrap();
        entries_there.sort_by(|a, b| a.path.cmp(&b.path));
        let got: Vec<Value> = entries_there.iter().map(line).collect();
        expect(got == *entries, format!("wanted\n{}\n  got\n{}", json!(entries), json!(got)));
    } else if let Some(text) = what.as_str().or(what["text"].as_str()) {
        let got = String::from_utf8_lossy(&content()).into_owned();
        let meant = |text: &str| path.ends_with("nodes.conf").then(|| model::NodesConf::parse(text).unwrap().text());
        let same = got == world.here(text) || meant(&got).is_some_and(|got| Some(got) == meant(text));
        expect(same, format!("wanted\n{text}\n  got\n{got}"));
    }
    differences
}

/// An entry as the vectors write it: name, mode with type, owner, size, start of the digest or the link's target.
fn line(entry: &Entry) -> Value {
    let (kind, size, what) = match &entry.kind {
        Kind::File(content) => {
            let digest: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
            (0o100_000, content.len(), digest[..24].to_owned())
        }
        Kind::Directory => (0o040_000, 0, String::new()),
        Kind::Symlink(target) => (0o120_000, target.len(), format!("-> {}", String::from_utf8_lossy(target))),
        other => panic!("{other:?}"),
    };
    let name = String::from_utf8_lossy(&entry.path).into_owned();
    json!([name, format!("{:06o}", kind | entry.mode), entry.uid, entry.gid, size, what])
}

/// Mode, owner, group and content.
type State = (u32, u32, u32, Option<Vec<u8>>);

/// Path -> what a change would change.
fn states(world: &World) -> BTreeMap<String, State> {
    let all = world.snapshot().into_iter();
    all.map(|(path, content)| {
        let data = world.path(&path).symlink_metadata().unwrap();
        (path, (data.mode(), data.uid(), data.gid(), content))
    })
    .collect()
}

fn tidy(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n").trim_end().to_owned()
}
