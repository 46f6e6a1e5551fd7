//! `wwctl image exec` and `shell`: a command inside an image, and the image built again when it changed.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use clap::{ArgAction, Args};
use tokio::signal::unix::{SignalKind, signal};

use super::super::say;
use super::build_one;
use crate::image::chroot::{self, Bind, Copies};
use crate::image::{inside, shelf};
use crate::site::Site;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Let the image see something of this machine: SRC[:DST[:ro or copy]]
    #[arg(long, short, value_name = "BIND")]
    bind: Vec<String>,
    /// Build the image afterwards when it changed
    #[arg(long, action = ArgAction::Set, default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = super::super::words::truth_value)]
    build: bool,
}

/// `wwctl image exec`.
///
/// # Errors
/// When the command cannot be run or fails; the image is not built then.
pub fn exec(site: &Site, name: &str, how: &Arguments, command: &[OsString]) -> anyhow::Result<()> {
    let image = shelf::image(site, name)?;
    let binds = binds(site, &how.bind)?;
    let copies = Copies::lay(&image, &binds, |note| say::warn(format_args!("image {name}: {note}")));
    // Ctrl-C is for the command; this process still has to tidy up. A handler, unlike ignoring, is not inherited.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _entered = runtime.enter();
    let _interrupts = signal(SignalKind::interrupt())?;
    let _quits = signal(SignalKind::quit())?;
    // A process of its own: this one still has to build, in the controller's own view of its files.
    let mut inside = Command::new(std::env::current_exe().context("find this program")?);
    inside.arg("--warewulfconf").arg(&site.conf_path).args(["image", "__inside"]);
    inside.args(how.bind.iter().map(|bind| format!("--bind={bind}"))).arg("--").arg(name).args(command);
    let status = inside.status().context("start this program again")?;
    drop(copies);
    if !status.success() {
        bail!("image {name}: the command ended with {status}; the image is not built");
    }
    if how.build { build_one(site, &image, false) } else { Ok(()) }
}

/// `wwctl image shell`: bash where the image has it.
///
/// # Errors
/// As [`exec`].
pub fn shell(site: &Site, name: &str, how: &Arguments) -> anyhow::Result<()> {
    let image = shelf::image(site, name)?;
    let there = |shell: &&str| inside::resolve(&image.rootfs, Path::new(shell)).is_ok();
    let Some(shell) = ["/bin/bash", "/bin/sh"].into_iter().find(there) else {
        bail!("image {name}: neither /bin/bash nor /bin/sh in it");
    };
    exec(site, name, how, &[shell.into()])
}

/// The other side of [`exec`].
///
/// # Errors
/// When the kernel or the image refuses.
pub fn become_it(site: &Site, name: &str, own: &[String], command: &[OsString]) -> anyhow::Result<()> {
    let image = shelf::image(site, name)?;
    let binds = binds(site, own)?;
    match chroot::enter(&image, &binds, command, |note| say::warn(format_args!("image {name}: {note}")))? {}
}

/// Those of warewulf.conf, then those of the command.
fn binds(site: &Site, own: &[String]) -> anyhow::Result<Vec<Bind>> {
    let mut binds: Vec<Bind> = site.conf.image_mounts.iter().map(Bind::of).collect();
    for bind in own {
        binds.push(Bind::parse(bind)?);
    }
    Ok(binds)
}
