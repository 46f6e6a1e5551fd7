//! Processor time of other processes, in nanoseconds, with all their threads that have ended.

use anyhow::Context;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// Seconds of a running process, user and system.
///
/// # Errors
/// When it has ended.
pub fn of(process: u32) -> anyhow::Result<f64> {
    let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(process)?)).context("the server has ended")?;
    Ok(clock_gettime(clock)?.num_nanoseconds() as f64 / 1e9)
}

/// Seconds of all children of ours that have ended and were waited for, and of theirs.
///
/// # Errors
/// Never in practice.
pub fn children() -> anyhow::Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    Ok((usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6)
}
