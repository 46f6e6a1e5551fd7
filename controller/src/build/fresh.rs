//! Is an archive what it should be, and who builds it when it is not: of several callers one, and the others wait.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use model::Node;

use super::files::Files;
use super::make::{build, input};
use super::{BuildError, OverlayKind, Workshop, group};

/// The archive, built when it must be.
pub(super) fn fresh(shop: &Workshop, node: &Arc<Node>, kind: OverlayKind) -> Result<PathBuf, BuildError> {
    let files = Files::of(&shop.site, &node.id, kind);
    if !must_build(shop, node, kind, &files) {
        return Ok(files.image);
    }
    let turn = {
        let mut turns = shop.works.turns.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(files.image.clone()).or_default())
    };
    let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
    // Whoever had the turn before may have done the work.
    if !must_build(shop, node, kind, &files) {
        return Ok(files.image);
    }
    let built = match failed_before(shop, node, kind, &files) {
        Some(error) => Err(error),
        None => build(shop, node, kind).map(|_| ()),
    };
    let mut troubles = shop.works.troubles.lock().unwrap_or_else(PoisonError::into_inner);
    match &built {
        Ok(()) => troubles.remove(&files.image),
        Err(error) => {
            let words = format!("the {kind} overlay of {} is not built: {error}", node.id);
            troubles.insert(files.image.clone(), (node.id.clone(), words))
        }
    };
    drop(troubles);
    match built {
        Ok(()) => Ok(files.image),
        Err(error) if files.present() => {
            tracing::warn!("the last good {kind} overlay of {} is sent: {error}", node.id);
            Ok(files.image)
        }
        Err(error) => Err(error),
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
    let (then, error) = failures.get(&files.image)?;
    (input(shop, node, kind, &then.reads)? == *then).then(|| error.clone())
}
