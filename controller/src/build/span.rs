//! Bytes that wait to be sent: in memory, or a part of an open file, which sendfile(2) takes from there.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Some bytes. Clones are the same bytes.
#[derive(Clone, Debug)]
pub enum Span {
    Memory { bytes: Arc<[u8]>, at: usize, length: usize },
    File { file: Arc<File>, at: u64, length: u64 },
}

impl From<Vec<u8>> for Span {
    fn from(bytes: Vec<u8>) -> Span {
        Span::Memory { length: bytes.len(), at: 0, bytes: bytes.into() }
    }
}

impl Span {
    pub fn length(&self) -> u64 {
        match self {
            Span::Memory { length, .. } => *length as u64,
            Span::File { length, .. } => *length,
        }
    }

    /// `length` bytes from `skip` on, or as many as there are.
    #[must_use]
    pub fn part(&self, skip: u64, length: u64) -> Span {
        let skip = skip.min(self.length());
        let length = length.min(self.length() - skip);
        match self {
            Span::Memory { bytes, at, .. } => {
                // Both are at most the length of what is in memory.
                let [skip, length] = [skip, length].map(|number| usize::try_from(number).unwrap_or(0));
                Span::Memory { bytes: Arc::clone(bytes), at: at + skip, length }
            }
            Span::File { file, at, .. } => Span::File { file: Arc::clone(file), at: at + skip, length },
        }
    }

    /// Puts the bytes behind those that are there.
    ///
    /// # Errors
    /// Those of reading a file.
    pub fn read(&self, into: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Span::Memory { bytes, .. } => into.extend_from_slice(bytes.get(self.memory()).unwrap_or_default()),
            Span::File { file, at, length } => {
                let begin = into.len();
                into.resize(begin + usize::try_from(*length).map_err(io::Error::other)?, 0);
                file.read_exact_at(into.get_mut(begin..).unwrap_or_default(), *at)?;
            }
        }
        Ok(())
    }

    /// Which of the bytes in memory are meant; none of a file.
    pub fn memory(&self) -> Range<usize> {
        match self {
            Span::Memory { at, length, .. } => *at..at + length,
            Span::File { .. } => 0..0,
        }
    }
}
