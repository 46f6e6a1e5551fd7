//! `wwctl overlay`: what can be said, and which verb answers.

mod build;
mod change;
mod check;
mod edit;
mod hold;
mod info;
mod list;
mod show;
mod tree;

use std::io::Write;

use clap::{Args, Subcommand};

pub use list::shown;

use crate::site::Site;

#[derive(Debug, Args)]
pub struct Verbs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Build the overlays of nodes
    Build(build::Arguments),
    /// Render everything for every node and say what fails; changes nothing
    Check(check::Arguments),
    /// Change the mode of a file in an overlay
    Chmod(change::Chmod),
    /// Change the owner of a file in an overlay
    Chown(change::Chown),
    /// Make an empty overlay
    #[command(visible_aliases = ["new", "add"])]
    Create(change::Create),
    /// Delete an overlay, or a file of it
    #[command(visible_aliases = ["rm", "remove", "del"])]
    Delete(change::Delete),
    /// Show what a build would change on a node against what it was last given
    Diff(check::Diff),
    /// Edit a file of an overlay, or make a new one
    Edit(edit::Arguments),
    /// Copy a file into an overlay
    #[command(visible_alias = "cp")]
    Import(change::Import),
    /// Tell what a template uses
    #[command(visible_aliases = ["variables", "vars"])]
    Info(info::Arguments),
    /// List overlays, and what is in them
    #[command(visible_alias = "ls")]
    List(list::Arguments),
    /// Make a folder in an overlay
    Mkdir(change::Mkdir),
    /// Print a file of an overlay, or what a node would get of it
    #[command(visible_alias = "cat")]
    Show(show::Arguments),
}

/// One verb, done.
pub fn run(site: &Site, verbs: Verbs) -> anyhow::Result<()> {
    match verbs.verb {
        Verb::Build(arguments) => build::run(site, &arguments),
        Verb::Check(arguments) => check::run(site, &arguments),
        Verb::Chmod(arguments) => change::chmod(site, &arguments),
        Verb::Chown(arguments) => change::chown(site, &arguments),
        Verb::Create(arguments) => change::create(site, &arguments),
        Verb::Delete(arguments) => change::delete(site, &arguments),
        Verb::Diff(arguments) => check::diff(site, &arguments),
        Verb::Edit(arguments) => edit::run(site, &arguments),
        Verb::Import(arguments) => change::import(site, &arguments),
        Verb::Info(arguments) => info::run(site, &arguments),
        Verb::List(arguments) => list::run(site, &arguments),
        Verb::Mkdir(arguments) => change::mkdir(site, &arguments),
        Verb::Show(arguments) => show::run(site, &arguments),
    }
}

/// An answer, to stdout. A reader that has gone away is no failure of ours.
fn say(text: impl AsRef<[u8]>) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_ref()).and_then(|()| out.flush());
}
