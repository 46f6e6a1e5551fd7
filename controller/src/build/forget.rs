//! Forgetting what was built for nodes that are gone.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;

use super::files::Files;
use super::maker::Draft;
use super::store::Store;
use super::{OverlayKind, shelf};
use crate::site::Site;

/// Forgets what was built for nodes that are gone, and what nobody needs then. Answers where that lay.
///
/// # Errors
/// Those of the file system.
pub fn forget_others(site: &Site, is_node: impl Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
    let store = Store::of(site);
    let mut places = Vec::new();
    let mut gone: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    for name in store.names() {
        if let Some((node, _)) = name.rsplit_once('.')
            && !is_node(node)
        {
            places.push(store.place(&name));
            gone.entry(shelf::number(node)).or_default().insert(node.to_owned());
        }
    }
    for (shelf, nodes) in &gone {
        together(site, *shelf, nodes.iter().map(String::as_str))?;
    }
    store.sweep()?;
    Ok(places)
}

/// Forgets what was built for a node.
///
/// # Errors
/// Those of the file system.
pub fn forget(site: &Site, node: &str) -> io::Result<()> {
    together(site, shelf::number(node), [node])
}

/// Forgets nodes of one shelf, which is written once.
fn together<'a>(site: &Site, shelf: u32, nodes: impl IntoIterator<Item = &'a str>) -> io::Result<()> {
    let _lock = Files::lock(site, shelf)?;
    let mut draft = Draft::new(shelf);
    for node in nodes {
        OverlayKind::BOTH.into_iter().try_for_each(|kind| Files::of(site, node, kind).forget(&mut draft))?;
    }
    match Store::of(site).put_up(draft)? {
        Some(file) => file.sync_all(),
        None => Ok(()),
    }
}
