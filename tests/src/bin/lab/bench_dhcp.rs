//! `cargo xtask bench dhcp`: leases a second, each on disk before it is acknowledged, by a daemon on one processor.
//!
//! Machines that nobody knows go through DISCOVER, OFFER, REQUEST and ACK, thousands under way at once as when a hall is
//! switched on; each first address is asked for by ARP. Then the same for known nodes, whose leases need no disk.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::{Ipv4Addr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::figures::{Runs, conditions};
use crate::wire::{Server, Wire, beside_server};

const MACHINES: u32 = 40_000;
const UNDER_WAY: usize = 8_192;
/// Runs of each kind, from nothing each.
const RUNS: usize = 3;
/// Seconds until a machine says again what was not answered.
const AGAIN: Duration = Duration::from_secs(2);

/// Runs both and prints a table.
///
/// # Errors
/// When something cannot be set up, or machines stay without an address.
pub fn run() -> anyhow::Result<()> {
    println!(
        "==> {MACHINES} machines, {UNDER_WAY} under way at once, daemon on processor 0, its clients on another, its log at the \
         default level to nowhere; {RUNS} runs, medians (ranges)"
    );
    let wire = Wire::lay()?;
    println!("    one line and fdatasync(2) on this disk by itself: {:.0} a second; {}", disk(&wire)?, conditions());
    println!(
        "| who | leases/s | CPU s | leases a CPU second | asked again | lost by the daemon's socket | resident MiB |"
    );
    println!("|---|---|---|---|---|---|---|");
    fs::write(wire.at("etc/warewulf/nodes.conf"), "nodes: {}\n")?;
    let range = "dhcp: {mode: internal, quiet ra: false, range start: 10.20.1.0, range end: 10.20.250.255}";
    row("strangers, durable", &wire, range, || {
        let text = fs::read_to_string(wire.at("var/warewulf/leases"))?;
        let lines = text.lines().filter(|line| line.contains(" bound ")).count();
        ensure!(lines >= MACHINES as usize, "only {lines} leases are on disk");
        // The next run's machines are strangers again.
        Ok(fs::remove_file(wire.at("var/warewulf/leases"))?)
    })?;

    let mut nodes = String::from("nodes:\n");
    for serial in 0..MACHINES {
        let (mac, address) = (mac(serial), Ipv4Addr::from_bits(0x0a14_0100 + serial));
        let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
        write!(
            nodes,
            "  n{serial:05}:\n    network devices:\n      default: {{hwaddr: \"{mac}\", ipaddr: {address}}}\n"
        )?;
    }
    fs::write(wire.at("etc/warewulf/nodes.conf"), nodes)?;
    row("nodes", &wire, "dhcp: {mode: internal, quiet ra: false}", || Ok(()))?;
    println!("{}", conditions());
    Ok(())
}

/// How often a second one short line can be put on disk, one after another.
fn disk(wire: &Wire) -> anyhow::Result<f64> {
    let mut file = File::create(wire.at("var/line"))?;
    let (began, mut count) = (Instant::now(), 0.0);
    while began.elapsed() < Duration::from_secs(1) {
        file.write_all(b"10.20.1.0 bound 2026-11-22T20:15:00Z 52:54:00:00:00:00\n")?;
        file.sync_data()?;
        count += 1.0;
    }
    Ok(count / began.elapsed().as_secs_f64())
}

fn row(title: &str, wire: &Wire, section: &str, after: impl Fn() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let (mut rate, mut seconds, mut efficiency) = (Runs::default(), Runs::default(), Runs::default());
    let (mut again, mut lost, mut resident) = (Runs::default(), Runs::default(), Runs::default());
    for _ in 0..RUNS {
        let server = wire.daemon(section)?;
        let socket = wire.socket(68)?;
        let (before, lost_before) = (server.seconds()?, drops(wire)?);
        let (asked_again, wall) = beside_server(|| {
            let began = Instant::now();
            let again = switch_on(&socket, &server)?;
            anyhow::Ok((again, began.elapsed().as_secs_f64()))
        })??;
        let cpu = server.seconds()? - before;
        rate.add(f64::from(MACHINES) / wall);
        seconds.add(cpu);
        efficiency.add(f64::from(MACHINES) / cpu);
        again.add(f64::from(asked_again));
        lost.add(drops(wire)? - lost_before);
        resident.add(server.resident());
        drop(server);
        after()?;
    }
    println!("| {title} | {rate:.0} | {seconds:.2} | {efficiency:.0} | {again:.0} | {lost:.0} | {resident:.0} |");
    Ok(())
}

/// Datagrams that came to the server's side and found no room.
fn drops(wire: &Wire) -> anyhow::Result<f64> {
    let table = wire.server.run(Command::new("cat").arg("/proc/net/snmp"))?;
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    // Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors ...
    let figures = table.lines().filter(|line| line.starts_with("Udp:")).nth(1).unwrap_or_default();
    Ok(figures.split_whitespace().nth(5).map_or(Ok(0.0), str::parse)?)
}

/// All machines, until each has its address. How often one had to ask again.
fn switch_on(socket: &UdpSocket, server: &Server) -> anyhow::Result<u32> {
    socket.set_read_timeout(Some(Duration::from_millis(5)))?;
    let mut waiting: HashMap<[u8; 6], (Instant, Vec<u8>)> = HashMap::new();
    let (mut next, mut done, mut again) = (0, 0, 0);
    let mut buffer = [0; 1500];
    let mut heard = Instant::now();
    while done < MACHINES {
        while next < MACHINES && waiting.len() < UNDER_WAY {
            let mac = mac(next);
            next += 1;
            let packet = asked(1, mac, &[]);
            socket.send_to(&packet, (Ipv4Addr::BROADCAST, 67))?;
            waiting.insert(mac, (Instant::now(), packet));
            // Answers are read between the questions, or the burst would only measure its own loss.
            if next % 16 == 0 {
                break;
            }
        }
        let full = waiting.len() >= UNDER_WAY || next == MACHINES;
        socket.set_nonblocking(!full)?;
        for _ in 0..64 {
            let Ok(length) = socket.recv(&mut buffer) else { break };
            heard = Instant::now();
            let Some(answer) = buffer.get(..length) else { break };
            let Some(mac) = answer.get(28..34).and_then(|mac| <[u8; 6]>::try_from(mac).ok()) else { continue };
            match answer.get(242) {
                Some(2) => {
                    let address = answer.get(16..20).unwrap_or_default();
                    let request = asked(3, mac, &[&[54, 4, 10, 20, 0, 1, 50, 4], address].concat());
                    socket.send_to(&request, (Ipv4Addr::BROADCAST, 67))?;
                    waiting.insert(mac, (Instant::now(), request));
                }
                Some(5) => done += u32::from(waiting.remove(&mac).is_some()),
                _ => {}
            }
        }
        if full {
            let now = Instant::now();
            for (since, packet) in waiting.values_mut().filter(|(since, _)| *since + AGAIN < now).take(256) {
                *since = now;
                again += 1;
                socket.send_to(packet, (Ipv4Addr::BROADCAST, 67))?;
            }
        }
        ensure!(
            heard.elapsed() < Duration::from_secs(20),
            "{done} of {MACHINES}, then silence ({:.1} CPU s)",
            server.seconds()?
        );
    }
    Ok(again)
}

fn mac(serial: u32) -> [u8; 6] {
    let [a, b, c, d] = serial.to_be_bytes();
    [0x52, 0x54, a, b, c, d]
}

/// A question of a client that takes broadcasts.
fn asked(kind: u8, mac: [u8; 6], options: &[u8]) -> Vec<u8> {
    let [_, _, a, b, c, d] = mac;
    let mut bytes = vec![1, 1, 6, 0, a, b, c, d, 0, 0, 0x80, 0];
    bytes.resize(28, 0);
    bytes.extend_from_slice(&mac);
    bytes.resize(236, 0);
    bytes.extend_from_slice(&[99, 130, 83, 99, 53, 1, kind]);
    bytes.extend_from_slice(options);
    bytes.push(255);
    bytes.resize(bytes.len().max(300), 0);
    bytes
}
