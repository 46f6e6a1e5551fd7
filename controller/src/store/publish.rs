//! Writes that are whole or not at all: temp, fsync, rename, fsync of the folder.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How the name of a temporary file begins.
pub const NEW: &str = ".new-";

/// Replaces `path` by what `fill` writes, with permission bits `mode`.
///
/// Who opens the path sees the old content or the new one, never a part, also after a power cut.
///
/// # Errors
/// Any error of `fill` or of the file system; the old file is then still there, and no temporary one is left.
pub fn replace<T>(path: &Path, mode: u32, fill: impl FnOnce(&mut File) -> io::Result<T>) -> io::Result<T> {
    replace_by(path, NEW, mode, fill)
}

/// [`replace`] by a file that is written in the folder `beside` first, where nobody takes it for one of those that lie
/// where `path` does. On another file system it is written there after all.
///
/// # Errors
/// As [`replace`].
pub fn replace_from(
    beside: &Path,
    path: &Path,
    mode: u32,
    fill: impl Fn(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    match replace_in(beside, path, NEW, mode, &fill) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => replace(path, mode, fill),
        done => done,
    }
}

/// [`replace`] by a file whose temporary name begins with `prefix`, so that what a killed process left can be told apart and
/// swept: for files that are large.
///
/// # Errors
/// As [`replace`].
pub fn replace_by<T>(
    path: &Path,
    prefix: &str,
    mode: u32,
    fill: impl FnOnce(&mut File) -> io::Result<T>,
) -> io::Result<T> {
    replace_in(&folder_of(path), path, prefix, mode, fill)
}

fn replace_in<T>(
    beside: &Path,
    path: &Path,
    prefix: &str,
    mode: u32,
    fill: impl FnOnce(&mut File) -> io::Result<T>,
) -> io::Result<T> {
    let mut temp =
        tempfile::Builder::new().prefix(prefix).permissions(Permissions::from_mode(mode)).tempfile_in(beside)?;
    // The umask may have taken bits away from what was asked for.
    temp.as_file().set_permissions(Permissions::from_mode(mode))?;
    let answer = fill(temp.as_file_mut())?;
    temp.as_file().sync_all()?;
    temp.persist(path).map_err(|error| error.error)?;
    File::open(folder_of(path))?.sync_all()?;
    Ok(answer)
}

/// [`replace_with`] for one file of many: it is whole or not at all for who opens it, but after a power cut it may be
/// gone or cut short until somebody called [`sync_all`], or synced the file that this answers.
///
/// # Errors
/// As [`replace`].
pub fn replace_for_now(path: &Path, mode: u32, content: &[u8]) -> io::Result<File> {
    replace_for_now_by(path, NEW, mode, |file| file.write_all(content))
}

/// [`replace_for_now`] with what `fill` writes, by a file whose temporary name begins with `prefix`, as [`replace_by`] does.
///
/// # Errors
/// As [`replace`].
pub fn replace_for_now_by(
    path: &Path,
    prefix: &str,
    mode: u32,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<File> {
    let permissions = Permissions::from_mode(mode);
    let mut temp = tempfile::Builder::new().prefix(prefix).permissions(permissions).tempfile_in(folder_of(path))?;
    temp.as_file().set_permissions(Permissions::from_mode(mode))?;
    fill(temp.as_file_mut())?;
    temp.persist(path).map_err(|error| error.error)
}

/// Takes away what writers with this prefix that were killed have left. Whatever keeps a second writer with this prefix
/// away must be held.
pub fn sweep(folder: &Path, prefix: &str) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let left = |name: &str| name.strip_prefix(prefix).is_some_and(|rest| !rest.contains('.'));
        if entry.file_name().to_str().is_some_and(left) {
            // A file that stays costs room and nothing else.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Takes away what writers that were killed long ago have left, where nothing keeps other writers away: of temporary files
/// those that nobody has touched for an hour.
pub fn sweep_old(folder: &Path) {
    const HOUR: Duration = Duration::from_secs(3600);
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().as_encoded_bytes().starts_with(NEW.as_bytes())) {
        let age = entry.metadata().and_then(|data| data.modified()).map(|time| time.elapsed().unwrap_or_default());
        if age.is_ok_and(|age| age > HOUR) {
            // A file that stays costs room and nothing else.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Waits until everything that was written to the file system of `folder` is on its disk.
///
/// # Errors
/// When the folder cannot be opened, or the disk reports an error.
pub fn sync_all(folder: &Path) -> io::Result<()> {
    Ok(nix::unistd::syncfs(File::open(folder)?)?)
}

/// [`replace`] with content at hand.
///
/// # Errors
/// As [`replace`].
pub fn replace_with(path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    replace(path, mode, |file| file.write_all(content))
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_temporary_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nodes.conf");
        replace_with(&path, 0o600, b"old").unwrap();
        let failed = replace(&path, 0o600, |file| {
            file.write_all(b"ne")?;
            Err::<(), _>(io::Error::other("disk full"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "disk full");
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_killed_writer_left_is_swept_and_nothing_of_another_is() {
        let folder = tempfile::tempdir().unwrap();
        for name in [".a.new-x1", ".a.new-", ".a.new-x.img", ".b.new-x1", "a"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        sweep(folder.path(), ".a.new-");
        let entries = std::fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, [".a.new-x.img", ".b.new-x1", "a"]);
    }

    #[test]
    fn what_is_an_hour_old_is_swept_and_what_somebody_writes_now_is_not() {
        let folder = tempfile::tempdir().unwrap();
        for name in [".new-x1", ".new-x2", ".n1.system.record"] {
            let file = File::create(folder.path().join(name)).unwrap();
            if name != ".new-x2" {
                file.set_modified(std::time::SystemTime::now() - Duration::from_secs(3700)).unwrap();
            }
        }
        sweep_old(folder.path());
        let entries = std::fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, [".n1.system.record", ".new-x2"]);
    }

    #[test]
    fn the_mode_is_what_was_asked_for_whatever_the_umask_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("open");
        replace_with(&path, 0o666, b"").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o666);
    }
}
