//! The snapshot that every server works with: configuration, nodes, an index over them; swapped whole.
//!
//! A request looks itself whether warewulf.conf or nodes.conf is another file than the one that was read (inode, size,
//! change time): the next request after an edit sees the new state, however quick the edits and whatever times an editor
//! gives the file. Watching only makes that request a quick one. A file that cannot be understood changes nothing: the
//! last good snapshot goes on serving, and the trouble is told in the log and in the status document.

use std::borrow::Borrow;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use boot::http::Directory;
use model::{Node, NodesConf};
use tokio::sync::watch;

use crate::build::{Works, tick, wait};
use crate::serve::Shutdown;
use crate::site::Site;
use crate::status::Book;
use crate::store;

/// One consistent state of configuration and nodes. Never changed, only replaced.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub site: Arc<Site>,
    /// Every node put together from its profiles, sorted by name. Overlay builds hold the same ones.
    pub merged: Vec<Arc<Node>>,
    /// Who of `merged` has which address.
    pub directory: Directory,
    /// False until nodes.conf could be read for the first time.
    pub usable: bool,
    /// Counts the reloads.
    pub generation: u64,
    /// What overlay builds of all generations share.
    pub works: Arc<Works>,
}

impl Cluster {
    /// A snapshot of these nodes.
    pub fn new(
        site: impl Into<Arc<Site>>,
        nodes: impl Borrow<NodesConf>,
        generation: u64,
        works: Arc<Works>,
    ) -> Cluster {
        let merged: Vec<_> = nodes.borrow().all_merged().into_iter().map(Arc::new).collect();
        let directory = Directory::new(&merged);
        Cluster { site: site.into(), merged, directory, usable: true, generation, works }
    }

    /// The node of this name, put together.
    pub fn node(&self, name: &str) -> Option<&Node> {
        let at = self.merged.binary_search_by(|node| node.id.as_str().cmp(name)).ok()?;
        self.merged.get(at).map(Arc::as_ref)
    }

    /// What `boot::http` decides with.
    pub fn known(&self) -> boot::http::decide::Nodes<'_> {
        self.usable.then_some((self.merged.as_slice(), &self.directory))
    }
}

/// The handle that every server holds: the current snapshot and the status book. Clones are the same thing.
#[derive(Clone, Debug)]
pub struct Shared(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    current: ArcSwap<Cluster>,
    /// What the files were when they were last looked at, good or not.
    stamps: ArcSwap<Stamps>,
    trouble: ArcSwapOption<String>,
    /// Held while files are read: one reader at a time, the others get what it found.
    reading: Mutex<()>,
    /// Held while an unknown address is given a node.
    claiming: tokio::sync::Mutex<()>,
    /// Held by the one request that has the files read; the others wait here, and in no thread.
    refreshing: tokio::sync::Mutex<()>,
    /// The generation, for those who wait for the next.
    swapped: watch::Sender<u64>,
    status: Book,
}

impl Shared {
    /// The handle over the state that `site` and its nodes.conf give.
    pub fn new(site: impl Into<Arc<Site>>) -> Shared {
        let site = site.into();
        let seen = Stamps::settled(&site);
        let empty =
            Cluster { usable: false, ..Cluster::new(Arc::clone(&site), NodesConf::default(), 0, Arc::default()) };
        let shared = Shared(Arc::new(Inner {
            stamps: ArcSwap::from_pointee(seen.clone()),
            current: ArcSwap::from_pointee(empty),
            trouble: ArcSwapOption::empty(),
            reading: Mutex::new(()),
            claiming: tokio::sync::Mutex::new(()),
            refreshing: tokio::sync::Mutex::new(()),
            swapped: watch::Sender::new(0),
            status: crate::status::keep::remembered(&site),
        }));
        shared.read_nodes(site, seen);
        shared
    }

    /// The snapshot as it stands, without a look at the files.
    pub fn current(&self) -> Arc<Cluster> {
        self.0.current.load_full()
    }

    /// The snapshot after a look at the files. Waits while they are read, if they changed.
    pub async fn fresh(&self) -> Arc<Cluster> {
        if !self.is_stale() {
            return self.current();
        }
        let _turn = self.0.refreshing.lock().await;
        if !self.is_stale() {
            return self.current();
        }
        let shared = self.clone();
        // A read that panicked has changed nothing: the last good state serves.
        let _ = tokio::task::spawn_blocking(move || shared.refresh()).await;
        self.current()
    }

    /// Returns when the snapshot is another than that of `generation`.
    pub async fn changed(&self, generation: u64) {
        // The sender lives as long as this handle.
        let _ = self.0.swapped.subscribe().wait_for(|now| *now != generation).await;
    }

    /// Reads the files again if they are others than those that were read. Blocks.
    pub fn refresh(&self) {
        let _reading = self.0.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_stale() {
            self.read();
        }
    }

    /// Reads the files again in any case, as SIGHUP asks. Blocks.
    pub fn reload(&self) {
        let _reading = self.0.reading.lock().unwrap_or_else(PoisonError::into_inner);
        self.read();
    }

    /// Reads the files again when warewulf.conf is no longer what the site had when it was read: it changed before anybody
    /// looked at its stamp. Blocks.
    pub fn catch_up(&self) {
        let _reading = self.0.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.current();
        // One that cannot be read now was read before it became so: it is told like any other change.
        if Site::read(current.site.conf_path.clone()).map_or(true, |now| now.conf != current.site.conf) {
            self.read();
        }
    }

    /// What nodes were given and when they were seen.
    pub fn status(&self) -> &Book {
        &self.0.status
    }

    /// What is wrong with the files as they are now (the snapshot is then an older one), and which overlays are not built.
    pub fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = self.0.trouble.load_full().map(|text| text.to_string()).into_iter().collect();
        let cluster = self.current();
        problems.extend(cluster.works.problems(&cluster.merged));
        problems
    }

    /// The turn to give an unknown address a node.
    pub async fn claiming(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.0.claiming.lock().await
    }

    fn is_stale(&self) -> bool {
        let seen = self.0.stamps.load();
        seen.moving || **seen != Stamps::take(&self.current().site, &mut |_| ())
    }

    /// Reads both files. What cannot be understood leaves the snapshot as it is. The lock is the caller's.
    fn read(&self) {
        let current = self.current();
        // Before the files: one that changes while it is read is then read again at the next look.
        let seen = Stamps::settled(&current.site);
        match Site::read(current.site.conf_path.clone()) {
            Ok(site) => self.read_nodes(site.into(), seen),
            Err(error) => self.keep_last_good(&error, seen),
        }
    }

    /// `seen`: what the files were before they were read.
    fn read_nodes(&self, site: Arc<Site>, seen: Stamps) {
        // nodes.conf may lie elsewhere by the new configuration.
        let stamps = Stamps { conf: seen.conf, ..Stamps::settled(&site) };
        let nodes = if site.conf.paths.nodes_conf().exists() {
            store::nodes::load(&site)
        } else {
            // As in stock: a site begins without one.
            Ok(NodesConf::default())
        };
        let nodes = match nodes {
            Ok(nodes) => nodes,
            Err(error) => return self.keep_last_good(&error, seen),
        };
        for warning in nodes.warnings() {
            tracing::warn!("nodes.conf: {warning}");
        }
        let current = self.current();
        let cluster = Cluster::new(site, nodes, current.generation + 1, Arc::clone(&current.works));
        tracing::info!("{} nodes, generation {}", cluster.merged.len(), cluster.generation);
        self.0.status.reloaded(cluster.merged.iter().map(|node| node.id.as_str()));
        let generation = cluster.generation;
        self.0.current.store(Arc::new(cluster));
        current.works.clear_bench();
        self.0.swapped.send_replace(generation);
        self.0.trouble.store(None);
        // Last: until now everybody else finds the old state stale, and waits for this one.
        self.0.stamps.store(Arc::new(stamps));
    }

    fn keep_last_good(&self, error: &anyhow::Error, seen: Stamps) {
        let text = format!("{error:#}");
        let state = if self.current().usable { "the last good state goes on serving" } else { "nodes get 503" };
        tracing::error!("{text}; {state}");
        self.0.trouble.store(Some(Arc::new(text)));
        self.0.stamps.store(Arc::new(seen));
    }
}

/// Reads the files when one of them changes, so that the next request need not. Ends on shutdown.
///
/// # Errors
/// Never: where watching is impossible requests still look for themselves.
pub async fn watch(shared: Shared, shutdown: Shutdown) -> io::Result<()> {
    let (bell, mut rung) = tokio::sync::mpsc::channel(1);
    let watcher = watcher(&shared.current().site, bell);
    if let Err(error) = &watcher {
        tracing::warn!("files are not watched, each request looks for itself: {error}");
    }
    // What changed before the watch was there rings no bell.
    shared.fresh().await;
    let mut again = tokio::time::interval(MEND);
    again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            Some(()) = rung.recv() => {}
            _ = again.tick() => {
                wait::mend(&shared);
                continue;
            }
            () = shutdown.requested() => return Ok(()),
        }
        // An editor writes in several steps; half a file would only be an error in the log.
        tokio::time::sleep(SETTLE).await;
        shared.fresh().await;
    }
}

/// How long a changed file is left alone before it is read ahead of a request.
const SETTLE: std::time::Duration = std::time::Duration::from_millis(100);

/// How often overlays that could not be built are looked at, though their nodes do not ask.
const MEND: std::time::Duration = std::time::Duration::from_secs(10);

/// Rings `bell` when something happens in a folder of the files. Folders, because the files are replaced by rename.
fn watcher(site: &Site, bell: tokio::sync::mpsc::Sender<()>) -> notify::Result<notify::RecommendedWatcher> {
    use notify::Watcher;
    let files = [site.conf_path.clone(), site.conf.paths.nodes_conf()];
    let wanted = files.clone();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return };
        let read_only = event.kind.is_access();
        if !read_only && event.paths.iter().any(|path| wanted.contains(path)) {
            // Full means that the bell is ringing already.
            let _ = bell.try_send(());
        }
    })?;
    let mut folders: Vec<PathBuf> = files.iter().filter_map(|file| file.parent().map(Path::to_path_buf)).collect();
    folders.dedup();
    for folder in folders {
        watcher.watch(&folder, notify::RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

/// What tells one state of the two files from another.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamps {
    conf: Option<Stamp>,
    nodes: Option<Stamp>,
    /// They are written all the time, so that the stamps tell nothing.
    moving: bool,
}

impl Stamps {
    fn take(site: &Site, saw: &mut dyn FnMut(&Metadata)) -> Stamps {
        let nodes = Stamp::of(&site.conf.paths.nodes_conf(), saw);
        Stamps { conf: Stamp::of(&site.conf_path, saw), nodes, moving: false }
    }

    /// Stamps that no later change bears: waits out the tick of the clock in which a file changed. Blocks.
    fn settled(site: &Site) -> Stamps {
        let (stamps, settled) = tick::settled(|tick| Stamps::take(site, &mut |data| tick.saw(data)));
        Stamps { moving: !settled, ..stamps }
    }
}

/// Identity of a file's content: a write changes size or change time, a replacement the inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Stamp {
    /// `None`: the file is not there.
    fn of(path: &Path, saw: &mut dyn FnMut(&Metadata)) -> Option<Stamp> {
        let data = fs::metadata(path).ok()?;
        saw(&data);
        Some(Stamp {
            device: data.dev(),
            inode: data.ino(),
            size: data.size(),
            changed: (data.ctime(), data.ctime_nsec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::write;

    struct Home(tempfile::TempDir);

    impl Home {
        fn new(nodes: &str) -> (Home, Shared) {
            let home = Home(tempfile::tempdir().unwrap());
            fs::create_dir(home.0.path().join("warewulf")).unwrap();
            home.conf("");
            home.nodes(nodes);
            let shared = Shared::new(Site::read(home.path("warewulf.conf")).unwrap());
            (home, shared)
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join("warewulf").join(name)
        }

        fn conf(&self, more: &str) {
            write(self.path("warewulf.conf"), format!("paths: {{sysconfdir: {}}}\n{more}", self.0.path().display()))
                .unwrap();
        }

        fn nodes(&self, text: &str) {
            write(self.path("nodes.conf"), text).unwrap();
        }
    }

    fn names(shared: &Shared) -> Vec<String> {
        shared.current().merged.iter().map(|node| node.id.clone()).collect()
    }

    #[test]
    fn an_edit_is_seen_by_the_next_look() {
        let (home, shared) = Home::new("nodes: {c1: {}}");
        assert_eq!(names(&shared), ["c1"]);
        home.nodes("nodes: {c1: {}, c2: {}}");
        shared.refresh();
        assert_eq!(names(&shared), ["c1", "c2"]);
        assert_eq!(shared.current().node("c2").unwrap().id, "c2");
        assert_eq!(shared.current().generation, 2);
        shared.refresh();
        assert_eq!(shared.current().generation, 2, "nothing changed, nothing was read");
    }

    #[test]
    fn a_snapshot_that_was_replaced_is_let_go_of_with_the_last_request_that_has_it() {
        let (home, shared) = Home::new("nodes: {c1: {}}");
        let request = shared.current();
        crate::build::Workshop::of(&request);
        let old = Arc::downgrade(request.merged.first().unwrap());
        home.nodes("nodes: {c1: {}, c2: {}}");
        shared.refresh();
        assert!(old.upgrade().is_some());
        drop(request);
        assert!(old.upgrade().is_none(), "no build's bench holds its nodes");
    }

    #[test]
    fn every_one_of_many_quick_edits_is_seen_both_in_place_and_by_rename() {
        let (home, shared) = Home::new("nodes: {c0: {}}");
        for round in 1..60 {
            // Of one length, many within a tick of the clock.
            let text = format!("nodes: {{c{}: {{}}}}", round % 10);
            if round % 3 == 0 {
                write(home.path(".nodes.conf.swp"), &text).unwrap();
                fs::rename(home.path(".nodes.conf.swp"), home.path("nodes.conf")).unwrap();
            } else {
                home.nodes(&text);
            }
            shared.refresh();
            assert_eq!(names(&shared), [format!("c{}", round % 10)], "round {round}");
        }
    }

    #[test]
    fn an_older_file_put_back_with_its_times_is_seen() {
        let (home, shared) = Home::new("nodes: {c1: {}}");
        let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(86_400);
        home.nodes("nodes: {c2: {}}");
        fs::File::options().write(true).open(home.path("nodes.conf")).unwrap().set_modified(old).unwrap();
        shared.refresh();
        assert_eq!(names(&shared), ["c2"]);
        write(home.path("backup"), "nodes: {c3: {}}").unwrap();
        fs::File::options().write(true).open(home.path("backup")).unwrap().set_modified(old).unwrap();
        fs::rename(home.path("backup"), home.path("nodes.conf")).unwrap();
        shared.refresh();
        assert_eq!(names(&shared), ["c3"]);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn thousands_that_ask_after_one_edit_read_it_once_and_hold_up_nobody() {
        let (home, shared) = Home::new("nodes: {c1: {}}");
        home.nodes("nodes: {c2: {}}");
        // Somebody reads, and takes his time.
        let (holds, held) = std::sync::mpsc::channel();
        let (done, end) = std::sync::mpsc::channel::<()>();
        let slow = shared.clone();
        let reader = std::thread::spawn(move || {
            let _reading = slow.0.reading.lock().unwrap();
            holds.send(()).unwrap();
            let _ = end.recv();
        });
        held.recv().unwrap();
        let asking: Vec<_> = (0..2000)
            .map(|_| {
                let shared = shared.clone();
                tokio::spawn(async move { shared.fresh().await.generation })
            })
            .collect();
        for number in 0..100 {
            assert_eq!(tokio::task::spawn_blocking(move || number).await.unwrap(), number);
        }
        drop(done);
        reader.join().unwrap();
        for asked in asking {
            assert_eq!(asked.await.unwrap(), 2);
        }
    }

    #[test]
    fn a_broken_nodes_conf_keeps_the_last_good_one_and_is_named_with_its_place() {
        let (home, shared) = Home::new("nodes: {c1: {}}");
        home.nodes("nodes:\n  c1:\n    network devices\n      x: [\n");
        shared.refresh();
        assert_eq!(names(&shared), ["c1"]);
        let problems = shared.problems();
        assert!(problems[0].contains("nodes.conf: line "), "{problems:?}");
        home.nodes("nodes: {c3: {}}");
        shared.refresh();
        assert_eq!((names(&shared), shared.problems()), (vec!["c3".to_string()], vec![]));
    }

    #[test]
    fn a_broken_warewulf_conf_keeps_the_last_good_one() {
        let (home, shared) = Home::new("nodes: {c1: {}}");
        home.conf("warewulf: {port: [\n");
        shared.reload();
        assert_eq!(names(&shared), ["c1"]);
        assert!(shared.problems()[0].contains("warewulf.conf: line "), "{:?}", shared.problems());
        home.conf("warewulf: {update interval: 7}\n");
        shared.refresh();
        assert_eq!(shared.current().site.conf.warewulf.update_interval, 7);
    }

    #[test]
    fn a_start_with_a_broken_file_is_unusable_until_it_is_mended() {
        let (home, shared) = Home::new("nodes: [");
        assert!(shared.current().known().is_none());
        home.nodes("");
        shared.refresh();
        assert!(shared.current().known().is_some());
    }

    #[test]
    fn no_nodes_conf_is_an_empty_one() {
        let (home, shared) = Home::new("nodes: {c1: {}}");
        fs::remove_file(home.path("nodes.conf")).unwrap();
        shared.refresh();
        assert_eq!((names(&shared), shared.current().usable), (vec![], true));
    }

    #[tokio::test]
    async fn watching_reads_ahead_of_requests() {
        let (home, shared) = Home::new("nodes: {c1: {}}");
        let (trigger, shutdown) = crate::serve::shutdown();
        let watching = tokio::spawn(watch(shared.clone(), shutdown));
        for round in 0.. {
            // The watcher may not be up yet when the first edit is made.
            home.nodes(&format!("nodes: {{c2: {{comment: x{round}}}}}"));
            tokio::time::sleep(SETTLE * 3).await;
            if names(&shared) == ["c2"] {
                break;
            }
            assert!(round < 50, "never noticed");
        }
        trigger.pull();
        watching.await.unwrap().unwrap();
    }
}
