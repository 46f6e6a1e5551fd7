//! What this program says, on standard error: the console for PID 1, the journal for the agent.
//!
//! No time stamps: the console has the kernel's, the journal its own.

use std::fmt::Arguments;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

static DEBUG: AtomicBool = AtomicBool::new(false);

/// Switches [`debug`] on.
pub fn set_debug(on: bool) {
    DEBUG.store(on, Ordering::Relaxed);
}

/// One line. A console that cannot be written to must stop nobody.
pub fn say(what: Arguments<'_>) {
    let _ = std::io::stderr().lock().write_all(format!("wwclient: {what}\n").as_bytes());
}

/// One line for who asked for more.
pub fn debug(what: Arguments<'_>) {
    if DEBUG.load(Ordering::Relaxed) {
        say(what);
    }
}

/// Says a trouble when it begins or changes, and once that it is over.
#[derive(Debug, Default)]
pub struct Trouble {
    said: Option<String>,
}

impl Trouble {
    pub fn is(&mut self, what: String) {
        if self.said.as_ref() != Some(&what) {
            say(format_args!("{what}"));
            self.said = Some(what);
        } else {
            debug(format_args!("{what} (still)"));
        }
    }

    pub fn over(&mut self, what: Arguments<'_>) {
        if self.said.take().is_some() {
            say(what);
        }
    }
}
