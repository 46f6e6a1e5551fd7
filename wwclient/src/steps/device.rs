//! A disk as root: its drivers, its name, its file system.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};

use super::scripts::{Ending, Reaper, program};

/// Loads the modules that claim the devices which are there; no udev runs yet.
#[derive(Debug, Default)]
pub struct Drivers {
    asked: BTreeSet<String>,
}

impl Drivers {
    /// In rounds, because a bus driver brings devices that want drivers in turn (virtio_pci, then virtio_blk).
    pub fn load(&mut self, reaper: &Reaper, limit: Duration) -> Result<(), String> {
        let Some(modprobe) = program("modprobe") else {
            return Err("the image has no modprobe (package kmod): only what is built into the kernel is there".into());
        };
        let end = Instant::now() + limit;
        loop {
            let mut there = BTreeSet::new();
            collect_aliases(Path::new("/sys/devices"), 0, &mut there);
            let new: Vec<_> = there.difference(&self.asked).cloned().collect();
            if new.is_empty() {
                return Ok(());
            }
            let mut command = Command::new(&modprobe);
            command.args(["-a", "-b", "-q", "--"]).args(&new);
            match reaper.run(&mut command, end.saturating_duration_since(Instant::now())) {
                // Most aliases have no module: not worth a word.
                Ok(Ending::Well | Ending::Badly(_)) => {}
                Ok(Ending::TooLong) => return Err(format!("modprobe took more than {} s", limit.as_secs())),
                Err(e) => return Err(format!("{}: {e}", modprobe.display())),
            }
            self.asked.extend(new);
        }
    }
}

fn collect_aliases(folder: &Path, depth: usize, aliases: &mut BTreeSet<String>) {
    if depth > 24 {
        return;
    }
    if let Ok(text) = fs::read_to_string(folder.join("modalias")) {
        let text = text.trim();
        if !text.is_empty() {
            aliases.insert(text.to_owned());
        }
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect_aliases(&entry.path(), depth + 1, aliases);
        }
    }
}

/// Waits for the device and mounts it; `meanwhile` is done now and then while it waits.
pub fn mount_device(named: &str, target: &Path, limit: Duration, meanwhile: &mut dyn FnMut()) -> io::Result<()> {
    let device = wait_for(named, limit, meanwhile)?;
    let mut tried = Vec::new();
    for kind in kinds(&device) {
        match mount(Some(&device), target, Some(kind.as_str()), MsFlags::empty(), None::<&str>) {
            Ok(()) => return Ok(()),
            Err(e) => tried.push(format!("{kind}: {e}")),
        }
    }
    let tried = if tried.is_empty() { "no file system that this kernel knows".to_owned() } else { tried.join(", ") };
    Err(io::Error::other(format!("{} cannot be mounted ({tried}): was it formatted?", device.display())))
}

fn wait_for(named: &str, limit: Duration, meanwhile: &mut dyn FnMut()) -> io::Result<PathBuf> {
    let end = Instant::now() + limit;
    loop {
        if let Some(device) = find(Path::new("/"), named) {
            return Ok(device);
        }
        if Instant::now() > end {
            let there = block_devices(Path::new("/")).into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(" ");
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("{named} did not appear in {} s; block devices here: {there}", limit.as_secs()),
            ));
        }
        meanwhile();
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A path, or `/dev/disk/by-partlabel/NAME` and `PARTLABEL=NAME` without udev.
fn find(root: &Path, named: &str) -> Option<PathBuf> {
    let label = named.strip_prefix("/dev/disk/by-partlabel/").or_else(|| named.strip_prefix("PARTLABEL="));
    if let Some(label) = label {
        let found = block_devices(root).into_iter().find(|(_, partition)| partition.as_deref() == Some(label));
        return found.map(|(name, _)| root.join("dev").join(name));
    }
    let path = root.join(named.trim_start_matches('/'));
    path.exists().then_some(path)
}

/// Names, and the partition's label where there is one.
fn block_devices(root: &Path) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root.join("sys/class/block")).into_iter().flatten().flatten() {
        let Ok(text) = fs::read_to_string(entry.path().join("uevent")) else { continue };
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(str::to_owned);
        if let Some(name) = value("DEVNAME=") {
            found.push((name, value("PARTNAME=")));
        }
    }
    found.sort();
    found
}

/// What the first bytes say; where they say nothing, whatever the kernel knows.
fn kinds(device: &Path) -> Vec<String> {
    let Ok(open) = File::open(device) else { return known_kinds() };
    let has = |at: u64, magic: &[u8]| {
        let mut bytes = vec![0; magic.len()];
        open.read_exact_at(&mut bytes, at).is_ok() && bytes == magic
    };
    // The offsets are those of each file system's superblock on disk.
    let magics: [(&str, u64, &[u8]); 4] = [
        ("ext4", 0x438, &[0x53, 0xef]),
        ("xfs", 0, b"XFSB"),
        ("btrfs", 0x1_0040, b"_BHRfS_M"),
        ("f2fs", 0x400, &[0x10, 0x20, 0xf5, 0xf2]),
    ];
    match magics.iter().find(|(_, at, magic)| has(*at, magic)) {
        Some(("ext4", ..)) => ["ext4", "ext3", "ext2"].map(String::from).to_vec(),
        Some((kind, ..)) => vec![(*kind).to_owned()],
        None => known_kinds(),
    }
}

fn known_kinds() -> Vec<String> {
    let text = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    text.lines().filter_map(|line| line.strip_prefix('\t')).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_found_by_its_label_without_udev() {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in [("vda", "DEVNAME=vda\n"), ("vda1", "DEVNAME=vda1\nPARTNAME=rootfs\n")] {
            let folder = root.path().join("sys/class/block").join(name);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("uevent"), text).unwrap();
        }
        let found = |named| find(root.path(), named);
        assert_eq!(found("/dev/disk/by-partlabel/rootfs"), Some(root.path().join("dev/vda1")));
        assert_eq!(found("PARTLABEL=rootfs"), Some(root.path().join("dev/vda1")));
        assert_eq!(found("PARTLABEL=other"), None);
        assert_eq!(found("/dev/vdb"), None);
    }

    #[test]
    fn a_file_system_is_told_by_its_first_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let disk = folder.path().join("disk");
        let mut bytes = vec![0; 0x1_1000];
        bytes[0x438] = 0x53;
        bytes[0x439] = 0xef;
        fs::write(&disk, &bytes).unwrap();
        assert_eq!(kinds(&disk), ["ext4", "ext3", "ext2"]);
        bytes[0x438] = 0;
        bytes[..4].copy_from_slice(b"XFSB");
        fs::write(&disk, &bytes).unwrap();
        assert_eq!(kinds(&disk), ["xfs"]);
    }

    #[test]
    fn a_device_that_never_comes_is_named_with_those_that_are_there() {
        let error = wait_for("/dev/no-such-disk", Duration::ZERO, &mut || {}).unwrap_err().to_string();
        assert!(error.starts_with("/dev/no-such-disk did not appear in 0 s; block devices here: "), "{error}");
    }
}
