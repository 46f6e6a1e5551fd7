//! Walker: a client without a machine around it, that walks the way of a boot packet by packet: DHCP as a stranger, TFTP
//! of a boot loader, HTTP of script, kernel, image and overlays as a node. Each step is done again until it comes whole.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use nix::sys::socket::{setsockopt, sockopt};

use crate::net::CONTROLLER;

/// The steps of a boot, in order.
pub const STAGES: [&str; 8] = ["discover", "request", "tftp", "/ipxe", "/kernel", "/image", "/system", "/runtime"];

const ASK_AGAIN: Duration = Duration::from_millis(400);
/// A step that does not come by then never will.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the walk is, for others to see.
#[derive(Debug, Default)]
pub struct Place {
    /// Which of [`STAGES`].
    pub stage: AtomicUsize,
    /// Counted up with each step.
    pub steps: AtomicUsize,
    pub stop: AtomicBool,
}

/// What a step must bring.
#[derive(Clone, Debug)]
pub struct Expected {
    /// `xx-xx-xx-xx-xx-xx` of the node that scripts and files are asked for.
    pub node: String,
    pub loader: Vec<u8>,
    pub kernel: Vec<u8>,
    pub image: Vec<u8>,
}

/// What was brought.
#[derive(Clone, Debug, Default)]
pub struct Walked {
    pub boots: usize,
    /// Addresses that were acknowledged, and to whom.
    pub leases: Vec<(String, String)>,
    /// Steps that had to be begun again.
    pub again: usize,
}

/// Walks boot after boot until told to stop, and ends the one that is under way.
///
/// # Errors
/// When something comes that is whole and wrong, or nothing for a minute.
pub fn walk(place: &Place, expected: &Expected) -> anyhow::Result<Walked> {
    let mut walked = Walked::default();
    let dhcp = dhcp_socket()?;
    while !place.stop.load(Ordering::Relaxed) {
        let number = u8::try_from(walked.boots % 90)?;
        let mac = [2, 0, 0, 0, 7, number];
        for (stage, name) in STAGES.iter().enumerate().skip(1) {
            // Offer and acknowledgement are one step: what was offered before a restart may be nobody's after it.
            if stage > 1 {
                place.stage.store(stage, Ordering::Relaxed);
            }
            place.steps.fetch_add(1, Ordering::Relaxed);
            let begin = Instant::now();
            while let Err(error) = step(place, name, &dhcp, mac, expected, &mut walked) {
                ensure!(!error.is::<Wrong>(), "{name}: {error:#}");
                ensure!(begin.elapsed() < PATIENCE, "{name} does not come: {error:#}");
                walked.again += 1;
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        walked.boots += 1;
    }
    Ok(walked)
}

/// What no restart excuses.
#[derive(Debug)]
struct Wrong(String);

impl std::fmt::Display for Wrong {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

fn step(
    place: &Place,
    name: &str,
    dhcp: &UdpSocket,
    mac: [u8; 6],
    expected: &Expected,
    walked: &mut Walked,
) -> anyhow::Result<()> {
    let node = &expected.node;
    let want = |got: &[u8], file: &[u8]| {
        if got == file { Ok(()) } else { Err(Wrong(format!("{} bytes that are not the file's", got.len()))) }
    };
    match name {
        "request" => {
            place.stage.store(0, Ordering::Relaxed);
            let offered = exchange(dhcp, mac, 1, None)?;
            place.stage.store(1, Ordering::Relaxed);
            let given = exchange(dhcp, mac, 3, Some(offered))?;
            walked.leases.push((given.to_string(), mac.map(|byte| format!("{byte:02x}")).join(":")));
        }
        "tftp" => want(&tftp("warewulf/undionly.kpxe")?, &expected.loader)?,
        "/ipxe" => {
            let script = http(&format!("/ipxe/{node}"))?;
            ensure!(script.starts_with(b"#!ipxe"), Wrong("no script".to_owned()));
        }
        "/kernel" => want(&http(&format!("/kernel/{node}"))?, &expected.kernel)?,
        "/image" => want(&http(&format!("/image/{node}?compress=gz"))?, &expected.image)?,
        overlay => {
            let packed = http(&format!("{overlay}/{node}?compress=gz"))?;
            ensure!(packed.starts_with(&[0x1f, 0x8b]), Wrong("nothing packed".to_owned()));
            whole(&packed)?;
        }
    }
    Ok(())
}

fn dhcp_socket() -> anyhow::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 68))?;
    socket.set_broadcast(true)?;
    setsockopt(&socket, sockopt::BindToDevice, &"eth0".into())?;
    socket.set_read_timeout(Some(ASK_AGAIN))?;
    Ok(socket)
}

/// Asks by DISCOVER (1) or REQUEST (3), and gives the address of the OFFER or ACK (RFC 2131).
fn exchange(socket: &UdpSocket, mac: [u8; 6], kind: u8, asked: Option<Ipv4Addr>) -> anyhow::Result<Ipv4Addr> {
    let mut packet = vec![0; 236];
    packet.splice(..4, [1, 1, 6, 0]);
    packet.splice(4..8, [7, kind, mac[4], mac[5]]);
    // It takes broadcasts.
    packet.splice(10..11, [0x80]);
    packet.splice(28..34, mac);
    packet.extend([99, 130, 83, 99, 53, 1, kind]);
    if let Some(asked) = asked {
        packet.extend([54, 4, 10, 10, 0, 1, 50, 4]);
        packet.extend(asked.octets());
    }
    packet.push(255);
    socket.send_to(&packet, (Ipv4Addr::BROADCAST, 67))?;
    let mut buffer = [0; 1500];
    loop {
        let (length, _) = socket.recv_from(&mut buffer)?;
        let answer = buffer.get(..length).unwrap_or_default();
        // Late answers to what was asked before a restart are passed over.
        if answer.get(4..8) != packet.get(4..8) || answer.get(240..242) != Some(&[53, 1]) {
            continue;
        }
        let given: [u8; 4] = answer.get(16..20).context("a short answer")?.try_into()?;
        match answer.get(242) {
            Some(2) if kind == 1 => return Ok(given.into()),
            Some(5) if kind == 3 => return Ok(given.into()),
            Some(6) if kind == 3 => bail!("NAK"),
            _ => {}
        }
    }
}

/// Fetches a file in blocks of 512 (RFC 1350).
fn tftp(file: &str) -> anyhow::Result<Vec<u8>> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_read_timeout(Some(ASK_AGAIN))?;
    let request = [&[0, 1], file.as_bytes(), b"\0octet\0"].concat();
    socket.send_to(&request, (CONTROLLER, 69))?;
    let mut got = Vec::new();
    let mut server: Option<SocketAddr> = None;
    let mut block = 0u16;
    let mut buffer = [0; 1500];
    loop {
        let (length, from) = socket.recv_from(&mut buffer)?;
        if *server.get_or_insert(from) != from {
            continue;
        }
        let (head, data) = buffer.get(..length).unwrap_or_default().split_at_checked(4).context("a short packet")?;
        ensure!(head.starts_with(&[0, 3]), "TFTP says {:?}", String::from_utf8_lossy(data));
        if head.ends_with(&block.wrapping_add(1).to_be_bytes()) {
            block = block.wrapping_add(1);
            got.extend(data);
            socket.send_to(&[[0, 4], block.to_be_bytes()].concat(), from)?;
            if data.len() < 512 {
                return Ok(got);
            }
        }
    }
}

/// The body of an answer 200, as long as its head says.
fn http(path: &str) -> anyhow::Result<Vec<u8>> {
    let mut stream = TcpStream::connect((CONTROLLER, 9873))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {CONTROLLER}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").context("no whole head")?;
    let head = String::from_utf8_lossy(answer.get(..end).unwrap_or_default()).to_ascii_lowercase();
    let body = answer.get(end + 4..).unwrap_or_default().to_vec();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.context("no length")?.trim().parse()?;
    ensure!(head.starts_with("http/1.1 200 "), Wrong(format!("{path}: {}", head.lines().next().unwrap_or_default())));
    ensure!(body.len() == length, "{} of {length} bytes", body.len());
    Ok(body)
}

/// Whether a packed overlay that came as long as its head said is whole inside, as gzip and cpio read it.
fn whole(packed: &[u8]) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("overlay.img.gz"), packed)?;
    crate::whole::Look::default().at(folder.path()).map_err(|error| Wrong(format!("{error:#}")).into())
}
