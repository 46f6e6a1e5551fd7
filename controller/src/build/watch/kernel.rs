//! What the kernel tells of files: inotify(7), the table of mounts, and which file systems tell nothing.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use nix::sys::statfs;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// To a watched file or folder, or to the thing of that name in it.
    At {
        watch: WatchDescriptor,
        name: Option<OsString>,
        /// The watch is no more.
        gone: bool,
    },
    /// Nobody knows where.
    Somewhere,
}

/// Which changes of a file or folder count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Anything, also in the files of a folder.
    All,
    /// What comes into a folder and what goes.
    Names,
}

/// The kernel as far as watching goes; tests put fakes here.
pub trait Kernel: fmt::Debug + Send + Sync {
    /// Watches the thing itself, not what it links to. Once more for the same thing is the same watch.
    ///
    /// # Errors
    /// inotify_add_watch(2).
    fn watch(&self, path: &Path, interest: Interest) -> nix::Result<WatchDescriptor>;

    /// Ends a watch; one that is no more already is no error.
    fn unwatch(&self, watch: WatchDescriptor);

    /// What happened since the last call, some of it; empty: nothing more. A change is told here before the system call
    /// that made it returns, so that whoever asks until there is nothing more knows all that happened before.
    ///
    /// # Errors
    /// Those of read(2); what happened is unknown then.
    fn events(&self) -> nix::Result<Vec<Event>>;

    /// Whether something was mounted or unmounted since the last call.
    fn mounts_changed(&self) -> bool;

    /// Whether every change on that file system comes through this kernel, and is told.
    fn tells(&self, path: &Path) -> bool;
}

/// The real one.
#[derive(Debug)]
pub struct Linux {
    inotify: Inotify,
    mounts: File,
}

impl Linux {
    /// # Errors
    /// When there are too many watchers (fs.inotify.max_user_instances), or no /proc.
    pub fn open() -> std::io::Result<Linux> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        Ok(Linux { inotify, mounts: File::open("/proc/thread-self/mountinfo")? })
    }
}

impl Kernel for Linux {
    fn watch(&self, path: &Path, interest: Interest) -> nix::Result<WatchDescriptor> {
        let names = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF;
        let mask = match interest {
            Interest::Names => names | AddWatchFlags::IN_ONLYDIR,
            // Closing counts because what is written through mmap(2) is told in no other way.
            Interest::All => {
                names | AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_ATTRIB | AddWatchFlags::IN_CLOSE_WRITE
            }
        };
        // Who watches a thing already goes on to hear what he asked for. nix has no name for it.
        let also = AddWatchFlags::from_bits_retain(libc::IN_MASK_ADD);
        self.inotify.add_watch(path, mask | also | AddWatchFlags::IN_DONT_FOLLOW)
    }

    fn unwatch(&self, watch: WatchDescriptor) {
        // EINVAL: it ended with its file.
        let _ = self.inotify.rm_watch(watch);
    }

    fn events(&self) -> nix::Result<Vec<Event>> {
        let told = match self.inotify.read_events() {
            Err(Errno::EAGAIN) => return Ok(Vec::new()),
            Err(Errno::EINTR) => return self.events(),
            told => told?,
        };
        let event = |event: nix::sys::inotify::InotifyEvent| {
            if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                return Event::Somewhere;
            }
            Event::At { watch: event.wd, name: event.name, gone: event.mask.contains(AddWatchFlags::IN_IGNORED) }
        };
        Ok(told.into_iter().map(event).collect())
    }

    fn mounts_changed(&self) -> bool {
        // proc_pid_mountinfo(5): the table changes -> POLLPRI and POLLERR, once.
        let mut table = [PollFd::new(self.mounts.as_fd(), PollFlags::POLLPRI)];
        match poll(&mut table, PollTimeout::ZERO) {
            Ok(ready) => ready > 0,
            Err(_) => true,
        }
    }

    fn tells(&self, path: &Path) -> bool {
        statfs::statfs(path).is_ok_and(|data| LOCAL.contains(&data.filesystem_type()))
    }
}

/// File systems of this machine alone. All others are looked at: those of a network (NFS, CIFS, Lustre, GPFS, Ceph, AFS)
/// change behind this kernel's back, as do shared disks (GFS2, OCFS2), 9p and FUSE; the layers below an overlayfs are
/// changed without a word; /proc and /sys never tell.
const LOCAL: [statfs::FsType; 9] = [
    statfs::EXT4_SUPER_MAGIC,
    statfs::XFS_SUPER_MAGIC,
    statfs::BTRFS_SUPER_MAGIC,
    statfs::TMPFS_MAGIC,
    statfs::F2FS_SUPER_MAGIC,
    // What nix has no names for: linux/magic.h, and the file systems' own sources.
    statfs::FsType(0x8584_58f6), // ramfs
    statfs::FsType(0x2fc1_2fc1), // ZFS
    statfs::FsType(0x7371_7368), // squashfs
    statfs::FsType(0xe0f5_e1e2), // EROFS
];
