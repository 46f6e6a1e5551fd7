//! A lab that is told to stop in the middle leaves nothing behind: no process, no folder; its network has no name, and
//! goes with its last process.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

#[test]
fn ctrl_c_while_a_machine_boots_leaves_nothing_behind() {
    let Some((folder, code)) = stopped_by(Signal::SIGINT) else { return };
    assert_eq!(code, Some(130));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "folders stayed");
    assert_eq!(processes_with(folder.path()), Vec::<String>::new());
}

#[test]
fn a_lab_that_is_killed_takes_its_machine_and_its_controller_along() {
    let Some((folder, code)) = stopped_by(Signal::SIGKILL) else { return };
    assert_eq!(code, None);
    assert_eq!(processes_with(folder.path()), Vec::<String>::new());
}

/// Starts `lab bench-boot` with a place for temporary files of its own, and stops it once a machine is on.
fn stopped_by(signal: Signal) -> Option<(tempfile::TempDir, Option<i32>)> {
    if let Err(reason) = tests::place::can_boot() {
        tests::skip(&reason.to_string());
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut lab = Command::new(env!("CARGO_BIN_EXE_lab"))
        .arg("bench-boot")
        .env("TMPDIR", folder.path())
        .env("WW_DIST", tests::place::dist().unwrap())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    while !processes_with(folder.path()).iter().any(|line| line.contains("qemu-system")) {
        assert!(lab.try_wait().unwrap().is_none(), "it ended by itself");
        assert!(begin.elapsed() < Duration::from_secs(120), "no machine was switched on");
        std::thread::sleep(Duration::from_millis(20));
    }
    kill(Pid::from_raw(i32::try_from(lab.id()).unwrap()), signal).unwrap();
    let code = ended(&mut lab);
    // A killed process is in the table until it is reaped.
    let begin = Instant::now();
    while !processes_with(folder.path()).is_empty() && begin.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(50));
    }
    Some((folder, code))
}

fn ended(lab: &mut Child) -> Option<i32> {
    let begin = Instant::now();
    loop {
        if let Some(status) = lab.try_wait().unwrap() {
            return status.code();
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The command lines and configurations of processes that name this folder.
fn processes_with(folder: &Path) -> Vec<String> {
    let needle = folder.to_str().unwrap();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let read = |name: &str| std::fs::read(entry.path().join(name)).unwrap_or_default();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).replace('\0', " ");
        let line = text(read("cmdline"));
        let conf = text(read("environ"));
        let ours = line.contains(needle) || conf.contains(&format!("WAREWULFCONF={needle}"));
        if ours {
            found.push(line);
        }
    }
    found
}
