//! Scenario: a boot that is made once for all the tests that look at it, and at most two of them at a time.

use std::sync::{Condvar, Mutex, OnceLock};
use std::time::Duration;

/// An emulated machine on a busy host: patience, not measurement.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// What two cores carry.
const AT_ONCE: usize = 2;

/// A boot and its record.
pub struct Scenario<R: 'static> {
    make: fn() -> anyhow::Result<R>,
    record: OnceLock<Result<R, String>>,
}

impl<R> Scenario<R> {
    pub const fn new(make: fn() -> anyhow::Result<R>) -> Scenario<R> {
        Scenario { make, record: OnceLock::new() }
    }

    /// The record of the boot, which is made now if nobody has asked before. None where machines cannot run: the test
    /// was skipped. A boot that failed fails every test that looks at it, with the reason.
    pub fn record(&'static self) -> Option<&'static R> {
        if let Err(reason) = tests::place::can_boot() {
            tests::skip(&reason.to_string());
            return None;
        }
        let made = self.record.get_or_init(|| {
            let _seat = Seat::take();
            tests::undo::on_stop().ok();
            (self.make)().map_err(|error| format!("{error:#}"))
        });
        match made {
            Ok(record) => Some(record),
            Err(reason) => panic!("the boot that this looks at failed: {reason}"),
        }
    }
}

static SEATS: (Mutex<usize>, Condvar) = (Mutex::new(AT_ONCE), Condvar::new());

struct Seat;

impl Seat {
    fn take() -> Seat {
        let (free, freed) = &SEATS;
        let mut free = freed.wait_while(free.lock().unwrap(), |free| *free == 0).unwrap();
        *free -= 1;
        Seat
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        *SEATS.0.lock().unwrap() += 1;
        SEATS.1.notify_one();
    }
}
