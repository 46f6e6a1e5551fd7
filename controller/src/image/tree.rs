//! A walk over an image's tree: what there is, sorted, without opening a file.
//!
//! Links are never followed, other file systems that are mounted inside are left out (an empty folder stays in their
//! place), and what vanishes while it is looked at was never there.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::{major, minor};

use super::excludes::Excludes;

/// One thing in a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// From the root, without a slash in front.
    pub path: Vec<u8>,
    /// Permission bits, `0o7777`.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub stamp: Stamp,
    pub kind: ItemKind,
}

/// What an item is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemKind {
    /// `names`: how many names of this file the walk saw; `first`: the item that is its first name, when this is another one.
    File {
        names: u32,
        first: Option<usize>,
    },
    Directory,
    Symlink(Vec<u8>),
    Fifo,
    Socket,
    CharDevice {
        major: u32,
        minor: u32,
    },
    BlockDevice {
        major: u32,
        minor: u32,
    },
}

/// What tells whether a file is still the one that was seen, and has its content still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stamp {
    pub device: u64,
    pub inode: u64,
    pub size: u64,
    /// Seconds and nanoseconds.
    pub mtime: (i64, i64),
    pub ctime: (i64, i64),
}

impl Stamp {
    pub fn of(metadata: &Metadata) -> Stamp {
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
            ctime: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// What a walk saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    /// By path.
    pub items: Vec<Item>,
    /// Folders in which another file system is mounted.
    pub mounts: Vec<PathBuf>,
}

/// Walks over all below `root` that is not left out.
///
/// # Errors
/// When a folder cannot be read; the message names it.
pub fn walk(root: &Path, excludes: &Excludes) -> io::Result<Tree> {
    let device = std::fs::symlink_metadata(root).map_err(|error| named(root, &error))?.dev();
    let mut tree = Tree::default();
    let mut folders: Vec<Vec<u8>> = vec![Vec::new()];
    while let Some(folder) = folders.pop() {
        let here = root.join(OsStr::from_bytes(&folder));
        let entries = match std::fs::read_dir(&here) {
            Ok(entries) => entries,
            // Gone since its own folder was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !folder.is_empty() => continue,
            Err(error) => return Err(named(&here, &error)),
        };
        for entry in entries {
            let name = entry.map_err(|error| named(&here, &error))?.file_name().into_vec();
            let path = if folder.is_empty() { name } else { [folder.as_slice(), b"/", &name].concat() };
            if excludes.has(&path) {
                continue;
            }
            let file = root.join(OsStr::from_bytes(&path));
            let Some((item, is_mount)) = look(&file, path, device)? else { continue };
            if is_mount {
                tree.mounts.push(file);
            } else if item.kind == ItemKind::Directory {
                folders.push(item.path.clone());
            }
            tree.items.push(item);
        }
    }
    tree.items.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    tree.mounts.sort_unstable();
    join_names(&mut tree.items);
    Ok(tree)
}

/// None: gone, or a plain file of another file system that is mounted over a file.
fn look(file: &Path, path: Vec<u8>, device: u64) -> io::Result<Option<(Item, bool)>> {
    let vanished = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Ok(None),
        _ => Err(named(file, &error)),
    };
    let metadata = match std::fs::symlink_metadata(file) {
        Ok(metadata) => metadata,
        Err(error) => return vanished(error),
    };
    let kind = metadata.file_type();
    let other = metadata.dev() != device;
    if other && !kind.is_dir() {
        return Ok(None);
    }
    let number = || (narrow(major(metadata.rdev())), narrow(minor(metadata.rdev())));
    let kind = if kind.is_file() {
        ItemKind::File { names: 1, first: None }
    } else if kind.is_dir() {
        ItemKind::Directory
    } else if kind.is_symlink() {
        match std::fs::read_link(file) {
            Ok(target) => ItemKind::Symlink(target.into_os_string().into_vec()),
            Err(error) => return vanished(error),
        }
    } else if kind.is_fifo() {
        ItemKind::Fifo
    } else if kind.is_socket() {
        ItemKind::Socket
    } else {
        let (major, minor) = number();
        if kind.is_char_device() {
            ItemKind::CharDevice { major, minor }
        } else {
            ItemKind::BlockDevice { major, minor }
        }
    };
    let (mode, uid, gid) = (metadata.mode() & 0o7777, metadata.uid(), metadata.gid());
    Ok(Some((Item { path, mode, uid, gid, stamp: Stamp::of(&metadata), kind }, other)))
}

/// Finds the names of files that have more than one. Names outside the tree, or left out of it, do not count.
fn join_names(items: &mut [Item]) {
    let mut seen: HashMap<(u64, u64), (usize, u32)> = HashMap::new();
    for (index, item) in items.iter().enumerate() {
        if matches!(item.kind, ItemKind::File { .. }) {
            seen.entry((item.stamp.device, item.stamp.inode)).or_insert((index, 0)).1 += 1;
        }
    }
    for (index, item) in items.iter_mut().enumerate() {
        if let ItemKind::File { names, first } = &mut item.kind
            && let Some((at, count)) = seen.get(&(item.stamp.device, item.stamp.inode))
        {
            *names = *count;
            *first = (*at != index).then_some(*at);
        }
    }
}

/// Linux has 12 and 20 bits for them.
fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_walk_is_sorted_follows_no_link_and_counts_names() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("a/sub")).unwrap();
        fs::write(root.join("a/sub/two"), "x").unwrap();
        fs::hard_link(root.join("a/sub/two"), root.join("a-one")).unwrap();
        fs::hard_link(root.join("a/sub/two"), root.join("left-out")).unwrap();
        symlink("/etc", root.join("link")).unwrap();
        let name = OsStr::from_bytes(b"new\nline \xff:");
        fs::write(root.join(name), "").unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.join("sock")).unwrap();
        let tree = walk(root, &Excludes::parse(b"/left-out")).unwrap();
        let seen: Vec<_> = tree.items.iter().map(|item| (item.path.as_slice(), item.kind.clone())).collect();
        let wanted: Vec<(&[u8], ItemKind)> = vec![
            (b"a", ItemKind::Directory),
            (b"a-one", ItemKind::File { names: 2, first: None }),
            (b"a/sub", ItemKind::Directory),
            (b"a/sub/two", ItemKind::File { names: 2, first: Some(1) }),
            (b"link", ItemKind::Symlink(b"/etc".to_vec())),
            (b"new\nline \xff:", ItemKind::File { names: 1, first: None }),
            (b"sock", ItemKind::Socket),
        ];
        assert_eq!(seen, wanted);
    }

    #[test]
    fn a_root_that_is_not_there_is_named() {
        let error = walk(Path::new("/nowhere/at/all"), &Excludes::default()).unwrap_err();
        assert!(error.to_string().starts_with("/nowhere/at/all: "), "{error}");
    }
}
