//! One archive: how it is made, and from what.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use archive::{Entry, Kind};
use model::Node;
use render::Overlay;
use render::layer::Placed;
use render::reads::Read;
use sha2::{Digest, Sha256};

use super::files::Files;
use super::record::{Dates, Record, hex};
use super::{BuildError, OverlayKind, Workshop, trees};

/// What an archive is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Input {
    pub(super) reads: BTreeSet<Read>,
    pub(super) digest: String,
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

/// The state of what was read, now. `None` when an overlay cannot be read.
pub(super) fn input(shop: &Workshop, node: &Arc<Node>, kind: OverlayKind, reads: &BTreeSet<Read>) -> Option<Input> {
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
