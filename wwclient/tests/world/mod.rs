//! A node and a controller: two network namespaces, a veth between them, and an HTTP server that answers as it is told.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use archive::{Entry, Kind};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// What the server answers.
#[derive(Clone)]
pub enum Served {
    /// 200 with an ETag that counts the bodies, 304 to who has it.
    Overlay(Vec<u8>),
    /// A length, half of the body, the end.
    CutShort(Vec<u8>),
    Endless,
    Status(u16),
}

#[derive(Clone, Debug)]
pub struct Request {
    pub line: String,
    headers: Vec<(String, String)>,
    pub port: u16,
    pub answer: u16,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

#[derive(Default)]
struct Desk {
    served: Option<(Served, u32)>,
    requests: Vec<Request>,
    count: u32,
}

pub struct World {
    /// Names of the two ends.
    controller: String,
    node: String,
    folder: tempfile::TempDir,
    desk: Arc<Mutex<Desk>>,
    /// Present while the server listens.
    listening: Mutex<Option<TcpListener>>,
}

static COUNT: AtomicU32 = AtomicU32::new(0);

impl World {
    /// `conf` goes below `warewulf:`. `None` where namespaces are not to be had.
    pub fn new(conf: &str) -> Option<World> {
        if !nix::unistd::geteuid().is_root() {
            assert!(std::env::var_os("CI").is_none(), "CI runs as root");
            eprintln!("skipped: namespaces need root");
            return None;
        }
        let tag = format!("wwc{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = tempfile::tempdir().unwrap();
        let secure = if conf.contains("secure") { "" } else { "secure: false\n  " };
        fs::write(folder.path().join("conf"), format!("ipaddr: 10.77.0.1\nwarewulf:\n  {secure}{conf}\n")).unwrap();
        fs::write(folder.path().join("cmdline"), "quiet wwid=52:54:00:10:00:01\n").unwrap();
        fs::create_dir_all(folder.path().join("warewulf/wwclient-test")).unwrap();
        fs::create_dir(folder.path().join("run")).unwrap();
        fs::create_dir(folder.path().join("root")).unwrap();
        let world = World {
            controller: format!("{tag}c"),
            node: format!("{tag}n"),
            folder,
            desk: Arc::default(),
            listening: Mutex::new(None),
        };
        let (c, n) = (&world.controller, &world.node);
        for command in [
            format!("netns add {c}"),
            format!("netns add {n}"),
            format!("-n {c} link add controller type veth peer name node netns {n}"),
            format!("-n {c} addr add 10.77.0.1/24 dev controller"),
            format!("-n {c} link set controller up"),
            format!("-n {n} link set lo up"),
        ] {
            ip(&command);
        }
        Some(world)
    }

    /// The node gets its address: until here it has none.
    pub fn network_up(&self) {
        ip(&format!("-n {} link set node up", self.node));
        ip(&format!("-n {} addr add 10.77.0.2/24 dev node", self.node));
    }

    /// What the node's kernel was started with.
    pub fn kernel_words(&self, words: &str) {
        fs::write(self.folder.path().join("cmdline"), format!("{words}\n")).unwrap();
    }

    /// One more interface on the node.
    pub fn interface(&self, name: &str, address: &str) {
        let n = &self.node;
        ip(&format!("-n {n} link add {name} address {address} type veth peer name {name}x"));
    }

    /// From now on answers so.
    pub fn serve(&self, served: Served) {
        {
            let mut desk = self.desk.lock().unwrap();
            desk.count += 1;
            desk.served = Some((served, desk.count));
        }
        let mut listening = self.listening.lock().unwrap();
        if listening.is_some() {
            return;
        }
        let listener = within(&self.controller, || TcpListener::bind("10.77.0.1:9873").unwrap());
        *listening = Some(listener.try_clone().unwrap());
        let desk = Arc::clone(&self.desk);
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let desk = Arc::clone(&desk);
                std::thread::spawn(move || answer(stream, &desk));
            }
        });
    }

    /// Nobody listens.
    pub fn stop_serving(&self) {
        if let Some(listener) = self.listening.lock().unwrap().take() {
            let _ = nix::sys::socket::shutdown(
                std::os::fd::AsRawFd::as_raw_fd(&listener),
                nix::sys::socket::Shutdown::Both,
            );
        }
    }

    pub fn requests(&self) -> Vec<Request> {
        self.desk.lock().unwrap().requests.clone()
    }

    /// Starts the program on the node, with a /warewulf of its own.
    pub fn agent(&self, arguments: &[&str]) -> Agent {
        self.agent_at(env!("CARGO_BIN_EXE_wwclient"), arguments)
    }

    /// The same from where it is installed on a node: live.
    pub fn installed_agent(&self) -> Agent {
        fs::copy(env!("CARGO_BIN_EXE_wwclient"), self.folder.path().join("warewulf/wwclient")).unwrap();
        self.agent_at("/warewulf/wwclient", &[])
    }

    fn agent_at(&self, program: &str, arguments: &[&str]) -> Agent {
        let log = self.folder.path().join(format!("log{}", COUNT.fetch_add(1, Ordering::Relaxed)));
        let script = "set -e; d=$1; p=$2; shift 2
            # A root in memory with this machine's folders in it, so that /warewulf is nobody else's.
            mount -t tmpfs root $d/root
            for f in /*; do
                if [ $f = /warewulf ]; then :
                elif [ -L $f ]; then cp -P $f $d/root/
                elif [ -d $f ]; then mkdir $d/root$f; mount --rbind $f $d/root$f
                fi
            done
            mkdir $d/root/warewulf
            mount --bind $d/warewulf $d/root/warewulf
            mount --bind $d/run $d/root/run
            mount --bind $d/cmdline $d/root/proc/cmdline
            exec chroot $d/root $p --warewulfconf $d/conf \"$@\"";
        let child = Command::new("ip")
            .args(["netns", "exec", &self.node, "unshare", "--mount", "sh", "-c", script, "agent"])
            .arg(self.folder.path())
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Agent { child: Mutex::new(child), log, forgotten: Mutex::new(0) }
    }

    /// Where the overlay is laid.
    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join("warewulf/wwclient-test").join(path)
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_default()
    }

    /// Waits until it is so.
    pub fn until(&self, limit: Duration, mut so: impl FnMut() -> bool) {
        let end = Instant::now() + limit;
        while !so() {
            if Instant::now() > end {
                let logs: Vec<_> = fs::read_dir(self.folder.path())
                    .unwrap()
                    .map(|entry| entry.unwrap().path())
                    .filter(|path| path.to_string_lossy().contains("/log"))
                    .map(|path| fs::read_to_string(path).unwrap_or_default())
                    .collect();
                panic!("not in {limit:?}; requests {:#?}\nsaid:\n{}", self.requests(), logs.join("--\n"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop_serving();
        for name in [&self.controller, &self.node] {
            let _ = Command::new("ip").args(["netns", "del", name]).status();
        }
    }
}

/// A started agent; ended with its world at the latest.
pub struct Agent {
    child: Mutex<Child>,
    log: PathBuf,
    forgotten: Mutex<usize>,
}

impl Agent {
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.lock().unwrap().id()).unwrap()
    }

    /// What it said since the last [`Agent::forget`].
    pub fn said(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        text.get(*self.forgotten.lock().unwrap()..).unwrap_or_default().to_owned()
    }

    pub fn forget(&self) {
        let length = fs::metadata(&self.log).unwrap().len();
        *self.forgotten.lock().unwrap() = usize::try_from(length).unwrap();
    }

    pub fn hangup(&self) {
        kill(Pid::from_raw(self.pid()), Signal::SIGHUP).unwrap();
    }

    pub fn code(&self) -> Option<i32> {
        self.child.lock().unwrap().wait().unwrap().code()
    }

    /// SIGTERM is a clean end.
    pub fn ends_well(&self) {
        kill(Pid::from_raw(self.pid()), Signal::SIGTERM).unwrap();
        assert_eq!(self.code(), Some(0), "{}", self.said());
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// A gzipped archive of files.
pub fn overlay(files: &[(&str, &str)]) -> Vec<u8> {
    let entry = |path: &str, mode, kind| Entry {
        path: path.into(),
        mode,
        uid: 0,
        gid: 0,
        mtime: 1_700_000_000,
        kind,
        xattrs: Default::default(),
    };
    let folders: std::collections::BTreeSet<_> = files.iter().filter_map(|(path, _)| path.rsplit_once('/')).collect();
    let mut entries: Vec<_> = folders.iter().map(|(folder, _)| entry(folder, 0o755, Kind::Directory)).collect();
    entries.dedup();
    entries.extend(files.iter().map(|(path, text)| entry(path, 0o644, Kind::File(text.as_bytes().into()))));
    gzip(&archive::newc::write(&entries).unwrap())
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

fn ip(command: &str) {
    let out = Command::new("ip").args(command.split(' ')).output().unwrap();
    assert!(out.status.success(), "ip {command}: {}", String::from_utf8_lossy(&out.stderr));
}

/// Does something in a thread that lives in a network namespace.
fn within<T: Send>(name: &str, what: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                unshare(CloneFlags::CLONE_FS).unwrap();
                let namespace = fs::File::open(Path::new("/run/netns").join(name)).unwrap();
                setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET).unwrap();
                what()
            })
            .join()
            .unwrap()
    })
}

fn answer(mut stream: TcpStream, desk: &Mutex<Desk>) {
    let port = stream.peer_addr().map_or(0, |peer| peer.port());
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let headers: Vec<_> = lines
        .iter()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let mut request = Request { line: lines[0].clone(), headers, port, answer: 200 };
    let (served, count) = desk.lock().unwrap().served.clone().unwrap();
    let etag = format!("\"{count}\"");
    if matches!(served, Served::Overlay(_)) && request.header("if-none-match") == Some(&etag) {
        request.answer = 304;
    }
    if let Served::Status(status) = served {
        request.answer = status;
    }
    let code = request.answer;
    desk.lock().unwrap().requests.push(request);
    let head = |length: &str| format!("HTTP/1.1 {code} X\r\nETag: {etag}\r\nConnection: close\r\n{length}\r\n");
    let sized = |length: usize| head(&format!("Content-Length: {length}\r\n"));
    let _ = match served {
        Served::Overlay(_) if code == 304 => stream.write_all(head("").as_bytes()),
        Served::Overlay(body) => stream.write_all(&[sized(body.len()).into_bytes(), body].concat()),
        Served::CutShort(body) => stream.write_all(&[sized(body.len()).as_bytes(), &body[..body.len() / 2]].concat()),
        Served::Status(_) => stream.write_all(sized(0).as_bytes()),
        Served::Endless => {
            let _ = stream.write_all(head("").as_bytes());
            let piece = vec![0x1f; 1 << 20];
            while stream.write_all(&piece).is_ok() {}
            Ok(())
        }
    };
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = reader.read(&mut [0; 64]);
}
