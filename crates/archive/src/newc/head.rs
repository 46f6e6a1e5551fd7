//! The bytes of one member around its body, and the inode numbers that members get.

use std::collections::HashSet;

use thiserror::Error;

use super::{HEADER, NAME_MAX, PATH_MAX, TRAILER};

/// What a member is; `newc` keeps it in the mode's upper bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadKind {
    /// A file whose body of this many bytes follows. A later name of a hard-linked file has none.
    File {
        size: u64,
    },
    Directory,
    /// The target, of this many bytes, follows as body.
    Symlink {
        size: u64,
    },
    Fifo,
    Socket,
    CharDevice {
        major: u32,
        minor: u32,
    },
    BlockDevice {
        major: u32,
        minor: u32,
    },
}

/// A member without its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// From the root, without a leading slash.
    pub path: &'a [u8],
    /// Permission bits, `0o7777`.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds since 1970; what lies after 2106 is written as the last second that newc can say.
    pub mtime: u64,
    pub ino: u32,
    /// Names of this file in the archive; a kernel looks for other names of an inode only from 2 on.
    pub nlink: u32,
    pub kind: HeadKind,
}

/// Why a tree cannot be written as newc.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WriteError {
    #[error(
        "{}: the file has {size} bytes, and newc cannot hold 4 GiB or more; exclude it or store it compressed",
        shown(path)
    )]
    TooLarge { path: Vec<u8>, size: u64 },
    #[error("{}...: the name has {} bytes, and a kernel passes over names longer than {}", shown(path.get(..60).unwrap_or(path)), path.len(), PATH_MAX - 1)]
    NameTooLong { path: Vec<u8> },
    #[error("{}...: a part of the name has {size} bytes, and no file system holds more than {NAME_MAX}", shown(path.get(..60).unwrap_or(path)))]
    PartTooLong { path: Vec<u8>, size: usize },
    #[error("{}: the link's target is empty or has a NUL in it, and a kernel makes no such link", shown(path))]
    BadTarget { path: Vec<u8> },
    #[error("{}: the link's target has {size} bytes, and a kernel passes over targets longer than {}", shown(path), PATH_MAX - 1)]
    TargetTooLong { path: Vec<u8>, size: u64 },
    #[error("{:?}: not a path below a root: empty, absolute, with an empty part, `.`, `..` or a NUL", shown(path))]
    BadPath { path: Vec<u8> },
    #[error("TRAILER!!!: a file of this name at the root would end the archive; rename or exclude it")]
    NamedTrailer,
    #[error("{}: twice in one tree", shown(path))]
    Double { path: Vec<u8> },
    #[error("{}: a hard link to {}, which is no file of this tree", shown(path), shown(target))]
    LinkToNothing { path: Vec<u8>, target: Vec<u8> },
    #[error("more files than newc has inode numbers")]
    TooMany,
}

impl Head<'_> {
    /// The header, the name and the padding after it; the body comes next, then [`padding`] of its size.
    ///
    /// # Errors
    /// What newc cannot say, or a kernel would pass over in silence.
    pub fn encode(&self) -> Result<Vec<u8>, WriteError> {
        check_path(self.path)?;
        let (format, size, device) = match self.kind {
            HeadKind::File { size } => (0o100_000, size, (0, 0)),
            HeadKind::Directory => (0o040_000, 0, (0, 0)),
            HeadKind::Symlink { size } => (0o120_000, size, (0, 0)),
            HeadKind::Fifo => (0o010_000, 0, (0, 0)),
            HeadKind::Socket => (0o140_000, 0, (0, 0)),
            HeadKind::CharDevice { major, minor } => (0o020_000, 0, (major, minor)),
            HeadKind::BlockDevice { major, minor } => (0o060_000, 0, (major, minor)),
        };
        if matches!(self.kind, HeadKind::Symlink { .. }) && size >= PATH_MAX as u64 {
            return Err(WriteError::TargetTooLong { path: self.path.to_vec(), size });
        }
        let Ok(size) = u32::try_from(size) else {
            return Err(WriteError::TooLarge { path: self.path.to_vec(), size });
        };
        let mtime = u32::try_from(self.mtime).unwrap_or(u32::MAX);
        let mode = format | self.mode & 0o7777;
        Ok(encode(self.path, [self.ino, mode, self.uid, self.gid, self.nlink, mtime, size, 0, 0, device.0, device.1]))
    }
}

/// The member that ends an archive; its length is a multiple of 4, so another archive may follow at once.
pub fn trailer() -> Vec<u8> {
    encode(TRAILER, [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0])
}

/// The zeros after a body of this many bytes.
pub fn padding(size: u64) -> &'static [u8] {
    match size % 4 {
        1 => &[0; 3],
        2 => &[0; 2],
        3 => &[0; 1],
        _ => &[],
    }
}

/// Inode numbers of our own: the sources' have 64 bits, and cut to 32 two files can become one.
///
/// A number follows from the path, so that one file more does not change the headers of all the others.
#[derive(Debug, Default)]
pub struct Numbers {
    taken: HashSet<u32>,
}

impl Numbers {
    /// A number that no other path has, never 0. Paths come in sorted order, each once, for the answer to be the same again.
    ///
    /// # Errors
    /// When all numbers are taken.
    pub fn of(&mut self, path: &[u8]) -> Result<u32, WriteError> {
        // FNV-1a, 32 bits.
        let mut number =
            path.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
        if self.taken.len() >= u32::MAX as usize {
            return Err(WriteError::TooMany);
        }
        while number == 0 || !self.taken.insert(number) {
            number = number.wrapping_add(1);
        }
        Ok(number)
    }
}

/// `fields`: ino mode uid gid nlink mtime size devmajor devminor rdevmajor rdevminor.
fn encode(path: &[u8], fields: [u32; 11]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + path.len() + 4);
    bytes.extend_from_slice(b"070701");
    for field in fields {
        hex(&mut bytes, field);
    }
    // Bounded by PATH_MAX in every caller.
    hex(&mut bytes, u32::try_from(path.len() + 1).unwrap_or(u32::MAX));
    // The checksum is used by 070702 only.
    hex(&mut bytes, 0);
    bytes.extend_from_slice(path);
    bytes.push(0);
    bytes.extend_from_slice(padding(bytes.len() as u64));
    bytes
}

fn hex(bytes: &mut Vec<u8>, number: u32) {
    let mut digits = number.to_be_bytes().map(|byte| [byte >> 4, byte & 15]);
    for digit in digits.as_flattened_mut() {
        *digit += if *digit < 10 { b'0' } else { b'A' - 10 };
    }
    bytes.extend_from_slice(digits.as_flattened());
}

fn check_path(path: &[u8]) -> Result<(), WriteError> {
    if path.len() >= PATH_MAX {
        return Err(WriteError::NameTooLong { path: path.to_vec() });
    }
    if path == TRAILER {
        return Err(WriteError::NamedTrailer);
    }
    if path.contains(&0) || path.split(|byte| *byte == b'/').any(|part| matches!(part, b"" | b"." | b"..")) {
        return Err(WriteError::BadPath { path: path.to_vec() });
    }
    if let Some(part) = path.split(|byte| *byte == b'/').find(|part| part.len() > NAME_MAX) {
        return Err(WriteError::PartTooLong { path: path.to_vec(), size: part.len() });
    }
    Ok(())
}

pub(super) fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).escape_debug().to_string()
}
