//! The programs that read what overlays write, at work on it: netplan, NetworkManager, ifupdown, mkfs, sshd and others. They
//! are unpacked over a copy of the node image, not installed: some of them would take over the network of the machine that
//! tests. Each run has namespaces and a root of its own, in which a node's files lie over the programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::image::{answer, once, rootfs};
use crate::{place, undo};

/// Lines of a shell: NetworkManager until it says that it has started everything, on a bus where everybody may do
/// everything. Its words are in /tmp/log, and its own is what stands in /etc/resolv.conf afterwards.
pub const NETWORKMANAGER: &str = "
mkdir -p /run/dbus
cat >/tmp/bus <<END
<busconfig>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <policy context='default'>
    <allow user='*'/><allow own='*'/><allow eavesdrop='true'/><allow send_destination='*' eavesdrop='true'/>
  </policy>
</busconfig>
END
dbus-daemon --config-file=/tmp/bus --fork --nopidfile 2>/dev/null || exit
rm -f /etc/resolv.conf
NetworkManager --debug >/tmp/log 2>&1 &
nm-online --wait-for-startup --quiet --timeout=120";

/// Counted up when the recipe below changes.
const RECIPE: u32 = 2;

/// What is unpacked, with all that it depends on.
const PACKAGES: &[&str] = &[
    "netplan.io",
    "network-manager",
    "ifupdown",
    "ifenslave",
    "bridge-utils",
    "vlan",
    "xfsprogs",
    "btrfs-progs",
    "dosfstools",
    "e2fsprogs",
    "fdisk",
    "ignition",
    "chrony",
    "openssh-server",
    "busybox",
    "isc-dhcp-server",
    "dnsmasq-base",
    "grub-common",
    "csh",
    "python3-minimal",
];

/// Longer than any of them takes on a busy machine.
const PATIENCE: &str = "120";

/// Whether they can be run here.
///
/// # Errors
/// The reason why not, as one line.
pub fn can_run() -> anyhow::Result<()> {
    ensure!(nix::unistd::geteuid().is_root(), "namespaces and roots of their own need root");
    for program in ["debootstrap", "depmod", "apt-get", "cpio", "unshare", "ip"] {
        ensure!(
            place::find(program).is_some(),
            "{program} is not installed: `cargo xtask test` installs what it needs"
        );
    }
    place::dist().map(|_| ())
}

/// A root that holds them, made if need be.
///
/// # Errors
/// When a package cannot be had.
pub fn programs(cache: &Path) -> anyhow::Result<PathBuf> {
    let node = rootfs(cache)?;
    once(cache, &format!("readers-{RECIPE}"), |folder, root| {
        println!("==> unpack programs that shall read our files (once, half a minute)");
        answer(Command::new("cp").arg("-a").arg(&node).arg(root))?;
        let packages = folder.join("packages");
        fs::create_dir_all(packages.join("partial"))?;
        let mut apt = Command::new("apt-get");
        apt.args(["install", "-qq", "-y", "--download-only", "--no-install-recommends"]);
        // What the image has need not be fetched, and the packages of this machine do not matter.
        apt.arg("-o").arg(format!("Dir::State::status={}", root.join("var/lib/dpkg/status").display()));
        apt.arg("-o").arg(format!("Dir::Cache::archives={}", packages.display()));
        apt.args(["-o", "APT::Sandbox::User=root", "-o", "Debug::NoLocking=1"]);
        answer(apt.args(PACKAGES))?;
        let unpack = "for package in *.deb; do
            dpkg-deb --fsys-tarfile \"$package\" | tar -x --keep-directory-symlink -C \"$0\" \\
                --exclude ./usr/share/doc --exclude ./usr/share/man --exclude ./usr/share/locale || exit
        done";
        answer(Command::new("sh").args(["-ec", unpack]).arg(root).current_dir(&packages))?;
        answer(Command::new("chroot").arg(root).arg("/sbin/ldconfig"))?;
        let mut passwd = fs::read_to_string(root.join("etc/passwd"))?;
        passwd.push_str("sshd:x:110:65534::/run/sshd:/usr/sbin/nologin\n");
        fs::write(root.join("etc/passwd"), passwd)?;
        fs::write(root.join("etc/machine-id"), "0123456789abcdef0123456789abcdef\n")?;
        fs::remove_dir_all(&packages)?;
        Ok(())
    })
}

/// A disk with that root, to write on.
///
/// # Errors
/// When it cannot be written.
pub fn disk(cache: &Path, path: &Path) -> anyhow::Result<()> {
    let root = programs(cache)?;
    fs::File::create(path)?.set_len(1 << 30)?;
    answer(Command::new("mkfs.ext4").args(["-q", "-F", "-O", "^has_journal", "-d"]).arg(root).arg(path)).map(|_| ())
}

/// The files that one archive of overlays brings to a node.
#[derive(Debug)]
pub struct Given {
    programs: PathBuf,
    folder: undo::Folder,
}

impl Given {
    /// A system of the programs alone.
    ///
    /// # Errors
    /// When there is no place for it.
    pub fn nothing(programs: &Path) -> anyhow::Result<Given> {
        Ok(Given { programs: programs.to_owned(), folder: undo::Folder::temporary("given")? })
    }

    /// Unpacks an archive.
    ///
    /// # Errors
    /// When it is not there, or is none.
    pub fn unpack(programs: &Path, archive: &Path) -> anyhow::Result<Given> {
        let given = Given::nothing(programs)?;
        let file = fs::File::open(archive).with_context(|| format!("cannot open {}", archive.display()))?;
        let mut cpio = Command::new("cpio");
        cpio.args(["-idm", "--quiet"]).current_dir(given.folder.path()).stdin(Stdio::from(file));
        answer(&mut cpio)?;
        Ok(given)
    }

    /// Where a path of the node lies here.
    pub fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path.trim_start_matches('/'))
    }

    /// What a script for sh says (on stderr, too) that runs as root on a system with these files, with a network and a
    /// host name of its own. /sys is read-only there, which makes udev's part of the world stand still.
    ///
    /// # Errors
    /// When it ends with anything but 0; what it said is in the message.
    pub fn run(&self, script: &str) -> anyhow::Result<String> {
        const STAGE: &str = "
            mount -t tmpfs tmpfs \"$0\"
            mkdir \"$0/upper\" \"$0/work\" \"$0/root\"
            cp -a \"$1/.\" \"$0/upper/\"
            mount -t overlay overlay -o \"lowerdir=$2,upperdir=$0/upper,workdir=$0/work\" \"$0/root\"
            mount -t proc proc \"$0/root/proc\"
            mount -t sysfs -o ro sysfs \"$0/root/sys\"
            mount -t tmpfs tmpfs \"$0/root/run\"
            mount -t tmpfs tmpfs \"$0/root/dev\"
            for device in null zero random urandom; do
                cp -a \"/dev/$device\" \"$0/root/dev/\"
            done
            ln -s /proc/self/fd \"$0/root/dev/fd\"
            ip link set lo up
            exec chroot \"$0/root\" /bin/sh -c \"$3\" 2>&1";
        let stage = undo::Folder::temporary("stage")?;
        let mut command = Command::new("timeout");
        // NetworkManager gives the machine a name, too: it shall be nobody else's.
        command.args([PATIENCE, "unshare", "--mount", "--net", "--uts", "--pid", "--fork", "--kill-child"]);
        command.args(["sh", "-ec", STAGE]);
        command.arg(stage.path()).arg(self.folder.path()).arg(&self.programs).arg(script).stdin(Stdio::null());
        crate::sys::tie(&mut command, None);
        let output = command.output().context("cannot run unshare")?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let more = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "ended with {}:\n{said}{more}\nthe script was:\n{script}", output.status);
        Ok(said)
    }
}
