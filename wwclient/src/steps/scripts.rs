//! Runs a folder's scripts, one after the other, none for longer than it may, and reaps whatever ends meanwhile.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::os::fd::AsFd;

use crate::plan::Interpreter;
use crate::sys;

/// Between the request to end and the end.
const GRACE: Duration = Duration::from_secs(2);

/// How a child ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Ending {
    Well,
    /// With a code or by a signal, in words.
    Badly(String),
    /// Had to be ended.
    TooLong,
}

/// Waits for children: for all of them while this is PID 1.
#[derive(Debug)]
pub struct Reaper {
    signals: SignalFd,
    all: bool,
}

impl Reaper {
    /// Holds SIGCHLD back from here on; [`Reaper::release`] before exec.
    pub fn new(all: bool) -> nix::Result<Reaper> {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        mask.thread_block()?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Reaper { signals, all })
    }

    /// Lets signals through again, for the program that takes this one's place.
    pub fn release(&self) {
        let _ = SigSet::empty().thread_set_mask();
    }

    /// Starts a command in a session of its own and waits; past the limit its whole group is ended.
    pub fn run(&self, command: &mut Command, limit: Duration) -> io::Result<Ending> {
        let child = sys::in_own_session(command).spawn()?;
        let Ok(pid) = i32::try_from(child.id()) else { return Ok(Ending::Badly("has no process id".into())) };
        let pid = Pid::from_raw(pid);
        if let Some(ending) = self.wait(pid, limit) {
            return Ok(ending);
        }
        let group = Pid::from_raw(-pid.as_raw());
        let _ = kill(group, Signal::SIGTERM);
        let ended = self.wait(pid, GRACE).is_some();
        let _ = kill(group, Signal::SIGKILL);
        if !ended {
            let _ = self.wait(pid, GRACE);
        }
        Ok(Ending::TooLong)
    }

    fn wait(&self, pid: Pid, limit: Duration) -> Option<Ending> {
        let end = Instant::now() + limit;
        let whom = if self.all { None } else { Some(pid) };
        loop {
            match waitpid(whom, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => {}
                Ok(status) if status.pid() == Some(pid) => return Some(ending(status)),
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(_) => return Some(Ending::Badly("was reaped by somebody else".into())),
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            // A signal may be taken by another thread of a test; look again now and then.
            let pause = PollTimeout::try_from(left.min(Duration::from_millis(200))).unwrap_or(PollTimeout::ZERO);
            let _ = poll(&mut [PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)], pause);
            while let Ok(Some(_)) = self.signals.read_signal() {}
        }
    }
}

fn ending(status: WaitStatus) -> Ending {
    match status {
        WaitStatus::Exited(_, 0) => Ending::Well,
        WaitStatus::Exited(_, code) => Ending::Badly(format!("ended with code {code}")),
        WaitStatus::Signaled(_, signal, _) => Ending::Badly(format!("was ended by {signal}")),
        other => Ending::Badly(format!("ended as {other:?}")),
    }
}

/// Runs what is in the folder in the order of the names, hidden files left out. Returns what went wrong, in order.
pub fn run_folder(
    folder: &Path,
    by: Interpreter,
    environment: &[(String, String)],
    limit: Duration,
    reaper: &Reaper,
) -> Vec<String> {
    let names = match names(folder) {
        Ok(names) => names,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(e) => return vec![format!("{}: {e}", folder.display())],
    };
    let mut problems = Vec::new();
    for name in names {
        let path = folder.join(name);
        if let Some(problem) = run_one(&path, by, environment, limit, reaper) {
            problems.push(format!("{}: {problem}", path.display()));
        }
    }
    problems
}

fn names(folder: &Path) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && fs::metadata(entry.path()).is_ok_and(|meta| meta.is_file()) {
            names.push(entry.file_name());
        }
    }
    names.sort();
    Ok(names)
}

fn run_one(
    path: &Path,
    by: Interpreter,
    environment: &[(String, String)],
    limit: Duration,
    reaper: &Reaper,
) -> Option<String> {
    let itself = by == Interpreter::Itself;
    if itself && !fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o111 != 0) {
        return Some("is not executable, so it was not run".to_owned());
    }
    let prepared = |command: &mut Command| reaper.run(command.envs(environment.iter().map(|(n, v)| (n, v))), limit);
    let mut ended =
        if itself { prepared(&mut Command::new(path)) } else { sh(path).and_then(|mut c| prepared(&mut c)) };
    if itself && ended.as_ref().is_err_and(|e| e.raw_os_error() == Some(libc::ENOEXEC)) {
        ended = sh(path).and_then(|mut command| prepared(&mut command));
    }
    match ended {
        Ok(Ending::Well) => None,
        Ok(Ending::Badly(how)) => Some(how),
        Ok(Ending::TooLong) => Some(format!("took more than {} s and was ended", limit.as_secs())),
        Err(e) => Some(e.to_string()),
    }
}

fn sh(script: &Path) -> io::Result<Command> {
    let (program, words) = shell().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the image has no sh"))?;
    let mut command = Command::new(program);
    command.args(words).arg(script);
    Ok(command)
}

/// A shell of the image, and the words that make it one.
pub fn shell() -> Option<(PathBuf, &'static [&'static str])> {
    let places: [(&str, &[&str]); 6] = [
        ("/bin/sh", &[]),
        ("/usr/bin/sh", &[]),
        ("/bin/bash", &[]),
        ("/bin/dash", &[]),
        ("/bin/busybox", &["sh"]),
        ("/usr/bin/busybox", &["sh"]),
    ];
    places.into_iter().map(|(path, words)| (PathBuf::from(path), words)).find(|(path, _)| is_program(path))
}

/// A program of the image by name.
pub fn program(name: &str) -> Option<PathBuf> {
    ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].iter().map(|folder| Path::new(folder).join(name)).find(|p| is_program(p))
}

/// A file that can be executed.
pub fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Takes this process's place; returns why it did not.
pub fn exec(words: &[String]) -> io::Error {
    let Some((program, arguments)) = words.split_first() else {
        return io::Error::new(io::ErrorKind::InvalidInput, "no program named");
    };
    Command::new(program).args(arguments).exec()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    fn folder(scripts: &[(&str, &str, u32)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text, mode) in scripts {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
        }
        folder
    }

    fn run(folder: &Path, by: Interpreter, limit: Duration) -> Vec<String> {
        let out = folder.join(".out").display().to_string();
        let environment = [("OUT".to_owned(), out), ("WWHOSTNAME".to_owned(), "n1 it's".to_owned())];
        let problems = run_folder(folder, by, &environment, limit, &Reaper::new(false).unwrap());
        let prefix = format!("{}/", folder.display());
        problems.into_iter().map(|p| p.replace(&prefix, "")).collect()
    }

    fn out(folder: &Path) -> String {
        fs::read_to_string(folder.join(".out")).unwrap_or_default()
    }

    #[test]
    fn scripts_run_in_the_order_of_their_names_with_the_config_exported() {
        let folder = folder(&[
            ("20-second", "#!/bin/sh\necho \"20 $WWHOSTNAME\" >>$OUT\n", 0o755),
            ("10-first", "#!/bin/sh\necho 10 >>$OUT\n", 0o755),
            (".hidden", "#!/bin/sh\necho hidden >>$OUT\n", 0o755),
        ]);
        assert_eq!(run(folder.path(), Interpreter::Itself, LIMIT), Vec::<String>::new());
        assert_eq!(out(folder.path()), "10\n20 n1 it's\n");
    }

    #[test]
    fn a_failure_is_reported_and_passed_over() {
        let folder = folder(&[
            ("10-bad", "#!/bin/sh\nexit 3\n", 0o755),
            ("20-plain", "echo no interpreter line >>$OUT\n", 0o755),
            ("30-unset", "#!/bin/sh\necho never >>$OUT\n", 0o644),
            ("40-killed", "#!/bin/sh\nkill -9 $$\n", 0o755),
            ("50-last", "#!/bin/sh\necho last >>$OUT\n", 0o755),
        ]);
        assert_eq!(
            run(folder.path(), Interpreter::Itself, LIMIT),
            [
                "10-bad: ended with code 3",
                "30-unset: is not executable, so it was not run",
                "40-killed: was ended by SIGKILL",
            ]
        );
        assert_eq!(out(folder.path()), "no interpreter line\nlast\n");
    }

    #[test]
    fn init_d_needs_no_executable_bit() {
        let folder = folder(&[("10-plain", "echo by sh >>$OUT\n", 0o644)]);
        assert_eq!(run(folder.path(), Interpreter::Sh, LIMIT), Vec::<String>::new());
        assert_eq!(out(folder.path()), "by sh\n");
    }

    #[test]
    fn a_script_that_hangs_is_ended_with_what_it_started() {
        let folder = folder(&[
            ("10-hangs", "#!/bin/sh\n(sleep 3; echo survived >>$OUT) &\nsleep 60\n", 0o755),
            ("20-next", "#!/bin/sh\necho next >>$OUT\n", 0o755),
        ]);
        let began = Instant::now();
        let problems = run(folder.path(), Interpreter::Itself, Duration::from_secs(1));
        assert_eq!(problems, ["10-hangs: took more than 1 s and was ended"]);
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        std::thread::sleep(Duration::from_millis(3500));
        assert_eq!(out(folder.path()), "next\n");
    }

    #[test]
    fn what_a_script_leaves_running_goes_on() {
        let folder = folder(&[("10-daemon", "#!/bin/sh\n(sleep 1; echo daemon >>$OUT) &\n", 0o755)]);
        let began = Instant::now();
        assert_eq!(run(folder.path(), Interpreter::Itself, LIMIT), Vec::<String>::new());
        assert!(began.elapsed() < Duration::from_millis(900));
        std::thread::sleep(Duration::from_millis(1500));
        assert_eq!(out(folder.path()), "daemon\n");
    }

    #[test]
    fn no_folder_is_no_problem() {
        assert_eq!(run(Path::new("/nonexistent/wwinit.d"), Interpreter::Itself, LIMIT), Vec::<String>::new());
    }
}
