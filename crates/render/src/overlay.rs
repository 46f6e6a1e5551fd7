//! An overlay as values: the entries of its tree, templates among them, each parsed at most once.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use archive::{Entry, Kind};
use template::Template;

use crate::host::{self, Output};
use crate::reads::Read;

/// How many results a template remembers. More than one node can share one; a result of each node would be memory
/// without use.
const REMEMBERED: usize = 32;

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
    results: Mutex<Vec<Arc<Remembered>>>,
}

/// A result, and the reads that it depends on.
#[derive(Debug)]
pub struct Remembered {
    pub reads: BTreeSet<Read>,
    /// The digest over what was read.
    pub key: [u8; 32],
    pub output: Output,
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
        Script { path: path.into(), target: target.to_vec(), text, parsed: OnceLock::new(), results: Mutex::default() }
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

    /// A result whose inputs are what they were, as `key` says of its reads.
    pub fn recall(&self, key: impl Fn(&BTreeSet<Read>) -> [u8; 32]) -> Option<Arc<Remembered>> {
        let results = self.results.lock().unwrap_or_else(PoisonError::into_inner).clone();
        results.into_iter().rev().find(|result| key(&result.reads) == result.key)
    }

    /// Keeps a result for the next node.
    pub fn remember(&self, result: Remembered) {
        let mut results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        results.retain(|old| old.reads != result.reads || old.key != result.key);
        if results.len() >= REMEMBERED {
            results.remove(0);
        }
        results.push(Arc::new(result));
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("path", &self.path).finish_non_exhaustive()
    }
}
