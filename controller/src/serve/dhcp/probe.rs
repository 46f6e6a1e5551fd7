//! ARP probes under way: which address, for whom, since when. Time comes from tokio's clock.

use std::collections::HashMap;
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

/// All probes under way, by address.
#[derive(Debug, Default)]
pub struct Probes(HashMap<Ipv4Addr, Probe>);

#[derive(Debug)]
struct Probe {
    incoming: Incoming,
    question: Question,
    began: Instant,
    repeated: bool,
}

impl Probes {
    /// Begins to wait for claims; a client that asks again meanwhile is answered for its last question. True when the
    /// link has to be asked.
    pub fn begin(&mut self, address: Ipv4Addr, incoming: Incoming, question: Question) -> bool {
        if let Some(probe) = self.0.get_mut(&address) {
            probe.incoming = incoming;
            probe.question = question;
            return false;
        }
        self.0.insert(address, Probe { incoming, question, began: Instant::now(), repeated: false });
        true
    }

    /// A claim of an address that is probed there, by anybody but the client itself: its question, to be answered anew.
    pub fn claimed(&mut self, interface: u32, sender: ArpSender) -> Option<(Incoming, Question)> {
        let probe = self.0.get(&sender.address)?;
        if probe.incoming.interface != interface || probe.question.hardware.mac() == Some(sender.mac) {
            return None;
        }
        self.0.remove(&sender.address).map(|probe| (probe.incoming, probe.question))
    }

    /// Probes whose request is to be sent once more.
    pub fn repeats(&mut self) -> Vec<(u32, Ipv4Addr)> {
        let now = Instant::now();
        let due = self.0.iter_mut().filter(|(_, probe)| !probe.repeated && probe.began + REPEAT <= now);
        due.map(|(address, probe)| {
            probe.repeated = true;
            (probe.incoming.interface, *address)
        })
        .collect()
    }

    /// Probes that nobody answered.
    pub fn silent(&mut self) -> Vec<(Ipv4Addr, Incoming, Question)> {
        let now = Instant::now();
        let over: Vec<Ipv4Addr> =
            self.0.iter().filter(|(_, probe)| probe.began + SILENCE <= now).map(|(address, _)| *address).collect();
        over.into_iter()
            .filter_map(|address| self.0.remove(&address).map(|probe| (address, probe.incoming, probe.question)))
            .collect()
    }

    /// When something is to be done next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.0.values().map(|probe| probe.began + if probe.repeated { SILENCE } else { REPEAT }).min()
    }
}

/// Sleeps until then, or for ever.
pub async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
