//! `wwctl upgrade`: configuration files of older releases to the present form. A file that is replaced leaves its old
//! text beside it, as `<name>-old`.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{ArgAction, Args, Subcommand};
use model::conf_write::{old_mounts, upgraded};
use model::upgrade::{self, Options};
use model::yaml::yaml;

use super::say;
use crate::image::kernels;
use crate::site::Site;
use crate::store::publish;

#[derive(Debug, Args)]
pub struct Verbs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Upgrade warewulf.conf
    Config {
        /// The old file; none: the one in use
        #[arg(long, short, value_name = "FILE")]
        input_path: Option<PathBuf>,
        /// The new file, `-` for stdout; none: the one in use
        #[arg(long, short, value_name = "FILE")]
        output_path: Option<PathBuf>,
    },
    /// Upgrade nodes.conf
    Nodes {
        /// Give the profile default what a new installation has
        #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = super::words::truth_value)]
        add_defaults: bool,
        /// Exchange the overlays of old by those that they were split into
        #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = super::words::truth_value)]
        replace_overlays: bool,
        /// The old file; none: the one in use
        #[arg(long, short, value_name = "FILE")]
        input_path: Option<PathBuf>,
        /// The new file, `-` for stdout; none: the one in use
        #[arg(long, short, value_name = "FILE")]
        output_path: Option<PathBuf>,
        /// Take mounts from this old warewulf.conf
        #[arg(long, value_name = "FILE")]
        with_warewulfconf: Option<PathBuf>,
    },
}

/// Whether the verb works without a warewulf.conf that can be read: it may be what is to be upgraded.
pub fn is_about_configuration(verbs: &Verbs) -> bool {
    matches!(verbs.verb, Verb::Config { .. })
}

/// One verb, done.
pub fn run(site: &Site, verbs: Verbs) -> anyhow::Result<()> {
    match verbs.verb {
        Verb::Config { input_path, output_path } => {
            let input = input_path.unwrap_or_else(|| site.conf_path.clone());
            let (doc, notes) = upgraded(&read(&input)?).with_context(|| input.display().to_string())?;
            tell(&notes);
            put(&output_path.unwrap_or_else(|| site.conf_path.clone()), &yaml(&doc, 2, 0), 0o644)
        }
        Verb::Nodes { add_defaults, replace_overlays, input_path, output_path, with_warewulfconf } => {
            let input = input_path.unwrap_or_else(|| site.conf.paths.nodes_conf());
            let mounts = match with_warewulfconf {
                Some(file) => old_mounts(&read(&file)?).with_context(|| file.display().to_string())?,
                None => Vec::new(),
            };
            let has_kernel = |image: &str, version: &str| {
                !image.is_empty() && kernels::find(&site.conf.paths.image_root(image), version).is_ok()
            };
            let options = Options { add_defaults, replace_overlays };
            let (conf, notes) = upgrade::nodes(&read(&input)?, options, &mounts, &has_kernel)
                .with_context(|| input.display().to_string())?;
            tell(&notes);
            // It may hold passwords of BMCs.
            put(&output_path.unwrap_or_else(|| site.conf.paths.nodes_conf()), &conf.text(), 0o600)
        }
    }
}

fn tell(notes: &[String]) {
    for note in notes {
        say::warn(note);
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}

/// `mode`: of a file that was not there; one that was keeps its own.
fn put(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    if path == Path::new("-") {
        return say::answer(text);
    }
    let mut mode = mode;
    if let Ok(old) = std::fs::metadata(path) {
        mode = old.permissions().mode() & 0o7777;
        let mut beside = path.to_path_buf().into_os_string();
        beside.push("-old");
        let beside = PathBuf::from(beside);
        publish::replace_with(&beside, mode, &std::fs::read(path)?)
            .with_context(|| format!("write {}", beside.display()))?;
    }
    publish::replace_with(path, mode, text.as_bytes()).with_context(|| format!("write {}", path.display()))
}
