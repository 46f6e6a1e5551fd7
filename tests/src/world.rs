//! World: a site on disk as an administrator has it (warewulf.conf, nodes.conf, an image, overlays), laid out below one
//! temporary folder and run with the release in target/dist, inside a Net. Its daemon is ended by its id.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::net::{CONTROLLER, Net};
use crate::undo;

/// What a lab may set apart from the site that every lab has.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// Seconds between heartbeats.
    pub interval: u32,
    /// Where nodes put their root: initramfs or tmpfs.
    pub root: &'static str,
    /// How the daemon answers DHCP.
    pub dhcp: Dhcp,
}

/// What the daemon is to DHCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dhcp {
    /// The server that hands out addresses, and says that there is no IPv6 router.
    Internal,
    /// Beside such a server, and says the same.
    Proxy,
    /// It answers neither.
    Off,
}

impl Default for Wishes {
    fn default() -> Wishes {
        Wishes { interval: 5, root: "tmpfs", dhcp: Dhcp::Internal }
    }
}

/// The overlay that the labs change while a node runs.
pub const OVERLAY: &str = "lab";
/// The image that the nodes boot.
pub const IMAGE: &str = "lab";

#[derive(Debug)]
pub struct World {
    folder: undo::Folder,
    net: Net,
    wwctl: PathBuf,
    daemon: Option<Child>,
}

impl World {
    /// Lays a site without nodes and without an image.
    ///
    /// # Errors
    /// When there is no release, or a file cannot be written.
    pub fn new(net: &Net, wishes: &Wishes) -> anyhow::Result<World> {
        let wwctl = crate::place::dist()?.join("wwctl");
        let folder = undo::Folder::temporary("world")?;
        let world = World { folder, net: net.clone(), wwctl, daemon: None };
        world.lay(wishes)?;
        Ok(world)
    }

    pub fn net(&self) -> &Net {
        &self.net
    }

    /// A place in the site.
    pub fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Runs a command of ours in this site and gives what it said on stdout.
    ///
    /// # Errors
    /// When it ends with anything but 0; what it said on stderr is in the message.
    pub fn wwctl(&self, words: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(&self.wwctl);
        let output = self.net.run(command.env("WAREWULFCONF", self.conf()).args(words))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Brings the image in by the commands that an administrator uses.
    ///
    /// # Errors
    /// When the import or the build fails.
    pub fn import(&self, rootfs: &Path) -> anyhow::Result<()> {
        let rootfs = rootfs.to_str().context("an image's path is text")?;
        self.wwctl(&["image", "import", rootfs, IMAGE])?;
        self.wwctl(&["image", "build", IMAGE])?;
        Ok(())
    }

    /// Takes over the image of another site: its tree by a link, what was built from it by hard links.
    ///
    /// # Errors
    /// When a link cannot be made.
    pub fn share_image(&self, other: &World) -> anyhow::Result<()> {
        std::os::unix::fs::symlink(other.at("chroots").join(IMAGE), self.at("chroots").join(IMAGE))?;
        let (from, to) = (other.at("provision/images"), self.at("provision/images"));
        fs::create_dir_all(&to)?;
        for entry in fs::read_dir(&from).with_context(|| format!("no built image in {}", from.display()))? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                fs::hard_link(entry.path(), to.join(entry.file_name()))?;
            }
        }
        Ok(())
    }

    /// Adds a node with one network card.
    ///
    /// # Errors
    /// When `wwctl node add` fails.
    pub fn add_node(&self, name: &str, mac: &str, address: &str, more: &[&str]) -> anyhow::Result<()> {
        let words = [
            "node",
            "add",
            name,
            "--hwaddr",
            mac,
            "--ipaddr",
            address,
            "--netdev",
            "eth0",
            "--netmask",
            "255.255.255.0",
        ];
        self.wwctl(&words.into_iter().chain(more.iter().copied()).collect::<Vec<_>>()).map(|_| ())
    }

    /// Writes a file of the overlay `lab`, as an administrator's editor would: beside, then renamed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn overlay_file(&self, path: &str, text: &str) -> anyhow::Result<()> {
        let file = self.at(&format!("overlays/{OVERLAY}/rootfs")).join(path);
        fs::create_dir_all(file.parent().context("a file stands in a folder")?)?;
        let beside = file.with_extension("~");
        fs::write(&beside, text)?;
        fs::rename(&beside, &file).with_context(|| format!("cannot write {}", file.display()))
    }

    /// Starts the daemon and waits until it answers.
    ///
    /// # Errors
    /// When it ends, or does not answer within half a minute; what it said is in the message.
    pub fn start(&mut self) -> anyhow::Result<()> {
        let log = fs::File::options().create(true).append(true).open(self.log_path())?;
        let mut command = self.net.command(&self.wwctl);
        command
            .env("WAREWULFCONF", self.conf())
            .arg("server")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = command.spawn().with_context(|| format!("cannot start {}", self.wwctl.display()))?;
        undo::note_process(child.id());
        let child = self.daemon.insert(child);
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = child.try_wait()? {
                bail!("the daemon ended with {status}:\n{}", self.last_log(20));
            }
            let answers = self.net.inside(|| std::net::TcpStream::connect((CONTROLLER, 9873)).is_ok())?;
            if answers {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "the daemon opens no port:\n{}", self.last_log(20));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Kills the daemon as a power cut would: no time to write anything.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.daemon.take() {
            let _ = child.kill();
            let _ = child.wait();
            undo::forget_process(child.id());
        }
    }

    /// What the daemon said so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// The last lines of it.
    pub fn last_log(&self, lines: usize) -> String {
        let log = self.log();
        let all: Vec<&str> = log.lines().collect();
        all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
    }

    /// Waits until the daemon's log has this many lines with all of these words.
    ///
    /// # Errors
    /// When the time is over; the last lines are in the message.
    pub fn wait_for_log(&self, words: &[&str], times: usize, within: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + within;
        while self.log_lines(words).len() < times {
            ensure!(
                Instant::now() < deadline,
                "no {times} lines with {words:?} in the daemon's log within {} s; its last lines:\n{}",
                within.as_secs(),
                self.last_log(20)
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// The lines of the daemon's log that have all of these words.
    pub fn log_lines(&self, words: &[&str]) -> Vec<String> {
        self.log().lines().filter(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned).collect()
    }

    /// What /status says of a node.
    ///
    /// # Errors
    /// When `wwctl node status` fails, or does not print a JSON document.
    pub fn status(&self, node: &str) -> anyhow::Result<Status> {
        let text = self.wwctl(&["node", "status", "-o", "json"])?;
        let document: serde_json::Value = serde_json::from_str(&text).with_context(|| format!("no JSON: {text:?}"))?;
        let node = document.pointer(&format!("/nodes/{node}")).cloned().unwrap_or_default();
        let text = |key: &str| node.get(key).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
        let seen = node.get("last seen").and_then(serde_json::Value::as_i64).unwrap_or_default();
        Ok(Status { stage: text("stage"), sent: text("sent"), seen })
    }

    /// Resident memory of the daemon, bytes.
    pub fn resident(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.daemon.as_ref()?.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
    }

    fn conf(&self) -> PathBuf {
        self.at("etc/warewulf/warewulf.conf")
    }

    fn log_path(&self) -> PathBuf {
        self.at("log")
    }

    fn lay(&self, wishes: &Wishes) -> anyhow::Result<()> {
        for folder in
            ["etc/warewulf", "var", "cache", "srv", "overlays", "chroots", "provision", "files", "tftp/warewulf"]
        {
            fs::create_dir_all(self.at(folder))?;
        }
        let root = self.folder.path().display().to_string();
        let Wishes { interval, root: node_root, dhcp } = wishes;
        let is_on = *dhcp != Dhcp::Off;
        let mode = if *dhcp == Dhcp::Proxy { "proxy" } else { "internal" };
        let conf = format!(
            "\
ipaddr: {CONTROLLER}
netmask: 255.255.255.0
network: 10.10.0.0
warewulf:
  port: 9873
  secure: false
  update interval: {interval}
  autobuild overlays: true
  host overlay: false
dhcp:
  enabled: {is_on}
  mode: {mode}
  quiet ra: {is_on}
  range start: 10.10.0.100
  range end: 10.10.0.199
tftp:
  enabled: true
  mode: internal
  tftproot: {root}/tftp
nfs:
  enabled: false
paths:
  sysconfdir: {root}/etc
  localstatedir: {root}/var
  cachedir: {root}/cache
  ipxesource: /usr/lib/ipxe
  srvdir: {root}/srv
  wwoverlaydir: {root}/overlays
  wwchrootdir: {root}/chroots
  wwprovisiondir: {root}/provision
  wwfilesdir: {root}/files
"
        );
        fs::write(self.conf(), conf)?;
        // An emulated clock that stands still while the host is busy makes the kernel think its timer broken
        // (no_timer_check); and a machine that panics goes off, so that nobody waits for it.
        let nodes = format!(
            "\
nodeprofiles:
  default:
    comment: what every node of the lab has
    image name: {IMAGE}
    ipxe template: default
    runtime overlay:
      - hosts
      - {OVERLAY}
    system overlay:
      - wwinit
      - wwclient
      - hostname
      - hosts
      - issue
      - resolv
      - systemd.networkd
    kernel:
      args:
        - quiet
        - console=ttyS0,115200
        - net.ifnames=0
        - mitigations=off
        - no_timer_check
        - panic=1
    init: /sbin/init
    root: {node_root}
nodes: {{}}
"
        );
        fs::write(self.at("etc/warewulf/nodes.conf"), nodes)?;
        let share = self.wwctl.with_file_name("share/warewulf");
        for folder in ["ipxe", "grub"] {
            copy_files(&share.join(folder), &self.at("etc/warewulf").join(folder))?;
        }
        for (from, to) in [("undionly.kpxe", "undionly.kpxe"), ("snponly.efi", "ipxe-snponly-x86_64.efi")] {
            let source = Path::new("/usr/lib/ipxe").join(from);
            if source.exists() {
                fs::copy(source, self.at("tftp/warewulf").join(to))?;
            }
        }
        self.overlay_file("etc/lab/changes", "first\n")?;
        self.overlay_file("etc/lab/stays", "untouched\n")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A node in /status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub stage: String,
    pub sent: String,
    /// Unix time, 0 when it was never seen.
    pub seen: i64,
}

fn copy_files(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).into_iter().flatten() {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}
