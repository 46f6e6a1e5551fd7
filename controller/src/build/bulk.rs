//! Building many nodes: shelf by shelf, several at a time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use model::Node;

use super::files::{Files, Form};
use super::make::build_locked;
use super::maker::Draft;
use super::store::Store;
use super::{BuildError, OverlayKind, Workshop, shelf};

/// What became of one archive: what came to lie elsewhere, or why it was not built.
pub type Built = Result<Vec<String>, BuildError>;

/// Builds both archives of all these nodes, for so many shelves at a time, and tells of each. A node that fails stops no
/// other. What was built is in place then, and on the disk when the group is finished.
pub fn build(shop: &Workshop, nodes: &[Arc<Node>], workers: usize, tell: impl Fn(&Node, OverlayKind, Built) + Sync) {
    let mut shelves: BTreeMap<u32, Vec<&Arc<Node>>> = BTreeMap::new();
    nodes.iter().for_each(|node| shelves.entry(shelf::number(&node.id)).or_default().push(node));
    let shelves: Vec<_> = shelves.into_iter().collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (written, to_write) = channel();
        scope.spawn(|| write_back(to_write));
        for _ in 0..workers.clamp(1, shelves.len().max(1)) {
            let written = written.clone();
            let (shelves, next, tell) = (&shelves, &next, &tell);
            scope.spawn(move || {
                while let Some((number, nodes)) = shelves.get(next.fetch_add(1, Ordering::Relaxed)) {
                    build_shelf(shop, *number, nodes, &written, tell);
                }
            });
        }
        drop(written);
    });
}

/// Has the disk begin to write what is there already, while the rest is built: waiting for it at the end is then short. An
/// error is met again by who waits.
fn write_back(files: Receiver<File>) {
    files.into_iter().for_each(|file: File| drop(file.sync_data()));
}

fn build_shelf(
    shop: &Workshop,
    number: u32,
    nodes: &[&Arc<Node>],
    written: &Sender<File>,
    tell: &impl Fn(&Node, OverlayKind, Built),
) {
    let archives = || nodes.iter().flat_map(|node| OverlayKind::BOTH.map(|kind| (*node, kind)));
    let failed = |error: io::Error| {
        let error = Arc::new(error);
        let path = super::group::memory(&shop.site);
        move || BuildError::Write { path: path.clone(), error: Arc::clone(&error) }
    };
    let _lock = match Files::lock(&shop.site, number) {
        Ok(lock) => lock,
        Err(error) => {
            let error = failed(error);
            return archives().for_each(|(node, kind)| tell(node, kind, Err(error())));
        }
    };
    let mut draft = Draft::new(number);
    let built: Vec<Built> = archives().map(|(node, kind)| build_locked(shop, node, kind, Some(&mut draft))).collect();
    let put_up = Store::of(&shop.site).put_up(draft).and_then(|file| {
        // Without its reader it is written back at the end.
        file.map(|file| written.send(file));
        // The files of what failed are the last good ones.
        let good = archives().zip(&built).filter(|(_, built)| shop.form == Form::Recipe && built.is_ok());
        good.map(|((node, kind), _)| Files::of(&shop.site, &node.id, kind))
            .try_for_each(|files| files.leave_to_recipe())
    });
    let error = put_up.err().map(failed);
    for ((node, kind), built) in archives().zip(built) {
        let built = match &error {
            Some(error) => built.and_then(|_| Err(error())),
            None => built,
        };
        tell(node, kind, built);
    }
}
