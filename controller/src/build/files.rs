//! The files of one archive: where they lie, how they come to lie there, and which of them counts.
//!
//! An archive lies as stock's two files in the node's folder, or as a recipe in the store, never as both: publishing one
//! form takes the other away. So what is in the node's folder counts before any recipe: it is ours and the last
//! published, or somebody put it there since.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::maker::{Draft, Maker};
use super::record::{Record, identity};
use super::splice::{self, Part};
use super::store::Store;
use super::{OverlayKind, group, shelf};
use crate::site::Site;
use crate::store::publish;

/// As what an archive is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Stock's files, as they are and packed.
    Files,
    Recipe,
}

/// The files of one archive.
pub(super) struct Files {
    pub(super) folder: PathBuf,
    pub(super) memory: PathBuf,
    pub(super) image: PathBuf,
    pub(super) packed: PathBuf,
    pub(super) record: PathBuf,
    /// How the names of unfinished files begin: the lock of this archive is theirs too, and no other's.
    unfinished: String,
    pub(super) store: Store,
    /// Of the recipe, in the store.
    pub(super) name: String,
}

impl Files {
    pub(super) fn of(site: &Site, node: &str, kind: OverlayKind) -> Files {
        let folder = site.conf.paths.built_overlays(node);
        let image = folder.join(format!("{}.img", kind.stem()));
        let packed = image.with_extension("img.gz");
        // Apart from the archives, whose folder is as stock leaves it.
        let memory = group::memory(site);
        let record = memory.join(format!(".{node}.{kind}.record"));
        let unfinished = format!(".{}.new-", kind.stem());
        Files {
            folder,
            memory,
            image,
            packed,
            record,
            unfinished,
            store: Store::of(site),
            name: format!("{node}.{kind}"),
        }
    }

    /// One writer, also beside another process: the lock of this archive, and of all that share its shelf.
    pub(super) fn lock(site: &Site, shelf: u32) -> io::Result<File> {
        let memory = group::memory(site);
        DirBuilder::new().recursive(true).mode(0o700).create(&memory)?;
        let path = memory.join(format!(".lock-{}", shelf::file_name(shelf)));
        let lock = File::options().create(true).append(true).mode(0o600).open(path)?;
        lock.lock()?;
        Ok(lock)
    }

    /// What tells the archive as it lies there from every other state; `None` when there is none.
    pub(super) fn identity(&self) -> Option<String> {
        if self.image.exists() {
            return identity(&[&self.image, &self.packed]);
        }
        identity(&[&self.store.place(&self.name)])
    }

    /// What is remembered of the archive that lies there, and else of the last one that did. A recipe has it inside.
    pub(super) fn record(&self) -> Option<Record> {
        if !self.image.exists() {
            // Before the recipe is read: one that is replaced meanwhile is then not taken for the one that was read.
            let identity = self.identity();
            if let (Some(files), Some(record)) = (identity, self.store.record(&self.name)) {
                return Some(Record { files, ..record });
            }
        }
        Record::read(&self.record)
    }

    /// Whether there is an archive, in whichever form.
    pub(super) fn present(&self) -> bool {
        self.image.exists() || self.store.present(&self.name)
    }

    /// Forgets the archive in both forms, and what is remembered of it. Its lock must be held.
    pub(super) fn forget(&self, draft: &mut Draft) -> io::Result<()> {
        remove(&self.image)?;
        remove(&self.packed)?;
        self.store.forget(&self.name, Some(draft))?;
        remove(&self.record)
    }

    /// Takes away what a recipe replaced. In this order, after the recipe was published: the files count as long as the
    /// image is there.
    pub(super) fn leave_to_recipe(&self) -> io::Result<()> {
        if self.folder.exists() {
            publish::sweep(&self.folder, &self.unfinished);
            remove(&self.image)?;
            remove(&self.packed)?;
            // A folder that somebody keeps other things in stays.
            let _ = fs::remove_dir(&self.folder);
        }
        remove(&self.record)
    }

    /// Publishes the archive, unless it is there already in this form: then it stays the files that it is. Then writes the
    /// record.
    pub(super) fn publish(
        &self,
        parts: &[Arc<Part>],
        form: Form,
        old: &Record,
        mut record: Record,
        by: &mut Maker<'_>,
    ) -> io::Result<()> {
        let known = self.identity().is_some_and(|files| files == old.files);
        let in_form = self.image.exists() == (form == Form::Files);
        if old.content == record.content {
            record.published = old.published;
        }
        match form {
            Form::Files => {
                if !known || old.content != record.content || !in_form {
                    DirBuilder::new().recursive(true).mode(0o750).create(&self.folder)?;
                    publish::sweep(&self.folder, &self.unfinished);
                    let replace = |path: &Path, fill: &dyn Fn(&mut File) -> io::Result<()>| match by.held {
                        Some(_) => publish::replace_for_now_by(path, &self.unfinished, 0o600, fill).map(drop),
                        None => publish::replace_by(path, &self.unfinished, 0o600, fill),
                    };
                    // A crash between the two leaves a record that fits neither state, and the next look builds again.
                    replace(&self.packed, &|file| by.splicer.gzip(parts, file))?;
                    replace(&self.image, &|file| splice::plain(parts, file))?;
                    self.store.forget(&self.name, by.draft.as_deref_mut())?;
                }
                record.files = self.identity().unwrap_or_default();
                record.write(&self.record)
            }
            Form::Recipe => {
                record.files.clone_from(&old.files);
                if known && in_form && *old == record {
                    return Ok(());
                }
                self.store.publish(&self.name, parts, &record, by)?;
                // On a shelf it is not there yet.
                if by.draft.is_some() { Ok(()) } else { self.leave_to_recipe() }
            }
        }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Err(error),
        _ => Ok(()),
    }
}
