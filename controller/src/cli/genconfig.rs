//! `wwctl genconfig`: the configuration as it is in effect, and the manual.

use std::path::PathBuf;

use clap::{Args, Command, Subcommand};
use model::yaml::yaml;

use super::manual::{self, Form};
use super::say;
use crate::site::Site;

#[derive(Debug, Args)]
pub struct Verbs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Write the manual pages
    #[command(visible_alias = "man_pages")]
    Man {
        /// The folder for them
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Write the reference as reStructuredText
    Reference {
        /// The folder for it
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
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

/// Whether the verb works where no site is: the manual is written when a package is built.
pub fn is_about_the_program(verbs: &Verbs) -> bool {
    matches!(verbs.verb, Verb::Man { .. } | Verb::Reference { .. })
}

/// One verb, done; `root` is the whole command line, for the manual.
pub fn run(site: &Site, verbs: Verbs, mut root: Command) -> anyhow::Result<()> {
    match verbs.verb {
        Verb::Man { folder } => manual::write(&mut root, &folder, Form::Man),
        Verb::Reference { folder } => manual::write(&mut root, &folder, Form::Reference),
        Verb::Warewulfconf { verb: Warewulfconf::Print } => say::answer(&format!("{}\n", yaml(&site.conf.doc(), 4, 0))),
    }
}
