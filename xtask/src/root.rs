//! A root directory that is a mount: in a plain chroot it is none, and then neither `ip netns exec` nor a test that wants
//! mounts of its own gets them.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::shell::say;

/// Set for the program that runs inside, so that nobody goes in twice.
const INSIDE: &str = "WW_OWN_ROOT";

/// Makes `/` of a namespace of its own a mount and chroots there; the paths stay what they were.
const SCRIPT: &str = r#"mount --rbind / "$1" && cd "$1" && shift && exec chroot . "$@""#;

/// Where `/` is no mount, starts this program again in a namespace in which it is one; elsewhere does nothing.
///
/// # Errors
/// When that cannot be done; without root it is not tried.
pub fn ensure(folder: &Path) -> anyhow::Result<()> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    if is_mount(&mounts) || std::env::var_os(INSIDE).is_some() || !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    say("the root directory is no mount here, as in a chroot: the tests get one in a mount namespace of their own");
    let inner = folder.join("root");
    std::fs::create_dir_all(&inner)?;
    let here = std::env::current_dir()?;
    let mut again = Command::new("unshare");
    again.args(["--mount", "--propagation", "unchanged", "sh", "-c", SCRIPT, "sh"]).arg(&inner);
    again.args(["env", "--chdir"]).arg(here).arg(std::env::current_exe()?).args(std::env::args_os().skip(1));
    Err(again.env(INSIDE, "1").exec().into())
}

/// Whether a line of mountinfo (proc(5)) is for `/`.
fn is_mount(mountinfo: &str) -> bool {
    mountinfo.lines().any(|line| line.split(' ').nth(4) == Some("/"))
}

#[cfg(test)]
mod tests {
    use super::is_mount;

    #[test]
    fn the_root_is_a_mount_where_mountinfo_has_a_line_for_it() {
        let proc = "30 25 0:27 / /proc rw - proc proc rw";
        assert!(!is_mount(proc));
        assert!(is_mount(&format!("{proc}\n25 1 254:0 / / rw,relatime - ext4 /dev/vda rw")));
    }
}
