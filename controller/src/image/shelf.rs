//! Where images lie: their trees, what was built of them, and the locks.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::site::Site;
use crate::store::publish;

/// An image that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    pub name: String,
    /// `<wwchrootdir>/NAME`.
    pub folder: PathBuf,
    /// The tree that nodes get.
    pub rootfs: PathBuf,
}

/// The image of this name.
///
/// # Errors
/// When the name cannot be one, or there is none of that name.
pub fn image(site: &Site, name: &str) -> anyhow::Result<Image> {
    let image = place(site, name)?;
    if !image.rootfs.is_dir() {
        bail!(
            "image {name}: there is no such image ({} is no folder); `wwctl image list` names all",
            image.rootfs.display()
        );
    }
    Ok(image)
}

/// Where an image of this name lies, or would lie.
///
/// # Errors
/// When the name cannot be one.
pub fn place(site: &Site, name: &str) -> anyhow::Result<Image> {
    if !is_name(name) {
        bail!("image name {name:?}: letters, digits and . _ - : only, and no dot at the beginning");
    }
    let folder = site.conf.paths.wwchrootdir.join(name);
    Ok(Image { name: name.to_string(), rootfs: folder.join("rootfs"), folder })
}

/// A dot at the beginning is for what we lay beside images ourselves.
fn is_name(name: &str) -> bool {
    let may_stand = |each: char| each.is_ascii_alphanumeric() || matches!(each, '.' | '_' | '-' | ':');
    !name.is_empty() && !name.starts_with('.') && name.len() <= 200 && name.chars().all(may_stand)
}

/// All images, by name: folders with a `rootfs` in them.
///
/// # Errors
/// When the folder of images cannot be read; one that is not there holds none.
pub fn all(site: &Site) -> anyhow::Result<Vec<Image>> {
    let folder = &site.conf.paths.wwchrootdir;
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("read {}", folder.display())),
    };
    let mut images = Vec::new();
    for entry in entries {
        let name = entry.with_context(|| format!("read {}", folder.display()))?.file_name();
        let image = name.to_str().filter(|name| is_name(name)).map(|name| place(site, name)).transpose()?;
        images.extend(image.filter(|image| image.rootfs.is_dir()));
    }
    images.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(images)
}

/// What is built of an image, and what lies beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    pub folder: PathBuf,
    /// The plain archive.
    pub img: PathBuf,
    pub gz: PathBuf,
    pub zst: PathBuf,
    /// What the next build may use again.
    pub record: PathBuf,
    lock: PathBuf,
    /// How the names of unfinished files begin.
    pub unfinished: String,
}

/// Where the archives of an image lie.
pub fn built(site: &Site, name: &str) -> Built {
    let img = site.conf.paths.image_file(name);
    let beside = |file: String| img.with_file_name(file);
    Built {
        folder: img.parent().map_or_else(PathBuf::new, Path::to_path_buf),
        gz: beside(format!("{name}.img.gz")),
        zst: beside(format!(".{name}.img.zst")),
        record: beside(format!(".{name}.img.record")),
        lock: beside(format!(".{name}.img.lock")),
        unfinished: format!(".{name}.img.tmp-"),
        img,
    }
}

impl Built {
    /// Holds the image's lock until the file is dropped; `wait` is called when another process has it.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    pub fn lock(&self, wait: impl FnOnce()) -> anyhow::Result<File> {
        std::fs::create_dir_all(&self.folder).with_context(|| format!("make {}", self.folder.display()))?;
        let said = || format!("lock {}", self.lock.display());
        let file = File::options().create(true).truncate(false).write(true).open(&self.lock).with_context(said)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                wait();
                file.lock().with_context(said)?;
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(said),
        }
        Ok(file)
    }

    /// Takes away what builds that were killed have left. The lock must be held.
    pub fn sweep(&self) {
        publish::sweep(&self.folder, &self.unfinished);
    }

    /// Takes all that was built away.
    ///
    /// # Errors
    /// Those of the file system, but not that there was nothing.
    pub fn remove(&self) -> anyhow::Result<()> {
        for path in [&self.img, &self.gz, &self.zst, &self.record, &self.lock] {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("remove {}", path.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_lead_anywhere() {
        for good in ["rocky-9.4", "debian:12", "a_b"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", ".", "..", ".hidden", "a/b", "a b", "ä", "a\n"] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }
}
