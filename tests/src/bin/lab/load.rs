//! Many HTTP clients at once: each worker plays nodes one after another, each node asks for its things in their order.
//!
//! Every connection comes from an address of its own in 127.1.0.0/16, as nodes do, so that neither ports nor places run out.
//! No redirects, no TLS, no chunks.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, SockaddrIn, bind, connect, recv, setsockopt, socket, sockopt,
};
use tests::Net;

/// How they ask.
#[derive(Clone, Debug)]
pub struct Manner {
    pub port: u16,
    /// Nodes at once.
    pub at_once: usize,
    /// Whether a worker keeps its connection.
    pub keep: bool,
    /// Whether bodies are dropped inside the kernel, so that the client's own work is as small as can be.
    pub drop: bool,
    /// One more line of the head, or nothing.
    pub header: String,
    /// The status that counts as success.
    pub expect: u16,
    /// Time without a byte after which a node gives up.
    pub patience: Duration,
}

impl Manner {
    /// New connections, bodies read, 200 expected.
    pub fn plain(port: u16, at_once: usize) -> Manner {
        let patience = Duration::from_secs(120);
        Manner { port, at_once, keep: false, drop: false, header: String::new(), expect: 200, patience }
    }
}

/// How it went.
#[derive(Debug, Default)]
pub struct Outcome {
    pub wall: f64,
    pub nodes: usize,
    pub bytes: u64,
    /// Microseconds of each request, by its place in the node's order.
    pub steps: Vec<Vec<u32>>,
    /// Why nodes failed, and how many.
    pub failures: BTreeMap<String, usize>,
}

impl Outcome {
    pub fn failed(&self) -> usize {
        self.failures.values().sum()
    }

    /// Nothing, when every node got everything.
    ///
    /// # Errors
    /// The first reasons of failures.
    pub fn whole(self) -> anyhow::Result<Outcome> {
        ensure!(self.failed() == 0, "{} of {} failed: {:?}", self.failed(), self.nodes, self.failures);
        Ok(self)
    }
}

/// Plays all nodes; `paths` are what each asks for.
///
/// # Errors
/// When the network cannot be entered or a thread breaks; what fails for a node is counted instead.
pub fn play(net: &Net, manner: &Manner, nodes: Vec<Vec<String>>) -> anyhow::Result<Outcome> {
    let manner = manner.clone();
    net.inside(move || crowd(&manner, &nodes))?
}

fn crowd(manner: &Manner, nodes: &[Vec<String>]) -> anyhow::Result<Outcome> {
    let next = AtomicUsize::new(0);
    let began = Instant::now();
    let mut all = Outcome::default();
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let mut workers = Vec::new();
        for _ in 0..manner.at_once {
            let worker = std::thread::Builder::new().stack_size(256 << 10);
            workers.push(worker.spawn_scoped(scope, || work(manner, nodes, &next))?);
        }
        for worker in workers {
            let part = worker.join().map_err(|_| anyhow::anyhow!("a client broke"))?;
            all.nodes += part.nodes;
            all.bytes += part.bytes;
            all.steps.resize(all.steps.len().max(part.steps.len()), Vec::new());
            all.steps.iter_mut().zip(part.steps).for_each(|(step, more)| step.extend(more));
            part.failures.into_iter().for_each(|(why, count)| *all.failures.entry(why).or_default() += count);
        }
        Ok(())
    })?;
    all.wall = began.elapsed().as_secs_f64();
    Ok(all)
}

fn work(manner: &Manner, nodes: &[Vec<String>], next: &AtomicUsize) -> Outcome {
    let mut outcome = Outcome::default();
    let mut client = Client { stream: None, buffer: vec![0; if manner.drop { 1 << 20 } else { 256 << 10 }] };
    while let Some(paths) = nodes.get(next.fetch_add(1, Ordering::Relaxed)) {
        outcome.nodes += 1;
        outcome.steps.resize(outcome.steps.len().max(paths.len()), Vec::new());
        for (path, step) in paths.iter().zip(&mut outcome.steps) {
            let began = Instant::now();
            let asked = client.ask(manner, path);
            step.push(u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX));
            match asked {
                Ok(bytes) => outcome.bytes += bytes,
                Err(error) => {
                    client.stream = None;
                    *outcome.failures.entry(format!("{error:#}")).or_default() += 1;
                    break;
                }
            }
        }
    }
    outcome
}

/// One client, with its connection when it keeps one.
pub struct Client {
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Client {
    /// Not connected yet.
    pub fn new() -> Client {
        Client { stream: None, buffer: vec![0; 64 << 10] }
    }

    /// One request to the end of its body: how long the body was.
    ///
    /// # Errors
    /// When the connection breaks, the status is another, or the body too short.
    pub fn ask(&mut self, manner: &Manner, path: &str) -> anyhow::Result<u64> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => dial(manner).context("connect")?,
        };
        let end = if manner.header.is_empty() { "" } else { "\r\n" };
        let closing = if manner.keep { "" } else { "Connection: close\r\n" };
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nUser-Agent: bench\r\n{closing}{}{end}\r\n", manner.header);
        stream.write_all(head.as_bytes()).context("ask")?;
        let (have, body_at) = self.head(&mut stream)?;
        let (status, length) = self.buffer.get(..body_at).and_then(meaning).context("the head is no HTTP")?;
        ensure!(status == manner.expect, "status {status}");
        let mut got = (have - body_at) as u64;
        let length = if status == 304 { 0 } else { length.context("no Content-Length")? };
        let flags = if manner.drop { MsgFlags::MSG_TRUNC } else { MsgFlags::empty() };
        while got < length {
            let want = usize::try_from(length - got).unwrap_or(usize::MAX).min(self.buffer.len());
            let room = self.buffer.get_mut(..want).unwrap_or_default();
            let read = recv(stream.as_raw_fd(), room, flags).context("read")?;
            ensure!(read > 0, "the body ends early");
            got += read as u64;
        }
        if manner.keep {
            self.stream = Some(stream);
        }
        Ok(got)
    }

    /// How much came, and where the body begins in it.
    fn head(&mut self, stream: &mut TcpStream) -> anyhow::Result<(usize, usize)> {
        let mut have = 0;
        loop {
            let Some(room) = self.buffer.get_mut(have..16_384) else { bail!("a head without end") };
            let read = stream.read(room).context("wait")?;
            ensure!(read > 0, "closed without an answer");
            have += read;
            let found = self.buffer.get(..have).unwrap_or_default().windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = found {
                return Ok((have, end + 4));
            }
        }
    }
}

/// Status and length of the body.
fn meaning(head: &[u8]) -> Option<(u16, Option<u64>)> {
    let text = std::str::from_utf8(head).ok()?;
    let status = text.split(' ').nth(1)?.parse().ok()?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    Some((status, length))
}

fn dial(manner: &Manner) -> anyhow::Result<TcpStream> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let serial = 1 + NEXT.fetch_add(1, Ordering::Relaxed) % 65_000;
    let fd: OwnedFd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    // Without it the kernel looks for a port that is free for every peer.
    setsockopt(&fd, sockopt::IpBindAddressNoPort, &true)?;
    let from = SocketAddrV4::new(Ipv4Addr::from_bits(0x7f01_0000 + serial), 0);
    bind(fd.as_raw_fd(), &SockaddrIn::from(from))?;
    connect(fd.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::LOCALHOST, manner.port)))?;
    let stream = TcpStream::from(fd);
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(manner.patience))?;
    stream.set_write_timeout(Some(manner.patience))?;
    Ok(stream)
}

/// Whether somebody listens there.
///
/// # Errors
/// When the network cannot be entered.
pub fn listens(net: &Net, port: u16) -> anyhow::Result<bool> {
    net.inside(move || TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).is_ok())
}
