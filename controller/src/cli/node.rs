//! `wwctl node`.

use clap::{Args, Subcommand};

use crate::site::Site;

#[derive(Debug, Args)]
pub struct Verbs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {}

/// One verb, done.
pub fn run(_site: &Site, verbs: Verbs) -> anyhow::Result<()> {
    match verbs.verb {}
}
