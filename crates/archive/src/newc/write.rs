//! A whole tree in memory as one archive.

use std::collections::BTreeMap;

use super::head::{Head, HeadKind, Numbers, WriteError, padding, trailer};
use crate::{Entry, Kind};

/// The entries as one newc archive, sorted by path, whatever order they come in.
///
/// All names of a hard-linked file carry the file's own mode, owner and time, and the first name in sorted order its body
/// (a kernel sets mode and owner again at each name, so they must agree). Extended attributes are left out: newc has no
/// place for them. Folders that hold the entries are not added: what lies below may bring them.
///
/// # Errors
/// What newc cannot say, a path that comes twice, a hard link whose file is missing.
pub fn write(entries: &[Entry]) -> Result<Vec<u8>, WriteError> {
    let mut sorted: BTreeMap<&[u8], &Entry> = BTreeMap::new();
    for entry in entries {
        if sorted.insert(&entry.path, entry).is_some() {
            return Err(WriteError::Double { path: entry.path.clone() });
        }
    }
    let mut groups: BTreeMap<&[u8], Group> = BTreeMap::new();
    for entry in sorted.values() {
        groups.entry(&file_behind(&sorted, entry)?.path).or_default().names += 1;
    }
    let mut numbers = Numbers::default();
    let mut bytes = Vec::with_capacity(entries.iter().map(room).sum());
    for (path, entry) in &sorted {
        let file = file_behind(&sorted, entry)?;
        let group = groups.entry(&file.path).or_default();
        let first = group.ino == 0;
        if first {
            group.ino = numbers.of(path)?;
        }
        let body: &[u8] = match &file.kind {
            Kind::File(body) if first => body,
            Kind::Symlink(target) => target,
            _ => &[],
        };
        let head = Head {
            path,
            mode: file.mode,
            uid: file.uid,
            gid: file.gid,
            mtime: file.mtime,
            ino: group.ino,
            nlink: group.names,
            kind: kind(&file.kind, body.len() as u64),
        };
        bytes.extend(head.encode()?);
        bytes.extend_from_slice(body);
        bytes.extend_from_slice(padding(body.len() as u64));
    }
    bytes.extend(trailer());
    Ok(bytes)
}

#[derive(Default)]
struct Group {
    names: u32,
    /// 0: no name of it was written yet.
    ino: u32,
}

/// The entry itself, or the file that a hard link is another name of.
fn file_behind<'a>(tree: &BTreeMap<&[u8], &'a Entry>, entry: &'a Entry) -> Result<&'a Entry, WriteError> {
    let mut at = entry;
    // A chain that is longer than the tree runs in a circle.
    for _ in 0..=tree.len() {
        let Kind::HardLink(target) = &at.kind else {
            return match at.kind {
                Kind::File(_) => Ok(at),
                _ if std::ptr::eq(at, entry) => Ok(at),
                _ => Err(to_nothing(entry)),
            };
        };
        at = tree.get(target.as_slice()).ok_or_else(|| to_nothing(entry))?;
    }
    Err(to_nothing(entry))
}

fn to_nothing(entry: &Entry) -> WriteError {
    let target = if let Kind::HardLink(target) = &entry.kind { target.clone() } else { Vec::new() };
    WriteError::LinkToNothing { path: entry.path.clone(), target }
}

fn kind(kind: &Kind, size: u64) -> HeadKind {
    match *kind {
        Kind::File(_) | Kind::HardLink(_) => HeadKind::File { size },
        Kind::Directory => HeadKind::Directory,
        Kind::Symlink(_) => HeadKind::Symlink { size },
        Kind::Fifo => HeadKind::Fifo,
        Kind::Socket => HeadKind::Socket,
        Kind::CharDevice { major, minor } => HeadKind::CharDevice { major, minor },
        Kind::BlockDevice { major, minor } => HeadKind::BlockDevice { major, minor },
    }
}

fn room(entry: &Entry) -> usize {
    let body = match &entry.kind {
        Kind::File(body) => body.len(),
        Kind::Symlink(target) => target.len(),
        _ => 0,
    };
    super::HEADER + entry.path.len() + body + 8
}
