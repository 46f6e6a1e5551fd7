//! `wwctl overlay check` and `wwctl overlay diff`: what a build would say and do, without doing it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail};
use archive::{Entry, Kind};
use clap::Args;
use model::Node;
use render::Outcome;

use super::build::{each, named, workshop};
use super::say;
use crate::build::{OverlayKind, Workshop, offer, runs};
use crate::cli::say::warn;
use crate::site::Site;
use crate::store::lint::open_secret;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Node names, also as n[1-3,5]; none: all nodes
    nodes: Vec<String>,
    /// How many nodes at a time; 0: one for each CPU
    #[arg(long, default_value_t = 0)]
    workers: usize,
}

#[derive(Debug, Args)]
pub struct Diff {
    /// The node
    node: String,
}

/// What is said -> the nodes of which it is said.
pub type Words = BTreeMap<String, Vec<String>>;

pub fn run(site: &Site, arguments: &Arguments) -> anyhow::Result<()> {
    let shop = workshop(site)?;
    let nodes = named(&shop, &arguments.nodes)?;
    let errors = Mutex::new(Words::new());
    let warnings = Mutex::new(Words::new());
    let note = |words: &Mutex<Words>, text: String, node: &Node| {
        let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
        words.entry(text).or_default().push(node.id.clone());
    };
    each(&nodes, arguments.workers, |node| {
        for kind in OverlayKind::BOTH {
            let (outcome, unread) = rendered(&shop, node, kind);
            unread.into_iter().for_each(|text| note(&errors, text, node));
            for problem in &outcome.problems {
                note(&errors, problem.told(), node);
            }
            if outcome.problems.is_empty()
                && let Err(error) = runs::cut(&outcome.tree)
            {
                note(&errors, format!("the {kind} overlay cannot be packed: {error}"), node);
            }
            outcome.warnings.into_iter().chain(outcome.detours).for_each(|text| note(&warnings, text, node));
            for placed in &outcome.tree {
                if let Some(secret) = open_secret(&placed.entry) {
                    let path = String::from_utf8_lossy(&placed.entry.path);
                    let text = format!("overlay {}: /{path} holds {secret} that all may read", placed.overlay);
                    note(&warnings, text, node);
                }
            }
        }
    });
    warn_of(warnings.into_inner().unwrap_or_else(PoisonError::into_inner));
    let errors = errors.into_inner().unwrap_or_else(PoisonError::into_inner);
    let count = errors.len();
    for (text, nodes) in errors {
        eprintln!("ERROR  : node {}: {text}", fold(nodes));
    }
    if count > 0 {
        bail!("{count} errors in the overlays of {} nodes", nodes.len());
    }
    say(format!("no error in the overlays of {} nodes\n", nodes.len()));
    Ok(())
}

/// A warning for each thing that is said, with the nodes folded.
pub fn warn_of(words: Words) {
    for (text, nodes) in words {
        warn(format_args!("node {}: {text}", fold(nodes)));
    }
}

fn fold(mut nodes: Vec<String>) -> String {
    nodes.sort();
    nodes.dedup();
    model::hostlist::fold(&nodes)
}

pub fn diff(site: &Site, arguments: &Diff) -> anyhow::Result<()> {
    let shop = workshop(site)?;
    let node = shop.node(&arguments.node)?;
    for kind in OverlayKind::BOTH {
        let (outcome, unread) = rendered(&shop, &node, kind);
        if let Some(error) = unread.first() {
            bail!("{error}");
        }
        if let Some(problem) = outcome.problems.first() {
            bail!("{problem}");
        }
        let old = match offer::archive(site, &node, kind)? {
            Some(bytes) => archive::newc::read(&bytes).with_context(|| format!("the {kind} overlay of {}", node.id))?,
            None => Vec::new(),
        };
        let new: Vec<Entry> = outcome.tree.into_iter().map(|placed| placed.entry).collect();
        say(changes(kind, &old, &new));
    }
    Ok(())
}

/// What a build would put into the archive, and what of it cannot even be read.
fn rendered(shop: &Workshop, node: &Arc<Node>, kind: OverlayKind) -> (Outcome, Vec<String>) {
    let (mut overlays, mut unread) = (Vec::new(), Vec::new());
    for name in kind.list(node) {
        match shop.find(name) {
            None => unread.push(format!("there is no overlay {name}, which is in the {kind} overlays")),
            Some(found) => match shop.overlay(&found) {
                Ok((_, overlay)) => overlays.push(overlay),
                Err(error) => unread.push(error.to_string()),
            },
        }
    }
    (shop.job_again(node).run(&overlays), unread)
}

/// One line an entry that comes, goes or changes, and the lines of text that change below it.
fn changes(kind: OverlayKind, old: &[Entry], new: &[Entry]) -> String {
    let index = |entries: &[Entry]| -> BTreeMap<Vec<u8>, Entry> {
        entries.iter().map(|entry| (entry.path.clone(), entry.clone())).collect()
    };
    let (old, new) = (index(old), index(new));
    let mut text = String::new();
    let paths: std::collections::BTreeSet<&Vec<u8>> = old.keys().chain(new.keys()).collect();
    for path in paths {
        let name = String::from_utf8_lossy(path);
        match (old.get(path), new.get(path)) {
            (None, Some(_)) => text.push_str(&format!("{kind} + /{name}\n")),
            (Some(_), None) => text.push_str(&format!("{kind} - /{name}\n")),
            (Some(before), Some(after)) => {
                let ways = [
                    ("mode", before.mode != after.mode),
                    ("owner", (before.uid, before.gid) != (after.uid, after.gid)),
                    ("content", before.kind != after.kind),
                ];
                let ways: Vec<&str> = ways.iter().filter(|(_, differs)| *differs).map(|(way, _)| *way).collect();
                if !ways.is_empty() {
                    text.push_str(&format!("{kind} ~ /{name} ({})\n", ways.join(", ")));
                    text.push_str(&lines(&before.kind, &after.kind));
                }
            }
            (None, None) => {}
        }
    }
    text
}

/// The lines between what both texts begin and end with.
fn lines(before: &Kind, after: &Kind) -> String {
    let (Kind::File(before), Kind::File(after)) = (before, after) else { return String::new() };
    let (Ok(before), Ok(after)) = (std::str::from_utf8(before), std::str::from_utf8(after)) else {
        return String::new();
    };
    let (before, after): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let head = before.iter().zip(&after).take_while(|(a, b)| a == b).count();
    let room = before.len().min(after.len()) - head;
    let tail = before.iter().rev().zip(after.iter().rev()).take(room).take_while(|(a, b)| a == b).count();
    let mut text = String::new();
    for line in before.iter().take(before.len() - tail).skip(head) {
        text.push_str(&format!("    -{line}\n"));
    }
    for line in after.iter().take(after.len() - tail).skip(head) {
        text.push_str(&format!("    +{line}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, mode: u32, text: &str) -> Entry {
        let kind = Kind::File(text.as_bytes().into());
        Entry { path: path.into(), mode, uid: 0, gid: 0, mtime: 0, kind, xattrs: BTreeMap::new() }
    }

    #[test]
    fn a_diff_names_what_comes_goes_and_changes() {
        let old = [file("etc/a", 0o644, "1\n2\n3\n"), file("etc/b", 0o644, ""), file("etc/d", 0o644, "x")];
        let new = [file("etc/a", 0o600, "1\ntwo\n3\n"), file("etc/c", 0o644, ""), file("etc/d", 0o644, "x")];
        assert_eq!(
            changes(OverlayKind::Runtime, &old, &new),
            "runtime ~ /etc/a (mode, content)\n    -2\n    +two\nruntime - /etc/b\nruntime + /etc/c\n"
        );
    }
}
