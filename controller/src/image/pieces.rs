//! An archive cut into pieces, each known by a key before a byte of it is read.
//!
//! A piece is about a MiB of archive: many small members, or a part of a large one. Where it is cut follows from the members
//! around the cut only, so that one changed file moves few cuts. The key covers the headers and the stamps of the files: same
//! key, same bytes, as long as the kernel keeps ctime.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use archive::newc::{Head, HeadKind, Numbers, WriteError, padding, trailer};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::pack::PIECE;
use super::tree::{Item, ItemKind, Stamp, Tree};

/// Below this no piece ends by chance.
const LEAST: u64 = PIECE as u64 / 4;
/// Behind one member in so many a piece ends by chance.
const CHANCE: u32 = 32;

/// What a piece is made of, and how it is known.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    pub key: [u8; 32],
    /// In bytes of the archive.
    pub length: u64,
    /// The latest ctime of a file in it: what is as young as the walk itself may change again without being seen.
    pub youngest: (i64, i64),
    spans: Vec<Span>,
}

#[derive(Debug, PartialEq, Eq)]
enum Span {
    Bytes(Vec<u8>),
    Body { item: usize, from: u64, length: u64 },
}

/// The pieces of the archive of a tree, one after another.
#[derive(Debug)]
pub struct Cutter<'t> {
    tree: &'t Tree,
    inodes: Vec<u32>,
    next: usize,
    /// A large member that is cut: the item, how far its body is read, its size.
    inside: Option<(usize, u64, u64)>,
    ended: bool,
}

impl<'t> Cutter<'t> {
    /// # Errors
    /// When there are more files than inode numbers.
    pub fn new(tree: &'t Tree) -> Result<Self, WriteError> {
        let mut numbers = Numbers::default();
        let mut inodes = Vec::with_capacity(tree.items.len());
        for item in &tree.items {
            let known = match item.kind {
                ItemKind::File { first: Some(first), .. } => inodes.get(first).copied(),
                _ => None,
            };
            inodes.push(match known {
                Some(known) => known,
                None => numbers.of(&item.path)?,
            });
        }
        Ok(Cutter { tree, inodes, next: 0, inside: None, ended: false })
    }

    fn step(&mut self) -> Result<Option<Piece>, WriteError> {
        let mut making = Making::default();
        if let Some((item, from, size)) = self.inside.take() {
            self.body(&mut making, item, from, size);
            return Ok(Some(making.done()));
        }
        while let Some(item) = self.tree.items.get(self.next) {
            let inode = self.inodes.get(self.next).copied().unwrap_or_default();
            let (head, tail) = head(item, inode)?;
            let body = if tail.is_empty() { body_of(item) } else { 0 };
            let length = (head.len() + tail.len()) as u64 + body + padding(body).len() as u64;
            let index = self.next;
            if making.length + length > PIECE as u64 && making.length > 0 {
                break;
            }
            self.next += 1;
            making.bytes(&head);
            making.bytes(&tail);
            if body > 0 {
                making.stamp(&item.stamp);
            }
            if length > PIECE as u64 {
                self.body(&mut making, index, 0, body);
                return Ok(Some(making.done()));
            }
            making.body(index, 0, body);
            making.bytes(padding(body));
            if making.length >= LEAST && inode % CHANCE == 0 {
                return Ok(Some(making.done()));
            }
        }
        if self.next == self.tree.items.len() && !self.ended {
            making.bytes(&trailer());
            self.ended = true;
        }
        Ok((making.length > 0).then(|| making.done()))
    }

    /// As much of a large body as the piece has room for.
    fn body(&mut self, making: &mut Making, item: usize, from: u64, size: u64) {
        let length = (PIECE as u64).saturating_sub(making.length).min(size - from);
        if let Some(item) = self.tree.items.get(item) {
            making.stamp(&item.stamp);
        }
        making.body(item, from, length);
        if from + length < size {
            self.inside = Some((item, from + length, size));
        } else {
            making.bytes(padding(size));
        }
    }
}

impl Iterator for Cutter<'_> {
    type Item = Result<Piece, WriteError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

/// One key for the whole archive, and its length.
///
/// # Errors
/// What newc cannot say.
pub fn key_of(tree: &Tree) -> Result<([u8; 32], u64), WriteError> {
    let mut hash = Sha256::new();
    let mut length = 0;
    for piece in Cutter::new(tree)? {
        let piece = piece?;
        hash.update(piece.key);
        length += piece.length;
    }
    Ok((hash.finalize().into(), length))
}

#[derive(Default)]
struct Making {
    hash: Sha256,
    length: u64,
    youngest: (i64, i64),
    spans: Vec<Span>,
}

impl Making {
    fn bytes(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
        match self.spans.last_mut() {
            Some(Span::Bytes(before)) => before.extend_from_slice(bytes),
            _ => self.spans.push(Span::Bytes(bytes.to_vec())),
        }
    }

    fn body(&mut self, item: usize, from: u64, length: u64) {
        if length == 0 {
            return;
        }
        self.hash.update(from.to_le_bytes());
        self.hash.update(length.to_le_bytes());
        self.length += length;
        self.spans.push(Span::Body { item, from, length });
    }

    fn stamp(&mut self, stamp: &Stamp) {
        for number in [stamp.device, stamp.inode, stamp.size] {
            self.hash.update(number.to_le_bytes());
        }
        for number in [stamp.mtime.0, stamp.mtime.1, stamp.ctime.0, stamp.ctime.1] {
            self.hash.update(number.to_le_bytes());
        }
        self.youngest = self.youngest.max(stamp.ctime);
    }

    fn done(self) -> Piece {
        Piece { key: self.hash.finalize().into(), length: self.length, youngest: self.youngest, spans: self.spans }
    }
}

/// How many bytes of body an item brings along.
fn body_of(item: &Item) -> u64 {
    if let ItemKind::File { first: None, .. } = item.kind { item.stamp.size } else { 0 }
}

/// The header with the name; and a link's target, which is a body at hand.
fn head(item: &Item, ino: u32) -> Result<(Vec<u8>, Vec<u8>), WriteError> {
    let mut nlink = 1;
    let mut tail = Vec::new();
    let kind = match &item.kind {
        ItemKind::File { names, .. } => {
            nlink = *names;
            HeadKind::File { size: body_of(item) }
        }
        ItemKind::Directory => HeadKind::Directory,
        ItemKind::Symlink(target) => {
            tail = [target.as_slice(), padding(target.len() as u64)].concat();
            HeadKind::Symlink { size: target.len() as u64 }
        }
        ItemKind::Fifo => HeadKind::Fifo,
        ItemKind::Socket => HeadKind::Socket,
        ItemKind::CharDevice { major, minor } => HeadKind::CharDevice { major: *major, minor: *minor },
        ItemKind::BlockDevice { major, minor } => HeadKind::BlockDevice { major: *major, minor: *minor },
    };
    let mtime = u64::try_from(item.stamp.mtime.0).unwrap_or(0);
    let head = Head { path: &item.path, mode: item.mode, uid: item.uid, gid: item.gid, mtime, ino, nlink, kind };
    Ok((head.encode()?, tail))
}

/// Why a piece could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The image changed since the walk.
    #[error("{} changed while the image was read", .0.display())]
    Changed(PathBuf),
    #[error("{}: {error}", path.display())]
    Failed { path: PathBuf, error: io::Error },
}

/// Reads pieces in their order, and keeps a large file open from one to the next.
#[derive(Debug)]
pub struct Reader<'t> {
    root: &'t Path,
    tree: &'t Tree,
    open: HashMap<usize, File>,
}

impl<'t> Reader<'t> {
    pub fn new(root: &'t Path, tree: &'t Tree) -> Self {
        Reader { root, tree, open: HashMap::new() }
    }

    /// The bytes of a piece.
    ///
    /// # Errors
    /// When a file is no longer what the walk saw, before or after it was read, or cannot be read.
    pub fn read(&mut self, piece: &Piece) -> Result<Vec<u8>, ReadError> {
        let mut bytes = Vec::with_capacity(usize::try_from(piece.length).unwrap_or(PIECE));
        for span in &piece.spans {
            match span {
                Span::Bytes(at_hand) => bytes.extend_from_slice(at_hand),
                Span::Body { item, from, length } => {
                    let Some(seen) = self.tree.items.get(*item) else { continue };
                    let path = self.root.join(OsStr::from_bytes(&seen.path));
                    self.part(*item, seen, &path, (*from, *length), &mut bytes).map_err(|error| {
                        match error.kind() {
                            io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => ReadError::Changed(path.clone()),
                            // Became a link, a socket or a FIFO without reader.
                            _ if matches!(error.raw_os_error(), Some(libc::ELOOP | libc::ENXIO)) => {
                                ReadError::Changed(path.clone())
                            }
                            _ => ReadError::Failed { path: path.clone(), error },
                        }
                    })?;
                }
            }
        }
        Ok(bytes)
    }

    fn part(
        &mut self,
        index: usize,
        seen: &Item,
        path: &Path,
        part: (u64, u64),
        bytes: &mut Vec<u8>,
    ) -> io::Result<()> {
        let (from, length) = part;
        let same = |file: &File| Ok::<_, io::Error>(Stamp::of(&file.metadata()?) == seen.stamp);
        let mut file = match self.open.remove(&index) {
            Some(file) => file,
            None => {
                // A file that became a FIFO meanwhile must not hold the build up.
                let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
                let file = File::options().read(true).custom_flags(flags).open(path)?;
                if !same(&file)? {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                file
            }
        };
        file.seek(io::SeekFrom::Start(from))?;
        if (&mut file).take(length).read_to_end(bytes)? as u64 != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if from + length < seen.stamp.size {
            self.open.insert(index, file);
        } else if !same(&file)? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "pieces_tests.rs"]
mod tests;
