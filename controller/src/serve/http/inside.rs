//! Opens files below a folder that others fill (an image's root, the site's files) and never leaves it, whatever links
//! lie there: an absolute link counts from that folder, as it will on the node.

use std::fs::File;
use std::io;
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

/// Why a file below a folder is not to be had.
#[derive(Debug)]
pub enum Missing {
    /// There is nothing of that name, or it is no regular file.
    NotThere,
    /// A link that leads nowhere inside.
    DeadLink,
    /// A link that leads out.
    LeadsOut,
    Other(io::Error),
}

/// Opens a regular file, links followed but kept inside `root`.
///
/// # Errors
/// [`Missing`] says why not.
pub fn open(root: &Path, relative: &Path) -> Result<File, Missing> {
    let walks_up = relative.components().any(|step| matches!(step, Component::ParentDir));
    if walks_up || relative.as_os_str().is_empty() {
        return Err(Missing::NotThere);
    }
    let relative = relative.strip_prefix("/").unwrap_or(relative);
    let folder = File::open(root).map_err(|_| Missing::NotThere)?;
    let file = match resolve(&folder, relative, ResolveFlag::RESOLVE_IN_ROOT) {
        Ok(file) => file,
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Err(why_missing(root, &folder, relative)),
        // Kernels before 5.6, and jails that know no openat2.
        Err(Errno::ENOSYS | Errno::EPERM) => open_by_name(root, relative)?,
        Err(error) => return Err(Missing::Other(error.into())),
    };
    let is_file = file.metadata().map_err(Missing::Other)?.is_file();
    if is_file { Ok(file) } else { Err(Missing::NotThere) }
}

fn resolve(folder: &File, relative: &Path, how: ResolveFlag) -> Result<File, Errno> {
    // A FIFO that nobody writes to must not hold us up.
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let how = OpenHow::new().flags(flags).resolve(how | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    openat2(folder, relative, how).map(File::from)
}

fn why_missing(root: &Path, folder: &File, relative: &Path) -> Missing {
    match resolve(folder, relative, ResolveFlag::RESOLVE_BENEATH) {
        Err(Errno::EXDEV) => Missing::LeadsOut,
        _ if root.join(relative).symlink_metadata().is_ok_and(|data| data.is_symlink()) => Missing::DeadLink,
        _ => Missing::NotThere,
    }
}

/// The same by names: resolve, then see where it came out.
fn open_by_name(root: &Path, relative: &Path) -> Result<File, Missing> {
    let path = root.join(relative);
    let (Ok(root), Ok(real)) = (root.canonicalize(), path.canonicalize()) else {
        let link = path.symlink_metadata().is_ok_and(|data| data.is_symlink());
        return Err(if link { Missing::DeadLink } else { Missing::NotThere });
    };
    if !real.starts_with(root) {
        return Err(Missing::LeadsOut);
    }
    if !real.is_file() {
        return Err(Missing::NotThere);
    }
    File::open(real).map_err(Missing::Other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn outcome(root: &Path, name: &str) -> String {
        match open(root, Path::new(name)) {
            Ok(file) => io::read_to_string(file).unwrap(),
            Err(missing) => format!("{missing:?}"),
        }
    }

    #[test]
    fn links_stay_inside_whatever_they_say() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir_all(root.join("deep")).unwrap();
        std::fs::write(folder.path().join("secret"), "secret").unwrap();
        std::fs::write(root.join("deep/kernel"), "kernel").unwrap();
        symlink("deep/kernel", root.join("near")).unwrap();
        symlink("/deep/kernel", root.join("absolute")).unwrap();
        symlink("gone", root.join("dead")).unwrap();
        symlink(folder.path().join("secret"), root.join("out")).unwrap();
        symlink("../secret", root.join("up")).unwrap();
        for (name, want) in [
            ("deep/kernel", "kernel"),
            ("/deep/kernel", "kernel"),
            ("near", "kernel"),
            ("absolute", "kernel"),
            ("dead", "DeadLink"),
            ("out", "LeadsOut"),
            ("up", "LeadsOut"),
            ("absent", "NotThere"),
            ("deep", "NotThere"),
            ("../secret", "NotThere"),
            ("", "NotThere"),
        ] {
            assert_eq!(outcome(&root, name), want, "{name}");
        }
    }

    #[test]
    fn a_fifo_is_no_file_and_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        nix::unistd::mkfifo(&folder.path().join("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert_eq!(outcome(folder.path(), "fifo"), "NotThere");
    }
}
