//! A DHCP server as plain as can be, to compare with: one address for everybody, the boot script's URL, and not a word
//! that would spare iPXE a wait.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use nix::sys::socket::{setsockopt, sockopt};
use tests::Net;
use tests::net::{BRIDGE, CONTROLLER};

/// Runs until it is dropped.
#[derive(Debug)]
pub struct Server {
    stop: Arc<AtomicBool>,
}

impl Server {
    pub fn start(net: &Net) -> anyhow::Result<Server> {
        let socket = net.inside(|| -> anyhow::Result<UdpSocket> {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 67))?;
            socket.set_broadcast(true)?;
            // Without a route to everywhere, 255.255.255.255 is reached through a named interface only.
            setsockopt(&socket, sockopt::BindToDevice, &BRIDGE.into())?;
            socket.set_read_timeout(Some(Duration::from_millis(200)))?;
            Ok(socket)
        })?;
        let socket = socket.context("a plain DHCP server cannot start")?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        std::thread::spawn(move || {
            let mut buffer = [0; 1500];
            while !stopped.load(Ordering::Relaxed) {
                let Ok((length, _)) = socket.recv_from(&mut buffer) else { continue };
                if let Some(answer) = buffer.get(..length).and_then(answer) {
                    let _ = socket.send_to(&answer, (Ipv4Addr::BROADCAST, 68));
                }
            }
        });
        Ok(Server { stop })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// OFFER for DISCOVER, ACK for REQUEST (RFC 2131), nothing for the rest.
fn answer(question: &[u8]) -> Option<Vec<u8>> {
    let kind = match option(question.get(240..)?, 53)? {
        [1] => 2,
        [3] => 5,
        _ => return None,
    };
    let server: Ipv4Addr = CONTROLLER.parse().ok()?;
    let mut answer = vec![2, 1, 6, 0];
    answer.extend(question.get(4..12)?);
    answer.extend([0; 4]);
    answer.extend([10, 10, 0, 150]);
    answer.extend(server.octets());
    answer.extend(question.get(24..44)?);
    answer.resize(236, 0);
    answer.extend([99, 130, 83, 99]);
    let script = format!("http://{CONTROLLER}:9873/ipxe/${{mac:hexhyp}}");
    let mut say = |code: u8, body: &[u8]| {
        answer.extend([code, u8::try_from(body.len()).unwrap_or_default()]);
        answer.extend(body);
    };
    say(53, &[kind]);
    say(54, &server.octets());
    say(51, &3600u32.to_be_bytes());
    say(1, &[255, 255, 255, 0]);
    say(67, script.as_bytes());
    answer.push(255);
    Some(answer)
}

fn option(mut bytes: &[u8], wanted: u8) -> Option<&[u8]> {
    loop {
        let (&code, rest) = bytes.split_first()?;
        if code == 0 {
            bytes = rest;
            continue;
        }
        let (&length, rest) = rest.split_first()?;
        let (body, rest) = rest.split_at_checked(usize::from(length))?;
        if code == wanted {
            return Some(body);
        }
        bytes = rest;
    }
}
