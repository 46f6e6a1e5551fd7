//! SELinux before init: the policy into the kernel, labels onto the files, and then it holds.
//!
//! The order is the point: what is labelled before a policy is loaded, or on rootfs, keeps no label.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};

use super::scripts::{Ending, Reaper, program};

const SELINUXFS: &str = "/sys/fs/selinux";
/// Labels of a whole image on a slow machine.
const LABEL_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Loads the image's policy, and lets everything pass until [`enforce`].
pub fn load(policy: &str) -> io::Result<()> {
    match mount(Some("selinuxfs"), SELINUXFS, Some("selinuxfs"), MsFlags::empty(), None::<&str>) {
        Ok(()) | Err(Errno::EBUSY) => {}
        Err(e) => return Err(io::Error::other(format!("mount {SELINUXFS}: {e}"))),
    }
    let folder = Path::new("/etc/selinux").join(policy).join("policy");
    let newest: u32 = node("policyvers").trim().parse().unwrap_or(u32::MAX);
    let file = newest_policy(&folder, newest)?;
    let bytes = fs::read(&file).map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", file.display())))?;
    // A kernel told `enforcing=1` would otherwise enforce between here and the labels.
    let _ = fs::write(Path::new(SELINUXFS).join("enforce"), "0");
    let mut load = OpenOptions::new().write(true).open(Path::new(SELINUXFS).join("load"))?;
    // The kernel takes a policy in one write only (security/selinux/selinuxfs.c, sel_write_load).
    match load.write(&bytes) {
        Ok(written) if written == bytes.len() => Ok(()),
        Ok(_) => Err(io::Error::other(format!("the kernel took only a part of {}", file.display()))),
        Err(e) => Err(io::Error::new(e.kind(), format!("the kernel refuses {}: {e}", file.display()))),
    }
}

/// The mount option that labels the root of a new tmpfs.
pub fn root_context() -> String {
    let level = if node("mls").trim() == "1" { ":s0" } else { "" };
    format!("rootcontext=system_u:object_r:root_t{level}")
}

/// Labels every file by the image's own tools.
pub fn label(policy: &str, reaper: &Reaper) -> Result<(), String> {
    let contexts = Path::new("/etc/selinux").join(policy).join("contexts/files/file_contexts");
    let leave_out = ["-e", "/proc", "-e", "/sys"];
    let mut command = match (program("setfiles"), program("restorecon")) {
        (Some(setfiles), _) => {
            let mut command = Command::new(setfiles);
            command.arg("-F").args(leave_out).arg(contexts).arg("/");
            command
        }
        (None, Some(restorecon)) => {
            let mut command = Command::new(restorecon);
            command.args(["-F", "-R"]).args(leave_out).arg("/");
            command
        }
        (None, None) => return Err("the image has neither setfiles nor restorecon (package policycoreutils)".into()),
    };
    match reaper.run(&mut command, LABEL_LIMIT) {
        Ok(Ending::Well) => Ok(()),
        Ok(Ending::Badly(how)) => Err(format!("{} {how}", command.get_program().display())),
        Ok(Ending::TooLong) => Err(format!("labels took more than {} s", LABEL_LIMIT.as_secs())),
        Err(e) => Err(format!("{}: {e}", command.get_program().display())),
    }
}

/// From here on the policy holds.
pub fn enforce() -> io::Result<()> {
    fs::write(Path::new(SELINUXFS).join("enforce"), "1")
}

fn node(name: &str) -> String {
    fs::read_to_string(Path::new(SELINUXFS).join(name)).unwrap_or_default()
}

/// The highest `policy.N` that the kernel can read; when all are newer, the lowest, and the kernel may say why not.
fn newest_policy(folder: &Path, newest: u32) -> io::Result<PathBuf> {
    let mut versions: Vec<u32> = fs::read_dir(folder)
        .map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", folder.display())))?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_prefix("policy.")?.parse().ok())
        .collect();
    versions.sort_unstable();
    let chosen = versions.iter().rev().find(|version| **version <= newest).or(versions.first());
    match chosen {
        Some(version) => Ok(folder.join(format!("policy.{version}"))),
        None => Err(io::Error::new(io::ErrorKind::NotFound, format!("{} holds no policy.N", folder.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_policy_that_the_kernel_reads_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["policy.31", "policy.33", "policy.kern", "other"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let chosen = |newest| newest_policy(folder.path(), newest).unwrap().file_name().unwrap().to_owned();
        assert_eq!(chosen(33), "policy.33");
        assert_eq!(chosen(32), "policy.31");
        assert_eq!(chosen(30), "policy.31");
        let empty = tempfile::tempdir().unwrap();
        assert!(newest_policy(empty.path(), 33).unwrap_err().to_string().ends_with("holds no policy.N"));
    }
}
