//! The few system calls that have no safe wrapper: what a child does between fork and exec, and a signal handler.
#![allow(unsafe_code, reason = "the one file of this crate with system calls")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use nix::sched::{CloneFlags, setns};
use nix::sys::prctl;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// The child lives in that network namespace, and no longer than the thread that started it.
pub fn tie(command: &mut Command, namespace: Option<Arc<OwnedFd>>) {
    let prepare = move || -> io::Result<()> {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        if let Some(namespace) = &namespace {
            setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET)?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed: prctl and setns are plain system calls,
    // and nothing here allocates or locks.
    unsafe { command.pre_exec(prepare) };
}

static STOP: AtomicI32 = AtomicI32::new(-1);

/// From now on SIGINT, SIGTERM and SIGHUP write one byte into the pipe and do nothing else.
///
/// # Errors
/// When a handler cannot be installed.
pub fn stops_write_to(pipe: OwnedFd) -> nix::Result<()> {
    extern "C" fn note(_signal: libc::c_int) {
        let byte = 1u8;
        // SAFETY: write(2) is async-signal-safe; the descriptor was leaked below and is open for good; one byte is read.
        unsafe { libc::write(STOP.load(Ordering::Relaxed), (&raw const byte).cast(), 1) };
    }
    STOP.store(pipe.as_raw_fd(), Ordering::Relaxed);
    std::mem::forget(pipe);
    let action = SigAction::new(SigHandler::Handler(note), SaFlags::SA_RESTART, SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: the handler does nothing but one async-signal-safe call.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
}

/// Opens a tap that is there, in the network namespace of the calling thread: its frames, one a read or write.
///
/// # Errors
/// When the kernel has no such tap, or somebody else holds it.
pub fn open_tap(name: &str) -> io::Result<std::fs::File> {
    let tap = std::fs::File::options().read(true).write(true).open("/dev/net/tun")?;
    // SAFETY: an ifreq is plain integers and unions of them, for which zeros are a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays 0.
    for (to, from) in request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1).zip(name.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_TAP | libc::IFF_NO_PI).map_err(io::Error::other)?;
    // SAFETY: TUNSETIFF reads and writes one ifreq, which lives through the call.
    let set = unsafe { libc::ioctl(tap.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if set < 0 { Err(io::Error::last_os_error()) } else { Ok(tap) }
}

/// What `undo` holds is undone when the program ends by itself.
pub fn at_exit_tidy() {
    extern "C" fn tidy() {
        crate::undo::at_exit();
    }
    // SAFETY: the function takes nothing, returns nothing and does not unwind: it only removes files and sends signals.
    unsafe { libc::atexit(tidy) };
}

/// Ends the process at once, whatever its other threads do.
pub fn leave(code: i32) -> ! {
    // SAFETY: _exit(2) runs nothing of ours and does not return.
    unsafe { libc::_exit(code) }
}
