//! The controller is killed while a node loads its image, and started again: the node comes up all the same. Its root
//! stays in the initramfs.

use std::time::{Duration, Instant};

use tests::world::Wishes;
use tests::{Machine, Net, Vm};

use crate::scenario::{PATIENCE, Scenario};
use crate::site;

const MAC: &str = "52:54:00:10:00:02";

#[derive(Debug)]
struct Record {
    image_was_cut: bool,
    root: String,
    beats: usize,
}

static RESTARTED: Scenario<Record> = Scenario::new(|| {
    let net = Net::new()?;
    let mut world = site::with_image(&net, &Wishes { root: "initramfs", ..Wishes::default() })?;
    world.add_node("n2", MAC, "10.10.0.12", &[])?;
    world.start()?;
    let mut vm = Vm::start(&net, &Machine::bios(MAC))?;
    net.slow_down(vm.tap(), 80)?;
    world.wait_for_log(&[" 200 /kernel"], 1, PATIENCE).map_err(|error| error.context(vm.console().last(20)))?;
    let kernel = net.bytes_sent_to(vm.tap())?;
    let begin = Instant::now();
    while net.bytes_sent_to(vm.tap())? < kernel + 4_000_000 && begin.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(20));
    }
    world.kill();
    let image_was_cut = world.log_lines(&[" 200 /image"]).is_empty();
    std::thread::sleep(Duration::from_secs(3));
    world.start()?;
    net.slow_down(vm.tap(), 10_000)?;
    vm.wait_for("login:", PATIENCE).map_err(|error| error.context(world.last_log(30)))?;
    world.wait_for_log(&["/runtime", "wwclient"], 2, PATIENCE)?;
    Ok(Record {
        image_was_cut,
        root: vm.ask("findmnt -no FSTYPE /", PATIENCE)?,
        beats: world.log_lines(&["/runtime", "wwclient"]).len(),
    })
});

#[test]
fn a_node_comes_up_though_the_controller_was_killed_and_restarted_while_the_image_loaded() {
    let Some(record) = RESTARTED.record() else { return };
    assert!(record.image_was_cut, "the image was there before the controller was killed: nothing was tried");
    assert!(record.beats >= 2);
}

#[test]
fn the_root_stays_in_the_initramfs_where_the_profile_says_so() {
    let Some(record) = RESTARTED.record() else { return };
    assert_eq!(record.root, "rootfs\n");
}
