//! `cargo xtask bench tftp`: 64 MB in blocks of 1428 bytes, one block and sixteen at a time, beside dnsmasq's server in the
//! same run.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tests::place;

use crate::figures::{Runs, conditions};
use crate::wire::{Server, Wire, beside_server};

const BYTES: usize = 64 << 20;
const BLOCK: usize = 1428;
const RUNS: usize = 7;

/// Runs all and prints a table.
///
/// # Errors
/// When something cannot be set up, or a transfer breaks.
pub fn run() -> anyhow::Result<()> {
    let wire = Wire::lay()?;
    let content: Vec<u8> = (0..BYTES).map(|at| (at / 251).to_le_bytes().first().copied().unwrap_or(0)).collect();
    fs::write(wire.at("tftp/file"), content)?;
    fs::write(wire.at("etc/warewulf/nodes.conf"), "nodes: {}\n")?;
    println!(
        "==> {} MB in blocks of {BLOCK}, {RUNS} runs in turn, medians (ranges); each server on processor 0, the client on another",
        BYTES >> 20
    );
    println!("    {}", conditions());
    println!("| server | window | s | MB/s | CPU s |\n|---|---|---|---|---|");
    let mut rows = [("ours", 1), ("dnsmasq", 1), ("ours", 16)].map(|(name, window)| Row {
        name,
        window,
        wall: Runs::default(),
        cpu: Runs::default(),
    });
    for _ in 0..RUNS {
        for row in &mut rows {
            let server = if row.name == "ours" { ours(&wire)? } else { dnsmasq(&wire)? };
            let (wall, cpu) = fetch(&wire, &server, row.window)?;
            row.wall.add(wall);
            row.cpu.add(cpu);
        }
    }
    for Row { name, window, wall, cpu } in &rows {
        println!("| {name} | {window} | {wall:.2} | {:.0} | {cpu:.3} |", BYTES as f64 / 1e6 / wall.median());
    }
    let [one, dnsmasq, sixteen] = rows.map(|row| (row.wall.median(), row.cpu.median()));
    println!("beside dnsmasq, window 1: {:.2} x in time, {:.2} x in CPU", dnsmasq.0 / one.0, dnsmasq.1 / one.1);
    println!("window 16 beside window 1: {:.1} x in time, {:.1} x in CPU", one.0 / sixteen.0, one.1 / sixteen.1);
    println!("{}", conditions());
    Ok(())
}

struct Row {
    name: &'static str,
    window: u16,
    wall: Runs,
    cpu: Runs,
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
    let got = beside_server(|| read(&socket, window))??;
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
