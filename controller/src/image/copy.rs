//! A tree copied whole into another: links, devices, owners, times, hard links and extended attributes as they are.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::excludes::Excludes;
use super::plant::{Attributes, Node, Plot};
use super::tree::{ItemKind, Stamp, walk};

/// Copies what is below `source` into the tree `plot`. Tells what could not be kept: mounts inside, attributes.
///
/// # Errors
/// When a file cannot be read or made; the message names it.
pub fn copy(source: &Path, mut plot: Plot) -> io::Result<Vec<String>> {
    let tree = walk(source, &Excludes::default())?;
    let root = std::fs::metadata(source).map_err(|error| named(source, &error))?;
    let owner = |metadata: &std::fs::Metadata| {
        use std::os::unix::fs::MetadataExt;
        (metadata.mode() & 0o7777, metadata.uid(), metadata.gid())
    };
    let (mode, uid, gid) = owner(&root);
    plot.folder(Path::new("."), Attributes { mode, uid, gid, mtime: Stamp::of(&root).mtime, xattrs: xattrs(source)? })?;
    for item in &tree.items {
        let path = Path::new(OsStr::from_bytes(&item.path));
        let from = source.join(path);
        let attributes = || {
            let (mode, uid, gid) = (item.mode, item.uid, item.gid);
            Ok::<_, io::Error>(Attributes { mode, uid, gid, mtime: item.stamp.mtime, xattrs: xattrs(&from)? })
        };
        let made = match &item.kind {
            ItemKind::File { first: Some(first), .. } => match tree.items.get(*first) {
                Some(first) => plot.hard_link(path, Path::new(OsStr::from_bytes(&first.path))),
                None => Ok(()),
            },
            ItemKind::File { .. } => {
                attributes().and_then(|attributes| plot.file(path, &attributes, &mut open(&from)?))
            }
            ItemKind::Directory => attributes().and_then(|attributes| plot.folder(path, attributes)),
            ItemKind::Symlink(target) => {
                let target = Node::Symlink(OsString::from_vec(target.clone()));
                attributes().and_then(|attributes| plot.node(path, &attributes, &target))
            }
            ItemKind::Fifo => attributes().and_then(|attributes| plot.node(path, &attributes, &Node::Fifo)),
            ItemKind::Socket => attributes().and_then(|attributes| plot.node(path, &attributes, &Node::Socket)),
            ItemKind::CharDevice { major, minor } => {
                let node = Node::CharDevice { major: *major, minor: *minor };
                attributes().and_then(|attributes| plot.node(path, &attributes, &node))
            }
            ItemKind::BlockDevice { major, minor } => {
                let node = Node::BlockDevice { major: *major, minor: *minor };
                attributes().and_then(|attributes| plot.node(path, &attributes, &node))
            }
        };
        made.map_err(|error| named(&from, &error))?;
    }
    let mounts = |path: &PathBuf| format!("{} is a mount point: what is mounted there was not copied", path.display());
    let mut said: Vec<String> = tree.mounts.iter().map(mounts).collect();
    said.extend(plot.finish()?);
    Ok(said)
}

/// What was a plain file at the walk must not be followed or waited for when it became something else.
fn open(path: &Path) -> io::Result<File> {
    File::options().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY).open(path)
}

/// A file system without attributes has none.
fn xattrs(path: &Path) -> io::Result<Vec<(std::ffi::CString, Vec<u8>)>> {
    match crate::sys::xattrs(path) {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(Vec::new()),
        answer => answer,
    }
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
    fn a_copy_is_the_same_tree() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir_all(from.path().join("etc/deep")).unwrap();
        fs::write(from.path().join("etc/deep/one"), "content").unwrap();
        fs::hard_link(from.path().join("etc/deep/one"), from.path().join("two")).unwrap();
        symlink("/etc/deep", from.path().join("link")).unwrap();
        nix::unistd::mkfifo(&from.path().join("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        let odd = OsStr::from_bytes(b"odd\n\xff:");
        fs::write(from.path().join(odd), "odd").unwrap();
        assert_eq!(copy(from.path(), Plot::open(to.path()).unwrap()).unwrap(), Vec::<String>::new());
        let seen = |root: &Path| {
            let items = walk(root, &Excludes::default()).unwrap().items.into_iter();
            items
                .map(|item| (item.path, item.mode, item.uid, item.gid, item.stamp.mtime, item.kind))
                .collect::<Vec<_>>()
        };
        assert_eq!(seen(from.path()), seen(to.path()));
        assert_eq!(fs::read_to_string(to.path().join("two")).unwrap(), "content");
        assert_eq!(fs::read_to_string(to.path().join(odd)).unwrap(), "odd");
    }
}
