//! What the benches of DHCP and TFTP stand on: a wire between two networks, a daemon of the release on one end of it, and
//! the processor time that a server took.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, setsockopt, socket, sockopt};
use nix::unistd::Pid;
use tests::{Net, place, undo};

use crate::clock;

/// Two networks and the wire between them. The server's end is `v0` with 10.20.0.1/16, the clients' end is `c0` with
/// 10.20.255.254/16.
pub struct Wire {
    pub server: Net,
    pub clients: Net,
    pub folder: undo::Folder,
    holder: Child,
}

impl Wire {
    /// Lays it.
    ///
    /// # Errors
    /// When namespaces are not ours to make, or `ip` fails.
    pub fn lay() -> anyhow::Result<Wire> {
        let (server, clients) = (Net::new()?, Net::new()?);
        // A process that stands inside is what `ip` can name the other network by.
        let holder = clients.command("sleep").arg("3600").spawn()?;
        let wire = Wire { folder: undo::Folder::temporary("bench")?, server, clients, holder };
        let peer = wire.holder.id().to_string();
        wire.server.run(&mut ip(&format!("link add v0 type veth peer name c0 netns {peer}")))?;
        wire.server.run(&mut ip("addr add 10.20.0.1/16 dev v0"))?;
        wire.server.run(&mut ip("link set v0 up"))?;
        wire.clients.run(&mut ip("addr add 10.20.255.254/16 dev c0"))?;
        wire.clients.run(&mut ip("link set c0 up"))?;
        for folder in ["etc/warewulf", "tftp", "var"] {
            fs::create_dir_all(wire.at(folder))?;
        }
        Ok(wire)
    }

    /// A place in the site.
    pub fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Writes warewulf.conf and starts the daemon of the release on processor 0, its log as chatty as by default and to
    /// nowhere.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn daemon(&self, sections: &str) -> anyhow::Result<Server> {
        let root = self.folder.path().display();
        let conf = self.at("etc/warewulf/warewulf.conf");
        let text = format!(
            "ipaddr: 10.20.0.1/16\nwarewulf: {{secure: false}}\n{sections}\npaths: {{sysconfdir: {root}/etc, localstatedir: \
             {root}/var, wwoverlaydir: {root}/o, wwchrootdir: {root}/c, wwprovisiondir: {root}/p}}\n"
        );
        fs::write(&conf, text)?;
        let mut command = self.server.command("taskset");
        command.args(["-c", "0"]).arg(place::dist()?.join("wwctl")).arg("--warewulfconf").arg(&conf).arg("server");
        let server = Server::start(command.stdout(Stdio::null()).stderr(Stdio::null()))?;
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.server.inside(|| std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, 9873)).is_ok())? {
            ensure!(Instant::now() < deadline, "the daemon opens no port");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// A socket of the clients' end.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn socket(&self, port: u16) -> anyhow::Result<UdpSocket> {
        self.clients.inside(move || client(port))?
    }
}

/// Does something on the last processor, so that the server has the first for itself.
///
/// # Errors
/// When the kernel refuses.
pub fn beside_server<T>(act: impl FnOnce() -> T) -> anyhow::Result<T> {
    let (me, before) = (Pid::from_raw(0), sched_getaffinity(Pid::from_raw(0))?);
    let last = (1..CpuSet::count()).rev().find(|processor| before.is_set(*processor).unwrap_or(false));
    if let Some(last) = last {
        let mut one = CpuSet::new();
        one.set(last)?;
        sched_setaffinity(me, &one)?;
    }
    let done = act();
    sched_setaffinity(me, &before)?;
    Ok(done)
}

impl Drop for Wire {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

fn client(port: u16) -> anyhow::Result<UdpSocket> {
    let fd: OwnedFd = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&fd, sockopt::BindToDevice, &"c0".into())?;
    setsockopt(&fd, sockopt::Broadcast, &true)?;
    setsockopt(&fd, sockopt::RcvBufForce, &(16 << 20))?;
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    if let SocketAddr::V4(any) = any {
        bind(std::os::fd::AsRawFd::as_raw_fd(&fd.as_fd()), &SockaddrIn::from(any))?;
    }
    Ok(UdpSocket::from(fd))
}

/// A server that is measured, until dropped.
pub struct Server(Child);

impl Server {
    /// Starts it.
    ///
    /// # Errors
    /// When it cannot start.
    pub fn start(command: &mut Command) -> anyhow::Result<Server> {
        let child = command.stdin(Stdio::null()).spawn().with_context(|| format!("cannot start {command:?}"))?;
        undo::note_process(child.id());
        Ok(Server(child))
    }

    /// Processor seconds so far, user and system.
    ///
    /// # Errors
    /// When it has ended.
    pub fn seconds(&self) -> anyhow::Result<f64> {
        clock::of(self.0.id())
    }

    /// How it ended, if it did.
    ///
    /// # Errors
    /// Never in practice.
    pub fn ended(&mut self) -> anyhow::Result<Option<std::process::ExitStatus>> {
        Ok(self.0.try_wait()?)
    }

    /// Resident memory in MiB.
    pub fn resident(&self) -> f64 {
        self.memory("VmRSS:")
    }

    /// The most memory that was resident so far, in MiB.
    pub fn peak(&self) -> f64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, word: &str) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(word)).unwrap_or_default();
        line.split_whitespace().next().and_then(|kibibytes| kibibytes.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        undo::forget_process(self.0.id());
    }
}

fn ip(words: &str) -> Command {
    let mut command = Command::new(place::find("ip").as_deref().unwrap_or(Path::new("ip")));
    command.args(words.split(' '));
    command
}
