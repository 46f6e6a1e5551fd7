//! `cargo xtask bench heartbeat`: what a node's question for its runtime overlay costs the daemon: whole and 304, on new and
//! on kept connections, with 10, 1000 and 10,000 nodes, beside a server that sends as many bytes from memory without
//! looking at the question. Then what the daemon weighs, idle and with a connection kept by each node, and its start.

use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::figures::{Runs, conditions, percentile};
use crate::load::{self, Client, Manner};
use crate::rival;
use crate::site::{PORT, Site, mac, name};

const REQUESTS: u32 = 4_000;
const RUNS: usize = 5;
const AT_ONCE: usize = 8;
/// Connections kept at once, where the limit of open files allows as many.
const KEPT: u32 = 10_000;

/// Runs all and prints tables.
///
/// # Errors
/// When something cannot be set up, or a request fails.
pub fn run() -> anyhow::Result<()> {
    println!(
        "==> GET /runtime, overlays fresh, {AT_ONCE} clients, {RUNS} runs of {REQUESTS} requests in turn; {}",
        conditions()
    );
    println!("    us: processor time of the server for a request, median (range)");
    println!(
        "| nodes | bytes | how | wwctl us | from memory us | requests/s | p99 ms |\n|---|---|---|---|---|---|---|"
    );
    let mut weights = Vec::new();
    for count in [10, 1_000, 10_000] {
        weights.push(with(count)?);
    }
    println!("\n| nodes | start, CPU s | resident MiB | after the requests | at most |\n|---|---|---|---|---|");
    weights.iter().for_each(|line| println!("{line}"));
    kept()?;
    println!("{}", conditions());
    Ok(())
}

/// One size of site: prints its rows, and gives the row of its weight.
fn with(count: u32) -> anyhow::Result<String> {
    let site = Site::lay()?;
    site.nodes(count)?;
    let asking = count.min(8);
    let names: Vec<String> = (1..=asking).map(name).collect();
    let words: Vec<&str> = ["overlay", "build"].into_iter().chain(names.iter().map(String::as_str)).collect();
    site.wwctl(&words)?;
    let ours = site.daemon()?;
    let start = ours.seconds()?;
    std::thread::sleep(Duration::from_secs(2));
    let idle = ours.resident();

    let (manner, path) = (Manner::plain(PORT, AT_ONCE), runtime(1));
    let first = load::play(&site.net, &manner, vec![vec![path]])?.whole()?;
    let file = site.at("same");
    std::fs::write(&file, vec![b'x'; usize::try_from(first.bytes)?])?;
    let memory = rival::start(&site.net, "memory", PORT + 1, &file, false)?;

    let nodes: Vec<Vec<String>> = (0..REQUESTS).map(|at| vec![runtime(1 + at % asking)]).collect();
    for (how, keep, fresh) in [
        ("whole, new connection", false, false),
        ("whole, kept", true, false),
        ("304, new connection", false, true),
        ("304, kept", true, true),
    ] {
        let header = if fresh { "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT".to_string() } else { String::new() };
        let ask = Manner { keep, header, expect: if fresh { 304 } else { 200 }, ..manner.clone() };
        let plain = Manner { keep, port: PORT + 1, ..manner.clone() };
        let (mut cpu, mut beside, mut speed, mut slowest) =
            (Runs::default(), Runs::default(), Runs::default(), Runs::default());
        for run in 0..=RUNS {
            let before = ours.seconds()?;
            let mut outcome = load::play(&site.net, &ask, nodes.clone())?.whole()?;
            let took = ours.seconds()? - before;
            let before = memory.seconds()?;
            load::play(&site.net, &plain, nodes.clone())?.whole()?;
            if run > 0 {
                cpu.add(took / f64::from(REQUESTS) * 1e6);
                beside.add((memory.seconds()? - before) / f64::from(REQUESTS) * 1e6);
                speed.add(f64::from(REQUESTS) / outcome.wall);
                slowest.add(f64::from(outcome.steps.first_mut().map_or(0, |step| percentile(step, 99))) / 1e3);
            }
        }
        println!("| {count} | {} | {how} | {cpu:.0} | {beside:.0} | {speed:.0} | {slowest:.1} |", first.bytes);
    }
    Ok(format!("| {count} | {start:.3} | {idle:.1} | {:.1} | {:.1} |", ours.resident(), ours.peak()))
}

/// What connections weigh that are kept and say nothing.
fn kept() -> anyhow::Result<()> {
    let count = KEPT.min(connections()?);
    let site = Site::lay()?;
    site.nodes(10)?;
    site.wwctl(&["overlay", "build"])?;
    let ours = site.daemon()?;
    let manner = Manner { keep: true, ..Manner::plain(PORT, 1) };
    // A few first, so that what grows once is not counted for each.
    let few = open(&site, &manner, 64)?;
    let before = ours.resident();
    let clients = open(&site, &manner, count)?;
    std::thread::sleep(Duration::from_secs(2));
    let after = ours.resident();
    let (cpu, each) = (ours.seconds()?, (after - before) * 1024.0 / f64::from(count));
    std::thread::sleep(Duration::from_secs(10));
    let idle = (ours.seconds()? - cpu) * 100.0;
    println!(
        "\n{count} connections kept: {before:.1} -> {after:.1} MiB, {each:.1} KiB a connection; idle {idle:.2} ms CPU a second"
    );
    drop((few, clients));
    Ok(())
}

/// How many connections may be kept here: a process of ours holds one descriptor for each, and the daemon counts two.
fn connections() -> anyhow::Result<u32> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = 2 * u64::from(KEPT) + 1_000;
    if hard < wanted && setrlimit(Resource::RLIMIT_NOFILE, wanted, wanted).is_ok() {
        return Ok(KEPT);
    }
    setrlimit(Resource::RLIMIT_NOFILE, wanted.min(hard), hard)?;
    Ok(u32::try_from((wanted.min(hard) - 1_000) / 2)?)
}

fn open(site: &Site, manner: &Manner, count: u32) -> anyhow::Result<Vec<Client>> {
    let manner = manner.clone();
    site.net.inside(move || {
        (0..count)
            .map(|at| {
                let mut client = Client::new();
                client.ask(&manner, &runtime(1 + at % 10)).map(|_| client)
            })
            .collect()
    })?
}

fn runtime(serial: u32) -> String {
    format!("/runtime/{}?assetkey=&compress=gz&uuid=00000000-0000-0000-0000-000000000000", mac(serial))
}
