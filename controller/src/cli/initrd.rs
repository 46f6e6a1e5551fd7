//! `wwctl initrd`: looks into an initramfs, an image or an overlay archive: anything that a kernel would unpack.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use archive::{Entry, Kind};
use clap::{Args, Subcommand};

use super::say;
use crate::image::plant::{Attributes, Node, Plot};
use crate::image::unpack;

#[derive(Debug, Args)]
pub struct Verbs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Print a file of it
    Cat { file: PathBuf, path: PathBuf },
    /// List what is in it
    Ls {
        file: PathBuf,
        /// With mode, owner, size and time, as `ls -l`
        #[arg(long, short)]
        long: bool,
    },
    /// Unpack it into a folder
    Unpack {
        file: PathBuf,
        /// Made when it is missing; must be empty
        folder: PathBuf,
    },
}

/// One verb, done.
///
/// # Errors
/// When the file is nothing that a kernel would unpack, and what writing says.
pub fn run(verbs: Verbs) -> anyhow::Result<()> {
    match verbs.verb {
        Verb::Cat { file, path } => cat(&file, &path),
        Verb::Ls { file, long } => ls(&file, long),
        Verb::Unpack { file, folder } => unpack(&file, &folder),
    }
}

/// The entries of all archives in the file, in the order in which a kernel meets them.
fn entries(file: &Path) -> anyhow::Result<Vec<Entry>> {
    let bytes = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
    let named = || file.display().to_string();
    let mut all = Vec::new();
    for part in initrd::parts::parts(&bytes, unpack::first).with_context(named)? {
        let read = archive::newc::read(&part.bytes);
        all.extend(read.with_context(|| format!("{}: the part at offset {}, unpacked", file.display(), part.at))?);
    }
    Ok(all)
}

fn ls(file: &Path, long: bool) -> anyhow::Result<()> {
    let mut text = Vec::new();
    for entry in entries(file)? {
        if long {
            text.extend(long_line(&entry).into_bytes());
        }
        text.extend(&entry.path);
        if let (true, Kind::Symlink(target) | Kind::HardLink(target)) = (long, &entry.kind) {
            text.extend(if matches!(entry.kind, Kind::Symlink(_)) { b" -> ".as_slice() } else { b" = " });
            text.extend(target);
        }
        text.push(b'\n');
    }
    std::io::stdout().write_all(&text)?;
    Ok(())
}

/// `-rwsr-xr-x     0     0     1024 ` and so on, up to the name.
fn long_line(entry: &Entry) -> String {
    let (kind, size) = match &entry.kind {
        Kind::File(body) => ('-', body.len().to_string()),
        Kind::HardLink(_) => ('-', "0".to_string()),
        Kind::Directory => ('d', "0".to_string()),
        Kind::Symlink(target) => ('l', target.len().to_string()),
        Kind::Fifo => ('p', "0".to_string()),
        Kind::Socket => ('s', "0".to_string()),
        Kind::CharDevice { major, minor } => ('c', format!("{major},{minor}")),
        Kind::BlockDevice { major, minor } => ('b', format!("{major},{minor}")),
    };
    let mode = entry.mode;
    let mut words = String::from(kind);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift & 7;
        words.push(if bits & 4 != 0 { 'r' } else { '-' });
        words.push(if bits & 2 != 0 { 'w' } else { '-' });
        words.push(match (mode & special != 0, bits & 1 != 0) {
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    format!("{words} {:>5} {:>5} {size:>9} {:>10} ", entry.uid, entry.gid, entry.mtime)
}

fn cat(file: &Path, path: &Path) -> anyhow::Result<()> {
    let wanted = path.as_os_str().as_bytes();
    let wanted = wanted.strip_prefix(b"/").unwrap_or(wanted);
    let entries = entries(file)?;
    // What comes later goes over what came before, so the last is what a node has.
    let last = |wanted: &[u8]| entries.iter().rev().find(|entry| entry.path == wanted);
    let mut found = last(wanted);
    if let Some(Kind::HardLink(target)) = found.map(|entry| &entry.kind) {
        found = last(target);
    }
    match found.map(|entry| &entry.kind) {
        Some(Kind::File(body)) => Ok(std::io::stdout().write_all(body)?),
        Some(Kind::Symlink(target)) => bail!("{}: a link to {}", path.display(), String::from_utf8_lossy(target)),
        Some(_) => bail!("{}: no plain file", path.display()),
        None => bail!("{}: not in {}; `wwctl initrd ls` lists what is", path.display(), file.display()),
    }
}

fn unpack(file: &Path, folder: &Path) -> anyhow::Result<()> {
    let entries = entries(file)?;
    std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    if std::fs::read_dir(folder)?.next().is_some() {
        bail!("{}: holds something already; name an empty folder", folder.display());
    }
    let mut plot = Plot::open(folder)?;
    for entry in &entries {
        let shown = || String::from_utf8_lossy(&entry.path).escape_debug().to_string();
        make(&mut plot, entry).with_context(shown)?;
    }
    if let Some(said) = plot.finish()? {
        say::warn(said);
    }
    Ok(())
}

fn make(plot: &mut Plot, entry: &Entry) -> std::io::Result<()> {
    let path = Path::new(OsStr::from_bytes(&entry.path));
    let mtime = (i64::try_from(entry.mtime).unwrap_or(i64::MAX), 0);
    let attributes = Attributes { mode: entry.mode, uid: entry.uid, gid: entry.gid, mtime, xattrs: Vec::new() };
    let node = match &entry.kind {
        Kind::File(body) => return plot.file(path, &attributes, &mut &**body),
        Kind::Directory => return plot.folder(path, attributes),
        Kind::HardLink(target) => return plot.hard_link(path, Path::new(OsStr::from_bytes(target))),
        Kind::Symlink(target) => Node::Symlink(OsString::from_vec(target.clone())),
        Kind::Fifo => Node::Fifo,
        Kind::Socket => Node::Socket,
        Kind::CharDevice { major, minor } => Node::CharDevice { major: *major, minor: *minor },
        Kind::BlockDevice { major, minor } => Node::BlockDevice { major: *major, minor: *minor },
    };
    plot.node(path, &attributes, &node)
}
