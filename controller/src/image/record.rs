//! What a build remembers for the next one: which pieces the archive has, and where each lies in the packed file.
//!
//! Text, one line a thing, in `.NAME.img.record` beside the image. A record that cannot be understood, or whose files are no
//! longer the ones it speaks of, is no record: then everything is made anew.

use std::collections::HashMap;
use std::fmt::Write;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

const FIRST_LINE: &str = "warewulf image record 1";

/// A remembered build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Key of the whole archive; none when files were too young to be sure of.
    pub tree: Option<[u8; 32]>,
    pub img: Mark,
    pub gz: Mark,
    pub zst: Mark,
    /// In the order of the archive.
    pub pieces: Vec<Packed>,
}

/// What tells that a file is the one that was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    pub size: u64,
    pub inode: u64,
    pub mtime: (i64, i64),
}

impl Mark {
    pub fn of(metadata: &Metadata) -> Mark {
        Mark { size: metadata.size(), inode: metadata.ino(), mtime: (metadata.mtime(), metadata.mtime_nsec()) }
    }
}

/// A piece as it lies in the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed {
    /// None: a file in it was too young to be sure of.
    pub key: Option<[u8; 32]>,
    /// Length and checksum of its bytes.
    pub length: u64,
    pub crc: u32,
    /// Length in the packed file.
    pub packed: u64,
}

/// A piece and its offsets in the plain and in the packed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub piece: Packed,
    pub plain_at: u64,
    pub packed_at: u64,
}

impl Record {
    /// The pieces by key. `header`: where the first one begins in the packed file.
    pub fn by_key(&self, header: u64) -> HashMap<[u8; 32], Found> {
        let (mut plain_at, mut packed_at) = (0_u64, header);
        let mut found = HashMap::new();
        for piece in &self.pieces {
            if let Some(key) = piece.key {
                found.insert(key, Found { piece: *piece, plain_at, packed_at });
            }
            plain_at = plain_at.saturating_add(piece.length);
            packed_at = packed_at.saturating_add(piece.packed);
        }
        found
    }

    /// As lines.
    pub fn text(&self) -> String {
        let mut text = format!("{FIRST_LINE}\ntree {}\n", self.tree.map_or_else(|| "-".into(), hex));
        for (name, mark) in [("img", self.img), ("gz", self.gz), ("zst", self.zst)] {
            // Writing to a String does not fail.
            let _ = writeln!(text, "{name} {} {} {} {}", mark.size, mark.inode, mark.mtime.0, mark.mtime.1);
        }
        for piece in &self.pieces {
            let key = piece.key.map_or_else(|| "-".into(), hex);
            let _ = writeln!(text, "piece {key} {} {} {}", piece.length, piece.crc, piece.packed);
        }
        text.push_str("end\n");
        text
    }

    /// From lines; none when they are not a whole record.
    pub fn parse(text: &str) -> Option<Record> {
        let mut lines = text.lines();
        if lines.next()? != FIRST_LINE {
            return None;
        }
        let mut record = Record { tree: key(lines.next()?.strip_prefix("tree ")?)?, ..Record::default() };
        for (name, mark) in [("img", &mut record.img), ("gz", &mut record.gz), ("zst", &mut record.zst)] {
            let words: Vec<&str> = lines.next()?.split(' ').collect();
            let [first, size, inode, seconds, nanoseconds] = words.as_slice() else { return None };
            if *first != name {
                return None;
            }
            let mtime = (seconds.parse().ok()?, nanoseconds.parse().ok()?);
            *mark = Mark { size: size.parse().ok()?, inode: inode.parse().ok()?, mtime };
        }
        loop {
            let line = lines.next()?;
            if line == "end" {
                return Some(record);
            }
            let words: Vec<&str> = line.split(' ').collect();
            let ["piece", known, length, crc, packed] = words.as_slice() else { return None };
            let (length, crc, packed) = (length.parse().ok()?, crc.parse().ok()?, packed.parse().ok()?);
            record.pieces.push(Packed { key: key(known)?, length, crc, packed });
        }
    }
}

fn hex(key: [u8; 32]) -> String {
    key.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The outer None: no key at all.
#[allow(clippy::option_option, reason = "a dash is a word of the format, and nonsense is none")]
fn key(text: &str) -> Option<Option<[u8; 32]>> {
    if text == "-" {
        return Some(None);
    }
    let mut key = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (index, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(Some(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Record {
        let mark = Mark { size: 70, inode: 9, mtime: (1_700_000_000, 5) };
        let piece = |number: u8, length, packed| Packed { key: Some([number; 32]), length, crc: 77, packed };
        let young = Packed { key: None, ..piece(0, 30, 10) };
        let pieces = vec![piece(0xab, 40, 20), young, piece(3, 1, 1)];
        Record { tree: Some([0xcd; 32]), img: mark, gz: mark, zst: mark, pieces }
    }

    #[test]
    fn a_record_comes_back_as_it_was() {
        assert_eq!(Record::parse(&sample().text()), Some(sample()));
        let young = Record { tree: None, ..sample() };
        assert_eq!(Record::parse(&young.text()), Some(young));
    }

    #[test]
    fn a_torn_or_foreign_record_is_none() {
        let text = sample().text();
        for length in 0..text.len() - 1 {
            assert_eq!(Record::parse(&text[..length]), None, "{length}");
        }
        assert_eq!(Record::parse(&text.replace("record 1", "record 2")), None);
        assert_eq!(Record::parse(&text.replace("ab", "zz")), None);
    }

    #[test]
    fn pieces_are_found_where_they_lie() {
        let found = sample().by_key(10);
        let at = |number: u8| found.get(&[number; 32]).map(|found| (found.plain_at, found.packed_at));
        assert_eq!((found.len(), at(0xab), at(3)), (2, Some((0, 10)), Some((70, 40))));
    }
}
