//! TFTP with real clients, in network namespaces: atftp, curl, and a PXE ROM's way of asking.
#![allow(clippy::cast_possible_truncation, reason = "numbers of a test are made to be cut")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod net;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::symlink;
use std::time::Duration;

use net::{Dice, INTERNAL, Net, net, seed};

fn served(programs: &[&str]) -> Option<Net> {
    let mut net = net(programs)?;
    net.conf(INTERNAL, "internal");
    net.ip("c", "addr add 10.10.0.50/24 dev c0");
    fs::write(net.path("tftp/small"), "hello\nworld\n").unwrap();
    fs::write(net.path("tftp/big"), content()).unwrap();
    fs::write(net.path("tftp/warewulf/shim.efi"), "a site's own").unwrap();
    symlink("/etc/passwd", net.path("tftp/leads-out")).unwrap();
    symlink("small", net.path("tftp/leads-in")).unwrap();
    net.daemon();
    Some(net)
}

fn content() -> Vec<u8> {
    let mut dice = Dice(4711);
    (0..300_000).map(|_| dice.roll() as u8).collect()
}

/// Asks for a file and gives the first answer.
fn ask(socket: &UdpSocket, request: &[u8]) -> (Vec<u8>, SocketAddr) {
    socket.send_to(request, "10.10.0.1:69").unwrap();
    let mut buffer = [0; 1500];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    (buffer[..length].to_vec(), from)
}

#[test]
fn atftp_gets_a_file_with_every_block_size_and_window() {
    let Some(net) = served(&["atftp"]) else { return };
    for options in
        [&[][..], &["blksize 1428"], &["blksize 1024", "windowsize 4"], &["windowsize 16"], &["blksize 8192"]]
    {
        let mut words = vec!["atftp"];
        for option in options {
            words.extend(["--option", option]);
        }
        words.extend(["-g", "-r", "big", "-l", "out", "10.10.0.1"]);
        let out = net.run("c", &words);
        let got = fs::read(net.path("out")).unwrap_or_default();
        assert!(
            got == content(),
            "{options:?}: {} bytes, {}\n{}",
            got.len(),
            String::from_utf8_lossy(&out.stderr),
            net.log()
        );
        fs::remove_file(net.path("out")).unwrap();
    }
}

#[test]
fn curl_gets_files_below_the_root_and_none_beside_it() {
    let Some(net) = served(&["curl"]) else { return };
    let curl = |path: &str| {
        let out = net.run("c", &["curl", "-s", "--path-as-is", &format!("tftp://10.10.0.1/{path}")]);
        (out.status.code(), String::from_utf8_lossy(&out.stdout).into_owned())
    };
    let hello = || (Some(0), "hello\nworld\n".to_string());
    assert_eq!(curl("small"), hello());
    assert_eq!(curl("/small"), hello());
    assert_eq!(curl("leads-in"), hello());
    assert_eq!(curl("warewulf/shim.efi"), (Some(0), "a site's own".into()));
    // curl's 68 is TFTP's error 1, its 69 error 2.
    assert_eq!(curl("missing").0, Some(68));
    assert_eq!(curl("warewulf").0, Some(68));
    assert_eq!(curl("leads-out").0, Some(69));
    assert_eq!(curl("../../etc/passwd").0, Some(69));
    let log = net.log();
    assert!(log.contains("10.10.0.50:") && log.contains("missing: not there; looked for"), "{log}");
    assert!(log.contains("leads-out: refused: the name leaves the server's root"), "{log}");
}

#[test]
fn ipxes_programs_come_from_where_debian_has_them() {
    let Some(net) = served(&["atftp"]) else { return };
    for (name, file) in [("undionly.kpxe", "undionly.kpxe"), ("ipxe-snponly-x86_64.efi", "snponly.efi")] {
        let Ok(wanted) = fs::read(format!("/usr/lib/ipxe/{file}")) else {
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "package ipxe is not installed");
            return eprintln!("skipped: package ipxe is not installed");
        };
        net.run("c", &["atftp", "-g", "-r", &format!("warewulf/{name}"), "-l", "out", "10.10.0.1"]);
        assert!(fs::read(net.path("out")).unwrap() == wanted, "{name}\n{}", net.log());
        fs::remove_file(net.path("out")).unwrap();
    }
}

#[test]
fn a_rom_asks_for_the_size_breaks_off_and_comes_back() {
    let Some(net) = served(&[]) else { return };
    let socket = net.socket("c", Ipv4Addr::new(10, 10, 0, 50), 2070);
    let (answer, from) = ask(&socket, b"\0\x01big\0octet\0tsize\x000\0blksize\x001456\0");
    assert_eq!(answer, b"\0\x06tsize\x00300000\0blksize\x001456\0");
    assert_eq!(from.ip().to_string(), "10.10.0.1");
    assert_ne!(from.port(), 69, "a port of its own");
    socket.send_to(b"\0\x05\0\0TFTP Aborted\0", from).unwrap();
    net.until("the size alone was asked for", |net| net.log().contains("big: asked for the size alone (300000 bytes)"));
    let (answer, _) = ask(&socket, b"\0\x01big\0octet\0blksize\x001456\0");
    assert_eq!(answer, b"\0\x06blksize\x001456\0");
}

#[test]
fn what_is_no_request_is_refused_or_passed_over_and_costs_nothing() {
    let Some(net) = served(&["curl"]) else { return };
    let mut port = 3000;
    let mut first = |request: &[u8]| {
        port += 1;
        ask(&net.socket("c", Ipv4Addr::new(10, 10, 0, 50), port), request).0
    };
    assert_eq!(first(b"\0\x02small\0octet\0"), b"\0\x05\0\x02this server is read only\0");
    assert_eq!(first(b"\0\x01a/../../b\0octet\0"), b"\0\x05\0\x02the name leaves the server's root\0");
    assert_eq!(first(b"\0\x01/\0octet\0"), b"\0\x05\0\x04no name of a file\0");
    assert_eq!(first(b"\0\x01nothing\0octet\0"), b"\0\x05\0\x01no such file\0");
    assert_eq!(first(b"\0\x04\0\x01"), b"\0\x05\0\x05transfers do not go to port 69\0");
    assert_eq!(first(b"\0\x01small\0netascii\0"), b"\0\x03\0\x01hello\r\nworld\r\n");
    let socket = net.socket("c", Ipv4Addr::new(10, 10, 0, 50), 0);
    let mut dice = Dice(seed());
    for _ in 0..2000 {
        let mut bytes: Vec<u8> = (0..dice.roll() % 60).map(|_| dice.roll() as u8).collect();
        if let Some(head) = bytes.get_mut(..2) {
            head.copy_from_slice(&[0, (dice.roll() % 8) as u8]);
        }
        let _ = socket.send_to(&bytes, "10.10.0.1:69");
    }
    let out = net.run("c", &["curl", "-s", "tftp://10.10.0.1/small"]);
    assert_eq!(out.stdout, b"hello\nworld\n", "{}", net.log());
    assert!(!net.log().contains("panicked"));
}

#[test]
fn a_replaced_file_does_not_change_for_who_reads_it_already() {
    let Some(net) = served(&[]) else { return };
    let socket = net.socket("c", Ipv4Addr::new(10, 10, 0, 50), 2071);
    let (mut block, from) = ask(&socket, b"\0\x01big\0octet\0");
    fs::write(net.path("tftp/.new"), vec![0; 300_000]).unwrap();
    fs::rename(net.path("tftp/.new"), net.path("tftp/big")).unwrap();
    let mut got = Vec::new();
    let mut buffer = [0; 1500];
    loop {
        got.extend_from_slice(&block[4..]);
        socket.send_to(&[0, 4, block[2], block[3]], from).unwrap();
        if block.len() < 516 {
            break;
        }
        let (length, _) = socket.recv_from(&mut buffer).unwrap();
        block = buffer[..length].to_vec();
    }
    assert!(got == content());
}

/// A wire that loses a fifth of the packets each way, by a printed seed.
#[test]
fn a_file_arrives_whole_where_a_fifth_of_all_packets_is_lost() {
    let Some(net) = served(&["atftp", "curl"]) else { return };
    fs::write(net.path("tftp/medium"), &content()[..15_000]).unwrap();
    let front = net.socket("c", Ipv4Addr::LOCALHOST, 6969);
    let back = net.socket("c", Ipv4Addr::new(10, 10, 0, 50), 0);
    for socket in [&front, &back] {
        socket.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
    }
    println!("seed 4712");
    let mut dice = Dice(4712);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut server: SocketAddr = "10.10.0.1:69".parse().unwrap();
            let mut client: Option<SocketAddr> = None;
            let mut buffer = [0; 2000];
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                if let Ok((length, from)) = front.recv_from(&mut buffer) {
                    if client != Some(from) {
                        client = Some(from);
                        server = "10.10.0.1:69".parse().unwrap();
                    }
                    if !dice.roll().is_multiple_of(5) {
                        let _ = back.send_to(&buffer[..length], server);
                    }
                }
                if let Ok((length, from)) = back.recv_from(&mut buffer) {
                    server = from;
                    if let Some(client) = client.filter(|_| !dice.roll().is_multiple_of(5)) {
                        let _ = front.send_to(&buffer[..length], client);
                    }
                }
            }
        });
        // Without options: atftp breaks off when an option acknowledgement comes twice.
        let out = net.run("c", &["curl", "-s", "--tftp-no-options", "-o", "out", "tftp://127.0.0.1:6969/medium"]);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let got = fs::read(net.path("out")).unwrap_or_default();
        assert!(
            got == content()[..15_000],
            "{} bytes: {}\n{}",
            got.len(),
            String::from_utf8_lossy(&out.stderr),
            net.log()
        );
    });
}
