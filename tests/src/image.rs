//! The image that nodes boot in tests: a small Debian with systemd, a cloud kernel, and a root shell on the serial
//! line. Made once by debootstrap and kept in the cache; trimmed, for every megabyte is unpacked by an emulated CPU.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};

use crate::undo;

/// Counted up when the recipe below changes, so that a cached image of an older recipe is not taken for it.
const RECIPE: u32 = 2;

/// What a node in RAM that lives for a minute does not need.
const MASKED: &[&str] = &[
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty@tty1.service",
    "modprobe@.service",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "dev-hugepages.mount",
    "systemd-pstore.service",
    "systemd-timesyncd.service",
    "systemd-update-utmp.service",
    "systemd-networkd-wait-online.service",
    "kmod-static-nodes.service",
];

/// Below usr/share, and elsewhere: read by people and package managers only.
const DROPPED: &[&str] = &[
    "usr/share/bash-completion",
    "usr/share/common-licenses",
    "usr/share/doc",
    "usr/share/i18n",
    "usr/share/info",
    "usr/share/keyrings",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/perl5",
    "usr/share/zoneinfo",
    "usr/lib/udev/hwdb.bin",
    "usr/lib/udev/hwdb.d",
    "usr/lib/x86_64-linux-gnu/gconv",
    "usr/lib/x86_64-linux-gnu/perl-base",
    "var/cache",
    "var/lib/apt/lists",
    "var/lib/dpkg/info",
    "var/log",
    "boot",
];

/// The modules of the kernel that a machine here can use, and the networks that it can have; what they need comes with them.
const MODULES: &[&str] = &[
    "virtio_net",
    "virtio_pci",
    "virtio-rng",
    "autofs4",
    "configfs",
    "efivarfs",
    "qemu_fw_cfg",
    "bonding",
    "8021q",
    "bridge",
    "veth",
    "virtio_blk",
];

/// The folder with the image's root, made if need be.
///
/// # Errors
/// When a step fails; nothing half made is taken for the image later.
pub fn rootfs(cache: &Path) -> anyhow::Result<PathBuf> {
    once(cache, &format!("node-image-{RECIPE}"), make)
}

/// The root that a recipe makes in a folder of the cache: made the first time, and never half.
///
/// # Errors
/// When the recipe fails.
pub(crate) fn once(
    cache: &Path,
    name: &str,
    make: impl FnOnce(&Path, &Path) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let folder = cache.join(name);
    let root = folder.join("rootfs");
    if folder.join("done").exists() {
        return Ok(root);
    }
    fs::create_dir_all(cache).with_context(|| format!("cannot make {}", cache.display()))?;
    // Two test programs may come here at once: the second waits and finds it made.
    let lock = fs::File::create(
        cache.join(format!("{}.lock", name.trim_end_matches(|c: char| c == '-' || c.is_ascii_digit()))),
    )?;
    lock.lock()?;
    if folder.join("done").exists() {
        return Ok(root);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder)?;
    let unfinished = undo::Folder::take(folder.clone());
    make(&folder, &root)?;
    fs::write(folder.join("done"), "")?;
    unfinished.keep();
    Ok(root)
}

fn make(folder: &Path, root: &Path) -> anyhow::Result<()> {
    debian(folder, root, "systemd-sysv,udev,kmod,iproute2")
}

/// A small Debian with these packages, our kernel, and a shell on the serial line.
pub(crate) fn debian(folder: &Path, root: &Path, packages: &str) -> anyhow::Result<()> {
    say("make a small Debian for the node to boot (once, one to three minutes)");
    say("  1/4 debootstrap");
    let log = folder.join("debootstrap.log");
    let mut debootstrap = Command::new("unshare");
    // What debootstrap mounts, it mounts where nobody else sees it, so that nothing stays mounted when it is stopped.
    debootstrap.args(["--mount", "debootstrap", "--variant=minbase"]);
    debootstrap.arg(format!("--include={packages}")).arg("bookworm");
    crate::sys::tie(&mut debootstrap, None);
    let (out, err) = (fs::File::create(&log)?, fs::File::options().append(true).open(&log)?);
    let status = debootstrap.arg(root).stdout(out).stderr(err).status().context("cannot run debootstrap")?;
    if !status.success() {
        let said = fs::read_to_string(&log).unwrap_or_default();
        let last: Vec<&str> = said.lines().rev().take(8).collect();
        bail!("debootstrap ended with {status}:\n{}", last.into_iter().rev().collect::<Vec<_>>().join("\n"));
    }
    say("  2/4 kernel");
    trim(root)?;
    kernel(folder, root, MODULES)?;
    say("  3/4 settings");
    settle(root)?;
    say("  4/4 done");
    Ok(())
}

/// Debian's cloud kernel, not installed but unpacked: its package wants an initramfs, and a node has ours.
pub(crate) fn kernel(folder: &Path, root: &Path, wanted: &[&str]) -> anyhow::Result<()> {
    let depends = answer(Command::new("apt-cache").args(["depends", "linux-image-cloud-amd64"]))?;
    let package = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: linux-image-"));
    let release = package.context("apt knows no linux-image-cloud-amd64: run apt-get update")?;
    let unpacked = folder.join("kernel");
    fs::create_dir_all(&unpacked)?;
    answer(Command::new("apt-get").args(["download", "-q", &format!("linux-image-{release}")]).current_dir(folder))?;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "deb") {
            answer(Command::new("dpkg").arg("-x").arg(&path).arg(&unpacked))?;
            fs::remove_file(&path)?;
        }
    }
    let boot = root.join("boot");
    fs::create_dir_all(&boot)?;
    copy(&unpacked.join("boot").join(format!("vmlinuz-{release}")), &boot.join(format!("vmlinuz-{release}")))?;
    copy(&unpacked.join("boot").join(format!("config-{release}")), &boot.join(format!("config-{release}")))?;
    modules(&unpacked.join("lib/modules").join(release), &root.join("usr/lib/modules").join(release), wanted)?;
    answer(Command::new(depmod()?).arg("-b").arg(root).arg(release))?;
    fs::remove_dir_all(&unpacked)?;
    Ok(())
}

/// Copies the wanted modules with all that they depend on, as modules.dep of an index made on the side says.
fn modules(from: &Path, to: &Path, wanted: &[&str]) -> anyhow::Result<()> {
    let release = from.file_name().context("modules stand in a folder named by the release")?;
    let base = from.ancestors().nth(3).context("modules stand in lib/modules")?;
    answer(Command::new(depmod()?).arg("-b").arg(base).arg(release))?;
    let index = fs::read_to_string(from.join("modules.dep")).context("depmod wrote no modules.dep")?;
    for line in index.lines() {
        let Some((module, needs)) = line.split_once(':') else { continue };
        let name = module.rsplit('/').next().unwrap_or(module).trim_end_matches(".ko").replace('_', "-");
        if !wanted.iter().any(|wanted| wanted.replace('_', "-") == name) {
            continue;
        }
        for file in std::iter::once(module).chain(needs.split_whitespace()) {
            let copied = to.join(file);
            fs::create_dir_all(copied.parent().context("a module stands in a folder")?)?;
            copy(&from.join(file), &copied)?;
        }
    }
    for list in ["modules.builtin", "modules.builtin.modinfo", "modules.order"] {
        copy(&from.join(list), &to.join(list))?;
    }
    Ok(())
}

fn trim(root: &Path) -> anyhow::Result<()> {
    for name in DROPPED {
        let path = root.join(name);
        let gone = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        if let Err(error) = gone {
            ensure!(error.kind() == std::io::ErrorKind::NotFound, "cannot remove {}: {error}", path.display());
        }
    }
    for folder in ["boot", "var/cache", "var/log", "var/lib/dpkg/info"] {
        fs::create_dir_all(root.join(folder))?;
    }
    Ok(())
}

fn settle(root: &Path) -> anyhow::Result<()> {
    let units = root.join("etc/systemd/system");
    for unit in MASKED {
        let _ = fs::remove_file(units.join(unit));
        symlink("/dev/null", units.join(unit)).with_context(|| format!("cannot mask {unit}"))?;
    }
    let getty = units.join("serial-getty@ttyS0.service.d");
    fs::create_dir_all(&getty)?;
    let login = "[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --keep-baud 115200 %I dumb\n";
    fs::write(getty.join("autologin.conf"), login)?;
    for (target, unit) in
        [("getty.target.wants", "serial-getty@.service"), ("multi-user.target.wants", "systemd-networkd.service")]
    {
        let wants = units.join(target);
        fs::create_dir_all(&wants)?;
        let name = unit.replace("@.", "@ttyS0.");
        let _ = fs::remove_file(wants.join(&name));
        symlink(Path::new("/lib/systemd/system").join(unit), wants.join(&name))?;
    }
    fs::write(root.join("etc/fstab"), "")?;
    fs::write(root.join("etc/machine-id"), "")?;
    fs::write(root.join("etc/hostname"), "image\n")?;
    Ok(())
}

fn depmod() -> anyhow::Result<PathBuf> {
    crate::place::find("depmod").context("there is no depmod: package kmod")
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::copy(from, to).map(|_| ()).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

pub(crate) fn answer(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn say(text: &str) {
    println!("==> {text}");
}
