//! Many builds, one wait for the disk: archives are put in place without waiting for each, and once at the end.
//!
//! While that goes on a mark lies beside the records, locked by its process. A mark that nobody holds is left from a
//! power cut: archives without a record may then be cut short, and are built again.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::store::{Store, Writing};
use crate::site::Site;
use crate::store::publish;

/// The folder of records, locks and the mark.
pub(super) fn memory(site: &Site) -> PathBuf {
    site.conf.paths.wwprovisiondir.join(".overlays")
}

/// Many builds that are made durable together, when this is finished.
#[derive(Debug)]
pub struct Group {
    folder: PathBuf,
    store: Store,
    /// Keeps pieces from being swept.
    writing: Writing,
    mark: PathBuf,
    /// Holds the lock.
    _held: File,
}

impl Group {
    /// Puts the mark up.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn begin(site: &Site) -> io::Result<Group> {
        let folder = memory(site);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let mark = mark(&folder);
        let held = File::options().create(true).append(true).mode(0o600).open(&mark)?;
        held.lock_shared()?;
        held.sync_all()?;
        File::open(&folder)?.sync_all()?;
        let store = Store::of(site);
        let writing = store.write()?;
        Ok(Group { folder, store, writing, mark, _held: held })
    }

    /// Waits for the disk, then takes the mark away, and with it what nobody needs any more.
    ///
    /// # Errors
    /// When the disk did not take everything.
    pub fn finish(self) -> io::Result<()> {
        publish::sync_all(&self.folder)?;
        match fs::remove_file(&self.mark) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        drop(self.writing);
        // Of records.
        publish::sweep_old(&self.folder);
        self.store.sweep().map(drop)
    }
}

/// Whether a group was left unfinished by a process that is no more.
pub(super) fn was_cut_short(memory: &Path) -> bool {
    File::open(mark(memory)).is_ok_and(|mark| mark.try_lock().is_ok())
}

fn mark(memory: &Path) -> PathBuf {
    memory.join(".unfinished")
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Conf;

    #[test]
    fn a_group_that_was_cut_short_is_known_and_one_that_goes_on_is_not_taken_for_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut conf = Conf::default();
        conf.paths.wwprovisiondir = dir.path().into();
        let site = Site { conf_path: "/none".into(), conf };
        let folder = memory(&site);
        assert!(!was_cut_short(&folder));
        let group = Group::begin(&site).unwrap();
        assert!(!was_cut_short(&folder));
        drop(group);
        assert!(was_cut_short(&folder));
        Group::begin(&site).unwrap().finish().unwrap();
        assert!(!was_cut_short(&folder));
    }
}
