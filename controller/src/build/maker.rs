//! What who builds has at hand while an archive is written: packers, what a group knows, and the shelf that is being filled.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;

use super::held::Held;
use super::splice::{Part, Splicer};

/// How pieces are made and written.
#[derive(Debug)]
pub struct Maker<'a> {
    pub splicer: &'a Splicer,
    /// Of a group: who builds then waits for the disk once, at the end.
    pub held: Option<&'a Held>,
    /// Of a group: the shelf that recipes come to stand on.
    pub draft: Option<&'a mut Draft>,
    /// Counts new shared pieces since the last sweep.
    pub fresh: &'a AtomicUsize,
}

impl Maker<'_> {
    pub(super) fn keep_in_mind(&self, part: &Part, packed: u64) {
        if let Some(held) = self.held {
            held.note_stored(part.digest, packed);
        }
    }
}

/// What is to change on a shelf.
#[derive(Debug)]
pub struct Draft {
    pub(super) number: u32,
    /// By name; `None`: it is taken off.
    pub(super) changes: BTreeMap<String, Option<Vec<u8>>>,
}

impl Draft {
    pub fn new(number: u32) -> Draft {
        Draft { number, changes: BTreeMap::new() }
    }

    pub fn lay(&mut self, name: &str, recipe: Vec<u8>) {
        self.changes.insert(name.to_owned(), Some(recipe));
    }

    /// The recipe that was laid under this name.
    pub fn laid(&self, name: &str) -> Option<&[u8]> {
        self.changes.get(name)?.as_deref()
    }

    pub fn take_off(&mut self, name: &str) {
        self.changes.insert(name.to_owned(), None);
    }
}
