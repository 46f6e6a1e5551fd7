//! Requests that wait for builds: a bounded time, and never in the threads that everybody's files come from.
//!
//! One order is carried out for each archive at a time. Who asks before it has begun to look shares it; who asks later
//! needs a look of his own, because something may have changed in between, and shares the next one. Orders go on when
//! nobody waits any more, and what they make is kept. Few look and few build at a time, in lanes apart: a build that
//! hangs holds up no look, and neither holds up anything else.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use boot::http::Refusal;
use model::Node;
use tokio::sync::{Semaphore, watch};

use super::files::Files;
use super::fresh::{self, Standing};
use super::{BuildError, OverlayKind, Workshop, fresh_overlay};
use crate::cluster::{Cluster, Shared};

/// How long a request waits for a build before it gets the previous archive. GRUB gives up on a server that has not sent
/// a head after 30 s (grub-core/net/http.c: 100 rounds of 300 ms); iPXE, curl and the agents wait longer.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What became of an order.
type Outcome = Result<PathBuf, BuildError>;

/// What is done for an archive; both block.
pub trait Order: Send + Sync + 'static {
    /// The answer, when nothing must be built for it.
    fn look(&self) -> Option<Outcome>;
    /// Builds.
    fn build(&self) -> Outcome;
}

/// The orders that go on.
#[derive(Clone, Debug, Default)]
pub struct Line(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Orders that have not begun to look.
    gathering: Mutex<HashMap<PathBuf, watch::Receiver<Option<Outcome>>>>,
    /// The order that goes on for an archive, and the next.
    turns: Mutex<HashMap<PathBuf, Arc<tokio::sync::Mutex<()>>>>,
    looks: Semaphore,
    builds: Semaphore,
}

impl Default for Inner {
    fn default() -> Inner {
        // Enough to keep the processors busy while some wait for the disk.
        let places = 2 * std::thread::available_parallelism().map_or(2, usize::from);
        Inner {
            gathering: Mutex::default(),
            turns: Mutex::default(),
            looks: Semaphore::new(places),
            builds: Semaphore::new(places),
        }
    }
}

impl Line {
    /// Sees to it that the archive is looked at from now on, and built if need be.
    pub fn order(&self, archive: &Path, order: impl FnOnce() -> Arc<dyn Order>) -> Waiting {
        let mut gathering = self.0.gathering();
        if let Some(outcome) = gathering.get(archive) {
            return Waiting(outcome.clone());
        }
        let (tell, outcome) = watch::channel(None);
        gathering.insert(archive.to_owned(), outcome.clone());
        drop(gathering);
        let (inner, archive, order) = (Arc::clone(&self.0), archive.to_owned(), order());
        tokio::spawn(async move {
            let done = inner.carry_out(&archive, order).await;
            tell.send_replace(done);
            inner.leave(&archive);
        });
        Waiting(outcome)
    }
}

impl Inner {
    /// `None` when it died; the panic is in the log.
    async fn carry_out(&self, archive: &Path, order: Arc<dyn Order>) -> Option<Outcome> {
        let turn = Arc::clone(self.turns().entry(archive.to_owned()).or_default());
        let _turn = turn.lock().await;
        let place = self.looks.acquire().await.ok()?;
        // Whoever comes from here on may know of a change that is not seen any more.
        self.gathering().remove(archive);
        let looking = Arc::clone(&order);
        let looked = tokio::task::spawn_blocking(move || looking.look()).await.ok()?;
        drop(place);
        if looked.is_some() {
            return looked;
        }
        let _place = self.builds.acquire().await.ok()?;
        tokio::task::spawn_blocking(move || order.build()).await.ok()
    }

    /// Forgets the turn when nobody else has one.
    fn leave(&self, archive: &Path) {
        let mut turns = self.turns();
        if turns.get(archive).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            turns.remove(archive);
        }
    }

    fn gathering(&self) -> MutexGuard<'_, HashMap<PathBuf, watch::Receiver<Option<Outcome>>>> {
        self.gathering.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turns(&self) -> MutexGuard<'_, HashMap<PathBuf, Arc<tokio::sync::Mutex<()>>>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody's wait for an order; letting go of it changes nothing for the order.
#[derive(Debug)]
pub struct Waiting(watch::Receiver<Option<Outcome>>);

impl Waiting {
    /// The outcome; `None` when it is not there in time, or died.
    pub async fn at_most(mut self, patience: Duration) -> Option<Outcome> {
        let outcome = tokio::time::timeout(patience, self.0.wait_for(Option::is_some)).await;
        outcome.ok()?.ok()?.clone()
    }
}

/// The archive that a node gets now: fresh, or the previous one when that cannot be had in time or not at all.
///
/// # Errors
/// When there is none: [`Refusal::OverlayFailed`], or [`Refusal::OverlayNotReady`] while it is being built.
pub async fn overlay(shared: &Shared, cluster: &Cluster, node: &Node, kind: OverlayKind) -> Result<PathBuf, Refusal> {
    if let Some(archive) = fresh::settled(&cluster.works, &cluster.site, cluster.generation, node, kind) {
        return Ok(archive);
    }
    let files = Files::of(&cluster.site, &node.id, kind);
    let order = || Arc::new(Archive { shared: shared.clone(), node: node.id.clone(), kind }) as Arc<dyn Order>;
    match cluster.works.line.order(&files.image, order).at_most(PATIENCE).await {
        Some(outcome) => outcome.map_err(|error| Refusal::OverlayFailed(error.to_string())),
        None if files.present() => {
            tracing::warn!(
                "the {kind} overlay of {} is not ready after {} s: the previous one is sent",
                node.id,
                PATIENCE.as_secs()
            );
            Ok(files.image)
        }
        None => Err(Refusal::OverlayNotReady(format!("the {kind} overlay of {} is being built", node.id))),
    }
}

/// Looks once more at every archive that could not be built, so that what was mended is told as mended though the node
/// does not ask. Returns at once.
pub fn mend(shared: &Shared) {
    let cluster = shared.current();
    for trouble in cluster.works.troubles.all() {
        let Some(node) = cluster.node(&trouble.node) else { continue };
        let archive = Files::of(&cluster.site, &node.id, trouble.kind).image;
        let _nobody_waits = cluster.works.line.order(&archive, || {
            Arc::new(Archive { shared: shared.clone(), node: trouble.node.clone(), kind: trouble.kind })
        });
    }
}

/// One node's archive, as of when it is looked at.
struct Archive {
    shared: Shared,
    node: String,
    kind: OverlayKind,
}

impl Order for Archive {
    fn look(&self) -> Option<Outcome> {
        let shop = Workshop::of(&self.shared.current());
        let node = match shop.node(&self.node) {
            Ok(node) => node,
            Err(error) => return Some(Err(error)),
        };
        let both = OverlayKind::BOTH.into_iter().all(|kind| Files::of(&shop.site, &node.id, kind).present());
        match fresh::look(&shop, &node, self.kind) {
            // As in stock, who asks for one finds both.
            Standing::Fresh(archive) => both.then_some(Ok(archive)),
            Standing::Stale => None,
            Standing::Failed(error) => Some(fresh::failed(&shop, &node, self.kind, error)),
        }
    }

    fn build(&self) -> Outcome {
        fresh_overlay(&self.shared.current(), &self.node, self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Condvar;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A build that takes until the gate is opened, and counts.
    #[derive(Debug, Default)]
    struct SlowBuild {
        open: Mutex<bool>,
        opened: Condvar,
        looks: AtomicUsize,
        builds: AtomicUsize,
        at_once: AtomicUsize,
        most_at_once: AtomicUsize,
    }

    impl SlowBuild {
        fn open(&self) {
            *self.open.lock().unwrap() = true;
            self.opened.notify_all();
        }
    }

    impl Order for SlowBuild {
        fn look(&self) -> Option<Outcome> {
            self.looks.fetch_add(1, Ordering::SeqCst);
            None
        }

        fn build(&self) -> Outcome {
            let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
            self.most_at_once.fetch_max(now, Ordering::SeqCst);
            drop(self.opened.wait_while(self.open.lock().unwrap(), |open| !*open).unwrap());
            self.at_once.fetch_sub(1, Ordering::SeqCst);
            let count = self.builds.fetch_add(1, Ordering::SeqCst) + 1;
            Ok(PathBuf::from(count.to_string()))
        }
    }

    /// Far beyond any test.
    const EVER: Duration = Duration::from_secs(3600);

    async fn until(mut reached: impl FnMut() -> bool) {
        while !reached() {
            tokio::task::yield_now().await;
            std::thread::yield_now();
        }
    }

    #[tokio::test]
    async fn who_asks_before_the_look_shares_the_build_and_who_asks_later_gets_one_of_his_own() {
        let (line, slow) = (Line::default(), Arc::new(SlowBuild::default()));
        let ask = || line.order(Path::new("a"), || Arc::clone(&slow) as Arc<dyn Order>);
        let (first, second) = (ask(), ask());
        until(|| slow.at_once.load(Ordering::SeqCst) == 1).await;
        let later: Vec<Waiting> = (0..100).map(|_| ask()).collect();
        slow.open();
        for waiting in [first, second] {
            assert_eq!(waiting.at_most(EVER).await.unwrap().unwrap(), PathBuf::from("1"));
        }
        for waiting in later {
            assert_eq!(waiting.at_most(EVER).await.unwrap().unwrap(), PathBuf::from("2"));
        }
        until(|| line.0.turns().is_empty()).await;
        assert!(line.0.gathering().is_empty());
    }

    #[tokio::test]
    async fn a_wait_is_bounded_and_the_build_goes_on_when_nobody_waits() {
        let (line, slow) = (Line::default(), Arc::new(SlowBuild::default()));
        let ask = || line.order(Path::new("a"), || Arc::clone(&slow) as Arc<dyn Order>);
        let clients: Vec<Waiting> = (0..10).map(|_| ask()).collect();
        for client in clients {
            assert!(client.at_most(Duration::ZERO).await.is_none());
        }
        until(|| slow.at_once.load(Ordering::SeqCst) == 1).await;
        slow.open();
        until(|| line.0.turns().is_empty()).await;
        assert_eq!(slow.builds.load(Ordering::SeqCst), 1, "ten clients that went away are one build");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn ten_thousand_that_wait_for_slow_builds_hold_up_nobody_else() {
        let (line, slow) = (Line::default(), Arc::new(SlowBuild::default()));
        let ask = |node: usize| line.order(&PathBuf::from(format!("{node}")), || Arc::clone(&slow) as Arc<dyn Order>);
        let waiting: Vec<Waiting> = (0..10_000).map(ask).collect();
        until(|| slow.looks.load(Ordering::SeqCst) == 10_000).await;
        // Files, leases and nodes.conf are read in these threads.
        for number in 0..100 {
            assert_eq!(tokio::task::spawn_blocking(move || number).await.unwrap(), number);
        }
        slow.open();
        for waiting in waiting {
            assert!(waiting.at_most(EVER).await.unwrap().is_ok());
        }
        let places = 2 * std::thread::available_parallelism().unwrap().get();
        assert_eq!(slow.builds.load(Ordering::SeqCst), 10_000);
        assert!(slow.most_at_once.load(Ordering::SeqCst) <= places);
    }

    /// An order that dies.
    struct BrokenOrder;

    impl Order for BrokenOrder {
        fn look(&self) -> Option<Outcome> {
            panic!("on purpose")
        }

        fn build(&self) -> Outcome {
            unreachable!()
        }
    }

    #[tokio::test]
    async fn an_order_that_dies_leaves_the_line_as_it_was() {
        let line = Line::default();
        let broken = line.order(Path::new("a"), || Arc::new(BrokenOrder));
        assert!(broken.at_most(EVER).await.is_none());
        let slow = Arc::new(SlowBuild::default());
        slow.open();
        let next = line.order(Path::new("a"), || Arc::clone(&slow) as Arc<dyn Order>);
        assert_eq!(next.at_most(EVER).await.unwrap().unwrap(), PathBuf::from("1"));
    }
}
