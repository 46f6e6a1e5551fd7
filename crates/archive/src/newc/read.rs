//! Archives back into entries. Total: any bytes give entries or an error, never a panic.

use std::collections::HashMap;
use std::sync::Arc;

use thiserror::Error;

use super::head::{padding, shown};
use super::{HEADER, PATH_MAX, TRAILER};
use crate::{Entry, Kind};

/// Why bytes are no newc archive. `at` is the offset of the member's header.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReadError {
    #[error("offset {at}: no newc header (070701 or 070702) here")]
    NoHeader { at: usize },
    #[error("offset {at}: the header's number {field} is not hex")]
    NotHex { at: usize, field: usize },
    #[error("offset {at}: the archive ends in the middle of a member, {missing} bytes are missing; it was cut off")]
    CutOff { at: usize, missing: usize },
    #[error("offset {at}: the archive ends without its last member, TRAILER!!!; it was cut off")]
    NoTrailer { at: usize },
    #[error("offset {at}: a name of {size} bytes; 1 to {PATH_MAX} are possible, the NUL counted")]
    NameSize { at: usize, size: usize },
    #[error("offset {at}: the name does not end in a NUL, or has one inside")]
    NameNul { at: usize },
    #[error("offset {at}: {:?} leads out of the root", shown(path))]
    Escapes { at: usize, path: Vec<u8> },
    #[error("offset {at}: {}: mode {mode:o} is no kind of file", shown(path))]
    UnknownKind { at: usize, path: Vec<u8>, mode: u32 },
    #[error("offset {at}: {}: the checksum does not fit the body", shown(path))]
    Checksum { at: usize, path: Vec<u8> },
}

/// A member as it lies in the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// Offset of the header.
    pub at: usize,
    /// The name as written, without the NUL.
    pub name: &'a [u8],
    /// With the kind in the upper bits, as in `st_mode`.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: u32,
    pub nlink: u32,
    pub ino: u32,
    /// Major and minor number of the device that the file lay on.
    pub device: (u32, u32),
    /// Major and minor number of the device that the member is.
    pub rdevice: (u32, u32),
    pub body: &'a [u8],
}

/// The members of one archive, up to its trailer.
#[derive(Clone, Debug)]
pub struct Members<'a> {
    bytes: &'a [u8],
    at: usize,
    done: bool,
}

impl<'a> Members<'a> {
    /// Of the archive that begins with the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Members { bytes, at: 0, done: false }
    }

    /// The offset after what was read so far; after the last member, that of the first byte behind the archive.
    pub fn offset(&self) -> usize {
        self.at
    }

    fn step(&mut self) -> Result<Option<Member<'a>>, ReadError> {
        let at = self.at;
        let rest = self.bytes.get(at..).unwrap_or_default();
        if rest.is_empty() {
            return Err(ReadError::NoTrailer { at });
        }
        let Some(magic) = rest.get(..6) else { return Err(cut_off(at, 6, rest)) };
        let checked = match magic {
            b"070701" => false,
            b"070702" => true,
            _ => return Err(ReadError::NoHeader { at }),
        };
        let Some(header) = rest.get(..HEADER) else { return Err(cut_off(at, HEADER, rest)) };
        let mut fields = [0_u32; 13];
        for (field, (value, digits)) in fields.iter_mut().zip(header.get(6..).unwrap_or_default().chunks(8)).enumerate()
        {
            *value = hex(digits).ok_or(ReadError::NotHex { at, field })?;
        }
        let [ino, mode, uid, gid, nlink, mtime, size, major, minor, rmajor, rminor, name_size, sum] = fields;
        let (size, name_size) = (size as usize, name_size as usize);
        if name_size == 0 || name_size > PATH_MAX {
            return Err(ReadError::NameSize { at, size: name_size });
        }
        let name_end = HEADER + name_size;
        let body_at = name_end + padding(name_end as u64).len();
        let name = rest.get(HEADER..name_end).ok_or_else(|| cut_off(at, name_end, rest))?;
        let Some((0, name)) = name.split_last() else { return Err(ReadError::NameNul { at }) };
        if name.contains(&0) {
            return Err(ReadError::NameNul { at });
        }
        if name == TRAILER {
            // What a writer left out after the last name is no loss.
            self.at = self.bytes.len().min(at + body_at);
            return Ok(None);
        }
        let body_end = body_at.saturating_add(size);
        let body = rest.get(body_at..body_end).ok_or_else(|| cut_off(at, body_end, rest))?;
        if checked && body.iter().fold(0_u32, |sum, byte| sum.wrapping_add(u32::from(*byte))) != sum {
            return Err(ReadError::Checksum { at, path: name.to_vec() });
        }
        self.at = at + body_end + padding(body_end as u64).len();
        Ok(Some(Member {
            at,
            name,
            mode,
            uid,
            gid,
            mtime,
            nlink,
            ino,
            device: (major, minor),
            rdevice: (rmajor, rminor),
            body,
        }))
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Result<Member<'a>, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let step = self.step().transpose();
        self.done = !matches!(step, Some(Ok(_)));
        step
    }
}

/// The entries of all archives that lie in these bytes one after another, with zeros between them, in their order.
///
/// A name that comes again is there again: what a later archive says goes over what an earlier one said.
///
/// # Errors
/// When the bytes are no archive; also when something else (a compressed member) follows one.
pub fn read(bytes: &[u8]) -> Result<Vec<Entry>, ReadError> {
    let mut all = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let (entries, length) = read_one(bytes.get(at..).unwrap_or_default()).map_err(|error| error.moved(at))?;
        all.extend(entries);
        at += length;
        at += bytes.get(at..).unwrap_or_default().iter().take_while(|byte| **byte == 0).count();
    }
    Ok(all)
}

/// The entries of the archive that begins with the first byte, and its length with the trailer.
///
/// # Errors
/// When the bytes are no archive.
pub fn read_one(bytes: &[u8]) -> Result<(Vec<Entry>, usize), ReadError> {
    let mut members = Members::new(bytes);
    let entries = entries(&mut members)?;
    Ok((entries, members.offset()))
}

/// Members as entries: hard links found, `./` and slashes at the ends of names taken away, the root itself left out.
///
/// The first name of a hard-linked file is the file, the others are links to it; the body may come with any of them (GNU
/// cpio writes it with the last).
///
/// # Errors
/// What the members say, and names that lead out of the root.
pub fn entries<'a>(members: impl Iterator<Item = Result<Member<'a>, ReadError>>) -> Result<Vec<Entry>, ReadError> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut linked: HashMap<(u32, (u32, u32)), usize> = HashMap::new();
    for member in members {
        let member = member?;
        let Some(path) = clean(&member)? else { continue };
        let regular = member.mode & 0o170_000 == 0o100_000;
        if regular && member.nlink > 1 {
            let index = *linked.entry((member.ino, member.device)).or_insert(entries.len());
            if let Some(first) = entries.get_mut(index) {
                if !member.body.is_empty() {
                    first.kind = Kind::File(Arc::from(member.body));
                }
                if first.path != path {
                    let link = Entry { path, kind: Kind::HardLink(first.path.clone()), ..first.clone() };
                    entries.push(link);
                }
                continue;
            }
        }
        let kind = kind(&member, &path)?;
        entries.push(Entry {
            path,
            mode: member.mode & 0o7777,
            uid: member.uid,
            gid: member.gid,
            mtime: u64::from(member.mtime),
            kind,
            xattrs: Default::default(),
        });
    }
    Ok(entries)
}

fn kind(member: &Member<'_>, path: &[u8]) -> Result<Kind, ReadError> {
    let (major, minor) = member.rdevice;
    Ok(match member.mode & 0o170_000 {
        0o100_000 => Kind::File(Arc::from(member.body)),
        0o040_000 => Kind::Directory,
        0o120_000 => Kind::Symlink(member.body.to_vec()),
        0o010_000 => Kind::Fifo,
        0o140_000 => Kind::Socket,
        0o020_000 => Kind::CharDevice { major, minor },
        0o060_000 => Kind::BlockDevice { major, minor },
        _ => return Err(ReadError::UnknownKind { at: member.at, path: path.to_vec(), mode: member.mode }),
    })
}

/// The path from the root; none for the root itself.
fn clean(member: &Member<'_>) -> Result<Option<Vec<u8>>, ReadError> {
    let parts: Vec<&[u8]> =
        member.name.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b".")).collect();
    if parts.contains(&b"..".as_slice()) {
        return Err(ReadError::Escapes { at: member.at, path: member.name.to_vec() });
    }
    Ok((!parts.is_empty()).then(|| parts.join(&b'/')))
}

impl ReadError {
    /// The same error, of bytes that begin this much later.
    fn moved(mut self, by: usize) -> Self {
        match &mut self {
            ReadError::NoHeader { at }
            | ReadError::NotHex { at, .. }
            | ReadError::CutOff { at, .. }
            | ReadError::NoTrailer { at }
            | ReadError::NameSize { at, .. }
            | ReadError::NameNul { at }
            | ReadError::Escapes { at, .. }
            | ReadError::UnknownKind { at, .. }
            | ReadError::Checksum { at, .. } => *at += by,
        }
        self
    }
}

fn cut_off(at: usize, wanted: usize, rest: &[u8]) -> ReadError {
    ReadError::CutOff { at, missing: wanted.saturating_sub(rest.len()) }
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0_u32, |number, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(number << 4 | digit)
    })
}
