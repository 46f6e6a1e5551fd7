//! When the boot cannot go on: say why, wait for a person, else reboot. PID 1 never exits, so the kernel never panics.

use std::io::Read;
use std::os::fd::AsFd;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

use crate::log;
use crate::steps::scripts::shell;

/// How long a person has to press a key. The kernel hands words such as `WWCLIENT_PATIENCE=5` of its command line to
/// PID 1 as environment.
const PATIENCE: Duration = Duration::from_secs(60);

/// The end of a boot that failed.
pub fn rescue(why: &str) -> ! {
    let patience = std::env::var("WWCLIENT_PATIENCE").ok().and_then(|text| text.parse().ok());
    let patience = patience.map_or(PATIENCE, Duration::from_secs);
    log::say(format_args!("the boot stopped: {why}"));
    match shell() {
        None => log::say(format_args!("no shell to look around with; rebooting in {} s", patience.as_secs())),
        Some(_) => {
            log::say(format_args!("press a key within {} s for a shell, else this node reboots", patience.as_secs()))
        }
    }
    if key_pressed(patience)
        && let Some((program, words)) = shell()
    {
        log::say(format_args!("{}: leave it to reboot", program.display()));
        if let Err(e) = Command::new(&program).args(words).env("PS1", "wwclient rescue # ").status() {
            log::say(format_args!("{}: {e}", program.display()));
        }
    }
    log::say(format_args!("rebooting"));
    nix::unistd::sync();
    let Err(e) = reboot(RebootMode::RB_AUTOBOOT);
    log::say(format_args!("reboot: {}; switch this node off and on", e.desc()));
    loop {
        std::thread::sleep(PATIENCE);
    }
}

/// True when a key came in time. Where nobody can press one (no console), the time passes all the same: the message
/// must be readable before the screen goes.
fn key_pressed(patience: Duration) -> bool {
    let end = Instant::now() + patience;
    let input = std::io::stdin();
    let before = by_single_keys(&input);
    let pressed = loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break false;
        }
        let wait = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let ready = poll(&mut [PollFd::new(input.as_fd(), PollFlags::POLLIN)], wait);
        if ready.is_ok_and(|count| count > 0) {
            if input.lock().read(&mut [0; 64]).is_ok_and(|count| count > 0) {
                break true;
            }
            std::thread::sleep(left);
        }
    };
    if let Some(before) = before {
        let _ = tcsetattr(&input, SetArg::TCSANOW, &before);
    }
    pressed
}

fn by_single_keys(input: &std::io::Stdin) -> Option<Termios> {
    let before = tcgetattr(input).ok()?;
    let mut single = before.clone();
    single.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
    tcsetattr(input, SetArg::TCSANOW, &single).ok()?;
    Some(before)
}
