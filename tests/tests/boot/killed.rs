//! The controller is killed (kill -9) again and again while machines boot: they come up all the same, and nothing that it
//! writes is ever half there.
//!
//! One machine in QEMU lives through ten kills. A client without a machine, which walks the same way packet by packet,
//! meets ninety more, at each stage of the way. `WW_KILLS=100` has machines in QEMU live through a hundred, ten a boot.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::ensure;
use tests::dice::Dice;
use tests::walker::{Expected, Place, STAGES, walk};
use tests::whole::{self, Look};
use tests::world::{IMAGE, Wishes};
use tests::{Machine, Net, Vm, World};

use crate::scenario::{PATIENCE, Scenario};
use crate::site;

const MAC: &str = "52:54:00:10:00:09";
/// Kills that one boot lives through.
const A_BOOT: u64 = 10;
const AGENT: [&str; 2] = ["/runtime", "wwclient"];

/// What an administrator does all the time: a file of an overlay changes, so that the next request builds it anew.
fn disturb(world: &World, number: u64) -> anyhow::Result<()> {
    world.overlay_file("etc/lab/changes", &format!("{number}\n"))
}

/// Kills, looks at what is left, and starts again.
fn kill(world: &mut World, look: &mut Look, number: u64) -> anyhow::Result<()> {
    world.kill();
    look.at(&world.at("provision"))?;
    whole::leases(&world.at("var/warewulf/leases"))?;
    disturb(world, number)?;
    world.start()
}

#[derive(Debug)]
struct Boots {
    /// Host name and heartbeats of each machine that came up.
    up: Vec<(String, usize)>,
    kills: u64,
    read: usize,
}

static BOOTS: Scenario<Boots> = Scenario::new(|| {
    let seed = Dice::seed();
    let kills = std::env::var("WW_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(A_BOOT);
    println!("machines in QEMU: {kills} kills, {A_BOOT} a boot, seed {seed}");
    let mut dice = Dice::new(seed);
    let mut boots = Boots { up: Vec::new(), kills: 0, read: 0 };
    while boots.kills < kills {
        let here = A_BOOT.min(kills - boots.kills);
        boot(&mut boots, here, &mut dice)?;
    }
    Ok(boots)
});

fn boot(boots: &mut Boots, kills: u64, dice: &mut Dice) -> anyhow::Result<()> {
    let net = Net::new()?;
    let mut world = site::with_image(&net, &Wishes::default())?;
    world.add_node("n9", MAC, "10.10.0.19", &[])?;
    world.start()?;
    let mut look = Look::default();
    // As in a room: a machine that found nothing to boot tries again.
    let more = ["-boot", "reboot-timeout=1000", "-action", "reboot=reset"].map(str::to_owned).to_vec();
    let mut vm = Vm::start(&net, &Machine { more, ..Machine::bios(MAC) })?;
    // A transfer takes a while, as in a room where all boot at once.
    net.slow_down(vm.tap(), 100)?;
    let begin = Instant::now();
    // Half a minute is how long a boot takes; a busy host stretches both.
    let mut moments: Vec<u64> = (0..kills).map(|_| dice.below(26_000)).collect();
    moments.sort_unstable();
    for moment in moments {
        std::thread::sleep(Duration::from_millis(moment).saturating_sub(begin.elapsed()));
        let at = begin.elapsed().as_secs_f64();
        kill(&mut world, &mut look, boots.kills)?;
        boots.kills += 1;
        println!("kill {} at {at:.1} s, the console says {:?}", boots.kills, vm.console().last(1));
    }
    let story = |error: anyhow::Error| error.context(format!("the daemon's last lines:\n{}", world.last_log(40)));
    let login = vm.wait_for("login:", PATIENCE).map_err(story)?;
    let beats = world.log_lines(&AGENT).len();
    world.wait_for_log(&AGENT, beats + 2, PATIENCE).map_err(|error| error.context(vm.console().last(20)))?;
    println!("login {:.1} s after power-on", login.as_secs_f64());
    look.at(&world.at("provision"))?;
    boots.read += look.read;
    boots.up.push((vm.ask("cat /etc/hostname", PATIENCE)?, world.log_lines(&AGENT).len()));
    Ok(())
}

#[test]
fn machines_come_up_though_the_controller_is_killed_at_random_points_of_their_boots() {
    let Some(boots) = BOOTS.record() else { return };
    assert!(boots.kills >= 10);
    assert!(boots.up.iter().all(|(name, beats)| name == "n9\n" && *beats >= 2), "{boots:?}");
    assert!(boots.read > 10, "only {} files were looked at", boots.read);
}

#[derive(Debug)]
struct Walks {
    boots: usize,
    again: usize,
    /// Kills at each stage.
    kills: [u64; STAGES.len()],
    read: usize,
    lost: Vec<(String, String)>,
}

static WALKS: Scenario<Walks> = Scenario::new(|| {
    let seed = Dice::seed();
    println!("a walker: 90 kills, seed {seed}");
    let mut dice = Dice::new(seed);
    let net = Net::new()?;
    let mut world = World::new(&net, &Wishes::default())?;
    let rootfs = world.at("rootfs");
    small_image(&rootfs, &mut dice)?;
    world.import(&rootfs)?;
    world.add_node("n9", MAC, "10.10.0.19", &[])?;
    let expected = Expected {
        node: MAC.replace(':', "-"),
        loader: std::fs::read(world.at("tftp/warewulf/undionly.kpxe"))?,
        kernel: std::fs::read(rootfs.join("boot/vmlinuz-6.1.0-1-lab"))?,
        image: std::fs::read(world.at(&format!("provision/images/{IMAGE}.img.gz")))?,
    };
    world.start()?;
    let place = Arc::new(Place::default());
    let there = net.neighbour("10.10.0.60")?;
    let (walking, expects) = (Arc::clone(&place), expected.clone());
    let walker = std::thread::spawn(move || there.inside(move || walk(&walking, &expects)));
    let mut look = Look::default();
    let mut kills = [0; STAGES.len()];
    // Each stage in turn, and each at its very beginning, a little later, and wherever the walk then is: the short ones
    // are over in a millisecond.
    let stages = STAGES.len() as u64;
    for number in 0..90 {
        let stage = usize::try_from(number % stages)?;
        let latest = match number / stages % 3 {
            0 => 1,
            1 => 2_000,
            _ => 30_000,
        };
        let begin = Instant::now();
        while place.stage.load(Ordering::Relaxed) != stage
            && begin.elapsed() < Duration::from_secs(20)
            && !walker.is_finished()
        {
            std::thread::sleep(Duration::from_micros(50));
        }
        std::thread::sleep(Duration::from_micros(dice.below(latest)));
        if let Some(count) = kills.get_mut(place.stage.load(Ordering::Relaxed)) {
            *count += 1;
        }
        kill(&mut world, &mut look, number).map_err(|error| error.context(world.last_log(20)))?;
    }
    place.stop.store(true, Ordering::Relaxed);
    let walked = walker.join().map_err(|_| anyhow::anyhow!("the walker broke"))???;
    world.kill();
    look.at(&world.at("provision"))?;
    let noted = whole::leases(&world.at("var/warewulf/leases"))?;
    ensure!(!walked.leases.is_empty(), "no lease was acknowledged");
    let lost = walked.leases.iter().filter(|lease| !noted.contains(lease)).cloned().collect();
    let (boots, again) = (walked.boots, walked.again);
    println!("{boots} boots walked, {again} steps begun again, kills {kills:?}, {} files read", look.read);
    Ok(Walks { boots, again, kills, read: look.read, lost })
});

/// An image of a few megabytes that nobody boots.
fn small_image(rootfs: &std::path::Path, dice: &mut Dice) -> anyhow::Result<()> {
    for (path, size) in [
        ("boot/vmlinuz-6.1.0-1-lab", 3_000_000),
        ("usr/lib/modules/6.1.0-1-lab/modules.dep", 10),
        ("bin/large", 6_000_000),
        ("bin/sh", 8),
        ("sbin/init", 8),
    ] {
        let file = rootfs.join(path);
        std::fs::create_dir_all(file.parent().unwrap())?;
        let bytes: Vec<u8> = (0..size / 8).flat_map(|_| dice.below(u64::MAX).to_le_bytes()).collect();
        std::fs::write(file, bytes)?;
    }
    Ok(())
}

#[test]
fn a_walk_comes_to_its_end_though_the_controller_is_killed_at_every_stage_of_it() {
    let Some(walks) = WALKS.record() else { return };
    assert_eq!(walks.kills.iter().sum::<u64>(), 90);
    assert!(walks.kills.iter().all(|kills| *kills > 0), "a stage was never met: {:?}", walks.kills);
    assert!(walks.boots >= 2 && walks.again > 10, "{} boots, {} steps again", walks.boots, walks.again);
}

#[test]
fn no_lease_that_was_acknowledged_is_lost_and_no_file_is_torn_by_ninety_kills() {
    let Some(walks) = WALKS.record() else { return };
    assert_eq!(walks.lost, Vec::<(String, String)>::new());
    assert!(walks.read > 90, "only {} files were looked at", walks.read);
}
