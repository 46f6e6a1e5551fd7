//! What is remembered of a built overlay: what it was made from, and since when each rendered file is what
//! it is. A text file whose name begins with a dot, readable by root only.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use render::reads::{Read, escape, unescape};
use sha2::{Digest, Sha256};

use crate::store::publish;

/// First line of the file; another one is another format, and no record.
const FORMAT: &str = "overlay record 2";

/// Path of what was rendered -> digest of its content, and since when it is that (seconds since 1970).
pub type Dates = BTreeMap<Vec<u8>, (String, u64)>;

/// The memory of one built overlay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Digest over the state of everything that the archive was made from.
    pub input: String,
    /// Digest over the archive's entries: the identity of what is served.
    pub content: String,
    /// Digest over the archive and its packed form as files (inode, size, time of change).
    pub files: String,
    /// What was read while rendering.
    pub reads: BTreeSet<Read>,
    pub dates: Dates,
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
        publish::replace_for_now(path, 0o600, self.text().as_bytes())
    }

    fn text(&self) -> String {
        let mut text = format!("{FORMAT}\ninput {}\ncontent {}\nfiles {}\n", self.input, self.content, self.files);
        for read in &self.reads {
            text.push_str(&format!("read {}\n", read.line()));
        }
        for (path, (digest, since)) in &self.dates {
            text.push_str(&format!("date {digest} {since} {}\n", escape(&String::from_utf8_lossy(path))));
        }
        // A record that was cut short is no record.
        text.push_str("end of record\n");
        text
    }

    fn parse(text: &str) -> Option<Record> {
        let mut lines = text.strip_suffix("end of record\n")?.lines();
        if lines.next() != Some(FORMAT) {
            return None;
        }
        let mut record = Record::default();
        for line in lines {
            let (word, rest) = line.split_once(' ')?;
            match word {
                "input" => record.input = rest.to_owned(),
                "content" => record.content = rest.to_owned(),
                "files" => record.files = rest.to_owned(),
                "read" => {
                    record.reads.insert(Read::parse(rest)?);
                }
                "date" => {
                    let (digest, rest) = rest.split_once(' ')?;
                    let (since, path) = rest.split_once(' ')?;
                    record.dates.insert(unescape(path).into_bytes(), (digest.to_owned(), since.parse().ok()?));
                }
                _ => return None,
            }
        }
        Some(record)
    }
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
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use render::reads::Facet;

    #[test]
    fn a_record_survives_its_text() {
        let record = Record {
            input: "ab12".into(),
            content: "0a1b".into(),
            files: "cd34".into(),
            reads: [Read::Own(Facet::Id), Read::File("/a b".into())].into(),
            dates: [(b"etc/a b".to_vec(), ("ef56".to_owned(), 1_700_000_000))].into(),
        };
        assert_eq!(Record::parse(&record.text()), Some(record));
    }

    #[test]
    fn what_is_no_record_is_none() {
        assert_eq!(Record::parse(""), None);
        assert_eq!(Record::parse("overlay record 9\n"), None);
        assert_eq!(Record::parse("overlay record 2\ninput ab\n"), None);
        assert_eq!(Record::parse("overlay record 2\nread own Nothing\nend of record\n"), None);
    }
}
