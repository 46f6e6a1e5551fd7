//! `wwctl overlay edit`: on a copy, which is put in place when the editor ended well and changed something.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use clap::Args;
use tempfile::TempDir;

use super::change::warn_of_secret;
use super::hold::{Hold, Traits};
use super::say;
use super::tree::{folders, has_parent, inside, overlay, own, place};
use crate::build::merged;
use crate::site::Site;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Name of the overlay
    overlay: String,
    /// The file; a new one is made
    path: String,
    /// Make folders that are missing
    #[arg(short, long)]
    parents: bool,
    /// Taken, without effect
    #[arg(short, long)]
    mode: Option<String>,
}

pub fn run(site: &Site, arguments: &Arguments) -> anyhow::Result<()> {
    let found = overlay(site, &arguments.overlay)?;
    let relative = inside(&found, &arguments.path)?;
    let full = place(&found, &arguments.path)?;
    let there = full.symlink_metadata().ok();
    let old = match &there {
        Some(data) if data.is_file() => fs::read(&full).with_context(|| full.display().to_string())?,
        Some(_) => bail!("overlay {}: {} is no plain file", found.name, arguments.path),
        None => Vec::new(),
    };
    if !has_parent(&found, &relative) && !arguments.parents {
        bail!("overlay {}: the folder of {} is not there: make it with --parents", found.name, arguments.path);
    }
    let (new, copy) = edited(&full, &old)?;
    if new == old && there.is_some() {
        say("nothing was changed\n");
        return Ok(());
    }
    if new.is_empty() && there.is_none() {
        say("nothing was written\n");
        return Ok(());
    }
    put(site, &found.name, &relative, there.is_some().then_some(&old), &new).with_context(|| {
        // Hours of work may be in it.
        format!("nothing is changed; what was edited is in {}", copy.keep().display())
    })
}

/// Puts the new text in place of the old one, if that is what still lies there.
fn put(site: &Site, name: &str, relative: &Path, old: Option<&Vec<u8>>, new: &[u8]) -> anyhow::Result<()> {
    let hold = Hold::of(site)?;
    let found = overlay(site, name)?;
    let full = merged::holder(&found, relative).unwrap_or(&found).root.join(relative);
    if fs::read(&full).ok().as_ref() != old {
        bail!("{} was changed by somebody else meanwhile", full.display());
    }
    let found = own(site, &hold, found, relative)?;
    let full = found.root.join(relative);
    if let Some(parent) = full.parent() {
        folders(parent, 0o755)?;
    }
    // Asked of the site's own file: what the distribution's is installed with may not be what it declares.
    let (mode, owner) = match full.symlink_metadata() {
        Ok(data) => (data.mode() & 0o7777, (data.uid(), data.gid())),
        Err(_) => (0o644, (0, 0)),
    };
    let traits = Traits { mode, owner, modified: None };
    hold.put(&full, traits, new).with_context(|| format!("write {}", full.display()))?;
    warn_of_secret(&found, relative)
}

/// The content after the editor, and the folder that holds it. It is read by name, so an editor may also replace the file.
fn edited(full: &Path, content: &[u8]) -> anyhow::Result<(Vec<u8>, TempDir)> {
    let folder = tempfile::tempdir()?;
    // Under its own name, so that an editor knows what kind of file it is.
    let copy = folder.path().join(full.file_name().context("a folder cannot be edited")?);
    fs::write(&copy, content)?;
    let editor = std::env::var("EDITOR").ok().filter(|editor| !editor.trim().is_empty());
    let editor = editor.unwrap_or_else(|| "/bin/vi".to_owned());
    // EDITOR may hold options, as `code --wait`.
    let status = Command::new("/bin/sh").arg("-c").arg(format!("{editor} \"$1\"")).arg("edit").arg(&copy).status()?;
    if !status.success() {
        bail!("{editor} ended with {status}: nothing is changed");
    }
    let new = fs::read(&copy).with_context(|| format!("{editor} left no file"))?;
    Ok((new, folder))
}
