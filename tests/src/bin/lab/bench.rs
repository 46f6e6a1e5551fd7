//! Seconds from power-on to the boot script, with and without what spares a node its waits: an advertisement of
//! lifetime 0 for who looks for an IPv6 router, and word to iPXE that there is no proxyDHCP.

use std::time::Duration;

use tests::world::Wishes;
use tests::{Machine, Net, Vm, World, place};

const MAC: &str = "52:54:00:10:00:01";

pub fn run() -> anyhow::Result<()> {
    place::can_boot()?;
    println!("==> power-on to the boot script, BIOS in QEMU without KVM; one machine at a time");
    for (name, dhcp) in [("with quiet ra", ""), ("without quiet ra", "  quiet ra: false\n")] {
        let seconds = boot(dhcp)?;
        println!("    {name:<20} {seconds:5.1} s");
    }
    Ok(())
}

fn boot(dhcp: &'static str) -> anyhow::Result<f64> {
    let net = Net::new()?;
    let mut world = World::new(&net, &Wishes { dhcp, ..Wishes::default() })?;
    world.start()?;
    let vm = Vm::start(&net, &Machine::bios(MAC))?;
    // No node has this address: the script that says so is asked for and sent all the same.
    world.wait_for_log(&["/ipxe"], 1, Duration::from_secs(300))?;
    Ok(vm.uptime().as_secs_f64())
}
