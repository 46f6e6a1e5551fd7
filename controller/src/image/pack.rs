//! One gzip member, packed on all cores, always the same bytes whatever the number of cores.
//!
//! The input is cut into pieces that are deflated on their own and end in a full flush: on a byte border, and without
//! looking back beyond it. One after another they are one deflate stream (RFC 1951, 3.2.4), and checksums of pieces combine.
//! It must be one member: a kernel refuses a cpio that is cut into several (`init/initramfs.c`).

use std::collections::VecDeque;
use std::io::{self, Write};
use std::num::NonZero;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use flate2::{Compress, Compression, Crc, Decompress, FlushCompress, FlushDecompress, Status};

/// A piece of input, in bytes. Larger: packs hardly better; smaller: worse, for each begins without memory.
pub const PIECE: usize = 1 << 20;

/// Deflate, no name, no time, the highest compression not claimed, unix (RFC 1952, 2.3).
pub const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
/// An empty last block with fixed codes: what ends a stream whose pieces all end in a full flush.
const LAST_BLOCK: [u8; 2] = [3, 0];

/// The bytes as gzip.
///
/// # Errors
/// When the packer fails, which no input makes it do.
pub fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    if bytes.len() <= PIECE {
        // Starting threads costs more than packing an overlay.
        let mut packed = HEADER.to_vec();
        let mut sum = Sum::default();
        if !bytes.is_empty() {
            let piece = deflate(bytes)?;
            packed.extend(&piece.packed);
            sum.add(piece.crc, piece.length);
        }
        packed.extend(sum.ending());
        return Ok(packed);
    }
    let mut writer = Gzip::new(Vec::new())?;
    writer.write_all(bytes)?;
    writer.finish()
}

/// A deflated piece, and what its bytes were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub packed: Vec<u8>,
    /// Checksum and length of what went in.
    pub crc: u32,
    pub length: u64,
}

/// Deflates one piece, ending in a full flush.
///
/// # Errors
/// When the packer fails, which no input makes it do.
pub fn deflate(bytes: &[u8]) -> io::Result<Piece> {
    let packed = Packer::default().deflate([bytes])?;
    let mut crc = Crc::new();
    crc.update(bytes);
    Ok(Piece { packed, crc: crc.sum(), length: bytes.len() as u64 })
}

/// From here on memory is not moved, in bytes.
pub const LARGE: usize = 16 << 20;

/// Deflates pieces one by one, each as if it were the first: its memory is made once.
#[derive(Debug)]
pub struct Packer(Compress);

impl Default for Packer {
    fn default() -> Packer {
        Packer(Compress::new(Compression::default(), false))
    }
}

impl Packer {
    /// Packs less, in a fourth of the time: for what is packed for one reader.
    pub fn quick() -> Packer {
        Packer(Compress::new(Compression::fast(), false))
    }

    /// The parts as one piece that ends in a full flush.
    ///
    /// # Errors
    /// When the packer fails, which no input makes it do.
    pub fn deflate<'a>(&mut self, parts: impl IntoIterator<Item = &'a [u8]>) -> io::Result<Vec<u8>> {
        self.0.reset();
        let mut packed = Vec::new();
        for part in parts {
            // Growing a large one would hold it twice, and what is not written to is no memory yet.
            if part.len() < LARGE || packed.try_reserve(part.len() + part.len() / 1000 + 64).is_err() {
                packed.reserve(part.len() / 4 + 64);
            }
            self.feed(part, &mut packed, FlushCompress::None)?;
        }
        self.feed(&[], &mut packed, FlushCompress::Full)?;
        Ok(packed)
    }

    fn feed(&mut self, part: &[u8], packed: &mut Vec<u8>, flush: FlushCompress) -> io::Result<()> {
        let before = self.0.total_in();
        loop {
            let taken = usize::try_from(self.0.total_in() - before).unwrap_or(usize::MAX);
            if packed.capacity() - packed.len() < 64 {
                packed.reserve(packed.capacity().max(64));
            }
            let rest = part.get(taken..).unwrap_or_default();
            let status = self.0.compress_vec(rest, packed, flush)?;
            let all = self.0.total_in() - before == part.len() as u64;
            // The packer is done when it leaves room behind what it wrote (zlib's manual on deflate()).
            if all && packed.len() < packed.capacity() || status == Status::StreamEnd {
                return Ok(());
            }
        }
    }
}

/// What a piece of [`deflate`] was; `length` is how long.
///
/// # Errors
/// When these are not the bytes of such a piece.
pub fn inflate(packed: &[u8], length: u64) -> io::Result<Vec<u8>> {
    let wrong = |why| io::Error::new(io::ErrorKind::InvalidData, why);
    let length = usize::try_from(length).map_err(io::Error::other)?;
    // Deflate makes a thousand bytes of one at most.
    if length / 1100 > packed.len() {
        return Err(wrong("a packed piece is too short for what it was"));
    }
    let mut bytes = Vec::with_capacity(length);
    let mut unpacker = Decompress::new(false);
    while bytes.len() < length {
        let taken = usize::try_from(unpacker.total_in()).unwrap_or(usize::MAX);
        let before = (taken, bytes.len());
        unpacker.decompress_vec(packed.get(taken..).unwrap_or_default(), &mut bytes, FlushDecompress::Sync)?;
        if (usize::try_from(unpacker.total_in()).unwrap_or(usize::MAX), bytes.len()) == before {
            return Err(wrong("a packed piece is cut short"));
        }
    }
    Ok(bytes)
}

/// The checksum of pieces one after another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    crc: u32,
    length: u64,
}

impl Sum {
    /// Another piece behind what was there.
    pub fn add(&mut self, crc: u32, length: u64) {
        self.crc = times(self.crc, power_of_x(length.wrapping_mul(8))) ^ crc;
        self.length = self.length.wrapping_add(length);
    }

    /// What follows the last piece: an empty block, the checksum, the length modulo 2^32.
    pub fn ending(&self) -> Vec<u8> {
        let [a, b, c, d, ..] = self.length.to_le_bytes();
        [LAST_BLOCK.as_slice(), &self.crc.to_le_bytes(), &[a, b, c, d]].concat()
    }
}

/// The product of two polynomials over GF(2) modulo gzip's (RFC 1952, 8), highest power in the lowest bit.
fn times(one: u32, other: u32) -> u32 {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    let mut power = other;
    let mut product = 0;
    for bit in (0..32).rev() {
        if one >> bit & 1 == 1 {
            product ^= power;
        }
        power = if power & 1 == 1 { power >> 1 ^ POLYNOMIAL } else { power >> 1 };
    }
    product
}

/// x to this power.
fn power_of_x(mut exponent: u64) -> u32 {
    let mut square = 1 << 30;
    let mut power = 1 << 31;
    while exponent > 0 {
        if exponent & 1 == 1 {
            power = times(power, square);
        }
        square = times(square, square);
        exponent >>= 1;
    }
    power
}

/// Packs what is written to it; the sink gets one gzip member. [`Gzip::finish`] ends it: dropped before, the member is torn.
#[derive(Debug)]
pub struct Gzip<W: Write> {
    sink: W,
    workers: Workers,
    under_way: VecDeque<Ticket>,
    filling: Vec<u8>,
    sum: Sum,
}

impl<W: Write> Gzip<W> {
    /// One that uses all cores.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn new(sink: W) -> io::Result<Self> {
        Gzip::with_threads(sink, cores())
    }

    fn with_threads(mut sink: W, threads: usize) -> io::Result<Self> {
        sink.write_all(&HEADER)?;
        let filling = Vec::with_capacity(PIECE);
        Ok(Gzip { sink, workers: Workers::new(threads), under_way: VecDeque::new(), filling, sum: Sum::default() })
    }

    /// Packs the rest, ends the member, and gives the sink back.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn finish(mut self) -> io::Result<W> {
        if !self.filling.is_empty() {
            let piece = std::mem::take(&mut self.filling);
            self.hand_out(piece)?;
        }
        while let Some(ticket) = self.under_way.pop_front() {
            self.take_in(ticket)?;
        }
        self.sink.write_all(&self.sum.ending())?;
        Ok(self.sink)
    }

    fn hand_out(&mut self, piece: Vec<u8>) -> io::Result<()> {
        if self.under_way.len() >= self.workers.enough()
            && let Some(oldest) = self.under_way.pop_front()
        {
            self.take_in(oldest)?;
        }
        self.under_way.push_back(self.workers.give(Arc::new(piece))?);
        Ok(())
    }

    fn take_in(&mut self, ticket: Ticket) -> io::Result<()> {
        let piece = ticket.wait()?;
        self.sum.add(piece.crc, piece.length);
        self.sink.write_all(&piece.packed)
    }
}

impl<W: Write> Write for Gzip<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PIECE - self.filling.len();
        let taken = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        self.filling.extend_from_slice(taken);
        if self.filling.len() == PIECE {
            let piece = std::mem::replace(&mut self.filling, Vec::with_capacity(PIECE));
            self.hand_out(piece)?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        // Pieces are cut by length alone, or the bytes would depend on who flushed when.
        Ok(())
    }
}

/// How many threads pack.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Threads that deflate pieces.
#[derive(Debug)]
pub struct Workers {
    jobs: Option<SyncSender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

type Job = (Arc<Vec<u8>>, SyncSender<io::Result<Piece>>);

/// A piece that is being deflated.
#[derive(Debug)]
pub struct Ticket(Receiver<io::Result<Piece>>);

impl Ticket {
    /// The piece, when it is done.
    ///
    /// # Errors
    /// When the packer failed, or its thread is gone.
    pub fn wait(self) -> io::Result<Piece> {
        self.0.recv().unwrap_or_else(|_| Err(io::Error::other("a packing thread is gone")))
    }
}

impl Workers {
    /// This many threads, at least one.
    pub fn new(threads: usize) -> Self {
        let threads = threads.max(1);
        let (jobs, queue) = sync_channel::<Job>(threads);
        let queue = Arc::new(Mutex::new(queue));
        let work = |queue: Arc<Mutex<Receiver<Job>>>| {
            loop {
                let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok((bytes, answer)) = job else { return };
                // Who asked may have gone away with an error; the next job is another one's.
                let _ = answer.send(deflate(&bytes));
            }
        };
        let start = |_| {
            let queue = queue.clone();
            thread::spawn(move || work(queue))
        };
        Workers { jobs: Some(jobs), threads: (0..threads).map(start).collect() }
    }

    /// How many pieces under way keep all threads busy; more only take memory.
    pub fn enough(&self) -> usize {
        self.threads.len() * 2
    }

    /// A piece to deflate; blocks while too many wait.
    ///
    /// # Errors
    /// When the threads are gone.
    pub fn give(&self, bytes: Arc<Vec<u8>>) -> io::Result<Ticket> {
        let (answer, later) = sync_channel(1);
        let gone = || io::Error::other("the packing threads are gone");
        self.jobs.as_ref().ok_or_else(gone)?.send((bytes, answer)).map_err(|_| gone())?;
        Ok(Ticket(later))
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    /// Text that packs a little, the same for each seed.
    fn sample(length: usize, mut seed: u64) -> Vec<u8> {
        std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            b"abcdefgh"[(seed >> 61) as usize]
        })
        .take(length)
        .collect()
    }

    fn unpacked(packed: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        // A decoder for one member: what lies behind the first is not read.
        let mut decoder = flate2::bufread::GzDecoder::new(packed);
        decoder.read_to_end(&mut bytes).unwrap();
        assert!(decoder.into_inner().is_empty(), "more than one member");
        bytes
    }

    #[test]
    fn all_sizes_come_back_and_are_one_member() {
        for length in [0, 1, 65_535, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 3 * PIECE + 77] {
            let bytes = sample(length, length as u64);
            let packed = gzip(&bytes).unwrap();
            assert!(unpacked(&packed) == bytes, "{length}");
        }
    }

    #[test]
    fn what_does_not_pack_comes_back_too() {
        let noise: Vec<u8> =
            (0..300_000_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
        assert!(unpacked(&gzip(&noise).unwrap()) == noise);
    }

    #[test]
    fn the_bytes_do_not_depend_on_threads_or_on_how_they_are_written() {
        let bytes = sample(5 * PIECE + 1234, 7);
        let whole = gzip(&bytes).unwrap();
        for threads in [1, 2, 7] {
            let mut writer = Gzip::with_threads(Vec::new(), threads).unwrap();
            for part in bytes.chunks(100_003) {
                writer.write_all(part).unwrap();
                writer.flush().unwrap();
            }
            assert!(writer.finish().unwrap() == whole, "{threads} threads");
        }
    }

    #[test]
    fn small_and_large_inputs_are_packed_by_the_same_rule() {
        let bytes = sample(1000, 1);
        let mut writer = Gzip::with_threads(Vec::new(), 2).unwrap();
        writer.write_all(&bytes).unwrap();
        assert_eq!(writer.finish().unwrap(), gzip(&bytes).unwrap());
    }

    #[test]
    fn a_piece_is_the_same_whatever_its_packer_did_before_and_unpacks_to_what_it_was() {
        let mut packer = Packer::default();
        for length in [0, 1, 5000, 70_000, 300_001] {
            let bytes = sample(length, 11);
            let parts = bytes.chunks(30_000);
            let packed = packer.deflate(parts).unwrap();
            assert_eq!(inflate(&packed, length as u64).unwrap(), bytes);
            assert_eq!(Packer::default().deflate(bytes.chunks(30_000)).unwrap(), packed);
            assert!(length < 5000 || inflate(&packed[..packed.len() / 2], length as u64).is_err());
        }
    }

    #[test]
    fn checksums_of_pieces_combine() {
        let bytes = sample(70_001, 3);
        let mut whole = Crc::new();
        whole.update(&bytes);
        let mut sum = Sum::default();
        for part in bytes.chunks(9_999) {
            let mut crc = Crc::new();
            crc.update(part);
            sum.add(crc.sum(), part.len() as u64);
        }
        assert_eq!(sum, Sum { crc: whole.sum(), length: 70_001 });
    }

    #[test]
    fn a_sink_that_fails_is_said_and_leaves_no_thread_waiting() {
        struct FullDisk(usize);
        impl Write for FullDisk {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 = self.0.checked_sub(bytes.len()).ok_or_else(|| io::Error::other("disk full"))?;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut writer = Gzip::with_threads(FullDisk(2 * PIECE / 10), 2).unwrap();
        let bytes = sample(8 * PIECE, 5);
        let failed = writer.write_all(&bytes).and_then(|()| writer.finish().map(drop)).unwrap_err();
        assert_eq!(failed.to_string(), "disk full");
    }

    #[test]
    fn gzip_itself_unpacks_it() {
        let bytes = sample(2 * PIECE + 5, 9);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.gz");
        std::fs::write(&path, gzip(&bytes).unwrap()).unwrap();
        let output = std::process::Command::new("gzip").arg("-dc").arg(&path).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout == bytes);
    }
}
