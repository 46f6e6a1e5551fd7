//! `cargo xtask bench tftp`: 64 MB in blocks of 1428 bytes, one block and sixteen at a time, beside dnsmasq's server in the
//! same run.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tests::place;

use crate::wire::{Server, Wire};

const BYTES: usize = 64 << 20;
const BLOCK: usize = 1428;
const RUNS: usize = 3;

/// Wall and processor seconds of each run.
type Results = Vec<(f64, f64)>;

/// Runs all and prints a table.
///
/// # Errors
/// When something cannot be set up, or a transfer breaks.
pub fn run() -> anyhow::Result<()> {
    let wire = Wire::lay()?;
    let content: Vec<u8> = (0..BYTES).map(|at| (at / 251).to_le_bytes().first().copied().unwrap_or(0)).collect();
    fs::write(wire.at("tftp/file"), content)?;
    fs::write(wire.at("etc/warewulf/nodes.conf"), "nodes: {}\n")?;
    println!("{} MB in blocks of {BLOCK}, median of {RUNS} runs in turn; each server on one processor", BYTES >> 20);
    println!("| server | window | s | MB/s | CPU s |\n|---|---|---|---|---|");
    let mut rows: Vec<(&str, u16, Results)> =
        vec![("ours", 1, Results::new()), ("dnsmasq", 1, Results::new()), ("ours", 16, Results::new())];
    for _ in 0..RUNS {
        for (name, window, results) in &mut rows {
            let server = if *name == "ours" { ours(&wire)? } else { dnsmasq(&wire)? };
            results.push(fetch(&wire, &server, *window)?);
        }
    }
    let mut medians = Vec::new();
    for (name, window, mut results) in rows {
        results.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (wall, cpu) = *results.get(RUNS / 2).context("no run")?;
        println!("| {name} | {window} | {wall:.2} | {:.0} | {cpu:.2} |", 64.0 / wall);
        medians.push(wall);
    }
    if let [one, dnsmasq, sixteen] = medians[..] {
        println!("beside dnsmasq, window 1: {:.2} x; window 16: {:.2} x our window 1", dnsmasq / one, one / sixteen);
    }
    Ok(())
}

fn ours(wire: &Wire) -> anyhow::Result<Server> {
    let root = wire.at("tftp");
    wire.daemon(&format!("dhcp: {{enabled: false}}\ntftp: {{mode: internal, tftproot: {}}}", root.display()))
}

fn dnsmasq(wire: &Wire) -> anyhow::Result<Server> {
    let program = place::find("dnsmasq").context("there is no `dnsmasq` to compare with: package dnsmasq-base")?;
    let mut command = wire.server.command("taskset");
    command.args(["-c", "0"]).arg(program);
    command.args([
        "-k",
        "-p0",
        "-C",
        "/dev/null",
        "--enable-tftp",
        "--pid-file=",
        "--user=root",
        "--log-facility=/dev/null",
    ]);
    command.arg(format!("--tftp-root={}", wire.at("tftp").display()));
    let server = Server::start(&mut command)?;
    std::thread::sleep(Duration::from_millis(300));
    Ok(server)
}

/// Wall and processor seconds of one file.
fn fetch(wire: &Wire, server: &Server, window: u16) -> anyhow::Result<(f64, f64)> {
    let socket = wire.socket(0)?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    let (before, began) = (server.seconds()?, Instant::now());
    let got = read(&socket, window)?;
    ensure!(got == BYTES, "{got} bytes of {BYTES} came");
    Ok((began.elapsed().as_secs_f64(), server.seconds()? - before))
}

/// Reads as RFC 7440 says; on a wire that loses nothing there is nothing to mend.
fn read(socket: &UdpSocket, window: u16) -> anyhow::Result<usize> {
    let mut wish = format!("\0\u{1}file\0octet\0blksize\0{BLOCK}\0");
    if window > 1 {
        wish.push_str(&format!("windowsize\0{window}\0"));
    }
    socket.send_to(wish.as_bytes(), "10.20.0.1:69")?;
    let mut buffer = [0; 2048];
    let (_, peer): (usize, SocketAddr) = socket.recv_from(&mut buffer)?;
    ensure!(buffer.starts_with(&[0, 6]), "no option acknowledgement");
    socket.connect(peer)?;
    socket.send(&[0, 4, 0, 0])?;
    let (mut got, mut block, mut since) = (0, 0u16, 0);
    loop {
        let length = socket.recv(&mut buffer)?;
        let [0, 3, high, low, ..] = buffer else { bail!("not data: {:?}", buffer.get(..4)) };
        if u16::from_be_bytes([high, low]) != block.wrapping_add(1) {
            socket.send(&[[0, 4], block.to_be_bytes()].concat())?;
            since = 0;
            continue;
        }
        block = block.wrapping_add(1);
        since += 1;
        got += length - 4;
        let is_last = length < BLOCK + 4;
        if since == window || is_last {
            socket.send(&[[0, 4], block.to_be_bytes()].concat())?;
            since = 0;
        }
        if is_last {
            return Ok(got);
        }
    }
}
