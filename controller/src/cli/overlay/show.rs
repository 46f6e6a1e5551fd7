//! `wwctl overlay show`: a file as it stands, or what a node would get of it.

use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use model::{Node, Profile};
use render::host::Output;

use super::build::workshop;
use super::say;
use super::tree::{existing, inside, overlay, place};
use crate::build::trees::Found;
use crate::build::{BuildError, host_name, plain};
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
    let node = match shop.node(node) {
        Err(BuildError::UnknownNode(name)) => controller(&name),
        known => known?,
    };
    let (_, overlay) = shop.overlay(found)?;
    let item = overlay.items.iter().find(|item| item.entry.path == path);
    let script = item.and_then(|item| item.script.as_ref()).context("the template has gone away")?;
    let output = shop.job_again(&node).render(&overlay.name, script)?.output;
    output.warnings.iter().for_each(warn);
    say(text(&output, arguments.path.strip_suffix(".ww").unwrap_or(&arguments.path), arguments.quiet));
    Ok(())
}

/// The controller as a node of its own, with no field set: who works on templates for it looks at them so.
fn controller(asked: &str) -> Arc<Node> {
    let name = host_name();
    warn(format_args!("there is no node {asked}: this is what the controller itself, {name}, would get"));
    let profile = Profile { cluster_name: name.clone(), ..Profile::default() };
    Arc::new(Node { id: name, profile, ..Node::default() })
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

/// What is told of each file, and its text: all that is shown ends as a line does.
fn text(output: &Output, own: &str, quiet: bool) -> Vec<u8> {
    let mut text = Vec::new();
    let head = format!("backupFile: {}\nwriteFile: {}\n", output.backup, !output.aborted);
    if output.aborted && !quiet {
        text.extend_from_slice(head.as_bytes());
    }
    // Of an aborted one everything is shown, because somebody wants to know how far it came.
    let files: Vec<_> = if output.aborted { output.files.iter().collect() } else { output.written().collect() };
    for file in files {
        if !output.aborted && !quiet {
            let name = if file.name.is_empty() { own } else { &file.name };
            text.extend_from_slice(format!("{head}Filename: {name}\n").as_bytes());
            if let Some(target) = &file.softlink {
                text.extend_from_slice(format!("Symlink: {target}\n").as_bytes());
            }
        }
        if file.softlink.is_none() {
            text.extend_from_slice(&file.content);
            if !file.content.ends_with(b"\n") {
                text.push(b'\n');
            }
        }
    }
    if output.aborted && !quiet {
        text.extend_from_slice(b"Aborted\n");
    }
    text
}
