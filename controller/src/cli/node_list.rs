//! How values of nodes and profiles look in lists.

use model::fields::Value;
use model::yaml::{Doc, json};

/// A value in a cell; nothing said is an empty cell.
pub fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) | Value::Truth(text) => text.clone(),
        Value::List(list) => list.join(","),
        Value::Ip(ip) => ip.map_or(String::new(), |ip| ip.to_string()),
        Value::Bool(truth) => truth.map_or(String::new(), |truth| truth.to_string()),
        Value::Any(any) => json(&any.into(), false),
    }
}

/// The document with the names that stock's JSON has: `onboot` of a network is spelled `onbot` there.
pub fn json_names(doc: Doc) -> Doc {
    each(doc, &|entry| {
        rename_in(entry, "network devices", &|devices| each(devices, &|device| renamed(device, "onboot", "onbot")))
    })
}

fn each(doc: Doc, with: &dyn Fn(Doc) -> Doc) -> Doc {
    match doc {
        Doc::Map(entries) => Doc::Map(entries.into_iter().map(|(key, value)| (key, with(value))).collect()),
        other => other,
    }
}

fn rename_in(doc: Doc, key: &str, with: &dyn Fn(Doc) -> Doc) -> Doc {
    match doc {
        Doc::Map(entries) => {
            let changed = |(name, value)| if name == key { (name, with(value)) } else { (name, value) };
            Doc::Map(entries.into_iter().map(changed).collect())
        }
        other => other,
    }
}

fn renamed(doc: Doc, old: &str, new: &str) -> Doc {
    match doc {
        Doc::Map(entries) => {
            let name = |key: String| if key == old { new.to_owned() } else { key };
            Doc::Map(entries.into_iter().map(|(key, value)| (name(key), value)).collect())
        }
        other => other,
    }
}
