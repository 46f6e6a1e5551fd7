//! `wwctl profile`: as `wwctl node`, for what nodes have in common. Names are letters here, no hostlists.

use clap::{Args, Subcommand};
use model::nodes::profile_doc;
use model::yaml::{Doc, json, yaml};
use model::{Profile, fields};

use super::change::{self, Kind, Target};
use super::fields::{SetFlags, UnsetFlags};
use super::{files, node_list, say, table};
use crate::site::Site;
use crate::store::nodes;

#[derive(Debug, Args)]
pub struct Verbs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Add profiles
    #[command(visible_aliases = ["new", "create"])]
    Add {
        #[arg(required = true, value_name = "PROFILE")]
        profiles: Vec<String>,
        #[command(flatten)]
        fields: Box<SetFlags<false, false>>,
    },
    /// Delete profiles; their names go from nodes and profiles
    #[command(visible_aliases = ["remove", "rm", "del"])]
    Delete {
        #[arg(required = true, value_name = "PROFILE")]
        profiles: Vec<String>,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Edit profiles with an editor
    Edit {
        #[arg(value_name = "PROFILE")]
        profiles: Vec<String>,
        /// Without the list of fields on top
        #[arg(long)]
        noheader: bool,
    },
    /// List profiles
    #[command(visible_alias = "ls")]
    List {
        #[arg(value_name = "PROFILE")]
        profiles: Vec<String>,
        /// All fields
        #[arg(long, short)]
        all: bool,
        /// As JSON
        #[arg(long, short)]
        json: bool,
        /// As YAML
        #[arg(long, short)]
        yaml: bool,
    },
    /// Change fields of profiles
    #[command(visible_alias = "modify")]
    Set {
        #[arg(value_name = "PROFILE")]
        profiles: Vec<String>,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        /// Without effect
        #[arg(long, short, hide = true)]
        force: bool,
        #[command(flatten)]
        fields: Box<SetFlags<false, true>>,
    },
    /// Take fields of profiles away
    Unset {
        #[arg(required = true, value_name = "PROFILE")]
        profiles: Vec<String>,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        /// Pass over unknown profiles
        #[arg(long, short)]
        force: bool,
        #[command(flatten)]
        fields: Box<UnsetFlags<false>>,
    },
}

/// One verb, done.
pub fn run(site: &Site, verbs: Verbs) -> anyhow::Result<()> {
    let kind = Kind::Profile;
    match verbs.verb {
        Verb::Add { profiles, fields } => change::add(site, kind, &profiles, &fields.0),
        Verb::Delete { profiles, yes } => change::delete(site, Target { kind, words: &profiles, all: false, yes }),
        Verb::Edit { profiles, noheader } => files::edit(site, kind, &profiles, !noheader),
        Verb::List { profiles, all, json, yaml } => list(site, &profiles, all, json, yaml),
        Verb::Set { profiles, yes, force, fields } => {
            if force {
                say::warn("--force has no effect any more; leave it out");
            }
            change::set(site, Target { kind, words: &profiles, all: false, yes }, &fields.0)
        }
        Verb::Unset { profiles, yes, force, fields } => {
            change::unset(site, Target { kind, words: &profiles, all: false, yes }, force, &fields.0)
        }
    }
}

fn list(site: &Site, words: &[String], all: bool, as_json: bool, as_yaml: bool) -> anyhow::Result<()> {
    let conf = nodes::load(site)?;
    change::odd(site, &conf);
    // Commas count in the first word, and then nothing else does, as in stock.
    let wanted: Vec<&str> = match words.first() {
        Some(first) if first.contains(',') => first.split(',').collect(),
        _ => words.iter().map(String::as_str).collect(),
    };
    let shown: Vec<(&String, &Profile)> =
        conf.profiles.iter().filter(|(name, _)| words.is_empty() || wanted.contains(&name.as_str())).collect();
    let doc = || Doc::named(shown.iter().map(|(name, profile)| ((*name).clone(), profile_doc(profile))));
    if as_json {
        return say::answer(&format!("{}\n", json(&node_list::json_names(doc()), true)));
    }
    if as_yaml {
        return say::answer(&yaml(&doc(), 4, 0));
    }
    if !all {
        let rows: Vec<Vec<String>> =
            shown.iter().map(|(name, profile)| vec![(*name).clone(), profile.comment.clone()]).collect();
        return say::answer(&table::table(&["PROFILE NAME", "COMMENT/DESCRIPTION"], &rows));
    }
    let mut rows = Vec::new();
    for (name, profile) in &shown {
        for leaf in fields::profile_leaves(profile) {
            rows.push(vec![(*name).clone(), leaf.name, node_list::shown(&leaf.value)]);
        }
    }
    say::answer(&table::table(&["PROFILE", "FIELD", "VALUE"], &rows))
}
