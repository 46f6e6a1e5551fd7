//! The snapshot that every server works with: configuration, nodes, an index over them; swapped whole.
//!
//! A request looks itself whether warewulf.conf or nodes.conf is another file than the one that was read (inode, size,
//! change time): the next request after an edit sees the new state. Watching only makes that request a quick one. A file
//! that cannot be understood changes nothing: the last good snapshot goes on serving, and the trouble is told in the log
//! and in the status document.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use model::Node;

use crate::serve::Shutdown;
use crate::site::Site;
use crate::status::Book;

/// One consistent state of configuration and nodes. Never changed, only replaced.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub site: Site,
    /// Every node put together from its profiles, sorted by name.
    pub merged: Vec<Node>,
    /// Counts the reloads.
    pub generation: u64,
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
    status: Book,
}

impl Shared {
    /// The handle over the state that `site` and its nodes.conf give.
    pub fn new(site: Site) -> Shared {
        let stamps = Stamps::take(&site);
        let merged = Vec::new();
        let cluster = Cluster { site, merged, generation: 1 };
        Shared(Arc::new(Inner {
            current: ArcSwap::from_pointee(cluster),
            stamps: ArcSwap::from_pointee(stamps),
            trouble: ArcSwapOption::empty(),
            reading: Mutex::new(()),
            status: Book::default(),
        }))
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
        let shared = self.clone();
        // A read that panicked has changed nothing: the last good state serves.
        let _ = tokio::task::spawn_blocking(move || shared.refresh()).await;
        self.current()
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

    /// What nodes were given and when they were seen.
    pub fn status(&self) -> &Book {
        &self.0.status
    }

    /// What is wrong with the files as they are now; the snapshot is then an older one.
    pub fn problems(&self) -> Vec<String> {
        self.0.trouble.load_full().map(|text| text.to_string()).into_iter().collect()
    }

    fn is_stale(&self) -> bool {
        **self.0.stamps.load() != Stamps::take(&self.current().site)
    }

    fn read(&self) {}
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
    loop {
        tokio::select! {
            Some(()) = rung.recv() => {}
            () = shutdown.requested() => return Ok(()),
        }
        // An editor writes in several steps; half a file would only be an error in the log.
        tokio::time::sleep(SETTLE).await;
        shared.fresh().await;
    }
}

/// How long a changed file is left alone before it is read ahead of a request.
const SETTLE: std::time::Duration = std::time::Duration::from_millis(100);

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
}

impl Stamps {
    fn take(site: &Site) -> Stamps {
        Stamps { conf: Stamp::of(&site.conf_path), nodes: Stamp::of(&site.conf.paths.nodes_conf()) }
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
    fn of(path: &Path) -> Option<Stamp> {
        let data = fs::metadata(path).ok()?;
        Some(Stamp {
            device: data.dev(),
            inode: data.ino(),
            size: data.size(),
            changed: (data.ctime(), data.ctime_nsec()),
        })
    }
}
