//! One agent and never two, and what the service manager hears of it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, socket};
use nix::unistd::ForkResult;
use sd_notify::NotifyState;
use std::os::fd::{AsRawFd, OwnedFd};

use crate::sys;

/// Held while the agent lives; dropped, the process id file is gone.
#[derive(Debug)]
pub struct Presence {
    file: File,
    path: PathBuf,
    /// A name that the kernel keeps, because /run may be mounted over after the agent began.
    _name: OwnedFd,
}

impl Presence {
    /// Takes the place, or says who has it.
    pub fn take(path: &Path, target: &Path) -> anyhow::Result<Presence> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .with_context(|| format!("{}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let _ = file.read_to_string(&mut pid);
                bail!("an agent is running already, process {}; `kill -HUP` makes it ask now", pid.trim());
            }
            Err(TryLockError::Error(e)) => return Err(e).with_context(|| format!("{}", path.display())),
        }
        let name = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
        let address = UnixAddr::new_abstract(format!("wwclient {}", target.display()).as_bytes())?;
        if bind(name.as_raw_fd(), &address).is_err() {
            bail!("an agent for {} is running already", target.display());
        }
        Ok(Presence { file, path: path.to_owned(), _name: name })
    }

    /// Writes the process id, which background changes.
    pub fn announce(&mut self) -> anyhow::Result<()> {
        let written = (|| {
            self.file.set_len(0)?;
            self.file.rewind()?;
            writeln!(self.file, "{}", std::process::id())
        })();
        written.with_context(|| format!("{}", self.path.display()))
    }

    /// The end.
    pub fn leave(self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Goes on in the background: the caller's process ends here, well. What is locked stays locked.
pub fn background() -> anyhow::Result<()> {
    match sys::fork().context("cannot go into the background")? {
        ForkResult::Parent { .. } => std::process::exit(0),
        ForkResult::Child => {
            let _ = nix::unistd::setsid();
            std::env::set_current_dir("/").context("/")
        }
    }
}

/// How often the service manager wants to hear that the agent lives; half of what it allows.
pub fn pulse() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|allowed| allowed / 2)
}

pub fn alive() {
    let _ = sd_notify::notify(&[NotifyState::Watchdog]);
}

pub fn ready() {
    let _ = sd_notify::notify(&[NotifyState::Ready]);
}

pub fn leaving() {
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
}

/// Shown by `systemctl status`.
pub fn status(text: &str) {
    let _ = sd_notify::notify(&[NotifyState::Status(text)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_agent_is_refused_and_told_who_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        let mut first = Presence::take(&path, folder.path()).unwrap();
        first.announce().unwrap();
        let text = Presence::take(&path, folder.path()).unwrap_err().to_string();
        assert_eq!(
            text,
            format!("an agent is running already, process {}; `kill -HUP` makes it ask now", std::process::id())
        );
        // Another file for the same tree, as after a mount over /run.
        assert!(Presence::take(&folder.path().join("other"), folder.path()).is_err());
        first.leave();
        assert!(!path.exists());
        Presence::take(&path, folder.path()).unwrap().leave();
    }

    #[test]
    fn what_a_crash_left_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        std::fs::write(&path, "4711\nlonger than a process id\n").unwrap();
        let mut presence = Presence::take(&path, folder.path()).unwrap();
        presence.announce().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
    }
}
