//! `wwctl overlay list`.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

use archive::{Entry, Kind};
use clap::Args;

use super::say;
use crate::build::trees::{self, Found};
use crate::cli::say::warn;
use crate::cli::table::plain;
use crate::site::Site;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Which overlays; none named: all
    overlays: Vec<String>,
    /// Show what is in them
    #[arg(short, long)]
    all: bool,
    /// Show what is in them, with modes and owners
    #[arg(short, long)]
    long: bool,
    /// Show where they lie
    #[arg(short, long)]
    path: bool,
}

pub fn run(site: &Site, arguments: &Arguments) -> anyhow::Result<()> {
    let known = trees::all(&site.conf);
    let mut wanted: Vec<&Found> = Vec::new();
    if arguments.overlays.is_empty() {
        wanted.extend(&known);
    }
    for name in &arguments.overlays {
        match known.iter().find(|found| found.name == *name) {
            Some(found) => wanted.push(found),
            None => warn(format_args!("there is no overlay {name}")),
        }
    }
    let place = |found: &Found| {
        if arguments.path { found.folder.display().to_string() } else { found.site.to_string() }
    };
    let last = if arguments.path { "PATH" } else { "SITE" };
    let mut rows = Vec::new();
    for found in wanted {
        let entries = match trees::read_layers(found) {
            Ok(entries) => entries,
            Err(error) => {
                warn(format_args!("overlay {}: {error}", found.name));
                continue;
            }
        };
        if arguments.long {
            rows.extend(entries.iter().map(|(layer, entry)| long(layer, entry, place(layer))));
        } else if arguments.all && !entries.is_empty() {
            rows.extend(entries.iter().map(|(layer, entry)| vec![found.name.clone(), shown(entry), place(layer)]));
        } else {
            rows.push(vec![found.name.clone(), entries.len().to_string(), place(found)]);
        }
    }
    let headings: &[&str] = match (arguments.long, arguments.path) {
        (true, true) => &["PERM MODE", "UID", "GID", "OVERLAY", "FILE PATH", "PATH"],
        (true, false) => &["PERM MODE", "UID", "GID", "OVERLAY", "FILE PATH", "SITE"],
        (false, _) => &["OVERLAY NAME", "FILES/DIRS", last],
    };
    say(plain(headings, &rows));
    Ok(())
}

/// An entry's path as `overlay list -a` shows it: a folder ends in a slash.
pub fn shown(entry: &Entry) -> String {
    let path = String::from_utf8_lossy(&entry.path);
    if matches!(entry.kind, Kind::Directory) { format!("{path}/") } else { path.into_owned() }
}

fn long(found: &Found, entry: &Entry, place: String) -> Vec<String> {
    let (mut mode, mut uid, mut gid) = (entry.mode, entry.uid, entry.gid);
    // Of a link, what it leads to is shown, as in stock.
    if matches!(entry.kind, Kind::Symlink(_))
        && let Ok(data) = std::fs::metadata(found.root.join(std::ffi::OsStr::from_bytes(&entry.path)))
    {
        (mode, uid, gid) = (data.mode(), data.uid(), data.gid());
    }
    vec![letters(mode), uid.to_string(), gid.to_string(), found.name.clone(), shown(entry), place]
}

/// `-rwxr-xr-x`; folders begin with `-` too, as in stock.
fn letters(mode: u32) -> String {
    let bit = |at: u32, letter: char| if mode & (1 << at) != 0 { letter } else { '-' };
    let mut text = String::from("-");
    for (at, letter) in (0..9).rev().zip("rwxrwxrwx".chars()) {
        text.push(bit(at, letter));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::letters;

    #[test]
    fn modes_are_shown_in_letters() {
        assert_eq!(letters(0o755), "-rwxr-xr-x");
        assert_eq!(letters(0o40700), "-rwx------");
        assert_eq!(letters(0o640), "-rw-r-----");
    }
}
