//! `add`, `set`, `unset` and `delete` of nodes and of profiles: the same four verbs over the same [`Change`] value.
//!
//! What is to be done is worked out and shown first, on a copy; after the word of the user it is done again under the
//! lock, on the file as it then is.

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use model::change::{Change, Edit, summary};
use model::flags::{self, Given, Verb};
use model::{Node, NodesConf, hostlist};

use super::say;
use crate::site::Site;
use crate::store::lint;
use crate::store::nodes::{self, Written};

/// Whose entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Node,
    Profile,
}

impl Kind {
    /// As messages call it.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Node => "node",
            Kind::Profile => "profile",
        }
    }

    /// Names as they are typed: hostlists for nodes, letters for profiles.
    pub fn names(self, words: &[String]) -> Vec<String> {
        match self {
            Kind::Node => hostlist::expand(words),
            Kind::Profile => words.to_vec(),
        }
    }

    /// The entry, a profile as a node without a name.
    pub fn entry(self, conf: &NodesConf, name: &str) -> Option<Node> {
        match self {
            Kind::Node => conf.nodes.get(name).cloned(),
            Kind::Profile => {
                conf.profiles.get(name).map(|profile| Node { profile: profile.clone(), ..Node::default() })
            }
        }
    }

    /// Puts the entry there.
    pub fn put(self, conf: &mut NodesConf, name: &str, entry: Node) {
        match self {
            Kind::Node => drop(conf.nodes.insert(name.to_owned(), Node { id: name.to_owned(), ..entry })),
            Kind::Profile => drop(conf.profiles.insert(name.to_owned(), entry.profile)),
        }
    }

    /// Takes the entry out; whether it was there.
    pub fn take(self, conf: &mut NodesConf, name: &str) -> bool {
        match self {
            Kind::Node => conf.nodes.remove(name).is_some(),
            Kind::Profile => conf.profiles.remove(name).is_some(),
        }
    }

    fn is_empty(self, conf: &NodesConf) -> bool {
        match self {
            Kind::Node => conf.nodes.is_empty(),
            Kind::Profile => conf.profiles.is_empty(),
        }
    }
}

/// Before and after of each entry that there is.
type Pairs = Vec<(String, Node, Node)>;

/// Adds entries; refuses when one is there already.
///
/// # Errors
/// As the message says; nothing is written then.
pub fn add(site: &Site, kind: Kind, words: &[String], given: &Given) -> anyhow::Result<()> {
    let change = flags::change(given, Verb::Add)?;
    let names = kind.names(words);
    let mut seen = BTreeSet::new();
    if let Some(name) = names.iter().find(|name| !seen.insert(*name)) {
        bail!("{} {name:?} is named twice; nothing was added", kind.word());
    }
    if names.is_empty() {
        say::warn(format_args!("{} means no {} at all; nothing was added", words.join(" "), kind.word()));
        return Ok(());
    }
    let edit = |conf: &mut NodesConf| {
        let before = conf.clone();
        for (index, name) in names.iter().enumerate() {
            if kind.entry(conf, name).is_some() {
                bail!("{} {name} is there already; change it with `wwctl {} set`", kind.word(), kind.word());
            }
            let mut entry = Node::default();
            if kind == Kind::Node && !given.contains_key("profile") && conf.profiles.contains_key("default") {
                entry.profile.profiles.push("default".into());
            }
            change.counted_up(u32::try_from(index)?).apply(&mut entry)?;
            kind.put(conf, name, entry);
        }
        Ok((before, conf.clone()))
    };
    let ((before, after), written) = nodes::change(site, edit)?;
    told(site, kind, (&before, &after), &names, written);
    if kind == Kind::Node {
        say::reload(site);
    }
    Ok(())
}

/// Which entries `set` and `unset` are for, and how.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    pub kind: Kind,
    pub words: &'a [String],
    /// Every node.
    pub all: bool,
    pub yes: bool,
}

/// Sets fields.
///
/// # Errors
/// As the message says; nothing is written then.
pub fn set(site: &Site, target: Target<'_>, given: &Given) -> anyhow::Result<()> {
    let Target { kind, words, all, .. } = target;
    if words.is_empty() && !all {
        bail!("name the {}s to change{}", kind.word(), if kind == Kind::Node { ", or say --all" } else { "" });
    }
    let change = flags::change(given, Verb::Set)?;
    let conf = nodes::load(site)?;
    let names = if all {
        say::warn(format_args!("--all: this changes all {} nodes", conf.nodes.len()));
        conf.nodes.keys().cloned().collect()
    } else {
        kind.names(words)
    };
    let unknown = unknown(kind, &conf, &names);
    for name in &unknown {
        say::warn(format_args!("there is no {} {name:?}; it is passed over", kind.word()));
    }
    if kind.is_empty(&conf) {
        say::warn(format_args!("there are no {}s in nodes.conf", kind.word()));
        return Ok(());
    }
    if !names.is_empty() && unknown.len() == names.len() {
        bail!("none of the {}s is there: {}", kind.word(), names.join(", "));
    }
    carry_out(site, target, &conf, &names, &change)
}

/// Takes fields away; `force`: pass over unknown names.
///
/// # Errors
/// As the message says; nothing is written then.
pub fn unset(site: &Site, target: Target<'_>, force: bool, given: &Given) -> anyhow::Result<()> {
    let kind = target.kind;
    let change = flags::unset(given)?;
    let conf = nodes::load(site)?;
    let names = kind.names(target.words);
    for name in unknown(kind, &conf, &names) {
        if !force {
            bail!("there is no {} {name:?}; correct the name, or pass it over with --force", kind.word());
        }
        say::warn(format_args!("there is no {} {name:?}; it is passed over", kind.word()));
    }
    let takes_all = |edit: &Edit| matches!(edit, Edit::Remove { .. } | Edit::RemovePartition { .. });
    if change.edits.iter().any(takes_all) {
        say::warn("a name without fields takes the whole network, disk, partition or file system away");
    }
    carry_out(site, target, &conf, &names, &change)
}

/// Shows what will be different, asks, and does it.
fn carry_out(
    site: &Site,
    target: Target<'_>,
    conf: &NodesConf,
    names: &[String],
    change: &Change,
) -> anyhow::Result<()> {
    let kind = target.kind;
    let pairs = worked_out(kind, conf, names, change)?;
    let summary = summary(&pairs);
    if target.yes {
        say::answer(&format!("These fields change:\n{summary}"))?;
    } else if pairs.iter().all(|(_, before, after)| before == after) {
        return say::answer("Nothing to change.\n");
    } else {
        let without_fields = "Only networks, disks or file systems in which nothing is said.\n";
        say::answer(if summary.is_empty() { without_fields } else { &summary })?;
        if !say::ask(&format!("Change {} {}(s)", pairs.len(), kind.word()))? {
            return Ok(());
        }
    }
    let edit = |conf: &mut NodesConf| {
        let before = conf.clone();
        for (name, _, entry) in worked_out(kind, conf, names, change)? {
            kind.put(conf, &name, entry);
        }
        Ok((before, conf.clone()))
    };
    let ((before, after), written) = nodes::change(site, edit)?;
    told(site, kind, (&before, &after), names, written);
    say::reload(site);
    Ok(())
}

fn worked_out(kind: Kind, conf: &NodesConf, names: &[String], change: &Change) -> anyhow::Result<Pairs> {
    let (mut pairs, mut seen) = (Pairs::new(), BTreeSet::new());
    for name in names {
        let Some(before) = kind.entry(conf, name).filter(|_| seen.insert(name)) else { continue };
        let mut after = before.clone();
        change.apply(&mut after).with_context(|| format!("{} {name}", kind.word()))?;
        pairs.push((name.clone(), before, after));
    }
    Ok(pairs)
}

fn unknown(kind: Kind, conf: &NodesConf, names: &[String]) -> Vec<String> {
    names.iter().filter(|name| kind.entry(conf, name).is_none()).cloned().collect()
}

/// Takes entries out of the file.
///
/// # Errors
/// As the message says; nothing is written then.
pub fn delete(site: &Site, target: Target<'_>) -> anyhow::Result<()> {
    let kind = target.kind;
    let conf = nodes::load(site)?;
    let mut wanted = Vec::new();
    for name in kind.names(target.words) {
        if kind == Kind::Profile && name == "default" {
            bail!("the profile default cannot be deleted");
        }
        if kind.entry(&conf, &name).is_none() {
            if kind == Kind::Profile {
                bail!("there is no profile {name:?}");
            }
            say::warn(format_args!("there is no node {name:?}; it is passed over"));
        } else if wanted.contains(&name) {
            say::warn(format_args!("{} {name} is named twice", kind.word()));
        } else {
            wanted.push(name);
        }
    }
    if wanted.is_empty() {
        bail!("none of the {}s is there; nothing was deleted", kind.word());
    }
    let question = format!("Delete {} {}(s): {}", wanted.len(), kind.word(), hostlist::fold(&wanted));
    if !target.yes && !say::ask(&question)? {
        return Ok(());
    }
    let edit = |conf: &mut NodesConf| {
        for name in &wanted {
            kind.take(conf, name);
            if kind == Kind::Profile {
                forget_profile(conf, name);
            }
        }
        Ok(())
    };
    let ((), written) = nodes::change(site, edit)?;
    lost(written);
    if kind == Kind::Node {
        say::reload(site);
    }
    Ok(())
}

/// Takes a deleted profile's name out of everything that names it.
fn forget_profile(conf: &mut NodesConf, name: &str) {
    let nodes = conf.nodes.values_mut().map(|node| &mut node.profile);
    for profile in conf.profiles.values_mut().chain(nodes) {
        profile.profiles.retain(|known| known.trim_start_matches('~') != name);
    }
}

/// Says what a person should know after a write: doubles, names of things that are not there.
pub fn told(site: &Site, kind: Kind, (before, after): (&NodesConf, &NodesConf), names: &[String], written: Written) {
    lost(written);
    odd(site, after);
    for warning in lint::warnings(site, before, after, kind == Kind::Profile, names) {
        say::warn(warning);
    }
}

/// Says what is odd about nodes.conf, and taken all the same.
pub fn odd(site: &Site, conf: &NodesConf) {
    for warning in conf.oddities() {
        say::warn(format_args!("{}: {warning}", site.conf.paths.nodes_conf().display()));
    }
}

/// Says so when comments could not be kept.
pub fn lost(written: Written) {
    if written == (Written::Yes { lost: true }) {
        say::warn("comments and unknown keys of nodes.conf are gone: its form could not be edited line by line");
    }
}
