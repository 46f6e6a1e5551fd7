//! One archive: is it stale, how it is made, how it is published.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use archive::{Entry, Kind};
use model::Node;
use render::Overlay;
use render::layer::Placed;
use render::reads::Read;
use sha2::{Digest, Sha256};

use super::record::{Dates, Record, hex, identity};
use super::{BuildError, OverlayKind, Workshop, group, trees};
use crate::site::Site;
use crate::store::publish;

/// What an archive is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Input {
    reads: BTreeSet<Read>,
    digest: String,
}

/// Where the archive lies.
pub(super) fn image(site: &Site, node: &Node, kind: OverlayKind) -> PathBuf {
    site.conf.paths.built_overlays(&node.id).join(format!("{}.img", kind.stem()))
}

/// The archive, built when it must be.
pub(super) fn fresh(shop: &Workshop, node: &Arc<Node>, kind: OverlayKind) -> Result<PathBuf, BuildError> {
    let files = Files::of(&shop.site, node, kind);
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
        Err(error) if files.image.exists() => {
            tracing::warn!("the last good {kind} overlay of {} is sent: {error}", node.id);
            Ok(files.image)
        }
        Err(error) => Err(error),
    }
}

/// Renders and publishes. What comes out the same stays the same file.
pub(super) fn build(shop: &Workshop, node: &Arc<Node>, kind: OverlayKind) -> Result<Vec<String>, BuildError> {
    let files = Files::of(&shop.site, node, kind);
    let write = |error: io::Error| BuildError::Write { path: files.folder.clone(), error: Arc::new(error) };
    for folder in [&files.folder, &files.memory] {
        DirBuilder::new().recursive(true).mode(0o750).create(folder).map_err(write)?;
    }
    // One writer, also beside another process.
    let lock = File::options().create(true).append(true).open(&files.lock).map_err(write)?;
    lock.lock().map_err(write)?;

    let (state, overlays) = overlays(shop, node, kind)?;
    let job = shop.job(node);
    let outcome = job.run(&overlays);
    shop.works.builds.fetch_add(1, Ordering::Relaxed);
    let input = Input { digest: digest(&state, job.key(&outcome.reads)), reads: outcome.reads };
    let mut failures = shop.works.failures.lock().unwrap_or_else(PoisonError::into_inner);
    if !outcome.problems.is_empty() {
        let error = BuildError::Problems(Arc::new(outcome.problems));
        failures.insert(files.image.clone(), (input, error.clone()));
        return Err(error);
    }
    failures.remove(&files.image);
    drop(failures);

    let old = Record::read(&files.record).unwrap_or_default();
    let (entries, dates) = dated(outcome.tree, &old, now());
    let archive = archive::newc::write(&entries)
        .map_err(|error| BuildError::Archive { node: node.id.clone(), why: error.to_string() })?;
    let mut record = Record { input: input.digest, files: String::new(), reads: input.reads, dates };
    let pack = || shop.works.pieces.gzip(&archive, &entries);
    files.publish(&archive, pack, &old, &mut record, shop.grouped).map_err(write)?;
    Ok(outcome.warnings)
}

/// The files of one archive.
struct Files {
    folder: PathBuf,
    memory: PathBuf,
    image: PathBuf,
    packed: PathBuf,
    record: PathBuf,
    lock: PathBuf,
}

impl Files {
    fn of(site: &Site, node: &Node, kind: OverlayKind) -> Files {
        let image = image(site, node, kind);
        let folder = site.conf.paths.built_overlays(&node.id);
        let packed = image.with_extension("img.gz");
        // Apart from the archives, whose folder is as stock leaves it.
        let memory = group::memory(site);
        let record = memory.join(format!(".{}.{kind}.record", node.id));
        let lock = memory.join(format!(".{}.{kind}.lock", node.id));
        Files { folder, memory, image, packed, record, lock }
    }

    fn identity(&self) -> Option<String> {
        identity(&[&self.image, &self.packed])
    }

    fn publish(
        &self,
        archive: &[u8],
        pack: impl FnOnce() -> io::Result<Vec<u8>>,
        old: &Record,
        record: &mut Record,
        grouped: bool,
    ) -> io::Result<()> {
        let replace = if grouped { publish::replace_for_now } else { publish::replace_with };
        let known = self.identity().filter(|files| *files == old.files);
        let same = known.is_some() && fs::read(&self.image).is_ok_and(|present| present == archive);
        if !same {
            // A crash between the two leaves a record that fits neither state, and the next look builds again.
            replace(&self.packed, 0o600, &pack()?)?;
            replace(&self.image, 0o600, archive)?;
        }
        record.files = self.identity().unwrap_or_default();
        record.write(&self.record)
    }
}

/// Missing, or stale where staleness counts.
fn must_build(shop: &Workshop, node: &Arc<Node>, kind: OverlayKind, files: &Files) -> bool {
    let Ok(image) = fs::metadata(&files.image) else { return true };
    if !shop.site.conf.warewulf.autobuild_overlays {
        return false;
    }
    match Record::read(&files.record) {
        Some(record) => {
            Some(&record.files) != files.identity().as_ref()
                || input(shop, node, kind, &record.reads).is_none_or(|now| now.digest != record.input)
        }
        // Cut short by a power cut, perhaps.
        None if group::was_cut_short(&files.memory) => true,
        // Nobody knows what it was made from: stock's rule.
        None => fs::metadata(shop.site.conf.paths.nodes_conf())
            .is_ok_and(|conf| (image.ctime(), image.ctime_nsec()) < (conf.ctime(), conf.ctime_nsec())),
    }
}

/// The error of the last try, when nothing that it depended on changed since.
fn failed_before(shop: &Workshop, node: &Arc<Node>, kind: OverlayKind, files: &Files) -> Option<BuildError> {
    let failures = shop.works.failures.lock().unwrap_or_else(PoisonError::into_inner);
    let (then, error) = failures.get(&files.image)?;
    (input(shop, node, kind, &then.reads)? == *then).then(|| error.clone())
}

/// The state of what was read, now. `None` when an overlay cannot be read.
fn input(shop: &Workshop, node: &Arc<Node>, kind: OverlayKind, reads: &BTreeSet<Read>) -> Option<Input> {
    let (state, _) = overlays(shop, node, kind).ok()?;
    Some(Input { reads: reads.clone(), digest: digest(&state, shop.job(node).key(reads)) })
}

fn digest(overlays: &[u8; 32], key: [u8; 32]) -> String {
    let mut digest = Sha256::new();
    // Another version may render the same inputs otherwise.
    digest.update(env!("CARGO_PKG_VERSION"));
    digest.update(overlays);
    digest.update(key);
    hex(&digest.finalize())
}

/// The node's overlays of a kind, and a digest over their state.
fn overlays(shop: &Workshop, node: &Arc<Node>, kind: OverlayKind) -> Result<([u8; 32], Vec<Arc<Overlay>>), BuildError> {
    let mut digest = Sha256::new();
    let mut all = Vec::new();
    for name in kind.list(node) {
        let found = trees::find(&shop.site.conf.paths, name).ok_or_else(|| BuildError::UnknownOverlay {
            node: node.id.clone(),
            overlay: name.clone(),
            kind,
        })?;
        let (state, overlay) = shop.overlay(&found)?;
        digest.update(found.root.as_os_str().as_encoded_bytes());
        digest.update([0]);
        digest.update(state);
        all.push(overlay);
    }
    Ok((digest.finalize().into(), all))
}

/// Gives what was rendered the time since when its content is what it is.
fn dated(tree: Vec<Placed>, old: &Record, now: u64) -> (Vec<Entry>, Dates) {
    let mut dates = Dates::new();
    let entries = tree
        .into_iter()
        .map(|placed| {
            let mut entry = placed.entry;
            if placed.rendered {
                let digest = content_digest(&entry.kind);
                let since = old.dates.get(&entry.path).filter(|(known, _)| *known == digest).map_or(now, |(_, at)| *at);
                entry.mtime = since;
                dates.insert(entry.path.clone(), (digest, since));
            }
            entry
        })
        .collect();
    (entries, dates)
}

fn content_digest(kind: &Kind) -> String {
    let mut digest = Sha256::new();
    match kind {
        Kind::File(content) => digest.update(content),
        Kind::Symlink(target) => {
            digest.update([0]);
            digest.update(target);
        }
        other => digest.update(format!("{other:?}")),
    }
    hex(&digest.finalize())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
