//! What a plain file holds. Nothing else is read: a FIFO or a device could keep the reader waiting for ever, and a node's
//! question with it.

use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;

/// The content of the file that a path leads to, and what the file system says of it; never more than `most` bytes.
///
/// # Errors
/// Those of the file system, and when it is no plain file, or larger.
pub fn content(path: &Path, most: u64) -> io::Result<(Vec<u8>, Metadata)> {
    // Opening alone does something to some devices.
    is_plain(&fs::metadata(path)?)?;
    of(OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?, most)
}

/// The same, of a file that was opened with `O_NONBLOCK`.
///
/// # Errors
/// As [`content`].
pub fn of(file: File, most: u64) -> io::Result<(Vec<u8>, Metadata)> {
    let data = file.metadata()?;
    is_plain(&data)?;
    let too_large = |size: u64| io::Error::other(format!("it has {size} bytes, more than {most}"));
    if data.len() > most {
        return Err(too_large(data.len()));
    }
    let mut content = Vec::new();
    content.try_reserve_exact(usize::try_from(data.len()).unwrap_or(usize::MAX))?;
    // It may grow while it is read, and those below /proc tell no size.
    file.take(most.saturating_add(1)).read_to_end(&mut content)?;
    let size = content.len() as u64;
    if size > most { Err(too_large(size)) } else { Ok((content, data)) }
}

fn is_plain(data: &Metadata) -> io::Result<()> {
    if data.is_file() {
        return Ok(());
    }
    Err(io::Error::other(format!("it is {}, and only plain files can be read", name(data.file_type()))))
}

fn name(kind: FileType) -> &'static str {
    match kind {
        kind if kind.is_dir() => "a folder",
        kind if kind.is_fifo() => "a FIFO",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_plain_files_up_to_a_size_is_read_and_nobody_waits() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "12345").unwrap();
        let said = |path: &Path| content(path, 5).unwrap_err().to_string();
        assert_eq!(content(&file, 5).unwrap().0, b"12345");
        assert_eq!(content(&file, 4).unwrap_err().to_string(), "it has 5 bytes, more than 4");
        assert_eq!(said(&fifo), "it is a FIFO, and only plain files can be read");
        assert_eq!(said(dir.path()), "it is a folder, and only plain files can be read");
        assert_eq!(said(Path::new("/dev/zero")), "it is a device, and only plain files can be read");
        assert_eq!(said(Path::new("/proc/cpuinfo")), "it has 6 bytes, more than 5", "though it is 0 bytes long");
    }
}
