//! `wwctl ssh`: one command on many nodes at once, each line of output with its node's name.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use model::hostlist;

use super::say;
use crate::site::Site;
use crate::store::nodes;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Names, as hostlist
    #[arg(value_name = "NODE")]
    nodes: String,
    /// What to run there
    #[arg(required = true, value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
    /// Show what would be run
    #[arg(long, short = 'n')]
    dryrun: bool,
    /// How many at a time
    #[arg(long, short, default_value_t = 32, value_name = "COUNT")]
    fanout: usize,
    /// Seconds to wait between two nodes
    #[arg(long, short, default_value_t = 0, value_name = "SECONDS")]
    sleep: u64,
    /// The program that gets there
    #[arg(long, default_value = "/usr/bin/ssh", value_name = "PROGRAM")]
    rsh: PathBuf,
}

/// A node and what to run for it.
struct Job {
    node: String,
    address: String,
}

/// Runs the command everywhere. A node that fails is a warning; the others go on.
pub fn run(site: &Site, arguments: &Arguments) -> anyhow::Result<()> {
    let conf = nodes::load(site)?;
    let mut jobs = Vec::new();
    for node in hostlist::expand(&[&arguments.nodes]).iter().filter_map(|name| conf.merged(name)) {
        match node.primary_device().and_then(|device| device.ipaddr.or(device.ipaddr6)) {
            Some(ip) => jobs.push(Job { node: node.id, address: ip.to_string() }),
            None => say::warn(format_args!("node {} has no address; it is passed over", node.id)),
        }
    }
    if arguments.dryrun {
        let line = |job: &Job| {
            format!("{}: {} {} {}\n", job.node, arguments.rsh.display(), job.address, arguments.command.join(" "))
        };
        return say::answer(&jobs.iter().map(line).collect::<String>());
    }
    jobs.reverse();
    let queue = Mutex::new(jobs);
    std::thread::scope(|scope| {
        for _ in 0..arguments.fanout.clamp(1, 1024) {
            scope.spawn(|| {
                while let Some(job) = next(&queue, arguments.sleep) {
                    if let Err(error) = one(&job, arguments) {
                        say::warn(format_args!("{}: {error:#}", job.node));
                    }
                }
            });
        }
    });
    Ok(())
}

fn next(queue: &Mutex<Vec<Job>>, pause: u64) -> Option<Job> {
    let mut queue = queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let job = queue.pop()?;
    // Under the lock: the pause is between any two nodes, however many run at a time.
    std::thread::sleep(Duration::from_secs(pause));
    Some(job)
}

fn one(job: &Job, arguments: &Arguments) -> anyhow::Result<()> {
    let mut child = Command::new(&arguments.rsh)
        .arg(&job.address)
        .args(&arguments.command)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {}", arguments.rsh.display()))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        scope.spawn(|| out.map(|out| lines(out, |line| drop(say::answer(&format!("{}: {line}\n", job.node))))));
        scope.spawn(|| err.map(|err| lines(err, |line| say::warn(format_args!("{}: {line}", job.node)))));
    });
    let status = child.wait()?;
    if !status.success() {
        anyhow::bail!("ended with {status}");
    }
    Ok(())
}

fn lines(from: impl Read, mut each: impl FnMut(&str)) {
    let mut reader = BufReader::new(from);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
        each(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']));
        line.clear();
    }
}
