//! An archive cut into runs: members one after another that have the same bytes on many nodes, then those of one node.
//!
//! Order: what is everybody's, what a group shares, what is the node's own, each by path; a large file is a run of its
//! own. A folder never comes after what it holds, and all names of a hard-linked file stay together.

use std::cmp::max;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use archive::newc::{self, Body, Laid, WriteError};
use archive::{Entry, Kind};
use render::layer::Placed;
use render::whose::Whose;

/// From here on a body is worth a run of its own, in bytes.
pub const LARGE: usize = 16 << 10;

/// Members one after another, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// No other node is likely to have it.
    pub own: bool,
    /// Bytes, and the large body behind them, which others hold too.
    bodies: Vec<(Vec<u8>, Arc<[u8]>)>,
    /// What follows the last body.
    rest: Vec<u8>,
}

impl Run {
    fn new(own: bool) -> Run {
        Run { own, bodies: Vec::new(), rest: Vec::new() }
    }

    /// The bytes, in parts.
    pub fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        let parts = self.bodies.iter().flat_map(|(before, body)| [before.as_slice(), body]);
        parts.chain([self.rest.as_slice()]).filter(|part| !part.is_empty())
    }

    pub fn length(&self) -> usize {
        self.chunks().map(<[u8]>::len).sum()
    }

    /// What tells this run from all others while it is held: small bodies by their bytes, large ones by their place in
    /// memory.
    pub fn key(&self) -> Vec<u8> {
        let mut key = Vec::with_capacity(self.rest.len() + 64);
        for (before, body) in &self.bodies {
            key.extend_from_slice(before);
            key.extend(body.as_ptr().addr().to_le_bytes());
        }
        key.extend_from_slice(&self.rest);
        key
    }

    fn add(&mut self, member: &Laid<'_>) -> Result<(), WriteError> {
        self.rest.extend(member.head.encode()?);
        match member.body {
            Body::File(content) if content.len() >= LARGE => {
                self.bodies.push((std::mem::take(&mut self.rest), Arc::clone(content)));
            }
            body => self.rest.extend_from_slice(body.bytes()),
        }
        self.rest.extend_from_slice(newc::padding(member.body.bytes().len() as u64));
        Ok(())
    }
}

/// The runs of the archive of this tree, which is sorted by path. The last one ends the archive.
///
/// # Errors
/// What newc cannot say.
pub fn cut(tree: &[Placed]) -> Result<Vec<Run>, WriteError> {
    let mut order = ranked(tree);
    // Stable: by path within a rank.
    order.sort_by_key(|(rank, _)| *rank);
    let entries: Vec<&Entry> = order.iter().map(|(_, entry)| *entry).collect();
    let mut runs: Vec<Run> = Vec::new();
    let mut last = None;
    for ((rank, _), member) in order.iter().zip(newc::lay(&entries)?) {
        let alone = rank.large && rank.whose != Whose::Own;
        let same = last == Some(*rank) && !alone;
        last = Some(*rank);
        match runs.last_mut() {
            Some(run) if same => run.add(&member)?,
            _ => {
                let mut run = Run::new(rank.whose == Whose::Own);
                run.add(&member)?;
                runs.push(run);
            }
        }
    }
    match runs.last_mut() {
        Some(run) if run.own => run.rest.extend(newc::trailer()),
        _ => runs.push(Run { rest: newc::trailer(), ..Run::new(false) }),
    }
    Ok(runs)
}

/// Where a member stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    whose: Whose,
    large: bool,
}

fn ranked(tree: &[Placed]) -> Vec<(Rank, &Entry)> {
    let links = linked(tree);
    let mut folders: HashMap<&[u8], Whose> = HashMap::new();
    let mut together = Whose::default();
    let mut order = Vec::with_capacity(tree.len());
    for placed in tree {
        let entry = &placed.entry;
        let above = entry.path.iter().rposition(|byte| *byte == b'/').and_then(|at| entry.path.get(..at));
        let floor = above.and_then(|folder| folders.get(folder)).copied().unwrap_or_default();
        let whose = max(placed.whose, floor);
        if entry.kind == Kind::Directory {
            folders.insert(&entry.path, whose);
        }
        if links.contains(entry.path.as_slice()) {
            together = max(together, whose);
        }
        let large = matches!(&entry.kind, Kind::File(content) if content.len() >= LARGE);
        order.push((Rank { whose, large: large && whose != Whose::Own }, entry));
    }
    for (rank, entry) in &mut order {
        if links.contains(entry.path.as_slice()) {
            *rank = Rank { whose: together, large: false };
        }
    }
    order
}

/// The paths of files with several names.
fn linked(tree: &[Placed]) -> HashSet<&[u8]> {
    let mut links = HashSet::new();
    for placed in tree {
        if let Kind::HardLink(first) = &placed.entry.kind {
            links.insert(placed.entry.path.as_slice());
            links.insert(first.as_slice());
        }
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn placed(path: &str, whose: Whose, kind: Kind) -> Placed {
        let entry = Entry { path: path.into(), mode: 0o644, uid: 0, gid: 0, mtime: 1, kind, xattrs: BTreeMap::new() };
        Placed { entry, overlay: "t".into(), rendered: true, whose }
    }

    fn file(path: &str, whose: Whose, length: usize) -> Placed {
        placed(path, whose, Kind::File(vec![7; length].into()))
    }

    /// Which paths each run has.
    fn told(tree: &[Placed]) -> Vec<(bool, Vec<String>)> {
        let runs = cut(tree).unwrap();
        let whole: Vec<u8> = runs.iter().flat_map(|run| run.chunks().flatten().copied()).collect();
        assert_eq!(newc::read(&whole).unwrap().len(), tree.len(), "one archive");
        let names = |run: &Run| {
            let bytes: Vec<u8> = run.chunks().flatten().copied().collect();
            newc::Members::new(&[bytes, newc::trailer()].concat())
                .map(|member| String::from_utf8(member.unwrap().name.to_vec()).unwrap())
                .collect()
        };
        runs.iter().map(|run| (run.own, names(run))).collect()
    }

    fn want(runs: &[(bool, &[&str])]) -> Vec<(bool, Vec<String>)> {
        runs.iter().map(|(own, names)| (*own, names.iter().map(|name| name.to_string()).collect())).collect()
    }

    #[test]
    fn what_is_shared_comes_first_and_large_files_are_runs_of_their_own() {
        let tree = [
            placed("etc", Whose::Everybodys, Kind::Directory),
            file("etc/fstab", Whose::Groups, 9),
            file("etc/hostname", Whose::Own, 9),
            file("etc/hosts", Whose::Everybodys, LARGE),
            file("etc/issue", Whose::Own, LARGE),
            file("etc/motd", Whose::Everybodys, 9),
            file("ww/agent", Whose::Everybodys, LARGE + 1),
        ];
        assert_eq!(
            told(&tree),
            want(&[
                (false, &["etc", "etc/motd"]),
                (false, &["etc/hosts"]),
                (false, &["ww/agent"]),
                (false, &["etc/fstab"]),
                (true, &["etc/hostname", "etc/issue"]),
            ])
        );
    }

    #[test]
    fn an_archive_without_anything_of_its_own_ends_in_a_run_that_all_share() {
        assert_eq!(told(&[]), want(&[(false, &[])]));
        assert_eq!(told(&[file("a", Whose::Everybodys, 1)]), want(&[(false, &["a"]), (false, &[])]));
    }

    #[test]
    fn folders_come_before_what_they_hold_and_names_of_a_file_stay_together() {
        let tree = [
            file("a", Whose::Everybodys, LARGE),
            placed("b", Whose::Own, Kind::Directory),
            file("b/c", Whose::Everybodys, 3),
            placed("b/d", Whose::Everybodys, Kind::HardLink(b"a".to_vec())),
            file("e", Whose::Groups, 3),
        ];
        assert_eq!(told(&tree), want(&[(false, &["e"]), (true, &["a", "b", "b/c", "b/d"])]));
    }
}
