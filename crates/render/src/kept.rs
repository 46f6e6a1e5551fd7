//! Clock and randomness of a render, which are no inputs: what is rendered again from the same inputs gets the values of
//! the first time.
//!
//! A [`Moment`] is the time and the seed that a template had. It is kept under the key of all else that the template
//! read, so it comes back when the inputs do. Within one render the clock stands still, and random bytes are a stream
//! made from the seed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sha2::{Digest, Sha256};
use template::{Failure, Text, Time, World, Zone};

use crate::reads::{Read, Reads};

/// The first bytes of a digest, enough to tell what one site renders.
pub type Key = [u8; 16];

/// The first half of a digest.
pub fn short(digest: &[u8; 32]) -> Key {
    let mut key = Key::default();
    key.iter_mut().zip(digest).for_each(|(to, from)| *to = *from);
    key
}

/// What a template got that was no input. What it did not ask for is not noted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Seconds since 1970, and nanoseconds.
    pub time: Option<(i64, u32)>,
    /// From this all random values follow: as secret as they are.
    pub seed: Option<[u8; 32]>,
}

impl Moment {
    /// Whether the template asked for nothing.
    pub fn is_empty(&self) -> bool {
        *self == Moment::default()
    }
}

/// A moment, and what it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// The template, by its place.
    pub script: Key,
    /// Its text, and the state of what it read.
    pub inputs: Key,
    pub moment: Moment,
}

/// How many moments of one template are kept.
pub const MOMENTS: usize = 8;

/// Moments of earlier renders, the latest of each template last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept(BTreeMap<Key, Vec<(Key, Moment)>>);

impl Kept {
    /// The moment that belongs to these inputs.
    pub fn find(&self, script: &Key, inputs: &Key) -> Option<Moment> {
        let known = self.0.get(script)?.iter();
        known.rev().find(|(known, _)| known == inputs).map(|(_, moment)| *moment)
    }

    /// The one that was last used, a good guess for the next.
    pub fn latest(&self, script: &Key) -> Option<Moment> {
        self.0.get(script)?.last().map(|(_, moment)| *moment)
    }

    /// Keeps a moment as the latest of its template; the oldest goes when there are too many.
    pub fn keep(&mut self, drawn: &Drawn) {
        let moments = self.0.entry(drawn.script).or_default();
        moments.retain(|(inputs, _)| *inputs != drawn.inputs);
        if moments.len() >= MOMENTS {
            moments.remove(0);
        }
        moments.push((drawn.inputs, drawn.moment));
    }

    /// All, the latest of each template last.
    pub fn iter(&self) -> impl Iterator<Item = Drawn> {
        let of = |(script, moments): (&Key, &Vec<(Key, Moment)>)| {
            let script = *script;
            let drawn = move |(inputs, moment): &(Key, Moment)| Drawn { script, inputs: *inputs, moment: *moment };
            moments.iter().map(drawn).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of)
    }

    /// Of how many templates there are moments.
    pub fn scripts(&self) -> usize {
        self.0.len()
    }

    /// Forgets all but what one of these templates had.
    pub fn only(&mut self, scripts: impl Fn(&Key) -> bool) {
        self.0.retain(|script, _| scripts(script));
    }
}

/// The world outside, as one render sees it: clock and randomness are a moment's, what is looked up is noted.
pub(crate) struct Frozen {
    outside: Arc<dyn World + Send + Sync>,
    reads: Arc<Reads>,
    time: OnceLock<(i64, u32)>,
    seed: OnceLock<[u8; 32]>,
    asked_time: AtomicBool,
    asked_seed: AtomicBool,
    drawn: AtomicU64,
}

impl Frozen {
    /// What the moment does not say is drawn from outside when it is asked for.
    pub(crate) fn new(outside: Arc<dyn World + Send + Sync>, reads: Arc<Reads>, moment: Moment) -> Frozen {
        let (time, seed) = (OnceLock::new(), OnceLock::new());
        if let Some(known) = moment.time {
            time.get_or_init(|| known);
        }
        if let Some(known) = moment.seed {
            seed.get_or_init(|| known);
        }
        let (asked_time, asked_seed, drawn) = Default::default();
        Frozen { outside, reads, time, seed, asked_time, asked_seed, drawn }
    }

    /// What was asked for.
    pub(crate) fn moment(&self) -> Moment {
        let time = self.time.get().filter(|_| self.asked_time.load(Ordering::Relaxed));
        let seed = self.seed.get().filter(|_| self.asked_seed.load(Ordering::Relaxed));
        Moment { time: time.copied(), seed: seed.copied() }
    }
}

impl World for Frozen {
    fn now(&self) -> Time {
        self.asked_time.store(true, Ordering::Relaxed);
        let (seconds, nanos) = *self.time.get_or_init(|| {
            let now = self.outside.now();
            (now.seconds, now.nanos)
        });
        Time::unix(seconds, nanos, self.outside.local_zone())
    }

    fn random(&self, bytes: &mut [u8]) -> Result<(), Failure> {
        self.asked_seed.store(true, Ordering::Relaxed);
        let seed = match self.seed.get() {
            Some(seed) => *seed,
            None => {
                let mut fresh = [0; 32];
                self.outside.random(&mut fresh)?;
                *self.seed.get_or_init(|| fresh)
            }
        };
        for chunk in bytes.chunks_mut(32) {
            let at = self.drawn.fetch_add(1, Ordering::Relaxed);
            let block = Sha256::new().chain_update(seed).chain_update(at.to_le_bytes()).finalize();
            chunk.iter_mut().zip(block).for_each(|(byte, random)| *byte = random);
        }
        Ok(())
    }

    fn environment(&self, name: &str) -> Option<Text> {
        self.reads.note(Read::Environment(name.to_owned()));
        self.outside.environment(name)
    }

    // Asked anew by each render and no input: a request must not wait for a name server to learn whether to build.
    fn addresses(&self, host: &str) -> Vec<String> {
        self.outside.addresses(host)
    }

    fn zone(&self, name: &str) -> Option<Zone> {
        self.outside.zone(name)
    }

    fn local_zone(&self) -> Zone {
        self.outside.local_zone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_come_back_with_their_inputs_and_the_oldest_is_forgotten() {
        let mut kept = Kept::default();
        let at = |n: u8| Moment { time: Some((n.into(), 0)), seed: None };
        for n in 0..10 {
            kept.keep(&Drawn { script: [1; 16], inputs: [n; 16], moment: at(n) });
        }
        assert_eq!(kept.find(&[1; 16], &[1; 16]), None);
        assert_eq!(kept.find(&[1; 16], &[5; 16]), Some(at(5)));
        assert_eq!(kept.latest(&[1; 16]), Some(at(9)));
        assert_eq!(kept.iter().count(), MOMENTS);
        kept.keep(&Drawn { script: [1; 16], inputs: [5; 16], moment: at(5) });
        assert_eq!(kept.latest(&[1; 16]), Some(at(5)));
        assert_eq!(kept.iter().count(), MOMENTS);
        kept.only(|_| false);
        assert_eq!(kept, Kept::default());
    }
}
