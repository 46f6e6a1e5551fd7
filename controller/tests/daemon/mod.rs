//! A site in a folder of its own, the daemon over it, and a client that says exactly what it is told to.
#![allow(dead_code, reason = "each test program uses its own part of this")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};

/// Fri, 02 Jan 2026 03:04:05 GMT: every file of a scenario carries it.
pub const THEN: u64 = 1_767_323_045;

const PATHS: &str = "paths:
  bindir: @ROOT@/bin
  sysconfdir: @ROOT@/etc
  localstatedir: @ROOT@/var
  cachedir: @ROOT@/cache
  ipxesource: @ROOT@/share/ipxe
  srvdir: @ROOT@/srv
  firewallddir: @ROOT@/fw
  systemddir: @ROOT@/systemd
  datadir: @ROOT@/share
  wwoverlaydir: @ROOT@/var/overlays
  wwchrootdir: @ROOT@/var/chroots
  wwprovisiondir: @ROOT@/var/provision
  wwclientdir: /warewulf
  wwfilesdir: @ROOT@/var/files
";

const FOLDERS: [&str; 14] = [
    "etc/warewulf/ipxe",
    "etc/warewulf/grub",
    "etc/warewulf/tls",
    "var/overlays",
    "var/chroots",
    "var/provision/images",
    "var/provision/overlays",
    "var/files",
    "share/warewulf/overlays",
    "share/ipxe",
    "cache",
    "srv",
    "run",
    "tmp",
];

/// A site on disk, and its daemon.
pub struct World {
    folder: tempfile::TempDir,
    pub port: u16,
    child: Option<Child>,
    next_privileged: u16,
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    pub code: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The connection ended before the promised length.
    pub cut: bool,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let name = name.to_ascii_lowercase();
        self.headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// How a request is to be sent, beside its bytes.
#[derive(Clone, Debug)]
pub struct Way {
    pub host: IpAddr,
    pub from: Option<IpAddr>,
    pub source_port: u16,
    pub privileged: bool,
}

impl Default for Way {
    fn default() -> Way {
        Way { host: [127, 0, 0, 1].into(), from: None, source_port: 0, privileged: false }
    }
}

impl World {
    pub fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        for name in FOLDERS {
            std::fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        World { folder, port, child: None, next_privileged: 600 }
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    pub fn fill(&self, text: &str) -> String {
        text.replace("@PATHS@", PATHS)
            .replace("@ROOT@", self.root().to_str().unwrap())
            .replace("@PORT@", &self.port.to_string())
            .replace("@TLSPORT@", &(self.port + 1).to_string())
    }

    pub fn clear(&self, text: &str) -> String {
        text.replace(self.root().to_str().unwrap(), "@ROOT@").replace(&self.port.to_string(), "@PORT@")
    }

    /// A text file, with the variables filled in.
    pub fn put(&self, name: &str, text: &str) {
        self.put_bytes(name, self.fill(text).as_bytes());
    }

    pub fn put_bytes(&self, name: &str, content: &[u8]) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        self.date(&path, THEN);
    }

    fn date(&self, path: &Path, seconds: u64) {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        std::fs::File::options().read(true).open(path).unwrap().set_modified(time).unwrap();
    }

    /// A file as the vectors describe it.
    pub fn put_spec(&self, spec: &Value) {
        let name = spec["path"].as_str().unwrap();
        let path = self.path(name);
        let mode = |or: &str| u32::from_str_radix(spec["mode"].as_str().unwrap_or(or), 8).unwrap();
        let exists = path.symlink_metadata();
        if spec["dir"] == true {
            std::fs::create_dir_all(&path).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode("0755"))).unwrap();
        } else if spec["gone"] == true {
            match exists {
                Ok(data) if data.is_dir() => std::fs::remove_dir_all(&path).unwrap(),
                Ok(_) => std::fs::remove_file(&path).unwrap(),
                Err(_) => {}
            }
        } else if let Some(target) = spec["link"].as_str() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            if exists.is_ok() {
                std::fs::remove_file(&path).unwrap();
            }
            symlink(self.fill(target), &path).unwrap();
        } else if spec["touch"] == true {
            std::fs::File::open(&path).unwrap().set_modified(SystemTime::now()).unwrap();
        } else {
            let mut content = if let Some([text, times]) = spec["repeat"].as_array().map(Vec::as_slice) {
                text.as_str().unwrap().repeat(usize::try_from(times.as_u64().unwrap()).unwrap()).into_bytes()
            } else if let Some(text) = spec["base64"].as_str() {
                base64(text)
            } else {
                self.fill(spec["text"].as_str().unwrap()).into_bytes()
            };
            if spec["gzip"] == true {
                let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                packer.write_all(&content).unwrap();
                content = packer.finish().unwrap();
            }
            self.put_bytes(name, &content);
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode("0644"))).unwrap();
            if let Some([user, group]) = spec["owner"].as_array().map(Vec::as_slice) {
                let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
                chown(&path, id(user), id(group)).unwrap();
            }
            self.date(&path, spec["mtime"].as_u64().unwrap_or(THEN));
        }
    }

    /// Starts the daemon and waits until it listens.
    pub fn start(&mut self) {
        let log = std::fs::File::create(self.path("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_wwctl"))
            .arg("server")
            .arg("--warewulfconf")
            .arg(self.path("etc/warewulf/warewulf.conf"))
            .env("TZ", "UTC")
            .env("TMPDIR", self.path("tmp"))
            .env_remove("WAREWULFCONF")
            .current_dir(self.root())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "the daemon ended with {ended:?}: {}", self.log());
            assert!(began.elapsed() < Duration::from_secs(30), "the daemon does not listen: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = i32::try_from(self.child.as_ref().unwrap().id()).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).unwrap();
    }

    /// SIGTERM, and the exit code; SIGKILL when it takes more than 15 s.
    pub fn stop(&mut self) -> Option<i32> {
        let mut child = self.child.take()?;
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(15) {
            if let Some(status) = child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        None
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub fn connect(&mut self, way: &Way) -> TcpStream {
        let target = SocketAddr::new(way.host, self.port);
        let domain = if way.host.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP)).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.set_linger(Some(Duration::ZERO)).unwrap();
        let from = way.from.unwrap_or(way.host);
        if way.privileged {
            let bound = (0..300).any(|_| {
                self.next_privileged = 600 + (self.next_privileged - 599) % 400;
                socket.bind(&SocketAddr::new(from, self.next_privileged).into()).is_ok()
            });
            assert!(bound, "no privileged port is free");
        } else if way.from.is_some() || way.source_port != 0 {
            socket.bind(&SocketAddr::new(from, way.source_port).into()).unwrap();
        }
        socket.connect(&target.into()).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// GET without anything else.
    pub fn fetch(&mut self, path: &str) -> Reply {
        self.ask("GET", path, &[])
    }

    pub fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
        let bytes = request(method, path, headers, "");
        self.exchange(&Way::default(), &bytes, method == "HEAD")
    }

    /// Sends these bytes on a connection of their own and reads one reply.
    pub fn exchange(&mut self, way: &Way, bytes: &[u8], head_only: bool) -> Reply {
        let mut stream = self.connect(way);
        stream.write_all(bytes).unwrap();
        read_reply(&mut stream, head_only)
    }

    /// The nodes of the status document.
    pub fn status(&mut self) -> BTreeMap<String, Value> {
        let reply = self.fetch("/status");
        let document: Value = serde_json::from_slice(&reply.body).unwrap();
        document["nodes"].as_object().unwrap().iter().map(|(name, line)| (name.clone(), line.clone())).collect()
    }

    /// Stage and sent of one node, asked until it is so or patience is over: it is written down a moment after the
    /// last byte.
    pub fn status_becomes(&mut self, node: &str, stage: &str, sent: &str) {
        let began = Instant::now();
        loop {
            let line = self.status().remove(node);
            if line.as_ref().is_some_and(|line| line["stage"] == stage && line["sent"] == sent) {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "{node} is {line:?}, not {stage} {sent}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            eprintln!("the daemon said:\n{}", self.log());
        }
    }
}

/// The bytes of a request that asks for its connection to be closed.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    text.push_str(body);
    text.into_bytes()
}

/// Reads one reply, by its length.
pub fn read_reply(stream: &mut impl Read, head_only: bool) -> Reply {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return Reply { cut: true, ..Reply::default() },
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut lines = head.lines();
    let code = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok()).unwrap_or(0);
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_string()))
        .collect();
    let mut reply = Reply { code, headers, ..Reply::default() };
    if head_only || code == 304 {
        return reply;
    }
    match reply.header("content-length").and_then(|length| length.parse::<usize>().ok()) {
        Some(length) => {
            reply.body = vec![0; length];
            let mut at = 0;
            while at < length {
                match stream.read(&mut reply.body[at..]) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => at += read,
                }
            }
            reply.cut = at < length;
            reply.body.truncate(at);
        }
        None => {
            let _ = stream.read_to_end(&mut reply.body);
        }
    }
    reply
}

fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut held, mut out) = (0u32, 0, Vec::new());
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        let digit = DIGITS.iter().position(|digit| *digit == byte).unwrap();
        bits = bits << 6 | u32::try_from(digit).unwrap();
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push(u8::try_from(bits >> held & 0xff).unwrap());
        }
    }
    out
}

/// Runs a test in a network namespace of its own, with loopback and a device `neigh0` for neighbours. Where that cannot
/// be had the test is skipped; with CI=true that is a failure.
pub fn in_namespace(test: impl FnOnce() + Send + 'static) {
    let ran = std::thread::spawn(move || {
        if let Err(reason) = enter_namespace() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "skipped with CI=true: {reason}");
            eprintln!("skipped: {reason}");
            return;
        }
        test();
    });
    if let Err(panic) = ran.join() {
        std::panic::resume_unwind(panic);
    }
}

fn enter_namespace() -> Result<(), String> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)
        .map_err(|error| format!("a network namespace needs root ({error})"))?;
    for line in ["link set lo up", "link add neigh0 type veth peer name neigh1", "link set neigh0 up"] {
        let ran = Command::new("ip").args(line.split(' ')).output().map_err(|error| format!("ip: {error}"))?;
        if !ran.status.success() {
            return Err(format!("ip {line}: {}", String::from_utf8_lossy(&ran.stderr).trim()));
        }
    }
    Ok(())
}
