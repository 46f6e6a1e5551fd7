//! Makes a mounted folder the root, and empties the old one when it is memory.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::dir::Dir;
use nix::fcntl::OFlag;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, fstat};
use nix::sys::statfs::{FsType, TMPFS_MAGIC, fstatfs};
use nix::unistd::{UnlinkatFlags, chdir, chroot, unlinkat};

use crate::facts::RootKind;

/// Linux, include/uapi/linux/magic.h.
const RAMFS_MAGIC: FsType = FsType(0x8584_58f6);
const NOTHING: Option<&str> = None;

/// Whether what is in this folder lives in memory.
pub fn kind(folder: &Path) -> RootKind {
    let magic: Option<FsType> =
        File::open(folder).ok().and_then(|open| fstatfs(&open).ok()).map(|s| s.filesystem_type());
    match magic {
        Some(magic) if magic == TMPFS_MAGIC || magic == RAMFS_MAGIC => RootKind::Memory,
        _ => RootKind::Other,
    }
}

/// Moves the mounts along, makes `to` the root, and empties the old root if it is memory. rootfs cannot be unmounted and
/// pivot_root refuses it (Linux, Documentation/filesystems/ramfs-rootfs-initramfs.rst), so it is mounted over.
pub fn switch(to: &Path, along: &[&str]) -> io::Result<Vec<String>> {
    let mut notes = Vec::new();
    let old = File::open("/")?;
    let device = old.metadata()?.dev();
    let memory = kind(Path::new("/")) == RootKind::Memory;
    for path in along {
        if !fs::metadata(path).is_ok_and(|meta| meta.dev() != device) {
            continue;
        }
        let target = to.join(path.trim_start_matches('/'));
        fs::create_dir_all(&target)?;
        if let Err(e) = mount(Some(*path), &target, NOTHING, MsFlags::MS_MOVE, NOTHING) {
            notes.push(format!("{path} stays behind: {e}"));
            let _ = umount2(*path, MntFlags::MNT_DETACH);
        }
    }
    chdir(to)?;
    mount(Some("."), "/", NOTHING, MsFlags::MS_MOVE, NOTHING)?;
    chroot(".")?;
    chdir("/")?;
    if memory {
        empty(OwnedFd::from(old), device);
    }
    Ok(notes)
}

/// Removes everything below an open folder that is on the same file system. Nothing is followed, no mount is entered.
fn empty(folder: OwnedFd, device: u64) {
    let Ok(mut open) = Dir::from_fd(folder) else { return };
    let names: Vec<_> = open.iter().flatten().map(|entry| entry.file_name().to_owned()).collect();
    for name in names.iter().filter(|name| !matches!(name.to_bytes(), b"." | b"..")) {
        if unlinkat(open.as_fd(), name.as_c_str(), UnlinkatFlags::NoRemoveDir).is_ok() {
            continue;
        }
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let Ok(below) = nix::fcntl::openat(open.as_fd(), name.as_c_str(), flags, Mode::empty()) else { continue };
        if fstat(&below).is_ok_and(|stat| stat.st_dev == device) {
            empty(below, device);
            let _ = unlinkat(open.as_fd(), name.as_c_str(), UnlinkatFlags::RemoveDir);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emptying_removes_what_is_below_and_follows_nothing() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("kept"), "").unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b/c")).unwrap();
        fs::write(folder.path().join("a/b/file"), "").unwrap();
        std::os::unix::fs::symlink(outside.path(), folder.path().join("a/link")).unwrap();
        let open = File::open(folder.path()).unwrap();
        let device = open.metadata().unwrap().dev();
        empty(OwnedFd::from(open), device);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(outside.path().join("kept").exists());
    }

    #[test]
    fn another_file_system_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        let open = File::open(folder.path()).unwrap();
        let other = open.metadata().unwrap().dev() + 1;
        empty(OwnedFd::from(open), other);
        assert!(folder.path().join("a").exists());
    }

    #[test]
    fn proc_is_not_memory_to_be_freed() {
        assert_eq!(kind(Path::new("/proc")), RootKind::Other);
        assert_eq!(kind(Path::new("/nonexistent")), RootKind::Other);
    }
}
