//! When the agent asks. Pure: times are what has passed since it began.
//!
//! Each node asks at its own point of the interval, so that a room full of them that was switched on at once does not
//! come at once; and what failed is tried again later and later, never all together.

use std::time::Duration;

/// A node's own beat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rhythm {
    interval: Duration,
    /// Within the interval, from the node's address.
    phase: Duration,
    seed: u64,
}

impl Rhythm {
    pub fn new(interval: Duration, wwid: &str) -> Rhythm {
        let seed = hash(wwid);
        let milliseconds = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1);
        Rhythm { interval, phase: Duration::from_millis(seed % milliseconds), seed }
    }

    /// The next beat after `now`.
    pub fn next(&self, now: Duration) -> Duration {
        if now < self.phase {
            return self.phase;
        }
        let beats = (now - self.phase).as_nanos() / self.interval.as_nanos().max(1) + 1;
        let after = u64::try_from(beats * self.interval.as_nanos()).map_or(Duration::MAX, Duration::from_nanos);
        self.phase.saturating_add(after)
    }

    /// After that many failures in a row: from 2 s doubling to the interval, of which half is the node's own.
    pub fn retry(&self, failures: u32) -> Duration {
        let longest = Duration::from_secs(2).saturating_mul(1 << failures.saturating_sub(1).min(16)).min(self.interval);
        let part = mix(self.seed ^ u64::from(failures)) % 1000;
        longest / 2 + longest.mul_f64(0.0005 * f64::from(u16::try_from(part).unwrap_or(0)))
    }
}

/// FNV-1a, then mixed, because addresses differ in their last digits.
fn hash(text: &str) -> u64 {
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    mix(text.bytes().map(|b| b.to_ascii_lowercase()).fold(0xcbf2_9ce4_8422_2325, fold))
}

fn mix(mut x: u64) -> u64 {
    x = (x ^ x >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    x = (x ^ x >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ x >> 33
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn beats_come_an_interval_apart_whenever_the_last_one_ended() {
        let rhythm = Rhythm::new(MINUTE, "52:54:00:10:00:01");
        let first = rhythm.next(Duration::ZERO);
        assert!(first <= MINUTE);
        assert_eq!(rhythm.next(first), first + MINUTE);
        assert_eq!(rhythm.next(first + Duration::from_secs(59)), first + MINUTE);
        assert_eq!(rhythm.next(first + Duration::from_secs(61)), first + MINUTE * 2);
    }

    #[test]
    fn a_thousand_nodes_spread_over_the_interval() {
        let mut seconds = [0u32; 60];
        for node in 0..1000 {
            let wwid = format!("52:54:00:10:{:02x}:{:02x}", node / 256, node % 256);
            let at = Rhythm::new(MINUTE, &wwid).next(Duration::ZERO).as_secs();
            seconds[usize::try_from(at).unwrap() % 60] += 1;
        }
        assert!(seconds.iter().all(|count| (3..=40).contains(count)), "{seconds:?}");
    }

    #[test]
    fn one_node_keeps_its_beat_however_its_address_is_written() {
        let beat = |wwid| Rhythm::new(MINUTE, wwid).next(Duration::ZERO);
        assert_eq!(beat("52:54:00:AB:00:01"), beat("52:54:00:ab:00:01"));
    }

    #[test]
    fn failures_are_tried_again_later_and_later_up_to_the_interval() {
        let rhythm = Rhythm::new(MINUTE, "a");
        for (failures, longest) in [(1, 2), (2, 4), (3, 8), (6, 60), (1000, 60)] {
            let retry = rhythm.retry(failures).as_secs_f64();
            let longest = f64::from(longest);
            assert!((longest / 2.0..=longest).contains(&retry), "{failures}: {retry}");
        }
    }
}
