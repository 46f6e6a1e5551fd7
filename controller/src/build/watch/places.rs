//! The places that an answer depends on: each is watched before it is looked at, so that nothing slips in between.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;

use super::kernel::{Interest, Kernel};
use crate::build::trees;

/// Watches one place; the name is that of the only thing in a folder that counts.
type Hold<'a> = dyn Fn(&Path, Interest, Option<OsString>) -> nix::Result<()> + 'a;

/// Takes the places of one answer.
pub struct Places<'a> {
    kernel: &'a dyn Kernel,
    hold: &'a Hold<'a>,
    /// Device -> whether its changes are told.
    devices: HashMap<u64, bool>,
    trouble: Option<Trouble>,
}

/// Why an answer cannot be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Something went away meanwhile: not this time.
    Moving,
    Refused(String),
}

/// More links than this in a path are a loop (path_resolution(7)).
const MOST_LINKS: u32 = 40;

impl fmt::Debug for Places<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Places").field("trouble", &self.trouble).finish_non_exhaustive()
    }
}

impl<'a> Places<'a> {
    pub(super) fn new(kernel: &'a dyn Kernel, hold: &'a Hold<'a>) -> Places<'a> {
        Places { kernel, hold, devices: HashMap::new(), trouble: None }
    }

    pub(super) fn trouble(self) -> Option<Trouble> {
        self.trouble
    }

    /// A file or folder, there or not, and every folder and link on the way to it. Where it really lies, if it is there.
    pub fn path(&mut self, path: &Path) -> Option<PathBuf> {
        let real = self.way(path)?;
        self.add(&real, Interest::All, None);
        Some(real)
    }

    /// Only where a path leads, whatever is there.
    pub fn way(&mut self, path: &Path) -> Option<PathBuf> {
        self.trail(Path::new("/"), path)
    }

    /// The same inside a tree that no link leaves, as in chroot(2).
    pub fn path_in(&mut self, root: &Path, path: &Path) -> Option<PathBuf> {
        let real = self.way_in(root, path)?;
        self.add(&real, Interest::All, None);
        Some(real)
    }

    /// Only where a path in such a tree leads, whatever is there.
    pub fn way_in(&mut self, root: &Path, path: &Path) -> Option<PathBuf> {
        let root = self.way(root)?;
        self.trail(&root, path)
    }

    /// A folder and all that it holds, with what templates that are links lead to.
    pub fn tree(&mut self, root: &Path) {
        if let Some(root) = self.way(root) {
            self.descend(&root);
        }
    }

    fn descend(&mut self, folder: &Path) {
        // Before it is read: what comes later is told.
        self.add(folder, Interest::All, None);
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => return self.broken(&error),
        };
        for entry in entries {
            let kind = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)));
            match kind {
                Err(error) => return self.broken(&error),
                Ok((path, kind)) if kind.is_dir() => self.descend(&path),
                Ok((path, kind)) => {
                    // The file itself, too: it may be changed under a name elsewhere.
                    self.add(&path, Interest::All, None);
                    if kind.is_symlink() && trees::is_template(&path) {
                        self.path(&path);
                    }
                }
            }
            if self.trouble.is_some() {
                return;
            }
        }
    }

    /// Follows a path as the kernel does, down from `floor`, which no `..` and no link leaves.
    fn trail(&mut self, floor: &Path, path: &Path) -> Option<PathBuf> {
        let mut real = floor.to_path_buf();
        let mut ahead: Vec<OsString> = parts(path);
        let mut links = 0;
        while let Some(part) = ahead.pop() {
            if part == "/" {
                real = floor.to_path_buf();
                continue;
            }
            if part == ".." {
                if real != floor {
                    real.pop();
                }
                continue;
            }
            self.add(&real, Interest::Names, Some(part.clone()));
            let here = real.join(&part);
            let data = match fs::symlink_metadata(&here) {
                Ok(data) => data,
                Err(error) if is_absence(&error) => return None,
                Err(error) => {
                    self.broken(&error);
                    return None;
                }
            };
            if data.is_symlink() {
                links += 1;
                let target = fs::read_link(&here).ok().filter(|_| links <= MOST_LINKS)?;
                ahead.extend(parts(&target));
            } else if data.is_dir() || ahead.is_empty() {
                real = here;
            } else {
                return None;
            }
        }
        Some(real)
    }

    fn add(&mut self, path: &Path, interest: Interest, name: Option<OsString>) {
        if self.trouble.is_some() {
            return;
        }
        match self.tells(path) {
            Ok(true) => {}
            Ok(false) => {
                let why = format!("{} is on a file system that does not tell every change", path.display());
                self.trouble = Some(Trouble::Refused(why));
                return;
            }
            Err(error) => return self.broken(&error),
        }
        if let Err(error) = (self.hold)(path, interest, name) {
            self.broken(&error.into());
        }
    }

    fn tells(&mut self, path: &Path) -> io::Result<bool> {
        let data = fs::symlink_metadata(path)?;
        // A link cannot be asked, and lies on the file system of its folder.
        let asked = if data.is_symlink() { path.parent().unwrap_or(path) } else { path };
        Ok(*self.devices.entry(data.dev()).or_insert_with(|| self.kernel.tells(asked)))
    }

    fn broken(&mut self, error: &io::Error) {
        let trouble = match error.raw_os_error().map(Errno::from_raw) {
            _ if is_absence(error) => Trouble::Moving,
            Some(Errno::ENOSPC) => {
                Trouble::Refused("the watches are used up: raise fs.inotify.max_user_watches".into())
            }
            _ => Trouble::Refused(error.to_string()),
        };
        self.trouble.get_or_insert(trouble);
    }
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The parts of a path, the first one last.
fn parts(path: &Path) -> Vec<OsString> {
    let part = |part: Component<'_>| match part {
        Component::RootDir => Some(OsStr::new("/").to_owned()),
        Component::ParentDir => Some(OsStr::new("..").to_owned()),
        Component::Normal(name) => Some(name.to_owned()),
        Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().rev().filter_map(part).collect()
}
