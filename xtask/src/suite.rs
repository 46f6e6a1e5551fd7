//! `cargo xtask test`: every ring from formatting to machines that boot, and one line at the end that says how it went.
//!
//! Ring by ring, cheap ones first; a ring that fails does not hide the next. With CI=true a test that cannot run is a
//! failure: the tests themselves see to that.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::Context;

use crate::agent::Route;
use crate::place::Place;
use crate::shell::{self, say};
use crate::{dist, packages, root};

/// # Errors
/// When a program that the rings need cannot be had; a ring that fails is counted instead.
pub fn run(place: &Place, route: Route) -> anyhow::Result<ExitCode> {
    packages::ensure(packages::BOOT)?;
    packages::ensure(packages::INTEROP)?;
    root::ensure(&place.root.join("target"))?;
    let mut report = Report::default();

    report
        .check("formatting", || shell::run(shell::cargo().args(["fmt", "--all", "--check"]).current_dir(&place.root)));
    report.check("clippy", || {
        let mut cargo = shell::cargo();
        cargo.args(["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]);
        shell::run(cargo.current_dir(&place.root))
    });
    report.ring(
        "units and protocols",
        shell::cargo().args(["test", "--locked", "--no-fail-fast", "--workspace", "--exclude", "tests"]),
        place,
    );
    report.check("dist", || dist::make(place, route).map(|_| ()));
    let mut boot = shell::cargo();
    boot.args(["test", "--locked", "--no-fail-fast", "--package", "tests"]);
    boot.env("WW_DIST", place.dist()).env("WW_BUILD_CACHE", &place.cache);
    if !nix::unistd::geteuid().is_root() && shell::works(Command::new("sudo").args(["-n", "true"])) {
        boot.env(
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER",
            "sudo --preserve-env=CI,PATH,WW_BUILD_CACHE,WW_DIST --",
        );
    }
    report.ring("whole house", &mut boot, place);

    report.print();
    Ok(if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[derive(Debug, Default)]
struct Report {
    passed: u64,
    failed: u64,
    lines: Vec<String>,
}

impl Report {
    /// Something that holds or does not: counts as one test.
    fn check(&mut self, name: &str, check: impl FnOnce() -> anyhow::Result<()>) {
        say(name);
        let start = Instant::now();
        let outcome = check();
        let seconds = start.elapsed().as_secs();
        match outcome {
            Ok(()) => {
                self.passed += 1;
                self.lines.push(format!("{name:<22} holds, {seconds} s"));
            }
            Err(error) => {
                eprintln!("{error:#}");
                self.failed += 1;
                self.lines.push(format!("{name:<22} FAILED, {seconds} s: {error:#}"));
            }
        }
    }

    /// A run of cargo test, passed through and counted.
    fn ring(&mut self, name: &str, cargo: &mut Command, place: &Place) {
        say(format!("{name}: {}", shell::line(cargo)));
        let start = Instant::now();
        let outcome = counted(cargo.current_dir(&place.root));
        let seconds = start.elapsed().as_secs();
        match outcome {
            Ok((passed, failed, well)) => {
                // A test program that does not build or is killed prints no result of its own.
                let failed = if !well && failed == 0 { 1 } else { failed };
                self.passed += passed;
                self.failed += failed;
                self.lines.push(format!("{name:<22} {passed} passed, {failed} failed, {seconds} s"));
            }
            Err(error) => {
                self.failed += 1;
                self.lines.push(format!("{name:<22} FAILED, {seconds} s: {error:#}"));
            }
        }
    }

    fn print(&self) {
        println!();
        for line in &self.lines {
            println!("{line}");
        }
        println!("{} passed, {} failed", self.passed, self.failed);
    }
}

/// Runs cargo test and adds up its result lines: passed, failed, and whether it ended with 0.
fn counted(cargo: &mut Command) -> anyhow::Result<(u64, u64, bool)> {
    let mut child =
        cargo.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot run {}", shell::line(cargo)))?;
    let (mut passed, mut failed) = (0, 0);
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line?;
            let mut out = std::io::stdout().lock();
            out.write_all(&line)?;
            out.write_all(b"\n")?;
            out.flush()?;
            if let Some((good, bad)) = result_line(&String::from_utf8_lossy(&line)) {
                passed += good;
                failed += bad;
            }
        }
    }
    Ok((passed, failed, child.wait()?.success()))
}

/// `test result: ok. 3 passed; 1 failed; ...`, the line that ends each test program.
fn result_line(line: &str) -> Option<(u64, u64)> {
    let counts = line.strip_prefix("test result: ")?;
    let number = |word: &str| {
        let before = counts.split(word).next()?;
        before.split_whitespace().next_back()?.parse().ok()
    };
    Some((number(" passed;")?, number(" failed;")?))
}

#[cfg(test)]
mod tests {
    use super::result_line;

    #[test]
    fn the_last_line_of_a_test_program_is_counted() {
        let ok = "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(result_line(ok), Some((12, 0)));
        assert_eq!(result_line("test result: FAILED. 3 passed; 2 failed; 0 ignored"), Some((3, 2)));
        assert_eq!(result_line("test passed_things_are_counted ... ok"), None);
    }
}
