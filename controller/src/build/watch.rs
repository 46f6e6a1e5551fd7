//! Answers about files that are kept until something happens to the files.
//!
//! Who wants to know whether anything changed would have to look at every file each time. Here the kernel is asked for
//! what happened since the last question (inotify, read before every answer, so that a change that was made before the
//! question is never missed), and only what something happened to is looked at again. Where the kernel cannot tell
//! (network file systems, watches used up), every question is a look, which is said once in the log. What an answer means
//! is the caller's affair.

mod kernel;
mod places;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsString;
use std::fmt;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use nix::sys::inotify::WatchDescriptor;

use kernel::{Event, Kernel, Linux};
pub use places::Places;

/// Answers of type `V` to questions of type `K`.
pub struct Watch<K, V> {
    /// `None` inside: there is nobody to ask.
    kernel: OnceLock<Option<Box<dyn Kernel>>>,
    book: Mutex<Book<K, V>>,
}

/// What is known and what is watched for it.
struct Book<K, V> {
    answers: BTreeMap<K, u64>,
    entries: HashMap<u64, Entry<K, V>>,
    watches: HashMap<WatchDescriptor, Watched>,
    /// Questions that cannot be kept an answer to.
    refused: BTreeSet<K>,
    /// Of which the log said so.
    told: BTreeSet<K>,
    next: u64,
    now: Moment,
    page: u64,
}

/// One question.
struct Entry<K, V> {
    what: K,
    /// None while somebody looks.
    answer: Option<V>,
    holds: Vec<(WatchDescriptor, Option<OsString>)>,
    /// Since the page was turned.
    asked: bool,
}

/// Whom it concerns when something happens to a watched file or folder.
#[derive(Default)]
struct Watched {
    all: BTreeSet<u64>,
    /// Only what happens to the thing of that name in it.
    named: HashMap<OsString, BTreeSet<u64>>,
}

/// A state of everything that is kept: as long as it is the same, all answers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Counts what was forgotten.
    forgotten: u64,
    /// Counts the answers that could not be kept.
    unkept: u64,
}

impl Moment {
    /// Nothing happened in between to what was known at `earlier`.
    pub fn same_since(self, earlier: Moment) -> bool {
        self.forgotten == earlier.forgotten
    }

    /// Every answer since `earlier` was kept: what follows from them holds until the next [`Moment::same_since`] says no.
    pub fn kept_since(self, earlier: Moment) -> bool {
        self.unkept == earlier.unkept
    }
}

impl<K: Ord + Clone + fmt::Display, V: Clone> Watch<K, V> {
    /// A watch that is told nothing: every question is a look.
    pub fn blind() -> Watch<K, V> {
        let watch = Watch::default();
        let _ = watch.kernel.set(None);
        watch
    }

    /// The answer, as it is now. `places` names everything that `look` will look at, before it does; with an error nothing
    /// is kept.
    ///
    /// # Errors
    /// Those of `look`.
    pub fn kept<E>(
        &self,
        what: K,
        places: impl FnOnce(&mut Places<'_>),
        look: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, E> {
        let Some(kernel) = self.kernel() else {
            self.lock().now.unkept += 1;
            return look();
        };
        let id = {
            let mut book = self.lock();
            book.hear(kernel);
            match book.answers.get(&what).copied() {
                None if book.refused.contains(&what) => None,
                None => Some(book.begin(what.clone())),
                Some(id) => {
                    if let Some(entry) = book.entries.get_mut(&id)
                        && let Some(answer) = &entry.answer
                    {
                        entry.asked = true;
                        return Ok(answer.clone());
                    }
                    // Somebody else is looking for it.
                    None
                }
            }
        };
        let Some(id) = id else {
            self.lock().now.unkept += 1;
            return look();
        };
        let hold = |path: &std::path::Path, interest, name: Option<OsString>| {
            // The lock spans both: an event of the new watch finds its entry.
            let mut book = self.lock();
            let watch = kernel.watch(path, interest)?;
            book.hold(kernel, id, watch, name);
            Ok(())
        };
        let mut named = Places::new(kernel, &hold);
        places(&mut named);
        let trouble = named.trouble();
        let seen = look();
        let mut book = self.lock();
        match (trouble, &seen) {
            (None, Ok(answer)) => {
                if let Some(entry) = book.entries.get_mut(&id) {
                    entry.answer = Some(answer.clone());
                }
            }
            (Some(places::Trouble::Refused(why)), _) => {
                book.forget(kernel, id);
                book.now.unkept += 1;
                if book.told.insert(what.clone()) {
                    tracing::warn!("{what} is looked at on every request: {why}");
                }
                book.refused.insert(what);
            }
            (Some(places::Trouble::Moving), _) | (None, Err(_)) => {
                book.forget(kernel, id);
                book.now.unkept += 1;
            }
        }
        seen
    }

    /// The state of all that is kept, after what has happened until now.
    pub fn moment(&self) -> Moment {
        let kernel = self.kernel();
        let mut book = self.lock();
        if let Some(kernel) = kernel {
            book.hear(kernel);
        }
        book.now
    }

    /// With a new page, what was not asked for on the last one is forgotten, and what was refused is tried again.
    pub fn turn_page(&self, page: u64) {
        let Some(kernel) = self.kernel() else { return };
        let mut book = self.lock();
        if book.page == page {
            return;
        }
        book.page = page;
        let refused = std::mem::take(&mut book.refused);
        book.told.retain(|what| refused.contains(what));
        let idle: Vec<u64> = book
            .entries
            .iter_mut()
            .filter_map(|(id, entry)| {
                let idle = entry.answer.is_some() && !entry.asked;
                entry.asked = false;
                idle.then_some(*id)
            })
            .collect();
        for id in idle {
            book.forget(kernel, id);
        }
    }

    fn kernel(&self) -> Option<&dyn Kernel> {
        let open = || match Linux::open() {
            Ok(kernel) => Some(Box::new(kernel) as Box<dyn Kernel>),
            Err(error) => {
                tracing::warn!("files are not watched, every request looks for itself: {error}");
                None
            }
        };
        self.kernel.get_or_init(open).as_deref()
    }

    fn lock(&self) -> MutexGuard<'_, Book<K, V>> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who reads more than this at a time looks at everything anew instead: some 100,000 events.
const MOST_READS: u32 = 2048;

impl<K: Ord + Clone, V> Book<K, V> {
    /// Takes in all that happened until now.
    fn hear(&mut self, kernel: &dyn Kernel) {
        if kernel.mounts_changed() {
            self.forget_all(kernel);
        }
        for _ in 0..MOST_READS {
            match kernel.events() {
                Ok(events) if events.is_empty() => return,
                Ok(events) => events.into_iter().for_each(|event| self.heard(kernel, event)),
                Err(error) => {
                    tracing::warn!("what happened to files cannot be read, all are looked at: {error}");
                    break;
                }
            }
        }
        self.forget_all(kernel);
    }

    fn heard(&mut self, kernel: &dyn Kernel, event: Event) {
        let (watch, name, gone) = match event {
            Event::Somewhere => {
                tracing::info!("more happened to files than the kernel remembers: all are looked at again");
                return self.forget_all(kernel);
            }
            Event::At { watch, name, gone } => (watch, name, gone),
        };
        let Some(watched) = self.watches.get(&watch) else { return };
        let mut hit: BTreeSet<u64> = watched.all.clone();
        match name {
            Some(name) => hit.extend(watched.named.get(&name).into_iter().flatten()),
            // To the folder itself.
            None => hit.extend(watched.named.values().flatten()),
        }
        if gone {
            self.watches.remove(&watch);
        }
        for id in hit {
            self.forget(kernel, id);
        }
    }

    fn begin(&mut self, what: K) -> u64 {
        self.next += 1;
        self.answers.insert(what.clone(), self.next);
        self.entries.insert(self.next, Entry { what, answer: None, holds: Vec::new(), asked: true });
        self.next
    }

    /// Something that `id` depends on is watched now.
    fn hold(&mut self, kernel: &dyn Kernel, id: u64, watch: WatchDescriptor, name: Option<OsString>) {
        let watched = self.watches.entry(watch).or_default();
        let Some(entry) = self.entries.get_mut(&id) else {
            // Forgotten while it was looked for.
            return self.drop_idle(kernel, watch);
        };
        let new = match &name {
            None => watched.all.insert(id),
            Some(name) => watched.named.entry(name.clone()).or_default().insert(id),
        };
        if new {
            entry.holds.push((watch, name));
        }
    }

    fn forget(&mut self, kernel: &dyn Kernel, id: u64) {
        let Some(entry) = self.entries.remove(&id) else { return };
        self.answers.remove(&entry.what);
        self.now.forgotten += 1;
        for (watch, name) in entry.holds {
            let Some(watched) = self.watches.get_mut(&watch) else { continue };
            match name {
                None => {
                    watched.all.remove(&id);
                }
                Some(name) => {
                    if let Some(ids) = watched.named.get_mut(&name) {
                        ids.remove(&id);
                        if ids.is_empty() {
                            watched.named.remove(&name);
                        }
                    }
                }
            }
            self.drop_idle(kernel, watch);
        }
    }

    fn drop_idle(&mut self, kernel: &dyn Kernel, watch: WatchDescriptor) {
        if self.watches.get(&watch).is_some_and(|watched| watched.all.is_empty() && watched.named.is_empty()) {
            self.watches.remove(&watch);
            kernel.unwatch(watch);
        }
    }

    fn forget_all(&mut self, kernel: &dyn Kernel) {
        for (watch, _) in self.watches.drain() {
            kernel.unwatch(watch);
        }
        self.entries.clear();
        self.answers.clear();
        self.now.forgotten += 1;
    }
}

impl<K, V> Default for Watch<K, V> {
    fn default() -> Watch<K, V> {
        let book = Book {
            answers: BTreeMap::new(),
            entries: HashMap::new(),
            watches: HashMap::new(),
            refused: BTreeSet::new(),
            told: BTreeSet::new(),
            next: 0,
            now: Moment { forgotten: 0, unkept: 0 },
            page: 0,
        };
        Watch { kernel: OnceLock::new(), book: Mutex::new(book) }
    }
}

impl<K, V> fmt::Debug for Watch<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}
