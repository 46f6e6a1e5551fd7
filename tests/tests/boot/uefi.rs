//! A UEFI machine comes up by the same script; its iPXE hands the kernel the initrds by name.

use tests::vm::Firmware;
use tests::world::Wishes;
use tests::{Machine, Net, Vm};

use crate::scenario::{PATIENCE, Scenario};
use crate::site;

const MAC: &str = "52:54:00:10:00:04";

#[derive(Debug)]
struct Record {
    firmware: String,
    name: String,
}

static UEFI: Scenario<Record> = Scenario::new(|| {
    let net = Net::new()?;
    let mut world = site::with_image(&net, &Wishes::default())?;
    world.add_node("n4", MAC, "10.10.0.14", &[])?;
    world.start()?;
    let mut vm = Vm::start(&net, &Machine { firmware: Firmware::Uefi, ..Machine::bios(MAC) })?;
    vm.wait_for("login:", PATIENCE).map_err(|error| error.context(world.last_log(30)))?;
    world.wait_for_log(&["/runtime", "wwclient"], 1, PATIENCE)?;
    let firmware = vm.ask("test -d /sys/firmware/efi && echo efi || echo bios", PATIENCE)?;
    Ok(Record { firmware, name: vm.ask("cat /etc/hostname", PATIENCE)? })
});

#[test]
fn a_uefi_machine_comes_up_to_login_and_heartbeats() {
    let Some(record) = UEFI.record() else { return };
    assert_eq!((record.firmware.as_str(), record.name.as_str()), ("efi\n", "n4\n"));
}
