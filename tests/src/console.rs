//! Console: what a machine wrote on its serial line, with the time at which it was seen.

use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;

/// A view of a growing log; clones see the same.
#[derive(Clone, Debug)]
pub struct Console {
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    text: String,
    /// Up to which byte of the text was there at which time since power-on.
    marks: Vec<(usize, Duration)>,
    closed: bool,
}

impl Console {
    /// Follows a log file until `close`; its times count from `power_on`.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn follow(log: &Path, power_on: Instant) -> anyhow::Result<Console> {
        let mut file = std::fs::File::open(log).with_context(|| format!("cannot read {}", log.display()))?;
        let console = Console { seen: Arc::default() };
        let follower = console.clone();
        std::thread::spawn(move || {
            let mut chunk = vec![0; 1 << 16];
            loop {
                let closed = follower.seen().closed;
                let mut fresh = 0;
                while let Ok(length @ 1..) = file.read(&mut chunk) {
                    follower.push(chunk.get(..length).unwrap_or_default(), power_on.elapsed());
                    fresh += length;
                }
                if closed && fresh == 0 {
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Ok(console)
    }

    /// Everything so far, without escape sequences and carriage returns.
    pub fn text(&self) -> String {
        self.seen().text.clone()
    }

    /// When this text was first complete, since power-on.
    pub fn when(&self, text: &str) -> Option<Duration> {
        self.when_after(text, 0).map(|(_, time)| time)
    }

    /// The first end of this text at or after a place, and when it was complete.
    pub fn when_after(&self, text: &str, place: usize) -> Option<(usize, Duration)> {
        let seen = self.seen();
        let end = place + seen.text.get(place..)?.find(text)? + text.len();
        seen.marks.iter().find(|(upto, _)| *upto >= end).map(|(_, time)| (end, *time))
    }

    /// The last lines, for a message.
    pub fn last(&self, lines: usize) -> String {
        let text = self.text();
        let all: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
    }

    /// Nothing more will come.
    pub fn close(&self) {
        self.seen().closed = true;
    }

    fn push(&self, bytes: &[u8], time: Duration) {
        let mut seen = self.seen();
        let plain = plain(bytes);
        seen.text.push_str(&plain);
        let upto = seen.text.len();
        seen.marks.push((upto, time));
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Text as a person sees it: no escape sequences (ECMA-48), no carriage returns, no bytes that are no text.
fn plain(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    let text = String::from_utf8_lossy(bytes);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\x1b' => {
                if characters.next_if_eq(&'[').is_some() {
                    while characters.next_if(|next| !('@'..='~').contains(next)).is_some() {}
                }
                characters.next();
            }
            '\n' | '\t' => out.push(character),
            character if character.is_control() => {}
            character => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Console, plain};
    use std::time::Duration;

    #[test]
    fn escape_sequences_and_carriage_returns_are_not_text() {
        assert_eq!(plain(b"\x1b[1;31mred\x1b[0m\r\n\x1bcok\x07"), "red\nok");
    }

    #[test]
    fn a_text_that_came_in_two_parts_is_seen_when_the_second_came() {
        let console = Console { seen: std::sync::Arc::default() };
        console.push(b"n1 log", Duration::from_secs(1));
        assert_eq!(console.when("login:"), None);
        console.push(b"in: ", Duration::from_secs(2));
        assert_eq!(console.when("login:"), Some(Duration::from_secs(2)));
        assert_eq!(console.when_after("log", 5), None);
    }
}
