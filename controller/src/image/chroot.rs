//! Commands inside an image: in a mount namespace of their own, with the image's tree as root.
//!
//! [`enter`] is for a process that is nothing but this: it gives up its view of the file system, mounts what programs expect,
//! and becomes the command. Nothing of it is left on the controller when it ends: the mounts go with the last process inside.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use model::conf::ImageMount;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::inside;
use super::shelf::Image;

/// Something of the controller that is seen in the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind {
    pub source: PathBuf,
    /// Inside the image.
    pub target: PathBuf,
    pub how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Writable,
    ReadOnly,
    /// A copy lies there meanwhile, where the image has no such file.
    Copy,
}

impl Bind {
    /// `SRC`, `SRC:DST`, `SRC:DST:ro` or `SRC:DST:copy`.
    ///
    /// # Errors
    /// When it is none of these.
    pub fn parse(text: &str) -> anyhow::Result<Bind> {
        let mut words = text.split(':');
        let source = words.next().unwrap_or_default();
        let target = words.next().filter(|target| !target.is_empty()).unwrap_or(source);
        let how = match words.next() {
            None | Some("") => How::Writable,
            Some("ro") => How::ReadOnly,
            Some("copy") => How::Copy,
            Some(other) => bail!("bind {text:?}: {other:?} is neither ro nor copy"),
        };
        if !source.starts_with('/') || !target.starts_with('/') || words.next().is_some() {
            bail!("bind {text:?}: not SRC[:DST[:ro or copy]] with absolute paths");
        }
        Ok(Bind { source: source.into(), target: target.into(), how })
    }

    /// From `image mounts` of warewulf.conf.
    pub fn of(conf: &ImageMount) -> Bind {
        let target = if conf.dest.is_empty() { &conf.source } else { &conf.dest };
        let how = match (conf.copy, conf.readonly) {
            (true, _) => How::Copy,
            (_, true) => How::ReadOnly,
            _ => How::Writable,
        };
        Bind { source: (&conf.source).into(), target: target.into(), how }
    }
}

/// Becomes the command, inside. Comes back only with an error. `say` hears of what the image has no place for.
///
/// # Errors
/// When the kernel refuses (only root may), or there is no such command in the image.
pub fn enter(image: &Image, binds: &[Bind], command: &[OsString], say: impl Fn(String)) -> anyhow::Result<Infallible> {
    let [program, arguments @ ..] = command else { bail!("name a command") };
    let root = fs::canonicalize(&image.rootfs).with_context(|| format!("enter {}", image.rootfs.display()))?;
    unshare(CloneFlags::CLONE_NEWNS).context("a mount namespace of its own (only root can have one)")?;
    // What is mounted from here on must not be seen outside.
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
    let at = |inside: &Path| super::inside::resolve(&root, inside).ok();
    let bind = MsFlags::MS_BIND;
    if let Some(proc) = at(Path::new("/proc")) {
        mount(Some("proc"), &proc, Some("proc"), MsFlags::empty(), None::<&str>).context("mount /proc")?;
    }
    for (path, flags) in [("/dev", bind | MsFlags::MS_REC), ("/sys", bind)] {
        if let Some(target) = at(Path::new(path)) {
            mount(Some(path), &target, None::<&str>, flags, None::<&str>).with_context(|| format!("mount {path}"))?;
        }
    }
    if let Some(run) = at(Path::new("/run")) {
        mount(Some("tmpfs"), &run, Some("tmpfs"), MsFlags::empty(), Some("mode=755")).context("mount /run")?;
    }
    for wanted in binds.iter().filter(|wanted| wanted.how != How::Copy) {
        let said = || format!("bind {} to {}", wanted.source.display(), wanted.target.display());
        let Some(target) = at(&wanted.target).filter(|_| wanted.source.exists()) else {
            say(format!("{}: passed over, one of them is not there", said()));
            continue;
        };
        mount(Some(&wanted.source), &target, None::<&str>, bind, None::<&str>).with_context(said)?;
        if wanted.how == How::ReadOnly {
            let flags = bind | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
            mount(None::<&str>, &target, None::<&str>, flags, None::<&str>).with_context(said)?;
        }
    }
    nix::unistd::chroot(&root).with_context(|| format!("chroot {}", root.display()))?;
    std::env::set_current_dir("/")?;
    let error = Command::new(program)
        .args(arguments)
        .env("PS1", format!("[{}] Warewulf> ", image.name))
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .exec();
    Err(error).with_context(|| format!("{} in image {}", program.display(), image.name))
}

/// Files that lie in an image while a command runs there; those that the command left as they were go again.
#[derive(Debug, Default)]
pub struct Copies {
    made: Vec<(PathBuf, PathBuf)>,
}

impl Copies {
    /// Copies what is to be copied and is missing in the image.
    pub fn lay(image: &Image, binds: &[Bind], say: impl Fn(String)) -> Copies {
        let mut copies = Copies::default();
        for wanted in binds.iter().filter(|wanted| wanted.how == How::Copy) {
            if inside::resolve(&image.rootfs, &wanted.target).is_ok() {
                continue;
            }
            let (parent, name) = (wanted.target.parent().unwrap_or(Path::new("/")), wanted.target.file_name());
            let folder = inside::resolve(&image.rootfs, parent);
            let (Ok(folder), Some(name)) = (folder, name) else { continue };
            let target = folder.join(name);
            // A link to nothing must not be written through: it is the image's own affair.
            if fs::symlink_metadata(&target).is_ok() {
                continue;
            }
            match fs::copy(&wanted.source, &target) {
                Ok(_) => copies.made.push((wanted.source.clone(), target)),
                Err(error) => say(format!("copy {} into the image: {error}", wanted.source.display())),
            }
        }
        copies
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        for (source, target) in &self.made {
            let plain = fs::symlink_metadata(target).is_ok_and(|metadata| metadata.is_file());
            if plain && fs::read(source).ok() == fs::read(target).ok() {
                // A file that stays is one file too many in the image, and no more.
                let _ = fs::remove_file(target);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binds_are_read_in_all_their_forms() {
        let bind = |source: &str, target: &str, how| Bind { source: source.into(), target: target.into(), how };
        assert_eq!(Bind::parse("/a").unwrap(), bind("/a", "/a", How::Writable));
        assert_eq!(Bind::parse("/a:/b").unwrap(), bind("/a", "/b", How::Writable));
        assert_eq!(Bind::parse("/a:/b:ro").unwrap(), bind("/a", "/b", How::ReadOnly));
        assert_eq!(Bind::parse("/a::copy").unwrap(), bind("/a", "/a", How::Copy));
        for bad in ["", "a", "/a:b", "/a:/b:rw", "/a:/b:ro:x"] {
            assert!(Bind::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_copy_goes_again_unless_it_was_changed() {
        let folder = tempfile::tempdir().unwrap();
        let rootfs = folder.path().join("rootfs");
        fs::create_dir_all(rootfs.join("etc")).unwrap();
        fs::write(rootfs.join("etc/own"), "own").unwrap();
        std::os::unix::fs::symlink("/nowhere", rootfs.join("etc/link")).unwrap();
        let source = folder.path().join("source");
        fs::write(&source, "controller's").unwrap();
        let image = Image { name: "oak".into(), folder: folder.path().into(), rootfs: rootfs.clone() };
        let bind = |target: &str| Bind { source: source.clone(), target: target.into(), how: How::Copy };
        let binds = ["/etc/own", "/etc/link", "/etc/lent", "/etc/changed", "/gone/x"].map(bind);
        let copies = Copies::lay(&image, &binds, |note| panic!("{note}"));
        assert_eq!(fs::read_to_string(rootfs.join("etc/own")).unwrap(), "own");
        assert_eq!(fs::read_to_string(rootfs.join("etc/lent")).unwrap(), "controller's");
        fs::write(rootfs.join("etc/changed"), "by the image").unwrap();
        drop(copies);
        assert!(!rootfs.join("etc/lent").exists() && rootfs.join("etc/changed").exists());
    }
}
