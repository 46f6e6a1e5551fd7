//! `cargo xtask bench image`: processor seconds for a GiB of image, by one client and by eight, beside a server that does
//! nothing but sendfile(2) and one that copies, in the same run and in turn.

use crate::figures::{Runs, conditions};
use crate::load::{self, Manner};
use crate::rival;
use crate::site::{PORT, Site, mac};
use crate::wire::beside_server;

const BYTES: u64 = 1 << 30;
const RUNS: usize = 9;
/// Transfers of one run for each client.
const EACH: u32 = 1;

/// Runs all and prints a table.
///
/// # Errors
/// When something cannot be set up, or a transfer breaks.
pub fn run() -> anyhow::Result<()> {
    println!(
        "==> an image of 1 GiB in the page cache over loopback; each server on processor 0; the client on another drops the bytes in the kernel (MSG_TRUNC)"
    );
    println!(
        "    {EACH} transfer a client in each of {RUNS} runs in turn, after one that does not count; {}",
        conditions()
    );
    let site = Site::lay()?;
    site.nodes(10)?;
    let image = site.image(BYTES)?;
    let ours = site.daemon_on_one()?;
    let sendfile = rival::start(&site.net, "sendfile", PORT + 1, &image, true)?;
    let copy = rival::start(&site.net, "copy", PORT + 2, &image, true)?;
    let servers =
        [("wwctl", PORT, &ours), ("plain sendfile", PORT + 1, &sendfile), ("read and write", PORT + 2, &copy)];
    println!("| clients | server | CPU s/GiB | MB/s | beside plain sendfile |\n|---|---|---|---|---|");
    for clients in [1, 8] {
        let mut rows = vec![(Runs::default(), Runs::default()); servers.len()];
        for run in 0..=RUNS {
            for ((_, port, server), (cpu, speed)) in servers.iter().zip(&mut rows) {
                let manner = Manner { drop: true, ..Manner::plain(*port, clients) };
                let transfers = u32::try_from(clients)? * EACH;
                let nodes = (0..transfers).map(|at| vec![format!("/image/{}", mac(1 + at % 10))]).collect();
                let before = server.seconds()?;
                let outcome = beside_server(|| load::play(&site.net, &manner, nodes))??.whole()?;
                if run > 0 {
                    let gib = outcome.bytes as f64 / BYTES as f64;
                    cpu.add((server.seconds()? - before) / gib);
                    speed.add(outcome.bytes as f64 / 1e6 / outcome.wall);
                }
            }
        }
        let plain = rows.get(1).map_or(f64::NAN, |(cpu, _)| cpu.median());
        for ((name, ..), (cpu, speed)) in servers.iter().zip(&rows) {
            println!("| {clients} | {name} | {cpu:.3} | {speed:.0} | {:.2} |", cpu.median() / plain);
        }
    }
    println!("resident: wwctl {:.0} MB at most; {}", ours.peak(), conditions());
    Ok(())
}
