//! Seconds of boots by stage: by firmware and protocol, and by where the root is; and the least memory that a node comes
//! up with, beside the size of its root.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use tests::foreign::Foreign;
use tests::vm::Firmware;
use tests::world::{Dhcp, Wishes};
use tests::{Machine, Net, Vm, World, image, place, roots};

const PATIENCE: Duration = Duration::from_secs(600);
const MAC: &str = "52:54:00:10:00:01";
const AGENT: [&str; 2] = ["/runtime", "wwclient"];

/// What differs from boot to boot.
#[derive(Clone, Copy, Debug)]
struct Kind {
    name: &'static str,
    firmware: Firmware,
    dhcp: Dhcp,
    root: &'static str,
    system: System,
}

/// What the image is, and so what its console says at last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum System {
    Debian,
    Busybox,
}

const fn kind(name: &'static str, firmware: Firmware, dhcp: Dhcp, root: &'static str, system: System) -> Kind {
    Kind { name, firmware, dhcp, root, system }
}

const KINDS: [Kind; 9] = [
    kind("BIOS, iPXE ROM; tmpfs", Firmware::Bios, Dhcp::Internal, "tmpfs", System::Debian),
    kind("BIOS; ramfs", Firmware::Bios, Dhcp::Internal, "ramfs", System::Debian),
    kind("BIOS; initramfs", Firmware::Bios, Dhcp::Internal, "initramfs", System::Debian),
    kind("BIOS; busybox, tmpfs", Firmware::Bios, Dhcp::Internal, "tmpfs", System::Busybox),
    kind("BIOS; busybox, disk", Firmware::Bios, Dhcp::Internal, "/dev/vda1", System::Busybox),
    kind("UEFI PXE; tmpfs", Firmware::Uefi, Dhcp::Internal, "tmpfs", System::Debian),
    kind("UEFI HTTP; tmpfs", Firmware::UefiHttp, Dhcp::Internal, "tmpfs", System::Debian),
    kind("BIOS, proxyDHCP; tmpfs", Firmware::Bios, Dhcp::Proxy, "tmpfs", System::Debian),
    kind("UEFI PXE, proxyDHCP; tmpfs", Firmware::Uefi, Dhcp::Proxy, "tmpfs", System::Debian),
];

/// Which of them are tried with less and less memory.
const SQUEEZED: [usize; 4] = [0, 2, 1, 4];
/// MiB.
const STEP: u32 = 32;
const TOO_LITTLE: u32 = 128;
const ENOUGH: u32 = 512;

pub fn run(words: &[&str]) -> anyhow::Result<()> {
    place::can_boot()?;
    let cache = place::cache()?;
    let debian = site(&image::rootfs(&cache)?)?;
    let busybox = site(&roots::busybox(&cache)?)?;
    let of = |kind: &Kind| if kind.system == System::Debian { &debian } else { &busybox };
    for (name, store) in [("Debian", &debian), ("busybox", &busybox)] {
        println!(
            "==> {name}: {:.1} MB of files, {:.1} MB as gz",
            size(store, "img") / 1e6,
            size(store, "img.gz") / 1e6
        );
    }
    if words != ["--memory"] {
        println!("==> seconds from power-on, one machine of 1 GiB at a time");
        println!("    {:<27}{}", "", HEADS.map(|head| format!("{head:>9}")).join(""));
        for kind in &KINDS {
            let times = timed(kind, of(kind)).with_context(|| kind.name.to_owned())?;
            println!("    {:<27}{}   load {}", kind.name, times.map(column).join(""), load());
        }
    }
    println!("==> the least memory that a machine comes up with, in steps of {STEP} MiB");
    for kind in SQUEEZED.iter().filter_map(|place| KINDS.get(*place)) {
        let least = squeeze(kind, of(kind))?;
        println!("    {:<27}{least} MiB", kind.name);
    }
    Ok(())
}

const HEADS: [&str; 9] = ["script", "kernel", "image", "overlays", "/init", "init", "login", "beat 1", "beat 2"];

fn column(time: Option<f64>) -> String {
    time.map_or_else(|| format!("{:>9}", "-"), |time| format!("{time:>9.1}"))
}

/// A site with an image, which the others share.
fn site(rootfs: &Path) -> anyhow::Result<World> {
    let store = World::new(&Net::new()?, &Wishes::default())?;
    store.import(rootfs)?;
    Ok(store)
}

#[allow(clippy::cast_precision_loss, reason = "a size in megabytes")]
fn size(store: &World, ending: &str) -> f64 {
    std::fs::metadata(store.at(&format!("provision/images/lab.{ending}"))).map_or(0.0, |file| file.len() as f64)
}

fn load() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').next().unwrap_or_default().to_owned()
}

/// A machine that is on, with all that it stands on.
struct Booting {
    vm: Vm,
    power_on: f64,
    world: World,
    _foreign: Option<Foreign>,
}

fn switch_on(kind: &Kind, store: &World, memory: u32) -> anyhow::Result<Booting> {
    let net = Net::new()?;
    let mut world = World::new(&net, &Wishes { dhcp: kind.dhcp, root: kind.root, ..Wishes::default() })?;
    world.share_image(store)?;
    world.add_node("n1", MAC, "10.10.0.11", &[])?;
    world.wwctl(&["overlay", "build"])?;
    let foreign = if kind.dhcp == Dhcp::Proxy { Some(Foreign::start(&net)?) } else { None };
    world.start()?;
    let mut more = Vec::new();
    if kind.root.starts_with("/dev/") {
        let disk = world.at("disk");
        roots::disk(&disk, 200)?;
        let drive = format!("if=none,id=d0,format=raw,file={}", disk.display());
        more = ["-drive", &drive, "-device", "virtio-blk-pci,drive=d0"].map(str::to_owned).to_vec();
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    let vm = Vm::start(&net, &Machine { firmware: kind.firmware, memory, more, ..Machine::bios(MAC) })?;
    Ok(Booting { vm, power_on: since % DAY, world, _foreign: foreign })
}

fn up(kind: &Kind) -> &'static str {
    if kind.system == System::Debian { "login:" } else { "network-is-up" }
}

/// Seconds from power-on, as [`HEADS`] names them.
fn timed(kind: &Kind, store: &World) -> anyhow::Result<[Option<f64>; 9]> {
    let Booting { mut vm, power_on, world, _foreign } = switch_on(kind, store, 1024)?;
    let login = vm.wait_for(up(kind), PATIENCE).map_err(|error| error.context(world.last_log(20)))?;
    world.wait_for_log(&AGENT, 2, PATIENCE)?;
    let logged = |words: &[&str], number: usize| {
        let lines = world.log_lines(words);
        Some((clock(lines.get(number)?)? - power_on).rem_euclid(DAY))
    };
    let seen = |text: &str| vm.console().when(text).map(|time| time.as_secs_f64());
    let console = vm.console().text();
    if let Some(line) = console.lines().find(|line| line.contains("takes over at")) {
        println!("      {line}");
    }
    for line in console.lines().filter(|line| line.starts_with("wwclient: boot ") && line.contains(" took ")) {
        println!("      {line}");
    }
    Ok([
        logged(&[" 200 /ipxe"], 0),
        logged(&[" 200 /kernel"], 0),
        logged(&[" 200 /image"], 0),
        logged(&[" 200 /runtime"], 0),
        seen("wwclient: devices 1/"),
        seen("takes over at"),
        Some(login.as_secs_f64()),
        logged(&AGENT, 0),
        logged(&AGENT, 1),
    ])
}

const DAY: f64 = 86_400.0;

/// Seconds since midnight of a line of the log, which begins with date and time (RFC 3339).
fn clock(line: &str) -> Option<f64> {
    let mut parts = line.get(11..26)?.split(':');
    let mut next = || parts.next()?.parse::<f64>().ok();
    Some(next()? * 3600.0 + next()? * 60.0 + next()?)
}

/// The least memory with which the machine comes up: halved between what is too little and what is enough.
fn squeeze(kind: &Kind, store: &World) -> anyhow::Result<u32> {
    let (mut little, mut enough) = (TOO_LITTLE, ENOUGH);
    ensure!(comes_up(kind, store, enough)?, "{}: not even with {enough} MiB", kind.name);
    while enough - little > STEP {
        let middle = u32::midpoint(little, enough).next_multiple_of(STEP);
        if comes_up(kind, store, middle)? {
            enough = middle;
        } else {
            little = middle;
        }
    }
    Ok(enough)
}

/// What the console says where memory is short: iPXE, SeaBIOS, the kernel, wwclient, systemd.
const SHORT: [&str; 7] = [
    "Not enough space",
    "Kernel panic",
    "Out of memory",
    "out of memory",
    "No space left",
    "Warewulf: FAILED",
    "Cannot allocate memory",
];

fn comes_up(kind: &Kind, store: &World, memory: u32) -> anyhow::Result<bool> {
    let Booting { mut vm, world, .. } = switch_on(kind, store, memory)?;
    let begin = Instant::now();
    let mut why = String::new();
    let mut is_up = false;
    while begin.elapsed() < Duration::from_secs(300) {
        let text = vm.console().text();
        if let Some(line) = text.lines().find(|line| SHORT.iter().any(|short| line.contains(short))) {
            line.clone_into(&mut why);
            break;
        }
        if text.contains(up(kind)) && world.log_lines(&AGENT).len() >= 2 {
            is_up = true;
            break;
        }
        if let Err(error) = vm.check() {
            why = error.to_string().lines().last().unwrap_or_default().to_owned();
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    if why.is_empty() {
        why = format!("nothing more is heard after {:?}", vm.console().last(1));
    }
    println!("      {memory} MiB: {}", if is_up { "comes up" } else { &why });
    Ok(is_up)
}
