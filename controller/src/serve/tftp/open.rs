//! Opens the file that a name stands for: iPXE's programs by their map, everything else below tftproot and never out of it.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use boot::tftp::{Lookup, Place, ipxe_program, look};
use model::Conf;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use wire::tftp::{Mode, netascii};

/// Texts for netascii are turned in memory; what is longer is no text.
const LONGEST_TEXT: u64 = 16 << 20;

/// Bytes that are read ahead: one call for some forty blocks.
const AHEAD: u64 = 64 << 10;

/// A file that is being sent. Held open: a replacement changes nothing for who reads it already.
#[derive(Debug)]
pub enum Source {
    File {
        file: File,
        size: u64,
        /// What was read ahead, and from where.
        ahead: (u64, Vec<u8>),
    },
    Text(Vec<u8>),
}

/// Why there is none.
#[derive(Debug)]
pub enum Refusal {
    Escape,
    NoName,
    /// Everywhere that was looked.
    Missing(Vec<PathBuf>),
    Denied(PathBuf),
    Broken(String),
}

impl Refusal {
    /// What the client is told: not where we looked.
    pub fn brief(&self) -> &'static str {
        match self {
            Refusal::Escape => "the name leaves the server's root",
            Refusal::NoName => "no name of a file",
            Refusal::Missing(_) => "no such file",
            Refusal::Denied(_) => "not readable",
            Refusal::Broken(_) => "the file cannot be read",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Missing(places) => {
                f.write_str("not there; looked for")?;
                places.iter().try_for_each(|place| write!(f, " {}", place.display()))
            }
            Refusal::Denied(path) => write!(f, "{} may not be read", path.display()),
            Refusal::Broken(error) => f.write_str(error),
            Refusal::Escape | Refusal::NoName => write!(f, "refused: {}", self.brief()),
        }
    }
}

impl Source {
    /// Length in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Source::File { size, .. } => *size,
            Source::Text(text) => text.len() as u64,
        }
    }

    /// The `length` bytes from `offset`.
    ///
    /// # Errors
    /// When there is less: somebody cut the file while it was being sent.
    pub fn read_at(&mut self, offset: u64, length: u16) -> io::Result<&[u8]> {
        let length = usize::from(length);
        match self {
            Source::File { file, size, ahead: (start, bytes) } => {
                if offset < *start || offset + length as u64 > *start + bytes.len() as u64 {
                    let wanted = AHEAD.min(size.saturating_sub(offset)).max(length as u64);
                    bytes.resize(usize::try_from(wanted).map_err(io::Error::other)?, 0);
                    *start = offset;
                    if let Err(error) = file.read_exact_at(bytes, offset) {
                        bytes.clear();
                        return Err(error);
                    }
                }
                part(bytes, offset - *start, length)
            }
            Source::Text(text) => part(text, offset, length),
        }
    }
}

fn part(bytes: &[u8], from: u64, length: usize) -> io::Result<&[u8]> {
    let from = usize::try_from(from).map_err(io::Error::other)?;
    bytes.get(from..).and_then(|rest| rest.get(..length)).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// Opens what the name stands for.
///
/// # Errors
/// [`Refusal`].
pub fn open(name: &[u8], mode: Mode, conf: &Conf) -> Result<Source, Refusal> {
    let places = match look(name, conf) {
        Lookup::Places(places) => places,
        Lookup::Escape => return Err(Refusal::Escape),
        Lookup::NoName => return Err(Refusal::NoName),
    };
    let root = &conf.tftp.tftproot;
    let mut looked = Vec::new();
    for place in places {
        let (path, opened) = match place {
            Place::Ipxe(path) => {
                // A FIFO would hold us until somebody writes.
                let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path);
                (path, opened)
            }
            Place::Root(path) => (root.join(&path), beneath(root, &path)),
        };
        match opened.and_then(source) {
            Ok(source) => return text(source, mode),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(Refusal::Denied(path)),
            Err(error) if error.raw_os_error() == Some(libc::EXDEV) => return Err(Refusal::Escape),
            Err(error) if is_absent(&error) => looked.push(path),
            Err(error) => return Err(Refusal::Broken(format!("{}: {error}", path.display()))),
        }
    }
    Err(Refusal::Missing(looked))
}

/// Programs of `tftp: ipxe:` that are nowhere.
pub fn missing_programs(conf: &Conf) -> Vec<String> {
    let mut missing = Vec::new();
    for (architecture, file) in &conf.tftp.ipxe {
        let places = ipxe_program(file, conf);
        if !places.is_empty() && !places.iter().any(|path| path.is_file()) {
            let base = file.rsplit('/').next().unwrap_or(file);
            missing.push(format!(
                "{base} for architecture {architecture} is not in {}: machines of that kind cannot boot by PXE (warewulf.conf, \
                 tftp: ipxe: and paths: ipxesource)",
                places.first().and_then(|path| path.parent()).unwrap_or(Path::new("")).display()
            ));
        }
    }
    missing
}

/// Opens without ever leaving the root, also not by a link (openat2(2)).
fn beneath(root: &Path, path: &Path) -> io::Result<File> {
    let folder = OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(root)?;
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    Ok(File::from(openat2(&folder, path, how).map_err(Errno::into_io)?))
}

fn source(file: File) -> io::Result<Source> {
    let data = file.metadata()?;
    if !data.is_file() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok(Source::File { size: data.len(), file, ahead: (0, Vec::new()) })
}

fn text(source: Source, mode: Mode) -> Result<Source, Refusal> {
    match (mode, source) {
        (Mode::Netascii, Source::File { size, .. }) if size > LONGEST_TEXT => {
            Err(Refusal::Broken("too long to be sent as netascii; ask for octet".into()))
        }
        (Mode::Netascii, Source::File { mut file, .. }) => {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map_err(|error| Refusal::Broken(error.to_string()))?;
            Ok(Source::Text(netascii(&bytes)))
        }
        (_, source) => Ok(source),
    }
}

fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{IsADirectory, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | IsADirectory)
        || matches!(error.raw_os_error(), Some(libc::ELOOP | libc::ENAMETOOLONG | libc::ENXIO))
}

trait IntoIo {
    fn into_io(self) -> io::Error;
}

impl IntoIo for Errno {
    fn into_io(self) -> io::Error {
        self.into()
    }
}
