//! The leases of the range, as a table in memory. A known node needs none: its address stands in nodes.conf.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use wire::dhcp::{ETHERNET, Hardware, Question};

/// Who holds a lease.
///
/// By hardware address and not by client identifier: ROM, iPXE and the system send three different identifiers, and one
/// machine would take three addresses to boot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Client {
    Hardware(Hardware),
    /// A client without hardware address in its packets (InfiniBand).
    Id(Vec<u8>),
}

impl Client {
    /// The client that asks.
    pub fn asking(question: &Question) -> Client {
        match &question.client_id {
            Some(id) if question.hardware.bytes().is_empty() => Client::Id(id.clone()),
            _ => Client::Hardware(question.hardware),
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Client::Hardware(hardware) if hardware.kind() == ETHERNET => write!(f, "{hardware}"),
            Client::Hardware(hardware) => write!(f, "{}/{hardware}", hardware.kind()),
            Client::Id(id) => {
                f.write_str("id/")?;
                id.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

impl FromStr for Client {
    type Err = String;

    fn from_str(text: &str) -> Result<Client, String> {
        let wrong = || format!("{text:?} is neither a hardware address nor a client identifier");
        if let Some(id) = text.strip_prefix("id/") {
            let digits: Vec<char> = id.chars().collect();
            let bytes = digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16));
            return Ok(Client::Id(bytes.collect::<Result<_, _>>().map_err(|_| wrong())?));
        }
        let (kind, address) = match text.split_once('/') {
            Some((kind, address)) => (kind.parse().map_err(|_| wrong())?, address),
            None => (ETHERNET, text),
        };
        let bytes: Result<Vec<u8>, _> = match address {
            "-" => Ok(Vec::new()),
            _ => address.split(':').map(|part| u8::from_str_radix(part, 16)).collect(),
        };
        Hardware::new(kind, &bytes.map_err(|_| wrong())?).map(Client::Hardware).ok_or_else(wrong)
    }
}

/// What is known of an address of the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Kept for the client while the link is asked whether somebody has it. Never on disk.
    Asking,
    /// Kept for the client for the moment. Never on disk.
    Offered,
    /// The client's, until its time is over.
    Bound,
    /// Given back; kept in mind for the client.
    Released,
    /// The client found that somebody else uses it.
    Declined,
    /// Somebody answered when we asked for it.
    Taken,
}

impl State {
    /// The word in the lease file.
    pub fn word(self) -> &'static str {
        match self {
            State::Asking => "asking",
            State::Offered => "offered",
            State::Bound => "bound",
            State::Released => "released",
            State::Declined => "declined",
            State::Taken => "taken",
        }
    }

    /// The state of that word.
    pub fn of(word: &str) -> Option<State> {
        let all = [State::Asking, State::Offered, State::Bound, State::Released, State::Declined, State::Taken];
        all.into_iter().find(|state| state.word() == word)
    }
}

/// One address: whose, in what state, until when (seconds since 1970).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub address: Ipv4Addr,
    pub client: Client,
    pub state: State,
    pub until: u64,
}

impl Lease {
    /// Whether a kill and a restart must not forget it.
    pub fn is_durable(&self) -> bool {
        !matches!(self.state, State::Asking | State::Offered)
    }

    /// Whether nobody but its client may have the address now.
    pub fn holds(&self, now: u64) -> bool {
        self.state != State::Released && self.until > now
    }
}

/// All leases, by address; a later entry replaces an earlier one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leases {
    by_address: BTreeMap<Ipv4Addr, Lease>,
    by_client: HashMap<Client, Ipv4Addr>,
    by_end: BTreeSet<(u64, Ipv4Addr)>,
    /// First address of the range, and the first from there on that never had an entry: spares walking a full range.
    aim: Option<(Ipv4Addr, Ipv4Addr)>,
}

impl Leases {
    /// Notes what has become of an address.
    pub fn put(&mut self, lease: Lease) {
        let address = lease.address;
        if let Some(old) = self.by_address.get(&address) {
            self.by_end.remove(&(end(old), address));
            if self.by_client.get(&old.client) == Some(&address) {
                self.by_client.remove(&old.client);
            }
        }
        if !matches!(lease.state, State::Declined | State::Taken) {
            self.by_client.insert(lease.client.clone(), address);
        }
        self.by_end.insert((end(&lease), address));
        self.by_address.insert(address, lease);
        if let Some((start, free)) = self.aim
            && free == address
        {
            self.aim = Some((start, self.untouched_from(free)));
        }
    }

    /// What is known of the client.
    pub fn of(&self, client: &Client) -> Option<&Lease> {
        self.by_client.get(client).and_then(|address| self.by_address.get(address))
    }

    /// What is known of the address.
    pub fn at(&self, address: Ipv4Addr) -> Option<&Lease> {
        self.by_address.get(&address)
    }

    /// All entries, by address.
    pub fn iter(&self) -> impl Iterator<Item = &Lease> {
        self.by_address.values()
    }

    /// Addresses with an entry.
    pub fn count(&self) -> usize {
        self.by_address.len()
    }

    /// Tells the first address of the range, so that finding a free one stays quick.
    pub fn aim(&mut self, start: Ipv4Addr) {
        if self.aim.is_none_or(|(known, _)| known != start) {
            self.aim = Some((start, self.untouched_from(start)));
        }
    }

    /// An address from `start` to `end` for a new client: one that never was in use, else the one longest out of use.
    pub fn pick(&self, start: Ipv4Addr, end: Ipv4Addr, now: u64, may: impl Fn(Ipv4Addr) -> bool) -> Option<Ipv4Addr> {
        let first = self.aim.filter(|(known, _)| *known == start).map_or(start, |(_, free)| free);
        let untouched = (first.to_bits()..=end.to_bits())
            .map(Ipv4Addr::from_bits)
            .find(|address| !self.by_address.contains_key(address) && may(*address));
        untouched.or_else(|| {
            let over = self.by_end.iter().take_while(|(until, _)| *until <= now).map(|(_, address)| *address);
            over.into_iter().find(|address| (start..=end).contains(address) && may(*address))
        })
    }

    fn untouched_from(&self, start: Ipv4Addr) -> Ipv4Addr {
        let mut next = start;
        for &address in self.by_address.range(start..).map(|(address, _)| address) {
            if address != next || next == Ipv4Addr::BROADCAST {
                break;
            }
            next = Ipv4Addr::from_bits(next.to_bits() + 1);
        }
        next
    }
}

/// A released address is free at once, whatever its time was.
fn end(lease: &Lease) -> u64 {
    if lease.state == State::Released { 0 } else { lease.until }
}
