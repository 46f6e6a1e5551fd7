//! Paths inside an image's tree: links lead where they would lead on the node, never out into the controller.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// As many links as the kernel follows in one path (path_resolution(7)).
const LINKS: usize = 40;

/// Where `path` lies on the controller when `root` is `/`, with all links followed.
///
/// An absolute link begins at `root` again, and `..` of `root` is `root`.
///
/// # Errors
/// When a part is missing, is no folder where one is needed, or links run in a circle.
pub fn resolve(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let mut at: Vec<OsString> = Vec::new();
    let mut rest: Vec<OsString> = Vec::new();
    push(&mut rest, path);
    let mut links = 0;
    while let Some(part) = rest.pop() {
        if part == ".." {
            at.pop();
            continue;
        }
        let here = root.join(at.iter().collect::<PathBuf>()).join(&part);
        let kind = std::fs::symlink_metadata(&here)?.file_type();
        if !kind.is_symlink() {
            if !rest.is_empty() && !kind.is_dir() {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            at.push(part);
            continue;
        }
        links += 1;
        if links > LINKS {
            return Err(io::Error::other("too many links one after another"));
        }
        let target = std::fs::read_link(&here)?;
        if target.is_absolute() {
            at.clear();
        }
        push(&mut rest, &target);
    }
    Ok(root.join(at.iter().collect::<PathBuf>()))
}

/// The names in a folder inside `root`, sorted; none when it is not there.
pub fn names(root: &Path, folder: &Path) -> Vec<OsString> {
    let Ok(entries) = resolve(root, folder).and_then(std::fs::read_dir) else { return Vec::new() };
    let mut names: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.file_name())).collect();
    names.sort_by(|one, other| one.as_bytes().cmp(other.as_bytes()));
    names
}

/// The parts of `path` on the stack, the first on top.
fn push(stack: &mut Vec<OsString>, path: &Path) {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(part) => Some(part),
        Component::ParentDir => Some(OsStr::new("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    stack.extend(parts.rev().map(OsStr::to_os_string));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_stay_inside_however_they_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("rootfs");
        std::fs::create_dir_all(root.join("usr/lib/modules")).unwrap();
        std::fs::write(root.join("usr/lib/real"), "x").unwrap();
        symlink("/usr/lib", root.join("lib")).unwrap();
        symlink("../../../../../lib/real", root.join("usr/up")).unwrap();
        symlink("round", root.join("round")).unwrap();
        let found = root.join("usr/lib/real");
        for path in ["lib/real", "/lib/real", "usr/up", "/../../usr/up", "lib/modules/../real"] {
            assert_eq!(resolve(&root, Path::new(path)).unwrap(), found, "{path}");
        }
        assert_eq!(resolve(&root, Path::new("/etc/passwd")).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(resolve(&root, Path::new("usr/up/x")).unwrap_err().kind(), io::ErrorKind::NotADirectory);
        assert!(resolve(&root, Path::new("round")).is_err());
        assert_eq!(names(&root, Path::new("/lib")), ["modules", "real"]);
    }
}
