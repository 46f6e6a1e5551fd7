//! A machine on a bad cable: a fifth of what DHCP and TFTP send is lost each way, and each connection that carries the
//! kernel, the image or an overlay is cut in the middle. It comes up all the same.

use tests::cable::{Faults, Mishaps};
use tests::dice::Dice;
use tests::vm::Firmware;
use tests::world::Wishes;
use tests::{Machine, Net, Vm};

use crate::scenario::{PATIENCE, Scenario};
use crate::site;

const MAC: &str = "52:54:00:10:00:08";
const AGENT: [&str; 2] = ["/runtime", "wwclient"];

#[derive(Debug)]
struct Record {
    name: String,
    beats: usize,
    mishaps: Mishaps,
    console: String,
}

static FAULTS: Scenario<Record> = Scenario::new(|| {
    let net = Net::new()?;
    let mut world = site::with_image(&net, &Wishes::default())?;
    world.add_node("n8", MAC, "10.10.0.18", &[])?;
    world.start()?;
    // The runtime overlay is sent in one breath: there is no middle to cut it in.
    let cuts = vec![("/kernel", 12_000_000), ("/image", 40_000_000), ("/system", 1_000_000)];
    let faults = Some(Faults { seed: Dice::seed(), loss: 20, cuts });
    let mut vm = Vm::start(&net, &Machine { firmware: Firmware::Uefi, faults, ..Machine::bios(MAC) })?;
    let story = |error: anyhow::Error| error.context(format!("the daemon's last lines:\n{}", world.last_log(40)));
    let login = vm.wait_for("login:", PATIENCE).map_err(story)?;
    world.wait_for_log(&AGENT, 2, PATIENCE).map_err(|error| error.context(vm.console().last(20)))?;
    println!("login {:.1} s after power-on; {:?}", login.as_secs_f64(), vm.mishaps());
    Ok(Record {
        name: vm.ask("cat /etc/hostname", PATIENCE)?,
        beats: world.log_lines(&AGENT).len(),
        mishaps: vm.mishaps().unwrap_or_default(),
        console: vm.console().text(),
    })
});

#[test]
fn a_node_comes_up_where_a_fifth_of_dhcp_and_tftp_is_lost_and_every_transfer_is_cut() {
    let Some(record) = FAULTS.record() else { return };
    assert_eq!(record.name, "n8\n");
    assert!(record.beats >= 2);
    let Mishaps { sent, received, cut } = &record.mishaps;
    assert!(sent.1 > 5 && received.1 > 5, "nothing was lost: {:?}", record.mishaps);
    let cut: Vec<&str> = cut.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(cut, ["/kernel", "/image", "/system"]);
}

#[test]
fn a_broken_transfer_is_begun_again_at_once_and_the_console_says_why() {
    let Some(record) = FAULTS.record() else { return };
    let said = [
        "Connection reset",
        "Warewulf: the kernel did not arrive (the lines above say why), trying again in 2 s: 1 of 3",
    ];
    assert!(said.iter().all(|text| record.console.contains(text)), "{}", record.console);
    assert!(!record.console.contains("Warewulf: FAILED"), "{}", record.console);
}
