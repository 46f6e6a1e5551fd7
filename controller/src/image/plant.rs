//! Makes files in an image's tree, as somebody else's archive or tree says, without ever leaving that tree.
//!
//! Every folder on a path is opened by the kernel with the tree as its root (openat2(2), `RESOLVE_IN_ROOT`), so that links in
//! the tree lead where they lead on a node; what is made at the end of a path replaces what is there and is never followed.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, fchown};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{
    FchmodatFlags, Mode, SFlag, UtimensatFlags, fchmodat, fstatat, makedev, mkdirat, mknodat, utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, linkat, symlinkat, unlinkat};

/// What a file has beside its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `0o7777`.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds and nanoseconds.
    pub mtime: (i64, i64),
    pub xattrs: Vec<(CString, Vec<u8>)>,
}

/// A thing without content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    Symlink(OsString),
    Fifo,
    Socket,
    CharDevice { major: u32, minor: u32 },
    BlockDevice { major: u32, minor: u32 },
}

/// A tree in which things are made.
#[derive(Debug)]
pub struct Plot {
    root: OwnedFd,
    /// Folders get their mode and time when all that they hold is there.
    folders: Vec<(PathBuf, Attributes)>,
    /// Attributes that the file system under the tree does not take: how many, and the first.
    refused: Option<(usize, String)>,
}

impl Plot {
    /// The tree below this folder.
    ///
    /// # Errors
    /// When it is none.
    pub fn open(root: &Path) -> io::Result<Plot> {
        let file = File::options().read(true).open(root)?;
        if !file.metadata()?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Plot { root: file.into(), folders: Vec::new(), refused: None })
    }

    /// A folder. One that is there stays with what it holds, also when a link leads to it.
    ///
    /// # Errors
    /// Those of the file system, and paths that lead out.
    pub fn folder(&mut self, path: &Path, attributes: Attributes) -> io::Result<()> {
        let path = clean(path)?;
        if let Some((parent, name)) = self.parent(&path)? {
            let is_folder = self.open_folder(&path).is_ok();
            if !is_folder {
                remove(&parent, &name)?;
                mkdirat(&parent, name.as_os_str(), Mode::S_IRWXU)?;
            }
        }
        self.folders.push((path, attributes));
        Ok(())
    }

    /// A plain file with this content.
    ///
    /// # Errors
    /// Those of the file system and of `content`, and paths that lead out.
    pub fn file(&mut self, path: &Path, attributes: &Attributes, content: &mut impl Read) -> io::Result<()> {
        let path = clean(path)?;
        let (parent, name) = self.parent(&path)?.ok_or(io::ErrorKind::IsADirectory)?;
        remove(&parent, &name)?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut file = File::from(openat(&parent, name.as_os_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
        io::copy(content, &mut file)?;
        // Owner first: a change of owner takes set-uid bits and capabilities away.
        fchown(&file, Some(attributes.uid), Some(attributes.gid))?;
        file.set_permissions(std::fs::Permissions::from_mode(attributes.mode & 0o7777))?;
        self.xattrs(&parent, &name, attributes)?;
        times(&parent, &name, attributes)
    }

    /// A link, a FIFO, a socket or a device.
    ///
    /// # Errors
    /// Those of the file system, and paths that lead out.
    pub fn node(&mut self, path: &Path, attributes: &Attributes, node: &Node) -> io::Result<()> {
        let path = clean(path)?;
        let (parent, name) = self.parent(&path)?.ok_or(io::ErrorKind::IsADirectory)?;
        remove(&parent, &name)?;
        let make = |kind, major: u32, minor: u32| {
            mknodat(&parent, name.as_os_str(), kind, Mode::S_IRUSR | Mode::S_IWUSR, makedev(major.into(), minor.into()))
        };
        match node {
            Node::Symlink(target) => symlinkat(target.as_os_str(), &parent, name.as_os_str())?,
            Node::Fifo => make(SFlag::S_IFIFO, 0, 0)?,
            Node::Socket => make(SFlag::S_IFSOCK, 0, 0)?,
            Node::CharDevice { major, minor } => make(SFlag::S_IFCHR, *major, *minor)?,
            Node::BlockDevice { major, minor } => make(SFlag::S_IFBLK, *major, *minor)?,
        }
        own(&parent, &name, attributes)?;
        if !matches!(node, Node::Symlink(_)) {
            // Made a moment ago as what it is: there is no link to follow.
            fchmodat(&parent, name.as_os_str(), mode(attributes), FchmodatFlags::FollowSymlink)?;
        }
        self.xattrs(&parent, &name, attributes)?;
        times(&parent, &name, attributes)
    }

    /// Another name of a file that is there.
    ///
    /// # Errors
    /// Those of the file system, and paths that lead out.
    pub fn hard_link(&mut self, path: &Path, target: &Path) -> io::Result<()> {
        let (path, target) = (clean(path)?, clean(target)?);
        if path == target {
            return Ok(());
        }
        let (from, old) = self.parent(&target)?.ok_or(io::ErrorKind::IsADirectory)?;
        let (to, new) = self.parent(&path)?.ok_or(io::ErrorKind::IsADirectory)?;
        // What cannot be linked to must be noticed before what is there goes.
        fstatat(&from, old.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
        remove(&to, &new)?;
        Ok(linkat(&from, old.as_os_str(), &to, new.as_os_str(), AtFlags::empty())?)
    }

    /// Gives the folders their modes, owners and times. What the file system did not take is told.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn finish(mut self) -> io::Result<Option<String>> {
        // The inner ones first: a change in a folder moves its time.
        for (path, attributes) in std::mem::take(&mut self.folders).into_iter().rev() {
            let folder = self.open_folder(&path)?;
            let here = OsStr::new(".");
            own(&folder, here, &attributes)?;
            fchmodat(&folder, here, mode(&attributes), FchmodatFlags::FollowSymlink)?;
            self.xattrs(&folder, here, &attributes)?;
            times(&folder, here, &attributes)?;
        }
        Ok(self.refused.map(|(count, first)| format!("{count} extended attributes could not be kept, first {first}")))
    }

    fn open_folder(&self, path: &Path) -> nix::Result<OwnedFd> {
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        openat2(&self.root, path, how)
    }

    /// The folder that holds the path, made when it is missing, and the last name; none for the root itself.
    fn parent(&self, path: &Path) -> io::Result<Option<(OwnedFd, OsString)>> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(None) };
        let folder = match self.open_folder(parent) {
            Err(Errno::ENOENT) => {
                let Some((above, missing)) = self.parent(parent)? else { return Err(io::ErrorKind::NotFound.into()) };
                match mkdirat(&above, missing.as_os_str(), Mode::from_bits_truncate(0o755)) {
                    // A link to nothing stands there.
                    Err(Errno::EEXIST) => {
                        remove(&above, &missing)?;
                        mkdirat(&above, missing.as_os_str(), Mode::from_bits_truncate(0o755))?;
                    }
                    made => made?,
                }
                self.open_folder(parent)?
            }
            folder => folder?,
        };
        Ok(Some((folder, name.to_os_string())))
    }

    fn xattrs(&mut self, parent: &OwnedFd, name: &OsStr, attributes: &Attributes) -> io::Result<()> {
        for (attribute, value) in &attributes.xattrs {
            let path = Path::new("/proc/self/fd").join(parent.as_raw_fd().to_string()).join(name);
            match crate::sys::set_xattr(&path, attribute, value) {
                Ok(()) => {}
                Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EPERM | libc::EINVAL)) => {
                    let first = || format!("{} of {}: {error}", attribute.to_string_lossy(), name.display());
                    self.refused.get_or_insert_with(|| (0, first())).0 += 1;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The path from the root. `..` is refused: no honest archive has it.
fn clean(path: &Path) -> io::Result<PathBuf> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => clean.push(part),
            Component::ParentDir => return Err(io::Error::other("the path leads out of the tree")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    if clean.as_os_str().as_bytes().contains(&0) {
        return Err(io::Error::other("there is a NUL in the path"));
    }
    Ok(clean)
}

/// Makes room for what comes; a folder goes only when it is empty.
fn remove(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match unlinkat(parent, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(Errno::EISDIR | Errno::EPERM) => match unlinkat(parent, name, UnlinkatFlags::RemoveDir) {
            Err(Errno::ENOTEMPTY | Errno::EEXIST) => Err(io::Error::new(
                io::ErrorKind::DirectoryNotEmpty,
                "a folder that holds something stands in its place",
            )),
            done => Ok(done?),
        },
        Err(error) => Err(error.into()),
    }
}

fn mode(attributes: &Attributes) -> Mode {
    Mode::from_bits_truncate(attributes.mode & 0o7777)
}

fn own(parent: &OwnedFd, name: &OsStr, attributes: &Attributes) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(attributes.uid), Gid::from_raw(attributes.gid));
    Ok(fchownat(parent, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)?)
}

fn times(parent: &OwnedFd, name: &OsStr, attributes: &Attributes) -> io::Result<()> {
    let time = TimeSpec::new(attributes.mtime.0, attributes.mtime.1);
    Ok(utimensat(parent, name, &time, &time, UtimensatFlags::NoFollowSymlink)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    fn attributes(mode: u32) -> Attributes {
        let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        Attributes { mode, uid, gid, mtime: (1_600_000_000, 5_000), xattrs: Vec::new() }
    }

    fn write(plot: &mut Plot, path: &str, text: &str) -> io::Result<()> {
        plot.file(Path::new(path), &attributes(0o4755), &mut text.as_bytes())
    }

    #[test]
    fn files_have_their_modes_and_times_and_folders_too() {
        let root = tempfile::tempdir().unwrap();
        let mut plot = Plot::open(root.path()).unwrap();
        plot.folder(Path::new("./a"), attributes(0o500)).unwrap();
        write(&mut plot, "/a/su", "x").unwrap();
        plot.hard_link(Path::new("a/same"), Path::new("a/su")).unwrap();
        plot.node(Path::new("a/fifo"), &attributes(0o666), &Node::Fifo).unwrap();
        plot.node(Path::new("a/link"), &attributes(0), &Node::Symlink("/etc/passwd".into())).unwrap();
        assert_eq!(plot.finish().unwrap(), None);
        let of = |path: &str| fs::symlink_metadata(root.path().join(path)).unwrap();
        assert_eq!((of("a/su").mode() & 0o7777, of("a/su").nlink(), of("a/su").mtime()), (0o4755, 2, 1_600_000_000));
        assert_eq!((of("a").mode() & 0o7777, of("a").mtime(), of("a").mtime_nsec()), (0o500, 1_600_000_000, 5_000));
        assert_eq!((of("a/fifo").mode() & 0o7777, of("a/link").mtime()), (0o666, 1_600_000_000));
    }

    #[test]
    fn nothing_is_made_outside_by_links_or_by_names() {
        let folder = tempfile::tempdir().unwrap();
        let (root, outside) = (folder.path().join("root"), folder.path().join("outside"));
        fs::create_dir_all(&root).unwrap();
        fs::create_dir_all(&outside).unwrap();
        fs::write(outside.join("file"), "untouched").unwrap();
        let mut plot = Plot::open(&root).unwrap();
        symlink(&outside, root.join("absolute")).unwrap();
        symlink("../../outside", root.join("relative")).unwrap();
        symlink(outside.join("file"), root.join("file")).unwrap();
        symlink("/proc/self/cwd", root.join("magic")).unwrap();
        write(&mut plot, "absolute/evil", "x").unwrap();
        // Leads to /outside in the tree, where nothing is: a folder takes the link's place.
        write(&mut plot, "relative/evil", "x").unwrap();
        write(&mut plot, "file", "mine").unwrap();
        let _ = write(&mut plot, "magic/evil", "x");
        assert!(write(&mut plot, "../outside/evil", "x").is_err());
        assert!(plot.hard_link(Path::new("stolen"), Path::new("../outside/file")).is_err());
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
        assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "untouched");
        assert_eq!(fs::read_to_string(root.join("file")).unwrap(), "mine");
        assert!(!folder.path().join("evil").exists());
    }

    #[test]
    fn a_folder_goes_through_a_link_to_a_folder_as_usr_merge_needs_it() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("usr/lib")).unwrap();
        symlink("/usr/lib", root.path().join("lib")).unwrap();
        let mut plot = Plot::open(root.path()).unwrap();
        plot.folder(Path::new("lib"), attributes(0o755)).unwrap();
        write(&mut plot, "lib/x", "x").unwrap();
        plot.finish().unwrap();
        assert!(fs::symlink_metadata(root.path().join("lib")).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(root.path().join("usr/lib/x")).unwrap(), "x");
    }

    #[test]
    fn what_is_there_is_replaced_but_not_a_full_folder() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("full/x")).unwrap();
        fs::create_dir_all(root.path().join("empty")).unwrap();
        fs::write(root.path().join("file"), "old").unwrap();
        let mut plot = Plot::open(root.path()).unwrap();
        write(&mut plot, "empty", "now a file").unwrap();
        plot.folder(Path::new("file"), attributes(0o755)).unwrap();
        let refused = write(&mut plot, "full", "x").unwrap_err();
        assert_eq!(refused.to_string(), "a folder that holds something stands in its place");
        plot.finish().unwrap();
        assert!(root.path().join("file").is_dir() && root.path().join("empty").is_file());
    }
}
