//! Is an archive what it should be, and who builds it when it is not: of several callers one, and the others wait.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use model::Node;

use super::files::Files;
use super::known::Eyes;
use super::make::{build, input};
use super::watch::Moment;
use super::{BuildError, OverlayKind, Works, Workshop, group};
use crate::cluster::Cluster;

/// How an archive stands.
#[derive(Debug)]
#[must_use]
pub(super) enum Standing {
    /// It is what a build would make, or nobody asks for more.
    Fresh(PathBuf),
    /// It must be built.
    Stale,
    /// It must be built, and that failed before with the same inputs.
    Failed(BuildError),
}

/// When an archive was found to be fresh, and as which files: until something happens, it still is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settled {
    moment: Moment,
    generation: u64,
    files: String,
    /// When somebody read it last.
    read: Instant,
}

/// What was read so lately is in memory still: reading it again waits for no disk.
const AT_HAND: Duration = Duration::from_secs(600);

/// The archive when nothing happened since it was found to be fresh, and whether it is at hand: the quick answer, a few
/// system calls. `None` means that somebody must look.
pub(super) fn settled(cluster: &Cluster, node: &Node, kind: OverlayKind) -> Option<(PathBuf, bool)> {
    let Cluster { site, works, generation, .. } = cluster;
    let files = Files::of(site, &node.id, kind);
    let (known, at_hand) = {
        let mut all = works.settled.lock().unwrap_or_else(PoisonError::into_inner);
        let settled = all.get_mut(&files.image).filter(|settled| settled.generation == *generation)?;
        let now = Instant::now();
        let before = std::mem::replace(&mut settled.read, now);
        (settled.clone(), now.duration_since(before) < AT_HAND)
    };
    let same = works.eyes.moment().same_since(known.moment)
        && site.conf.warewulf.autobuild_overlays
        && files.identity().as_ref() == Some(&known.files);
    same.then_some((files.image, at_hand))
}

/// Looks how an archive stands. Blocks.
pub(super) fn look(shop: &Workshop, node: &Arc<Node>, kind: OverlayKind) -> Standing {
    let files = Files::of(&shop.site, &node.id, kind);
    let eyes: &Eyes = &shop.works.eyes;
    let begun = eyes.moment();
    if must_build(shop, node, kind, &files) {
        return match failed_before(shop, node, kind, &files) {
            Some(error) => Standing::Failed(error),
            None => Standing::Stale,
        };
    }
    // What failed was undone.
    shop.works.troubles.clear(&files.image);
    let now = eyes.moment();
    if now.kept_since(begun)
        && let Some(identity) = files.identity()
    {
        let settled = Settled { moment: begun, generation: shop.generation, files: identity, read: Instant::now() };
        let mut all = shop.works.settled.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(files.image.clone(), settled);
    }
    Standing::Fresh(files.image)
}

/// Builds, in a turn of the line. What fails is noted, and the last good archive is the answer when there is one. Blocks.
pub(super) fn make(shop: &Workshop, node: &Arc<Node>, kind: OverlayKind) -> Result<PathBuf, BuildError> {
    match build(shop, node, kind) {
        Ok(detours) => {
            detours.into_iter().for_each(|word| shop.works.warn(word));
            let image = Files::of(&shop.site, &node.id, kind).image;
            shop.works.troubles.clear(&image);
            Ok(image)
        }
        Err(error) => not_built(shop, node, kind, error),
    }
}

/// As [`failed`], of an archive of this workshop.
pub(super) fn not_built(
    shop: &Workshop,
    node: &Node,
    kind: OverlayKind,
    error: BuildError,
) -> Result<PathBuf, BuildError> {
    failed(&shop.works, &Files::of(&shop.site, &node.id, kind), node, kind, error)
}

/// Notes what went wrong; the last good archive is the answer when there is one.
pub(super) fn failed(
    works: &Works,
    files: &Files,
    node: &Node,
    kind: OverlayKind,
    error: BuildError,
) -> Result<PathBuf, BuildError> {
    works.troubles.note(&files.image, &node.id, kind, &error);
    if !files.present() {
        return Err(error);
    }
    tracing::warn!("the last good {kind} overlay of {} is sent: {error}", node.id);
    Ok(files.image.clone())
}

/// The archive, built when it must be. Blocks; of several callers one builds.
pub(super) fn fresh(shop: &Workshop, node: &Arc<Node>, kind: OverlayKind) -> Result<PathBuf, BuildError> {
    if let Standing::Fresh(image) = look(shop, node, kind) {
        return Ok(image);
    }
    let _turn = shop.works.line.turn(&Files::of(&shop.site, &node.id, kind).image);
    // Whoever had the turn before may have done the work.
    match look(shop, node, kind) {
        Standing::Fresh(image) => Ok(image),
        Standing::Stale => make(shop, node, kind),
        Standing::Failed(error) => not_built(shop, node, kind, error),
    }
}

/// Missing, or stale where staleness counts.
fn must_build(shop: &Workshop, node: &Arc<Node>, kind: OverlayKind, files: &Files) -> bool {
    if !files.present() {
        return true;
    }
    if !shop.site.conf.warewulf.autobuild_overlays {
        return false;
    }
    match files.record() {
        Some(record) => {
            Some(&record.files) != files.identity().as_ref()
                || input(shop, node, kind, &record.reads).is_none_or(|now| now.digest != record.input)
        }
        // Cut short by a power cut, perhaps.
        None if group::was_cut_short(&files.memory) => true,
        // Nobody knows what it was made from: stock's rule.
        None => fs::metadata(&files.image).map_or(true, |image| {
            fs::metadata(shop.site.conf.paths.nodes_conf())
                .is_ok_and(|conf| (image.ctime(), image.ctime_nsec()) < (conf.ctime(), conf.ctime_nsec()))
        }),
    }
}

/// The error of the last try, when nothing that it depended on changed since.
fn failed_before(shop: &Workshop, node: &Arc<Node>, kind: OverlayKind, files: &Files) -> Option<BuildError> {
    let failures = shop.works.failures.lock().unwrap_or_else(PoisonError::into_inner);
    let (then, error) = failures.get(&files.image)?.clone();
    // Looking may take long, and others build meanwhile.
    drop(failures);
    (input(shop, node, kind, &then.reads)? == then).then_some(error)
}
