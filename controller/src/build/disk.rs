//! The controller's disk as a render sees it: files to include, images, kernels.
//!
//! Paths in an image never leave the image: the kernel resolves them with the image as root.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use model::conf::Paths;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use render::layer::ImageLinks;
use render::reads::{Read, ReadSet};
use render::source::{self, Source};
use sha2::{Digest, Sha256};

use super::known::{Eyes, Known, What};
use super::plain;
use super::tick::{self, Tick};
use super::trees::stamp;
use super::watch::{Moment, Places};

/// A file to include is not larger, in bytes: a template may make no more.
const MOST: u64 = 512 << 20;

/// Files below the paths of the site.
#[derive(Debug)]
pub struct Disk {
    paths: Paths,
    /// Who keeps the states of files until something happens to them.
    eyes: Option<Arc<Eyes>>,
    /// The states of many files together, and until when they hold.
    together: Arc<Together>,
}

/// Identity of the reads, and where relative paths and images lie -> since when they are kept, and their state.
pub type Together = Mutex<HashMap<([u8; 32], PathBuf, PathBuf), (Moment, [u8; 32])>>;

impl Disk {
    pub fn new(paths: Paths) -> Disk {
        Disk { paths, eyes: None, together: Arc::default() }
    }

    /// The same files, of which only those are looked at to which something happened.
    pub fn watched(paths: Paths, eyes: Arc<Eyes>, together: Arc<Together>) -> Disk {
        Disk { paths, eyes: Some(eyes), together }
    }

    fn place(&self, path: &str) -> PathBuf {
        // Joining an absolute path gives that path.
        self.paths.etc().join(path)
    }

    fn image_root(&self, image: &str) -> Option<PathBuf> {
        let plain = !image.is_empty() && !image.contains('/') && !matches!(image, "." | "..");
        plain.then(|| self.paths.image_root(image))
    }
}

impl Source for Disk {
    fn file(&self, path: &str) -> Result<Option<Vec<u8>>, String> {
        let place = self.place(path);
        let content = plain::content(&place, MOST).map(|(content, _)| content);
        present(content).map_err(|error| format!("{}: {error}", place.display()))
    }

    fn image_file(&self, image: &str, path: &str) -> Result<Option<Vec<u8>>, String> {
        let Some(root) = self.image_root(image) else { return Ok(None) };
        let file = inside(&root, Path::new(path), OFlag::O_RDONLY | OFlag::O_NONBLOCK);
        let content = file.and_then(|file| plain::of(file, MOST)).map(|(content, _)| content);
        present(content).map_err(|error| format!("image {image}: {path}: {error}"))
    }

    fn resolve(&self, path: &str) -> Result<String, String> {
        let real = fs::canonicalize(self.place(path)).map_err(|error| format!("{path}: {error}"))?;
        Ok(real.to_string_lossy().into_owned())
    }

    fn newest_kernel(&self, image: &str) -> Option<String> {
        crate::image::kernels::default_version(&self.image_root(image)?)
    }

    fn image_links(&self, image: &str) -> Box<dyn ImageLinks + '_> {
        Box::new(Links { root: self.image_root(image), known: Mutex::default() })
    }

    fn state(&self, read: &Read) -> [u8; 32] {
        let look = || Ok::<Known, Infallible>(Known::State(self.look(read)));
        let Some(eyes) = &self.eyes else { return self.look(read) };
        let what =
            What::Read { etc: self.paths.etc(), images: self.paths.wwchrootdir.clone(), read: Box::new(read.clone()) };
        match eyes.kept(what, |places| self.places(read, places), look) {
            Ok(Known::State(state)) => state,
            Ok(Known::Overlay(_)) => self.look(read),
        }
    }

    fn states(&self, reads: &ReadSet) -> [u8; 32] {
        let together = || self.together.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = self.eyes.as_ref().map(|eyes| eyes.moment());
        let what = (reads.id(), self.paths.etc(), self.paths.wwchrootdir.clone());
        let known = together().get(&what).copied();
        if let (Some(begun), Some((then, state))) = (begun, known)
            && begun.same_since(then)
        {
            return state;
        }
        let state = source::states(reads, |read| self.state(read));
        if let (Some(eyes), Some(begun)) = (&self.eyes, begun)
            && eyes.moment().kept_since(begun)
        {
            together().insert(what, (begun, state));
        }
        state
    }
}

impl Disk {
    fn look(&self, read: &Read) -> [u8; 32] {
        let (mut digest, settled) = tick::settled(|tick| self.glance(read, tick));
        if !settled {
            digest.update(tick::never_again());
        }
        digest.finalize().into()
    }

    fn glance(&self, read: &Read, tick: &mut Tick) -> Sha256 {
        let mut digest = Sha256::new();
        match read {
            Read::File(path) => match fs::metadata(self.place(path)) {
                Ok(data) => {
                    tick.saw(&data);
                    stamp(&mut digest, &data);
                }
                Err(error) => digest.update(error.kind().to_string()),
            },
            Read::Link(path) => digest.update(self.resolve(path).unwrap_or_default()),
            Read::ImageFile { image, path } => {
                let opened = self.image_root(image).and_then(|root| {
                    inside(&root, Path::new(path), OFlag::O_PATH).and_then(|file| file.metadata()).ok()
                });
                match opened {
                    Some(data) => {
                        tick.saw(&data);
                        stamp(&mut digest, &data);
                    }
                    None => digest.update("none"),
                }
            }
            Read::ImageKernel(image) => digest.update(self.newest_kernel(image).unwrap_or_default()),
            Read::ImageLink { image, path } => {
                let target = Links { root: self.image_root(image), known: Mutex::default() }.look(path.as_bytes());
                match target {
                    Some(target) => digest.update(target),
                    None => digest.update("none"),
                }
            }
            Read::Own(_) | Read::World(_) | Read::Conf(_) | Read::Environment(_) => {}
        }
        digest
    }

    /// All that [`Disk::look`] looks at.
    fn places(&self, read: &Read, places: &mut Places<'_>) {
        match read {
            Read::File(path) => {
                places.path(&self.place(path));
            }
            Read::Link(path) => {
                places.way(&self.place(path));
            }
            Read::ImageFile { image, path } => {
                if let Some(root) = self.image_root(image) {
                    places.path_in(&root, Path::new(path));
                }
            }
            Read::ImageLink { image, path } => {
                if let Some(root) = self.image_root(image) {
                    places.way_in(&root, Path::new(path));
                }
            }
            Read::ImageKernel(image) => {
                if let Some(root) = self.image_root(image) {
                    kernel_places(&root, places);
                }
            }
            Read::Own(_) | Read::World(_) | Read::Conf(_) | Read::Environment(_) => {}
        }
    }
}

/// Where an image may have kernels: `image::kernels::list`.
fn kernel_places(root: &Path, places: &mut Places<'_>) {
    for folder in ["/boot", "/lib/modules"] {
        let Some(real) = places.path_in(root, Path::new(folder)) else { continue };
        for entry in fs::read_dir(real).into_iter().flatten().flatten() {
            let inside = Path::new(folder).join(entry.file_name());
            if folder == "/boot" {
                places.path_in(root, &inside);
            } else {
                for name in ["vmlinuz", "vmlinuz.gz"] {
                    places.path_in(root, &inside.join(name));
                }
            }
        }
    }
}

/// What is not there is no error.
fn present(read: io::Result<Vec<u8>>) -> io::Result<Option<Vec<u8>>> {
    match read {
        Ok(content) => Ok(Some(content)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens a path of an image; links, also absolute ones, stay in the image.
fn inside(root: &Path, path: &Path, flags: OFlag) -> io::Result<File> {
    let root = File::open(root)?;
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_IN_ROOT);
    Ok(openat2(&root, path, how)?.into())
}

/// The links to folders of an image, each looked at once.
struct Links {
    root: Option<PathBuf>,
    known: Mutex<HashMap<Vec<u8>, Option<Vec<u8>>>>,
}

impl Links {
    fn look(&self, path: &[u8]) -> Option<Vec<u8>> {
        let root = self.root.as_ref()?;
        let relative = Path::new(std::ffi::OsStr::from_bytes(path));
        let full = root.join(relative);
        // The caller goes down step by step, so nothing before the last part is a link.
        let target = fs::read_link(&full).ok()?;
        inside(root, relative, OFlag::O_PATH | OFlag::O_DIRECTORY).ok()?;
        Some(target.as_os_str().as_bytes().to_vec())
    }
}

impl ImageLinks for Links {
    fn folder_link(&self, path: &[u8]) -> Option<Vec<u8>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = known.get(path) {
            return answer.clone();
        }
        let answer = self.look(path);
        known.insert(path.to_vec(), answer.clone());
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn site() -> (tempfile::TempDir, Disk) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("chroots/oak/rootfs");
        fs::create_dir_all(root.join("usr/lib64")).unwrap();
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::write(root.join("etc/real"), "inside\n").unwrap();
        symlink("/etc/real", root.join("etc/absolute")).unwrap();
        symlink("../../../../../../../etc/real", root.join("etc/up")).unwrap();
        symlink("usr/lib64", root.join("lib64")).unwrap();
        let paths =
            Paths { sysconfdir: dir.path().join("etc"), wwchrootdir: dir.path().join("chroots"), ..Paths::default() };
        fs::create_dir_all(paths.etc()).unwrap();
        fs::write(paths.etc().join("motd"), "hello").unwrap();
        (dir, Disk::new(paths))
    }

    #[test]
    fn relative_files_lie_beside_warewulf_conf_and_missing_ones_are_no_error() {
        let (_dir, disk) = site();
        assert_eq!(disk.file("motd"), Ok(Some(b"hello".to_vec())));
        assert_eq!(disk.file("none"), Ok(None));
        assert_eq!(disk.file("motd/below"), Ok(None));
    }

    #[test]
    fn a_fifo_and_a_device_are_refused_at_once_and_nobody_waits_for_them() {
        let (dir, disk) = site();
        let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
        nix::unistd::mkfifo(&dir.path().join("etc/warewulf/fifo"), mode).unwrap();
        nix::unistd::mkfifo(&dir.path().join("chroots/oak/rootfs/fifo"), mode).unwrap();
        let refused = "it is a FIFO, and only plain files can be read";
        assert_eq!(disk.file("fifo"), Err(format!("{}: {refused}", dir.path().join("etc/warewulf/fifo").display())));
        assert_eq!(disk.image_file("oak", "/fifo"), Err(format!("image oak: /fifo: {refused}")));
        assert_eq!(disk.file("/dev/zero"), Err("/dev/zero: it is a device, and only plain files can be read".into()));
    }

    #[test]
    fn paths_of_an_image_stay_in_the_image() {
        let (_dir, disk) = site();
        assert_eq!(disk.image_file("oak", "/etc/absolute"), Ok(Some(b"inside\n".to_vec())));
        assert_eq!(disk.image_file("oak", "/etc/up"), Ok(Some(b"inside\n".to_vec())));
        assert_eq!(disk.image_file("oak", "/etc/none"), Ok(None));
        assert_eq!(disk.image_file("", "/etc/passwd"), Ok(None));
        assert_eq!(disk.image_file("../..", "/etc/passwd"), Ok(None));
    }

    #[test]
    fn links_of_an_image_to_folders_are_found() {
        let (_dir, disk) = site();
        let links = disk.image_links("oak");
        assert_eq!(links.folder_link(b"lib64"), Some(b"usr/lib64".to_vec()));
        assert_eq!(links.folder_link(b"usr"), None);
        assert_eq!(links.folder_link(b"etc/absolute"), None);
    }

    #[test]
    fn the_state_of_a_file_changes_with_it() {
        let (dir, disk) = site();
        let read = Read::File("motd".into());
        let before = disk.state(&read);
        assert_eq!(disk.state(&read), before);
        fs::write(dir.path().join("etc/warewulf/motd"), "hello again").unwrap();
        assert_ne!(disk.state(&read), before);
        fs::remove_file(dir.path().join("etc/warewulf/motd")).unwrap();
        assert_ne!(disk.state(&read), before);
    }
}
