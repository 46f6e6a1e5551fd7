//! A whole tree in memory as one archive, or as members that somebody else puts together.

use std::collections::BTreeMap;
use std::sync::Arc;

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
    let mut order: Vec<&Entry> = entries.iter().collect();
    order.sort_by(|a, b| a.path.cmp(&b.path));
    let mut bytes = Vec::with_capacity(entries.iter().map(room).sum());
    for member in lay(&order)? {
        bytes.extend(member.head.encode()?);
        bytes.extend_from_slice(member.body.bytes());
        bytes.extend_from_slice(padding(member.body.bytes().len() as u64));
    }
    bytes.extend(trailer());
    Ok(bytes)
}

/// A member of an archive before it is bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Laid<'a> {
    pub head: Head<'a>,
    pub body: Body<'a>,
}

/// What follows a member's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    None,
    File(&'a Arc<[u8]>),
    /// Of a symbolic link.
    Target(&'a [u8]),
}

impl<'a> Body<'a> {
    pub fn bytes(self) -> &'a [u8] {
        match self {
            Body::None => &[],
            Body::File(content) => content,
            Body::Target(target) => target,
        }
    }
}

/// The entries as members, in the order in which they are given; the rules are those of [`write()`], but that the first
/// name in this order has the body of a hard-linked file. Inode numbers do not depend on the order.
///
/// # Errors
/// A path that comes twice, a hard link whose file is missing, a link without a target, more files than there are numbers.
pub fn lay<'a>(order: &[&'a Entry]) -> Result<Vec<Laid<'a>>, WriteError> {
    let mut sorted: BTreeMap<&[u8], &Entry> = BTreeMap::new();
    for entry in order {
        if sorted.insert(&entry.path, entry).is_some() {
            return Err(WriteError::Double { path: entry.path.clone() });
        }
    }
    let mut numbers = Numbers::default();
    let mut groups: BTreeMap<&[u8], Group> = BTreeMap::new();
    for (path, entry) in &sorted {
        let group = groups.entry(&file_behind(&sorted, entry)?.path).or_default();
        group.names += 1;
        if group.ino == 0 {
            group.ino = numbers.of(path)?;
        }
    }
    let member = |entry: &&'a Entry| {
        let file = file_behind(&sorted, entry)?;
        if let Kind::Symlink(target) = &file.kind
            && (target.is_empty() || target.contains(&0))
        {
            return Err(WriteError::BadTarget { path: entry.path.clone() });
        }
        let group = groups.entry(&file.path).or_default();
        let first = !std::mem::replace(&mut group.written, true);
        let body = match &file.kind {
            Kind::File(content) if first => Body::File(content),
            Kind::Symlink(target) => Body::Target(target),
            _ => Body::None,
        };
        let head = Head {
            path: &entry.path,
            mode: file.mode,
            uid: file.uid,
            gid: file.gid,
            mtime: file.mtime,
            ino: group.ino,
            nlink: group.names,
            kind: kind(&file.kind, body.bytes().len() as u64),
        };
        Ok(Laid { head, body })
    };
    order.iter().map(member).collect()
}

#[derive(Default)]
struct Group {
    names: u32,
    /// 0: no number yet.
    ino: u32,
    /// One of the names has the body.
    written: bool,
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
