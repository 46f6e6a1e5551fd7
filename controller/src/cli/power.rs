//! `wwctl power`, `wwctl node sensors` and `wwctl node console`: what BMCs are asked.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::bail;
use clap::{Args, Subcommand};
use model::hostlist;

use super::{Exit, say};
use crate::power::{self, Action, Line};
use crate::site::Site;
use crate::store::nodes;

#[derive(Debug, Args)]
pub struct Verbs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Switch on
    On(Arguments),
    /// Switch off
    Off(Arguments),
    /// Switch off and on
    Cycle(Arguments),
    /// Reset
    Reset(Arguments),
    /// Ask the system to shut down
    Soft(Arguments),
    /// Say whether it is on
    Status(Arguments),
}

#[derive(Debug, Args)]
pub struct Arguments {
    /// Names, as hostlist
    #[arg(required = true, value_name = "NODE")]
    nodes: Vec<String>,
    /// Show the commands, and run none
    #[arg(long, short)]
    show: bool,
    /// How many at a time
    #[arg(long, default_value_t = 50, value_name = "COUNT")]
    fanout: usize,
}

#[derive(Debug, Args)]
pub struct Sensors {
    #[command(flatten)]
    arguments: Arguments,
    /// All that the BMC knows of each
    #[arg(long, short = 'F')]
    full: bool,
}

/// One verb, done.
pub fn run(site: &Site, verbs: Verbs) -> anyhow::Result<()> {
    let (action, arguments) = match verbs.verb {
        Verb::On(arguments) => (Action::On, arguments),
        Verb::Off(arguments) => (Action::Off, arguments),
        Verb::Cycle(arguments) => (Action::Cycle, arguments),
        Verb::Reset(arguments) => (Action::Reset, arguments),
        Verb::Soft(arguments) => (Action::Soft, arguments),
        Verb::Status(arguments) => (Action::Status, arguments),
    };
    let lines = lines(site, action, &arguments.nodes)?;
    if lines.is_empty() {
        bail!("none of the nodes is there: {}", arguments.nodes.join(" "));
    }
    carry_out(lines, &arguments)
}

/// `node sensors`.
pub fn sensors(site: &Site, sensors: &Sensors) -> anyhow::Result<()> {
    let action = if sensors.full { Action::AllSensors } else { Action::Sensors };
    let lines = lines(site, action, &sensors.arguments.nodes)?;
    if lines.is_empty() {
        return Err(Exit { code: 1, message: "none of the nodes is there".into() }.into());
    }
    carry_out(lines, &sensors.arguments)
}

/// `node console`: one after the other, with the terminal.
pub fn console(site: &Site, words: &[String]) -> anyhow::Result<()> {
    let lines = lines(site, Action::Console, words)?;
    if lines.is_empty() {
        bail!("none of the nodes is there: {}", words.join(" "));
    }
    for line in &lines {
        let status = power::attended(line)?;
        if !status.success() {
            bail!("the console of {} ended with {status}", line.node);
        }
    }
    Ok(())
}

fn lines(site: &Site, action: Action, words: &[String]) -> anyhow::Result<Vec<Line>> {
    let conf = nodes::load(site)?;
    let folder = site.conf.paths.datadir.join("warewulf/bmc");
    let mut lines: Vec<Line> = Vec::new();
    for name in hostlist::expand(words) {
        match conf.merged(&name) {
            Some(_) if lines.iter().any(|line| line.node == name) => {}
            Some(node) => lines.push(power::line(&folder, &node, action)?),
            None => say::warn(format_args!("there is no node {name:?}; it is passed over")),
        }
    }
    Ok(lines)
}

fn carry_out(lines: Vec<Line>, arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.show {
        let shown = lines.iter().map(|line| format!("{}: {}\n", line.ipaddr, line.text));
        return say::answer(&shown.collect::<String>());
    }
    let failed = AtomicBool::new(false);
    power::run(lines, arguments.fanout, |line, ran| match ran {
        Ok(ran) => {
            // Who reads no more is no reason to leave nodes half switched.
            let _ = say::answer(&format!("{}: {}\n", line.ipaddr, ran.output));
            if !ran.status.success() {
                failed.store(true, Ordering::Relaxed);
                say::warn(format_args!("node {}: the command ended with {}", line.node, ran.status));
            }
        }
        Err(error) => {
            failed.store(true, Ordering::Relaxed);
            say::warn(format_args!("node {}: {error}", line.node));
        }
    });
    if failed.into_inner() {
        bail!("not all nodes did as they were told");
    }
    Ok(())
}
