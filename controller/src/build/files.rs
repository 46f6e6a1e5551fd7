//! The files of one archive: where they lie, and how they come to lie there.

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

    /// Puts the archive and its packed form in place, which `pack` makes, unless they are there already: then they stay
    /// the files they are. Then writes the record.
    pub(super) fn publish(
        &self,
        pack: impl FnOnce() -> io::Result<(Vec<u8>, Vec<u8>)>,
        old: &Record,
        mut record: Record,
        grouped: bool,
    ) -> io::Result<()> {
        let replace = if grouped { publish::replace_for_now } else { publish::replace_with };
        let known = self.identity().is_some_and(|files| files == old.files);
        if !known || old.content != record.content {
            let (archive, packed) = pack()?;
            // A crash between the two leaves a record that fits neither state, and the next look builds again.
            replace(&self.packed, 0o600, &packed)?;
            replace(&self.image, 0o600, &archive)?;
        }
        record.files = self.identity().unwrap_or_default();
        record.write(&self.record)
    }
}
