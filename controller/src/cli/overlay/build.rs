//! `wwctl overlay build`: in parallel; a node that fails stops no other.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, bail};
use clap::Args;
use model::Node;

use super::check::{Words, warn_of};
use crate::build::group::Group;
use crate::build::{BuildError, Workshop, bulk};
use crate::cli::say::warn;
use crate::site::Site;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Node names, also as n[1-3,5]; none: all nodes
    nodes: Vec<String>,
    /// How many nodes at a time; 0: what suits this machine
    #[arg(long, default_value_t = 0)]
    workers: usize,
}

pub fn run(site: &Site, arguments: &Arguments) -> anyhow::Result<()> {
    let mut shop = workshop(site)?.grouped();
    // Who names nodes wants to see their files.
    if !arguments.nodes.is_empty() {
        shop = shop.materialized();
    }
    let nodes = named(&shop, &arguments.nodes)?;
    let store = || format!("the store of overlays below {}", site.conf.paths.wwprovisiondir.display());
    let group = Group::begin(site).with_context(store)?;
    let failures = Mutex::new(Vec::new());
    let words = Mutex::new(Words::new());
    bulk::build(&shop, &nodes, workers(arguments.workers), |node, kind, built| {
        if kind.list(node).is_empty() {
            warn(format_args!("node {} has no {kind} overlays: its archive is empty", node.id));
        }
        match built {
            Ok(detours) => {
                let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
                detours.into_iter().for_each(|word| words.entry(word).or_default().push(node.id.clone()));
            }
            Err(error) => failures.lock().unwrap_or_else(PoisonError::into_inner).push((node.id.clone(), error)),
        }
    });
    group.finish().with_context(store)?;
    warn_of(words.into_inner().unwrap_or_else(PoisonError::into_inner));
    let mut failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    failures.sort_by(|a, b| a.0.cmp(&b.0));
    report(&failures)
}

/// Says what failed; the same words once.
fn report(failures: &[(String, BuildError)]) -> anyhow::Result<()> {
    for (_, error) in failures {
        for line in error.to_string().lines() {
            eprintln!("ERROR  : {line}");
        }
    }
    let mut names: Vec<&str> = failures.iter().map(|(name, _)| name.as_str()).collect();
    names.dedup();
    if names.is_empty() {
        return Ok(());
    }
    bail!("overlays of {} are not built; what was built before stays", model::hostlist::fold(&names))
}

/// A workshop over nodes.conf as it is now.
pub fn workshop(site: &Site) -> anyhow::Result<Workshop> {
    let nodes = crate::store::nodes::load(site)?;
    for warning in nodes.warnings() {
        tracing::debug!("{warning:?}");
    }
    Ok(Workshop::new(site.clone(), &nodes.all_merged()))
}

/// The nodes that are meant; none named: all.
///
/// # Errors
/// When one of the names is no node.
pub fn named(shop: &Workshop, patterns: &[String]) -> anyhow::Result<Vec<Arc<Node>>> {
    if patterns.is_empty() {
        let mut all = shop.nodes().to_vec();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        return Ok(all);
    }
    let names = model::hostlist::expand(patterns);
    Ok(names.iter().map(|name| shop.node(name)).collect::<Result<Vec<_>, _>>()?)
}

/// Does `work` for each node, `workers` at a time.
pub fn each(nodes: &[Arc<Node>], count: usize, work: impl Fn(&Arc<Node>) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..workers(count).min(nodes.len()) {
            scope.spawn(|| {
                while let Some(node) = nodes.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(node);
                }
            });
        }
    });
}

/// How many at a time; 0: what suits this machine. More than there are processors: now and then one waits for the disk.
fn workers(asked: usize) -> usize {
    let default = || (4 * std::thread::available_parallelism().map_or(1, usize::from)).max(8);
    if asked == 0 { default() } else { asked }
}
