//! A tar archive, packed or not, unpacked into an image's tree.
//!
//! Understood: ustar, GNU's long names and numbers, pax records (names, owners, times, `SCHILY.xattr.`), packed by gzip or zstd,
//! or by what a program on this machine unpacks (xz, bzip2). Refused by name: sparse members, archives of container images.

use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail};
use tar::EntryType;

use super::plant::{Attributes, Node, Plot};

/// A pax or long-name record larger than this is an attack on memory.
const RECORD: u64 = 1 << 20;

/// Unpacks the archive in this file. Tells what could not be kept.
///
/// # Errors
/// When it is no archive that is understood, leads out of the tree, or a file cannot be made; the message names the member.
pub fn unpack(file: &Path, plot: Plot) -> anyhow::Result<Vec<String>> {
    let said = || format!("unpack {}", file.display());
    let mut source =
        BufReader::with_capacity(1 << 16, File::open(file).with_context(|| format!("open {}", file.display()))?);
    let mut magic = [0; 6];
    let read = read_full(&mut source, &mut magic).with_context(said)?;
    let start = magic.get(..read).unwrap_or_default().to_vec();
    let again = io::Cursor::new(start.clone()).chain(source);
    match start.as_slice() {
        [0x1f, 0x8b, ..] => members(flate2::read::MultiGzDecoder::new(again), plot),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => members(zstd::stream::read::Decoder::new(again)?, plot),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => by_program(&["xz", "--decompress", "--stdout"], file, plot),
        [b'B', b'Z', b'h', ..] => by_program(&["bzip2", "--decompress", "--stdout"], file, plot),
        _ => members(again, plot),
    }
    .with_context(said)
}

fn read_full(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut at = 0;
    while let Some(rest) = buffer.get_mut(at..).filter(|rest| !rest.is_empty()) {
        match source.read(rest)? {
            0 => break,
            more => at += more,
        }
    }
    Ok(at)
}

/// A program that is ended and waited for, whatever becomes of what it writes.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn by_program(command: &[&str], file: &Path, plot: Plot) -> anyhow::Result<Vec<String>> {
    let [program, arguments @ ..] = command else { bail!("no program") };
    let child = Command::new(program)
        .args(arguments)
        .stdin(File::open(file)?)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut running =
        Running(child.with_context(|| format!("{program} unpacks this and could not be started; install it"))?);
    let output = running.0.stdout.take().context("no output")?;
    let done = members(BufReader::with_capacity(1 << 16, output), plot);
    // When the archive was read to its end, the program must have been content too; else its complaint comes first.
    let status = running.0.wait()?;
    let mut complaint = String::new();
    if let Some(stderr) = running.0.stderr.take() {
        let _ = stderr.take(4096).read_to_string(&mut complaint);
    }
    match done {
        Ok(_) if !status.success() => bail!("{program}: {status}: {}", complaint.trim()),
        Err(error) if !complaint.trim().is_empty() => Err(error.context(format!("{program}: {}", complaint.trim()))),
        done => done,
    }
}

/// What pax and GNU records say of the next member.
#[derive(Debug, Default)]
struct Said {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    uid: Option<u32>,
    gid: Option<u32>,
    mtime: Option<(i64, i64)>,
    size: Option<u64>,
    sparse: bool,
    xattrs: Vec<(CString, Vec<u8>)>,
}

fn members(source: impl Read, mut plot: Plot) -> anyhow::Result<Vec<String>> {
    let mut archive = tar::Archive::new(source);
    let (mut global, mut said) = (Said::default(), Said::default());
    let mut any = false;
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry.context(if any { "read the archive" } else { "this is no tar archive" })?;
        any = true;
        let kind = entry.header().entry_type();
        match kind {
            EntryType::GNULongName => said.path = Some(text(&mut entry)?),
            EntryType::GNULongLink => said.link = Some(text(&mut entry)?),
            EntryType::XHeader => said.records(&record(&mut entry)?)?,
            EntryType::XGlobalHeader => global.records(&record(&mut entry)?)?,
            _ => {
                let said = std::mem::take(&mut said);
                let path = said.path.clone().unwrap_or_else(|| entry.header().path_bytes().into_owned());
                let shown = || String::from_utf8_lossy(&path).escape_debug().to_string();
                one(&mut entry, &path, &said, &mut plot).with_context(shown)?;
            }
        }
    }
    // Blanks at the end of an archive that is packed still belong to it; a broken checksum there must be noticed.
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    if !any {
        bail!("the archive is empty");
    }
    Ok(plot.finish()?.into_iter().collect())
}

fn one(entry: &mut tar::Entry<'_, impl Read>, path: &[u8], said: &Said, plot: &mut Plot) -> anyhow::Result<()> {
    let header = entry.header();
    let number = |number: u64| u32::try_from(number).context("an owner that no system has");
    let seconds = || i64::try_from(header.mtime().unwrap_or(0)).unwrap_or(0);
    let attributes = Attributes {
        mode: header.mode()? & 0o7777,
        uid: said.uid.map_or_else(|| number(header.uid()?), Ok)?,
        gid: said.gid.map_or_else(|| number(header.gid()?), Ok)?,
        mtime: said.mtime.unwrap_or_else(|| (seconds(), 0)),
        xattrs: said.xattrs.clone(),
    };
    if said.sparse {
        bail!("a sparse member; make the archive without --sparse");
    }
    if matches!(path, b"oci-layout" | b"manifest.json") {
        bail!(
            "this is an archive of a container image, not of a root file system; `docker export` or `podman export` makes one"
        );
    }
    let to = PathBuf::from(OsString::from_vec(path.to_vec()));
    let link =
        || said.link.clone().or_else(|| header.link_name_bytes().map(|name| name.into_owned())).unwrap_or_default();
    let device = || Ok::<_, io::Error>((header.device_major()?.unwrap_or(0), header.device_minor()?.unwrap_or(0)));
    match header.entry_type() {
        // Old archives mark a folder by its name alone.
        EntryType::Regular if path.ends_with(b"/") => plot.folder(&to, attributes)?,
        EntryType::Regular | EntryType::Continuous => {
            if said.size.is_some_and(|size| header.entry_size().is_ok_and(|header| header != size)) {
                bail!("a file of more than 8 GiB, and no image can hold 4 GiB or more in one file");
            }
            plot.file(&to, &attributes, entry)?;
        }
        EntryType::Directory => plot.folder(&to, attributes)?,
        EntryType::Link => plot.hard_link(&to, Path::new(OsStr::from_bytes(&link())))?,
        EntryType::Symlink => plot.node(&to, &attributes, &Node::Symlink(OsString::from_vec(link())))?,
        EntryType::Fifo => plot.node(&to, &attributes, &Node::Fifo)?,
        EntryType::Char => {
            let (major, minor) = device()?;
            plot.node(&to, &attributes, &Node::CharDevice { major, minor })?;
        }
        EntryType::Block => {
            let (major, minor) = device()?;
            plot.node(&to, &attributes, &Node::BlockDevice { major, minor })?;
        }
        EntryType::GNUSparse => bail!("a sparse member; make the archive without --sparse"),
        other => bail!("a member of kind {:?}, which is none of a file system", char::from(other.as_byte())),
    }
    Ok(())
}

/// The content of a record that describes another member.
fn record(entry: &mut tar::Entry<'_, impl Read>) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    entry.take(RECORD + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > RECORD {
        bail!("a record about a member is larger than {RECORD} bytes");
    }
    Ok(bytes)
}

/// A long name, without the NUL at its end.
fn text(entry: &mut tar::Entry<'_, impl Read>) -> anyhow::Result<Vec<u8>> {
    let mut bytes = record(entry)?;
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    Ok(bytes)
}

impl Said {
    /// pax records (POSIX pax, "Extended Header"): `LENGTH KEY=VALUE\n`, the length counts all of it. Values may hold anything.
    fn records(&mut self, mut bytes: &[u8]) -> anyhow::Result<()> {
        while !bytes.is_empty() {
            let broken = || anyhow::anyhow!("a pax record is broken");
            let blank = bytes.iter().position(|byte| *byte == b' ').ok_or_else(broken)?;
            let digits = bytes.get(..blank).unwrap_or_default();
            let length: usize =
                std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).ok_or_else(broken)?;
            let line = bytes.get(blank + 1..length).and_then(|line| line.strip_suffix(b"\n")).ok_or_else(broken)?;
            bytes = bytes.get(length..).unwrap_or_default();
            let equals = line.iter().position(|byte| *byte == b'=').ok_or_else(broken)?;
            let (key, value) = line.split_at(equals);
            self.one(key, value.get(1..).unwrap_or_default());
        }
        Ok(())
    }

    fn one(&mut self, key: &[u8], value: &[u8]) {
        let number = || std::str::from_utf8(value).ok();
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"uid" => self.uid = number().and_then(|text| text.parse().ok()),
            b"gid" => self.gid = number().and_then(|text| text.parse().ok()),
            b"size" => self.size = number().and_then(|text| text.parse().ok()),
            b"mtime" => self.mtime = number().and_then(time),
            _ if key.starts_with(b"GNU.sparse.") => self.sparse = true,
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.").and_then(|name| CString::new(name).ok()) {
                    self.xattrs.push((name, value.to_vec()));
                }
            }
        }
    }
}

/// `1700000000.123456789`, perhaps with a minus.
fn time(text: &str) -> Option<(i64, i64)> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let nanoseconds: i64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    let whole: i64 = seconds.parse().ok()?;
    // What lies before 1970 counts downwards, and nanoseconds never do.
    Some(if text.starts_with('-') && nanoseconds > 0 {
        (whole.checked_sub(1)?, 1_000_000_000 - nanoseconds)
    } else {
        (whole, nanoseconds)
    })
}

#[cfg(test)]
#[path = "untar_tests.rs"]
mod tests;
