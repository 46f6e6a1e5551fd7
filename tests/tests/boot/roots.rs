//! Roots besides the usual one: ramfs, a disk, an image whose init is busybox, and one that SELinux guards.

use std::time::Duration;

use tests::world::Wishes;
use tests::{Machine, Net, Vm, World, roots};

use crate::scenario::{PATIENCE, Scenario};

const AGENT: [&str; 2] = ["/runtime", "wwclient"];

#[derive(Debug)]
struct Busybox {
    root: String,
    agent: String,
    log: String,
    change: String,
    resident: u64,
}

static BUSYBOX: Scenario<Busybox> = Scenario::new(|| {
    let net = Net::new()?;
    let mut world = World::new(&net, &Wishes { root: "ramfs", ..Wishes::default() })?;
    world.import(&roots::busybox(&tests::place::cache()?)?)?;
    world.add_node("n1", "52:54:00:10:00:11", "10.10.0.21", &[])?;
    world.start()?;
    let mut vm = Vm::start(&net, &Machine::bios("52:54:00:10:00:11"))?;
    busybox(&mut vm, &world)
});

fn busybox(vm: &mut Vm, world: &World) -> anyhow::Result<Busybox> {
    vm.wait_for("network-is-up", PATIENCE).map_err(|e| e.context(world.last_log(20)))?;
    world.wait_for_log(&AGENT, 2, PATIENCE).map_err(|e| e.context(vm.console().last(30)))?;
    world.overlay_file("etc/lab/changes", "second\n")?;
    let mut change = String::new();
    let end = std::time::Instant::now() + PATIENCE;
    while !change.contains("second") && std::time::Instant::now() < end {
        change = vm.ask("cat /etc/lab/changes", PATIENCE)?;
        std::thread::sleep(Duration::from_secs(1));
    }
    let resident = vm.ask("grep VmRSS /proc/$(cat /run/wwclient.pid)/status", PATIENCE)?;
    Ok(Busybox {
        root: vm.ask("grep ' / ' /proc/mounts | tail -n 1", PATIENCE)?,
        agent: vm.ask(
            "ps | grep -v grep | grep -c warewulf/wwclient; sed -n s/^PPid:.//p /proc/$(cat /run/wwclient.pid)/status",
            PATIENCE,
        )?,
        log: vm.ask("cat /var/log/wwclient.log", PATIENCE)?,
        change,
        resident: resident.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or(u64::MAX),
    })
}

#[test]
fn a_root_in_ramfs_is_one() {
    let Some(record) = BUSYBOX.record() else { return };
    assert!(record.root.contains(" / ramfs "), "{}", record.root);
}

#[test]
fn without_systemd_the_agent_is_the_one_process_that_the_boot_left_behind() {
    let Some(record) = BUSYBOX.record() else { return };
    assert_eq!(record.agent, "1\n1\n", "how many, and the parent");
    assert_eq!(record.change, "second\n");
    assert!(record.resident < 8 << 10, "{} KiB resident", record.resident);
}

#[test]
fn the_agent_waits_for_a_network_that_comes_long_after_it() {
    let Some(record) = BUSYBOX.record() else { return };
    let said: Vec<&str> = record.log.lines().take(2).collect();
    assert_eq!(
        said,
        ["wwclient: waiting for the network: no route to 10.10.0.1", "wwclient: 10.10.0.1 can be reached by eth0"]
    );
}

static DISK: Scenario<Busybox> = Scenario::new(|| {
    let net = Net::new()?;
    let mut world = World::new(&net, &Wishes { root: "/dev/vda1", ..Wishes::default() })?;
    world.import(&roots::busybox(&tests::place::cache()?)?)?;
    world.add_node("n1", "52:54:00:10:00:12", "10.10.0.22", &[])?;
    world.start()?;
    let disk = world.at("disk");
    roots::disk(&disk, 200)?;
    let drive = format!("if=none,id=d0,format=raw,file={}", disk.display());
    let more = ["-drive", &drive, "-device", "virtio-blk-pci,drive=d0"].map(str::to_owned).to_vec();
    let mut vm = Vm::start(&net, &Machine { more, ..Machine::bios("52:54:00:10:00:12") })?;
    busybox(&mut vm, &world)
});

#[test]
fn a_disk_with_an_empty_file_system_becomes_the_root() {
    let Some(record) = DISK.record() else { return };
    assert!(record.root.starts_with("/dev/vda1 / ext4 "), "{}", record.root);
    assert_eq!((record.agent.as_str(), record.change.as_str()), ("1\n1\n", "second\n"));
}

#[derive(Debug)]
struct Selinux {
    enforcing: String,
    init: String,
    mount: String,
    labels: String,
    agent: String,
    replaced: (String, String),
}

static SELINUX: Scenario<Selinux> = Scenario::new(|| {
    let net = Net::new()?;
    let mut world = World::new(&net, &Wishes::default())?;
    world.import(&roots::selinux(&tests::place::cache()?)?)?;
    let words = "security=selinux,selinux=1,enforcing=1";
    world.add_node("n1", "52:54:00:10:00:13", "10.10.0.23", &["--kernelargs", words])?;
    world.start()?;
    let mut vm = Vm::start(&net, &Machine { memory: 1400, ..Machine::bios("52:54:00:10:00:13") })?;
    vm.wait_for("login:", PATIENCE).map_err(|e| e.context(world.last_log(20)))?;
    world.wait_for_log(&AGENT, 2, PATIENCE).map_err(|e| e.context(vm.console().last(30)))?;
    // A label of the site's own, so that keeping it cannot be mistaken for giving it.
    let label = "stat -c '%C %i' /etc/lab/changes";
    vm.ask("chcon -t etc_runtime_t /etc/lab/changes", PATIENCE)?;
    let before = vm.ask(label, PATIENCE)?;
    world.overlay_file("etc/lab/changes", "second\n")?;
    let end = std::time::Instant::now() + PATIENCE;
    while !vm.ask("cat /etc/lab/changes", PATIENCE)?.contains("second") && std::time::Instant::now() < end {
        std::thread::sleep(Duration::from_secs(1));
    }
    Ok(Selinux {
        enforcing: vm.ask("cat /sys/fs/selinux/enforce; echo", PATIENCE)?,
        init: vm.ask("tr -d '\\000' </proc/1/attr/current; echo", PATIENCE)?,
        mount: vm.ask("findmnt -no OPTIONS /", PATIENCE)?,
        labels: vm.ask("stat -c '%C %n' /etc/shadow /usr/bin/passwd /etc/lab/stays", PATIENCE)?,
        agent: vm.ask("systemctl is-active wwclient", PATIENCE)?,
        replaced: (before, vm.ask(label, PATIENCE)?),
    })
});

#[test]
fn an_image_with_selinux_comes_up_enforcing_with_init_in_its_domain() {
    let Some(record) = SELINUX.record() else { return };
    assert_eq!(record.enforcing, "1\n");
    assert_eq!(record.init, "system_u:system_r:init_t:s0\n");
    assert!(record.mount.contains("seclabel"), "{}", record.mount);
    assert_eq!(record.agent, "active\n");
}

#[test]
fn its_files_carry_the_labels_of_the_policy() {
    let Some(record) = SELINUX.record() else { return };
    assert_eq!(
        record.labels,
        "system_u:object_r:shadow_t:s0 /etc/shadow\n\
         system_u:object_r:passwd_exec_t:s0 /usr/bin/passwd\n\
         system_u:object_r:etc_t:s0 /etc/lab/stays\n"
    );
}

#[test]
fn a_file_that_the_agent_replaces_keeps_its_label() {
    let Some(record) = SELINUX.record() else { return };
    let parts = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let (before, after) = (parts(&record.replaced.0), parts(&record.replaced.1));
    assert!(before[0].contains(":etc_runtime_t:"), "{before:?}");
    assert_eq!(after[0], before[0]);
    assert_ne!(after[1], before[1], "not replaced at all");
}
