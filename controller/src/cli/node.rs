//! `wwctl node`: what can be said about nodes. Each verb is in a file of its own below, or shared with profiles.

mod list;
mod status;

use clap::{Args, Subcommand};

use super::change::{self, Kind, Target};
use super::fields::{SetFlags, UnsetFlags};
use super::{files, power};
use crate::site::Site;

#[derive(Debug, Args)]
#[command(arg_required_else_help = false)]
pub struct Verbs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Add nodes
    #[command(visible_aliases = ["new", "create"])]
    Add {
        /// Names, as hostlist (n[01-10])
        #[arg(required = true, value_name = "NODE")]
        nodes: Vec<String>,
        #[command(flatten)]
        fields: Box<SetFlags<true, false>>,
    },
    /// Open the consoles of nodes, one after the other
    Console {
        /// Names, as hostlist
        #[arg(required = true, value_name = "NODE")]
        nodes: Vec<String>,
    },
    /// Delete nodes
    #[command(visible_aliases = ["rm", "del", "remove"])]
    Delete {
        /// Names, as hostlist
        #[arg(required = true, value_name = "NODE")]
        nodes: Vec<String>,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Edit nodes with an editor
    Edit {
        /// Names, as hostlist; none: all
        #[arg(value_name = "NODE")]
        nodes: Vec<String>,
        /// Without the list of fields on top
        #[arg(long)]
        noheader: bool,
    },
    /// Print nodes as YAML, put together from their profiles
    Export {
        /// Names, as hostlist; none: all
        #[arg(value_name = "NODE")]
        nodes: Vec<String>,
    },
    /// Take nodes from a YAML file
    Import {
        /// The file
        file: std::path::PathBuf,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// List nodes
    #[command(visible_alias = "ls")]
    List(list::Arguments),
    /// Ask BMCs for their sensors
    Sensors(power::Sensors),
    /// Change fields of nodes
    #[command(visible_alias = "modify")]
    Set {
        /// Names, as hostlist
        #[arg(value_name = "NODE")]
        nodes: Vec<String>,
        /// Change every node
        #[arg(long, short)]
        all: bool,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        /// Without effect
        #[arg(long, short, hide = true)]
        force: bool,
        #[command(flatten)]
        fields: Box<SetFlags<true, true>>,
    },
    /// Show what nodes were given, and when they were seen
    Status(status::Arguments),
    /// Take fields of nodes away
    Unset {
        /// Names, as hostlist
        #[arg(required = true, value_name = "NODE")]
        nodes: Vec<String>,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        /// Pass over unknown nodes
        #[arg(long, short)]
        force: bool,
        #[command(flatten)]
        fields: Box<UnsetFlags<true>>,
    },
}

/// One verb, done.
pub fn run(site: &Site, verbs: Verbs) -> anyhow::Result<()> {
    let kind = Kind::Node;
    match verbs.verb {
        Verb::Add { nodes, fields } => change::add(site, kind, &nodes, &fields.0),
        Verb::Console { nodes } => power::console(site, &nodes),
        Verb::Delete { nodes, yes } => change::delete(site, Target { kind, words: &nodes, all: false, yes }),
        Verb::Edit { nodes, noheader } => files::edit(site, kind, &nodes, !noheader),
        Verb::Export { nodes } => files::export(site, &nodes),
        Verb::Import { file, yes } => files::import(site, &file, yes),
        Verb::List(arguments) => list::run(site, &arguments),
        Verb::Sensors(arguments) => power::sensors(site, &arguments),
        Verb::Set { nodes, all, yes, force, fields } => {
            if force {
                super::say::warn("--force has no effect any more; leave it out");
            }
            change::set(site, Target { kind, words: &nodes, all, yes }, &fields.0)
        }
        Verb::Status(arguments) => status::run(site, &arguments),
        Verb::Unset { nodes, yes, force, fields } => {
            change::unset(site, Target { kind, words: &nodes, all: false, yes }, force, &fields.0)
        }
    }
}
