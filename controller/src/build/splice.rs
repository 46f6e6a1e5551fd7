//! Packing archives that share runs: what is the same is digested and deflated once and spliced in.
//!
//! The agent is some megabytes in every node's system overlay, and a hosts file of ten thousand nodes is the same for all
//! of them. Each run ends in a full flush, so runs deflated apart are one stream and one gzip member.

use std::collections::HashMap;
use std::io::{self, BufWriter, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use flate2::Crc;
use sha2::{Digest, Sha256};

use super::runs::Run;
use crate::image::pack::{self, LARGE, Packer, Sum};

/// How many runs are remembered, and how many bytes of memory their packed forms may take.
const KEPT: usize = 512;
const KEPT_BYTES: usize = 64 << 20;
/// So many bytes of small members are written at once.
const AT_ONCE: usize = 64 << 10;

/// Runs that were seen before, and packers that wait for work.
#[derive(Debug, Default)]
pub struct Splicer {
    known: Mutex<Known>,
    packers: Mutex<Vec<Packer>>,
    /// For what is one node's own.
    quick: Mutex<Vec<Packer>>,
    /// Shared runs that were deflated.
    deflated: AtomicU64,
}

#[derive(Debug, Default)]
struct Known {
    runs: HashMap<Vec<u8>, Arc<Part>>,
    bytes: usize,
}

/// A run with what is known of its bytes.
#[derive(Debug)]
pub struct Part {
    pub run: Run,
    pub digest: [u8; 32],
    pub crc: u32,
    pub length: u64,
    packed: Mutex<Option<Arc<Vec<u8>>>>,
}

impl Part {
    fn new(run: Run) -> Part {
        let (mut digest, mut crc) = (Sha256::new(), Crc::new());
        for chunk in run.chunks() {
            digest.update(chunk);
            crc.update(chunk);
        }
        let length = run.length() as u64;
        Part { run, digest: digest.finalize().into(), crc: crc.sum(), length, packed: Mutex::default() }
    }
}

impl Splicer {
    /// The run's part; that of a run which other nodes have too is remembered.
    pub fn part(&self, run: Run) -> Arc<Part> {
        if run.own {
            return Arc::new(Part::new(run));
        }
        let key = run.key();
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(part) = lock().runs.get(&key) {
            return Arc::clone(part);
        }
        let part = Arc::new(Part::new(run));
        let mut known = lock();
        if let Some(part) = known.runs.get(&key) {
            // Another thread was quicker; one part is deflated once.
            return Arc::clone(part);
        }
        if known.runs.len() >= KEPT || known.bytes > KEPT_BYTES {
            *known = Known::default();
        }
        known.bytes += key.len() + part.run.length();
        known.runs.insert(key, Arc::clone(&part));
        part
    }

    /// The part, deflated.
    ///
    /// # Errors
    /// When the packer fails, which no input makes it do.
    pub fn packed(&self, part: &Part) -> io::Result<Arc<Vec<u8>>> {
        let mut kept = part.packed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(packed) = &*kept {
            return Ok(Arc::clone(packed));
        }
        let (idle, make): (_, fn() -> Packer) =
            if part.run.own { (&self.quick, Packer::quick) } else { (&self.packers, Packer::default) };
        let mut packer = idle.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_else(make);
        let mut packed = packer.deflate(part.run.chunks())?;
        if packed.capacity() < LARGE {
            packed.shrink_to_fit();
        }
        let packed = Arc::new(packed);
        idle.lock().unwrap_or_else(PoisonError::into_inner).push(packer);
        *kept = Some(Arc::clone(&packed));
        if !part.run.own {
            self.deflated.fetch_add(1, Ordering::Relaxed);
        }
        Ok(packed)
    }

    /// How many shared runs were deflated so far.
    pub fn deflated(&self) -> u64 {
        self.deflated.load(Ordering::Relaxed)
    }

    /// Writes the whole archive as one gzip member.
    ///
    /// # Errors
    /// As [`Splicer::packed`], and those of writing.
    pub fn gzip(&self, parts: &[Arc<Part>], to: &mut impl Write) -> io::Result<()> {
        let mut to = BufWriter::with_capacity(AT_ONCE, to);
        to.write_all(&pack::HEADER)?;
        let mut sum = Sum::default();
        for part in parts {
            to.write_all(&self.packed(part)?)?;
            sum.add(part.crc, part.length);
        }
        to.write_all(&sum.ending())?;
        to.flush()
    }
}

/// Writes the whole archive, not packed.
///
/// # Errors
/// Those of writing.
pub fn plain(parts: &[Arc<Part>], to: &mut impl Write) -> io::Result<()> {
    let mut to = BufWriter::with_capacity(AT_ONCE, to);
    parts.iter().flat_map(|part| part.run.chunks()).try_for_each(|chunk| to.write_all(chunk))?;
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::super::runs::{self, LARGE};
    use super::*;
    use archive::{Entry, Kind};
    use render::layer::Placed;
    use render::whose::Whose;
    use std::collections::BTreeMap;
    use std::io::Read;

    fn file(path: &str, whose: Whose, content: Arc<[u8]>) -> Placed {
        let kind = Kind::File(content);
        let entry = Entry { path: path.into(), mode: 0o644, uid: 0, gid: 0, mtime: 0, kind, xattrs: BTreeMap::new() };
        Placed { entry, overlay: "t".into(), rendered: false, whose }
    }

    fn gzip(splicer: &Splicer, parts: &[Arc<Part>]) -> Vec<u8> {
        let mut whole = Vec::new();
        splicer.gzip(parts, &mut whole).unwrap();
        whole
    }

    fn plain(parts: &[Arc<Part>]) -> Vec<u8> {
        let mut whole = Vec::new();
        super::plain(parts, &mut whole).unwrap();
        whole
    }

    fn parts(splicer: &Splicer, tree: &[Placed]) -> Vec<Arc<Part>> {
        runs::cut(tree).unwrap().into_iter().map(|run| splicer.part(run)).collect()
    }

    fn unpacked(packed: &[u8]) -> Vec<u8> {
        let mut back = Vec::new();
        let mut decoder = flate2::bufread::GzDecoder::new(packed);
        decoder.read_to_end(&mut back).unwrap();
        assert!(decoder.into_inner().is_empty(), "more than one member");
        back
    }

    #[test]
    fn spliced_archives_unpack_to_what_they_were_and_are_the_same_each_time() {
        let agent: Arc<[u8]> = (0..200_000u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let splicer = Splicer::default();
        for node in ["n1", "n2"] {
            let tree = [
                file("a", Whose::Own, node.as_bytes().into()),
                file("agent", Whose::Everybodys, Arc::clone(&agent)),
                file("z", Whose::Everybodys, b"z".as_slice().into()),
            ];
            let made = parts(&splicer, &tree);
            let packed = gzip(&splicer, &made);
            assert_eq!(unpacked(&packed), plain(&made));
            let anew = Splicer::default();
            assert_eq!(gzip(&anew, &parts(&anew, &tree)), packed);
        }
        assert_eq!(splicer.known.lock().unwrap().runs.len(), 2, "z and the agent");
    }

    #[test]
    fn an_empty_archive_is_packed_too() {
        let splicer = Splicer::default();
        let made = parts(&splicer, &[]);
        assert_eq!(plain(&made), archive::newc::write(&[]).unwrap());
        assert_eq!(unpacked(&gzip(&splicer, &made)), plain(&made));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let splicer = Splicer::default();
        for n in 0..2 * KEPT {
            let content: Arc<[u8]> = vec![u8::try_from(n % 256).unwrap(); LARGE + n].into();
            parts(&splicer, &[file("a", Whose::Everybodys, content)]);
        }
        assert!(splicer.known.lock().unwrap().runs.len() <= KEPT);
    }
}
