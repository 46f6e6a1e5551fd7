//! proxyDHCP beside a foreign server: dnsmasq gives the addresses, we say what to boot, and machines come up.

use std::net::Ipv4Addr;

use tests::capture::Capture;
use tests::foreign::Foreign;
use tests::frame::{Frame, Kind};
use tests::vm::Firmware;
use tests::world::{Dhcp, Wishes};
use tests::{Machine, Net, Vm};

use crate::scenario::{PATIENCE, Scenario};
use crate::site;

const AGENT: [&str; 2] = ["/runtime", "wwclient"];

#[derive(Debug)]
struct Record {
    name: String,
    beats: usize,
    frames: Vec<Frame>,
    scripts: Vec<String>,
    leases: bool,
}

static BIOS: Scenario<Record> = Scenario::new(|| boot(Firmware::Bios, "52:54:00:10:00:06", "n6", "10.10.0.16"));
static UEFI: Scenario<Record> = Scenario::new(|| boot(Firmware::Uefi, "52:54:00:10:00:07", "n7", "10.10.0.17"));

fn boot(firmware: Firmware, mac: &str, name: &str, address: &str) -> anyhow::Result<Record> {
    let net = Net::new()?;
    let mut world = site::with_image(&net, &Wishes { dhcp: Dhcp::Proxy, ..Wishes::default() })?;
    world.add_node(name, mac, address, &[])?;
    let _foreign = Foreign::start(&net)?;
    world.start()?;
    let mut vm = Vm::start(&net, &Machine { firmware, ..Machine::bios(mac) })?;
    // At the machine's own port: what dnsmasq sends to its hardware address alone passes the bridge's own by.
    let capture = Capture::start(&net, vm.tap())?;
    let login = vm.wait_for("login:", PATIENCE).map_err(|error| error.context(world.last_log(30)))?;
    world.wait_for_log(&AGENT, 2, PATIENCE).map_err(|error| error.context(vm.console().last(20)))?;
    println!("{firmware:?} by proxy: login {:.1} s after power-on", login.as_secs_f64());
    Ok(Record {
        name: vm.ask("cat /etc/hostname", PATIENCE)?,
        beats: world.log_lines(&AGENT).len(),
        frames: capture.frames().into_iter().map(|(_, frame)| frame).collect(),
        scripts: world.log_lines(&[" 200 /ipxe/"]),
        leases: world.at("var/warewulf/leases").exists(),
    })
}

/// Answers of one server: message type, address given, boot file.
fn answers(record: &Record, server: [u8; 4]) -> Vec<(u8, Ipv4Addr, String)> {
    let said = record.frames.iter().filter(|frame| frame.kind.option(54) == Some(&server));
    said.filter_map(|frame| match &frame.kind {
        Kind::Dhcp { message: message @ (2 | 5 | 6), given, .. } => {
            let file = frame.kind.option(67).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            Some((*message, *given, file.unwrap_or_default()))
        }
        _ => None,
    })
    .collect()
}

const OURS: [u8; 4] = [10, 10, 0, 1];
const FOREIGN: [u8; 4] = [10, 10, 0, 2];

fn came_up_beside_the_other(record: &Record, name: &str) {
    assert_eq!(record.name, format!("{name}\n"));
    assert!(record.beats >= 2, "{} heartbeats", record.beats);
    let theirs = answers(record, FOREIGN);
    assert!(theirs.iter().any(|(message, given, _)| *message == 5 && given.octets()[3] >= 50), "{theirs:?}");
    assert!(theirs.iter().all(|(_, _, file)| file.is_empty()), "dnsmasq told what to boot: {theirs:?}");
    let ours = answers(record, OURS);
    assert!(!ours.is_empty(), "we said nothing");
    assert!(ours.iter().all(|(_, given, _)| given.is_unspecified()), "we gave an address: {ours:?}");
    assert!(ours.iter().all(|(_, _, file)| !file.is_empty()), "we answered who does not boot: {ours:?}");
    assert!(!record.scripts.is_empty() && !record.leases, "{record:?}");
}

#[test]
fn a_bios_machine_boots_by_the_proxy_and_gets_its_address_from_the_foreign_server() {
    let Some(record) = BIOS.record() else { return };
    came_up_beside_the_other(record, "n6");
}

#[test]
fn a_uefi_machine_boots_by_the_proxy_and_gets_its_address_from_the_foreign_server() {
    let Some(record) = UEFI.record() else { return };
    came_up_beside_the_other(record, "n7");
    assert!(answers(record, OURS).iter().any(|(_, _, file)| file == "warewulf/ipxe-snponly-x86_64.efi"));
}
