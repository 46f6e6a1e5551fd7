//! Laying overlays over one another: what a later one does to what an earlier one left.
//!
//! Everything happens on values. No link is ever followed on a disk, so an overlay can neither read nor write outside
//! the tree that it describes. What stock does and what we do on purpose differently stands at each rule.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use archive::{Entry, Kind};
use thiserror::Error;

use crate::whose::Whose;

/// How often a path may go through links before it counts as a loop; Linux takes the same number.
const MAX_LINKS: usize = 40;

/// What an image has at a path, as far as laying needs it.
pub trait ImageLinks {
    /// The text of the symbolic link at `path` (from the root, without leading slash) when the image has one there that
    /// leads to a folder.
    fn folder_link(&self, path: &[u8]) -> Option<Vec<u8>>;
}

/// An image without links to folders, or no image at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoImage;

impl ImageLinks for NoImage {
    fn folder_link(&self, _path: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// One entry that an overlay brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub entry: Entry,
    /// Made by a template: it has no time of its own, and it may leave a copy of what it replaces.
    pub rendered: bool,
    pub whose: Whose,
    /// Whether a template leaves what it replaces beside as `NAME.wwbackup`.
    pub backup: bool,
}

/// An entry of the finished tree, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    pub entry: Entry,
    /// The overlay that brought it.
    pub overlay: Arc<str>,
    pub rendered: bool,
    pub whose: Whose,
}

/// Why an entry could not be laid.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Clash {
    #[error(
        "overlay {later}: {path} is {later_kind}, but overlay {earlier} has {earlier_kind} there: remove one of the two"
    )]
    Kinds { path: String, later: String, later_kind: &'static str, earlier: String, earlier_kind: &'static str },
    #[error("overlay {overlay}: {path} goes through the link {link} -> {target}, which leaves the tree")]
    Escapes { overlay: String, path: String, link: String, target: String },
    #[error("overlay {overlay}: {path} goes through too many links")]
    Loop { overlay: String, path: String },
    #[error("overlay {overlay}: `{path}` names no file inside the tree")]
    BadPath { overlay: String, path: String },
}

/// The tree so far.
pub struct Ground<'a> {
    image: &'a dyn ImageLinks,
    tree: BTreeMap<Vec<u8>, Placed>,
    /// First name of a file -> the names that came to be hard links to it.
    links: BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>>,
    warnings: Vec<String>,
}

impl std::fmt::Debug for Ground<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ground").field("tree", &self.tree).field("warnings", &self.warnings).finish_non_exhaustive()
    }
}

impl<'a> Ground<'a> {
    /// Bare ground, above an image whose links to folders are respected.
    pub fn new(image: &'a dyn ImageLinks) -> Ground<'a> {
        Ground { image, tree: BTreeMap::new(), links: BTreeMap::new(), warnings: Vec::new() }
    }

    /// Lays one entry of `overlay` over what is there.
    ///
    /// # Errors
    /// [`Clash`] when a file meets a folder, or a path leaves the tree. Nothing of this entry is then there.
    pub fn lay(&mut self, overlay: &Arc<str>, piece: Piece) -> Result<(), Clash> {
        let folder = matches!(piece.entry.kind, Kind::Directory);
        let path = if self.is_plain(&piece.entry.path, folder) {
            piece.entry.path.clone()
        } else {
            let asked = clean(&piece.entry.path)
                .ok_or_else(|| Clash::BadPath { overlay: overlay.to_string(), path: show(&piece.entry.path) })?;
            let path = self.through_links(overlay, &asked, folder)?;
            self.make_parents(overlay, &path, &piece)?;
            path
        };
        let mut kind = piece.entry.kind;
        if let Kind::HardLink(first) = &mut kind {
            // It went through the same links as this name.
            if let Some(named) = clean(first) {
                *first = self.through_links(overlay, &named, false)?;
            }
            self.links.entry(first.clone()).or_default().insert(path.clone());
        }
        let placed = Placed {
            entry: Entry { path: path.clone(), kind, ..piece.entry },
            overlay: Arc::clone(overlay),
            rendered: piece.rendered,
            whose: piece.whose,
        };
        let Some(earlier) = self.tree.get(&path) else {
            self.tree.insert(path, placed);
            return Ok(());
        };
        match (&earlier.entry.kind, &placed.entry.kind) {
            // The first overlay that has a folder gives its mode and owner.
            (Kind::Directory, Kind::Directory) => Ok(()),
            (Kind::Directory, _) | (_, Kind::Directory) => Err(Clash::Kinds {
                path: show(&path),
                later: overlay.to_string(),
                later_kind: name_of(&placed.entry.kind),
                earlier: earlier.overlay.to_string(),
                earlier_kind: name_of(&earlier.entry.kind),
            }),
            _ => {
                let earlier = earlier.clone();
                self.replace(earlier, placed, piece.backup);
                Ok(())
            }
        }
    }

    /// Whether a path as it is names a place below a folder of the tree: all folders above that are then folders of the
    /// tree, too, and no link is on the way.
    fn is_plain(&self, path: &[u8], folder: bool) -> bool {
        let is_folder =
            |path: &[u8]| matches!(self.tree.get(path), Some(Placed { entry, .. }) if entry.kind == Kind::Directory);
        if folder {
            return is_folder(path);
        }
        let Some(at) = path.iter().rposition(|byte| *byte == b'/') else { return false };
        let (above, name) = (path.get(..at), path.get(at + 1..));
        !matches!(name, None | Some(b"" | b"." | b"..")) && above.is_some_and(is_folder)
    }

    /// The finished tree sorted by path (so that folders come before what they hold), and what is worth a word.
    pub fn finish(self) -> (Vec<Placed>, Vec<String>) {
        (self.tree.into_values().collect(), self.warnings)
    }

    fn replace(&mut self, earlier: Placed, mut later: Placed, backup: bool) {
        // What was there before leaves its mark on what comes over it.
        later.whose = later.whose.max(earlier.whose);
        let path = later.entry.path.clone();
        let content = self.content(&earlier.entry.kind);
        let link = matches!(later.entry.kind, Kind::Symlink(_));
        if let Some(content) = content {
            if backup && (later.rendered || link) {
                let mut beside = path.clone();
                beside.extend_from_slice(b".wwbackup");
                let copy = Entry { path: beside.clone(), kind: Kind::File(content), ..earlier.entry.clone() };
                self.tree.entry(beside).or_insert(Placed { entry: copy, ..earlier.clone() });
            }
            // The mode stays the first's, but it is never wider than the later's: stock makes a 0600 secret over a 0644
            // file readable by all.
            if !link {
                later.entry.mode &= earlier.entry.mode;
            }
        }
        self.keep_other_names(&path);
        self.tree.insert(path, later);
    }

    /// What a file holds, under whichever name of it; `None` for what is no file.
    fn content(&self, kind: &Kind) -> Option<Arc<[u8]>> {
        match kind {
            Kind::File(content) => Some(Arc::clone(content)),
            Kind::HardLink(first) => match self.tree.get(first).map(|placed| &placed.entry.kind) {
                Some(Kind::File(content)) => Some(Arc::clone(content)),
                _ => None,
            },
            _ => None,
        }
    }

    /// Before the entry at `path` goes: if hard links name it, the first of them takes the content over.
    fn keep_other_names(&mut self, path: &[u8]) {
        let Some(Kind::File(content)) = self.tree.get(path).map(|placed| placed.entry.kind.clone()) else { return };
        let mut heir: Option<Vec<u8>> = None;
        let mut others = BTreeSet::new();
        for name in self.links.remove(path).unwrap_or_default() {
            let Some(placed) = self.tree.get_mut(&name) else { continue };
            if !matches!(&placed.entry.kind, Kind::HardLink(first) if first == path) {
                // Something else lies there by now.
                continue;
            }
            placed.entry.kind = match &heir {
                None => {
                    heir = Some(name);
                    Kind::File(Arc::clone(&content))
                }
                Some(heir) => {
                    others.insert(name);
                    Kind::HardLink(heir.clone())
                }
            };
        }
        if let Some(heir) = heir {
            self.links.insert(heir, others);
        }
    }

    /// Where `path` really lies: folders on the way that are links, in the tree or in the image, are gone through. The
    /// last part is followed only when the piece is a folder itself.
    fn through_links(&mut self, overlay: &Arc<str>, path: &[u8], folder: bool) -> Result<Vec<u8>, Clash> {
        let mut todo: Vec<Vec<u8>> = path.split(|b| *b == b'/').rev().map(<[u8]>::to_vec).collect();
        let mut done: Vec<u8> = Vec::new();
        let mut links = 0;
        while let Some(part) = todo.pop() {
            let here = join(&done, &part);
            if todo.is_empty() && !folder {
                return Ok(here);
            }
            let (target, in_image) = match self.tree.get(&here).map(|placed| &placed.entry.kind) {
                Some(Kind::Symlink(target)) => (target.clone(), false),
                Some(_) => {
                    done = here;
                    continue;
                }
                None => match self.image.folder_link(&here) {
                    Some(target) => (target, true),
                    None => {
                        done = here;
                        continue;
                    }
                },
            };
            links += 1;
            if links > MAX_LINKS {
                return Err(Clash::Loop { overlay: overlay.to_string(), path: show(path) });
            }
            let Some(real) = follow(&done, &target) else {
                return Err(Clash::Escapes {
                    overlay: overlay.to_string(),
                    path: show(path),
                    link: show(&here),
                    target: String::from_utf8_lossy(&target).into_owned(),
                });
            };
            if in_image {
                let word = format!(
                    "overlay {overlay}: {} is a link to {} in the image: what the overlay has below it goes there",
                    show(&here),
                    show(&real)
                );
                if !self.warnings.contains(&word) {
                    self.warnings.push(word);
                }
            }
            // The target may itself lead through links, so it is walked from the top.
            todo.extend(real.split(|b| *b == b'/').rev().filter(|part| !part.is_empty()).map(<[u8]>::to_vec));
            done = Vec::new();
        }
        Ok(done)
    }

    fn make_parents(&mut self, overlay: &Arc<str>, path: &[u8], piece: &Piece) -> Result<(), Clash> {
        for (at, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            let parent = path.get(..at).unwrap_or_default();
            match self.tree.get(parent) {
                None => {
                    let entry = Entry {
                        path: parent.to_vec(),
                        mode: 0o755,
                        uid: 0,
                        gid: 0,
                        mtime: piece.entry.mtime,
                        kind: Kind::Directory,
                        xattrs: BTreeMap::new(),
                    };
                    // Nobody gave this folder a time, so it follows the rule for what is rendered.
                    let placed = Placed { entry, overlay: Arc::clone(overlay), rendered: true, whose: piece.whose };
                    self.tree.insert(parent.to_vec(), placed);
                }
                Some(placed) if matches!(placed.entry.kind, Kind::Directory) => {}
                Some(placed) => {
                    return Err(Clash::Kinds {
                        path: show(parent),
                        later: overlay.to_string(),
                        later_kind: "a folder",
                        earlier: placed.overlay.to_string(),
                        earlier_kind: name_of(&placed.entry.kind),
                    });
                }
            }
        }
        Ok(())
    }
}

/// `path` without doubled slashes, `.` and `..`; `None` when it climbs out of the tree or names its root.
pub fn clean(path: &[u8]) -> Option<Vec<u8>> {
    let real = follow(&[], path)?;
    (!real.is_empty()).then_some(real)
}

/// Where a link in the folder `from` leads, read as text; `None` when it climbs out of the tree.
fn follow(from: &[u8], target: &[u8]) -> Option<Vec<u8>> {
    let mut parts: Vec<&[u8]> = Vec::new();
    if target.first() != Some(&b'/') {
        parts.extend(from.split(|b| *b == b'/').filter(|part| !part.is_empty()));
    }
    for part in target.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join(&b'/'))
}

fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = folder.to_vec();
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

fn show(path: &[u8]) -> String {
    format!("/{}", String::from_utf8_lossy(path).trim_start_matches('/'))
}

fn name_of(kind: &Kind) -> &'static str {
    match kind {
        Kind::File(_) | Kind::HardLink(_) => "a file",
        Kind::Directory => "a folder",
        Kind::Symlink(_) => "a link",
        Kind::Fifo => "a FIFO",
        Kind::Socket => "a socket",
        Kind::CharDevice { .. } | Kind::BlockDevice { .. } => "a device",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Merged;

    impl ImageLinks for Merged {
        fn folder_link(&self, path: &[u8]) -> Option<Vec<u8>> {
            match path {
                b"lib64" => Some(b"usr/lib64".to_vec()),
                b"out" => Some(b"../../elsewhere".to_vec()),
                _ => None,
            }
        }
    }

    fn entry(path: &str, mode: u32, kind: Kind) -> Entry {
        Entry { path: path.into(), mode, uid: 0, gid: 0, mtime: 7, kind, xattrs: BTreeMap::new() }
    }

    fn plain(path: &str, mode: u32, kind: Kind) -> Piece {
        Piece { entry: entry(path, mode, kind), rendered: false, whose: Whose::Everybodys, backup: true }
    }

    fn rendered(path: &str, mode: u32, text: &str, backup: bool) -> Piece {
        Piece { entry: entry(path, mode, file(text)), rendered: true, whose: Whose::Own, backup }
    }

    fn file(text: &str) -> Kind {
        Kind::File(text.as_bytes().into())
    }

    fn link(target: &str) -> Kind {
        Kind::Symlink(target.into())
    }

    fn lay(image: &dyn ImageLinks, pieces: Vec<(&str, Piece)>) -> Result<(Vec<String>, Vec<String>), Clash> {
        let mut ground = Ground::new(image);
        for (overlay, piece) in pieces {
            ground.lay(&overlay.into(), piece)?;
        }
        let (placed, warnings) = ground.finish();
        let lines = placed
            .iter()
            .map(|p| {
                let path = String::from_utf8_lossy(&p.entry.path).into_owned();
                let what = match &p.entry.kind {
                    Kind::File(content) => format!("= {}", String::from_utf8_lossy(content)),
                    Kind::Directory => "/".into(),
                    Kind::Symlink(target) => format!("-> {}", String::from_utf8_lossy(target)),
                    Kind::HardLink(first) => format!("== {}", String::from_utf8_lossy(first)),
                    other => format!("{other:?}"),
                };
                format!("{path} {:o} {what}", p.entry.mode)
            })
            .collect();
        Ok((lines, warnings))
    }

    fn lines(pieces: Vec<(&str, Piece)>) -> Vec<String> {
        lay(&NoImage, pieces).unwrap().0
    }

    #[test]
    fn a_later_file_replaces_an_earlier_one_and_the_mode_never_widens() {
        let got = lines(vec![
            ("a", plain("f", 0o640, file("1"))),
            ("b", plain("f", 0o644, file("2"))),
            ("a", plain("secret", 0o644, file("1"))),
            ("b", plain("secret", 0o600, file("2"))),
        ]);
        assert_eq!(got, ["f 640 = 2", "secret 600 = 2"]);
    }

    #[test]
    fn a_template_leaves_what_it_replaces_beside_unless_told_not_to() {
        let got = lines(vec![
            ("a", plain("f", 0o600, file("plain"))),
            ("b", rendered("f", 0o644, "made", true)),
            ("a", plain("g", 0o600, file("plain"))),
            ("b", rendered("g", 0o644, "made", false)),
        ]);
        assert_eq!(got, ["f 600 = made", "f.wwbackup 600 = plain", "g 600 = made"]);
    }

    #[test]
    fn a_link_over_a_file_leaves_the_file_beside() {
        let got = lines(vec![("a", plain("f", 0o600, file("1"))), ("b", plain("f", 0o777, link("/x")))]);
        assert_eq!(got, ["f 777 -> /x", "f.wwbackup 600 = 1"]);
    }

    #[test]
    fn a_file_over_a_link_replaces_the_link_and_is_never_written_through_it() {
        let got = lines(vec![("a", plain("f", 0o777, link("/etc/shadow"))), ("b", rendered("f", 0o644, "safe", true))]);
        assert_eq!(got, ["f 644 = safe"]);
    }

    #[test]
    fn a_folder_over_a_link_to_a_folder_goes_through_it() {
        let got = lines(vec![
            ("a", plain("usr", 0o755, Kind::Directory)),
            ("a", plain("usr/lib", 0o755, Kind::Directory)),
            ("a", plain("lib", 0o777, link("usr/lib"))),
            ("b", plain("lib", 0o700, Kind::Directory)),
            ("b", plain("lib/x", 0o644, file("x"))),
        ]);
        assert_eq!(got, ["lib 777 -> usr/lib", "usr 755 /", "usr/lib 755 /", "usr/lib/x 644 = x"]);
    }

    #[test]
    fn what_lies_below_a_link_of_the_image_goes_through_it_with_a_warning() {
        let (got, warnings) = lay(
            &Merged,
            vec![("a", plain("lib64", 0o755, Kind::Directory)), ("a", plain("lib64/x", 0o644, file("x")))],
        )
        .unwrap();
        assert_eq!(got, ["usr 755 /", "usr/lib64 755 /", "usr/lib64/x 644 = x"]);
        assert_eq!(
            warnings,
            ["overlay a: /lib64 is a link to /usr/lib64 in the image: what the overlay has below it goes there"]
        );
    }

    #[test]
    fn a_link_that_leaves_the_image_is_refused() {
        let clash = lay(&Merged, vec![("a", plain("out/x", 0o644, file("x")))]).unwrap_err();
        assert_eq!(
            clash.to_string(),
            "overlay a: /out/x goes through the link /out -> ../../elsewhere, which leaves the tree"
        );
    }

    #[test]
    fn links_in_a_circle_are_refused() {
        let pieces = vec![
            ("a", plain("l", 0o777, link("m"))),
            ("a", plain("m", 0o777, link("l"))),
            ("b", plain("l/x", 0o644, file("x"))),
        ];
        assert_eq!(lay(&NoImage, pieces).unwrap_err().to_string(), "overlay b: /l/x goes through too many links");
    }

    #[test]
    fn a_file_over_a_folder_fails_and_names_both_overlays() {
        let pieces = vec![("a", plain("d", 0o755, Kind::Directory)), ("b", plain("d", 0o644, file("x")))];
        assert_eq!(
            lay(&NoImage, pieces).unwrap_err().to_string(),
            "overlay b: /d is a file, but overlay a has a folder there: remove one of the two"
        );
        let pieces = vec![("a", plain("d", 0o644, file("x"))), ("b", plain("d/y", 0o644, file("x")))];
        assert_eq!(
            lay(&NoImage, pieces).unwrap_err().to_string(),
            "overlay b: /d is a folder, but overlay a has a file there: remove one of the two"
        );
    }

    #[test]
    fn hard_links_stay_links_and_survive_the_loss_of_their_first_name() {
        let hard = |path: &str, first: &str| plain(path, 0o644, Kind::HardLink(first.into()));
        let tree = || vec![("a", plain("1", 0o644, file("x"))), ("a", hard("2", "1")), ("a", hard("3", "1"))];
        assert_eq!(lines(tree()), ["1 644 = x", "2 644 == 1", "3 644 == 1"]);
        let mut pieces = tree();
        pieces.push(("b", plain("1", 0o644, file("y"))));
        assert_eq!(lines(pieces), ["1 644 = y", "2 644 = x", "3 644 == 2"]);
        let mut pieces = tree();
        pieces.push(("b", rendered("3", 0o644, "y", true)));
        assert_eq!(lines(pieces), ["1 644 = x", "2 644 == 1", "3 644 = y", "3.wwbackup 644 = x"]);
    }

    #[test]
    fn hard_links_below_a_link_of_the_image_go_through_it_with_their_file() {
        let pieces = vec![
            ("a", plain("lib64", 0o755, Kind::Directory)),
            ("a", plain("lib64/1", 0o644, file("x"))),
            ("a", plain("lib64/2", 0o644, Kind::HardLink(b"lib64/1".to_vec()))),
        ];
        let (got, _) = lay(&Merged, pieces).unwrap();
        assert_eq!(got, ["usr 755 /", "usr/lib64 755 /", "usr/lib64/1 644 = x", "usr/lib64/2 644 == usr/lib64/1"]);
    }

    #[test]
    fn the_heir_of_a_hard_linked_file_has_heirs_of_its_own() {
        let hard = |path: &str, first: &str| plain(path, 0o644, Kind::HardLink(first.into()));
        let mut pieces = vec![("a", plain("1", 0o644, file("x"))), ("a", hard("2", "1")), ("a", hard("3", "1"))];
        pieces.extend([("b", plain("1", 0o644, file("y"))), ("c", plain("2", 0o644, file("z")))]);
        assert_eq!(lines(pieces), ["1 644 = y", "2 644 = z", "3 644 = x"]);
    }

    #[test]
    fn set_uid_and_fifos_are_kept() {
        let got = lines(vec![("a", plain("p", 0o600, Kind::Fifo)), ("a", plain("s", 0o4755, file("x")))]);
        assert_eq!(got, ["p 600 Fifo", "s 4755 = x"]);
    }

    #[test]
    fn a_path_that_climbs_out_is_refused() {
        let clash = lay(&NoImage, vec![("a", rendered("etc/../../x", 0o644, "x", true))]).unwrap_err();
        assert_eq!(clash.to_string(), "overlay a: `/etc/../../x` names no file inside the tree");
    }
}
