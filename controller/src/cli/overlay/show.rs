//! `wwctl overlay show`: a file as it stands, or what a node would get of it.

use std::os::unix::ffi::{OsStrExt, OsStringExt};

use anyhow::{Context, bail};
use clap::Args;
use render::host::Output;

use super::build::workshop;
use super::say;
use super::tree::{existing, inside, overlay, place};
use crate::build::plain;
use crate::build::trees::Found;
use crate::cli::say::warn;
use crate::site::Site;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Name of the overlay
    overlay: String,
    /// The file
    path: String,
    /// Show what this node would get of it
    #[arg(short, long, value_name = "NODE")]
    render: Option<String>,
    /// Only the text, no words about it
    #[arg(short, long)]
    quiet: bool,
}

pub fn run(site: &Site, arguments: &Arguments) -> anyhow::Result<()> {
    let found = overlay(site, &arguments.overlay)?;
    match &arguments.render {
        None => {
            let full = existing(&found, &arguments.path)?;
            if !full.is_file() {
                bail!("overlay {}: {} is no file", found.name, arguments.path);
            }
            say(plain::content(&full, u64::MAX).with_context(|| full.display().to_string())?.0);
            Ok(())
        }
        Some(node) => rendered(site, &found, arguments, node),
    }
}

fn rendered(site: &Site, found: &Found, arguments: &Arguments, node: &str) -> anyhow::Result<()> {
    let Some(path) = template(found, &arguments.path)? else {
        let full = existing(found, &arguments.path)?;
        let (content, _) = plain::content(&full, u64::MAX).with_context(|| full.display().to_string())?;
        warn(format_args!("{} is no template: its name does not end in .ww", arguments.path));
        say(content);
        return Ok(());
    };
    let shop = workshop(site)?;
    let node = shop.node(node)?;
    let (_, overlay) = shop.overlay(found)?;
    let item = overlay.items.iter().find(|item| item.entry.path == path);
    let script = item.and_then(|item| item.script.as_ref()).context("the template has gone away")?;
    let output = shop.job_again(&node).render(&overlay.name, script)?.output;
    output.warnings.iter().for_each(warn);
    say(text(&output, &script.target, arguments.quiet));
    Ok(())
}

/// The template that is meant: the name may be given without its suffix.
fn template(found: &Found, path: &str) -> anyhow::Result<Option<Vec<u8>>> {
    for candidate in [format!("{path}.ww"), path.to_owned()] {
        let full = place(found, &candidate)?;
        if full.is_file() && full.as_os_str().as_bytes().ends_with(b".ww") {
            return Ok(Some(inside(found, &candidate)?.into_os_string().into_vec()));
        }
    }
    Ok(None)
}

fn text(output: &Output, target: &[u8], quiet: bool) -> Vec<u8> {
    let mut text = Vec::new();
    if !quiet {
        let head = format!("backupFile: {}\nwriteFile: {}\n", output.backup, !output.aborted);
        text.extend_from_slice(head.as_bytes());
    }
    // Of an aborted one everything is shown, because somebody wants to know how far it came.
    let files: Vec<_> = if output.aborted { output.files.iter().collect() } else { output.written().collect() };
    for file in files {
        if !output.aborted && !quiet {
            let own = format!("/{}", String::from_utf8_lossy(target));
            let name = if file.name.is_empty() { &own } else { &file.name };
            text.extend_from_slice(format!("Filename: {name}\n").as_bytes());
            if let Some(target) = &file.softlink {
                text.extend_from_slice(format!("Symlink: {target}\n").as_bytes());
            }
        }
        if file.softlink.is_none() {
            text.extend_from_slice(&file.content);
        }
    }
    if output.aborted && !quiet {
        text.extend_from_slice(b"\nAborted\n");
    }
    text
}
