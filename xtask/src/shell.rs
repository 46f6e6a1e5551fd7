//! Running other programs: said before it happens, and an error names the whole command line.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// One line of progress.
pub fn say(text: impl AsRef<str>) {
    println!("==> {}", text.as_ref());
}

/// The cargo that runs us, so that a toolchain chosen by hand stays chosen.
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// A command that needs root: itself for root, else through sudo.
pub fn as_root(program: impl AsRef<OsStr>) -> Command {
    if nix::unistd::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.arg("--preserve-env=CI,DEBIAN_FRONTEND,PATH,WW_BUILD_CACHE,WW_DIST").arg("--").arg(program);
    command
}

/// Runs with our own output streams.
///
/// # Errors
/// When the program is absent or ends with anything but 0.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    println!("    $ {}", line(command));
    let status = command.status().with_context(|| format!("cannot run {}", line(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", line(command));
    }
    Ok(())
}

/// Runs and gives back what was said on stdout.
///
/// # Errors
/// When the program is absent or ends with anything but 0; its stderr is in the message.
pub fn answer(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {}", line(command)))?;
    if !output.status.success() {
        bail!("{} ended with {}: {}", line(command), output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether a program is there and ends well; says nothing.
pub fn works(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The command line as a person would type it.
pub fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
