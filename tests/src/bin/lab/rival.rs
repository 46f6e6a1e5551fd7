//! Servers as plain as can be, to compare with, each a process of its own: `lab rival KIND PORT FILE`.
//!
//! They read a head without understanding it and send the file: by sendfile(2), by read and write, or from memory. A few
//! threads, each with one connection at a time and blocking calls: nothing that a kernel offers is cheaper.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use nix::sys::sendfile::sendfile64;
use tests::Net;

use crate::load;
use crate::wire::Server;

/// Connections at the same time.
const THREADS: usize = 16;
/// What the copying one reads at once; as io::copy of many languages.
const COPIED: usize = 64 << 10;

/// Serves until it is killed.
///
/// # Errors
/// When the port is taken or the file is not there.
pub fn serve(kind: &str, port: &str, path: &str) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.parse()?))?;
    let held = if kind == "memory" { std::fs::read(path)? } else { Vec::new() };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for stream in listener.incoming().flatten() {
                    // A client that went away is no trouble of ours.
                    let _ = connection(stream, kind, path, &held);
                }
            });
        }
    });
    Ok(())
}

fn connection(mut stream: TcpStream, kind: &str, path: &str, held: &[u8]) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut head = [0; 2048];
    loop {
        let mut have = 0;
        while !head.get(..have).unwrap_or_default().ends_with(b"\r\n\r\n") {
            let read = stream.read(head.get_mut(have..).unwrap_or_default())?;
            if read == 0 {
                return Ok(());
            }
            have += read;
        }
        if kind == "memory" {
            let mut reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", held.len()).into_bytes();
            reply.extend_from_slice(held);
            stream.write_all(&reply)?;
        } else {
            let mut file = File::open(path)?;
            let size = file.metadata()?.len();
            stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").as_bytes())?;
            if kind == "sendfile" { sent(&stream, &file, size)? } else { copied(&mut stream, &mut file)? }
        }
        if head.windows(17).any(|word| word == b"Connection: close") {
            return Ok(());
        }
    }
}

fn sent(stream: &TcpStream, file: &File, size: u64) -> anyhow::Result<()> {
    let mut at = 0i64;
    while u64::try_from(at)? < size {
        ensure!(sendfile64(stream, file, Some(&mut at), usize::try_from(size)?)? > 0, "the file was cut");
    }
    Ok(())
}

fn copied(stream: &mut TcpStream, file: &mut File) -> anyhow::Result<()> {
    let mut buffer = vec![0; COPIED];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        stream.write_all(buffer.get(..read).unwrap_or_default())?;
    }
}

/// Starts one of them as a process in that network, on any processor or on number 0 alone, and waits until it listens.
///
/// # Errors
/// When it does not.
pub fn start(net: &Net, kind: &str, port: u16, file: &Path, on_one: bool) -> anyhow::Result<Server> {
    let program = std::env::current_exe().context("where am I?")?;
    let mut command = net.command(if on_one { Path::new("taskset") } else { &program });
    if on_one {
        command.args(["-c", "0"]).arg(&program);
    }
    command.args(["rival", kind, &port.to_string()]).arg(file);
    let server = Server::start(&mut command)?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while !load::listens(net, port)? {
        ensure!(Instant::now() < deadline, "the {kind} server opens no port");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(server)
}
