//! What an initramfs file is made of: archives and packed archives, one after another, as a kernel reads them.
//!
//! A kernel takes archives with zeros between them, and unpacks what is packed on the way (`init/initramfs.c`; Linux
//! `buffer-format.rst`). Unpacking is the caller's: some of it is done by programs.

use archive::newc::{Members, ReadError};
use thiserror::Error;

/// How a part is packed, told by its first bytes (Linux `lib/decompress.c`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    Plain,
    Gzip,
    Zstd,
    Xz,
    Bzip2,
    Lzma,
    Lzo,
    Lz4,
}

impl Packing {
    /// By the first bytes; none when a kernel would not know them.
    pub fn of(bytes: &[u8]) -> Option<Packing> {
        Some(match bytes {
            [b'0', b'7', b'0', b'7', b'0', b'1' | b'2', ..] => Packing::Plain,
            [0x1f, 0x8b | 0x9e, ..] => Packing::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Packing::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Packing::Xz,
            [b'B', b'Z', b'h', ..] => Packing::Bzip2,
            [0x5d, 0, 0, ..] => Packing::Lzma,
            [0x89, b'L', b'Z', b'O', ..] => Packing::Lzo,
            [0x02, 0x21, 0x4c, 0x18, ..] => Packing::Lz4,
            _ => return None,
        })
    }
}

/// A part of the file, unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<'a> {
    /// Where it begins in the file.
    pub at: usize,
    pub packing: Packing,
    pub bytes: std::borrow::Cow<'a, [u8]>,
}

/// Why a file is no initramfs. Offsets are in the file.
#[derive(Debug, Error)]
pub enum PartError {
    #[error("offset {at}: neither an archive nor packed in a way that a kernel knows")]
    Unknown { at: usize },
    #[error("in the archive at offset {at}: {error}")]
    Archive { at: usize, error: ReadError },
    #[error("offset {at}: {packing:?}: {error}")]
    Unpack { at: usize, packing: Packing, error: std::io::Error },
}

/// The parts in their order. `unpack` gets the packed bytes to the end of the file, and answers what was in the first packed
/// stream of them and how many bytes that took.
///
/// # Errors
/// At the first part that is none.
pub fn parts<'a>(
    bytes: &'a [u8],
    mut unpack: impl FnMut(Packing, &[u8]) -> std::io::Result<(Vec<u8>, usize)>,
) -> Result<Vec<Part<'a>>, PartError> {
    let mut found = Vec::new();
    let mut at = zeros(bytes, 0);
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let packing = Packing::of(rest).ok_or(PartError::Unknown { at })?;
        let length = if packing == Packing::Plain {
            let mut members = Members::new(rest);
            let broken = members.by_ref().find_map(Result::err);
            if let Some(error) = broken {
                return Err(PartError::Archive { at, error });
            }
            let length = members.offset();
            let bytes = rest.get(..length).unwrap_or(rest).into();
            found.push(Part { at, packing, bytes });
            length
        } else {
            let (bytes, length) = unpack(packing, rest).map_err(|error| PartError::Unpack { at, packing, error })?;
            found.push(Part { at, packing, bytes: bytes.into() });
            length
        };
        // An unpacker that took nothing would be asked for ever.
        at = zeros(bytes, at.saturating_add(length.max(1)));
    }
    Ok(found)
}

/// The first byte from here that is not zero.
fn zeros(bytes: &[u8], at: usize) -> usize {
    at + bytes.get(at..).unwrap_or_default().iter().take_while(|byte| **byte == 0).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use archive::{Entry, Kind, newc};

    fn archive(path: &str) -> Vec<u8> {
        let kind = Kind::File(path.as_bytes().into());
        newc::write(&[Entry {
            path: path.into(),
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: 0,
            kind,
            xattrs: Default::default(),
        }])
        .unwrap()
    }

    /// "Packed" here: gzip's magic, a length, the bytes.
    fn packed(bytes: &[u8]) -> Vec<u8> {
        [&[0x1f, 0x8b, u8::try_from(bytes.len() / 4).unwrap()], bytes].concat()
    }

    fn unpack(packing: Packing, bytes: &[u8]) -> std::io::Result<(Vec<u8>, usize)> {
        assert_eq!(packing, Packing::Gzip);
        let length = usize::from(bytes[2]) * 4;
        let inner = bytes.get(3..3 + length).ok_or(std::io::ErrorKind::UnexpectedEof)?;
        Ok((inner.to_vec(), length + 3))
    }

    #[test]
    fn plain_and_packed_parts_follow_one_another_with_zeros_between() {
        let (early, main, late) = (archive("early"), archive("main"), archive("late"));
        let file = [early.clone(), vec![0; 512], packed(&main), packed(&late), vec![0; 3]].concat();
        let found = parts(&file, unpack).unwrap();
        let seen: Vec<_> = found.iter().map(|part| (part.at, part.packing, part.bytes.to_vec())).collect();
        let at = early.len() + 512;
        let wanted =
            [(0, Packing::Plain, early), (at, Packing::Gzip, main.clone()), (at + main.len() + 3, Packing::Gzip, late)];
        assert_eq!(seen, wanted);
        assert_eq!(parts(b"", unpack).unwrap(), []);
    }

    #[test]
    fn what_is_none_is_refused_with_its_place() {
        let file = [archive("a"), b"rubbish".to_vec()].concat();
        let said = |file: &[u8]| parts(file, unpack).unwrap_err().to_string();
        let at = archive("a").len();
        assert_eq!(said(&file), format!("offset {at}: neither an archive nor packed in a way that a kernel knows"));
        assert!(
            said(&file[..40])
                .starts_with("in the archive at offset 0: offset 0: the archive ends in the middle of a member")
        );
        assert_eq!(said(&[0x1f, 0x8b, 9, 1]), "offset 0: Gzip: unexpected end of file");
    }
}
