//! Leases on their way to disk, and the answers that wait for them.
//!
//! One write at a time; what comes meanwhile is written together as the next. An answer is given back to be sent when its
//! leases are on disk and not before; nothing else waits for the disk.

use std::io;

use boot::dhcp::{Lease, Leases};
use tokio::task::JoinHandle;

use crate::store::leases::LeaseFile;

/// Where leases are written.
pub trait Disk: Send + 'static {
    /// Adds lines and waits until they are on disk.
    ///
    /// # Errors
    /// When they are not on disk.
    fn append(&mut self, leases: &[Lease]) -> io::Result<()>;

    /// Whether most of the file is history by now.
    fn is_long(&self, entries: usize) -> bool;

    /// Writes the file anew with what counts.
    ///
    /// # Errors
    /// When that fails; the old file then goes on.
    fn compact(&mut self, leases: &Leases) -> io::Result<()>;
}

impl Disk for LeaseFile {
    fn append(&mut self, leases: &[Lease]) -> io::Result<()> {
        LeaseFile::append(self, leases)
    }

    fn is_long(&self, entries: usize) -> bool {
        LeaseFile::is_long(self, entries)
    }

    fn compact(&mut self, leases: &Leases) -> io::Result<()> {
        LeaseFile::compact(self, leases, super::now())
    }
}

/// The pen and who waits for it. `L` is an answer.
#[derive(Debug)]
pub struct Ledger<L, D = LeaseFile> {
    pen: Pen<L, D>,
    next: Group<L>,
}

#[derive(Debug)]
enum Pen<L, D> {
    Idle(D),
    Writing(JoinHandle<(D, io::Result<()>)>, Vec<L>),
    /// A write died, and the file with it.
    Lost,
}

#[derive(Debug)]
struct Group<L> {
    leases: Vec<Lease>,
    answers: Vec<L>,
}

/// One write is over.
#[derive(Debug)]
pub struct Written<L> {
    /// Those that waited for it. They may leave only when `result` is good.
    pub answers: Vec<L>,
    pub result: io::Result<()>,
}

impl<L, D: Disk> Ledger<L, D> {
    pub fn new(disk: D) -> Ledger<L, D> {
        Ledger { pen: Pen::Idle(disk), next: Group { leases: Vec::new(), answers: Vec::new() } }
    }

    /// These leases are to be written, and these answers wait for them. `all` is the table with them in it.
    pub fn add(&mut self, leases: Vec<Lease>, answers: Vec<L>, all: &Leases) {
        self.next.leases.extend(leases);
        self.next.answers.extend(answers);
        self.start(all);
    }

    /// Begins a write when there is something to write and none is under way.
    pub fn start(&mut self, all: &Leases) {
        if self.next.leases.is_empty() || !matches!(self.pen, Pen::Idle(_)) {
            return;
        }
        let Pen::Idle(mut disk) = std::mem::replace(&mut self.pen, Pen::Lost) else { return };
        let leases = std::mem::take(&mut self.next.leases);
        let answers = std::mem::take(&mut self.next.answers);
        let snapshot = disk.is_long(all.count()).then(|| all.clone());
        let write = tokio::task::spawn_blocking(move || {
            let written = disk.append(&leases);
            if let Some(Err(error)) = snapshot.map(|leases| disk.compact(&leases)) {
                tracing::error!("dhcp: the lease file cannot be shortened: {error}");
            }
            (disk, written)
        });
        self.pen = Pen::Writing(write, answers);
    }

    /// Whether a write is under way or waits.
    pub fn is_busy(&self) -> bool {
        matches!(self.pen, Pen::Writing(..)) || !self.next.answers.is_empty() || !self.next.leases.is_empty()
    }

    /// Waits for the write that is under way, for ever when there is none. Nothing is lost when this is dropped half-way.
    pub async fn written(&mut self) -> Written<L> {
        if matches!(self.pen, Pen::Lost) && self.is_busy() {
            self.next.leases.clear();
            let answers = std::mem::take(&mut self.next.answers);
            return Written { answers, result: Err(io::Error::other("the lease file is not open")) };
        }
        match &mut self.pen {
            Pen::Writing(write, _) => {
                let done = write.await;
                let Pen::Writing(_, answers) = std::mem::replace(&mut self.pen, Pen::Lost) else {
                    return std::future::pending().await;
                };
                match done {
                    Ok((disk, result)) => {
                        self.pen = Pen::Idle(disk);
                        Written { answers, result }
                    }
                    Err(died) => Written { answers, result: Err(io::Error::other(died)) },
                }
            }
            Pen::Idle(_) | Pen::Lost => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{Arc, Mutex};

    use boot::dhcp::State;
    use futures_util::FutureExt;

    use super::*;

    /// A disk that takes each write only when the test lets it.
    struct SlowDisk {
        go: Receiver<io::Result<()>>,
        on_disk: Arc<Mutex<Vec<Vec<Lease>>>>,
    }

    impl Disk for SlowDisk {
        fn append(&mut self, leases: &[Lease]) -> io::Result<()> {
            self.go.recv().unwrap()?;
            self.on_disk.lock().unwrap().push(leases.to_vec());
            Ok(())
        }

        fn is_long(&self, _entries: usize) -> bool {
            false
        }

        fn compact(&mut self, _leases: &Leases) -> io::Result<()> {
            Ok(())
        }
    }

    type OnDisk = Arc<Mutex<Vec<Vec<Lease>>>>;

    fn ledger() -> (Ledger<&'static str, SlowDisk>, Sender<io::Result<()>>, OnDisk) {
        let ((let_go, go), on_disk) = (channel(), OnDisk::default());
        (Ledger::new(SlowDisk { go, on_disk: on_disk.clone() }), let_go, on_disk)
    }

    fn lease(last: u8) -> Lease {
        let client = format!("52:54:00:99:00:{last:02x}").parse().unwrap();
        Lease { address: Ipv4Addr::new(10, 10, 0, last), client, state: State::Bound, until: 9 }
    }

    #[tokio::test]
    async fn an_answer_never_leaves_before_its_lease_is_on_disk() {
        let (mut ledger, let_go, on_disk) = ledger();
        let all = Leases::default();
        assert!(!ledger.is_busy());
        ledger.add(vec![lease(1)], vec!["one"], &all);
        ledger.add(vec![lease(2)], vec!["two"], &all);
        ledger.add(vec![lease(3)], vec!["three"], &all);
        for _ in 0..3 {
            tokio::task::yield_now().await;
            assert!(ledger.written().now_or_never().is_none(), "nothing is on disk");
        }
        assert_eq!(*on_disk.lock().unwrap(), Vec::<Vec<Lease>>::new());

        let_go.send(Ok(())).unwrap();
        let written = ledger.written().await;
        assert_eq!((written.answers, written.result.is_ok()), (vec!["one"], true));
        assert_eq!(*on_disk.lock().unwrap(), [[lease(1)]]);

        // What came while the first was written is one write.
        ledger.start(&all);
        assert!(ledger.written().now_or_never().is_none());
        let_go.send(Ok(())).unwrap();
        let written = ledger.written().await;
        assert_eq!((written.answers, written.result.is_ok()), (vec!["two", "three"], true));
        assert_eq!(*on_disk.lock().unwrap(), [vec![lease(1)], vec![lease(2), lease(3)]]);
        assert!(!ledger.is_busy());
    }

    #[tokio::test]
    async fn a_write_that_fails_takes_its_own_answers_with_it_and_no_others() {
        let (mut ledger, let_go, on_disk) = ledger();
        let all = Leases::default();
        ledger.add(vec![lease(1)], vec!["one"], &all);
        ledger.add(vec![lease(2)], vec!["two"], &all);
        let_go.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
        let written = ledger.written().await;
        assert_eq!((written.answers, written.result.unwrap_err().kind()), (vec!["one"], io::ErrorKind::StorageFull));
        ledger.start(&all);
        let_go.send(Ok(())).unwrap();
        let written = ledger.written().await;
        assert_eq!((written.answers, written.result.is_ok()), (vec!["two"], true));
        assert_eq!(*on_disk.lock().unwrap(), [[lease(2)]]);
    }

    #[tokio::test]
    async fn a_write_that_dies_lets_no_answer_out_then_or_later() {
        let (mut ledger, let_go, _) = ledger();
        let all = Leases::default();
        ledger.add(vec![lease(1)], vec!["one"], &all);
        drop(let_go);
        let written = ledger.written().await;
        assert_eq!((written.answers, written.result.is_err()), (vec!["one"], true));
        ledger.add(vec![lease(2)], vec!["two"], &all);
        let written = ledger.written().await;
        assert_eq!((written.answers, written.result.is_err()), (vec!["two"], true));
        assert!(!ledger.is_busy());
    }
}
