//! Packing archives that share large files: what is the same is deflated once and spliced in.
//!
//! The agent is some megabytes in every node's system overlay, and a hosts file of ten thousand nodes is the same for all
//! of them. An archive is cut at such bodies; each piece ends in a full flush, so pieces deflated apart are one stream
//! and one gzip member.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use archive::newc::Members;
use archive::{Entry, Kind};

use crate::image::pack::{self, Piece, Sum};

/// From here on a body is worth a piece of its own, in bytes.
const LARGE: usize = 16 << 10;
/// How many pieces are kept.
const KEPT: usize = 64;

/// Pieces of large bodies, by where the body lies in memory. The body is kept with its piece, so that no other one can
/// come to lie there.
#[derive(Debug, Default)]
pub struct Pieces(Mutex<HashMap<(usize, usize), Kept>>);

/// A body and its piece.
type Kept = (Arc<[u8]>, Arc<Piece>);

impl Pieces {
    /// `archive`, which holds `entries`, as one gzip member.
    ///
    /// # Errors
    /// When the packer fails, which no input makes it do.
    pub fn gzip(&self, archive: &[u8], entries: &[Entry]) -> io::Result<Vec<u8>> {
        let large: HashMap<&[u8], &Arc<[u8]>> = entries
            .iter()
            .filter_map(|entry| match &entry.kind {
                Kind::File(content) if content.len() >= LARGE => Some((entry.path.as_slice(), content)),
                _ => None,
            })
            .collect();
        let mut packed = pack::HEADER.to_vec();
        let mut sum = Sum::default();
        let mut add = |piece: &Piece| {
            packed.extend_from_slice(&piece.packed);
            sum.add(piece.crc, piece.length);
        };
        let mut done = 0;
        for member in Members::new(archive) {
            let Ok(member) = member else { break };
            let Some(content) = large.get(member.name) else { continue };
            // A body of hard links stands at one of their names only.
            if member.body.len() != content.len() {
                continue;
            }
            let start = member.body.as_ptr().addr() - archive.as_ptr().addr();
            if let Some(before) = archive.get(done..start).filter(|before| !before.is_empty()) {
                add(&pack::deflate(before)?);
            }
            add(&*self.piece(content)?);
            done = start + content.len();
        }
        if let Some(rest) = archive.get(done..).filter(|rest| !rest.is_empty()) {
            add(&pack::deflate(rest)?);
        }
        packed.extend(sum.ending());
        Ok(packed)
    }

    fn piece(&self, content: &Arc<[u8]>) -> io::Result<Arc<Piece>> {
        let place = (content.as_ptr().addr(), content.len());
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, piece)) = lock().get(&place) {
            return Ok(Arc::clone(piece));
        }
        let piece = Arc::new(pack::deflate(content)?);
        let mut kept = lock();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(place, (Arc::clone(content), Arc::clone(&piece)));
        Ok(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::io::Read;

    fn file(path: &str, content: Arc<[u8]>) -> Entry {
        let kind = Kind::File(content);
        Entry { path: path.into(), mode: 0o644, uid: 0, gid: 0, mtime: 0, kind, xattrs: BTreeMap::new() }
    }

    #[test]
    fn spliced_archives_unpack_to_what_they_were_and_are_the_same_each_time() {
        let agent: Arc<[u8]> = (0..200_000u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let pieces = Pieces::default();
        for node in ["n1", "n2"] {
            let small: Arc<[u8]> = node.as_bytes().into();
            let mut entries = vec![
                file("a", Arc::clone(&small)),
                file("agent", Arc::clone(&agent)),
                file("agent2", Arc::clone(&agent)),
                file("z", small),
            ];
            entries.push(Entry { kind: Kind::HardLink(b"agent".to_vec()), ..file("other", Arc::clone(&agent)) });
            let archive = archive::newc::write(&entries).unwrap();
            let packed = pieces.gzip(&archive, &entries).unwrap();
            let mut back = Vec::new();
            flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut back).unwrap();
            assert_eq!(back, archive);
            assert_eq!(Pieces::default().gzip(&archive, &entries).unwrap(), packed);
        }
        assert_eq!(pieces.0.lock().unwrap().len(), 1);
    }

    #[test]
    fn an_empty_archive_is_packed_too() {
        let archive = archive::newc::write(&[]).unwrap();
        let packed = Pieces::default().gzip(&archive, &[]).unwrap();
        let mut back = Vec::new();
        flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut back).unwrap();
        assert_eq!(back, archive);
    }
}
