//! The main job: a BIOS machine with an empty disk, switched on, boots from our controller into a root in tmpfs, comes
//! up, heartbeats, and takes up a change of its runtime overlay.

use std::time::{Duration, Instant};

use tests::capture::Capture;
use tests::frame::{Frame, Kind};
use tests::world::{Status, Wishes};
use tests::{Machine, Net, Vm};

use crate::scenario::{PATIENCE, Scenario};
use crate::site;

const MAC: &str = "52:54:00:10:00:01";
const AGENT: [&str; 2] = ["/runtime", "wwclient"];

/// What a boot left behind to look at.
#[derive(Debug)]
struct Record {
    before: Status,
    frames: Vec<Frame>,
    log: String,
    login: Duration,
    beats: usize,
    seen: (Status, Status),
    root: String,
    name: String,
    agents: String,
    unit: String,
    change: String,
    untouched: (String, String),
}

static FIRST_LIGHT: Scenario<Record> = Scenario::new(|| {
    let net = Net::new()?;
    let mut world = site::with_image(&net, &Wishes { root: "tmpfs", ..Wishes::default() })?;
    world.add_node("n1", MAC, "10.10.0.11", &["--asset", "rack-7"])?;
    world.start()?;
    let before = world.status("n1")?;
    let capture = Capture::start(&net, tests::net::BRIDGE)?;
    let mut vm = Vm::start(&net, &Machine { asset: Some("rack-7".to_owned()), ..Machine::bios(MAC) })?;
    let story = |error: anyhow::Error| error.context(format!("the daemon's last lines:\n{}", world.last_log(40)));
    let login = vm.wait_for("login:", PATIENCE).map_err(story)?;
    world.wait_for_log(&AGENT, 1, PATIENCE).map_err(|error| error.context(vm.console().last(20)))?;
    let first = world.status("n1")?;
    let untouched = "stat -c '%i %Y %Z' /etc/lab/stays; cat /etc/lab/stays";
    let untouched_before = vm.ask(untouched, PATIENCE)?;
    let beats = world.log_lines(&AGENT).len();
    world.wait_for_log(&AGENT, beats + 2, PATIENCE)?;
    let second = world.status("n1")?;

    world.overlay_file("etc/lab/changes", "second\n")?;
    let begin = Instant::now();
    let mut change = String::new();
    while !change.contains("second") && begin.elapsed() < PATIENCE {
        change = vm.ask("cat /etc/lab/changes", PATIENCE)?;
    }
    let record = Record {
        before,
        frames: capture.frames().into_iter().map(|(_, frame)| frame).collect(),
        log: world.log(),
        login,
        beats: world.log_lines(&AGENT).len(),
        seen: (first, second),
        root: vm.ask("findmnt -no FSTYPE /", PATIENCE)?,
        name: vm.ask("cat /etc/hostname", PATIENCE)?,
        agents: vm.ask("for exe in /proc/[0-9]*/exe; do readlink $exe; done | grep -c wwclient", PATIENCE)?,
        unit: vm.ask("systemctl show wwclient --value -p ActiveState -p Type", PATIENCE)?,
        change,
        untouched: (untouched_before, vm.ask(untouched, PATIENCE)?),
    };
    println!("login: {:.1} s after power-on; {} heartbeats", record.login.as_secs_f64(), record.beats);
    Ok(record)
});

#[test]
fn a_bios_machine_with_an_empty_disk_comes_up_to_login() {
    let Some(record) = FIRST_LIGHT.record() else { return };
    assert!(record.login > Duration::ZERO);
    assert_eq!(record.name, "n1\n");
}

#[test]
fn before_power_on_a_node_was_never_seen() {
    let Some(record) = FIRST_LIGHT.record() else { return };
    assert_eq!(record.before, Status::default());
}

#[test]
fn the_agent_heartbeats_again_and_status_says_when() {
    let Some(record) = FIRST_LIGHT.record() else { return };
    let (first, second) = &record.seen;
    assert_eq!((second.stage.as_str(), second.sent.as_str()), ("runtime", "__RUNTIME__.img.gz"));
    assert!(second.seen > first.seen, "{first:?} then {second:?}");
    assert!(record.beats >= 3, "{} heartbeats", record.beats);
}

#[test]
fn script_kernel_image_and_overlays_are_sent_in_that_order() {
    let Some(record) = FIRST_LIGHT.record() else { return };
    let sent: Vec<&str> = record.log.lines().filter_map(stage).collect();
    let first =
        |stage: &str| sent.iter().position(|sent| *sent == stage).unwrap_or_else(|| panic!("no {stage} in {sent:?}"));
    let order = ["ipxe", "kernel", "image", "system", "runtime"].map(first);
    assert!(order.is_sorted(), "{sent:?}");
}

#[test]
fn the_root_is_a_tmpfs_where_the_profile_says_so() {
    let Some(record) = FIRST_LIGHT.record() else { return };
    assert_eq!(record.root, "tmpfs\n");
}

#[test]
fn the_agent_is_one_process_and_a_notify_unit() {
    let Some(record) = FIRST_LIGHT.record() else { return };
    assert_eq!(record.agents, "1\n");
    let mut unit: Vec<&str> = record.unit.split_whitespace().collect();
    unit.sort_unstable();
    assert_eq!(unit, ["active", "notify"]);
}

#[test]
fn a_changed_file_of_a_runtime_overlay_arrives() {
    let Some(record) = FIRST_LIGHT.record() else { return };
    assert_eq!(record.change, "second\n");
}

#[test]
fn an_untouched_file_of_the_same_overlay_is_not_rewritten() {
    let Some(record) = FIRST_LIGHT.record() else { return };
    let (before, after) = &record.untouched;
    assert!(before.ends_with("untouched\n"), "{before}");
    assert_eq!(before, after, "inode, mtime, ctime and content");
}

#[test]
fn nobody_waits_for_an_ipv6_router() {
    let Some(record) = FIRST_LIGHT.record() else { return };
    let firmware = until_the_script(&record.frames);
    let asked = firmware.iter().filter(|frame| frame.kind == Kind::RouterSolicitation).count();
    let answers: Vec<&Kind> = firmware
        .iter()
        .map(|frame| &frame.kind)
        .filter(|kind| matches!(kind, Kind::RouterAdvertisement { .. }))
        .collect();
    // Unanswered, it asks four times, some seconds apart.
    assert!(asked >= 1, "nobody asked");
    assert!(asked <= 2, "asked {asked} times: the first was not answered");
    for answer in answers {
        // A source link-layer address is 8 bytes, and says nothing about being a router.
        assert!(matches!(answer, Kind::RouterAdvertisement { lifetime: 0, options: 0 | 8 }), "{answer:?}");
    }
}

#[test]
fn ipxe_waits_for_no_proxydhcp() {
    let Some(record) = FIRST_LIGHT.record() else { return };
    let firmware = until_the_script(&record.frames);
    let offers: Vec<&Frame> = firmware.iter().filter(|frame| dhcp(frame, 2)).copied().collect();
    assert!(!offers.is_empty(), "no offer");
    for offer in offers {
        assert_eq!(offer.kind.encapsulated(175, 176), Some(vec![1]), "{offer:?}");
    }
    // Waiting, it asks again and again under the same transaction.
    let discovers = firmware.iter().filter(|frame| dhcp(frame, 1)).count();
    assert_eq!(discovers, 1, "asked {discovers} times: it waited for more offers");
}

fn dhcp(frame: &Frame, wanted: u8) -> bool {
    matches!(frame.kind, Kind::Dhcp { message, .. } if message == wanted)
}

/// What went over the wire until the first connection for HTTP was opened.
fn until_the_script(frames: &[Frame]) -> Vec<&Frame> {
    frames.iter().take_while(|frame| frame.kind != Kind::Open { port: 9873 }).collect()
}

/// The stage of a line of the log that tells of bytes sent.
fn stage(line: &str) -> Option<&str> {
    let (_, path) = line.split_once(" 200 /")?;
    path.split(['/', ':', '?']).next()
}
