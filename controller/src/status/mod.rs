//! What each node was last given, and when it was last seen. Kept in memory, read as a whole; [`keep`] carries it over a
//! restart.
//!
//! The book says what happened, not what was asked: a transfer is written down when its last byte has left, and one that
//! broke leaves only that the node was there. It decides nothing.

pub mod keep;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// One node's line. Field names are those of the `/status` document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Line {
    #[serde(rename = "node name")]
    pub node: String,
    /// `ipxe`, `kernel`, `image`, ...; empty: never sent anything.
    pub stage: String,
    /// Base name of the file that was sent, or what went wrong in capitals.
    pub sent: String,
    pub ipaddr: String,
    /// Seconds since 1970; 0: never.
    #[serde(rename = "last seen")]
    pub last_seen: u64,
}

/// What is to be written down about one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The node asked and nothing was carried through: its address and the time are all there is to say.
    Seen,
    /// This went out whole, or was refused for this reason.
    Done { stage: &'static str, sent: String },
}

/// The document behind `GET /status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Document {
    pub nodes: BTreeMap<String, Line>,
    /// What is wrong with the configuration that is being served; absent when nothing is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// All lines, by name of the node. All unknown addresses share the empty name.
#[derive(Debug, Default)]
pub struct Book {
    lines: Mutex<BTreeMap<String, Line>>,
    /// Something was written down that is not on disk.
    changed: AtomicBool,
}

impl Book {
    /// A book with these lines.
    pub fn of(lines: impl IntoIterator<Item = Line>) -> Book {
        let lines = lines.into_iter().map(|line| (line.node.clone(), line)).collect();
        Book { lines: Mutex::new(lines), changed: AtomicBool::new(false) }
    }

    /// Lets `write` carry the lines elsewhere if they changed since it last could.
    ///
    /// # Errors
    /// Those of `write`; the lines then count as unwritten still.
    pub fn unwritten<E>(&self, write: impl FnOnce(&BTreeMap<String, Line>) -> Result<(), E>) -> Result<(), E> {
        if !self.changed.swap(false, Ordering::SeqCst) {
            return Ok(());
        }
        // On a copy: whoever serves a node does not wait for the disk.
        let lines = self.lock().clone();
        let written = write(&lines);
        if written.is_err() {
            self.changed.store(true, Ordering::SeqCst);
        }
        written
    }

    /// Makes the book fit a new set of nodes: who is gone is struck out, who is new begins empty, and the line of the
    /// unknown addresses goes.
    pub fn reloaded<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        let names: BTreeSet<&str> = names.into_iter().collect();
        let mut lines = self.lock();
        lines.retain(|name, _| !name.is_empty() && names.contains(name.as_str()));
        for name in names {
            lines.entry(name.to_string()).or_insert_with(|| Line { node: name.to_string(), ..Line::default() });
        }
    }

    /// Writes one event down. `now` in seconds since 1970.
    pub fn note(&self, node: &str, peer: IpAddr, now: u64, event: Event) {
        let mut lines = self.lock();
        let line = lines.entry(node.to_string()).or_default();
        line.node = node.to_string();
        line.ipaddr = peer.to_canonical().to_string();
        line.last_seen = now;
        if let Event::Done { stage, sent } = event {
            line.stage = stage.to_string();
            line.sent = sent;
        }
        self.changed.store(true, Ordering::SeqCst);
    }

    /// All that is known, as it is now.
    pub fn document(&self, problems: Vec<String>) -> Document {
        Document { nodes: self.lock().clone(), problems }
    }

    // A thread that died while writing one line has left the others whole.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 7));

    fn done(stage: &'static str, sent: &str) -> Event {
        Event::Done { stage, sent: sent.to_string() }
    }

    #[test]
    fn the_document_is_as_stock_writes_it() {
        let book = Book::default();
        book.reloaded(["c002", "c001"]);
        book.note("c001", PEER, 5, done("runtime", "__RUNTIME__.img.gz"));
        assert_eq!(
            serde_json::to_string(&book.document(Vec::new())).unwrap(),
            concat!(
                r#"{"nodes":{"c001":{"node name":"c001","stage":"runtime","sent":"__RUNTIME__.img.gz","#,
                r#""ipaddr":"10.0.0.7","last seen":5},"#,
                r#""c002":{"node name":"c002","stage":"","sent":"","ipaddr":"","last seen":0}}}"#
            )
        );
    }

    #[test]
    fn who_was_only_seen_keeps_what_was_sent() {
        let book = Book::default();
        book.note("c001", PEER, 5, done("image", "oak.img"));
        book.note("c001", PEER, 9, Event::Seen);
        let line = book.document(Vec::new()).nodes.remove("c001").unwrap();
        assert_eq!((line.stage.as_str(), line.sent.as_str(), line.last_seen), ("image", "oak.img", 9));
    }

    #[test]
    fn a_reload_strikes_out_who_is_gone_and_the_unknown_line() {
        let book = Book::default();
        book.reloaded(["c001", "c002"]);
        book.note("c001", PEER, 5, done("image", "oak.img"));
        book.note("", PEER, 5, done("kernel", "BAD_REQUEST"));
        book.reloaded(["c001", "c003"]);
        let names: Vec<_> = book.document(Vec::new()).nodes.into_iter().map(|(n, l)| (n, l.sent)).collect();
        assert_eq!(names, [("c001".to_string(), "oak.img".to_string()), ("c003".to_string(), String::new())]);
    }

    #[test]
    fn a_mapped_address_is_shown_as_ipv4() {
        let book = Book::default();
        book.note("c001", "::ffff:10.0.0.7".parse().unwrap(), 5, Event::Seen);
        assert_eq!(book.document(Vec::new()).nodes["c001"].ipaddr, "10.0.0.7");
    }
}
