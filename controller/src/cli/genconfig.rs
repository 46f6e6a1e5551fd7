//! `wwctl genconfig`: the configuration as it is in effect.

use clap::{Args, Subcommand};
use model::yaml::yaml;

use super::say;
use crate::site::Site;

#[derive(Debug, Args)]
pub struct Verbs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// About warewulf.conf
    #[command(visible_alias = "cnf")]
    Warewulfconf {
        #[command(subcommand)]
        verb: Warewulfconf,
    },
}

#[derive(Debug, Subcommand)]
enum Warewulfconf {
    /// Print it with all defaults filled in
    Print,
}

/// One verb, done.
pub fn run(site: &Site, verbs: Verbs) -> anyhow::Result<()> {
    let Verb::Warewulfconf { verb: Warewulfconf::Print } = verbs.verb;
    say::answer(&format!("{}\n", yaml(&site.conf.doc(), 4, 0)))
}
