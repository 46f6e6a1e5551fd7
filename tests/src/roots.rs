//! Images that are not the usual Debian, and a disk for a node to have its root on: what a node's root can be besides.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::image::{answer, debian, kernel, once};

/// Counted up when the recipe below changes.
const BUSYBOX: u32 = 1;
const SELINUX: u32 = 1;

/// What busybox is called in the image.
const TOOLS: &[&str] = &[
    "sh", "cat", "chmod", "echo", "grep", "ifconfig", "ip", "kill", "ls", "mkdir", "modprobe", "mount", "ps",
    "readlink", "sed", "sleep", "stat", "tail", "tr", "uname", "wc",
];

/// init of the image: the network comes late, long after /init has left the agent behind.
const START: &str = "#!/bin/sh
export PATH=/bin:/sbin
sleep 3
modprobe -a virtio_pci virtio_net
sleep 1
ip link set eth0 up
ip addr add $(sed -n 's/^Address=//p' /etc/systemd/network/*.network) dev eth0
echo network-is-up
";

/// An image without systemd: busybox as init, and a shell on the serial line.
///
/// # Errors
/// When a package cannot be had.
pub fn busybox(cache: &Path) -> anyhow::Result<PathBuf> {
    once(cache, &format!("busybox-image-{BUSYBOX}"), |folder, root| {
        for path in ["bin", "sbin", "etc", "proc", "sys", "dev", "run", "tmp", "root", "usr/lib", "var/log"] {
            fs::create_dir_all(root.join(path))?;
        }
        symlink("usr/lib", root.join("lib"))?;
        symlink("../run", root.join("var/run"))?;
        let packages = folder.join("packages");
        fs::create_dir_all(&packages)?;
        answer(Command::new("apt-get").args(["download", "-q", "busybox-static"]).current_dir(&packages))?;
        for entry in fs::read_dir(&packages)? {
            answer(Command::new("dpkg").arg("-x").arg(entry?.path()).arg(folder.join("unpacked")))?;
        }
        let busybox = ["bin/busybox", "usr/bin/busybox"].iter().map(|path| folder.join("unpacked").join(path));
        let busybox = busybox.into_iter().find(|path| path.is_file()).context("busybox-static holds no busybox")?;
        fs::copy(busybox, root.join("bin/busybox"))?;
        for tool in TOOLS {
            symlink("busybox", root.join("bin").join(tool))?;
        }
        for name in ["sbin/init", "sbin/modprobe"] {
            symlink("../bin/busybox", root.join(name))?;
        }
        fs::write(root.join("etc/inittab"), "::once:/bin/sh /etc/start\nttyS0::respawn:-/bin/sh\n")?;
        fs::write(root.join("etc/start"), START)?;
        fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
        kernel(folder, root, &["virtio_pci", "virtio_net", "virtio_blk"])
    })
}

/// The usual Debian with SELinux's default policy and its tools, set to enforce.
///
/// # Errors
/// When a package cannot be had.
pub fn selinux(cache: &Path) -> anyhow::Result<PathBuf> {
    once(cache, &format!("selinux-image-{SELINUX}"), |folder, root| {
        debian(folder, root, "systemd-sysv,udev,iproute2,selinux-policy-default,policycoreutils,selinux-utils")?;
        fs::write(root.join("etc/selinux/config"), "SELINUX=enforcing\nSELINUXTYPE=default\n")?;
        Ok(())
    })
}

/// A disk with one partition that has an ext4 and nothing in it.
///
/// # Errors
/// When it cannot be written.
pub fn disk(path: &Path, megabytes: u64) -> anyhow::Result<()> {
    const START: u32 = 2048;
    let sectors = u32::try_from(megabytes << 11)?;
    fs::File::create(path)?.set_len(megabytes << 20)?;
    let size = format!("{}k", (sectors - START) / 2);
    answer(Command::new("mkfs.ext4").args(["-q", "-F", "-E", "offset=1048576"]).arg(path).arg(size))?;
    // A master boot record: one entry of type Linux, by sectors.
    let mut record = [0; 66];
    record[4] = 0x83;
    record[8..12].copy_from_slice(&START.to_le_bytes());
    record[12..16].copy_from_slice(&(sectors - START).to_le_bytes());
    record[64..].copy_from_slice(&[0x55, 0xaa]);
    std::os::unix::fs::FileExt::write_all_at(&fs::File::options().write(true).open(path)?, &record, 446)?;
    Ok(())
}
