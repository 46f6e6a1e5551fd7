//! Seconds from power-on to the boot script, with and without what spares a node its waits: an advertisement of
//! lifetime 0 for who looks for an IPv6 router, and word to iPXE that there is no proxyDHCP.

use std::time::{Duration, Instant};

use tests::world::{Dhcp, Wishes};
use tests::{Machine, Net, Vm, World, place};

use crate::plain;

const MAC: &str = "52:54:00:10:00:01";

/// Runs of each kind: one alone says little on a machine that others use too.
const RUNS: usize = 3;

pub fn run() -> anyhow::Result<()> {
    place::can_boot()?;
    println!("==> power-on to the boot script: BIOS in QEMU without KVM, one machine at a time, {RUNS} runs each");
    for (name, spared) in
        [("our DHCP, quiet ra and no-pxedhcp", true), ("a plain DHCP server, no answer to IPv6", false)]
    {
        let runs = (0..RUNS).map(|_| boot(spared)).collect::<anyhow::Result<Vec<f64>>>()?;
        let fastest = runs.iter().copied().fold(f64::INFINITY, f64::min);
        let all: Vec<String> = runs.iter().map(|seconds| format!("{seconds:.1}")).collect();
        println!("    {name:<40} {fastest:5.1} s   (runs: {})", all.join(" "));
    }
    Ok(())
}

fn boot(spared: bool) -> anyhow::Result<f64> {
    let net = Net::new()?;
    let dhcp = if spared { Dhcp::Internal } else { Dhcp::Off };
    let mut world = World::new(&net, &Wishes { dhcp, ..Wishes::default() })?;
    world.start()?;
    let _plain = if spared { None } else { Some(plain::Server::start(&net)?) };
    let mut vm = Vm::start(&net, &Machine::bios(MAC))?;
    // No node has this address: the script that says so is asked for and sent all the same.
    let begin = Instant::now();
    while world.log_lines(&[" 200 /ipxe/"]).is_empty() {
        anyhow::ensure!(begin.elapsed() < Duration::from_secs(300), "no script:\n{}", vm.console().last(20));
        vm.check()?;
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(vm.uptime().as_secs_f64())
}
