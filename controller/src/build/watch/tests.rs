//! A watched answer is the answer of a look, whatever is done to the files.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop at the first surprise")]

use std::convert::Infallible;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use model::Conf;
use nix::errno::Errno;
use render::reads::{Read, ReadSet};
use render::source::Source;

use super::kernel::Interest;
use super::*;
use crate::build::disk::Disk;
use crate::build::known::{self, Eyes};
use crate::build::trees;

/// The real kernel, believed also where tests lie on a file system of layers.
#[derive(Debug)]
struct TrustedKernel {
    linux: Linux,
    /// Watches that may still be added.
    room: AtomicUsize,
    /// The queue runs over before the next event.
    overflow: AtomicBool,
    /// Nothing is told, as on NFS.
    far: bool,
}

impl TrustedKernel {
    fn new() -> TrustedKernel {
        let linux = Linux::open().unwrap();
        TrustedKernel { linux, room: AtomicUsize::new(usize::MAX), overflow: AtomicBool::new(false), far: false }
    }
}

impl Kernel for Arc<TrustedKernel> {
    fn watch(&self, path: &Path, interest: Interest) -> nix::Result<WatchDescriptor> {
        let taken = self.room.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |room| room.checked_sub(1));
        taken.map_err(|_| Errno::ENOSPC)?;
        self.linux.watch(path, interest)
    }

    fn unwatch(&self, watch: WatchDescriptor) {
        self.linux.unwatch(watch);
    }

    fn events(&self) -> nix::Result<Vec<Event>> {
        let events = self.linux.events()?;
        // What overflows is lost.
        if !events.is_empty() && self.overflow.swap(false, Ordering::SeqCst) {
            while !self.linux.events()?.is_empty() {}
            return Ok(vec![Event::Somewhere]);
        }
        Ok(events)
    }

    fn mounts_changed(&self) -> bool {
        self.linux.mounts_changed()
    }

    fn tells(&self, _path: &Path) -> bool {
        !self.far
    }
}

impl<K: Ord + Clone + fmt::Display, V: Clone> Watch<K, V> {
    fn with(kernel: &Arc<TrustedKernel>) -> Watch<K, V> {
        let watch = Watch::default();
        let _ = watch.kernel.set(Some(Box::new(Arc::clone(kernel))));
        watch
    }

    fn watches(&self) -> usize {
        self.lock().watches.len()
    }
}

/// A folder, a watch over it, and how often it was looked at.
struct Desk {
    dir: tempfile::TempDir,
    kernel: Arc<TrustedKernel>,
    watch: Watch<String, Vec<String>>,
    looks: AtomicUsize,
}

impl Desk {
    fn with(kernel: TrustedKernel) -> Desk {
        let kernel = Arc::new(kernel);
        let watch = Watch::with(&kernel);
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("tree/etc")).unwrap();
        fs::write(dir.path().join("tree/etc/hosts"), "1").unwrap();
        Desk { dir, kernel, watch, looks: AtomicUsize::new(0) }
    }

    fn new() -> Desk {
        Desk::with(TrustedKernel::new())
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// The names in the tree, and whether it took a look to know.
    fn names(&self, tree: &str) -> (Vec<String>, bool) {
        let root = self.path(tree);
        let before = self.looks.load(Ordering::SeqCst);
        let look = || {
            self.looks.fetch_add(1, Ordering::SeqCst);
            let things = trees::walk(&root)?;
            Ok::<_, std::io::Error>(things.iter().map(|thing| thing.path.display().to_string()).collect())
        };
        let names = self.watch.kept(tree.to_owned(), |places| places.tree(&root), look).unwrap_or_default();
        (names, self.looks.load(Ordering::SeqCst) > before)
    }
}

#[test]
fn what_nothing_happened_to_is_looked_at_once() {
    let desk = Desk::new();
    let names = vec!["etc".to_owned(), "etc/hosts".to_owned()];
    assert_eq!(desk.names("tree"), (names.clone(), true));
    let before = desk.watch.moment();
    fs::read(desk.path("tree/etc/hosts")).unwrap();
    fs::write(desk.path("beside"), "").unwrap();
    for _ in 0..3 {
        assert_eq!(desk.names("tree"), (names.clone(), false));
    }
    assert!(desk.watch.moment().same_since(before) && desk.watch.moment().kept_since(before));
    fs::write(desk.path("tree/new"), "").unwrap();
    assert!(!desk.watch.moment().same_since(before));
    assert_eq!(desk.names("tree").0, ["etc", "etc/hosts", "new"]);
}

#[test]
fn no_watch_is_left_when_a_tree_is_gone() {
    let desk = Desk::new();
    fs::create_dir_all(desk.path("other/a/b/c")).unwrap();
    desk.names("tree");
    let before = desk.watch.watches();
    for _ in 0..3 {
        desk.names("other");
        assert!(desk.watch.watches() > before);
        fs::remove_dir_all(desk.path("other")).unwrap();
        assert_eq!(desk.names("other").0, Vec::<String>::new());
        assert_eq!(desk.watch.watches(), before);
        fs::create_dir_all(desk.path("other/a/b/c")).unwrap();
    }
    let told = fs::read_dir("/proc/self/fdinfo").unwrap().flatten().map(|entry| fs::read_to_string(entry.path()));
    let kernels: Vec<usize> =
        told.flatten().map(|text| text.lines().filter(|line| line.starts_with("inotify ")).count()).collect();
    assert!(kernels.contains(&desk.watch.watches()), "{kernels:?} {}", desk.watch.watches());
}

#[test]
fn what_is_not_asked_for_any_more_is_forgotten_with_the_page() {
    let desk = Desk::new();
    desk.watch.turn_page(1);
    desk.names("tree");
    assert_ne!(desk.watch.watches(), 0);
    desk.watch.turn_page(2);
    assert!(!desk.names("tree").1, "it was asked for on the last page");
    desk.watch.turn_page(3);
    desk.watch.turn_page(3);
    assert!(!desk.names("tree").1);
    desk.watch.turn_page(4);
    desk.watch.turn_page(5);
    assert_eq!(desk.watch.watches(), 0);
    assert!(desk.names("tree").1);
}

#[test]
fn a_root_that_is_moved_away_and_one_that_takes_its_place_are_seen() {
    let desk = Desk::new();
    desk.names("tree");
    fs::rename(desk.path("tree"), desk.path("old")).unwrap();
    assert_eq!(desk.names("tree").0, Vec::<String>::new());
    fs::create_dir_all(desk.path("next/var")).unwrap();
    fs::rename(desk.path("next"), desk.path("tree")).unwrap();
    assert_eq!(desk.names("tree").0, ["var"]);
    fs::rename(desk.path("tree"), desk.path("older")).unwrap();
    symlink("old", desk.path("tree")).unwrap();
    assert_eq!(desk.names("tree").0, ["etc", "etc/hosts"]);
    fs::write(desk.path("old/etc/x"), "").unwrap();
    assert_eq!(desk.names("tree").0, ["etc", "etc/hosts", "etc/x"]);
}

#[test]
fn a_queue_that_ran_over_makes_everything_looked_at_again() {
    let desk = Desk::new();
    fs::create_dir(desk.path("still")).unwrap();
    desk.names("tree");
    desk.names("still");
    desk.kernel.overflow.store(true, Ordering::SeqCst);
    fs::write(desk.path("tree/new"), "").unwrap();
    assert_eq!(desk.names("still"), (vec![], true));
    assert_eq!(desk.names("tree").0, ["etc", "etc/hosts", "new"]);
    assert_eq!(desk.names("still"), (vec![], false));
}

#[test]
fn a_tree_for_which_there_is_no_watch_left_is_looked_at_each_time_until_there_is() {
    let desk = Desk::new();
    desk.names("tree");
    let before = desk.watch.watches();
    fs::create_dir_all(desk.path("big/a/b/c/d")).unwrap();
    desk.kernel.room.store(3, Ordering::SeqCst);
    let moment = desk.watch.moment();
    for round in 0..3 {
        assert!(desk.names("big").1, "round {round}");
        fs::write(desk.path("big/a/b/c/d").join(round.to_string()), "").unwrap();
    }
    assert!(!desk.watch.moment().kept_since(moment));
    assert_eq!(desk.names("big").0.len(), 4 + 3);
    assert_eq!(desk.watch.watches(), before, "half a tree is no use");
    assert_eq!(desk.watch.lock().told.len(), 1, "said once");
    assert!(!desk.names("tree").1, "the others are still watched");
    desk.kernel.room.store(usize::MAX, Ordering::SeqCst);
    desk.watch.turn_page(1);
    desk.names("big");
    assert!(!desk.names("big").1);
}

#[test]
fn a_tree_on_a_file_system_that_tells_nothing_is_looked_at_each_time() {
    let desk = Desk::with(TrustedKernel { far: true, ..TrustedKernel::new() });
    for round in 0..3 {
        assert!(desk.names("tree").1, "round {round}");
        fs::write(desk.path("tree").join(round.to_string()), "").unwrap();
    }
    assert_eq!(desk.names("tree").0.len(), 2 + 3);
    assert_eq!((desk.watch.watches(), desk.watch.lock().told.len()), (0, 1));
}

#[test]
fn real_file_systems_are_told_apart_by_what_they_are() {
    let linux = Linux::open().unwrap();
    assert!(!linux.tells(Path::new("/proc")));
    assert!(!linux.tells(Path::new("/sys")));
    assert!(!linux.tells(Path::new("/no/such/folder")));
}

#[test]
fn without_anybody_to_ask_every_answer_is_a_look() {
    let watch: Watch<String, u32> = Watch::blind();
    let before = watch.moment();
    let mut looks = 0;
    for _ in 0..3 {
        let answer = watch.kept(
            "x".into(),
            |_| {},
            || {
                looks += 1;
                Ok::<_, Infallible>(looks)
            },
        );
        assert_eq!(answer, Ok(looks));
    }
    assert_eq!(looks, 3);
    assert!(!watch.moment().kept_since(before));
}

#[test]
fn a_change_that_comes_while_it_is_looked_is_seen_at_the_next_question() {
    let desk = Desk::new();
    let root = desk.path("tree");
    let count = || trees::walk(&root).map(|things| vec![things.len().to_string()]);
    let ask = |meanwhile: &dyn Fn()| {
        let look = || {
            let seen = count();
            meanwhile();
            seen
        };
        desk.watch.kept("tree".into(), |places| places.tree(&root), look).unwrap()
    };
    assert_eq!(ask(&|| fs::write(root.join("late"), "").unwrap()), ["2"]);
    assert_eq!(ask(&|| ()), ["3"]);
    assert_eq!(ask(&|| panic!("it is known")), ["3"]);
}

#[test]
fn a_mount_over_a_tree_and_its_end_are_seen() {
    // A mount namespace for a thread alone; that takes root.
    let seen = std::thread::scope(|scope| {
        let namespace = || {
            use nix::mount::{MsFlags, mount, umount};
            use nix::sched::{CloneFlags, unshare};
            unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS)?;
            mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)?;
            let desk = Desk::new();
            desk.names("tree");
            let root = desk.path("tree");
            mount(Some("tmpfs"), &root, Some("tmpfs"), MsFlags::empty(), None::<&str>)?;
            let over = desk.names("tree").0;
            fs::write(root.join("x"), "").unwrap();
            let inside = desk.names("tree").0;
            umount(&root)?;
            Ok::<_, Errno>((over, inside, desk.names("tree").0))
        };
        scope.spawn(namespace).join().unwrap()
    });
    match seen {
        Ok((over, inside, after)) => {
            assert_eq!((over.len(), inside), (0, vec!["x".to_owned()]));
            assert_eq!(after, ["etc", "etc/hosts"]);
        }
        Err(error) => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "a mount namespace needs root: {error}");
            eprintln!("skipped: a mount namespace needs root: {error}");
        }
    }
}

/// Numbers that are the same for the same seed (xorshift64*).
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let roll = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(roll).unwrap() % sides
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }
}

/// A site's files, and questions about them, watched and not.
struct Site {
    dir: tempfile::TempDir,
    conf: Conf,
    eyes: Arc<Eyes>,
    watched: Disk,
    plain: Disk,
}

const FOLDERS: [&str; 12] = [
    "site/base",
    "site/base/rootfs",
    "site/base/rootfs/etc",
    "site/live/rootfs/etc",
    "share/warewulf/overlays/base/rootfs",
    "share/warewulf/overlays/base/rootfs/etc/deep/er",
    "share/warewulf/overlays/live/rootfs/etc",
    "etc/warewulf/inc",
    "other",
    "chroots/oak/rootfs/etc",
    "chroots/oak/rootfs/boot",
    "chroots/oak/rootfs/lib/modules/6.1.0",
];
const NAMES: [&str; 8] = ["a", "b.ww", "c", "inc", "modes", "vmlinuz-6.1.0-1", "vmlinuz", "er"];

impl Site {
    fn new() -> Site {
        let dir = tempfile::tempdir().unwrap();
        let mut conf = Conf::default();
        conf.paths.sysconfdir = dir.path().join("etc");
        conf.paths.datadir = dir.path().join("share");
        conf.paths.wwoverlaydir = dir.path().join("site");
        conf.paths.wwchrootdir = dir.path().join("chroots");
        for folder in FOLDERS {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        let eyes: Arc<Eyes> = Arc::new(Watch::with(&Arc::new(TrustedKernel::new())));
        let watched = Disk::watched(conf.paths.clone(), Arc::clone(&eyes), Arc::default());
        let plain = Disk::new(conf.paths.clone());
        Site { dir, conf, eyes, watched, plain }
    }

    /// Something that a person or a program does to files; what is impossible just now does not happen.
    fn edit(&self, dice: &mut Dice, round: usize) -> String {
        let place = |dice: &mut Dice| self.dir.path().join(dice.of(&FOLDERS)).join(dice.of(&NAMES));
        let (one, two) = (place(dice), place(dice));
        let folder = self.dir.path().join(dice.of(&FOLDERS));
        let aside = self.dir.path().join(".aside");
        let what = dice.below(19);
        let done = match what {
            0 | 1 => fs::write(&one, format!("{round}")),
            // Of the same length as before.
            2 => fs::write(&one, format!("{}", round % 10)),
            3 => fs::write(&aside, format!("{round}")).and_then(|()| fs::rename(&aside, &one)),
            4 => fs::remove_file(&one),
            5 => fs::rename(&one, &two),
            6 => fs::create_dir_all(one.join("new/er")).and_then(|()| fs::write(one.join("new/er/f.ww"), "x")),
            7 => fs::remove_dir_all(&one),
            8 => fs::remove_dir_all(&folder),
            9 => fs::create_dir_all(&folder),
            10 => fs::set_permissions(
                &one,
                fs::Permissions::from_mode(if round.is_multiple_of(2) { 0o600 } else { 0o755 }),
            ),
            11 => std::os::unix::fs::chown(&one, Some(u32::try_from(round % 3).unwrap()), None),
            12 => fs::remove_file(&one).and_then(|()| symlink(&two, &one)),
            13 => fs::remove_file(&one).and_then(|()| symlink(format!("../{}", dice.of(&NAMES)), &one)),
            14 => fs::hard_link(&one, &two),
            15 => fs::rename(&folder, self.dir.path().join("moved"))
                .and_then(|()| fs::rename(self.dir.path().join("moved"), &one)),
            16 => fs::File::options()
                .append(true)
                .open(&one)
                .and_then(|mut file| std::io::Write::write_all(&mut file, b"+")),
            // As distributions merge /usr.
            17 => fs::rename(
                self.dir.path().join("chroots/oak/rootfs/lib"),
                self.dir.path().join("chroots/oak/rootfs/usr"),
            )
            .and_then(|()| symlink("usr", self.dir.path().join("chroots/oak/rootfs/lib"))),
            _ => fs::File::options()
                .write(true)
                .open(&one)
                .and_then(|file| file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1))),
        };
        format!("{what} {} {} {}: {done:?}", one.display(), two.display(), folder.display())
    }

    /// Every question's watched answer beside the answer of a look.
    fn compare(&self, told: &str) {
        for name in ["base", "live"] {
            let (known, found) = (known::find(&self.eyes, &self.conf, name), trees::find(&self.conf, name));
            assert_eq!(known, found, "{name} after {told}");
            if let Some(found) = found {
                let known = known::tree(&self.eyes, &found).map_err(|error| error.kind());
                let looked = trees::look(&found).map_err(|error| error.kind());
                assert_eq!(known, looked, "the tree {name} after {told}");
            }
        }
        let inside = |path: &str| Read::ImageFile { image: "oak".into(), path: path.into() };
        let link = |path: &str| Read::ImageLink { image: "oak".into(), path: path.into() };
        let reads = [
            link("etc"),
            link("etc/a"),
            link("lib"),
            Read::File("inc/a".into()),
            Read::File("inc/b.ww".into()),
            Read::File(self.dir.path().join("other/c").display().to_string()),
            Read::Link("inc/inc".into()),
            Read::Link("inc/a".into()),
            inside("/etc/a"),
            inside("/etc/c"),
            Read::ImageKernel("oak".into()),
        ];
        for read in &reads {
            assert_eq!(self.watched.state(read), self.plain.state(read), "{read:?} after {told}");
        }
        let reads = ReadSet::new(reads.into());
        assert_eq!(self.watched.states(&reads), self.plain.states(&reads), "after {told}");
    }
}

#[test]
fn every_edit_is_seen_by_the_next_question_as_a_look_sees_it() {
    for seed in [1, 2, 3] {
        eprintln!("seed {seed}");
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let site = Site::new();
        site.compare("nothing");
        for round in 0..150 {
            let edits: Vec<String> = (0..=dice.below(3)).map(|_| site.edit(&mut dice, round)).collect();
            site.compare(&format!("round {round}: {}", edits.join("; ")));
        }
        assert!(site.eyes.watches() > 0, "they were watched");
    }
}

#[test]
fn a_file_that_is_changed_under_another_name_elsewhere_is_seen() {
    let site = Site::new();
    let file = site.dir.path().join("site/live/rootfs/etc/a");
    let elsewhere = site.dir.path().join("elsewhere");
    fs::write(&file, "1").unwrap();
    site.compare("the start");
    fs::hard_link(&file, &elsewhere).unwrap();
    site.compare("the link");
    fs::write(&elsewhere, "2").unwrap();
    site.compare("the write");
}
