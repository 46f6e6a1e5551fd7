//! The files of one archive: where they lie, and how they come to lie there.

use std::fs;
use std::io;
use std::path::PathBuf;

use model::Node;

use super::record::{Record, identity};
use super::{OverlayKind, group};
use crate::site::Site;
use crate::store::publish;

/// Where the archive lies.
pub(super) fn image(site: &Site, node: &Node, kind: OverlayKind) -> PathBuf {
    site.conf.paths.built_overlays(&node.id).join(format!("{}.img", kind.stem()))
}

/// The files of one archive.
pub(super) struct Files {
    pub(super) folder: PathBuf,
    pub(super) memory: PathBuf,
    pub(super) image: PathBuf,
    pub(super) packed: PathBuf,
    pub(super) record: PathBuf,
    pub(super) lock: PathBuf,
}

impl Files {
    pub(super) fn of(site: &Site, node: &Node, kind: OverlayKind) -> Files {
        let image = image(site, node, kind);
        let folder = site.conf.paths.built_overlays(&node.id);
        let packed = image.with_extension("img.gz");
        // Apart from the archives, whose folder is as stock leaves it.
        let memory = group::memory(site);
        let record = memory.join(format!(".{}.{kind}.record", node.id));
        let lock = memory.join(format!(".{}.{kind}.lock", node.id));
        Files { folder, memory, image, packed, record, lock }
    }

    pub(super) fn identity(&self) -> Option<String> {
        identity(&[&self.image, &self.packed])
    }

    pub(super) fn publish(
        &self,
        archive: &[u8],
        pack: impl FnOnce() -> io::Result<Vec<u8>>,
        old: &Record,
        record: &mut Record,
        grouped: bool,
    ) -> io::Result<()> {
        let replace = if grouped { publish::replace_for_now } else { publish::replace_with };
        let known = self.identity().filter(|files| *files == old.files);
        let same = known.is_some() && fs::read(&self.image).is_ok_and(|present| present == archive);
        if !same {
            // A crash between the two leaves a record that fits neither state, and the next look builds again.
            replace(&self.packed, 0o600, &pack()?)?;
            replace(&self.image, 0o600, archive)?;
        }
        record.files = self.identity().unwrap_or_default();
        record.write(&self.record)
    }
}
