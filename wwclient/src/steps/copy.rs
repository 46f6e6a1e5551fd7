//! Copies a root into another and frees each file where it came from as soon as it is there.
//!
//! A node's memory never holds the root twice: a small file is unlinked once copied, a large one is copied from its
//! tail and cut as it goes. Kept: type, mode, owner, times, extended attributes, hard links, device numbers. Not
//! crossed: mounts; they become empty folders.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, mknod, utimensat};
use nix::sys::time::TimeSpec;

use crate::sys;

/// A file is copied in pieces of this size, so this much of it is in memory twice.
const PIECE: u64 = 8 << 20;

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    pub files: u64,
    pub bytes: u64,
}

/// Where a copy stopped.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct CopyError {
    pub path: PathBuf,
    pub problem: io::Error,
}

/// Copies everything below `from` that is on its file system to `to`, which exists.
///
/// With `free` the source is gone afterwards but for its folders that something is mounted on. `progress` is told the
/// bytes so far, about once in two seconds.
pub fn copy(from: &Path, to: &Path, free: bool, progress: &mut dyn FnMut(Copied)) -> Result<Copied, CopyError> {
    let top = fs::symlink_metadata(from).map_err(|problem| CopyError { path: from.to_owned(), problem })?;
    let mut copier = Copier {
        device: top.dev(),
        target: to.to_owned(),
        free,
        links: HashMap::new(),
        done: Copied::default(),
        said: Instant::now(),
        buffer: vec![0; 1 << 18],
        progress,
    };
    copier.folder_content(from, to)?;
    attributes(from, to, &top).map_err(|problem| CopyError { path: from.to_owned(), problem })?;
    Ok(copier.done)
}

struct Copier<'a> {
    device: u64,
    /// The new root lies within the old one, and is not copied into itself.
    target: PathBuf,
    free: bool,
    /// Inode -> where its first name lies now.
    links: HashMap<u64, PathBuf>,
    done: Copied,
    said: Instant,
    buffer: Vec<u8>,
    progress: &'a mut dyn FnMut(Copied),
}

impl Copier<'_> {
    fn folder_content(&mut self, from: &Path, to: &Path) -> Result<(), CopyError> {
        let at = |problem| CopyError { path: from.to_owned(), problem };
        // Names first: the folder changes while its files are freed.
        let names: Vec<OsString> = fs::read_dir(from)
            .map_err(at)?
            .map(|entry| Ok(entry?.file_name()))
            .collect::<io::Result<_>>()
            .map_err(at)?;
        for name in names {
            let source = from.join(&name);
            if source != self.target {
                self.entry(&source, &to.join(&name))?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, from: &Path, to: &Path) -> Result<(), CopyError> {
        let at = |problem| CopyError { path: from.to_owned(), problem };
        let meta = match fs::symlink_metadata(from) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(at)?,
        };
        if meta.is_dir() {
            make_folder(to).map_err(at)?;
            if meta.dev() != self.device {
                // A mount; the folder beneath it cannot be seen, and 0755 is what such folders have.
                return fs::set_permissions(to, fs::Permissions::from_mode(0o755)).map_err(at);
            }
            self.folder_content(from, to)?;
            attributes(from, to, &meta).map_err(at)?;
            if self.free {
                // Not empty when something is mounted below: it is emptied after the switch.
                let _ = fs::remove_dir(from);
            }
        } else if meta.dev() == self.device {
            self.leaf(from, to, &meta).map_err(at)?;
        }
        Ok(())
    }

    fn leaf(&mut self, from: &Path, to: &Path, meta: &Metadata) -> io::Result<()> {
        clear(to)?;
        match self.links.get(&meta.ino()) {
            Some(first) => fs::hard_link(first, to)?,
            None => {
                self.new_leaf(from, to, meta)?;
                if meta.nlink() > 1 {
                    self.links.insert(meta.ino(), to.to_owned());
                }
            }
        }
        if self.free {
            fs::remove_file(from)?;
        }
        self.done.files += 1;
        Ok(())
    }

    fn new_leaf(&mut self, from: &Path, to: &Path, meta: &Metadata) -> io::Result<()> {
        let kind = meta.file_type();
        if kind.is_file() {
            return self.content(from, to, meta);
        }
        if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(from)?, to)?;
        } else {
            let node = match kind {
                k if k.is_fifo() => SFlag::S_IFIFO,
                k if k.is_socket() => SFlag::S_IFSOCK,
                k if k.is_char_device() => SFlag::S_IFCHR,
                _ => SFlag::S_IFBLK,
            };
            mknod(to, node, Mode::from_bits_truncate(0o600), meta.rdev())?;
        }
        attributes(from, to, meta)
    }

    fn content(&mut self, from: &Path, to: &Path, meta: &Metadata) -> io::Result<()> {
        let source = OpenOptions::new().read(true).write(self.free && meta.len() > PIECE).open(from);
        let (source, cut) = match source {
            // A running program (this one) can be unlinked but not cut.
            Err(e) if e.kind() == io::ErrorKind::ExecutableFileBusy => (File::open(from)?, false),
            other => (other?, self.free),
        };
        let target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
        // From the tail, because a file can only be cut there.
        let mut end = meta.len();
        while end > 0 {
            let start = (end - 1) / PIECE * PIECE;
            self.piece(&source, &target, start, end)?;
            if cut && start > 0 {
                source.set_len(start)?;
            }
            end = start;
        }
        attributes(from, to, meta)
    }

    fn piece(&mut self, source: &File, target: &File, start: u64, end: u64) -> io::Result<()> {
        let mut at = start;
        while at < end {
            let want = usize::try_from(end - at).unwrap_or(usize::MAX).min(self.buffer.len());
            let got = source.read_at(self.buffer.get_mut(..want).unwrap_or_default(), at)?;
            if got == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the file became shorter while it was copied",
                ));
            }
            target.write_all_at(self.buffer.get(..got).unwrap_or_default(), at)?;
            at += got as u64;
        }
        self.done.bytes += end - start;
        if self.said.elapsed() > Duration::from_secs(2) {
            self.said = Instant::now();
            (self.progress)(self.done);
        }
        Ok(())
    }
}

/// Owner before mode, because a change of owner clears set-uid; attributes after both, because it clears capabilities.
fn attributes(from: &Path, to: &Path, meta: &Metadata) -> io::Result<()> {
    std::os::unix::fs::lchown(to, Some(meta.uid()), Some(meta.gid()))?;
    if !meta.file_type().is_symlink() {
        fs::set_permissions(to, fs::Permissions::from_mode(meta.mode() & 0o7777))?;
    }
    for (name, value) in sys::xattrs(from)? {
        if name.as_c_str() == c"security.selinux" {
            // What the old root shows is the kernel's guess; labels come from the policy once everything is there.
            continue;
        }
        match sys::set_xattr(to, &name, &value) {
            // The new root's file system has no such attributes (ramfs), or its labels come later.
            Err(e) if e.raw_os_error() == Some(libc::ENOTSUP) => {}
            other => other?,
        }
    }
    let time = |seconds, nanoseconds| TimeSpec::new(seconds, nanoseconds);
    let (accessed, modified) = (time(meta.atime(), meta.atime_nsec()), time(meta.mtime(), meta.mtime_nsec()));
    Ok(utimensat(AT_FDCWD, to, &accessed, &modified, UtimensatFlags::NoFollowSymlink)?)
}

/// A folder at that place, whatever a disk had there before.
fn make_folder(to: &Path) -> io::Result<()> {
    match fs::symlink_metadata(to) {
        Ok(there) if there.is_dir() => return Ok(()),
        Ok(_) => fs::remove_file(to)?,
        Err(_) => {}
    }
    DirBuilder::new().mode(0o700).create(to)
}

/// Nothing at that place.
fn clear(to: &Path) -> io::Result<()> {
    match fs::symlink_metadata(to) {
        Ok(there) if there.is_dir() => fs::remove_dir_all(to),
        Ok(_) => fs::remove_file(to),
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn stamp(path: &Path) -> (u32, u32, u32, i64, i64, u64) {
        let meta = fs::symlink_metadata(path).unwrap();
        (meta.mode(), meta.uid(), meta.gid(), meta.mtime(), meta.mtime_nsec(), meta.rdev())
    }

    fn old(path: &Path, seconds: i64) {
        let time = TimeSpec::new(seconds, 5);
        utimensat(AT_FDCWD, path, &time, &time, UtimensatFlags::NoFollowSymlink).unwrap();
    }

    /// Everything a root can hold, in a folder of its own, and an empty one beside it.
    fn tree() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir_all(from.join("usr/lib")).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(from.join("usr/lib/a"), "alpha").unwrap();
        fs::hard_link(from.join("usr/lib/a"), from.join("usr/lib/b")).unwrap();
        fs::write(from.join("secret"), "x").unwrap();
        fs::set_permissions(from.join("secret"), fs::Permissions::from_mode(0o4711)).unwrap();
        symlink("usr/lib", from.join("lib")).unwrap();
        symlink("nowhere", from.join("dangling")).unwrap();
        mknod(&from.join("fifo"), SFlag::S_IFIFO, Mode::from_bits_truncate(0o640), 0).unwrap();
        old(&from.join("usr/lib/a"), 1_000_000);
        old(&from.join("dangling"), 2_000_000);
        old(&from.join("usr/lib"), 3_000_000);
        (folder, from, to)
    }

    #[test]
    fn everything_a_root_holds_arrives_as_it_was() {
        let (_folder, from, to) = tree();
        let names = ["usr", "usr/lib", "usr/lib/a", "usr/lib/b", "secret", "lib", "dangling", "fifo"];
        let before: Vec<_> = names.iter().map(|name| stamp(&from.join(name))).collect();
        let copied = copy(&from, &to, false, &mut |_| {}).unwrap();
        let after: Vec<_> = names.iter().map(|name| stamp(&to.join(name))).collect();
        assert_eq!(after, before);
        assert_eq!(copied, Copied { files: 6, bytes: 6 });
        assert_eq!(fs::read_to_string(to.join("lib/b")).unwrap(), "alpha");
        assert_eq!(fs::read_link(to.join("dangling")).unwrap(), Path::new("nowhere"));
        let ino = |name: &str| fs::metadata(to.join(name)).unwrap().ino();
        assert_eq!(ino("usr/lib/a"), ino("usr/lib/b"));
        assert!(from.join("usr/lib/a").exists());
    }

    #[test]
    fn freeing_leaves_nothing_behind_and_keeps_hard_links() {
        let (_folder, from, to) = tree();
        copy(&from, &to, true, &mut |_| {}).unwrap();
        assert_eq!(fs::read_dir(&from).unwrap().count(), 0);
        let meta = fs::metadata(to.join("usr/lib/b")).unwrap();
        assert_eq!((meta.nlink(), meta.len(), meta.mtime()), (2, 5, 1_000_000));
    }

    #[test]
    fn owners_and_device_nodes_are_kept() {
        if !nix::unistd::geteuid().is_root() {
            assert!(std::env::var_os("CI").is_none(), "CI runs as root");
            return eprintln!("skipped: needs root");
        }
        let (_folder, from, to) = tree();
        std::os::unix::fs::lchown(from.join("secret"), Some(12), Some(34)).unwrap();
        fs::set_permissions(from.join("secret"), fs::Permissions::from_mode(0o4711)).unwrap();
        mknod(&from.join("null"), SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), libc::makedev(1, 3)).unwrap();
        let before = [stamp(&from.join("secret")), stamp(&from.join("null"))];
        copy(&from, &to, true, &mut |_| {}).unwrap();
        assert_eq!([stamp(&to.join("secret")), stamp(&to.join("null"))], before);
        assert_eq!(before.map(|s| s.0 & 0o7777).first(), Some(&0o4711));
    }

    #[test]
    fn a_large_file_is_cut_as_it_goes_and_arrives_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::create_dir(&from).unwrap();
        fs::create_dir(&to).unwrap();
        let body: Vec<u8> = (0..PIECE * 2 + 12_345).map(|i| u8::try_from(i % 251).unwrap()).collect();
        fs::write(from.join("big"), &body).unwrap();
        copy(&from, &to, true, &mut |_| {}).unwrap();
        assert!(fs::read(to.join("big")).unwrap() == body);
        assert!(!from.join("big").exists());
    }

    #[test]
    fn what_a_disk_held_before_gives_way() {
        let (_folder, from, to) = tree();
        fs::create_dir_all(to.join("lib/old")).unwrap();
        symlink("elsewhere", to.join("usr")).unwrap();
        fs::write(to.join("secret"), "older and longer").unwrap();
        fs::write(to.join("kept"), "a site's own").unwrap();
        copy(&from, &to, true, &mut |_| {}).unwrap();
        assert_eq!(fs::read_link(to.join("lib")).unwrap(), Path::new("usr/lib"));
        assert!(fs::symlink_metadata(to.join("usr")).unwrap().is_dir());
        assert_eq!(fs::read_to_string(to.join("secret")).unwrap(), "x");
        assert_eq!(fs::read_to_string(to.join("kept")).unwrap(), "a site's own");
    }

    #[test]
    fn extended_attributes_are_kept_where_the_file_system_has_them() {
        let (_folder, from, to) = tree();
        let name = c"user.note";
        if sys::set_xattr(&from.join("secret"), name, b"kept").is_err() {
            return eprintln!("no user attributes on this file system: nothing to keep");
        }
        copy(&from, &to, true, &mut |_| {}).unwrap();
        assert_eq!(sys::xattr_of(&to.join("secret"), name).unwrap(), Some(b"kept".to_vec()));
    }
}
