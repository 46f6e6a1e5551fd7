//! Console: what a machine wrote on its serial line, with the time at which it was seen.

use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A view of a growing text; clones see the same.
#[derive(Clone, Debug)]
pub struct Console {
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    text: String,
    /// Up to which byte of the text was there at which time since power-on.
    marks: Vec<(usize, Duration)>,
    reader: Reader,
}

impl Console {
    /// Follows a line until its other end is closed; times count from `power_on`.
    pub fn follow(mut line: impl Read + Send + 'static, power_on: Instant) -> Console {
        let console = Console { seen: Arc::default() };
        let follower = console.clone();
        std::thread::spawn(move || {
            let mut chunk = vec![0; 1 << 16];
            while let Ok(length @ 1..) = line.read(&mut chunk) {
                follower.push(chunk.get(..length).unwrap_or_default(), power_on.elapsed());
            }
        });
        console
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
        let mark = seen.marks.partition_point(|(upto, _)| *upto < end);
        seen.marks.get(mark).map(|(_, time)| (end, *time))
    }

    /// The last lines, for a message.
    pub fn last(&self, lines: usize) -> String {
        let text = self.text();
        let all: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
    }

    fn push(&self, bytes: &[u8], time: Duration) {
        let mut seen = self.seen();
        let seen = &mut *seen;
        seen.reader.read(bytes, &mut seen.text);
        seen.marks.push((seen.text.len(), time));
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Text as a person sees it: no escape sequences (ECMA-48), no carriage returns, no bytes that are no text. A line brings
/// bytes one by one, so a sequence or a character may come in parts.
#[derive(Debug, Default)]
struct Reader {
    inside: Inside,
    /// The bytes of a character that is not complete.
    begun: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Inside {
    #[default]
    Text,
    Escape,
    Sequence,
}

impl Reader {
    fn read(&mut self, bytes: &[u8], out: &mut String) {
        for &byte in bytes {
            self.inside = match (self.inside, byte) {
                (_, 0x1b) => Inside::Escape,
                (Inside::Escape, b'[') => Inside::Sequence,
                (Inside::Escape, _) | (Inside::Sequence, 0x40..=0x7e) => Inside::Text,
                (Inside::Sequence, _) => Inside::Sequence,
                (Inside::Text, _) => {
                    self.begun.push(byte);
                    Inside::Text
                }
            };
        }
        for chunk in self.begun.utf8_chunks() {
            out.extend(
                chunk.valid().chars().filter(|character| matches!(character, '\n' | '\t') || !character.is_control()),
            );
        }
        let open = self.begun.utf8_chunks().last().map_or(0, |chunk| chunk.invalid().len());
        // Longer than that no character is.
        let open = if open < 4 { open } else { 0 };
        self.begun.drain(..self.begun.len() - open);
    }
}

#[cfg(test)]
mod tests {
    use super::Console;
    use std::time::Duration;

    #[test]
    fn escape_sequences_and_carriage_returns_are_not_text_however_they_are_cut() {
        let bytes = "\x1b[1;31mréd\x1b[0m\r\n\x1bc\u{2713}ok\x07".as_bytes();
        for size in 1..=bytes.len() {
            let console = Console { seen: std::sync::Arc::default() };
            bytes.chunks(size).for_each(|chunk| console.push(chunk, Duration::ZERO));
            assert_eq!(console.text(), "réd\n\u{2713}ok", "{size} at a time");
        }
    }

    #[test]
    fn bytes_that_are_no_text_do_not_stop_what_follows() {
        let console = Console { seen: std::sync::Arc::default() };
        for byte in b"a\xff\xfeb\xe2c" {
            console.push(&[*byte], Duration::ZERO);
        }
        assert_eq!(console.text(), "abc");
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
