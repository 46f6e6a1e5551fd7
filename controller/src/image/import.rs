//! Images come, go and change their names: import, copy, rename, delete.
//!
//! A new tree grows in a folder whose name begins with a dot and is renamed when it is whole, so that a list, a build or a
//! node never sees half an image.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::inside;
use super::plant::Plot;
use super::shelf::{self, Image};
use super::{copy, untar};
use crate::site::Site;

/// What to do when there is an image of the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfThere {
    Refuse,
    /// The new tree takes its place whole.
    Replace,
    /// The new files go over the old ones; others stay.
    Update,
}

/// Makes an image from a folder or a tar archive. Tells what could not be kept.
///
/// # Errors
/// When the source is neither, is no root file system (no `/bin/sh`), or the name is taken. Nothing is left then, but by an
/// update that fails in its middle.
pub fn import(site: &Site, source: &Path, name: &str, if_there: IfThere) -> anyhow::Result<Vec<String>> {
    let image = shelf::place(site, name)?;
    let metadata = fs::metadata(source).with_context(|| format!("import {}", source.display()))?;
    let there = image.folder.exists();
    if there && if_there == IfThere::Refuse {
        bail!("image {name}: is there already; --force replaces it, --update unpacks over it");
    }
    if metadata.is_dir() && inside::resolve(source, Path::new("/bin/sh")).is_err() {
        bail!("{}: no root file system: there is no /bin/sh in it", source.display());
    }
    let fill = |rootfs: &Path| -> anyhow::Result<Vec<String>> {
        let plot = Plot::open(rootfs)?;
        if metadata.is_dir() { Ok(copy::copy(source, plot)?) } else { untar::unpack(source, plot) }
    };
    if there && if_there == IfThere::Update {
        fs::create_dir_all(&image.rootfs)?;
        return fill(&image.rootfs);
    }
    grow(&image, |rootfs| {
        let said = fill(rootfs)?;
        if inside::resolve(rootfs, Path::new("/bin/sh")).is_err() {
            bail!("{}: no root file system: there is no /bin/sh in it", source.display());
        }
        Ok(said)
    })
}

/// A second image with the same tree.
///
/// # Errors
/// When there is no such image, or one of the new name.
pub fn copy(site: &Site, from: &Image, name: &str) -> anyhow::Result<Vec<String>> {
    let to = shelf::place(site, name)?;
    if to.folder.exists() {
        bail!("image {name}: is there already");
    }
    if inside::resolve(&from.rootfs, Path::new("/bin/sh")).is_err() {
        bail!("image {}: no root file system: there is no /bin/sh in it", from.name);
    }
    grow(&to, |rootfs| Ok(copy::copy(&from.rootfs, Plot::open(rootfs)?)?))
}

/// Gives an image and what was built of it another name. Nodes are the caller's.
///
/// # Errors
/// When the new name is taken, or something is mounted in the image.
pub fn rename(site: &Site, from: &Image, to: &Image) -> anyhow::Result<()> {
    if to.folder.exists() {
        bail!("image {}: is there already", to.name);
    }
    no_mounts(from)?;
    let (old, new) = (shelf::built(site, &from.name), shelf::built(site, &to.name));
    let _lock = old.folder.is_dir().then(|| old.lock(|| {})).transpose()?;
    fs::rename(&from.folder, &to.folder)
        .with_context(|| format!("rename {} to {}", from.folder.display(), to.folder.display()))?;
    new.remove()?;
    for (old, new) in [(&old.gz, &new.gz), (&old.zst, &new.zst), (&old.record, &new.record), (&old.img, &new.img)] {
        match fs::rename(old, new) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("rename {} to {}", old.display(), new.display()));
            }
            _ => {}
        }
    }
    old.remove()
}

/// Takes an image away, and what was built of it.
///
/// # Errors
/// When something is mounted in it, or a file cannot be removed.
pub fn delete(site: &Site, image: &Image) -> anyhow::Result<()> {
    no_mounts(image)?;
    let built = shelf::built(site, &image.name);
    let _lock = built.folder.is_dir().then(|| built.lock(|| {})).transpose()?;
    if image.folder.exists() {
        take_away(&image.folder)?;
    }
    built.remove()
}

/// Lets a tree grow beside, and puts it in its place when it is whole.
fn grow<T>(image: &Image, fill: impl FnOnce(&Path) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let shelf = image.folder.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(shelf).with_context(|| format!("make {}", shelf.display()))?;
    let prefix = format!(".{}.new-", image.name);
    let new = tempfile::Builder::new().prefix(&prefix).permissions(open_to_all()).tempdir_in(shelf)?;
    let rootfs = new.path().join("rootfs");
    fs::create_dir(&rootfs)?;
    // The umask is the shell's, and the nodes' root folder is not its business.
    fs::set_permissions(new.path(), open_to_all())?;
    fs::set_permissions(&rootfs, open_to_all())?;
    let answer = fill(&rootfs)?;
    let new = new.keep();
    let placed = (|| {
        if image.folder.exists() {
            no_mounts(image)?;
            take_away(&image.folder)?;
        }
        fs::rename(&new, &image.folder)
            .with_context(|| format!("rename {} to {}", new.display(), image.folder.display()))
    })();
    if placed.is_err() {
        // The error that is on its way says more than this one would.
        let _ = fs::remove_dir_all(&new);
    }
    placed.map(|()| answer)
}

fn open_to_all() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o755)
}

/// Removes a folder in one moment for those who look for its name, and in its own time from the disk.
fn take_away(folder: &Path) -> anyhow::Result<()> {
    let said = || format!("remove {}", folder.display());
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let grave = tempfile::Builder::new()
        .prefix(&format!(".{name}.gone-"))
        .tempdir_in(folder.parent().unwrap_or(Path::new("/")))
        .with_context(said)?
        .keep();
    fs::rename(folder, grave.join("image")).with_context(said)?;
    fs::remove_dir_all(&grave).with_context(said)
}

/// What is mounted in an image, the controller's own /dev, must not be deleted with it.
fn no_mounts(image: &Image) -> anyhow::Result<()> {
    let table = fs::read("/proc/self/mountinfo").unwrap_or_default();
    let folder = fs::canonicalize(&image.folder).unwrap_or_else(|_| image.folder.clone());
    if let Some(mount) = mounts(&table).into_iter().find(|mount| mount.starts_with(&folder)) {
        bail!("image {}: something is mounted at {}; unmount it first", image.name, mount.display());
    }
    Ok(())
}

/// The mount points of a mountinfo table (proc_pid_mountinfo(5)): the fifth word of each line, with octal escapes.
fn mounts(table: &[u8]) -> Vec<PathBuf> {
    use std::os::unix::ffi::OsStringExt;
    let word = |line: &[u8]| line.split(|byte| *byte == b' ').nth(4).map(unescaped);
    let words = table.split(|byte| *byte == b'\n').filter_map(word);
    words.map(|word| PathBuf::from(std::ffi::OsString::from_vec(word))).collect()
}

fn unescaped(word: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut rest = word;
    while let [first, after @ ..] = rest {
        let octal = match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] => {
                Some((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'))
            }
            _ => None,
        };
        plain.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { rest.get(4..).unwrap_or_default() } else { after };
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_read_with_their_blanks() {
        let table =
            b"36 35 98:0 /a /mnt/with\\040blank rw - ext3 /dev/root rw\n37 35 0:5 / /dev rw - devtmpfs x rw\n\nodd";
        assert_eq!(mounts(table), [Path::new("/mnt/with blank"), Path::new("/dev")]);
        assert_eq!(unescaped(b"a\\0\\134\\"), b"a\\0\\\\");
    }

    #[test]
    fn an_import_that_fails_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut conf = model::Conf::default();
        conf.paths.wwchrootdir = folder.path().join("chroots");
        let site = Site { conf_path: folder.path().join("warewulf.conf"), conf };
        let source = folder.path().join("x.tar");
        fs::write(&source, [7; 700]).unwrap();
        assert!(import(&site, &source, "oak", IfThere::Refuse).is_err());
        assert_eq!(fs::read_dir(&site.conf.paths.wwchrootdir).unwrap().count(), 0);
    }

    #[test]
    fn an_image_is_replaced_whole_and_updated_in_part() {
        let folder = tempfile::tempdir().unwrap();
        let mut conf = model::Conf::default();
        conf.paths.wwchrootdir = folder.path().join("chroots");
        let site = Site { conf_path: folder.path().join("warewulf.conf"), conf };
        let source = |name: &str, files: &[&str]| {
            let source = folder.path().join(name);
            for file in files {
                let path = source.join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, name).unwrap();
            }
            source
        };
        let (one, two) = (source("one", &["bin/sh", "only-one"]), source("two", &["bin/sh", "only-two"]));
        let holds = |file: &str| fs::read_to_string(site.conf.paths.image_root("oak").join(file)).unwrap_or_default();
        import(&site, &one, "oak", IfThere::Refuse).unwrap();
        let refused = import(&site, &two, "oak", IfThere::Refuse).unwrap_err();
        assert_eq!(refused.to_string(), "image oak: is there already; --force replaces it, --update unpacks over it");
        import(&site, &two, "oak", IfThere::Update).unwrap();
        assert_eq!([holds("bin/sh"), holds("only-one"), holds("only-two")], ["two", "one", "two"]);
        import(&site, &one, "oak", IfThere::Replace).unwrap();
        assert_eq!([holds("bin/sh"), holds("only-one"), holds("only-two")], ["one", "one", ""]);
        assert_eq!(fs::read_dir(&site.conf.paths.wwchrootdir).unwrap().count(), 1);
    }
}
