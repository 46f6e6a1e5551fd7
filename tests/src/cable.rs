//! Cable: a relay between a machine and its port on the bridge, where frames are lost and connections cut as a seed says.
//!
//! The kernel's own netem is not there everywhere, and cannot cut a connection. UDP is lost, which is DHCP and TFTP; TCP
//! is not lost but reset in the middle of what the machine asked for.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use nix::poll::{PollFd, PollFlags, PollTimeout};

use crate::dice::Dice;
use crate::net::Net;
use crate::sys;

/// The two ends of the cable's last metre, in the machine's folder.
pub const MACHINE: &str = "machine";
pub const RELAY: &str = "relay";

const LONGEST_FRAME: usize = 4096;

/// What is to go wrong.
#[derive(Clone, Debug)]
pub struct Faults {
    pub seed: u64,
    /// How many of a hundred UDP datagrams are lost, each way.
    pub loss: u64,
    /// Connections to cut, each once: where the path that is asked for begins so, at the latest after so many bytes.
    pub cuts: Vec<(&'static str, u64)>,
}

/// What went wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mishaps {
    /// UDP datagrams of the machine: those that came through and those that were lost.
    pub sent: (u64, u64),
    /// The same for what was sent to it.
    pub received: (u64, u64),
    /// Connections that were cut: what was asked for, and after how many bytes of answer.
    pub cut: Vec<(String, u64)>,
}

/// A cable in use; it ends when this value goes.
#[derive(Debug)]
pub struct Cable {
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
}

#[derive(Debug)]
struct State {
    cuts: Vec<(&'static str, u64)>,
    dice: Dice,
    doomed: Option<Doomed>,
    mishaps: Mishaps,
}

/// A transfer that is to be cut.
#[derive(Debug)]
struct Doomed {
    /// The machine's port.
    port: u16,
    path: String,
    /// Bytes of answer after which it is cut.
    after: u64,
    /// Bytes of answer so far, and the number of the byte that follows them.
    so_far: u64,
    next: Option<u32>,
}

impl Cable {
    /// Lays the cable from a tap of the bridge to the sockets of a machine that will be started.
    ///
    /// # Errors
    /// When the tap or the socket cannot be opened.
    pub fn lay(net: &Net, tap: &str, folder: &Path, faults: &Faults) -> anyhow::Result<Cable> {
        let name = tap.to_owned();
        let port = net.inside(move || sys::open_tap(&name))?.with_context(|| format!("cannot open {tap}"))?;
        let socket = UnixDatagram::bind(folder.join(RELAY))?;
        socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        socket.set_write_timeout(Some(Duration::from_millis(200)))?;
        let cuts = faults.cuts.clone();
        let state = State { cuts, dice: Dice::new(faults.seed), doomed: None, mishaps: Mishaps::default() };
        let cable = Cable { state: Arc::new(Mutex::new(state)), stop: Arc::default() };
        println!("cable of {tap}: seed {}, {} % of UDP lost, cuts {:?}", faults.seed, faults.loss, faults.cuts);
        // Dice of its own for each way: what one way loses does not depend on how the two are interleaved.
        let ways = [(Dice::new(faults.seed ^ 1), true), (Dice::new(faults.seed ^ 2), false)];
        for (dice, outwards) in ways {
            let way = Way { state: Arc::clone(&cable.state), stop: Arc::clone(&cable.stop), dice, loss: faults.loss };
            let (port, socket, machine) = (port.try_clone()?, socket.try_clone()?, folder.join(MACHINE));
            std::thread::spawn(move || {
                if outwards { way.outwards(port, &socket) } else { way.inwards(port, &socket, &machine) }
            });
        }
        Ok(cable)
    }

    pub fn mishaps(&self) -> Mishaps {
        locked(&self.state).mishaps.clone()
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One way of the two.
struct Way {
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
    dice: Dice,
    loss: u64,
}

impl Way {
    /// From the machine to the bridge.
    fn outwards(mut self, mut port: File, socket: &UnixDatagram) {
        let mut buffer = vec![0; LONGEST_FRAME];
        while !self.stop.load(Ordering::Relaxed) {
            let Ok(length) = socket.recv(&mut buffer) else { continue };
            let frame = buffer.get(..length).unwrap_or_default();
            match Segment::read(frame) {
                Some(Segment::Udp) => {
                    let lost = self.loses();
                    let mut state = locked(&self.state);
                    count(&mut state.mishaps.sent, lost);
                    if lost {
                        continue;
                    }
                }
                Some(Segment::Tcp { from, payload, .. }) => locked(&self.state).asked(from, payload),
                None => {}
            }
            let _ = port.write_all(frame);
        }
    }

    /// From the bridge to the machine.
    fn inwards(mut self, mut port: File, socket: &UnixDatagram, machine: &PathBuf) {
        let mut buffer = vec![0; LONGEST_FRAME];
        while !self.stop.load(Ordering::Relaxed) {
            let ready = nix::poll::poll(&mut [PollFd::new(port.as_fd(), PollFlags::POLLIN)], PollTimeout::from(200u8));
            if !ready.is_ok_and(|ready| ready > 0) {
                continue;
            }
            let Ok(length) = port.read(&mut buffer) else { continue };
            let mut frame = buffer.get(..length).unwrap_or_default().to_vec();
            let segment = Segment::read(&frame);
            match segment {
                Some(Segment::Udp) => {
                    let lost = self.loses();
                    count(&mut locked(&self.state).mishaps.received, lost);
                    if lost {
                        continue;
                    }
                }
                Some(Segment::Tcp { to, number, payload, .. }) => {
                    let length = payload.len() as u64;
                    if locked(&self.state).is_cut(to, number, length) {
                        frame = reset(&frame).unwrap_or(frame);
                    }
                }
                None => {}
            }
            // QEMU takes no frame before it has begun: then it is lost, as on a machine that is off.
            let _ = socket.send_to(&frame, machine);
        }
    }

    fn loses(&mut self) -> bool {
        self.dice.below(100) < self.loss
    }
}

impl State {
    /// Takes note of what the machine asks for.
    fn asked(&mut self, port: u16, payload: &[u8]) {
        let Some(path) = payload.strip_prefix(b"GET ") else { return };
        let path = String::from_utf8_lossy(path.split(|byte| *byte == b' ').next().unwrap_or_default()).into_owned();
        // A cut whose time did not come, for the answer was shorter, is over.
        self.doomed = None;
        if let Some(place) = self.cuts.iter().position(|(begin, _)| path.starts_with(begin)) {
            let (begin, most) = self.cuts.remove(place);
            let after = self.dice.below(most.max(1));
            self.doomed = Some(Doomed { port, path: begin.to_owned(), after, so_far: 0, next: None });
        }
    }

    fn is_cut(&mut self, port: u16, number: u32, bytes: u64) -> bool {
        let Some(doomed) = self.doomed.as_mut().filter(|doomed| doomed.port == port && bytes > 0) else { return false };
        // What comes again cuts nothing: the machine has it, and takes no reset with an old number.
        if doomed.next.is_some_and(|next| number != next) {
            return false;
        }
        if doomed.so_far == 0 || doomed.so_far < doomed.after {
            doomed.so_far += bytes;
            doomed.next = Some(number.wrapping_add(u32::try_from(bytes).unwrap_or_default()));
            return false;
        }
        let cut = (std::mem::take(&mut doomed.path), doomed.so_far);
        println!("cable: {} is cut after {} bytes", cut.0, cut.1);
        self.mishaps.cut.push(cut);
        self.doomed = None;
        true
    }
}

fn count(counts: &mut (u64, u64), lost: bool) {
    if lost {
        counts.1 += 1;
    } else {
        counts.0 += 1;
    }
}

/// What of a frame matters here.
enum Segment<'a> {
    Udp,
    Tcp { from: u16, to: u16, number: u32, payload: &'a [u8] },
}

impl Segment<'_> {
    fn read(frame: &[u8]) -> Option<Segment<'_>> {
        let (packet, header) = ipv4(frame)?;
        let rest = packet.get(header..)?;
        match packet.get(9)? {
            17 => Some(Segment::Udp),
            6 => {
                let begin = usize::from(rest.get(12)? >> 4) * 4;
                let number = u32::from_be_bytes(rest.get(4..8)?.try_into().ok()?);
                Some(Segment::Tcp { from: word(rest, 0)?, to: word(rest, 2)?, number, payload: rest.get(begin..)? })
            }
            _ => None,
        }
    }
}

/// The IPv4 packet of an Ethernet frame without its padding, and the length of its header.
fn ipv4(frame: &[u8]) -> Option<(&[u8], usize)> {
    (word(frame, 12)? == 0x0800).then_some(())?;
    let packet = frame.get(14..)?;
    let length = usize::from(word(packet, 2)?);
    Some((packet.get(..length)?, usize::from(packet.first()? & 0x0f) * 4))
}

/// The same TCP segment without its data, as a reset (RFC 9293, 3.5.2).
fn reset(frame: &[u8]) -> Option<Vec<u8>> {
    const RESET_AND_ACK: u8 = 0x14;
    let (packet, header) = ipv4(frame)?;
    let mut ip = packet.get(..header)?.to_vec();
    let mut tcp = packet.get(header..header + 20)?.to_vec();
    *tcp.get_mut(12)? = 5 << 4;
    *tcp.get_mut(13)? = RESET_AND_ACK;
    set(&mut tcp, 16, 0)?;
    let mut pseudo = ip.get(12..20)?.to_vec();
    pseudo.extend([0, 6, 0, 20]);
    let sum = checksum(&[&pseudo, &tcp]);
    set(&mut tcp, 16, sum)?;
    set(&mut ip, 2, u16::try_from(header + 20).ok()?)?;
    set(&mut ip, 10, 0)?;
    let sum = checksum(&[&ip]);
    set(&mut ip, 10, sum)?;
    Some([frame.get(..14)?, &ip, &tcp].concat())
}

/// RFC 1071, over parts of even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks_exact(2));
    let mut sum: u32 = words.filter_map(|pair| word(pair, 0)).map(u32::from).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn set(bytes: &mut [u8], at: usize, value: u16) -> Option<()> {
    bytes.get_mut(at..at + 2)?.copy_from_slice(&value.to_be_bytes());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data_segment() -> Vec<u8> {
        let mut frame = vec![1; 12];
        frame.extend([8, 0]);
        frame.extend([0x45, 0, 0, 44, 0, 7, 0x40, 0, 64, 6, 0, 0, 10, 10, 0, 1, 10, 10, 0, 11]);
        frame.extend([0x26, 0x91, 0x80, 0, 0, 0, 0, 5, 0, 0, 0, 9, 0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0]);
        frame.extend(*b"data");
        frame.extend([0; 6]);
        frame
    }

    #[test]
    fn a_reset_is_the_segment_without_its_data_and_its_sums_hold() {
        let cut = reset(&data_segment()).unwrap();
        assert_eq!(cut.len(), 54, "no data and no padding");
        assert_eq!(cut[14 + 20 + 13], 0x14);
        assert_eq!(cut[14 + 20 + 4..14 + 20 + 12], data_segment()[14 + 20 + 4..14 + 20 + 12], "numbers as they were");
        // A sum over bytes that hold their own sum is 0.
        assert_eq!(checksum(&[&cut[14..34]]), 0);
        let pseudo = [&cut[26..34], &[0, 6, 0, 20]].concat();
        assert_eq!(checksum(&[&pseudo, &cut[34..]]), 0);
    }

    #[test]
    fn what_was_asked_for_is_cut_once_and_in_the_middle() {
        let cuts = vec![("/image", 2000)];
        let mut state = State { cuts, dice: Dice::new(1), doomed: None, mishaps: Mishaps::default() };
        state.asked(40, b"GET /kernel/x HTTP/1.1\r\n");
        assert!(!state.is_cut(40, 0, 1000));
        state.asked(40, b"GET /image/x HTTP/1.1\r\n");
        let mut number = 1000;
        while !state.is_cut(40, number, 100) {
            assert!(!state.is_cut(40, number, 100), "the same once more");
            number += 100;
        }
        assert!((1100..=3000).contains(&number), "{number}");
        assert_eq!(state.mishaps.cut, [("/image".to_owned(), u64::from(number) - 1000)]);
        state.asked(41, b"GET /image/x HTTP/1.1\r\n");
        assert!(!state.is_cut(41, 0, 10_000));
    }
}
