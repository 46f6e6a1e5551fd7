//! An image's tree becomes the archives that nodes boot: plain, gzip, zstd.
//!
//! Each is written beside the old one and renamed when it is whole. A rebuild reads and packs only what changed: pieces that
//! the last build left are taken from its files. The bytes are the same as from nothing: no program can turn back a ctime.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, anyhow, bail};

use super::excludes::Excludes;
use super::pack::{self, Sum, Ticket, Workers};
use super::pieces::{Cutter, Piece, ReadError, Reader, key_of};
use super::predict;
use super::record::{Found, Mark, Packed, Record};
use super::shelf::{self, Built, Image};
use super::tree::{Tree, walk};
use crate::site::Site;
use crate::store::publish;

/// Nodes need no more than the daemon reads; the archive holds the image's /etc/shadow.
const MODE: u32 = 0o640;
/// As fast as gzip's slowest part is slow, and 4 % smaller.
const ZSTD_LEVEL: i32 = 3;
/// How often a build begins again because somebody writes into the tree.
const TRIES: usize = 3;
/// A change within one tick of the last one leaves ctime as it was. Kernels tick every 10 ms or faster (HZ), file systems that
/// keep no nanoseconds every second or two.
const TICK: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(2100));

/// What a build did, and what a person should know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub outcome: Outcome,
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// Nothing in the tree is newer than what was built.
    Current,
    Built(Facts),
}

/// Sizes in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub entries: usize,
    pub plain: u64,
    pub gzip: u64,
    pub zstd: u64,
    pub pieces: usize,
    /// Pieces taken from the last build.
    pub kept: usize,
    pub time: Duration,
}

/// Builds the archives of an image, unless they are current and `force` is not said. One build of an image at a time: others
/// wait, and `say` is told.
///
/// # Errors
/// When the tree has what newc cannot hold, changes all the time, or a file cannot be read or written. What was built before
/// is then still there.
pub fn build(site: &Site, image: &Image, force: bool, mut say: impl FnMut(&str)) -> anyhow::Result<Report> {
    let built = shelf::built(site, &image.name);
    let _lock = built.lock(|| say(&format!("image {}: another process builds it; waiting", image.name)))?;
    built.sweep();
    let mut tries = 1;
    loop {
        match attempt(image, &built, force) {
            Err(error) => match error.downcast_ref::<ReadError>() {
                Some(ReadError::Changed(path)) if tries < TRIES => {
                    say(&format!(
                        "image {}: {} changed while the image was read; beginning again",
                        image.name,
                        path.display()
                    ));
                    tries += 1;
                }
                Some(ReadError::Changed(path)) => bail!(
                    "image {}: {} changes all the time; end what writes to it, then build again (nothing was published)",
                    image.name,
                    path.display()
                ),
                _ => return Err(error.context(format!("build image {}", image.name))),
            },
            done => return done,
        }
    }
}

fn attempt(image: &Image, built: &Built, force: bool) -> anyhow::Result<Report> {
    let began = Instant::now();
    let excludes = excludes_of(&image.rootfs)?;
    let tree = walk(&image.rootfs, &excludes)?;
    let (key, length) = key_of(&tree)?;
    let old = if force { None } else { Old::open(built) };
    if !force && is_current(built, old.as_ref(), &tree, key) {
        return Ok(Report { outcome: Outcome::Current, warnings: Vec::new() });
    }
    let settled = settle(&tree);
    let mut making = Making {
        root: &image.rootfs,
        tree: &tree,
        length,
        settled,
        found: old.as_ref().map(|old| old.record.by_key(pack::HEADER.len() as u64)).unwrap_or_default(),
        old: old.as_ref(),
        facts: Facts { entries: tree.items.len(), plain: length, ..Facts::default() },
        pieces: Vec::new(),
    };
    making.publish(built)?;
    let Making { mut facts, pieces, .. } = making;
    let mark = |path: &Path| fs::metadata(path).map(|metadata| Mark::of(&metadata));
    let (img, gz, zst) = (mark(&built.img)?, mark(&built.gz)?, mark(&built.zst)?);
    let sure = pieces.iter().all(|piece| piece.key.is_some());
    let record = Record { tree: sure.then_some(key), img, gz, zst, pieces };
    publish::replace_by(&built.record, &built.unfinished, 0o600, |file| file.write_all(record.text().as_bytes()))?;
    (facts.gzip, facts.zstd) = (gz.size, zst.size);
    let mut warnings = predict::warnings(&image.rootfs, &tree, &facts);
    warnings.extend(changed_meanwhile(&tree, &walk(&image.rootfs, &excludes)?));
    facts.time = began.elapsed();
    Ok(Report { outcome: Outcome::Built(facts), warnings })
}

/// Until when files may have changed for a record to trust their stamps.
#[derive(Clone, Copy, Debug)]
struct Settled {
    /// The moment before the first file is read.
    now: Duration,
}

impl Settled {
    /// Whether another change of a file with this ctime must show.
    fn covers(self, ctime: (i64, i64)) -> bool {
        since_1970(ctime) + tick(ctime) < self.now
    }
}

/// Waits for a moment when the tree was changed right now, so that the next change of a file gives it another ctime. Clocks
/// that stand in the future are not waited for.
fn settle(tree: &Tree) -> Settled {
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let youngest = tree.items.iter().map(|item| item.stamp.ctime).max().unwrap_or_default();
    let rest = (since_1970(youngest) + tick(youngest)).saturating_sub(now());
    if rest <= TICK.1 {
        std::thread::sleep(rest + Duration::from_millis(1));
    }
    Settled { now: now() }
}

fn since_1970(time: (i64, i64)) -> Duration {
    Duration::new(u64::try_from(time.0).unwrap_or(0), u32::try_from(time.1).unwrap_or(0).min(999_999_999))
}

fn tick(ctime: (i64, i64)) -> Duration {
    if ctime.1 == 0 { TICK.1 } else { TICK.0 }
}

fn excludes_of(rootfs: &Path) -> anyhow::Result<Excludes> {
    let inside = Path::new("/etc/warewulf/excludes");
    match super::inside::resolve(rootfs, inside).and_then(fs::read) {
        Ok(text) => Ok(Excludes::parse(&text)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Excludes::default())
        }
        Err(error) => Err(error).with_context(|| format!("read {} of the image", inside.display())),
    }
}

/// An archive that we have no record of, another program's, is current when nothing is newer.
fn is_current(built: &Built, old: Option<&Old>, tree: &Tree, key: [u8; 32]) -> bool {
    if let Some(old) = old {
        return old.record.tree == Some(key)
            && fs::metadata(&built.zst).is_ok_and(|zst| Mark::of(&zst) == old.record.zst);
    }
    let (Ok(img), Ok(_)) = (fs::metadata(&built.img), fs::metadata(&built.gz)) else { return false };
    if built.record.exists() {
        return false;
    }
    let newest = tree.items.iter().map(|item| item.stamp.mtime.max(item.stamp.ctime)).max();
    newest.is_none_or(|newest| newest <= Mark::of(&img).mtime)
}

/// What changed after it was read: not in this archive, or only in part.
fn changed_meanwhile(before: &Tree, after: &Tree) -> Option<String> {
    if before == after {
        return None;
    }
    let differs = before.items.iter().zip(&after.items).find(|(one, other)| one != other).map(|(one, _)| one);
    let path =
        differs.or(before.items.last()).map(|item| String::from_utf8_lossy(&item.path).escape_debug().to_string());
    Some(format!(
        "the image changed while it was built (first at /{}); what came late is not in it: build again",
        path.unwrap_or_default()
    ))
}

/// The last build, when its files are still the ones that it wrote.
struct Old {
    record: Record,
    img: File,
    gz: File,
}

impl Old {
    fn open(built: &Built) -> Option<Old> {
        let record = Record::parse(&fs::read_to_string(&built.record).ok()?)?;
        let (img, gz) = (File::open(&built.img).ok()?, File::open(&built.gz).ok()?);
        let same = |file: &File, mark: Mark| file.metadata().is_ok_and(|metadata| Mark::of(&metadata) == mark);
        (same(&img, record.img) && same(&gz, record.gz)).then_some(Old { record, img, gz })
    }

    /// The plain and the packed bytes of a piece; none when the disk gives others than were written.
    fn piece(&self, found: &Found) -> Option<(Vec<u8>, Vec<u8>)> {
        // A length that cannot be is a damaged record.
        let room = |length: u64| usize::try_from(length).ok().filter(|length| *length <= 8 * pack::PIECE);
        let mut plain = vec![0; room(found.piece.length)?];
        let mut packed = vec![0; room(found.piece.packed)?];
        self.img.read_exact_at(&mut plain, found.plain_at).ok()?;
        self.gz.read_exact_at(&mut packed, found.packed_at).ok()?;
        let mut crc = flate2::Crc::new();
        crc.update(&plain);
        (crc.sum() == found.piece.crc).then_some((plain, packed))
    }
}

struct Making<'a> {
    root: &'a Path,
    tree: &'a Tree,
    length: u64,
    settled: Settled,
    old: Option<&'a Old>,
    found: HashMap<[u8; 32], Found>,
    facts: Facts,
    pieces: Vec<Packed>,
}

/// A piece on its way into the gzip file.
enum Pending {
    Packing { key: Option<[u8; 32]>, ticket: Ticket },
    AtHand { piece: Packed, packed: Vec<u8> },
}

impl Making<'_> {
    /// Writes the three files, and renames them when all are whole: the small ones first, so that the plain one, by which
    /// others tell the age of an image, is the last.
    fn publish(&mut self, built: &Built) -> anyhow::Result<()> {
        let mode = fs::metadata(&built.img).map_or(MODE, |metadata| metadata.permissions().mode() & 0o7777);
        let prefix = &built.unfinished;
        let done = publish::replace_by(&built.img, prefix, mode, |img| {
            publish::replace_by(&built.gz, prefix, mode, |gz| {
                publish::replace_by(&built.zst, prefix, mode, |zst| self.fill(img, gz, zst))
            })
        });
        done.map_err(|error| match error.downcast::<ReadError>() {
            Ok(read) => anyhow!(read),
            Err(error) => anyhow!(error).context(format!("write {} and its packed forms", built.img.display())),
        })
    }

    fn fill(&mut self, img: &mut File, gz: &mut File, zst: &mut File) -> io::Result<()> {
        let length = self.length;
        std::thread::scope(|scope| {
            let (plain, queue) = sync_channel(4);
            let zstd = scope.spawn(move || pack_zstd(zst, length, &queue));
            let spooled = self.spool(img, gz, plain);
            let packed = zstd.join().unwrap_or_else(|_| Err(io::Error::other("the zstd thread is gone")));
            // When zstd cannot write, the spool only sees that nobody listens.
            match (spooled, packed) {
                (Err(Spool::NobodyListens), Err(error)) | (Err(Spool::Failed(error)), _) | (Ok(()), Err(error)) => {
                    Err(error)
                }
                (Err(Spool::NobodyListens), Ok(())) => Err(io::Error::other("the zstd thread ended early")),
                (Ok(()), Ok(())) => Ok(()),
            }
        })
    }

    /// One pass over the pieces: plain to the image file and to zstd, packed to the gzip file.
    fn spool(&mut self, img: &mut File, gz: &mut File, zstd: SyncSender<Arc<Vec<u8>>>) -> Result<(), Spool> {
        let workers = Workers::new(pack::cores());
        let mut under_way = VecDeque::new();
        let mut sum = Sum::default();
        let mut reader = Reader::new(self.root, self.tree);
        gz.write_all(&pack::HEADER)?;
        for piece in Cutter::new(self.tree).map_err(io::Error::other)? {
            let piece = piece.map_err(io::Error::other)?;
            let (plain, pending) = self.one(&piece, &workers, &mut reader)?;
            img.write_all(&plain)?;
            under_way.push_back(pending);
            zstd.send(plain).map_err(|_| Spool::NobodyListens)?;
            if under_way.len() > workers.enough() {
                self.take_in(under_way.pop_front(), &mut sum, gz)?;
            }
        }
        while !under_way.is_empty() {
            self.take_in(under_way.pop_front(), &mut sum, gz)?;
        }
        gz.write_all(&sum.ending())?;
        Ok(())
    }

    fn one(
        &mut self,
        piece: &Piece,
        workers: &Workers,
        reader: &mut Reader<'_>,
    ) -> io::Result<(Arc<Vec<u8>>, Pending)> {
        let key = self.settled.covers(piece.youngest).then_some(piece.key);
        let kept = self.found.get(&piece.key).and_then(|found| Some((found, self.old?.piece(found)?)));
        self.facts.pieces += 1;
        if let Some((found, (plain, packed))) = kept {
            self.facts.kept += 1;
            return Ok((Arc::new(plain), Pending::AtHand { piece: found.piece, packed }));
        }
        let plain = Arc::new(reader.read(piece).map_err(io::Error::other)?);
        let ticket = workers.give(plain.clone())?;
        Ok((plain, Pending::Packing { key, ticket }))
    }

    fn take_in(&mut self, pending: Option<Pending>, sum: &mut Sum, gz: &mut File) -> io::Result<()> {
        let (piece, packed) = match pending {
            None => return Ok(()),
            Some(Pending::AtHand { piece, packed }) => (piece, packed),
            Some(Pending::Packing { key, ticket }) => {
                let done = ticket.wait()?;
                let piece = Packed { key, length: done.length, crc: done.crc, packed: done.packed.len() as u64 };
                (piece, done.packed)
            }
        };
        sum.add(piece.crc, piece.length);
        self.pieces.push(piece);
        gz.write_all(&packed)
    }
}

/// Why a spool stopped.
enum Spool {
    Failed(io::Error),
    /// The thread that packs by zstd has ended, and knows why.
    NobodyListens,
}

impl From<io::Error> for Spool {
    fn from(error: io::Error) -> Spool {
        Spool::Failed(error)
    }
}

/// One frame: a kernel reads no second one.
fn pack_zstd(file: &mut File, length: u64, queue: &Receiver<Arc<Vec<u8>>>) -> io::Result<()> {
    let mut packer = zstd::stream::write::Encoder::new(file, ZSTD_LEVEL)?;
    packer.include_checksum(true)?;
    packer.set_pledged_src_size(Some(length))?;
    let mut left = length;
    while let Ok(plain) = queue.recv() {
        packer.write_all(&plain)?;
        left = left.saturating_sub(plain.len() as u64);
    }
    if left > 0 {
        return Err(io::Error::other("the image was not read to its end"));
    }
    packer.finish()?;
    Ok(())
}

/// All archives of an image that are there.
pub fn archives(site: &Site, name: &str) -> Vec<PathBuf> {
    let built = shelf::built(site, name);
    [built.img, built.gz, built.zst].into_iter().filter(|path| path.exists()).collect()
}

#[cfg(test)]
#[path = "build_tests.rs"]
mod tests;
