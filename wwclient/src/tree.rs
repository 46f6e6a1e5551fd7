//! A root on disk, entered by paths of the overlay: links within it are followed, nothing leads out of it.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, open, openat, openat2};
use nix::sys::stat::{FileStat, Mode, fstatat, mkdirat};

/// What `lstat` says of a file: enough to see that nobody touched it since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub inode: u64,
    /// Type and permissions.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    /// Nanoseconds since 1970.
    pub modified: i128,
    pub changed: i128,
}

impl Stamp {
    fn of(stat: &FileStat) -> Stamp {
        let time = |seconds: i64, nanoseconds: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
        Stamp {
            inode: stat.st_ino,
            mode: stat.st_mode,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: time(stat.st_mtime, stat.st_mtime_nsec),
            changed: time(stat.st_ctime, stat.st_ctime_nsec),
        }
    }

    /// Whether both are the same untouched file. A folder changes whenever something in it does, so of folders only
    /// type, permissions and owner count.
    pub fn same(&self, other: &Stamp) -> bool {
        if self.is_folder() && other.is_folder() {
            return (self.mode, self.uid, self.gid) == (other.mode, other.uid, other.gid);
        }
        self == other
    }

    pub fn is_folder(&self) -> bool {
        self.mode & libc::S_IFMT == libc::S_IFDIR
    }
}

/// An open root.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
    fd: OwnedFd,
    /// `/` itself: nothing can lead out of it.
    whole: bool,
    no_openat2: Cell<bool>,
    last: RefCell<Option<(Vec<u8>, Rc<OwnedFd>)>>,
}

impl Tree {
    pub fn open(root: &Path) -> io::Result<Tree> {
        let fd = open(root, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        let whole = root == Path::new("/");
        Ok(Tree { root: root.to_owned(), fd, whole, no_openat2: Cell::new(false), last: RefCell::new(None) })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A folder of the tree, through links that lead to one. The last one asked for is kept open.
    pub fn folder(&self, path: &[u8]) -> io::Result<Rc<OwnedFd>> {
        if let Some((last, fd)) = self.last.borrow().as_ref()
            && last == path
        {
            return Ok(Rc::clone(fd));
        }
        let fd = Rc::new(self.enter(path)?);
        *self.last.borrow_mut() = Some((path.to_owned(), Rc::clone(&fd)));
        Ok(fd)
    }

    /// Forgets the folder that is kept open, because something moved.
    pub fn forget(&self) {
        *self.last.borrow_mut() = None;
    }

    /// The same, with folders that are missing on the way made as everybody makes them.
    pub fn folder_made(&self, path: &[u8]) -> io::Result<Rc<OwnedFd>> {
        match self.folder(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound && !path.is_empty() => {
                let (above, name) = split(path);
                let above = self.folder_made(above)?;
                match mkdirat(above.as_fd(), name, Mode::from_bits_truncate(0o755)) {
                    Ok(()) | Err(Errno::EEXIST) => self.folder(path),
                    Err(e) => Err(e.into()),
                }
            }
            other => other,
        }
    }

    /// What is at a path, a link itself and not its target; `None` when there is nothing.
    pub fn stamp(&self, path: &[u8]) -> io::Result<Option<Stamp>> {
        let stat = if self.whole {
            fstatat(self.fd.as_fd(), path, AtFlags::AT_SYMLINK_NOFOLLOW)
        } else {
            let (above, name) = split(path);
            match self.folder(above) {
                Ok(above) => fstatat(above.as_fd(), name, AtFlags::AT_SYMLINK_NOFOLLOW),
                Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ENOTDIR)) => return Ok(None),
                Err(e) => return Err(e),
            }
        };
        match stat {
            Ok(stat) => Ok(Some(Stamp::of(&stat))),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    fn enter(&self, path: &[u8]) -> io::Result<OwnedFd> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        if path.is_empty() {
            return self.fd.try_clone();
        }
        if self.whole {
            return Ok(openat(self.fd.as_fd(), path, flags, Mode::empty())?);
        }
        if !self.no_openat2.get() {
            // An absolute link means the tree's root, and `..` stops there (Linux 5.6, openat2(2)).
            let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_IN_ROOT);
            match openat2(self.fd.as_fd(), path, how) {
                Err(Errno::ENOSYS | Errno::EPERM) => self.no_openat2.set(true),
                other => return Ok(other?),
            }
        }
        // An older kernel, and a tree that is only somebody's trial: follow nothing at all.
        let mut at = self.fd.try_clone()?;
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            at = openat(at.as_fd(), name, flags | OFlag::O_NOFOLLOW, Mode::empty())?;
        }
        Ok(at)
    }
}

/// Folder and name; the folder of a plain name is the root, which is empty.
pub fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (path.get(..at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()),
        None => (&[], path),
    }
}

/// A path for people.
pub fn shown(path: &[u8]) -> String {
    format!("/{}", String::from_utf8_lossy(path).escape_debug())
}

/// A file below an open folder by a name that calls without `at` take.
pub fn by_descriptor(folder: &impl std::os::fd::AsRawFd, name: &[u8]) -> PathBuf {
    Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(std::ffi::OsStr::from_bytes(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_followed_within_the_tree_and_never_out_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir_all(root.join("usr/lib64")).unwrap();
        fs::create_dir_all(folder.path().join("outside")).unwrap();
        fs::write(root.join("usr/lib64/a"), "").unwrap();
        symlink("usr/lib64", root.join("lib64")).unwrap();
        symlink("/usr/lib64", root.join("absolute")).unwrap();
        symlink("../outside", root.join("escape")).unwrap();
        let tree = Tree::open(&root).unwrap();
        let inode = |path: &str| tree.stamp(path.as_bytes()).unwrap().map(|stamp| stamp.inode);
        assert!(inode("usr/lib64/a").is_some());
        assert_eq!(inode("lib64/a"), inode("usr/lib64/a"));
        assert_eq!(inode("absolute/a"), inode("usr/lib64/a"));
        assert_eq!(tree.folder(b"escape").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(inode("nothing/below"), None);
    }

    #[test]
    fn a_path_is_its_folder_and_its_name() {
        assert_eq!(split(b"etc/ssh/key"), (&b"etc/ssh"[..], &b"key"[..]));
        assert_eq!(split(b"etc"), (&b""[..], &b"etc"[..]));
        assert_eq!(shown(b"etc/\xff\n"), "/etc/\u{fffd}\\n");
    }
}
