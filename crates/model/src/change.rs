//! A change of nodes or profiles as a value: what `set`, `add` and `unset` come to, whoever asks for it.
//!
//! A [`Change`] is worded without knowing the entries that it will meet; applied, it either does all it says or refuses
//! and has changed nothing that the caller keeps. [`summary`] says in words what became different.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::fields::{self, DISK, FILESYSTEM, Field, Leaf, NETWORK, NODE, PARTITION, Value};
use crate::hostlist;
use crate::node::{NetDev, Node, Profile};

/// Where a field stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At the entry itself.
    Entry,
    Network(String),
    Disk(String),
    Partition {
        disk: String,
        label: String,
    },
    FileSystem(String),
}

/// Whose tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tags {
    Entry,
    Ipmi,
    Network(String),
}

/// One step of a change.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// Gives a field (by its key in nodes.conf) a value; one that says nothing clears it. Makes its place when missing.
    Set {
        place: Place,
        key: &'static str,
        value: Value,
    },
    /// Clears a field, where its place is there.
    Clear {
        place: Place,
        key: &'static str,
    },
    SetTag {
        of: Tags,
        key: String,
        value: String,
    },
    ClearTag {
        of: Tags,
        key: String,
    },
    /// Takes a thing away; `strict`: refuse when it is not there.
    Remove {
        place: Place,
        strict: bool,
    },
    /// Takes a partition away, whichever disk has it; refuses when none has.
    RemovePartition {
        label: String,
    },
    /// Takes a network away that has nothing left to say.
    TidyNetwork(String),
}

/// Steps, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    pub edits: Vec<Edit>,
}

/// Why a change was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Refusal {
    NoSuchNetwork(String),
    NoSuchDisk(String),
    NoSuchPartition(String),
    NoSuchFileSystem(String),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refusal::NoSuchNetwork(name) => write!(out, "there is no network {name:?}"),
            Refusal::NoSuchDisk(name) => write!(out, "there is no disk {name:?}"),
            Refusal::NoSuchPartition(name) => write!(out, "there is no partition {name:?}"),
            Refusal::NoSuchFileSystem(name) => {
                write!(out, "there is no file system {name:?}; name it by its device, as in the list")
            }
        }
    }
}

impl std::error::Error for Refusal {}

impl Change {
    /// Does all steps to `node`.
    ///
    /// # Errors
    /// When a thing that is to go is not there; `node` may then be half changed.
    pub fn apply(&self, node: &mut Node) -> Result<(), Refusal> {
        self.edits.iter().try_for_each(|edit| step(edit, node))
    }

    /// As [`Change::apply`], for a profile; what only a node has is passed over.
    ///
    /// # Errors
    /// As [`Change::apply`].
    pub fn apply_to_profile(&self, profile: &mut Profile) -> Result<(), Refusal> {
        let mut node = Node { profile: std::mem::take(profile), ..Node::default() };
        let answer = self.apply(&mut node);
        *profile = node.profile;
        answer
    }

    /// The same change for the `index`th machine of a row: its address and its BMC's count up (IPv4 only).
    pub fn counted_up(&self, index: u32) -> Change {
        let up = |value: &Value| match value {
            Value::Ip(Some(IpAddr::V4(ip))) => {
                Value::Ip(Some(std::net::Ipv4Addr::from_bits(ip.to_bits().wrapping_add(index)).into()))
            }
            other => other.clone(),
        };
        let edits = self.edits.iter().map(|edit| match edit {
            Edit::Set { place, key, value } if matches!(*key, "ipaddr" | "ipmi.ipaddr") => {
                Edit::Set { place: place.clone(), key, value: up(value) }
            }
            other => other.clone(),
        });
        Change { edits: edits.collect() }
    }
}

fn step(edit: &Edit, node: &mut Node) -> Result<(), Refusal> {
    let profile = &mut node.profile;
    match edit {
        // Nothing to say makes no place to say it in.
        Edit::Set { place, key, value } if !value.is_set() => clear(place, key, node),
        Edit::Set { place, key, value } => {
            if key.starts_with("ipmi.") {
                profile.ipmi.given = true;
            }
            set(place, key, value, node);
        }
        Edit::Clear { place, key } => clear(place, key, node),
        Edit::SetTag { of, key, value } => {
            let tags = match of {
                Tags::Entry => &mut profile.tags,
                Tags::Ipmi => {
                    profile.ipmi.given = true;
                    &mut profile.ipmi.tags
                }
                Tags::Network(name) => &mut profile.network_devices.entry(name.clone()).or_default().tags,
            };
            tags.insert(key.clone(), value.clone());
        }
        Edit::ClearTag { of, key } => {
            match of {
                Tags::Entry => profile.tags.remove(key),
                Tags::Ipmi => profile.ipmi.tags.remove(key),
                Tags::Network(name) => profile.network_devices.get_mut(name).and_then(|net| net.tags.remove(key)),
            };
        }
        Edit::Remove { place, strict } => {
            let refusal = remove(place, profile);
            if let (Some(refusal), true) = (refusal, *strict) {
                return Err(refusal);
            }
        }
        Edit::RemovePartition { label } => {
            let found = profile.disks.values_mut().filter_map(|disk| disk.partitions.remove(label)).count();
            if found == 0 {
                return Err(Refusal::NoSuchPartition(label.clone()));
            }
        }
        Edit::TidyNetwork(name) => {
            if profile.network_devices.get(name) == Some(&NetDev::default()) {
                profile.network_devices.remove(name);
            }
        }
    }
    Ok(())
}

fn set(place: &Place, key: &str, value: &Value, node: &mut Node) {
    let profile = &mut node.profile;
    match place {
        Place::Entry => {
            if let Some(field) = NODE.iter().find(|field| field.key == key) {
                field.set(node, value.clone());
            } else if let Some(field) = fields::profile_fields().find(|field| field.key == key) {
                field.set(profile, value.clone());
            }
        }
        Place::Network(name) => put(NETWORK, key, value, profile.network_devices.entry(name.clone()).or_default()),
        Place::Disk(name) => put(DISK, key, value, profile.disks.entry(name.clone()).or_default()),
        Place::Partition { disk, label } => {
            let disk = profile.disks.entry(disk.clone()).or_default();
            put(PARTITION, key, value, disk.partitions.entry(label.clone()).or_default());
        }
        Place::FileSystem(name) => put(FILESYSTEM, key, value, profile.filesystems.entry(name.clone()).or_default()),
    }
}

fn put<T>(fields: &[Field<T>], key: &str, value: &Value, of: &mut T) {
    if let Some(field) = fields.iter().find(|field| field.key == key) {
        field.set(of, value.clone());
    }
}

fn clear(place: &Place, key: &str, node: &mut Node) {
    fn take<T>(fields: &[Field<T>], key: &str, of: Option<&mut T>) {
        if let (Some(field), Some(of)) = (fields.iter().find(|field| field.key == key), of) {
            field.clear(of);
        }
    }
    let profile = &mut node.profile;
    match place {
        Place::Entry => match fields::profile_fields().find(|field| field.key == key) {
            Some(field) => field.clear(profile),
            None => take(NODE, key, Some(node)),
        },
        Place::Network(name) => take(NETWORK, key, profile.network_devices.get_mut(name)),
        Place::Disk(name) => take(DISK, key, profile.disks.get_mut(name)),
        // Without a disk's name it is the partition of that label, wherever it is.
        Place::Partition { disk, label } if disk.is_empty() => {
            for disk in profile.disks.values_mut() {
                take(PARTITION, key, disk.partitions.get_mut(label));
            }
        }
        Place::Partition { disk, label } => {
            take(PARTITION, key, profile.disks.get_mut(disk).and_then(|disk| disk.partitions.get_mut(label)));
        }
        Place::FileSystem(name) => take(FILESYSTEM, key, profile.filesystems.get_mut(name)),
    }
}

/// Takes it away; answers what to say when it was not there.
fn remove(place: &Place, profile: &mut Profile) -> Option<Refusal> {
    match place {
        Place::Entry => None,
        Place::Network(name) => {
            profile.network_devices.remove(name).is_none().then(|| Refusal::NoSuchNetwork(name.clone()))
        }
        Place::Disk(name) => profile.disks.remove(name).is_none().then(|| Refusal::NoSuchDisk(name.clone())),
        Place::Partition { disk, label } => {
            let gone = profile.disks.get_mut(disk).and_then(|disk| disk.partitions.remove(label));
            gone.is_none().then(|| Refusal::NoSuchPartition(label.clone()))
        }
        Place::FileSystem(name) => {
            profile.filesystems.remove(name).is_none().then(|| Refusal::NoSuchFileSystem(name.clone()))
        }
    }
}

/// What became different: one block for each set of equal differences, the names folded, the lines sorted by path.
///
/// `pairs`: name, what it was, what it is. Empty when nothing is different.
pub fn summary(pairs: &[(String, Node, Node)]) -> String {
    let mut blocks: Vec<(String, Vec<&str>)> = Vec::new();
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    for (name, before, after) in pairs {
        let lines = differences(&fields::node_leaves(before), &fields::node_leaves(after));
        if lines.is_empty() {
            continue;
        }
        match known.get(&lines).and_then(|at| blocks.get_mut(*at)) {
            Some((_, names)) => names.push(name),
            None => {
                known.insert(lines.clone(), blocks.len());
                blocks.push((lines, vec![name]));
            }
        }
    }
    blocks.iter().map(|(lines, names)| format!("{}:\n{lines}", hostlist::fold(names))).collect()
}

fn differences(before: &[Leaf], after: &[Leaf]) -> String {
    let mut sides: BTreeMap<&str, (Option<&Value>, Option<&Value>)> = BTreeMap::new();
    for leaf in before {
        sides.entry(&leaf.path).or_default().0 = Some(&leaf.value);
    }
    for leaf in after {
        sides.entry(&leaf.path).or_default().1 = Some(&leaf.value);
    }
    let mut lines = String::new();
    for (path, (was, is)) in sides {
        let Some(kind) = was.or(is) else { continue };
        let (was, is) = (shown(was, kind), shown(is, kind));
        if was != is {
            lines.push_str(&format!("  {path}: {was} → {is}\n"));
        }
    }
    lines
}

/// A value in the summary; a missing one looks as its kind does when nothing was said.
fn shown(value: Option<&Value>, kind: &Value) -> String {
    match (value, kind) {
        (Some(Value::List(list)), _) => format!("[{}]", list.join(", ")),
        (None, Value::List(_)) => "[]".into(),
        (Some(Value::Bool(truth)), _) => truth.unwrap_or(false).to_string(),
        (None, Value::Bool(_)) => "false".into(),
        (Some(Value::Text(text) | Value::Truth(text)), _) if !text.is_empty() => format!("{text:?}"),
        (Some(Value::Ip(Some(ip))), _) => ip.to_string(),
        (Some(Value::Any(any)), _) => crate::yaml::json(&any.into(), false),
        _ => "<unset>".into(),
    }
}
