//! One archive: how it is made, and from what.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use archive::{Entry, Kind};
use model::Node;
use render::Job;
use render::kept::Kept;
use render::layer::Placed;
use render::overlay::Script;
use render::reads::ReadSet;
use render::whose::Whose;
use sha2::{Digest, Sha256};

use super::bodies::Bodies;
use super::files::{Files, Form};
use super::held::{Alike, Stack};
use super::maker::{Draft, Maker};
use super::record::{Dates, Record, hex};
use super::store::should_sweep;
use super::{BuildError, OverlayKind, Workshop, runs, shelf};

/// Of so many templates that are no longer there moments are kept.
const STRANGERS: usize = 64;

/// What an archive is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Input {
    pub(super) reads: Arc<ReadSet>,
    pub(super) digest: String,
}

/// What a build made, before any of it is a file.
#[derive(Debug)]
pub(super) struct Made {
    /// The archive, entry by entry, with their times, sorted by path.
    pub(super) tree: Vec<Placed>,
    /// The identity of what is served: a digest over the entries. The same bytes have the same key.
    pub(super) content: String,
    /// What decides whether to build again.
    pub(super) input: Input,
    pub(super) dates: Dates,
    /// The clocks and seeds of this and of earlier renders.
    pub(super) kept: Kept,
    /// What came to lie elsewhere, because the image has a link on the way.
    pub(super) detours: Vec<String>,
}

/// Renders and publishes. What comes out the same stays the same file. Answers what came to lie elsewhere, see [`Made`].
pub(super) fn build(shop: &Workshop, node: &Arc<Node>, kind: OverlayKind) -> Result<Vec<String>, BuildError> {
    let files = Files::of(&shop.site, &node.id, kind);
    let write = |error: io::Error| BuildError::Write { path: files.memory.clone(), error: Arc::new(error) };
    let _lock = Files::lock(&shop.site, shelf::number(&node.id)).map_err(write)?;
    let detours = build_locked(shop, node, kind, None)?;
    if should_sweep(&shop.works.fresh_pieces) {
        // What is left lies there until the next time.
        let _ = files.store.sweep().inspect_err(|error| tracing::warn!("the overlay store is not swept: {error}"));
    }
    Ok(detours)
}

/// The same by who holds the lock of the archive. With a draft a recipe is published when that is put up.
pub(super) fn build_locked(
    shop: &Workshop,
    node: &Arc<Node>,
    kind: OverlayKind,
    mut draft: Option<&mut Draft>,
) -> Result<Vec<String>, BuildError> {
    if node.id.contains('/') || matches!(node.id.as_str(), "" | "." | "..") {
        let why = "its name is no name of a folder, where its overlays would lie: rename the node".to_owned();
        return Err(BuildError::Archive { node: node.id.clone(), why });
    }
    let files = Files::of(&shop.site, &node.id, kind);
    let old = files.record();
    // Only where nothing was built before: an archive that stays what it is keeps its dates.
    let group = shop.held.as_deref().filter(|_| old.is_none() && shop.form == Form::Recipe).zip(draft.as_deref_mut());
    if let Some((held, draft)) = group
        && let Some(alike) = held.alike(node, kind)
    {
        draft.lay(&files.name, alike.recipe.clone());
        return Ok(alike.detours.clone());
    }
    let old = old.unwrap_or_default();
    let made = make(shop, node, kind, &old, &files.image)?;
    let runs =
        runs::cut(&made.tree).map_err(|error| BuildError::Archive { node: node.id.clone(), why: error.to_string() })?;
    let works = &shop.works;
    let parts: Vec<_> = runs.into_iter().map(|run| works.splicer.part(run)).collect();
    let all_alike = !made.input.reads.has_own() && made.kept.iter().next().is_none();
    let mut maker = Maker {
        splicer: &works.splicer,
        held: shop.held.as_deref(),
        draft: draft.as_deref_mut(),
        fresh: &works.fresh_pieces,
    };
    let (record, detours) = made.record(now());
    let write = |error: io::Error| BuildError::Write { path: files.memory.clone(), error: Arc::new(error) };
    files.publish(&parts, shop.form, &old, record, &mut maker).map_err(write)?;
    if all_alike && let Some((held, recipe)) = shop.held.as_deref().zip(draft.and_then(|draft| draft.laid(&files.name)))
    {
        held.note_alike(node, kind, Alike { recipe: recipe.to_vec(), detours: detours.clone() });
    }
    Ok(detours)
}

/// Renders, and gives what is rendered the time since when it is what it is, as `old` knows it. `place` names the
/// archive, for what is remembered of failures.
fn make(shop: &Workshop, node: &Arc<Node>, kind: OverlayKind, old: &Record, place: &Path) -> Result<Made, BuildError> {
    let (state, overlays) = overlays(shop, node, kind)?;
    let job = Job { kept: Arc::new(old.kept.clone()), ..shop.job(node) };
    let outcome = job.run(&overlays);
    shop.works.builds.fetch_add(1, Ordering::Relaxed);
    let input = Input { digest: digest(&state, job.key(&outcome.reads)), reads: outcome.reads };
    let mut failures = shop.works.failures.lock().unwrap_or_else(PoisonError::into_inner);
    if !outcome.problems.is_empty() {
        let error = BuildError::Problems(Arc::new(outcome.problems));
        failures.insert(place.to_owned(), (input, error.clone()));
        return Err(error);
    }
    failures.remove(place);
    drop(failures);
    let mut kept = old.kept.clone();
    outcome.drawn.iter().for_each(|drawn| kept.keep(drawn));
    // Of overlays that are no longer the node's some is kept: they may come back.
    let here = overlays.iter().flat_map(|overlay| &overlay.items).filter_map(|item| item.script.as_ref());
    let here: HashSet<_> = here.map(Script::id).collect();
    if kept.scripts() > here.len() + STRANGERS {
        kept.only(|script| here.contains(script));
    }
    let bodies = &shop.works.bodies;
    let (tree, dates) = dated(outcome.tree, old, shop);
    outcome.warnings.iter().for_each(|word| tracing::debug!("node {}: {word}", node.id));
    Ok(Made { content: content_key(&tree, bodies), tree, input, dates, kept, detours: outcome.detours })
}

impl Made {
    /// What is to be remembered; which files it is in, and since when, is for who writes them to say.
    fn record(self, now: u64) -> (Record, Vec<String>) {
        let record = Record {
            input: self.input.digest,
            content: self.content,
            published: now,
            files: String::new(),
            reads: self.input.reads,
            dates: self.dates,
            kept: self.kept,
        };
        (record, self.detours)
    }
}

/// A digest over all that an archive says of its entries, and over what decides where they stand in it. Each part goes
/// in with its length, so no two lists of entries have the same one.
fn content_key(tree: &[Placed], bodies: &Bodies) -> String {
    let mut digest = Sha256::new();
    let mut add = |part: &[u8]| {
        digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        digest.update(part);
    };
    for Placed { entry: Entry { path, mode, uid, gid, mtime, kind, xattrs }, whose, .. } in tree {
        add(path);
        add(match whose {
            Whose::Everybodys => b"Everybodys",
            Whose::Groups => b"Groups",
            Whose::Own => b"Own",
        });
        add(&mtime.to_le_bytes());
        for number in [*mode, *uid, *gid] {
            add(&number.to_le_bytes());
        }
        match kind {
            Kind::File(content) => {
                add(b"file");
                add(&bodies.digest(content, *whose != Whose::Own));
            }
            Kind::Symlink(target) => {
                add(b"link");
                add(target);
            }
            Kind::HardLink(first) => {
                add(b"name");
                add(first);
            }
            other => add(format!("{other:?}").as_bytes()),
        }
        for (name, value) in xattrs {
            add(format!("{name:?}").as_bytes());
            add(format!("{value:?}").as_bytes());
        }
    }
    hex(&digest.finalize())
}

/// The state of what was read, now. `None` when an overlay cannot be read.
pub(super) fn input(shop: &Workshop, node: &Arc<Node>, kind: OverlayKind, reads: &Arc<ReadSet>) -> Option<Input> {
    let (state, _) = overlays(shop, node, kind).ok()?;
    Some(Input { reads: Arc::clone(reads), digest: digest(&state, shop.job(node).key(reads)) })
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
fn overlays(shop: &Workshop, node: &Arc<Node>, kind: OverlayKind) -> Stack {
    let held = shop.held.as_ref().map(|held| held.stack(kind.list(node), || stack(shop, node, kind)));
    match held {
        Some(Ok(stack)) => Ok(stack),
        // An error names its node.
        Some(Err(_)) | None => stack(shop, node, kind),
    }
}

fn stack(shop: &Workshop, node: &Node, kind: OverlayKind) -> Stack {
    let mut digest = Sha256::new();
    let mut all = Vec::new();
    for name in kind.list(node) {
        let found = shop.find(name).ok_or_else(|| BuildError::UnknownOverlay {
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
    Ok((digest.finalize().into(), all.into()))
}

/// Gives what was rendered the time since when its content is what it is.
fn dated(mut tree: Vec<Placed>, old: &Record, shop: &Workshop) -> (Vec<Placed>, Dates) {
    let now = now();
    let mut dates = Dates::new();
    for Placed { entry, whose, .. } in tree.iter_mut().filter(|placed| placed.rendered) {
        let shared = *whose != Whose::Own;
        let digest = content_digest(&entry.kind, shared, &shop.works.bodies);
        let known = old.dates.get(&entry.path).filter(|(known, _)| *known == digest).map(|(_, at)| *at);
        // The node's own memory counts first: its archive does not change because others came to be.
        let agreed = if shared { shop.works.since.of(&entry.path, &digest, known.unwrap_or(now)) } else { now };
        entry.mtime = known.unwrap_or(agreed);
        dates.insert(entry.path.clone(), (digest, entry.mtime));
    }
    (tree, dates)
}

fn content_digest(kind: &Kind, shared: bool, bodies: &Bodies) -> String {
    hex(&match kind {
        Kind::File(content) => bodies.digest(content, shared),
        other => Sha256::digest(format!("{other:?}")).into(),
    })
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
