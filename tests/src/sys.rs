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
