//! A machine alone on its network, with an empty disk and nobody who answers.

use std::time::Instant;

use tests::capture::Capture;
use tests::frame::{Frame, Kind};
use tests::{Machine, Net, Vm};

use crate::scenario::{PATIENCE, Scenario};

static ALONE: Scenario<Vec<Frame>> = Scenario::new(|| {
    let net = Net::new()?;
    let capture = Capture::start(&net, tests::net::BRIDGE)?;
    let vm = Vm::start(&net, &Machine::bios("52:54:00:10:00:01"))?;
    let asked = |frames: &[Frame]| frames.iter().any(|frame| frame.kind == Kind::RouterSolicitation || discover(frame));
    let begin = Instant::now();
    loop {
        let frames: Vec<Frame> = capture.frames().into_iter().map(|(_, frame)| frame).collect();
        if asked(&frames) && frames.iter().any(discover) {
            drop(vm);
            return Ok(frames);
        }
        anyhow::ensure!(begin.elapsed() < PATIENCE, "it asks nobody:\n{}", vm.console().last(20));
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
});

#[test]
fn a_machine_with_an_empty_disk_asks_for_an_address_in_ipxes_name() {
    let Some(frames) = ALONE.record() else { return };
    let asked = frames.iter().find(|frame| discover(frame)).unwrap();
    assert_eq!(asked.source, [0x52, 0x54, 0, 0x10, 0, 1]);
    assert_eq!(asked.kind.option(77), Some(b"iPXE".as_slice()));
}

fn discover(frame: &Frame) -> bool {
    matches!(frame.kind, Kind::Dhcp { message: 1, .. })
}
