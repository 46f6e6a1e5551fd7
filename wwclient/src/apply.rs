//! Makes the disk as the overlay says, touching only what differs: each file is put in place whole, by rename; one that
//! cannot be is reported and the others are applied.
//!
//! What the image made a link to a folder stays one. The tree's own root is left alone. Extended attributes are not in
//! the archive: of those, only the SELinux label of a file that is replaced is carried over.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use archive::{Entry, Kind};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat, renameat};
use nix::sys::stat::{
    FchmodatFlags, FileStat, Mode, SFlag, UtimensatFlags, fchmod, fchmodat, fstatat, mkdirat, mknodat, utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, fchownat, linkat, symlinkat, unlinkat};

use crate::manifest::{Manifest, Origin, Record};
use crate::sys;
use crate::tree::{Tree, by_descriptor, shown, split};

/// What an application did.
#[derive(Debug, Default)]
pub struct Applied {
    /// The records of everything that is in place now; source and validators are the caller's.
    pub records: BTreeMap<Vec<u8>, Record>,
    pub changes: Vec<Change>,
    pub problems: Vec<Problem>,
}

/// One file that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub path: Vec<u8>,
    pub what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Created,
    Replaced,
    /// Owner or mode only; content and inode stay.
    Adjusted,
    Removed,
}

/// One file that could not be put in place.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", shown(path))]
pub struct Problem {
    pub path: Vec<u8>,
    pub why: String,
}

/// Applies an overlay. `before` is what the last application left; `labels` says that files carry SELinux labels.
pub fn apply(tree: &Tree, entries: &[Entry], before: &BTreeMap<Vec<u8>, Record>, labels: bool) -> Applied {
    let mut applied = Applied::default();
    // Folders may have been moved since the last time.
    tree.forget();
    let wanted = wanted(entries, &mut applied.problems);
    // Links last: the file that they are another name of must be in place.
    let (links, files): (Vec<_>, Vec<_>) =
        wanted.iter().partition(|(_, entry)| matches!(entry.kind, Kind::HardLink(_)));
    let mut placed = Vec::new();
    for (path, entry) in files.into_iter().chain(links) {
        match (Place { tree, path, labels }).put(entry) {
            Ok(done) => {
                placed.push((path, done));
                if let Some(what) = done {
                    applied.changes.push(Change { path: path.clone(), what });
                }
            }
            Err(why) => {
                if let Some(record) = before.get(path) {
                    applied.records.insert(path.clone(), *record);
                }
                applied.problems.push(Problem { path: path.clone(), why });
            }
        }
    }
    // Only now: a later link changes the file that it names.
    for (path, done) in placed {
        let origin = match (before.get(path), done) {
            (Some(record), _) => record.origin,
            (None, Some(What::Created)) => Origin::Created,
            (None, _) => Origin::Found,
        };
        if let Ok(Some(stamp)) = tree.stamp(path) {
            applied.records.insert(path.clone(), Record { origin, stamp });
        }
    }
    remove_gone(tree, &wanted, before, &mut applied);
    applied
}

/// The files that somebody changed since they were placed.
pub fn drifted(tree: &Tree, manifest: &Manifest) -> Vec<Vec<u8>> {
    tree.forget();
    let untouched = |(path, record): &(&Vec<u8>, &Record)| {
        tree.stamp(path).is_ok_and(|now| now.is_some_and(|now| now.same(&record.stamp)))
    };
    manifest.records.iter().filter(|both| !untouched(both)).map(|(path, _)| path.clone()).collect()
}

/// By clean path, the later of two entries; what would leave the tree is a problem.
fn wanted<'a>(entries: &'a [Entry], problems: &mut Vec<Problem>) -> BTreeMap<Vec<u8>, &'a Entry> {
    let mut wanted = BTreeMap::new();
    for entry in entries {
        match clean(&entry.path) {
            Ok(path) if path.is_empty() => {}
            Ok(path) => {
                wanted.insert(path, entry);
            }
            Err(why) => problems.push(Problem { path: entry.path.clone(), why: why.to_owned() }),
        }
    }
    wanted
}

fn clean(path: &[u8]) -> Result<Vec<u8>, &'static str> {
    let names: Vec<&[u8]> = path.split(|byte| *byte == b'/').filter(|n| !n.is_empty() && *n != b".").collect();
    if names.contains(&&b".."[..]) || path.contains(&0) {
        return Err("the overlay names a file outside the root; nothing was done");
    }
    Ok(names.join(&b'/'))
}

/// What left the overlay goes, when nothing was there before us and nobody touched it since; folders when empty.
fn remove_gone(
    tree: &Tree,
    wanted: &BTreeMap<Vec<u8>, &Entry>,
    before: &BTreeMap<Vec<u8>, Record>,
    applied: &mut Applied,
) {
    let unreadable: Vec<_> = applied.problems.iter().map(|problem| problem.path.clone()).collect();
    // In reverse, so that a folder comes after what is in it.
    for (path, record) in before.iter().rev().filter(|(path, _)| !wanted.contains_key(*path)) {
        if record.origin != Origin::Created || unreadable.contains(path) {
            continue;
        }
        let (above, name) = split(path);
        let Ok(Some(now)) = tree.stamp(path) else { continue };
        if !now.same(&record.stamp) {
            continue;
        }
        let kind = if now.is_folder() { UnlinkatFlags::RemoveDir } else { UnlinkatFlags::NoRemoveDir };
        let done = tree.folder(above).and_then(|above| Ok(unlinkat(above.as_fd(), name, kind)?));
        match done {
            Ok(()) => applied.changes.push(Change { path: path.clone(), what: What::Removed }),
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENOTEMPTY | libc::EEXIST | libc::ENOENT)) => {}
            Err(e) => {
                // Known still, so that the next time tries again.
                applied.records.insert(path.clone(), *record);
                applied.problems.push(Problem { path: path.clone(), why: format!("cannot be removed: {e}") });
            }
        }
    }
    tree.forget();
}

/// One place in the tree.
struct Place<'a> {
    tree: &'a Tree,
    path: &'a [u8],
    labels: bool,
}

impl Place<'_> {
    /// Makes it as the entry says; `None` when it was so.
    fn put(&self, entry: &Entry) -> Result<Option<What>, String> {
        let (above, name) = split(self.path);
        let above = self.tree.folder_made(above).map_err(|e| format!("its folder: {e}"))?;
        let at = At { folder: &above, name };
        let there = at.stat().map_err(words)?;
        match &entry.kind {
            Kind::Directory => self.folder(&at, entry, there.as_ref()),
            Kind::HardLink(first) => self.link(&at, first, there.as_ref()),
            _ => self.leaf(&at, entry, there.as_ref()),
        }
    }

    fn folder(&self, at: &At<'_>, entry: &Entry, there: Option<&FileStat>) -> Result<Option<What>, String> {
        match there.map(|stat| stat.st_mode & libc::S_IFMT) {
            Some(libc::S_IFDIR) => {
                if !there.is_some_and(|stat| differs(entry, stat)) {
                    return Ok(None);
                }
                let open = at.open(OFlag::O_RDONLY | OFlag::O_DIRECTORY).map_err(words)?;
                adjust(&open, entry).map_err(words)?;
                Ok(Some(What::Adjusted))
            }
            Some(libc::S_IFLNK) => match self.tree.folder(self.path) {
                // usr-merge and its like: the image's link is right, what is below goes through it.
                Ok(_) => Ok(None),
                Err(e) => Err(format!("is a link where the overlay has a folder, and leads to no folder: {e}")),
            },
            Some(_) => {
                unlinkat(at.folder, at.name, UnlinkatFlags::NoRemoveDir).map_err(|e| e.to_string())?;
                self.new_folder(at, entry).map_err(words)?;
                Ok(Some(What::Replaced))
            }
            None => {
                self.new_folder(at, entry).map_err(words)?;
                Ok(Some(What::Created))
            }
        }
    }

    fn new_folder(&self, at: &At<'_>, entry: &Entry) -> io::Result<()> {
        mkdirat(at.folder, at.name, Mode::from_bits_truncate(0o700))?;
        let open = at.open(OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        adjust(&open, entry)
    }

    fn leaf(&self, at: &At<'_>, entry: &Entry, there: Option<&FileStat>) -> Result<Option<What>, String> {
        if let Some(stat) = there {
            if is_content(at, entry, stat).map_err(words)? {
                if !differs(entry, stat) {
                    return Ok(None);
                }
                // In place only what no other name, device or pipe can feel.
                let plain = stat.st_mode & libc::S_IFMT == libc::S_IFREG && stat.st_nlink == 1;
                if plain {
                    let open = at.open(OFlag::O_RDONLY | OFlag::O_NONBLOCK).map_err(words)?;
                    adjust(&open, entry).map_err(words)?;
                    return Ok(Some(What::Adjusted));
                }
            }
            if stat.st_mode & libc::S_IFMT == libc::S_IFDIR {
                unlinkat(at.folder, at.name, UnlinkatFlags::RemoveDir).map_err(|e| match e {
                    Errno::ENOTEMPTY | Errno::EEXIST => {
                        "is a folder with something in it where the overlay has a file; it stays".to_owned()
                    }
                    e => format!("is a folder where the overlay has a file: {e}"),
                })?;
            }
        }
        let temporary = temporary(at.name);
        let new = At { folder: at.folder, name: &temporary };
        let made = self.make(&new, entry).and_then(|()| {
            self.keep_label(at, &new, there.is_some());
            Ok(renameat(at.folder, temporary.as_slice(), at.folder, at.name)?)
        });
        if let Err(e) = made {
            let _ = unlinkat(at.folder, temporary.as_slice(), UnlinkatFlags::NoRemoveDir);
            return Err(words(e));
        }
        Ok(Some(if there.is_some() { What::Replaced } else { What::Created }))
    }

    fn make(&self, new: &At<'_>, entry: &Entry) -> io::Result<()> {
        // Left from a run that was cut short.
        let _ = unlinkat(new.folder, new.name, UnlinkatFlags::NoRemoveDir);
        match &entry.kind {
            Kind::File(body) => {
                let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                let fd = openat(new.folder, new.name, flags, Mode::from_bits_truncate(0o600))?;
                let mut file = File::from(fd);
                file.write_all(body)?;
                adjust(&file, entry)?;
                set_time(new, entry)?;
                return file.sync_all();
            }
            Kind::Symlink(target) => {
                symlinkat(target.as_slice(), new.folder, new.name)?;
                own(new, entry)?;
            }
            Kind::Fifo => self.node(new, entry, SFlag::S_IFIFO, 0)?,
            Kind::Socket => self.node(new, entry, SFlag::S_IFSOCK, 0)?,
            Kind::CharDevice { major, minor } => {
                self.node(new, entry, SFlag::S_IFCHR, libc::makedev(*major, *minor))?;
            }
            Kind::BlockDevice { major, minor } => {
                self.node(new, entry, SFlag::S_IFBLK, libc::makedev(*major, *minor))?;
            }
            Kind::Directory | Kind::HardLink(_) => {}
        }
        set_time(new, entry)
    }

    fn node(&self, new: &At<'_>, entry: &Entry, kind: SFlag, device: libc::dev_t) -> io::Result<()> {
        mknodat(new.folder, new.name, kind, Mode::from_bits_truncate(0o600), device)?;
        own(new, entry)?;
        // Just made under a name of our own: no link that could be followed.
        Ok(fchmodat(new.folder, new.name, mode(entry), FchmodatFlags::FollowSymlink)?)
    }

    fn link(&self, at: &At<'_>, first: &[u8], there: Option<&FileStat>) -> Result<Option<What>, String> {
        let first = clean(first)?;
        let (above, name) = split(&first);
        let first_at = self.tree.folder(above).map_err(|e| format!("the file it is a name of: {e}"))?;
        let target = At { folder: &first_at, name };
        let stat = target.stat().map_err(words)?.ok_or_else(|| format!("is a name of {}, not there", shown(&first)))?;
        if there.is_some_and(|there| (there.st_ino, there.st_dev) == (stat.st_ino, stat.st_dev)) {
            return Ok(None);
        }
        let temporary = temporary(at.name);
        let _ = unlinkat(at.folder, temporary.as_slice(), UnlinkatFlags::NoRemoveDir);
        linkat(target.folder, target.name, at.folder, temporary.as_slice(), AtFlags::empty())
            .and_then(|()| renameat(at.folder, temporary.as_slice(), at.folder, at.name))
            .map_err(|e| {
                let _ = unlinkat(at.folder, temporary.as_slice(), UnlinkatFlags::NoRemoveDir);
                e.desc().to_owned()
            })?;
        Ok(Some(if there.is_some() { What::Replaced } else { What::Created }))
    }

    /// A file that is replaced keeps its label; a new one gets the policy's afterwards.
    fn keep_label(&self, at: &At<'_>, new: &At<'_>, replaces: bool) {
        if !self.labels || !replaces {
            return;
        }
        if let Ok(Some(label)) = sys::xattr_of(&by_descriptor(at.folder, at.name), c"security.selinux") {
            let _ = sys::set_xattr(&by_descriptor(new.folder, new.name), c"security.selinux", &label);
        }
    }
}

/// A name in an open folder.
struct At<'a> {
    folder: &'a OwnedFd,
    name: &'a [u8],
}

impl At<'_> {
    fn stat(&self) -> io::Result<Option<FileStat>> {
        match fstatat(self.folder, self.name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::ENOENT) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    fn open(&self, flags: OFlag) -> io::Result<File> {
        let fixed = OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(File::from(openat(self.folder, self.name, flags | fixed, Mode::empty())?))
    }
}

/// Whether what is there is of the entry's type and has its content.
fn is_content(at: &At<'_>, entry: &Entry, stat: &FileStat) -> io::Result<bool> {
    let kind = stat.st_mode & libc::S_IFMT;
    let device = |major: u32, minor: u32| stat.st_rdev == libc::makedev(major, minor);
    Ok(match &entry.kind {
        Kind::File(body) => {
            kind == libc::S_IFREG && u64::try_from(stat.st_size) == Ok(body.len() as u64) && same_bytes(at, body)?
        }
        Kind::Symlink(target) => kind == libc::S_IFLNK && readlinkat(at.folder, at.name)?.as_bytes() == target,
        Kind::Fifo => kind == libc::S_IFIFO,
        Kind::Socket => kind == libc::S_IFSOCK,
        Kind::CharDevice { major, minor } => kind == libc::S_IFCHR && device(*major, *minor),
        Kind::BlockDevice { major, minor } => kind == libc::S_IFBLK && device(*major, *minor),
        Kind::Directory | Kind::HardLink(_) => false,
    })
}

fn same_bytes(at: &At<'_>, body: &[u8]) -> io::Result<bool> {
    // The access time is nobody's business; only the owner may ask for that.
    let mut file = match at.open(OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOATIME) {
        Err(e) if e.raw_os_error() == Some(libc::EPERM) => at.open(OFlag::O_RDONLY | OFlag::O_NONBLOCK)?,
        other => other?,
    };
    let mut buffer = vec![0; body.len().clamp(1, 1 << 16)];
    let mut rest = body;
    loop {
        let got = file.read(&mut buffer)?;
        if got == 0 {
            return Ok(rest.is_empty());
        }
        match rest.split_at_checked(got) {
            Some((same, more)) if buffer.get(..got) == Some(same) => rest = more,
            _ => return Ok(false),
        }
        if rest.is_empty() {
            return Ok(true);
        }
    }
}

/// Owner and mode; a link has no mode of its own.
fn differs(entry: &Entry, stat: &FileStat) -> bool {
    let mode = !matches!(entry.kind, Kind::Symlink(_)) && stat.st_mode & 0o7777 != entry.mode & 0o7777;
    mode || (stat.st_uid, stat.st_gid) != (entry.uid, entry.gid)
}

/// Owner first: a change of owner clears set-uid.
fn adjust(open: &File, entry: &Entry) -> io::Result<()> {
    fchown(open, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))?;
    Ok(fchmod(open, mode(entry))?)
}

fn own(at: &At<'_>, entry: &Entry) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
    Ok(fchownat(at.folder, at.name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)?)
}

fn set_time(at: &At<'_>, entry: &Entry) -> io::Result<()> {
    let time = TimeSpec::new(i64::try_from(entry.mtime).unwrap_or(i64::MAX), 0);
    Ok(utimensat(at.folder, at.name, &time, &time, UtimensatFlags::NoFollowSymlink)?)
}

fn mode(entry: &Entry) -> Mode {
    Mode::from_bits_truncate(entry.mode & 0o7777)
}

/// Hidden, of its own for each name, the same each time: what a crash leaves is found and used again.
fn temporary(name: &[u8]) -> Vec<u8> {
    const ENDING: &[u8] = b".wwclient";
    const LONGEST: usize = 255;
    // A long name is cut in the middle of its folder's namespace: two that agree so far are placed one after the other.
    let kept = name.get(..LONGEST - 1 - ENDING.len()).unwrap_or(name);
    [b".", kept, ENDING].concat()
}

fn words(e: io::Error) -> String {
    e.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Stamp;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::path::{Path, PathBuf};

    /// A root to lay overlays on, and what was placed there so far.
    struct Node {
        folder: tempfile::TempDir,
        tree: Tree,
        records: BTreeMap<Vec<u8>, Record>,
    }

    impl Node {
        fn new() -> Node {
            let folder = tempfile::tempdir().unwrap();
            let tree = Tree::open(folder.path()).unwrap();
            Node { folder, tree, records: BTreeMap::new() }
        }

        fn path(&self, path: &str) -> PathBuf {
            self.folder.path().join(path)
        }

        /// Lays it; what changed, in words, and what could not be placed.
        fn lay(&mut self, entries: &[Entry]) -> (Vec<String>, Vec<String>) {
            let applied = apply(&self.tree, entries, &self.records, false);
            self.records = applied.records;
            let changes = applied.changes.iter().map(|c| format!("{:?} {}", c.what, shown(&c.path))).collect();
            (changes, applied.problems.iter().map(ToString::to_string).collect())
        }

        fn laid(&mut self, entries: &[Entry]) -> Vec<String> {
            let (changes, problems) = self.lay(entries);
            assert_eq!(problems, Vec::<String>::new());
            changes
        }

        fn stamp(&self, path: &str) -> Stamp {
            self.tree.stamp(path.as_bytes()).unwrap().unwrap()
        }

        fn drifted(&self) -> Vec<String> {
            let manifest = Manifest { records: self.records.clone(), ..Manifest::default() };
            drifted(&self.tree, &manifest).iter().map(|path| shown(path)).collect()
        }

        fn read(&self, path: &str) -> String {
            fs::read_to_string(self.path(path)).unwrap()
        }

        fn names(&self, path: &str) -> Vec<String> {
            let mut names: Vec<_> =
                fs::read_dir(self.path(path)).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    fn entry(path: &str, mode: u32, kind: Kind) -> Entry {
        let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        Entry { path: path.into(), mode, uid, gid, mtime: 1_700_000_000, kind, xattrs: BTreeMap::new() }
    }

    fn file(path: &str, text: &str) -> Entry {
        entry(path, 0o644, Kind::File(text.as_bytes().into()))
    }

    fn link(path: &str, target: &str) -> Entry {
        entry(path, 0o777, Kind::Symlink(target.into()))
    }

    fn folder(path: &str) -> Entry {
        entry(path, 0o755, Kind::Directory)
    }

    fn nothing() -> Vec<String> {
        Vec::new()
    }

    #[test]
    fn an_overlay_is_laid_with_modes_and_times() {
        let mut node = Node::new();
        let entries = [
            folder("etc"),
            file("etc/hosts", "a\n"),
            entry("etc/secret", 0o600, Kind::File((*b"x").into())),
            link("l", "etc"),
        ];
        assert_eq!(node.laid(&entries), ["Created /etc", "Created /etc/hosts", "Created /etc/secret", "Created /l"]);
        assert_eq!(node.read("l/hosts"), "a\n");
        assert_eq!(node.stamp("etc/secret").mode, 0o100600);
        assert_eq!(fs::metadata(node.path("etc/hosts")).unwrap().mtime(), 1_700_000_000);
        assert_eq!(node.names("etc"), ["hosts", "secret"]);
    }

    #[test]
    fn nothing_is_touched_when_nothing_differs() {
        let mut node = Node::new();
        let later = |text| Entry { mtime: 1_800_000_000, ..file("etc/hosts", text) };
        let fifo = entry("pipe", 0o640, Kind::Fifo);
        let names = ["etc", "etc/hosts", "l", "pipe", "again"];
        let entries = |hosts| {
            [
                folder("etc"),
                hosts,
                link("l", "etc"),
                fifo.clone(),
                entry("again", 0o644, Kind::HardLink("etc/hosts".into())),
            ]
        };
        node.laid(&entries(file("etc/hosts", "a\n")));
        let before: Vec<_> = names.iter().map(|name| node.stamp(name)).collect();
        // A newer time in the archive is no difference.
        assert_eq!(node.laid(&entries(later("a\n"))), nothing());
        assert_eq!(names.iter().map(|name| node.stamp(name)).collect::<Vec<_>>(), before);
        assert_eq!(node.drifted(), nothing());
    }

    #[test]
    fn only_the_file_that_changed_is_replaced() {
        let mut node = Node::new();
        node.laid(&[file("a", "1"), file("b", "1")]);
        let b = node.stamp("b");
        let a = node.stamp("a").inode;
        assert_eq!(node.laid(&[file("a", "2"), file("b", "1")]), ["Replaced /a"]);
        assert_eq!(node.read("a"), "2");
        assert_ne!(node.stamp("a").inode, a);
        assert_eq!(node.stamp("b"), b);
    }

    #[test]
    fn a_local_edit_is_seen_without_reading_and_put_right() {
        let mut node = Node::new();
        let entries = [file("a", "1"), file("b", "1"), file("c", "1"), link("l", "a")];
        node.laid(&entries);
        assert_eq!(node.drifted(), nothing());
        fs::write(node.path("a"), "2").unwrap();
        fs::remove_file(node.path("b")).unwrap();
        fs::set_permissions(node.path("c"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::remove_file(node.path("l")).unwrap();
        symlink("b", node.path("l")).unwrap();
        assert_eq!(node.drifted(), ["/a", "/b", "/c", "/l"]);
        assert_eq!(node.laid(&entries), ["Replaced /a", "Created /b", "Adjusted /c", "Replaced /l"]);
        assert_eq!(node.drifted(), nothing());
        assert_eq!((node.read("a"), node.stamp("c").mode), ("1".into(), 0o100644));
    }

    #[test]
    fn a_change_of_owner_alone_arrives() {
        if !nix::unistd::geteuid().is_root() {
            assert!(std::env::var_os("CI").is_none(), "CI runs as root");
            return eprintln!("skipped: needs root");
        }
        let mut node = Node::new();
        node.laid(&[file("a", "1"), folder("d"), link("l", "a")]);
        let before = node.stamp("a");
        let owned = |entry| Entry { uid: 12, gid: 34, ..entry };
        let entries = [owned(file("a", "1")), owned(folder("d")), owned(link("l", "a"))];
        assert_eq!(node.laid(&entries), ["Adjusted /a", "Adjusted /d", "Replaced /l"]);
        let after = node.stamp("a");
        assert_eq!((after.inode, after.modified, after.uid, after.gid), (before.inode, before.modified, 12, 34));
        assert_eq!((node.stamp("d").uid, node.stamp("l").gid), (12, 34));
        assert_eq!(node.laid(&entries), nothing());
    }

    #[test]
    fn another_name_of_a_file_outside_the_overlay_does_not_change_with_it() {
        let mut node = Node::new();
        fs::write(node.path("image"), "1").unwrap();
        fs::hard_link(node.path("image"), node.path("a")).unwrap();
        assert_eq!(node.laid(&[entry("a", 0o600, Kind::File((*b"1").into()))]), ["Replaced /a"]);
        assert_eq!(node.stamp("image").mode & 0o777, 0o644);
    }

    #[test]
    fn hard_links_are_kept_and_follow_their_file() {
        let mut node = Node::new();
        let entries = |text| [entry("a-name", 0o644, Kind::HardLink("file".into())), file("file", text)];
        node.laid(&entries("1"));
        assert_eq!(node.stamp("a-name").inode, node.stamp("file").inode);
        assert_eq!(node.laid(&entries("2")), ["Replaced /file", "Replaced /a-name"]);
        assert_eq!(node.read("a-name"), "2");
        assert_eq!(node.names(""), ["a-name", "file"]);
    }

    #[test]
    fn a_fifo_is_made_and_never_waited_for() {
        let mut node = Node::new();
        fs::write(node.path("other"), "a file where the overlay has a pipe").unwrap();
        let entries = [entry("pipe", 0o622, Kind::Fifo), entry("other", 0o600, Kind::Fifo)];
        assert_eq!(node.laid(&entries), ["Replaced /other", "Created /pipe"]);
        assert_eq!(node.stamp("pipe").mode, 0o010622);
        // And a file where a pipe lies.
        assert_eq!(node.laid(&[file("pipe", "x"), entry("other", 0o600, Kind::Fifo)]), ["Replaced /pipe"]);
    }

    #[test]
    fn what_left_the_overlay_goes_unless_somebody_changed_it() {
        let mut node = Node::new();
        node.laid(&[folder("etc/d"), file("etc/d/a", "1"), file("etc/d/b", "1"), folder("full"), file("full/x", "1")]);
        fs::write(node.path("etc/d/b"), "a site's own").unwrap();
        fs::write(node.path("full/own"), "").unwrap();
        let mut changes = node.laid(&[file("new", "1")]);
        changes.sort();
        assert_eq!(changes, ["Created /new", "Removed /etc/d/a", "Removed /full/x"]);
        assert_eq!(node.names("etc/d"), ["b"]);
        assert_eq!(node.names("full"), ["own"]);
        // Not ours any more.
        assert_eq!(node.laid(&[file("new", "1")]), nothing());
    }

    #[test]
    fn an_empty_folder_goes_with_what_was_in_it() {
        let mut node = Node::new();
        node.laid(&[folder("d"), file("d/a", "1")]);
        assert_eq!(node.laid(&[]), ["Removed /d/a", "Removed /d"]);
    }

    #[test]
    fn what_the_image_had_stays_when_it_leaves_the_overlay() {
        let mut node = Node::new();
        fs::write(node.path("hosts"), "the image's\n").unwrap();
        fs::write(node.path("same"), "both\n").unwrap();
        node.laid(&[file("hosts", "the overlay's\n"), file("same", "both\n")]);
        node.laid(&[file("hosts", "the overlay's, later\n"), file("same", "both\n")]);
        assert_eq!(node.laid(&[]), nothing());
        assert_eq!(node.read("hosts"), "the overlay's, later\n");
    }

    #[test]
    fn a_folder_that_the_image_made_a_link_stays_a_link() {
        let mut node = Node::new();
        fs::create_dir_all(node.path("usr/lib64")).unwrap();
        symlink("usr/lib64", node.path("lib64")).unwrap();
        let changes = node.laid(&[folder("lib64"), file("lib64/security", "x")]);
        assert_eq!(changes, ["Created /lib64/security"]);
        assert_eq!(fs::read_link(node.path("lib64")).unwrap(), Path::new("usr/lib64"));
        assert_eq!(node.read("usr/lib64/security"), "x");
    }

    #[test]
    fn nothing_is_written_outside_the_root() {
        let outside = tempfile::tempdir().unwrap();
        let mut node = Node::new();
        symlink(outside.path(), node.path("escape")).unwrap();
        fs::create_dir(node.path("deep")).unwrap();
        symlink("../../../../../../../..", node.path("deep/up")).unwrap();
        let entries = [file("escape/a", "x"), file("../b", "x"), file("deep/up/inside", "x"), file("fine", "x")];
        let (changes, problems) = node.lay(&entries);
        // `..` stops at the root.
        assert_eq!(changes, ["Created /deep/up/inside", "Created /fine"]);
        assert_eq!(node.read("inside"), "x");
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert_eq!(problems.first().unwrap(), "/../b: the overlay names a file outside the root; nothing was done");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
        assert!(!node.folder.path().parent().unwrap().join("b").exists());
    }

    #[test]
    fn one_file_that_cannot_be_placed_leaves_the_others_to_be_placed() {
        let mut node = Node::new();
        fs::create_dir_all(node.path("full/of")).unwrap();
        symlink("nowhere", node.path("dangling")).unwrap();
        fs::create_dir(node.path("empty")).unwrap();
        let entries = [
            folder("dangling"),
            file("dangling/below", "x"),
            file("empty", "x"),
            file("full", "x"),
            entry("orphan", 0o644, Kind::HardLink("missing".into())),
            file("z", "last"),
        ];
        let (changes, problems) = node.lay(&entries);
        assert_eq!(changes, ["Replaced /empty", "Created /z"]);
        let paths: Vec<_> = problems.iter().filter_map(|text| text.split(": ").next()).collect();
        assert_eq!(paths, ["/dangling", "/dangling/below", "/full", "/orphan"]);
        assert!(problems[2].ends_with("is a folder with something in it where the overlay has a file; it stays"));
    }

    #[test]
    fn the_root_itself_is_left_alone() {
        let mut node = Node::new();
        fs::set_permissions(node.folder.path(), fs::Permissions::from_mode(0o711)).unwrap();
        assert_eq!(node.laid(&[entry(".", 0o777, Kind::Directory), entry("", 0o777, Kind::Directory)]), nothing());
        assert_eq!(fs::metadata(node.folder.path()).unwrap().mode() & 0o777, 0o711);
    }

    #[test]
    fn a_temporary_file_that_a_crash_left_is_in_nobodys_way() {
        let mut node = Node::new();
        fs::write(node.path(".a.wwclient"), "half").unwrap();
        let long = "n".repeat(250);
        assert_eq!(node.laid(&[file("a", "whole"), file(&long, "x")]).len(), 2);
        assert_eq!(node.names(""), ["a".to_owned(), long]);
    }

    #[test]
    fn edits_in_the_meantime_break_nothing() {
        let mut node = Node::new();
        let root = node.folder.path().to_owned();
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stopped = std::sync::Arc::clone(&stop);
        let editor = std::thread::spawn(move || {
            let mut turn = 0u32;
            while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                turn += 1;
                let _ = fs::write(root.join(format!("d/{}", turn % 7)), format!("edit {turn}"));
                let _ = fs::remove_file(root.join(format!("d/{}", (turn + 3) % 7)));
                if turn.is_multiple_of(5) {
                    let _ = fs::rename(root.join("d"), root.join("elsewhere"));
                    let _ = fs::rename(root.join("elsewhere"), root.join("d"));
                }
            }
        });
        let entries: Vec<_> =
            [folder("d")].into_iter().chain((0..7).map(|n| file(&format!("d/{n}"), &"whole ".repeat(2000)))).collect();
        for _ in 0..60 {
            let _ = node.lay(&entries);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        editor.join().unwrap();
        let (_, problems) = node.lay(&entries);
        assert_eq!(problems, nothing());
        for n in 0..7 {
            assert_eq!(node.read(&format!("d/{n}")), "whole ".repeat(2000));
        }
        assert_eq!(node.drifted(), nothing());
        assert_eq!(node.names("d"), ["0", "1", "2", "3", "4", "5", "6"]);
    }
}
