//! Who changes the site's overlays: one command at a time, and whoever comes next clears away what a killed one left.
//!
//! Unfinished files and folders lie beside the overlays under names that begin with a dot, never in a tree, where a build
//! would take them for a node's.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;

use super::tree::folders;
use crate::site::Site;
use crate::store::publish;

/// How the names of folders begin that are being deleted.
const GONE: &str = ".gone-";
/// The same of what is not there yet.
pub const NEW: &str = ".new-";

/// The right to change overlays, until it is dropped.
#[derive(Debug)]
pub struct Hold {
    home: PathBuf,
    _lock: File,
}

/// Mode, owner and, where it has one of its own, time of a file that is written.
#[derive(Clone, Copy, Debug)]
pub struct Traits {
    pub mode: u32,
    pub owner: (u32, u32),
    pub modified: Option<SystemTime>,
}

impl Hold {
    /// Waits for who holds it now.
    ///
    /// # Errors
    /// When the site's folder of overlays cannot be written to.
    pub fn of(site: &Site) -> anyhow::Result<Hold> {
        let home = site.conf.paths.wwoverlaydir.clone();
        folders(&home, 0o755).with_context(|| format!("make {}", home.display()))?;
        let lock = take(&home).with_context(|| format!("lock {}", home.display()))?;
        let hold = Hold { home, _lock: lock };
        hold.sweep();
        Ok(hold)
    }

    /// Where unfinished things lie.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Puts a file in its place, whole and with all its traits, or not at all.
    ///
    /// # Errors
    /// Those of the file system; what was there before is then still there.
    pub fn put(&self, path: &Path, traits: Traits, content: &[u8]) -> io::Result<()> {
        put(&self.home, path, traits, content)
    }

    /// Deletes a folder, for everybody else at once.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn delete(&self, folder: &Path) -> io::Result<()> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let gone = self.home.join(format!("{GONE}{name}"));
        fs::rename(folder, &gone)?;
        File::open(&self.home)?.sync_all()?;
        fs::remove_dir_all(gone)
    }

    fn sweep(&self) {
        for entry in fs::read_dir(&self.home).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if [GONE, NEW].iter().any(|begin| name.as_encoded_bytes().starts_with(begin.as_bytes())) {
                // What stays costs room and nothing else.
                let _ = if entry.path().symlink_metadata().is_ok_and(|data| data.is_dir()) {
                    fs::remove_dir_all(entry.path())
                } else {
                    fs::remove_file(entry.path())
                };
            }
        }
    }
}

/// The lock is on the folder itself, which is often one of git's. Some file systems (NFS) lock only files that are open to
/// be written, and there it is on a file of its own.
fn take(home: &Path) -> io::Result<File> {
    let folder = File::open(home)?;
    match folder.lock() {
        Err(error) if error.raw_os_error() == Some(nix::libc::EBADF) => {}
        done => return done.map(|()| folder),
    }
    let file = File::options().create(true).append(true).mode(0o600).open(home.join(".lock"))?;
    file.lock()?;
    Ok(file)
}

/// As [`Hold::put`], written in the folder `beside` until it is whole.
///
/// # Errors
/// As [`Hold::put`].
pub fn put(beside: &Path, path: &Path, traits: Traits, content: &[u8]) -> io::Result<()> {
    use io::Write as _;
    let Traits { mode, owner: (uid, gid), modified } = traits;
    // Nobody else opens it before it is whose it shall be.
    publish::replace_from(beside, path, mode & 0o700, |file| {
        file.write_all(content)?;
        // The owner first: changing it takes set-id bits away.
        fchown(&*file, Some(uid), Some(gid))?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        modified.map_or(Ok(()), |time| file.set_modified(time))
    })
}
