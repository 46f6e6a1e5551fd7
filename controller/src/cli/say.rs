//! The two streams: stdout is for answers and questions, stderr for warnings, in the form that scripts know.

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::Command;

use crate::site::Site;

/// Writes an answer. A reader that went away (`| head`) is an error like any other, and main keeps quiet about it.
///
/// # Errors
/// When stdout does not take it.
pub fn answer(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// A warning: what was done, or left, that a person should know.
pub fn warn(text: impl std::fmt::Display) {
    // Nobody is left to tell when stderr is gone.
    let _ = writeln!(io::stderr(), "WARN   : {text}");
}

/// A line for `-v`.
pub fn verbose(text: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "VERBOSE: {text}");
}

/// Asks on stdout; only `y` and `yes` are a yes, the end of input is a no.
///
/// # Errors
/// When stdin or stdout fail.
pub fn ask(question: &str) -> anyhow::Result<bool> {
    answer(&format!("{question}? [y/N] "))?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    // An answer that was typed ends its line itself; one that came from a file does not show.
    if !io::stdin().is_terminal() {
        answer("\n")?;
    }
    Ok(matches!(line.trim_end_matches(['\n', '\r']), "y" | "yes"))
}

/// Asks the daemon to read its files again, where there is one. It watches them anyway, so trouble is a warning.
pub fn reload(site: &Site) {
    let name = match site.conf.warewulf.systemd_name.as_str() {
        "" => "warewulfd",
        name => name,
    };
    let unit = format!("{name}.service");
    let there = [
        site.conf.paths.systemddir.join(&unit),
        format!("/etc/systemd/system/{unit}").into(),
        format!("/etc/init.d/{name}").into(),
    ]
    .iter()
    .any(|path| path.exists());
    if !there {
        return;
    }
    match Command::new("service").args([name, "reload"]).output() {
        Ok(done) if done.status.success() => {}
        Ok(done) => warn(format_args!(
            "service {name} reload failed ({}): {}; the daemon sees the change by itself when it runs",
            done.status,
            String::from_utf8_lossy(&done.stderr).trim()
        )),
        Err(error) => warn(format_args!("service {name} reload: {error}; the daemon sees the change by itself")),
    }
}
