//! UEFI machines come up by the same script, whether their firmware asks by PXE or by HTTP; iPXE hands the kernel the
//! initrds by name there.

use tests::capture::Capture;
use tests::frame::{Frame, Kind};
use tests::vm::Firmware;
use tests::world::Wishes;
use tests::{Machine, Net, Vm};

use crate::scenario::{PATIENCE, Scenario};
use crate::site;

/// What a line of the daemon's log has in it when the agent itself asked.
const AGENT: [&str; 2] = ["/runtime", "wwclient"];

#[derive(Debug)]
struct Record {
    firmware: String,
    name: String,
    beats: usize,
    frames: Vec<Frame>,
    programs: Vec<String>,
}

static PXE: Scenario<Record> = Scenario::new(|| boot(Firmware::Uefi, "52:54:00:10:00:04", "n4", "10.10.0.14"));
static HTTP: Scenario<Record> = Scenario::new(|| boot(Firmware::UefiHttp, "52:54:00:10:00:05", "n5", "10.10.0.15"));

fn boot(firmware: Firmware, mac: &str, name: &str, address: &str) -> anyhow::Result<Record> {
    let net = Net::new()?;
    let mut world = site::with_image(&net, &Wishes::default())?;
    world.add_node(name, mac, address, &[])?;
    world.start()?;
    let capture = Capture::start(&net, tests::net::BRIDGE)?;
    let mut vm = Vm::start(&net, &Machine { firmware, ..Machine::bios(mac) })?;
    let login = vm.wait_for("login:", PATIENCE).map_err(|error| error.context(world.last_log(30)))?;
    world.wait_for_log(&AGENT, 2, PATIENCE).map_err(|error| error.context(vm.console().last(20)))?;
    println!("{firmware:?}: login {:.1} s after power-on", login.as_secs_f64());
    Ok(Record {
        firmware: vm.ask("test -d /sys/firmware/efi && echo efi || echo bios", PATIENCE)?,
        name: vm.ask("cat /etc/hostname", PATIENCE)?,
        beats: world.log_lines(&AGENT).len(),
        frames: capture.frames().into_iter().map(|(_, frame)| frame).collect(),
        programs: world.log_lines(&[" 200 /boot/"]),
    })
}

/// Requests of the firmware's own by TFTP; and the class, architecture and boot file of what it was offered.
fn asked(record: &Record) -> (Vec<&str>, String, Option<Vec<u8>>, String) {
    let files = record.frames.iter().filter_map(|frame| match &frame.kind {
        Kind::TftpRead { file } => Some(file.as_str()),
        _ => None,
    });
    let of = |message: u8| {
        let is = |frame: &&Frame| matches!(frame.kind, Kind::Dhcp { message: found, .. } if found == message);
        record.frames.iter().find(is).map(|frame| &frame.kind)
    };
    let text = |kind: Option<&Kind>, code| {
        kind.and_then(|kind| kind.option(code)).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    };
    let (discover, offer) = (of(1), of(2));
    (
        files.collect(),
        text(offer, 60).unwrap_or_default(),
        discover.and_then(|kind| kind.option(93)).map(<[u8]>::to_vec),
        text(offer, 67).unwrap_or_default(),
    )
}

#[test]
fn a_uefi_machine_that_asks_by_pxe_comes_up_to_login_and_a_second_heartbeat() {
    let Some(record) = PXE.record() else { return };
    assert_eq!((record.firmware.as_str(), record.name.as_str()), ("efi\n", "n4\n"));
    assert!(record.beats >= 2);
}

#[test]
fn a_uefi_machine_that_asks_by_http_comes_up_to_login_and_a_second_heartbeat() {
    let Some(record) = HTTP.record() else { return };
    assert_eq!((record.firmware.as_str(), record.name.as_str()), ("efi\n", "n5\n"));
    assert!(record.beats >= 2);
}

#[test]
fn http_boot_is_offered_a_url_and_its_class_back_and_loads_by_http_alone() {
    let Some(record) = HTTP.record() else { return };
    let (files, class, architecture, url) = asked(record);
    assert_eq!(architecture, Some(vec![0, 16]));
    assert_eq!(class, "HTTPClient");
    assert_eq!(url, "http://10.10.0.1:9873/boot/ipxe-snponly-x86_64.efi");
    assert_eq!(files, Vec::<&str>::new(), "by TFTP");
    assert!(!record.programs.is_empty(), "the program was not sent");
}

#[test]
fn the_firmwares_own_pxe_loads_ipxe_by_tftp() {
    let Some(record) = PXE.record() else { return };
    let (files, _, architecture, file) = asked(record);
    assert_eq!(architecture, Some(vec![0, 7]));
    assert_eq!(file, "warewulf/ipxe-snponly-x86_64.efi");
    assert!(files.contains(&file.as_str()), "{files:?}");
}
