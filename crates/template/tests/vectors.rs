//! Every recorded case of Go's text/template and sprig, one test a topic.
//!
//! The environment variable VECTORS names another folder in the same format to run instead.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a test may stop at the first surprise, and this one reads files"
)]

#[path = "vectors_support/data.rs"]
mod data;

use std::path::PathBuf;

use render::host::{Output, State, functions};
use serde_json::{Value as Json, json};
use template::{Ending, Error, ErrorKind, Failure, NoFunctions, Options, Template, Text, Time, World, Zone};

/// TZ is UTC, and the environment is what the README of the vectors says.
struct Recorded;

impl World for Recorded {
    fn now(&self) -> Time {
        let now = std::time::UNIX_EPOCH.elapsed().unwrap();
        Time::unix(i64::try_from(now.as_secs()).unwrap(), now.subsec_nanos(), Zone::Utc)
    }

    fn random(&self, bytes: &mut [u8]) -> Result<(), Failure> {
        use std::io::Read;
        let mut source = std::fs::File::open("/dev/urandom").map_err(|e| e.to_string())?;
        source.read_exact(bytes).map_err(|e| e.to_string().into())
    }

    fn environment(&self, name: &str) -> Option<Text> {
        match name {
            "VEC_NAME" => Some("golden".into()),
            "VEC_DIR" => Some("/srv/vec".into()),
            "VEC_EMPTY" => Some("".into()),
            _ => None,
        }
    }

    fn addresses(&self, host: &str) -> Vec<String> {
        if host == "localhost" { vec!["127.0.0.1".into()] } else { Vec::new() }
    }

    fn zone(&self, name: &str) -> Option<Zone> {
        data::zone(name)
    }
}

fn folder() -> PathBuf {
    let own = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    std::env::var_os("VECTORS").map_or_else(own, PathBuf::from)
}

fn load(path: &std::path::Path) -> Json {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn every_recorded_case_gives_what_go_gave() {
    let only = std::env::var("TOPIC").unwrap_or_default();
    let mut topics: Vec<PathBuf> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .filter(|path| path.file_name().is_some_and(|n| n != "sets.json"))
        .filter(|path| path.to_string_lossy().contains(&only))
        .collect();
    topics.sort();
    let sets = load(&folder().join("sets.json"));
    let mut failed = 0;
    let mut total = 0;
    for path in &topics {
        let topic = load(path);
        let cases = topic["cases"].as_array().unwrap();
        let mut passed = 0;
        for case in cases {
            match whole(case, &sets["sets"]) {
                Ok(()) => passed += 1,
                Err(why) => {
                    failed += 1;
                    let (topic, name, text) = (&topic["topic"], &case["name"], &case["template"]);
                    println!("{} | {} | {text}\n    {why}", topic.as_str().unwrap(), name.as_str().unwrap());
                }
            }
        }
        println!("{}: {passed} of {}", topic["topic"].as_str().unwrap(), cases.len());
        total += cases.len();
    }
    assert!(failed == 0, "{failed} of {total} cases differ");
}

/// A case that panics is one that differs, not the end of the others.
fn whole(case: &Json, sets: &Json) -> Result<(), String> {
    std::panic::catch_unwind(|| check(case, sets)).unwrap_or_else(|_| Err("panicked".into()))
}

fn check(case: &Json, sets: &Json) -> Result<(), String> {
    let is_host = case["host"] == Json::Bool(true);
    let text = case["template"].as_str().unwrap();
    let wants_error = case["err_kind"].as_str();
    let parsed =
        if is_host { Template::parse("t", text, &functions()) } else { Template::parse("t", text, &NoFunctions) };
    let template = match (parsed, wants_error) {
        (Ok(template), None | Some("exec")) => template,
        (Err(error), Some("parse")) => return same_line(case, &error),
        (Ok(_), _) => return Err(format!("parses; wanted {}", case["err"])),
        (Err(error), _) => return Err(format!("does not parse: {error}")),
    };
    let data = data::build(&case["data"], sets);
    let mut host = State::bare();
    let ended = template.execute(&data, &mut host, &Recorded, &Options::default());
    let output = host.finish();
    let mut why = String::new();
    match (&ended, wants_error) {
        (Ok(_), None) => {}
        (Err(error), Some("exec")) => {
            if error.kind == ErrorKind::Parse {
                return Err(format!("wrong kind: {error}"));
            }
            same_line(case, error)?;
        }
        (Ok(_), Some(_)) => why = format!("no error; wanted {}\n    ", case["err"]),
        (Err(error), _) => why = format!("failed: {error}\n    "),
    }
    if is_host {
        let aborted = matches!(ended, Ok(Ending::Aborted { .. }));
        let got = as_recorded(&output, aborted);
        for key in ["files", "aborted", "backup"] {
            if got[key] != case[key] {
                return Err(format!("{why}{key}: {}\n    wanted {}", got[key], case[key]));
            }
        }
        return if why.is_empty() { Ok(()) } else { Err(why) };
    }
    let got = &output.files[0].content;
    let key = if wants_error.is_some() { "partial" } else { "out" };
    if let Some(pattern) = case["matches"].as_str() {
        let re = regex::Regex::new(pattern).unwrap();
        let text = String::from_utf8_lossy(got);
        return if why.is_empty() && re.is_match(&text) { Ok(()) } else { Err(format!("{why}got {text:?}")) };
    }
    let want = match (case[key].as_str(), case[format!("{key}_hex")].as_str()) {
        (_, Some(hex)) => unhex(hex),
        (Some(text), None) => text.as_bytes().to_vec(),
        (None, None) => Vec::new(),
    };
    if why.is_empty() && **got == *want {
        return Ok(());
    }
    Err(format!("{why}got    {:?}\n    wanted {:?}", String::from_utf8_lossy(got), String::from_utf8_lossy(&want)))
}

fn as_recorded(output: &Output, aborted: bool) -> Json {
    let file = |f: &render::host::File| json!({"name": f.name, "content": String::from_utf8_lossy(&f.content), "softlink": f.softlink});
    json!({"files": output.files.iter().map(file).collect::<Vec<_>>(), "aborted": aborted, "backup": output.backup})
}

/// `template: t:3: ...` and `template: t:3:8: ...`
fn same_line(case: &Json, error: &Error) -> Result<(), String> {
    let recorded = case["err"].as_str().unwrap_or_default();
    let line = recorded.strip_prefix("template: t:").and_then(|rest| rest.split(':').next());
    match line.and_then(|line| line.parse::<u32>().ok()) {
        Some(line) if line != error.line => Err(format!("line {} instead of {line}: {error}", error.line)),
        _ => Ok(()),
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect()
}
