//! What is remembered of a built overlay: what it was made from, and since when each rendered file is what
//! it is. A text file whose name begins with a dot, readable by root only.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use render::kept::{Drawn, Kept, Moment};
use render::reads::{Read, ReadSet, escape, unescape};
use sha2::{Digest, Sha256};

use crate::store::publish;

/// First line of the file; another one is another format, and no record.
const FORMAT: &str = "overlay record 3";

/// Path of what was rendered -> digest of its content, and since when it is that (seconds since 1970).
pub type Dates = BTreeMap<Vec<u8>, (String, u64)>;

/// The memory of one built overlay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Digest over the state of everything that the archive was made from.
    pub input: String,
    /// Digest over the archive's entries: the identity of what is served.
    pub content: String,
    /// Since when that content is served, in seconds since 1970.
    pub published: u64,
    /// Digest over the archive and its packed form, or its recipe, as files (inode, size, time of change).
    pub files: String,
    /// What was read while rendering.
    pub reads: Arc<ReadSet>,
    pub dates: Dates,
    /// The clocks and seeds of its templates: as secret as what was made with them.
    pub kept: Kept,
}

impl Record {
    /// Reads a record; what cannot be understood is no record.
    pub fn read(path: &Path) -> Option<Record> {
        Record::parse(&fs::read_to_string(path).ok()?)
    }

    /// Writes it whole or not at all. It need not be on the disk: without it the archive is built again.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        publish::replace_for_now(path, 0o600, self.text().as_bytes()).map(drop)
    }

    /// As it stands in its file, or in a recipe.
    pub(super) fn text(&self) -> String {
        let mut text = String::with_capacity(1024 + self.reads.lines().len() * 2 + self.dates.len() * 128);
        let _ = write!(
            text,
            "{FORMAT}\ninput {}\ncontent {}\npublished {}\nfiles {}\n",
            self.input, self.content, self.published, self.files
        );
        for read in self.reads.lines().lines() {
            text.extend(["read ", read, "\n"]);
        }
        for (path, (digest, since)) in &self.dates {
            let _ = match std::str::from_utf8(path) {
                Ok(path) => writeln!(text, "date {digest} {since} {}", escape(path)),
                // A name may be any bytes.
                Err(_) => writeln!(text, "date-of-bytes {digest} {since} {}", hex(path)),
            };
        }
        for drawn in self.kept.iter() {
            let _ = writeln!(text, "drawn {}", drawn_line(&drawn));
        }
        // A record that was cut short is no record.
        text.push_str("end of record\n");
        text
    }

    /// What [`Record::text`] wrote.
    pub(super) fn parse(text: &str) -> Option<Record> {
        let mut lines = text.strip_suffix("end of record\n")?.lines();
        if lines.next() != Some(FORMAT) {
            return None;
        }
        let mut record = Record::default();
        let mut reads = BTreeSet::new();
        for line in lines {
            let (word, rest) = line.split_once(' ')?;
            match word {
                "input" => record.input = rest.to_owned(),
                "content" => record.content = rest.to_owned(),
                "published" => record.published = rest.parse().ok()?,
                "files" => record.files = rest.to_owned(),
                "read" => {
                    reads.insert(Read::parse(rest)?);
                }
                "date" | "date-of-bytes" => {
                    let (digest, rest) = rest.split_once(' ')?;
                    let (since, path) = rest.split_once(' ')?;
                    let path = if word == "date" { unescape(path).into_bytes() } else { bytes(path)? };
                    record.dates.insert(path, (digest.to_owned(), since.parse().ok()?));
                }
                "drawn" => record.kept.keep(&parse_drawn(rest)?),
                _ => return None,
            }
        }
        record.reads = Arc::new(ReadSet::new(reads));
        Some(record)
    }
}

/// `SCRIPT INPUTS TIME SEED`: keys and seed in hexadecimal, the time as `SECONDS.NANOSECONDS`, `-` for what was not drawn.
fn drawn_line(drawn: &Drawn) -> String {
    let time = drawn.moment.time.map_or("-".to_owned(), |(seconds, nanos)| format!("{seconds}.{nanos}"));
    let seed = drawn.moment.seed.map_or("-".to_owned(), |seed| hex(&seed));
    format!("{} {} {time} {seed}", hex(&drawn.script), hex(&drawn.inputs))
}

fn parse_drawn(line: &str) -> Option<Drawn> {
    let words: Vec<&str> = line.split(' ').collect();
    let [script, inputs, time, seed] = words.as_slice() else { return None };
    let time = match *time {
        "-" => None,
        time => {
            let (seconds, nanos) = time.split_once('.')?;
            Some((seconds.parse().ok()?, nanos.parse().ok().filter(|nanos| *nanos < 1_000_000_000)?))
        }
    };
    let seed = match *seed {
        "-" => None,
        seed => Some(unhex(seed)?),
    };
    Some(Drawn { script: unhex(script)?, inputs: unhex(inputs)?, moment: Moment { time, seed } })
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    bytes(text)?.try_into().ok()
}

/// What [`hex`] wrote.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let byte = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(byte).collect()
}

/// A digest that tells these files from all others, as long as nobody touches them; `None` when one is not there.
pub fn identity(files: &[&Path]) -> Option<String> {
    let mut digest = Sha256::new();
    for file in files {
        let data = fs::metadata(file).ok()?;
        for number in [data.dev(), data.ino(), data.size()] {
            digest.update(number.to_le_bytes());
        }
        for time in [data.ctime(), data.ctime_nsec()] {
            digest.update(time.to_le_bytes());
        }
    }
    Some(hex(&digest.finalize()))
}

/// Lower case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |number: u8| char::from(if number < 10 { b'0' + number } else { b'a' + number - 10 });
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_its_text() {
        let mut kept = Kept::default();
        for (n, moment) in
            [(1, Moment { time: Some((-5, 7)), seed: None }), (2, Moment { time: None, seed: Some([9; 32]) })]
        {
            kept.keep(&Drawn { script: [1; 16], inputs: [n; 16], moment });
        }
        let record = Record {
            input: "ab12".into(),
            content: "0a1b".into(),
            published: 1_767_323_045,
            files: "cd34".into(),
            reads: Arc::new(ReadSet::new(
                [Read::parse("own NetDevs.a%2eb?").unwrap(), Read::File("/a b".into())].into(),
            )),
            dates: [b"etc/a b".to_vec(), b"etc/\xff b".to_vec()]
                .map(|path| (path, ("ef56".to_owned(), 1_700_000_000)))
                .into(),
            kept,
        };
        assert_eq!(Record::parse(&record.text()), Some(record));
    }

    #[test]
    fn what_is_no_record_is_none() {
        assert_eq!(Record::parse(""), None);
        assert_eq!(Record::parse("overlay record 9\n"), None);
        assert_eq!(Record::parse("overlay record 3\ninput ab\n"), None);
        assert_eq!(Record::parse("overlay record 3\nrubbish own Nothing\nend of record\n"), None);
    }
}
