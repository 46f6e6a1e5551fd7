//! What the agent placed, and how each file looked when it had: enough to see a local edit without reading a file, and
//! to know what may go when it leaves the overlay. Pure but for its two ends, [`Manifest::load`] and
//! [`Manifest::store`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::tree::Stamp;

const FIRST_LINE: &str = "wwclient manifest 1";

/// The last overlay that was applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Where it came from; answers of another server or node say nothing about these files.
    pub source: String,
    /// Empty unless every file of the overlay is in place: only then may the server answer "nothing new".
    pub validators: Validators,
    /// By path from the root, without a leading slash.
    pub records: BTreeMap<Vec<u8>, Record>,
}

/// What makes a request conditional (RFC 9110, 8.8).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    pub etag: Option<String>,
    pub last_modified: Option<String>,
}

impl Validators {
    pub fn is_empty(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }
}

/// One file of the overlay as it lies on the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    pub origin: Origin,
    pub stamp: Stamp,
}

/// Whose the place was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nothing was there: it goes when the overlay no longer has it.
    Created,
    /// The image or the boot had something there: it stays.
    Found,
}

impl Manifest {
    /// Reads it back. Absent or not to be understood is the same as nothing known: everything is compared again.
    pub fn load(path: &Path) -> Manifest {
        fs::read_to_string(path).ok().and_then(|text| Manifest::parse(&text)).unwrap_or_default()
    }

    /// Writes it beside its old self and renames.
    pub fn store(&self, path: &Path) -> io::Result<()> {
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        io::Write::write_all(&mut file, self.text().as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)
    }

    fn text(&self) -> String {
        let mut text = format!("{FIRST_LINE}\nsource {}\n", self.source);
        for (key, value) in [("etag", &self.validators.etag), ("modified", &self.validators.last_modified)] {
            if let Some(value) = value {
                let _ = writeln!(text, "{key} {value}");
            }
        }
        for (path, Record { origin, stamp: s }) in &self.records {
            let origin = if *origin == Origin::Created { "created" } else { "found" };
            let _ = writeln!(
                text,
                "file {origin} {} {:o} {} {} {} {} {} {}",
                s.inode,
                s.mode,
                s.uid,
                s.gid,
                s.size,
                s.modified,
                s.changed,
                escaped(path)
            );
        }
        text
    }

    fn parse(text: &str) -> Option<Manifest> {
        let mut lines = text.lines();
        if lines.next()? != FIRST_LINE {
            return None;
        }
        let mut manifest = Manifest::default();
        for line in lines {
            match line.split_once(' ')? {
                ("source", source) => manifest.source = source.to_owned(),
                ("etag", etag) => manifest.validators.etag = Some(etag.to_owned()),
                ("modified", date) => manifest.validators.last_modified = Some(date.to_owned()),
                ("file", rest) => {
                    let (path, record) = record(rest)?;
                    manifest.records.insert(path, record);
                }
                _ => return None,
            }
        }
        Some(manifest)
    }
}

fn record(line: &str) -> Option<(Vec<u8>, Record)> {
    let mut words = line.split(' ');
    let origin = match words.next()? {
        "created" => Origin::Created,
        "found" => Origin::Found,
        _ => return None,
    };
    let stamp = Stamp {
        inode: words.next()?.parse().ok()?,
        mode: u32::from_str_radix(words.next()?, 8).ok()?,
        uid: words.next()?.parse().ok()?,
        gid: words.next()?.parse().ok()?,
        size: words.next()?.parse().ok()?,
        modified: words.next()?.parse().ok()?,
        changed: words.next()?.parse().ok()?,
    };
    Some((unescaped(words.next()?)?, Record { origin, stamp }))
}

fn escaped(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path {
        if byte.is_ascii_graphic() && *byte != b'%' {
            text.push(char::from(*byte));
        } else {
            let _ = write!(text, "%{byte:02x}");
        }
    }
    text
}

fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut path = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        let digit = |b: Option<u8>| char::from(b?).to_digit(16).and_then(|d| u8::try_from(d).ok());
        path.push(if byte == b'%' { digit(bytes.next())? << 4 | digit(bytes.next())? } else { byte });
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stamp(inode: u64) -> Stamp {
        Stamp { inode, mode: 0o100644, uid: 1, gid: 2, size: 3, modified: -4, changed: 1 << 70 }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(paths in prop::collection::btree_map(prop::collection::vec(1u8.., 1..20), any::<u64>(), 0..5)) {
            let records = paths.into_iter().map(|(path, inode)| {
                (path, Record { origin: if inode % 2 == 0 { Origin::Created } else { Origin::Found }, stamp: stamp(inode) })
            });
            let validators = Validators { etag: Some("\"a b\"".into()), last_modified: None };
            let manifest = Manifest { source: "http://s/x?y".into(), validators, records: records.collect() };
            prop_assert_eq!(Manifest::parse(&manifest.text()), Some(manifest));
        }

        #[test]
        fn any_text_is_read(text in any::<String>()) {
            let _ = Manifest::parse(&format!("{FIRST_LINE}\n{text}"));
        }
    }

    #[test]
    fn a_manifest_that_is_damaged_counts_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manifest");
        assert_eq!(Manifest::load(&path), Manifest::default());
        let mut manifest = Manifest::default();
        manifest.records.insert(b"etc/x".to_vec(), Record { origin: Origin::Created, stamp: stamp(7) });
        manifest.store(&path).unwrap();
        assert_eq!(Manifest::load(&path), manifest);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.get(..text.len() - 20).unwrap()).unwrap();
        assert_eq!(Manifest::load(&path), Manifest::default());
    }

    #[test]
    fn of_a_folder_only_what_it_is_and_whose_counts() {
        let folder = Stamp { mode: 0o040755, ..stamp(1) };
        assert!(folder.same(&Stamp { changed: 9, modified: 9, inode: 9, ..folder }));
        assert!(!folder.same(&Stamp { uid: 9, ..folder }));
        assert!(!stamp(1).same(&Stamp { changed: 9, ..stamp(1) }));
    }
}
