//! A site with as many nodes as wanted, as a fresh installation has them, and its daemon on a loopback of its own: what the
//! benches of HTTP stand on.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use tests::{Net, place, undo};

use crate::clock;
use crate::load;
use crate::wire::Server;

/// The daemon's HTTP port.
pub const PORT: u16 = 9873;
/// Bytes of kernel and image, unless the bench is about the image.
pub const SMALL: u64 = 1 << 20;

/// What a fresh installation's profile `default` says.
const PROFILE: &str = "\
nodeprofiles:
  default:
    image name: bench
    ipxe template: default
    runtime overlay: [hosts, ssh.authorized_keys]
    system overlay: [wwinit, wwclient, hosts, fstab, hostname, ssh.host_keys, issue, resolv, udev.netname, systemd.netname, \
                       ifcfg, ifupdown, NetworkManager, wicked, ignition]
    kernel: {args: [quiet, crashkernel=no, net.ifnames=1]}
    init: /sbin/init
    root: initramfs
    resources:
      fstab:
        - {spec: \"warewulf:/home\", file: /home, vfstype: nfs, mntops: \"defaults,nofail\"}
        - {spec: \"warewulf:/opt\", file: /opt, vfstype: nfs, mntops: \"defaults,nofail\"}
";

/// Folders below one temporary one, and a network in which nothing but loopback is used.
pub struct Site {
    pub net: Net,
    folder: undo::Folder,
    wwctl: PathBuf,
}

impl Site {
    /// Lays it: configuration, a kernel, an image, no nodes.
    ///
    /// # Errors
    /// When there is no release, a namespace is not ours to make, or a file cannot be written.
    pub fn lay() -> anyhow::Result<Site> {
        let wwctl = place::dist()?.join("wwctl");
        let site = Site { net: Net::new()?, folder: undo::Folder::temporary("bench")?, wwctl };
        let kernel = site.at("chroots/bench/rootfs/boot/vmlinuz-6.1.0-1-amd64");
        for folder in ["etc/warewulf/ipxe", "provision/images", "chroots/bench/rootfs/boot", "overlays", "var"] {
            fs::create_dir_all(site.at(folder))?;
        }
        noise(&mut File::create(kernel)?, SMALL)?;
        for suffix in ["", ".gz"] {
            noise(&mut File::create(site.at(&format!("provision/images/bench.img{suffix}")))?, SMALL)?;
        }
        let script = place::dist()?.join("share/warewulf/ipxe/default.ipxe");
        fs::copy(script, site.at("etc/warewulf/ipxe/default.ipxe"))?;
        let root = site.folder.path().display();
        fs::write(
            site.conf(),
            format!(
                "ipaddr: 127.0.0.1\nnetmask: 255.0.0.0\nnetwork: 127.0.0.0\nwarewulf: {{port: {PORT}, secure: false, autobuild \
                 overlays: true, host overlay: false}}\ndhcp: {{enabled: false}}\ntftp: {{enabled: false}}\nnfs: {{enabled: \
                 false}}\npaths: {{sysconfdir: {root}/etc, localstatedir: {root}/var, cachedir: {root}/cache, wwoverlaydir: \
                 {root}/overlays, wwchrootdir: {root}/chroots, wwprovisiondir: {root}/provision, wwfilesdir: {root}/files}}\n"
            ),
        )?;
        site.nodes(0)?;
        Ok(site)
    }

    /// A place in the site.
    pub fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn conf(&self) -> PathBuf {
        self.at("etc/warewulf/warewulf.conf")
    }

    /// Writes nodes.conf: so many, each with one address.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn nodes(&self, count: u32) -> anyhow::Result<()> {
        let mut text = PROFILE.to_string();
        text.push_str(if count == 0 { "nodes: {}\n" } else { "nodes:\n" });
        for serial in 1..=count {
            let [_, a, b, c] = serial.to_be_bytes();
            writeln!(
                text,
                "  {}:\n    profiles: [default]\n    network devices:\n      default: {{device: eth0, hwaddr: \"{}\", ipaddr: \
                 10.{a}.{b}.{c}, netmask: 255.0.0.0, gateway: 10.0.0.1}}",
                name(serial),
                mac(serial)
            )?;
        }
        fs::write(self.at("etc/warewulf/nodes.conf"), text)?;
        Ok(())
    }

    /// Makes both image files this long. They are holes, which once read cost as much to send as any other page.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn image(&self, bytes: u64) -> anyhow::Result<PathBuf> {
        for suffix in ["", ".gz"] {
            File::create(self.at(&format!("provision/images/bench.img{suffix}")))?.set_len(bytes)?;
        }
        Ok(self.at("provision/images/bench.img"))
    }

    /// Says in warewulf.conf as what built overlays are kept.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn materialize(&self, files: bool) -> anyhow::Result<()> {
        let text = fs::read_to_string(self.conf())?;
        Ok(fs::write(self.conf(), format!("{text}overlays: {{materialize: {files}}}\n"))?)
    }

    /// A command of the release.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = self.net.command(&self.wwctl);
        command.arg("--warewulfconf").arg(self.conf()).args(words);
        command
    }

    /// Runs a command of the release to its end: processor seconds of it and its children.
    ///
    /// # Errors
    /// When it fails; what it said is in the message.
    pub fn wwctl(&self, words: &[&str]) -> anyhow::Result<f64> {
        let before = clock::children()?;
        let mut command = Command::new(&self.wwctl);
        self.net.run(command.arg("--warewulfconf").arg(self.conf()).args(words).stdin(Stdio::null()))?;
        Ok(clock::children()? - before)
    }

    /// Starts the daemon, its log as chatty as by default and to nowhere, and waits until it listens.
    ///
    /// # Errors
    /// When it does not.
    pub fn daemon(&self) -> anyhow::Result<Server> {
        self.start(self.net.command(&self.wwctl))
    }

    /// [`Site::daemon`] on processor 0 alone.
    ///
    /// # Errors
    /// When it does not listen.
    pub fn daemon_on_one(&self) -> anyhow::Result<Server> {
        let mut command = self.net.command("taskset");
        command.args(["-c", "0"]).arg(&self.wwctl);
        self.start(command)
    }

    fn start(&self, mut command: Command) -> anyhow::Result<Server> {
        command.arg("--warewulfconf").arg(self.conf()).arg("server").stdout(Stdio::null()).stderr(Stdio::null());
        let mut server = Server::start(&mut command)?;
        let deadline = Instant::now() + Duration::from_secs(120);
        while !load::listens(&self.net, PORT)? {
            if let Some(status) = server.ended()? {
                bail!("the daemon ended with {status}; its configuration: {}", self.conf().display());
            }
            ensure!(Instant::now() < deadline, "the daemon opens no port");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }
}

/// A node's name.
pub fn name(serial: u32) -> String {
    format!("n{serial:05}")
}

/// A node's hardware address.
pub fn mac(serial: u32) -> String {
    let [_, a, b, c] = serial.to_be_bytes();
    format!("52:54:00:{a:02x}:{b:02x}:{c:02x}")
}

/// Bytes that no packer makes smaller, the same each time (xorshift).
fn noise(file: &mut File, length: u64) -> anyhow::Result<()> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut bytes = Vec::new();
    for _ in 0..length / 8 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    file.write_all(&bytes)?;
    Ok(())
}
