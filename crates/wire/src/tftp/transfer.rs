//! The sending of one file, as a state machine: packets and time go in, what to send and how long to wait come out.
//!
//! Retransmission goes back to the first block that was not acknowledged. An acknowledgement that says nothing new never
//! has data sent at once: that would answer each duplicate by a duplicate until the end of the file (the Sorcerer's
//! Apprentice, RFC 1123, 4.2.3.1).

use std::time::Duration;

use super::packet::{Packet, ReadRequest};

/// What a server grants at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes a block: what passes the network without fragments.
    pub block_size: u16,
    /// Blocks a window.
    pub window: u16,
}

impl Default for Limits {
    fn default() -> Self {
        // Ethernet's 1500 without the headers of IP, UDP and TFTP.
        Limits { block_size: 1468, window: 64 }
    }
}

/// What the owner of the socket does next.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Send(Send),
    /// Wait for a packet, at most until that time; then ask again.
    Wait {
        until: Duration,
    },
    Finished(Outcome),
}

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Send {
    OptionAck(Vec<u8>),
    /// A data packet with that number, carrying `length` bytes of the file from `offset`.
    Data {
        block: u16,
        offset: u64,
        length: u16,
    },
}

/// How a transfer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of it, and acknowledged.
    Sent,
    /// Everything went out, the last acknowledgement never came: the client has it, most likely.
    Unconfirmed,
    /// The client wanted to know the size and said so by an error, as PXE ROMs do.
    SizeOnly,
    /// The client ended it.
    Refused { code: u16, message: String },
    /// The client is silent.
    Silent { acknowledged: u64 },
}

/// Without anything else to go by (RFC 2349 has the client say it).
const FIRST_TIMEOUT: Duration = Duration::from_secs(1);
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(100);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(4);
/// Times that one window goes out before the client is given up.
const TRIES: u32 = 10;

/// A file on its way to one client. Times are since any fixed point.
#[derive(Clone, Debug)]
pub struct Transfer {
    size: u64,
    block_size: u16,
    window: u64,
    option_ack: Option<Vec<u8>>,
    asked_size: bool,
    /// The client's word on retransmission.
    fixed_timeout: Option<Duration>,
    round_trip: Option<Duration>,

    negotiated: bool,
    /// Blocks, counted from 0 and past 65535.
    acknowledged: u64,
    next: u64,
    highest: u64,
    deadline: Option<Duration>,
    sent_at: Option<Duration>,
    tries: u32,
    ended: Option<Outcome>,
}

impl Transfer {
    /// Answers that request with a file of `size` bytes.
    pub fn new(request: &ReadRequest, size: u64, limits: Limits) -> Transfer {
        let block_size = request.block_size.map_or(512, |asked| asked.min(limits.block_size));
        let window = request.window.map_or(1, |asked| asked.min(limits.window));
        let option_ack = request.has_options().then(|| {
            let mut options = Vec::new();
            if request.size {
                options.push(("tsize".to_string(), size.to_string()));
            }
            if request.block_size.is_some() {
                options.push(("blksize".to_string(), block_size.to_string()));
            }
            if let Some(seconds) = request.timeout {
                options.push(("timeout".to_string(), seconds.to_string()));
            }
            if request.window.is_some() {
                options.push(("windowsize".to_string(), window.to_string()));
            }
            Packet::OptionAck(options).encode()
        });
        Transfer {
            size,
            block_size,
            window: u64::from(window),
            negotiated: option_ack.is_none(),
            option_ack,
            asked_size: request.size,
            fixed_timeout: request.timeout.map(|seconds| Duration::from_secs(u64::from(seconds))),
            round_trip: None,
            acknowledged: 0,
            next: 0,
            highest: 0,
            deadline: None,
            sent_at: None,
            tries: 0,
            ended: None,
        }
    }

    /// What to do now; to be asked until it says to wait or that it is finished.
    pub fn poll(&mut self, now: Duration) -> Step {
        if let Some(outcome) = &self.ended {
            return Step::Finished(outcome.clone());
        }
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            return self.give_up_or_go_back(now);
        }
        if !self.negotiated {
            return match (&self.option_ack, self.deadline) {
                (Some(packet), None) => {
                    let packet = packet.clone();
                    self.wait_from(now);
                    Step::Send(Send::OptionAck(packet))
                }
                (_, until) => Step::Wait { until: until.unwrap_or(now) },
            };
        }
        if self.next < self.window_end() {
            let offset = self.next * u64::from(self.block_size);
            let length = u16::try_from((self.size - offset).min(u64::from(self.block_size))).unwrap_or(self.block_size);
            self.next += 1;
            self.highest = self.highest.max(self.next);
            self.wait_from(now);
            return Step::Send(Send::Data { block: low16(self.next), offset, length });
        }
        Step::Wait { until: self.deadline.unwrap_or(now) }
    }

    /// Takes a packet of the client.
    pub fn receive(&mut self, packet: &Packet, now: Duration) {
        match packet {
            Packet::Ack { block } => self.acknowledge(*block, now),
            Packet::Error { code, message } => {
                let outcome = if !self.negotiated && self.asked_size {
                    Outcome::SizeOnly
                } else {
                    Outcome::Refused { code: *code, message: message.clone() }
                };
                self.ended.get_or_insert(outcome);
            }
            // Nothing else belongs into a transfer of ours; answering would only make more of it.
            Packet::Read(_) | Packet::Write | Packet::Data { .. } | Packet::OptionAck(_) => {}
        }
    }

    /// The client's port is closed.
    pub fn unreachable(&mut self) {
        let outcome = self.silence();
        self.ended.get_or_insert(outcome);
    }

    /// Bytes in a full block, as agreed.
    pub fn block_size(&self) -> u16 {
        self.block_size
    }

    /// Blocks in a window, as agreed.
    pub fn window(&self) -> u64 {
        self.window
    }

    fn acknowledge(&mut self, block: u16, now: Duration) {
        if !self.negotiated {
            if block == 0 {
                self.negotiated = true;
                self.measured(now);
                self.progressed();
            }
            return;
        }
        let ahead = u64::from(block.wrapping_sub(low16(self.acknowledged)));
        if ahead == 0 {
            self.hint(now);
        } else if ahead <= self.highest - self.acknowledged {
            self.measured(now);
            self.acknowledged += ahead;
            // Not the last of the window means that what follows it was lost (RFC 7440, 4).
            self.next = self.acknowledged;
            self.progressed();
            if self.acknowledged == self.blocks() {
                self.ended = Some(Outcome::Sent);
            }
        }
    }

    /// The same acknowledgement again: a duplicate of the network, or word that the first block of a window was lost. Which
    /// one, time tells: the window's own answer comes within a round trip.
    fn hint(&mut self, now: Duration) {
        if self.window > 1
            && self.next > self.acknowledged
            && let (Some(round_trip), Some(deadline)) = (self.round_trip, self.deadline)
        {
            let soon = now + (round_trip * 2).max(Duration::from_millis(5));
            self.deadline = Some(deadline.min(soon));
        }
    }

    fn give_up_or_go_back(&mut self, now: Duration) -> Step {
        self.tries += 1;
        if self.tries >= TRIES {
            let outcome = self.silence();
            self.ended = Some(outcome.clone());
            return Step::Finished(outcome);
        }
        self.next = self.acknowledged;
        self.deadline = None;
        // Karn: an answer could now belong to either sending.
        self.sent_at = None;
        self.poll(now)
    }

    fn silence(&self) -> Outcome {
        if self.negotiated && self.highest == self.blocks() {
            Outcome::Unconfirmed
        } else {
            Outcome::Silent { acknowledged: (self.acknowledged * u64::from(self.block_size)).min(self.size) }
        }
    }

    fn wait_from(&mut self, now: Duration) {
        if self.tries == 0 {
            self.sent_at = Some(now);
        }
        self.deadline = Some(now + self.timeout());
    }

    fn timeout(&self) -> Duration {
        if let Some(fixed) = self.fixed_timeout {
            return fixed;
        }
        let base = self.round_trip.map_or(FIRST_TIMEOUT, |time| (time * 4).clamp(SHORTEST_TIMEOUT, FIRST_TIMEOUT));
        base.saturating_mul(1 << self.tries.min(6)).min(LONGEST_TIMEOUT)
    }

    fn measured(&mut self, now: Duration) {
        if let Some(sent) = self.sent_at.take() {
            let sample = now.saturating_sub(sent);
            self.round_trip = Some(self.round_trip.map_or(sample, |time| (time * 7 + sample) / 8));
        }
    }

    fn progressed(&mut self) {
        self.tries = 0;
        self.deadline = None;
        self.sent_at = None;
    }

    /// A file whose size divides evenly ends in an empty block.
    fn blocks(&self) -> u64 {
        self.size / u64::from(self.block_size) + 1
    }

    fn window_end(&self) -> u64 {
        (self.acknowledged + self.window).min(self.blocks())
    }
}

/// Block numbers go round after 65535 (and 0 follows, as every client in use has it).
fn low16(number: u64) -> u16 {
    u16::try_from(number & 0xffff).unwrap_or(0)
}
