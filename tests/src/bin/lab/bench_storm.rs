//! `cargo xtask bench storm [NODES]`: a hall is switched on: each node asks for script, kernel, image, system and runtime
//! overlay, each on a new connection, 64 and 256 nodes at once, with overlays built before and with none.

use crate::figures::{conditions, percentile};
use crate::load::{self, Manner};
use crate::site::{PORT, Site, mac};

const STEPS: [&str; 5] = ["ipxe", "kernel", "image", "system", "runtime"];

/// Runs all and prints a table.
///
/// # Errors
/// When something cannot be set up, or a node fails.
pub fn run(words: &[&str]) -> anyhow::Result<()> {
    let count: u32 = words.first().map_or(Ok(1_000), |word| word.parse())?;
    println!(
        "==> {count} nodes boot: {}, each on a new connection; kernel and image of 1 MiB, packed overlays",
        STEPS.join(", ")
    );
    println!("    p99 in ms for each of the five; {}", conditions());
    println!(
        "| overlays | at once | failed | server CPU s | CPU ms a node | wall s | peak MiB | MB sent | {} |",
        STEPS.join(" | ")
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    for (state, fresh) in [("fresh", true), ("stale", false)] {
        for at_once in [64, 256] {
            storm(state, fresh, count, at_once)?;
        }
    }
    println!("{}", conditions());
    Ok(())
}

fn storm(state: &str, fresh: bool, count: u32, at_once: usize) -> anyhow::Result<()> {
    let site = Site::lay()?;
    site.nodes(count)?;
    let built = if fresh { Some(site.wwctl(&["overlay", "build"])?) } else { None };
    let server = site.daemon()?;
    let before = server.seconds()?;
    let nodes = (1..=count).map(|serial| STEPS.iter().map(|step| path(step, serial)).collect()).collect();
    let mut outcome = load::play(&site.net, &Manner::plain(PORT, at_once), nodes)?;
    let cpu = server.seconds()? - before;
    let slow: Vec<String> =
        outcome.steps.iter_mut().map(|step| format!("{:.0}", f64::from(percentile(step, 99)) / 1e3)).collect();
    println!(
        "| {state} | {at_once} | {} | {cpu:.2} | {:.2} | {:.1} | {:.0} | {:.0} | {} |",
        outcome.failed(),
        cpu / f64::from(count) * 1e3,
        outcome.wall,
        server.peak(),
        outcome.bytes as f64 / 1e6,
        slow.join(" | ")
    );
    if let Some(built) = built {
        println!("    (building them before: {built:.1} CPU s)");
    }
    outcome.whole().map(drop)
}

fn path(step: &str, serial: u32) -> String {
    let packed = if matches!(step, "ipxe" | "kernel") { "" } else { "&compress=gz" };
    format!("/{step}/{}?assetkey=&uuid=00000000-0000-0000-0000-000000000000{packed}", mac(serial))
}
