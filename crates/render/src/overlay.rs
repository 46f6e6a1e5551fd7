//! An overlay as values: the entries of its tree, templates among them, each parsed at most once.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use archive::{Entry, Kind};
use sha2::{Digest, Sha256};
use template::Template;

use crate::host::{self, Output};
use crate::kept::{self, Key, Moment};
use crate::reads::ReadSet;

/// How many results of one set of reads a template remembers.
const REMEMBERED: usize = 32;
/// How many sets of reads: one template asks more or less of nodes that are built differently.
const SETS: usize = 16;
/// After so many questions without much of an answer, each node's result is taken for its own: memory without use.
const TRIED: u32 = 64;

/// One overlay.
#[derive(Debug)]
pub struct Overlay {
    pub name: Arc<str>,
    pub items: Vec<Item>,
}

/// One entry of an overlay's tree.
#[derive(Debug)]
pub struct Item {
    pub entry: Entry,
    pub script: Option<Script>,
}

/// A template: its text, parsed when first needed, and what it gave for inputs seen before.
pub struct Script {
    /// Path of the file on the controller, for `.BuildSource` and for messages.
    pub path: Arc<str>,
    /// The path in the tree without the suffix.
    pub target: Vec<u8>,
    text: Arc<[u8]>,
    parsed: OnceLock<Result<Template, Box<template::Error>>>,
    id: Key,
    digest: OnceLock<[u8; 32]>,
    memory: Mutex<Memory>,
    turn: Mutex<()>,
}

/// What a template gave for inputs seen before. Results that are one node's alone are not kept.
#[derive(Default)]
struct Memory(Vec<Seen>);

/// A set of reads that a render of this template left, and what came out for states of it.
struct Seen {
    reads: Arc<ReadSet>,
    results: Vec<(Key, Arc<Remembered>)>,
    /// How often a result was looked for among these, and found.
    asked: u32,
    found: u32,
}

/// A result, and the clock that it saw.
#[derive(Debug)]
pub struct Remembered {
    pub output: Output,
    pub moment: Moment,
}

impl Overlay {
    /// An overlay from the entries of its tree. `root` is where the tree lies on the controller. Files that end in `.ww`
    /// are templates.
    pub fn new(name: &str, root: &str, entries: Vec<Entry>) -> Overlay {
        Overlay::layered(name, entries.into_iter().map(|entry| (root, entry)))
    }

    /// The same, of entries that come from several trees: each with the root of its own.
    pub fn layered<R: fmt::Display>(name: &str, entries: impl IntoIterator<Item = (R, Entry)>) -> Overlay {
        let items = entries
            .into_iter()
            .map(|(root, entry)| {
                let script = match (&entry.kind, entry.path.strip_suffix(b".ww")) {
                    (Kind::File(text), Some(target)) if !target.is_empty() && !target.ends_with(b"/") => {
                        Some(Script::new(
                            &format!("{root}/{}", String::from_utf8_lossy(&entry.path)),
                            target,
                            Arc::clone(text),
                        ))
                    }
                    _ => None,
                };
                Item { entry, script }
            })
            .collect();
        Overlay { name: name.into(), items }
    }
}

impl Script {
    /// A template that lies at `path` on the controller.
    pub fn new(path: &str, target: &[u8], text: Arc<[u8]>) -> Script {
        let id = kept::short(&Sha256::digest(path).into());
        let (parsed, digest, memory, turn) = Default::default();
        Script { path: path.into(), target: target.to_vec(), text, parsed, id, digest, memory, turn }
    }

    /// The template, or why it is none.
    ///
    /// # Errors
    /// What the parser says, with file, line and column.
    pub fn parsed(&self) -> Result<&Template, &template::Error> {
        let parsed =
            self.parsed.get_or_init(|| Template::parse(&self.path, &self.text, &host::functions()).map_err(Box::new));
        parsed.as_ref().map_err(|error| &**error)
    }

    /// What names the template: its place.
    pub fn id(&self) -> Key {
        self.id
    }

    /// A digest over its text.
    pub fn text_digest(&self) -> [u8; 32] {
        *self.digest.get_or_init(|| Sha256::digest(&self.text).into())
    }

    /// The sets of reads that renders of this template left; without `all` only those of which there are results.
    pub fn sets(&self, all: bool) -> Vec<Arc<ReadSet>> {
        let memory = self.memory();
        let worth = memory.0.iter().filter(|seen| all || !seen.results.is_empty());
        worth.map(|seen| Arc::clone(&seen.reads)).collect()
    }

    /// A result for these reads in the state of that key, if it fits.
    pub fn recall(&self, reads: &ReadSet, key: &Key, fits: impl Fn(&Moment) -> bool) -> Option<Arc<Remembered>> {
        let mut memory = self.memory();
        let seen = memory.0.iter_mut().find(|seen| seen.reads.id() == reads.id())?;
        seen.asked = seen.asked.saturating_add(1);
        let (_, result) = seen.results.iter().find(|(known, result)| known == key && fits(&result.moment))?;
        seen.found = seen.found.saturating_add(1);
        Some(Arc::clone(result))
    }

    /// The turn to render what all nodes may get: who waits for it finds the result. `None`: each node has its own.
    pub fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        let memory = self.memory();
        let shared = |seen: &Seen| !seen.results.is_empty() && !seen.reads.has_own();
        let shares = memory.0.is_empty() || memory.0.iter().any(shared);
        drop(memory);
        shares.then(|| self.turn.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps what was read, and the result for the next node where that may get the same.
    pub fn remember(&self, reads: &Arc<ReadSet>, key: Key, result: Remembered) {
        // Random values are the node's own, as is what was made for its name.
        let alone = result.moment.seed.is_some() || reads.names_the_node();
        let mut memory = self.memory();
        let at = match memory.0.iter().position(|seen| seen.reads.id() == reads.id()) {
            Some(at) => at,
            None => {
                if memory.0.len() >= SETS {
                    memory.0.remove(0);
                }
                memory.0.push(Seen { reads: Arc::clone(reads), results: Vec::new(), asked: 0, found: 0 });
                memory.0.len() - 1
            }
        };
        let Some(seen) = memory.0.get_mut(at) else { return };
        if alone || (seen.asked > TRIED && seen.found < seen.asked / 8) {
            seen.results.clear();
            return;
        }
        seen.results.retain(|(known, _)| *known != key);
        if seen.results.len() >= REMEMBERED {
            seen.results.remove(0);
        }
        seen.results.push((key, Arc::new(result)));
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("path", &self.path).finish_non_exhaustive()
    }
}
