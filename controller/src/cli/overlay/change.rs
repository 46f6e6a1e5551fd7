//! `wwctl overlay create|delete|mkdir|import|chmod|chown`.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use archive::{Entry, Kind};
use clap::Args;
use model::conf::OverlayMerge;

use super::hold::{Hold, Traits};
use super::say;
use super::tree::{existing, folders, has_parent, inside, overlay, own};
use crate::build::trees::{self, Found};
use crate::build::{merged, plain};
use crate::cli::say::warn;
use crate::site::Site;
use crate::store::lint::open_secret;

#[derive(Debug, Args)]
pub struct Create {
    /// Name of the new overlay
    overlay: String,
}

#[derive(Debug, Args)]
pub struct Delete {
    /// Name of the overlay
    overlay: String,
    /// A file of it; none: the whole overlay
    path: Option<String>,
    /// Delete the overlay also when it is not empty
    #[arg(short, long)]
    force: bool,
    /// Delete folders that become empty, too
    #[arg(short, long)]
    parents: bool,
}

#[derive(Debug, Args)]
pub struct Mkdir {
    /// Name of the overlay
    overlay: String,
    /// The folder to make
    path: String,
    /// Its mode, octal
    #[arg(short, long, default_value = "0755", value_parser = octal)]
    mode: u32,
}

#[derive(Debug, Args)]
pub struct Import {
    /// Name of the overlay
    overlay: String,
    /// The file to copy
    file: PathBuf,
    /// Where it shall lie in the overlay; none: where it lies here
    new: Option<String>,
    /// Replace a file that is there
    #[arg(short, long)]
    overwrite: bool,
    /// Make folders that are missing
    #[arg(short, long)]
    parents: bool,
    /// Taken, without effect
    #[arg(long, default_value_t = 0)]
    workers: usize,
}

#[derive(Debug, Args)]
pub struct Chmod {
    /// Name of the overlay
    overlay: String,
    /// The file
    path: String,
    /// Its new mode, octal
    #[arg(value_parser = octal)]
    mode: u32,
}

#[derive(Debug, Args)]
pub struct Chown {
    /// Name of the overlay
    overlay: String,
    /// The file
    path: String,
    /// UID, UID:GID or :GID, as numbers
    #[arg(value_parser = owner)]
    owner: Owner,
}

/// Who a file shall belong to; what is not said stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner {
    uid: Option<u32>,
    gid: Option<u32>,
}

pub fn create(site: &Site, arguments: &Create) -> anyhow::Result<()> {
    let name = &arguments.overlay;
    if !trees::is_name(name) {
        bail!("{name}: a name has letters, digits and . _ - : and does not begin with a dot");
    }
    let _hold = Hold::of(site)?;
    let folder = site.conf.paths.wwoverlaydir.join(name);
    if folder.symlink_metadata().is_ok() {
        bail!("overlay {name} is there already: {}", folder.display());
    }
    folders(&folder.join("rootfs"), 0o755).with_context(|| format!("make {}", folder.display()))
}

pub fn delete(site: &Site, arguments: &Delete) -> anyhow::Result<()> {
    let hold = Hold::of(site)?;
    let found = overlay(site, &arguments.overlay)?;
    let name = &found.name;
    let Some(path) = &arguments.path else {
        if !found.site {
            bail!("overlay {name} is part of the distribution: leave it out of the nodes' lists instead");
        }
        let empty = fs::read_dir(&found.root)?.next().is_none();
        if !empty && !arguments.force {
            bail!("overlay {name} is not empty: delete it with --force");
        }
        return hold.delete(&found.folder).with_context(|| format!("delete {}", found.folder.display()));
    };
    if existing(&found, path)?.symlink_metadata()?.is_dir() {
        bail!("overlay {name}: {path} is a folder: only files are deleted");
    }
    let relative = inside(&found, path)?;
    if site.conf.overlays.merge == OverlayMerge::Files
        && merged::holder(&found, &relative).is_some_and(|layer| !layer.site)
    {
        bail!(
            "overlay {name}: {path} is part of the distribution, which cannot lose single files while overlays merge by \
             files: hide it by an empty one of the site's, or set merge: whole"
        );
    }
    let name = name.clone();
    let found = own(site, &hold, found, &relative)?;
    let full = found.root.join(&relative);
    fs::remove_file(&full).with_context(|| format!("delete {}", full.display()))?;
    if arguments.parents {
        let parents = full.ancestors().skip(1).take_while(|parent| *parent != found.root);
        for parent in parents {
            // The first that still holds something ends it.
            if fs::remove_dir(parent).is_err() {
                break;
            }
        }
    }
    if let Some(behind) = &found.behind
        && let Some(layer) = shows_again(&found, &relative)
    {
        say(format!("overlay {name}: /{} of {} counts again\n", layer.display(), behind.folder.display()));
    }
    Ok(())
}

/// What of the distribution a file hid that has gone: of the same name, or its template.
fn shows_again(found: &Found, gone: &Path) -> Option<PathBuf> {
    let mut template = gone.as_os_str().to_owned();
    template.push(trees::SUFFIX);
    let plain = gone.to_str().and_then(|name| name.strip_suffix(trees::SUFFIX)).map(PathBuf::from);
    [Some(gone.to_path_buf()), Some(template.into()), plain]
        .into_iter()
        .flatten()
        .find(|path| merged::holder(found, path).is_some_and(|layer| !layer.site))
}

pub fn mkdir(site: &Site, arguments: &Mkdir) -> anyhow::Result<()> {
    let hold = Hold::of(site)?;
    let found = overlay(site, &arguments.overlay)?;
    let relative = inside(&found, &arguments.path)?;
    let full = own(site, &hold, found, &relative)?.root.join(relative);
    folders(&full, arguments.mode).with_context(|| format!("make {}", full.display()))
}

pub fn import(site: &Site, arguments: &Import) -> anyhow::Result<()> {
    let hold = Hold::of(site)?;
    let found = overlay(site, &arguments.overlay)?;
    let data = fs::metadata(&arguments.file).with_context(|| arguments.file.display().to_string())?;
    if !data.is_file() {
        bail!("{} is no file", arguments.file.display());
    }
    let (content, data) =
        plain::content(&arguments.file, u64::MAX).with_context(|| arguments.file.display().to_string())?;
    let wanted = match &arguments.new {
        Some(new) => new.clone(),
        None => arguments.file.to_string_lossy().into_owned(),
    };
    // The root of the tree is a folder like any other.
    let mut relative = if wanted.trim_matches('/').is_empty() { PathBuf::new() } else { inside(&found, &wanted)? };
    let full = |relative: &Path| merged::holder(&found, relative).unwrap_or(&found).root.join(relative);
    if full(&relative).is_dir() {
        relative.push(arguments.file.file_name().context("the file has no name")?);
        // What was the end of the path is now on the way, and may be a link.
        inside(&found, &relative.to_string_lossy())?;
    }
    let there = full(&relative).symlink_metadata().ok();
    if there.is_some() && !arguments.overwrite {
        bail!("overlay {}: {wanted} is there already: replace it with --overwrite", found.name);
    }
    if !has_parent(&found, &relative) && !arguments.parents {
        bail!("overlay {}: the folder of {wanted} is not there: make it with --parents", found.name);
    }
    let found = own(site, &hold, found, &relative)?;
    let full = found.root.join(&relative);
    let there = there.and_then(|_| full.symlink_metadata().ok());
    if let Some(parent) = full.parent() {
        // Who may not read the file has no business in folders made for it.
        let mode = if data.mode() & 0o004 == 0 { 0o750 } else { 0o755 };
        folders(parent, mode)?;
    }
    // Replaced, a file keeps the mode and the owner that it had in the overlay.
    let (mode, owner) = match &there {
        Some(old) if old.is_file() => (old.mode() & 0o7777, (old.uid(), old.gid())),
        _ => (data.mode() & 0o7777, (data.uid(), data.gid())),
    };
    let traits = Traits { mode, owner, modified: None };
    hold.put(&full, traits, &content).with_context(|| format!("write {}", full.display()))?;
    warn_of_secret(&found, &relative)
}

pub fn chmod(site: &Site, arguments: &Chmod) -> anyhow::Result<()> {
    let hold = Hold::of(site)?;
    let found = overlay(site, &arguments.overlay)?;
    existing(&found, &arguments.path)?;
    let relative = inside(&found, &arguments.path)?;
    let found = own(site, &hold, found, &relative)?;
    let full = found.root.join(&relative);
    if full.symlink_metadata()?.is_symlink() {
        bail!("{} is a link: a link has no mode", arguments.path);
    }
    let mode = fs::Permissions::from_mode(arguments.mode);
    fs::set_permissions(&full, mode).with_context(|| format!("change {}", full.display()))?;
    if found.behind.is_some()
        && let Some(entry) = trees::read(&found)?.iter().find(|entry| entry.path == relative.as_os_str().as_bytes())
        && entry.mode != arguments.mode
    {
        let word = "the distribution's folder is narrower, and both count";
        warn(format_args!("overlay {}: {} stays {:04o}: {word}", found.name, arguments.path, entry.mode));
    }
    warn_of_secret(&found, &relative)
}

pub fn chown(site: &Site, arguments: &Chown) -> anyhow::Result<()> {
    let hold = Hold::of(site)?;
    let found = overlay(site, &arguments.overlay)?;
    existing(&found, &arguments.path)?;
    let relative = inside(&found, &arguments.path)?;
    let found = own(site, &hold, found, &relative)?;
    let full = found.root.join(&relative);
    let Owner { uid, gid } = arguments.owner;
    let mode = full.symlink_metadata()?.permissions();
    std::os::unix::fs::lchown(&full, uid, gid).with_context(|| format!("change {}", full.display()))?;
    if !full.symlink_metadata()?.is_symlink() {
        // The kernel takes set-id bits away with the owner; nobody asked for that.
        fs::set_permissions(&full, mode)?;
    }
    Ok(())
}

/// Says so when a file that was just changed gives a secret away on the nodes.
pub fn warn_of_secret(found: &Found, inside: &Path) -> anyhow::Result<()> {
    let full = found.root.join(inside);
    let data = full.symlink_metadata()?;
    if !data.is_file() {
        return Ok(());
    }
    let kind = Kind::File(fs::read(&full)?.into());
    let path = inside.as_os_str().as_bytes().to_vec();
    let entry = Entry { path, mode: data.mode() & 0o7777, uid: 0, gid: 0, mtime: 0, kind, xattrs: Default::default() };
    if let Some(secret) = open_secret(&entry) {
        let path = inside.display();
        warn(format_args!(
            "overlay {0}: /{path} holds {secret} that all may read: wwctl overlay chmod {0} /{path} 0600",
            found.name
        ));
    }
    Ok(())
}

/// A mode as people write it: octal, with or without a nought in front.
fn octal(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o7777 => Ok(mode),
        _ => Err("a mode is octal, as 0644".into()),
    }
}

fn owner(text: &str) -> Result<Owner, String> {
    let number = |word: &str| -> Result<Option<u32>, String> {
        if word.is_empty() {
            return Ok(None);
        }
        // The highest number means nobody to the kernel, and that nothing is to change.
        let number = word.parse().ok().filter(|number| *number != u32::MAX);
        number.map(Some).ok_or_else(|| format!("`{word}` is no number of an owner: owners are UID, UID:GID or :GID"))
    };
    let (uid, gid) = text.split_once(':').unwrap_or((text, ""));
    let owner = Owner { uid: number(uid)?, gid: number(gid)? };
    if owner.uid.is_none() && owner.gid.is_none() {
        return Err("an owner is UID, UID:GID or :GID".into());
    }
    Ok(owner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_numbers_and_either_may_be_left_out() {
        assert_eq!(owner("1001"), Ok(Owner { uid: Some(1001), gid: None }));
        assert_eq!(owner(":1002"), Ok(Owner { uid: None, gid: Some(1002) }));
        assert_eq!(owner("1:2"), Ok(Owner { uid: Some(1), gid: Some(2) }));
        assert!(owner("root").is_err());
        assert!(owner(":").is_err());
        assert!(owner("4294967295").is_err() && owner("1:4294967295").is_err());
    }

    #[test]
    fn modes_are_octal_and_keep_their_set_id_bits() {
        assert_eq!(octal("700"), Ok(0o700));
        assert_eq!(octal("4755"), Ok(0o4755));
        assert!(octal("u+x").is_err());
        assert!(octal("77777").is_err());
    }
}
