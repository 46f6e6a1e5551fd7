//! The recorded answers of stock wwctl, asked of ours: one test a topic, over the files in tests/vectors/wwctl.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod world;

use std::collections::BTreeMap;

use model::yaml::{Body, Tree};
use serde_json::Value;
use world::{Ran, World};

/// Where ours differs on purpose though the case is not marked: another case or the rules say that stock is wrong.
const DIFFERS: [(&str, &str, &str); 3] = [
    ("node-add", "quoting of written values", "tags given to node add are stored"),
    ("profile-change", "a comma is no separator for set", "a name that matches nothing is an error"),
    ("profile-change", "delete confirmed", "a deleted profile's name goes from the nodes"),
];

#[test]
fn hostlist() {
    topic("hostlist");
}

#[test]
fn conf_errors() {
    topic("conf-errors");
}

#[test]
fn node_add() {
    topic("node-add");
}

#[test]
fn node_set() {
    topic("node-set");
}

#[test]
fn node_unset() {
    topic("node-unset");
}

#[test]
fn node_delete() {
    topic("node-delete");
}

#[test]
fn node_list() {
    topic("node-list");
}

#[test]
fn node_status() {
    topic("node-status");
}

#[test]
fn node_files() {
    topic("node-files");
}

#[test]
fn profile_list() {
    topic("profile-list");
}

#[test]
fn profile_change() {
    topic("profile-change");
}

#[test]
fn upgrade() {
    topic("upgrade");
}

#[test]
fn genconfig() {
    topic("genconfig");
}

#[test]
fn power_ssh_clean_and_log_levels() {
    topic("misc");
}

fn topic(name: &str) {
    let file = format!("{}/../tests/vectors/wwctl/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let document: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let (mut wrong, mut right) = (Vec::new(), 0);
    for case in document["cases"].as_array().unwrap() {
        let title = case["name"].as_str().unwrap();
        if case.get("stock_bug").is_some() || DIFFERS.iter().any(|(of, case, _)| *of == name && *case == title) {
            continue;
        }
        let differences = check(case, &document["bases"]);
        if differences.is_empty() {
            right += 1;
        } else {
            wrong.push(format!("{title}\n  {}", differences.join("\n  ")));
        }
    }
    assert!(wrong.is_empty(), "{right} cases are right, {} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn check(case: &Value, bases: &Value) -> Vec<String> {
    let mut world = World::empty();
    if let Some(pages) = case.get("serve") {
        world.serve(pages);
    }
    let mut files: BTreeMap<&String, &Value> = BTreeMap::new();
    for base in case["bases"].as_array().into_iter().flatten() {
        files.extend(bases[base.as_str().unwrap()].as_object().unwrap());
    }
    files.extend(case["files"].as_object().into_iter().flatten());
    for (path, what) in files {
        world.put(path, what);
    }
    for (key, value) in case["env"].as_object().into_iter().flatten() {
        world.env.push((key.clone(), value.as_str().unwrap().to_owned()));
    }
    let before = world.snapshot();
    let steps = case["steps"].as_array().cloned().unwrap_or_else(|| vec![case.clone()]);
    let (mut differences, mut heard) = (Vec::new(), false);
    for step in &steps {
        let words: Vec<&str> = step["argv"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        let conf = case["conf"] != Value::Bool(false);
        let ran = world.run_with(&words, step["stdin"].as_str().unwrap_or_default(), conf);
        heard |= !ran.stderr.trim().is_empty();
        differences.extend(answers(step, case, &ran));
    }
    if case.get("stderr_kind").is_some() && !heard {
        differences.push(format!("nothing on stderr, wanted: {}", case["stderr_kind"]));
    }
    differences.extend(files_after(case, &world, &before));
    differences
}

/// What differs in exit status and output.
fn answers(wanted: &Value, case: &Value, ran: &Ran) -> Vec<String> {
    let mut differences = Vec::new();
    let stdout = if case.get("serve").is_some() { ages(&ran.stdout) } else { ran.stdout.clone() };
    let mut compare = |what: &str, wanted: String, got: String| {
        if wanted != got {
            differences.push(format!("{what}: wanted\n{wanted}\n  got\n{got}"));
        }
    };
    compare("exit", wanted["exit"].to_string(), format!("{}", ran.exit));
    let text = wanted["stdout"].as_str();
    if let Some(json) = wanted.get("stdout_json") {
        let got = serde_json::from_str::<Value>(&stdout).unwrap_or_else(|_| Value::String(stdout.clone()));
        if got != *json {
            compare("json", json.to_string(), got.to_string());
        }
    } else if wanted.get("stdout_yaml").is_some() {
        compare("yaml", plain(text.unwrap()), plain(&stdout));
    } else if let Some(lines) = wanted["stdout_unordered"].as_array() {
        let wanted: Vec<&str> = lines.iter().map(|line| line.as_str().unwrap()).collect();
        let mut got: Vec<&str> = stdout.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        got.sort_unstable();
        compare("lines", wanted.join("\n"), got.join("\n"));
    } else if let Some(text) = text {
        compare("stdout", tidy(text), tidy(&stdout));
    } else if let Some(text) = wanted["summary"].as_str() {
        let sorted = |text: &str| {
            let mut lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
            lines.sort_unstable();
            lines.join("\n")
        };
        compare("summary", sorted(text), sorted(&summary(&stdout)));
    }
    if let Some(pattern) = case["matches"].as_str()
        && !regex::Regex::new(pattern).unwrap().is_match(&stdout)
    {
        differences.push(format!("stdout does not match {pattern}: {stdout}"));
    }
    if ran.exit != wanted["exit"] {
        differences.push(format!("stderr: {}", ran.stderr));
    }
    differences
}

/// What differs in the files: all that changed must be named, all that is named must be as it says.
fn files_after(case: &Value, world: &World, before: &BTreeMap<String, Option<Vec<u8>>>) -> Vec<String> {
    let after = world.snapshot();
    let mut changed: BTreeMap<String, Option<String>> = BTreeMap::new();
    for (path, body) in &after {
        if before.get(path) != Some(body) && body.is_some() {
            let text =
                String::from_utf8_lossy(body.as_ref().unwrap()).replace(world.root().to_str().unwrap(), "@ROOT@");
            changed.insert(path.clone(), Some(text));
        }
    }
    let gone: Vec<&String> = before.keys().filter(|path| !after.contains_key(*path)).collect();
    for path in &gone {
        // A folder that is gone stands for what was below it.
        if !gone.iter().any(|above| path.starts_with(&format!("{above}/"))) {
            changed.insert((*path).clone(), None);
        }
    }
    let mut differences = Vec::new();
    let empty = serde_json::Map::new();
    let wanted = case["files_after"].as_object().unwrap_or(&empty);
    for path in wanted.keys().chain(changed.keys().filter(|path| !wanted.contains_key(*path))) {
        let text = |value: &Value| value.as_str().or(value["text"].as_str()).map(String::from);
        match (wanted.get(path).map(text), changed.get(path)) {
            (None, got) => differences.push(format!("{path}: must not change, got {got:?}")),
            (Some(_), None) => differences.push(format!("{path}: must change, did not")),
            (Some(wanted), Some(got)) => {
                let yaml = path.ends_with(".conf") || path.ends_with(".yaml");
                let read =
                    |text: &Option<String>| text.as_deref().map(|text| if yaml { plain(text) } else { text.into() });
                if read(&wanted) != read(got) {
                    differences.push(format!("{path}: wanted\n{wanted:?}\n  got\n{got:?}"));
                }
            }
        }
    }
    differences
}

/// The content of a YAML text, scalars by their letters, keys sorted.
fn plain(text: &str) -> String {
    fn value(tree: &Tree) -> Value {
        match &tree.body {
            Body::Scalar { text, .. } => Value::String(text.clone()),
            Body::List(items) => Value::Array(items.iter().map(value).collect()),
            Body::Map(entries) => {
                let sorted: BTreeMap<&String, Value> =
                    entries.iter().map(|entry| (&entry.key, value(&entry.value))).collect();
                serde_json::to_value(sorted).unwrap()
            }
        }
    }
    model::yaml::parse(text).map_or_else(|error| format!("{error}: {text}"), |tree| format!("{:#}", value(&tree)))
}

fn tidy(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n").trim_end().to_owned()
}

/// Numbers at line ends become the middle of their hundred: seconds may pass between request and print.
fn ages(text: &str) -> String {
    let pattern = regex::Regex::new(r"(?m)\b(\d+) *$").unwrap();
    pattern
        .replace_all(text, |found: &regex::Captures<'_>| {
            (found[1].parse::<u64>().unwrap() / 100 * 100 + 50).to_string()
        })
        .into()
}

/// The lines of a change summary inside a command's output.
fn summary(text: &str) -> String {
    let head = regex::Regex::new(r"^ ?\S+:$").unwrap();
    let lines = text.lines().filter(|line| head.is_match(line) || line.contains(" → "));
    lines.map(|line| if head.is_match(line) { line.trim_start() } else { line }).collect::<Vec<_>>().join("\n")
}
