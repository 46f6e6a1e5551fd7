//! Paths of an overlay on disk, and the site's own copy of a distribution overlay.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use archive::{Entry, Kind};
use model::conf::OverlayMerge;

use super::hold::{self, Hold, Traits};
use crate::build::merged;
use crate::build::trees::{self, Found};
use crate::site::Site;

/// The overlay of that name.
///
/// # Errors
/// When there is none; says what to do.
pub fn overlay(site: &Site, name: &str) -> anyhow::Result<Found> {
    trees::find(&site.conf, name).with_context(|| format!("there is no overlay {name}: see wwctl overlay list"))
}

/// A path of an overlay from the root of its tree. It never leaves it.
///
/// # Errors
/// When it climbs out, or names the tree itself, or goes through a link that leads out of the tree.
pub fn inside(found: &Found, path: &str) -> anyhow::Result<PathBuf> {
    let inside = render::layer::clean(path.as_bytes());
    let inside = inside.with_context(|| format!("overlay {}: {path} names nothing inside it", found.name))?;
    let inside = PathBuf::from(OsString::from_vec(inside));
    for layer in std::iter::once(found).chain(found.behind.as_deref()) {
        stays(layer, &inside)?;
    }
    Ok(inside)
}

/// A link on a node leads into the node, and here to the controller's own files: no folder on the way is one that leaves the
/// tree. What a path ends in is not looked at.
fn stays(layer: &Found, inside: &Path) -> anyhow::Result<()> {
    let root = fs::canonicalize(&layer.root).with_context(|| layer.root.display().to_string())?;
    let mut above: Vec<&Path> = inside.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()).collect();
    while let Some(folder) = above.pop() {
        let full = root.join(folder);
        match full.symlink_metadata() {
            Ok(data) if data.is_symlink() => {}
            Ok(_) => continue,
            Err(_) => break,
        }
        if !fs::canonicalize(&full).is_ok_and(|real| real.starts_with(&root)) {
            let target = fs::read_link(&full).unwrap_or_default();
            bail!(
                "overlay {}: /{} is a link to {}, which leads out of the overlay: name the place in the overlay that is meant",
                layer.name,
                folder.display(),
                target.display()
            );
        }
    }
    Ok(())
}

/// A path of an overlay as a path of the controller: in the layer that holds it, else where it would come to lie.
///
/// # Errors
/// As [`inside`].
pub fn place(found: &Found, path: &str) -> anyhow::Result<PathBuf> {
    let inside = inside(found, path)?;
    Ok(merged::holder(found, &inside).unwrap_or(found).root.join(inside))
}

/// The same, of something that must be there.
///
/// # Errors
/// As [`place`], and when it is not there.
pub fn existing(found: &Found, path: &str) -> anyhow::Result<PathBuf> {
    let full = place(found, path)?;
    if full.symlink_metadata().is_err() {
        bail!("overlay {}: there is no {path}: see wwctl overlay list -a {}", found.name, found.name);
    }
    Ok(full)
}

/// Whether the folder that a path lies in is there, in one layer or the other.
pub fn has_parent(found: &Found, inside: &Path) -> bool {
    let parent = inside.parent().unwrap_or(Path::new(""));
    merged::holder(found, parent).is_some_and(|layer| layer.root.join(parent).is_dir())
}

/// The overlay as one where `inside` may be changed. Of a distribution overlay the site gets a copy first: the whole of it,
/// or, where overlays merge by files, of what lies at that path, and the folders above it.
///
/// # Errors
/// When it cannot be copied.
pub fn own(site: &Site, hold: &Hold, found: Found, inside: &Path) -> anyhow::Result<Found> {
    let found = match (found.site, site.conf.overlays.merge) {
        (true, _) => found,
        (false, OverlayMerge::Whole) => return own_all(site, hold, &found),
        (false, OverlayMerge::Files) => {
            folders(&site.conf.paths.wwoverlaydir.join(&found.name).join("rootfs"), 0o755)?;
            overlay(site, &found.name)?
        }
    };
    let Some(behind) = &found.behind else { return Ok(found) };
    for (layer, entry) in trees::read_layers(&found)? {
        let path = Path::new(OsStr::from_bytes(&entry.path));
        if layer.site || !inside.starts_with(path) {
            continue;
        }
        // Its first name stays behind.
        let alone = match entry.kind {
            Kind::HardLink(_) => Entry { kind: Kind::File(fs::read(behind.root.join(path))?.into()), ..entry.clone() },
            _ => entry.clone(),
        };
        lay_down(hold.home(), &found.root, &behind.root, &alone)
            .with_context(|| format!("copy {} of overlay {} to the site", path.display(), found.name))?;
    }
    File::open(&found.root)?.sync_all()?;
    Ok(found)
}

fn own_all(site: &Site, hold: &Hold, found: &Found) -> anyhow::Result<Found> {
    let home = hold.home();
    let temp = tempfile::Builder::new().prefix(hold::NEW).tempdir_in(home)?;
    fs::set_permissions(temp.path(), fs::Permissions::from_mode(0o755))?;
    let inside = found.root.strip_prefix(&found.folder).unwrap_or(Path::new(""));
    let root = temp.path().join(inside);
    folders(&root, 0o755)?;
    for entry in trees::read(found)? {
        lay_down(temp.path(), &root, &found.root, &entry)
            .with_context(|| format!("copy overlay {} to the site", found.name))?;
    }
    let target = home.join(&found.name);
    fs::rename(temp.path(), &target).with_context(|| format!("copy overlay {} to {}", found.name, target.display()))?;
    // It is no temporary folder any more.
    let _ = temp.keep();
    File::open(home)?.sync_all()?;
    overlay(site, &found.name)
}

/// Makes a folder and what is missing above it, all with this mode, whatever the umask.
///
/// # Errors
/// Those of the file system.
pub fn folders(path: &Path, mode: u32) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        folders(parent, mode)?;
    }
    fs::DirBuilder::new().mode(mode).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

fn lay_down(beside: &Path, root: &Path, from: &Path, entry: &Entry) -> io::Result<()> {
    let name = Path::new(OsStr::from_bytes(&entry.path));
    let (source, target) = (from.join(name), root.join(name));
    // A template that is a link is read through it, but copied as the link that it is.
    if let Ok(text) = fs::read_link(&source) {
        symlink(text, &target)?;
        return lchown(&target, Some(entry.uid), Some(entry.gid));
    }
    match &entry.kind {
        Kind::Directory => fs::create_dir(&target)?,
        Kind::File(content) => {
            let data = fs::metadata(&source)?;
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(u64::try_from(data.mtime()).unwrap_or(0));
            let traits = Traits { mode: entry.mode, owner: (entry.uid, entry.gid), modified: Some(time) };
            return hold::put(beside, &target, traits, content);
        }
        Kind::HardLink(first) => {
            return fs::hard_link(root.join(OsStr::from_bytes(first)), &target);
        }
        Kind::Symlink(text) => symlink(OsStr::from_bytes(text), &target)?,
        Kind::Fifo => nix::unistd::mkfifo(&target, nix::sys::stat::Mode::from_bits_truncate(0o600))?,
        Kind::Socket | Kind::CharDevice { .. } | Kind::BlockDevice { .. } => {
            return Err(io::Error::other(format!("{}: a device is not copied", source.display())));
        }
    }
    // The owner first: changing it takes set-id bits away.
    chown(&target, Some(entry.uid), Some(entry.gid))?;
    fs::set_permissions(&target, fs::Permissions::from_mode(entry.mode))
}
