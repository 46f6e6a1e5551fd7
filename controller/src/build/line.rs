//! Who builds an archive: one at a time, and who asks meanwhile shares what comes of it.
//!
//! One order is carried out for each archive at a time. Who asks before it has begun to look shares it; who asks later
//! needs a look of his own, because something may have changed in between, and shares the next one. Orders go on when
//! nobody waits any more, and what they make is kept. Few look and few build at a time, in lanes apart: a build that
//! hangs holds up no look, and neither holds up anything else. Who builds in a thread of his own takes the same turn. What is
//! rendered for one request and not kept has a lane, too.

use std::any::Any;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedMutexGuard, Semaphore, watch};
use tokio::task::{JoinError, spawn_blocking};

use super::BuildError;

/// What became of an order.
pub type Outcome = Result<PathBuf, BuildError>;

/// What is done for an archive; both block.
pub trait Order: Send + Sync + 'static {
    /// The answer, when nothing must be built for it.
    fn look(&self) -> Option<Outcome>;
    /// Builds. The turn is the order's already.
    fn build(&self) -> Outcome;
}

/// The orders that go on.
#[derive(Clone, Debug, Default)]
pub struct Line(Arc<Inner>);

type Turns = HashMap<PathBuf, Arc<tokio::sync::Mutex<()>>>;

#[derive(Debug)]
struct Inner {
    /// Orders that have not begun to look.
    gathering: Mutex<HashMap<PathBuf, watch::Receiver<Option<Outcome>>>>,
    /// Who is at work on an archive, and who comes next. Archives that nobody is at work on are not in it.
    turns: Mutex<Turns>,
    looks: Semaphore,
    builds: Semaphore,
    asides: Arc<Semaphore>,
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
            asides: Arc::new(Semaphore::new(places)),
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
        let order = order();
        let (tell, outcome) = watch::channel(None);
        gathering.insert(archive.to_owned(), outcome.clone());
        drop(gathering);
        let (inner, archive) = (Arc::clone(&self.0), archive.to_owned());
        tokio::spawn(async move {
            let done = carry_out(&inner, &archive, order).await;
            if let Err(BuildError::Died(why)) = &done {
                tracing::error!("the build of {} died: {why}", archive.display());
            }
            tell.send_replace(Some(done));
        });
        Waiting(outcome)
    }

    /// Does something that blocks and is not kept. It is done to its end even when nobody waits for it any more.
    ///
    /// # Errors
    /// When it died.
    pub async fn aside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, BuildError> {
        // Nobody closes the lane. The place goes with the work, not with who asked for it.
        let place = Arc::clone(&self.0.asides).acquire_owned().await;
        let work = move || {
            let _place = place;
            work()
        };
        spawn_blocking(work).await.map_err(died)
    }

    /// The turn of somebody who builds by himself. Blocks, so never in a task.
    pub fn turn(&self, archive: &Path) -> Turn {
        let mine = self.0.place(archive);
        Turn { inner: Arc::clone(&self.0), archive: archive.to_owned(), held: Some(mine.blocking_lock_owned()) }
    }
}

async fn carry_out(inner: &Arc<Inner>, archive: &Path, order: Arc<dyn Order>) -> Outcome {
    let held = Some(inner.place(archive).lock_owned().await);
    let _turn = Turn { inner: Arc::clone(inner), archive: archive.to_owned(), held };
    // Nobody closes the lanes.
    let place = inner.looks.acquire().await;
    // Whoever comes from here on may know of a change that is not seen any more.
    inner.gathering().remove(archive);
    let looking = Arc::clone(&order);
    let looked = spawn_blocking(move || looking.look()).await.unwrap_or_else(|error| Some(Err(died(error))));
    drop(place);
    if let Some(outcome) = looked {
        return outcome;
    }
    let _place = inner.builds.acquire().await;
    spawn_blocking(move || order.build()).await.unwrap_or_else(|error| Err(died(error)))
}

fn died(error: JoinError) -> BuildError {
    let why = |said: Box<dyn Any + Send>| match said.downcast::<String>() {
        Ok(text) => *text,
        Err(said) => said.downcast_ref::<&str>().map_or("for no reason given", |text| text).to_owned(),
    };
    BuildError::Died(error.try_into_panic().map_or_else(|error| error.to_string(), why))
}

impl Inner {
    fn place(&self, archive: &Path) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(self.turns().entry(archive.to_owned()).or_default())
    }

    fn gathering(&self) -> MutexGuard<'_, HashMap<PathBuf, watch::Receiver<Option<Outcome>>>> {
        self.gathering.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to build an archive; given back when dropped.
#[derive(Debug)]
#[must_use]
pub struct Turn {
    inner: Arc<Inner>,
    archive: PathBuf,
    held: Option<OwnedMutexGuard<()>>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut turns = self.inner.turns();
        self.held = None;
        // Whoever waits for it holds it, too.
        if turns.get(&self.archive).is_some_and(|place| Arc::strong_count(place) == 1) {
            turns.remove(&self.archive);
        }
    }
}

/// Somebody's wait for an order; letting go of it changes nothing for the order.
#[derive(Debug)]
pub struct Waiting(watch::Receiver<Option<Outcome>>);

impl Waiting {
    /// The outcome; `None` when it is not there in time.
    pub async fn at_most(mut self, patience: Duration) -> Option<Outcome> {
        let outcome = tokio::time::timeout(patience, self.0.wait_for(Option::is_some)).await.ok()?;
        let nobody = || Some(Err(BuildError::Died("nobody carried it out".into())));
        outcome.map_or_else(|_| nobody(), |outcome| outcome.clone())
    }
}

#[cfg(test)]
pub(super) mod tests {
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
    pub(in super::super) const EVER: Duration = Duration::from_secs(3600);

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
        until(|| line.0.turns().is_empty() && line.0.gathering().is_empty()).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_order_and_somebody_who_builds_by_himself_take_turns_and_leave_nothing_in_the_line() {
        let (line, slow) = (Line::default(), Arc::new(SlowBuild::default()));
        let mine = line.clone();
        let turn = tokio::task::spawn_blocking(move || mine.turn(Path::new("a"))).await.unwrap();
        let order = line.order(Path::new("a"), || Arc::clone(&slow) as Arc<dyn Order>);
        let other = line.order(Path::new("b"), || Arc::clone(&slow) as Arc<dyn Order>);
        slow.open();
        assert!(other.at_most(EVER).await.unwrap().is_ok());
        assert_eq!(slow.looks.load(Ordering::SeqCst), 1, "the order for a waits");
        drop(turn);
        assert!(order.at_most(EVER).await.unwrap().is_ok());
        let mine = line.clone();
        tokio::task::spawn_blocking(move || drop(mine.turn(Path::new("c")))).await.unwrap();
        until(|| line.0.turns().is_empty()).await;
    }

    /// An order that dies.
    pub(in super::super) struct BrokenOrder {
        pub(in super::super) looks: bool,
    }

    impl Order for BrokenOrder {
        fn look(&self) -> Option<Outcome> {
            assert!(self.looks, "a look on purpose");
            None
        }

        fn build(&self) -> Outcome {
            panic!("a build on {}", "purpose")
        }
    }

    #[tokio::test]
    async fn few_things_are_done_aside_at_a_time_also_when_nobody_waits_for_them() {
        let line = Line::default();
        let lane = line.0.asides.available_permits();
        let slow = Arc::new(SlowBuild::default());
        let asked: Vec<_> = (0..3 * lane)
            .map(|_| {
                let (line, slow) = (line.clone(), Arc::clone(&slow));
                tokio::spawn(async move { line.aside(move || slow.build().is_ok()).await.unwrap() })
            })
            .collect();
        until(|| slow.at_once.load(Ordering::SeqCst) == lane).await;
        // These go away; what was begun for them goes on in its place.
        asked.iter().take(lane).for_each(|one| one.abort());
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        slow.open();
        for one in asked.into_iter().skip(lane) {
            assert!(one.await.unwrap());
        }
        until(|| slow.builds.load(Ordering::SeqCst) == 3 * lane).await;
        assert_eq!(slow.most_at_once.load(Ordering::SeqCst), lane);
        let died = line.aside::<()>(|| std::panic::panic_any(String::from("so"))).await.unwrap_err();
        assert!(matches!(died, BuildError::Died(why) if why == "so"));
    }

    #[tokio::test]
    async fn an_order_that_dies_says_why_at_once_and_leaves_the_line_as_it_was() {
        let line = Line::default();
        for (looks, why) in [(false, "a look on purpose"), (true, "a build on purpose")] {
            let broken = line.order(Path::new("a"), || Arc::new(BrokenOrder { looks }));
            let outcome = broken.at_most(EVER).await.unwrap();
            assert!(matches!(&outcome, Err(BuildError::Died(said)) if said == why), "{outcome:?}");
        }
        let slow = Arc::new(SlowBuild::default());
        slow.open();
        let next = line.order(Path::new("a"), || Arc::clone(&slow) as Arc<dyn Order>);
        assert_eq!(next.at_most(EVER).await.unwrap().unwrap(), PathBuf::from("1"));
        until(|| line.0.turns().is_empty() && line.0.gathering().is_empty()).await;
    }
}
