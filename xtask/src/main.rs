//! The recipes of the project, in Rust: each sub-command is what a person or the CI would otherwise type by hand.

mod agent;
mod dist;
mod elf;
mod lab;
mod packages;
mod place;
mod root;
mod shell;
mod suite;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask RECIPE

  demo         a node boots over the network in QEMU from our controller, comes up and heartbeats
  test         everything that must hold, from formatting to machines that boot
  dist         the release as it is installed, in target/dist
  bench boot        seconds from power-on to the boot script, with and without what spares the waits
  bench boots       seconds of boots by stage, firmware and root, and the least memory a node comes up with
  bench dhcp        leases a second, durable, by a daemon on one processor
  bench tftp        64 MB by TFTP, beside dnsmasq's server
  bench image       processor time of a GiB of image, beside plain sendfile and a copy loop
  bench heartbeat   processor time of a node's question for its overlay; memory of daemon and connections
  bench storm       a thousand nodes boot at once
  bench overlays    nodes a second until their overlays are ready, and what an edit costs

options of dist, demo and test:
  --agent-by rustup|debian   where the static agent's standard library comes from (default: rustup if it can)
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> anyhow::Result<ExitCode> {
    let (route, words) = agent::route(words)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let place = place::Place::find()?;
    match words.as_slice() {
        ["dist"] => dist::make(&place, route).map(|_| ExitCode::SUCCESS),
        ["test"] => suite::run(&place, route),
        ["demo", rest @ ..] => lab::run(&place, route, "demo", rest),
        ["bench", "boot", rest @ ..] => lab::run(&place, route, "bench-boot", rest),
        ["bench", name @ ("boots" | "dhcp" | "tftp" | "image" | "heartbeat" | "storm" | "overlays"), rest @ ..] => {
            lab::run(&place, route, &format!("bench-{name}"), rest)
        }
        _ => {
            eprint!("{USAGE}");
            Ok(ExitCode::FAILURE)
        }
    }
}
