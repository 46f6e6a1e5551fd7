//! Ticks of the file system's clock: who looks at a file within the tick in which it changed may miss the next change.
//!
//! Times of change come in steps of some milliseconds. A file that changed in the present step can change again and
//! bear the same time, and the same size: nothing would tell the two states apart any more. So a look that met such a
//! file waits until the step is over and looks again; whatever changes from then on bears a later time. That costs a few
//! milliseconds once after an edit, and nothing otherwise.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use nix::sys::time::TimeValLike as _;
use nix::time::{ClockId, clock_gettime};

/// Seconds since 1970, and nanoseconds.
type Moment = (i64, i64);

/// A look at files, begun at a certain time.
#[derive(Debug)]
pub struct Tick {
    begun: Moment,
    /// The latest time of change that was met, when it is so late that it may come again.
    open: Option<Moment>,
}

impl Tick {
    /// Before the first file is looked at.
    pub fn begin() -> Tick {
        Tick { begun: now(), open: None }
    }

    /// Every file that the look depends on.
    pub fn saw(&mut self, data: &Metadata) {
        if let Some(end) = open_until((data.ctime(), data.ctime_nsec()), self.begun) {
            self.open = self.open.max(Some(end));
        }
    }
}

/// Looks until nothing that was seen could change again without a trace. False: something changes in every tick, and what
/// was seen must not be taken for known.
pub fn settled<T>(mut look: impl FnMut(&mut Tick) -> T) -> (T, bool) {
    let mut tries = 0;
    loop {
        let mut tick = Tick::begin();
        let seen = look(&mut tick);
        let Some(end) = tick.open else { return (seen, true) };
        if tries == TRIES {
            return (seen, false);
        }
        tries += 1;
        // The longest tick in use is 10 ms; coarse file systems count whole seconds.
        for _ in 0..2000 {
            if now() > end {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// A file that is written all the time is not waited for longer.
const TRIES: u32 = 5;

/// Bytes that differ each time: what did not settle is never the same twice.
pub fn never_again() -> [u8; 16] {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| time.num_nanoseconds());
    let mut bytes = [0xff; 16];
    for (to, from) in bytes.iter_mut().zip(time.to_le_bytes()) {
        *to = from;
    }
    bytes
}

/// Until when a file that changed at `changed` may change again under the same time, if a look that began at `begun` saw
/// it. A time in the future is none that the clock gives out next.
fn open_until(changed: Moment, begun: Moment) -> Option<Moment> {
    let (seconds, nanoseconds) = changed;
    // File systems that keep whole seconds only: ext3, and ext4 with small inodes.
    let end = if nanoseconds == 0 { (seconds, 999_999_999) } else { changed };
    (end >= begun && seconds <= begun.0 + 1).then_some(end)
}

/// The clock that files are stamped with.
fn now() -> Moment {
    clock_gettime(ClockId::CLOCK_REALTIME_COARSE).map_or((0, 0), |time| (time.tv_sec(), time.tv_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changed_within_the_tick_is_open_and_an_older_or_future_one_is_not() {
        let begun = (100, 500);
        assert_eq!(open_until((100, 499), begun), None);
        assert_eq!(open_until((100, 500), begun), Some((100, 500)));
        assert_eq!(open_until((101, 1), begun), Some((101, 1)));
        assert_eq!(open_until((102, 1), begun), None, "a clock that was put back");
        assert_eq!(open_until((99, 0), begun), None);
        assert_eq!(open_until((100, 0), begun), Some((100, 999_999_999)), "whole seconds");
    }

    #[test]
    fn two_edits_in_a_row_never_look_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        std::fs::write(&file, "0").unwrap();
        let look = || {
            settled(|tick| {
                let data = std::fs::metadata(&file).unwrap();
                tick.saw(&data);
                (data.ctime(), data.ctime_nsec())
            })
        };
        let mut before = look();
        for round in 0..20 {
            std::fs::write(&file, format!("{}", round % 10)).unwrap();
            let after = look();
            assert!(after.1 && after != before, "round {round}: {after:?}");
            before = after;
        }
    }

    #[test]
    fn what_changes_in_every_tick_is_not_taken_for_known() {
        let mut looks = 0;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        let (_, settled) = settled(|tick| {
            looks += 1;
            std::fs::write(&file, "x").unwrap();
            tick.saw(&std::fs::metadata(&file).unwrap());
        });
        assert_eq!((looks, settled), (TRIES + 1, false));
        assert_ne!(never_again(), never_again());
    }
}
