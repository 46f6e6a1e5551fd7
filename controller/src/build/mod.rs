//! Building overlays: collect -> render -> archive -> publish, when something that they are made of changed.
//!
//! A built overlay is an immutable file that is replaced by rename. In `<wwprovisiondir>/.overlays` lies a record of
//! what it was made from: that decides whether to build again. What comes out the same stays the same
//! file, with its ETag and its times. Without a record, stock's rule holds: older than nodes.conf is stale.

pub mod bodies;
pub mod bulk;
pub mod disk;
mod files;
mod forget;
mod fresh;
mod glimpse;
pub mod group;
mod held;
pub mod known;
mod line;
mod make;
pub mod maker;
pub mod merged;
pub mod offer;
pub mod opened;
pub mod outside;
pub mod plain;
pub mod recipe;
pub mod record;
pub mod runs;
pub mod shelf;
pub mod since;
pub mod span;
pub mod splice;
pub mod store;
pub(crate) mod tick;
pub mod trees;
pub mod trouble;
pub mod wait;
pub mod watch;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use model::Node;
use render::kept::Kept;
use render::{Job, Overlay, Problem, World};
use thiserror::Error;

use crate::cluster::Cluster;
use crate::site::Site;
use disk::Disk;
use files::Files;
use glimpse::Glimpse;
use held::Held;
use offer::Offer;
use outside::Here;

pub use files::Form;
pub use forget::{forget, forget_others};

/// Which of a node's two lists of overlays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OverlayKind {
    System,
    Runtime,
}

impl OverlayKind {
    pub const BOTH: [OverlayKind; 2] = [OverlayKind::System, OverlayKind::Runtime];

    /// Not this one.
    #[must_use]
    pub fn other(self) -> OverlayKind {
        match self {
            OverlayKind::System => OverlayKind::Runtime,
            OverlayKind::Runtime => OverlayKind::System,
        }
    }

    /// The node's overlays of this kind.
    pub fn list(self, node: &Node) -> &[String] {
        match self {
            OverlayKind::System => &node.profile.system_overlay,
            OverlayKind::Runtime => &node.profile.runtime_overlay,
        }
    }

    /// The name of the archive without `.img`.
    pub fn stem(self) -> &'static str {
        match self {
            OverlayKind::System => "__SYSTEM__",
            OverlayKind::Runtime => "__RUNTIME__",
        }
    }
}

impl fmt::Display for OverlayKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OverlayKind::System => "system",
            OverlayKind::Runtime => "runtime",
        })
    }
}

/// Why an overlay was not built.
#[derive(Clone, Debug, Error)]
pub enum BuildError {
    #[error("there is no node {0}: see wwctl node list")]
    UnknownNode(String),
    #[error("node {node}: there is no overlay {overlay}: create it, or take it out of the node's {kind} overlays")]
    UnknownOverlay { node: String, overlay: String, kind: OverlayKind },
    #[error("{}", lines(.0))]
    Problems(Arc<Vec<Problem>>),
    #[error("overlay {overlay}: {error}")]
    Tree { overlay: String, error: Arc<io::Error> },
    #[error("{path}: {error}", path = .path.display())]
    Write { path: PathBuf, error: Arc<io::Error> },
    #[error("node {node}: {why}")]
    Archive { node: String, why: String },
    #[error("the build died: {0} (an error of wwctl itself; the log says where)")]
    Died(String),
}

impl BuildError {
    /// The reasons, a line each, without the name of the node that met them.
    pub fn reasons(&self) -> Vec<String> {
        let one = match self {
            BuildError::UnknownOverlay { overlay, kind, .. } => {
                format!("there is no overlay {overlay}: create it, or take it out of the node's {kind} overlays")
            }
            BuildError::Problems(problems) => {
                return problems.iter().map(|problem| problem.told().replace('\n', " ")).collect();
            }
            BuildError::Archive { why, .. } => why.clone(),
            BuildError::UnknownNode(_) | BuildError::Tree { .. } | BuildError::Write { .. } | BuildError::Died(_) => {
                self.to_string()
            }
        };
        vec![one.replace('\n', " ")]
    }
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

/// An overlay, and the digest of the state in which it was read.
type Tree = ([u8; 32], Arc<Overlay>);

/// A tree that was read, and whether anybody asked for it since the page was turned.
type Shelved = (Tree, bool);

/// What is made once for each generation.
struct Bench {
    generation: u64,
    site: Arc<Site>,
    world: Arc<World>,
    source: Arc<Disk>,
}

/// What builds share: overlays read and parsed once, the world of a generation, and who is building what.
#[derive(Default)]
pub struct Works {
    trees: Mutex<HashMap<PathBuf, Shelved>>,
    bench: Mutex<Option<Bench>>,
    /// Builds that failed, by archive: with these inputs there is no need to try again.
    failures: Mutex<HashMap<PathBuf, (make::Input, BuildError)>>,
    builds: AtomicU64,
    splicer: splice::Splicer,
    since: since::Since,
    /// Shared pieces that are new since the last sweep.
    fresh_pieces: AtomicUsize,
    bodies: bodies::Bodies,
    outside: OnceLock<Arc<Here>>,
    troubles: trouble::Troubles,
    /// What is known of trees and files until something happens to them.
    eyes: Arc<known::Eyes>,
    /// States of files that are read together, by where the files lie.
    together: Arc<disk::Together>,
    /// Archives that are fresh until something happens.
    settled: Mutex<HashMap<PathBuf, fresh::Settled>>,
    line: line::Line,
    /// What the log said, so that it does not say it for each node.
    told: Mutex<HashSet<String>>,
}

impl Works {
    /// Works that watch nothing: every answer is a look, as where the kernel cannot tell.
    pub fn unwatched() -> Works {
        Works { eyes: Arc::new(known::Eyes::blind()), ..Works::default() }
    }

    /// What is wrong with the overlays of these nodes: the last good ones are sent, or none.
    pub fn problems(&self, nodes: &[Arc<Node>]) -> Vec<String> {
        self.troubles.lines(nodes)
    }

    /// Does what blocks and is not kept, few at a time.
    ///
    /// # Errors
    /// When it died.
    pub async fn aside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, BuildError> {
        self.line.aside(work).await
    }

    /// Puts a warning into the log, once a generation.
    fn warn(&self, word: String) {
        if lock(&self.told).insert(word.clone()) {
            tracing::warn!("{word}");
        }
    }

    /// What was known of nodes, overlays and files that are gone is not kept for ever.
    fn turn_page(&self, generation: u64, world: &World) {
        self.eyes.turn_page(generation);
        lock(&self.settled).clear();
        lock(&self.together).clear();
        lock(&self.told).clear();
        lock(&self.trees).retain(|_, (_, asked)| std::mem::take(asked));
        let node = |archive: &Path| archive.parent()?.file_name()?.to_str().and_then(|id| world.node(id));
        lock(&self.failures).retain(|archive, _| node(archive).is_some());
        self.troubles.only(|id| world.node(id).is_some());
    }

    /// What was made for a generation that is no more is let go of.
    pub(crate) fn clear_bench(&self) {
        *lock(&self.bench) = None;
    }

    /// The files of a site, watched.
    fn source(&self, site: &Site) -> Arc<Disk> {
        let paths = site.conf.paths.clone();
        Arc::new(Disk::watched(paths, Arc::clone(&self.eyes), Arc::clone(&self.together)))
    }

    /// How many archives were rendered so far.
    pub fn builds(&self) -> u64 {
        self.builds.load(Ordering::Relaxed)
    }

    /// How often something that nodes share was packed so far.
    pub fn packings(&self) -> u64 {
        self.splicer.deflated()
    }
}

impl fmt::Debug for Works {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Works").finish_non_exhaustive()
    }
}

/// The archive of a node's overlays, built when it is missing, and when it is stale and `autobuild overlays` is on. The
/// packed form lies beside it. Blocks; of several callers one builds and the others wait.
///
/// # Errors
/// [`BuildError`] when it cannot be built and there is no earlier one.
pub fn fresh_overlay(cluster: &Cluster, node: &str, kind: OverlayKind) -> Result<PathBuf, BuildError> {
    let workshop = Workshop::of(cluster);
    let node = workshop.node(node)?;
    let asked = fresh::fresh(&workshop, &node, kind);
    // As in stock, who asks for one finds both; only the one that was asked for decides.
    let other = kind.other();
    if !Files::of(&workshop.site, &node.id, other).present()
        && let Err(error) = fresh::fresh(&workshop, &node, other)
    {
        tracing::debug!("the {other} overlay of {} is not built: {error}", node.id);
    }
    asked
}

/// As [`fresh_overlay`], and as it is sent.
///
/// # Errors
/// As [`fresh_overlay`].
pub fn fresh_offer(cluster: &Cluster, node: &Node, kind: OverlayKind, packed: bool) -> Result<Offer, BuildError> {
    fresh_overlay(cluster, &node.id, kind)?;
    offered(cluster, node, kind, packed)
}

/// The archive of a node's overlays as it is sent, after [`wait::overlay`]. A recipe whose pieces are gone or cut short is
/// made anew.
///
/// # Errors
/// As [`fresh_overlay`].
pub fn offered(cluster: &Cluster, node: &Node, kind: OverlayKind, packed: bool) -> Result<Offer, BuildError> {
    let files = Files::of(&cluster.site, &node.id, kind);
    let tell = |error| BuildError::Write { path: files.memory.clone(), error: Arc::new(error) };
    let offered = offer::offer(&cluster.site, node, kind, packed).map_err(tell)?;
    if !matches!(offered, Offer::Nothing(_)) || !files.present() {
        return Ok(offered);
    }
    tracing::warn!("the recipe of the {kind} overlay of {} cannot be used: it is built again", node.id);
    {
        let _lock = Files::lock(&cluster.site, shelf::number(&node.id)).map_err(tell)?;
        files.store.forget(&files.name, None).map_err(tell)?;
    }
    fresh_overlay(cluster, &node.id, kind)?;
    offer::offer(&cluster.site, node, kind, packed).map_err(tell)
}

/// All that building needs, for one state of the cluster.
#[derive(Clone)]
pub struct Workshop {
    pub site: Arc<Site>,
    works: Arc<Works>,
    world: Arc<World>,
    source: Arc<Disk>,
    outside: Arc<Here>,
    generation: u64,
    /// As what archives are published.
    form: Form,
    /// Of a group: what was looked at counts for all nodes, and who builds waits for the disk once, at the end.
    held: Option<Arc<Held>>,
}

impl fmt::Debug for Workshop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workshop").field("site", &self.site.conf_path).finish_non_exhaustive()
    }
}

impl Workshop {
    /// The workshop of a running daemon: what an earlier request learned is not learned again.
    pub fn of(cluster: &Cluster) -> Workshop {
        let (generation, site, works) = (cluster.generation, &cluster.site, &cluster.works);
        let mut kept = lock(&works.bench);
        let known = kept.take().filter(|bench| bench.generation == generation && Arc::ptr_eq(&bench.site, site));
        let bench = kept.insert(known.unwrap_or_else(|| {
            let world = Arc::new(world(site, cluster.merged.clone()));
            works.turn_page(generation, &world);
            Bench { generation, site: Arc::clone(site), world, source: works.source(site) }
        }));
        let (world, source) = (Arc::clone(&bench.world), Arc::clone(&bench.source));
        drop(kept);
        Workshop { generation, ..Workshop::with(Arc::clone(site), Arc::clone(works), world, source) }
    }

    /// A workshop of one's own.
    pub fn new(site: impl Into<Arc<Site>>, nodes: &[Node]) -> Workshop {
        let site = site.into();
        let world = Arc::new(world(&site, nodes.iter().cloned().map(Arc::new).collect()));
        let works: Arc<Works> = Arc::default();
        let source = works.source(&site);
        Workshop::with(site, works, world, source)
    }

    fn with(site: Arc<Site>, works: Arc<Works>, world: Arc<World>, source: Arc<Disk>) -> Workshop {
        let outside = Arc::clone(works.outside.get_or_init(Arc::default));
        let form = if site.conf.overlays.materialize { Form::Files } else { Form::Recipe };
        Workshop { site, works, world, source, outside, generation: 0, form, held: None }
    }

    /// The same workshop for builds inside a [`group::Group`], for all of which overlays and files are looked at once.
    #[must_use]
    pub fn grouped(self) -> Workshop {
        let held = Arc::new(Held::new(Arc::clone(&self.source) as Arc<dyn render::Source>));
        Workshop { held: Some(held), ..self }
    }

    /// The same workshop for archives that somebody wants to see as files, whatever the configuration says.
    #[must_use]
    pub fn materialized(self) -> Workshop {
        Workshop { form: Form::Files, ..self }
    }

    /// The node of that name.
    ///
    /// # Errors
    /// [`BuildError::UnknownNode`].
    pub fn node(&self, id: &str) -> Result<Arc<Node>, BuildError> {
        self.world.node(id).map(Arc::clone).ok_or_else(|| BuildError::UnknownNode(id.to_owned()))
    }

    /// All nodes, by cluster name, then name.
    pub fn nodes(&self) -> &[Arc<Node>] {
        self.world.nodes()
    }

    /// Builds in any case; what comes out the same stays the same file. Answers what came to lie elsewhere than its overlay
    /// says, because the image has a link there.
    ///
    /// # Errors
    /// [`BuildError`]; the earlier archive is then still there.
    pub fn build(&self, node: &Arc<Node>, kind: OverlayKind) -> Result<Vec<String>, BuildError> {
        make::build(self, node, kind)
    }

    /// A render for a node.
    pub fn job(&self, node: &Arc<Node>) -> Job {
        Job {
            world: Arc::clone(&self.world),
            node: Arc::clone(node),
            source: match &self.held {
                Some(held) => Arc::clone(held) as Arc<dyn render::Source>,
                None => Arc::new(Glimpse::new(Arc::clone(&self.source) as Arc<dyn render::Source>)),
            },
            outside: Arc::clone(&self.outside) as Arc<dyn render::template::World + Send + Sync>,
            kept: Arc::default(),
        }
    }

    /// A render for a node, with the clocks and lots of what it was last given.
    pub fn job_again(&self, node: &Arc<Node>) -> Job {
        let mut kept = Kept::default();
        for kind in OverlayKind::BOTH {
            let record = files::Files::of(&self.site, &node.id, kind).record().unwrap_or_default();
            record.kept.iter().for_each(|drawn| kept.keep(&drawn));
        }
        Job { kept: Arc::new(kept), ..self.job(node) }
    }

    /// The overlay of that name, the site's first.
    pub fn find(&self, name: &str) -> Option<trees::Found> {
        known::find(&self.works.eyes, &self.site.conf, name)
    }

    /// An overlay as values, and the digest of its state. Read again only when something in it changed.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn overlay(&self, found: &trees::Found) -> Result<Tree, BuildError> {
        let tell = |error| BuildError::Tree { overlay: found.name.clone(), error: Arc::new(error) };
        let digest = known::tree(&self.works.eyes, found).map_err(tell)?;
        if let Some(((state, overlay), asked)) = lock(&self.works.trees).get_mut(&found.root)
            && *state == digest
        {
            *asked = true;
            return Ok((digest, Arc::clone(overlay)));
        }
        let entries = trees::read_layers(found).map_err(tell)?;
        let entries = entries.into_iter().map(|(layer, entry)| (layer.root.to_string_lossy(), entry));
        let overlay = Arc::new(Overlay::layered(&found.name, entries));
        let mut trees = lock(&self.works.trees);
        // Of several who read it at once the first counts: what one renders the others find.
        match trees.get(&found.root) {
            Some(((state, first), _)) if *state == digest => Ok((digest, Arc::clone(first))),
            _ => {
                trees.insert(found.root.clone(), ((digest, Arc::clone(&overlay)), true));
                Ok((digest, overlay))
            }
        }
    }
}

// A thread that died has left what it held as it was.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn world(site: &Site, nodes: Vec<Arc<Node>>) -> World {
    World::sharing(site.conf.clone(), nodes, host_name())
}

/// What the controller calls itself.
pub fn host_name() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Conf, NodesConf};
    use std::fs;

    fn cluster(site: &Arc<Site>, nodes: &str, generation: u64, works: &Arc<Works>) -> Cluster {
        Cluster::new(Arc::clone(site), NodesConf::parse(nodes).unwrap(), generation, Arc::clone(works))
    }

    #[test]
    fn what_was_known_of_nodes_and_overlays_that_are_gone_goes_with_the_page() {
        let dir = tempfile::tempdir().unwrap();
        let mut conf = Conf::default();
        conf.paths.wwprovisiondir = dir.path().join("provision");
        conf.paths.wwoverlaydir = dir.path().join("overlays");
        for (name, text) in [("good", "{{.Id}}"), ("bad", "{{.Nothing}}")] {
            fs::create_dir_all(dir.path().join(format!("overlays/{name}/rootfs"))).unwrap();
            fs::write(dir.path().join(format!("overlays/{name}/rootfs/file.ww")), text).unwrap();
        }
        let site = Arc::new(Site { conf_path: "/none".into(), conf });
        let works: Arc<Works> = Arc::default();
        let of_all = "nodes: {n1: {system overlay: [good]}, n2: {system overlay: [bad]}}";
        let held = || (lock(&works.trees).len(), lock(&works.failures).len(), works.troubles.to_mend().len());
        for generation in 1..=2 {
            let all = cluster(&site, of_all, generation, &works);
            assert!(fresh_overlay(&all, "n1", OverlayKind::System).is_ok());
            assert!(fresh_overlay(&all, "n2", OverlayKind::System).is_err());
            assert!(fresh_overlay(&all, "n3", OverlayKind::System).is_err());
            assert_eq!(held(), (2, 1, 1), "n3 is nobody's name");
        }
        for generation in 3..=4 {
            let one = cluster(&site, "nodes: {n1: {system overlay: [good]}}", generation, &works);
            fresh_overlay(&one, "n1", OverlayKind::System).unwrap();
        }
        assert_eq!(held(), (1, 0, 0));
    }

    #[test]
    fn requests_of_one_generation_work_at_one_bench() {
        let site = Arc::new(Site { conf_path: "/none".into(), conf: Conf::default() });
        let works: Arc<Works> = Arc::default();
        let all = cluster(&site, "nodes: {n1: {}}", 1, &works);
        let (one, two) = (Workshop::of(&all), Workshop::of(&all));
        assert!(Arc::ptr_eq(&one.site, &all.site) && Arc::ptr_eq(&one.site, &two.site));
        assert!(Arc::ptr_eq(&one.world, &two.world) && Arc::ptr_eq(&one.source, &two.source));
        let next = Workshop::of(&cluster(&site, "nodes: {n1: {}}", 2, &works));
        assert!(!Arc::ptr_eq(&one.world, &next.world));
    }
}
