//! `wwctl server`: the daemon in front.

use clap::Args;

use crate::site::Site;

#[derive(Debug, Args)]
pub struct Arguments {}

/// Runs until it is told to stop.
pub fn run(_site: Site, _arguments: Arguments) -> anyhow::Result<()> {
    anyhow::bail!("this build has no daemon")
}
