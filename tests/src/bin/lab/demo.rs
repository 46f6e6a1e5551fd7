//! The demo: a machine with an empty disk is switched on, boots from our controller, comes up and heartbeats.
//!
//! It ends at the agent's heartbeats and not before. iPXE itself fetches the runtime overlay, so what proves the agent
//! is its own User-Agent in the controller's log, LASTSEEN that falls again and again, and a file that changes.

use std::time::{Duration, Instant};

use anyhow::ensure;
use tests::vm::Firmware;
use tests::world::{OVERLAY, Wishes};
use tests::{Machine, Net, Vm, World, image, place};

/// An emulated machine on a busy host: patience, not measurement.
const PATIENCE: Duration = Duration::from_secs(600);
const NODE: &str = "n1";
const MAC: &str = "52:54:00:10:00:01";
/// What a line of the daemon's log has in it when the agent itself asked.
const AGENT: [&str; 2] = ["/runtime", "wwclient"];

pub fn run(firmware: Firmware) -> anyhow::Result<()> {
    place::can_boot()?;
    let rootfs = image::rootfs(&place::cache()?)?;

    say("a network of its own: bridge, tap, no way out");
    let net = Net::new()?;
    say("a site: warewulf.conf, nodes.conf, one profile, the overlays of the release");
    let mut world = World::new(&net, &Wishes::default())?;
    say("wwctl image import, wwctl image build");
    let begin = Instant::now();
    world.import(&rootfs)?;
    let built = std::fs::metadata(world.at("provision/images/lab.img.gz")).map_or(0, |file| file.len());
    println!("    {:.0} MB packed in {:.1} s", built as f64 / 1e6, begin.elapsed().as_secs_f64());
    say("wwctl node add n1, wwctl overlay build");
    world.add_node(NODE, MAC, "10.10.0.11", &[])?;
    world.wwctl(&["overlay", "build"])?;
    say("wwctl server: DHCP, TFTP and HTTP");
    world.start()?;
    println!("{}", indent(&world.wwctl(&["node", "status"])?));

    say("power on");
    let mut vm = Vm::start(&net, &Machine { firmware, ..Machine::bios(MAC) })?;
    let mut stages = Stages::default();
    let login = follow_until(&world, &mut vm, &mut stages, "login:")?;
    say("the console's last lines");
    println!("{}", indent(&vm.console().last(12)));

    say("the agent's heartbeats");
    let before = stages.beats.len();
    follow_beats(&world, &mut vm, &mut stages, before + 2)?;
    for line in world.log_lines(&AGENT).iter().rev().take(2).rev() {
        println!("    {}", line.get(11..).unwrap_or(line));
    }
    last_seen_falls_twice(&world)?;

    say(format!("a file of the runtime overlay {OVERLAY} changes on the controller"));
    world.overlay_file("etc/lab/changes", "second\n")?;
    let changed = wait_for_change(&mut vm, "/etc/lab/changes", "second")?;
    println!("    {changed:5.1} s  the node has it");

    println!("{}", indent(&world.wwctl(&["node", "status"])?));
    say("timeline, seconds since power-on");
    let mut timeline = stages.lines.clone();
    timeline.extend(
        stages.beats.iter().take(3).enumerate().map(|(n, time)| (*time, format!("heartbeat {} of the agent", n + 1))),
    );
    timeline.push((login, "login:".to_owned()));
    if let Some(time) = vm.console().when("takes over at") {
        timeline.push((time.as_secs_f64(), "wwclient hands over to /sbin/init".to_owned()));
    }
    timeline.sort_by(|one, other| one.0.total_cmp(&other.0));
    for (time, what) in timeline {
        println!("    {time:5.1}  {what}");
    }
    if let (Some(daemon), Some(qemu)) = (world.resident(), vm.resident()) {
        println!("    resident: controller {:.1} MB, QEMU {:.0} MB", daemon as f64 / 1e6, qemu as f64 / 1e6);
    }
    let pulled: Vec<String> =
        ["kernel", "image", "system", "runtime"].iter().map(|stage| pulled(&world, stage)).collect();
    println!("    pulled: {}", pulled.join(", "));
    let status =
        vm.ask("grep -E 'VmRSS|Threads' /proc/$(systemctl show -p MainPID --value wwclient)/status", PATIENCE)?;
    println!("    the agent on the node: {}", status.split_whitespace().collect::<Vec<_>>().join(" "));
    vm.off();
    drop(world);
    say("the node came up and heartbeats; nothing is left behind");
    Ok(())
}

/// What `wwctl node status` showed, each stage once, with the time since power-on.
#[derive(Debug, Default)]
struct Stages {
    last: String,
    lines: Vec<(f64, String)>,
    /// When each request of the agent was seen.
    beats: Vec<f64>,
}

impl Stages {
    fn look(&mut self, world: &World, vm: &Vm) -> anyhow::Result<()> {
        let beats = world.log_lines(&AGENT).len();
        while self.beats.len() < beats {
            self.beats.push(vm.uptime().as_secs_f64());
        }
        let table = world.wwctl(&["node", "status"])?;
        let row = table.lines().find(|line| line.starts_with(NODE)).unwrap_or_default();
        let stage: Vec<&str> = row.split_whitespace().skip(1).take(2).collect();
        let stage = stage.join("  ");
        if stage != self.last && !stage.starts_with("--") && !stage.is_empty() {
            let time = vm.uptime().as_secs_f64();
            println!("    {time:5.1} s  {row}");
            self.lines.push((time, stage.clone()));
        }
        self.last = stage;
        Ok(())
    }
}

fn follow_until(world: &World, vm: &mut Vm, stages: &mut Stages, text: &str) -> anyhow::Result<f64> {
    let deadline = Instant::now() + PATIENCE;
    while vm.console().when(text).is_none() {
        stages.look(world, vm)?;
        if Instant::now() > deadline {
            vm.wait_for(text, Duration::ZERO)?;
        }
        vm.check()?;
        std::thread::sleep(Duration::from_millis(200));
    }
    stages.look(world, vm)?;
    Ok(vm.console().when(text).unwrap_or_default().as_secs_f64())
}

fn follow_beats(world: &World, vm: &mut Vm, stages: &mut Stages, times: usize) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while stages.beats.len() < times {
        stages.look(world, vm)?;
        ensure!(Instant::now() < deadline, "no heartbeat; the daemon's last lines:\n{}", world.last_log(20));
        vm.check()?;
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// LASTSEEN as the table has it: it grows by itself, and falls only when the node was heard again.
fn last_seen_falls_twice(world: &World) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let (mut before, mut falls) = (None, 0);
    while falls < 2 {
        let table = world.wwctl(&["node", "status"])?;
        let row = table.lines().find(|line| line.starts_with(NODE)).unwrap_or_default();
        let now: Option<i64> = row.split_whitespace().last().and_then(|word| word.parse().ok());
        if let (Some(before), Some(now)) = (before, now)
            && now < before
        {
            falls += 1;
            println!("    LASTSEEN fell from {before} s to {now} s");
        }
        before = now;
        ensure!(Instant::now() < deadline, "LASTSEEN does not fall:\n{table}");
        std::thread::sleep(Duration::from_millis(500));
    }
    Ok(())
}

/// The bytes of the first download of a stage, as the daemon's log tells them.
fn pulled(world: &World, stage: &str) -> String {
    let lines = world.log_lines(&[&format!(" 200 /{stage}")]);
    let bytes = lines.first().and_then(|line| line.split(": ").nth(1)?.split_whitespace().next()?.parse::<u64>().ok());
    format!("{stage} {:.2} MB", bytes.unwrap_or_default() as f64 / 1e6)
}

fn wait_for_change(vm: &mut Vm, file: &str, text: &str) -> anyhow::Result<f64> {
    let begin = Instant::now();
    loop {
        let said = vm.ask(&format!("cat {file}"), PATIENCE)?;
        if said.contains(text) {
            return Ok(begin.elapsed().as_secs_f64());
        }
        ensure!(begin.elapsed() < PATIENCE, "the node's {file} still says {said:?}");
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

fn say(text: impl AsRef<str>) {
    println!("==> {}", text.as_ref());
}
