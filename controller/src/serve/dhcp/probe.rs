//! ARP probes under way: which address, for whom, since when. Time is passed in.

use std::collections::{HashMap, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::time::Instant;
use wire::dhcp::Question;
use wire::frame::ArpSender;

use super::socket::Incoming;

/// A second request goes out after this; the first may have been lost.
const REPEAT: Duration = Duration::from_millis(80);
/// Nobody answered. On a link of one building a host answers within a few milliseconds.
const SILENCE: Duration = Duration::from_millis(200);

/// All probes under way.
#[derive(Debug, Default)]
pub struct Probes {
    waiting: HashMap<Ipv4Addr, Probe>,
    /// In order of their beginning, so that what is due is found without a walk. Some may be over already.
    repeats: VecDeque<(Instant, Ipv4Addr)>,
    ends: VecDeque<(Instant, Ipv4Addr)>,
}

#[derive(Debug)]
struct Probe {
    incoming: Incoming,
    question: Question,
    began: Instant,
}

impl Probes {
    /// Begins to wait for claims; a client that asks again meanwhile is answered for its last question. True when the
    /// link has to be asked.
    pub fn begin(&mut self, address: Ipv4Addr, incoming: Incoming, question: Question, now: Instant) -> bool {
        if let Some(probe) = self.waiting.get_mut(&address) {
            probe.incoming = incoming;
            probe.question = question;
            return false;
        }
        self.waiting.insert(address, Probe { incoming, question, began: now });
        self.repeats.push_back((now, address));
        self.ends.push_back((now, address));
        true
    }

    /// A claim of an address that is probed there, by anybody but the client itself: its question, to be answered anew.
    pub fn claimed(&mut self, interface: u32, sender: ArpSender) -> Option<(Incoming, Question)> {
        let probe = self.waiting.get(&sender.address)?;
        if probe.incoming.interface != interface || probe.question.hardware.mac() == Some(sender.mac) {
            return None;
        }
        self.waiting.remove(&sender.address).map(|probe| (probe.incoming, probe.question))
    }

    /// Probes whose request is to be sent once more.
    pub fn repeats(&mut self, now: Instant) -> Vec<(u32, Ipv4Addr)> {
        let due = due(&mut self.repeats, REPEAT, now);
        due.into_iter()
            .filter_map(|(_, address)| Some((self.waiting.get(&address)?.incoming.interface, address)))
            .collect()
    }

    /// Probes that nobody answered.
    pub fn silent(&mut self, now: Instant) -> Vec<(Ipv4Addr, Incoming, Question)> {
        let mut silent = Vec::new();
        for (began, address) in due(&mut self.ends, SILENCE, now) {
            // One that was over may have begun anew since.
            if self.waiting.get(&address).is_some_and(|probe| probe.began == began)
                && let Some(probe) = self.waiting.remove(&address)
            {
                silent.push((address, probe.incoming, probe.question));
            }
        }
        silent
    }

    /// When something is to be done next.
    pub fn next_deadline(&self) -> Option<Instant> {
        let repeat = self.repeats.front().map(|(began, _)| *began + REPEAT);
        let end = self.ends.front().map(|(began, _)| *began + SILENCE);
        [repeat, end].into_iter().flatten().min()
    }
}

fn due(queue: &mut VecDeque<(Instant, Ipv4Addr)>, after: Duration, now: Instant) -> Vec<(Instant, Ipv4Addr)> {
    let count = queue.partition_point(|(began, _)| *began + after <= now);
    queue.drain(..count).collect()
}

/// Sleeps until then, or for ever.
pub async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 10, 0, 100);

    fn asked(mac: u8) -> (Incoming, Question) {
        let mut bytes = vec![0; 240];
        bytes[..3].copy_from_slice(&[1, 1, 6]);
        bytes[33] = mac;
        bytes[236..].copy_from_slice(&[99, 130, 83, 99]);
        bytes.extend_from_slice(&[53, 1, 1, 255]);
        let question = Question::decode(&bytes).unwrap();
        let from = std::net::SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68);
        (Incoming { interface: 2, from, port: 67, unicast: false, bytes }, question)
    }

    fn claim(mac: u8) -> ArpSender {
        ArpSender { mac: [0, 0, 0, 0, 0, mac], address: ADDRESS }
    }

    #[test]
    fn a_probe_is_repeated_once_and_over_after_a_fifth_of_a_second() {
        let mut probes = Probes::default();
        let start = Instant::now();
        let (incoming, question) = asked(1);
        assert!(probes.begin(ADDRESS, incoming.clone(), question.clone(), start));
        assert!(!probes.begin(ADDRESS, incoming, question, start), "the client asks again: the link is not");
        assert_eq!(probes.next_deadline(), Some(start + REPEAT));
        assert!(probes.repeats(start).is_empty());
        assert_eq!(probes.repeats(start + REPEAT), [(2, ADDRESS)]);
        assert!(probes.silent(start + REPEAT).is_empty());
        assert_eq!(probes.next_deadline(), Some(start + SILENCE));
        assert!(probes.repeats(start + SILENCE).is_empty());
        assert_eq!(probes.silent(start + SILENCE).len(), 1);
        assert_eq!(probes.next_deadline(), None);
    }

    #[test]
    fn a_claim_counts_when_it_is_another_machines_on_the_same_link() {
        let mut probes = Probes::default();
        let start = Instant::now();
        let (incoming, question) = asked(1);
        probes.begin(ADDRESS, incoming.clone(), question.clone(), start);
        assert!(probes.claimed(3, claim(9)).is_none(), "another link");
        assert!(probes.claimed(2, claim(1)).is_none(), "the client itself");
        assert!(probes.claimed(2, claim(9)).is_some());
        assert!(probes.claimed(2, claim(9)).is_none(), "over already");
        // Begun anew: the end of the first is not the end of the second.
        probes.begin(ADDRESS, incoming, question, start + REPEAT);
        assert!(probes.silent(start + SILENCE).is_empty());
        assert_eq!(probes.silent(start + REPEAT + SILENCE).len(), 1);
    }
}
