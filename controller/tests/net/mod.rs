//! Network namespaces for tests with real clients: a daemon on one side of a wire, machines on the other. Everything is
//! named by the test's process and taken down at the end.
#![allow(dead_code, reason = "each test uses its part")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

use std::fs::{self, File};
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use socket2::{Domain, Socket, Type};

/// What the daemon is told beside its paths.
pub const INTERNAL: &str = "
ipaddr: 10.10.0.1/24
warewulf: {port: 9873, secure: false}
dhcp: {enabled: true, mode: internal, range start: 10.10.0.100, range end: 10.10.0.150}
";

pub const NODES: &str = "
nodes:
  n1:
    network devices:
      default:
        hwaddr: 52:54:00:10:00:01
        ipaddr: 10.10.0.11
        netmask: 255.255.255.0
        gateway: 10.10.0.254
        tags: {DNS1: 9.9.9.9, DNS2: 1.1.1.1}
";

/// The wire: the controller's end is `v0` at 10.10.0.1, a machine's end is `c0`.
pub struct Net {
    pub folder: tempfile::TempDir,
    tag: String,
    spaces: Vec<String>,
    daemon: Option<Child>,
}

/// A wire, or nothing: the reason is then printed, and with CI=true it is a failure.
pub fn net(programs: &[&str]) -> Option<Net> {
    let lacks = |program: &&&str| {
        let found =
            ["/usr/bin", "/usr/sbin", "/bin", "/sbin"].iter().any(|folder| Path::new(folder).join(program).exists());
        !found
    };
    let reason = if !nix::unistd::geteuid().is_root() {
        "namespaces need root".to_string()
    } else if let Some(program) = programs.iter().find(lacks) {
        format!("{program} is not installed")
    } else {
        match Net::new() {
            Ok(net) => return Some(net),
            Err(error) => error,
        }
    };
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "skipped, which CI does not allow: {reason}");
    eprintln!("skipped: {reason}");
    None
}

impl Net {
    fn new() -> Result<Net, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let tag = format!("dhcp{}x{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut net = Net { folder: tempfile::tempdir().unwrap(), tag, spaces: Vec::new(), daemon: None };
        let out = Command::new("ip").args(["netns", "add", &net.space("s")]).output();
        if !out.as_ref().is_ok_and(|out| out.status.success()) {
            return Err(format!("no network namespaces here: {out:?}"));
        }
        net.spaces.push("s".into());
        net.ip("s", "link set lo up");
        net.add("c");
        net.wire("s", "v0", "c", "c0");
        net.ip("s", "addr add 10.10.0.1/24 dev v0");
        for folder in ["etc/warewulf", "tftp/warewulf", "var"] {
            fs::create_dir_all(net.path(folder)).unwrap();
        }
        net.conf(INTERNAL, "external");
        net.nodes(NODES);
        fs::write(net.path("script"), SCRIPT).unwrap();
        fs::set_permissions(net.path("script"), fs::Permissions::from_mode(0o755)).unwrap();
        Ok(net)
    }

    /// One more machine.
    pub fn add(&mut self, name: &str) {
        let space = self.space(name);
        assert!(Command::new("ip").args(["netns", "add", &space]).status().unwrap().success());
        self.spaces.push(name.into());
        self.ip(name, "link set lo up");
    }

    /// A wire between two machines, both ends up.
    pub fn wire(&self, from: &str, device: &str, to: &str, peer: &str) {
        self.ip(from, &format!("link add {device} type veth peer name {peer} netns {}", self.space(to)));
        self.ip(from, &format!("link set {device} up"));
        self.ip(to, &format!("link set {peer} up"));
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn conf(&self, text: &str, tftp: &str) {
        let root = self.folder.path().display();
        let rest = format!(
            "tftp: {{enabled: true, mode: {tftp}, tftproot: {root}/tftp}}\npaths: {{sysconfdir: {root}/etc, localstatedir: \
             {root}/var, wwoverlaydir: {root}/o, wwchrootdir: {root}/c, wwprovisiondir: {root}/p}}\n"
        );
        fs::write(self.path("etc/warewulf/warewulf.conf"), format!("{text}{rest}")).unwrap();
    }

    pub fn nodes(&self, text: &str) {
        fs::write(self.path("etc/warewulf/nodes.conf"), text).unwrap();
    }

    /// `ip` in a namespace; it must succeed.
    pub fn ip(&self, name: &str, words: &str) {
        let out = Command::new("ip").args(["-n", &self.space(name)]).args(words.split(' ')).output().unwrap();
        assert!(out.status.success(), "ip {words}: {}", String::from_utf8_lossy(&out.stderr));
    }

    /// A program in a namespace, half a minute at most.
    pub fn run(&self, name: &str, words: &[&str]) -> Output {
        self.command(name, &["timeout", "30"]).args(words).current_dir(self.folder.path()).output().unwrap()
    }

    fn command(&self, name: &str, words: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.space(name)]).args(words);
        command
    }

    /// A program that goes on until the test ends.
    pub fn start(&self, name: &str, words: &[&str]) -> Running {
        let child = self.command(name, words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Running(child)
    }

    /// Starts the daemon and waits until it serves.
    pub fn daemon(&mut self) {
        let log = File::options().create(true).append(true).open(self.path("log")).unwrap();
        let before = self.log().matches("serving HTTP").count();
        let conf = self.path("etc/warewulf/warewulf.conf");
        let child = self
            .command("s", &[env!("CARGO_BIN_EXE_wwctl"), "--warewulfconf", conf.to_str().unwrap(), "server"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.daemon = Some(child);
        self.until("the daemon serves", |net| net.log().matches("serving HTTP").count() > before);
    }

    /// kill -9.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.daemon.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    pub fn leases(&self) -> String {
        fs::read_to_string(self.path("var/warewulf/leases")).unwrap_or_default()
    }

    /// Waits until something is so; fails with the log when it does not come.
    pub fn until(&self, what: &str, is_so: impl Fn(&Net) -> bool) {
        let began = Instant::now();
        while !is_so(self) {
            assert!(began.elapsed() < Duration::from_secs(20), "{what}: not within 20 s\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// One run of dhclient on `c0` with that hardware address and no memory; what it was given, in a line.
    pub fn dhclient(&self, mac: &str, memory: Option<&str>) -> String {
        self.ip("c", "link set c0 down");
        self.ip("c", "addr flush dev c0");
        self.ip("c", &format!("link set c0 address {mac} up"));
        let leases = self.path("dhclient.leases");
        fs::write(&leases, memory.unwrap_or_default()).unwrap();
        let _ = fs::remove_file(self.path("bound"));
        self.dhclient_on("c", "c0")
    }

    /// One run of dhclient; it stays in front, so that it ends with this call and not when its lease does.
    pub fn dhclient_on(&self, name: &str, device: &str) -> String {
        let names = ["script", "dhclient.pid", "dhclient.leases"].map(|name| self.path(name).display().to_string());
        let words =
            ["dhclient", "-d", "-1", "-sf", &names[0], "-pf", &names[1], "-lf", &names[2], "-cf", "/dev/null", device];
        let _client = self.start(name, &words);
        self.until("dhclient has an address", |net| net.path("bound").exists());
        self.until("all of it", |net| fs::read_to_string(net.path("bound")).is_ok_and(|text| text.ends_with('\n')));
        fs::read_to_string(self.path("bound")).unwrap().trim().to_string()
    }

    /// Does something in a namespace, on a thread of its own.
    pub fn inside<T: Send>(&self, name: &str, work: impl FnOnce() -> T + Send) -> T {
        let space = File::open(format!("/run/netns/{}", self.space(name))).unwrap();
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                setns(space, CloneFlags::CLONE_NEWNET).unwrap();
                work()
            });
            thread.join().unwrap()
        })
    }

    /// A UDP socket in a namespace.
    pub fn socket(&self, name: &str, address: Ipv4Addr, port: u16) -> UdpSocket {
        self.bound(name, None, address, port)
    }

    /// The socket of a DHCP client on one device: port 68, broadcasts pass.
    pub fn client(&self, name: &str, device: &str) -> UdpSocket {
        self.bound(name, Some(device), Ipv4Addr::UNSPECIFIED, 68)
    }

    fn bound(&self, name: &str, device: Option<&str>, address: Ipv4Addr, port: u16) -> UdpSocket {
        self.inside(name, || {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
            socket.bind_device(device.map(str::as_bytes)).unwrap();
            socket.set_broadcast(true).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            // A client that was killed lets go of its port a moment later.
            let began = Instant::now();
            while let Err(error) = socket.bind(&SocketAddr::from((address, port)).into()) {
                assert!(began.elapsed() < Duration::from_secs(5), "{address}:{port}: {error}");
                std::thread::sleep(Duration::from_millis(20));
            }
            UdpSocket::from(socket)
        })
    }

    fn space(&self, name: &str) -> String {
        format!("{}{name}", self.tag)
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        self.kill();
        for name in &self.spaces {
            let _ = Command::new("ip").args(["netns", "del", &self.space(name)]).status();
        }
    }
}

/// A program that ends with the test.
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What dhclient calls: one line of what it was given, beside the script; and the address on the device.
const SCRIPT: &str = r#"#!/bin/sh
[ "$reason" = BOUND ] || [ "$reason" = REBOOT ] || exit 0
here=$(dirname "$0")
ip addr add "$new_ip_address/24" dev "$interface"
echo "$new_ip_address mask $new_subnet_mask router $new_routers dns $new_domain_name_servers name $new_host_name for $new_dhcp_lease_time" > "$here/bound"
exit 0
"#;

/// Numbers by a seed, so that a failure can be had again.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// A seed of the moment, printed.
pub fn seed() -> u64 {
    let mut bytes = [0; 8];
    File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
    let seed = u64::from_le_bytes(bytes);
    println!("seed {seed}");
    seed
}
