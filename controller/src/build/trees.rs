//! Overlays on disk: which ones there are, where each one's tree lies, and the tree as values.
//!
//! A site overlay hides the distribution overlay of its name, or only the files that it holds itself (`overlays: merge:
//! files`; `merged` has the rules). A tree is read without following a link, but for templates that are links: what they
//! lead to is what gets rendered.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use archive::{Entry, Kind};
use model::Conf;
use model::conf::OverlayMerge;
use sha2::{Digest, Sha256};

use super::merged;
use super::plain;
use super::tick::{self, Tick};

/// A file of an overlay is not larger, in bytes: newc has no way to say more.
const MOST: u64 = u32::MAX as u64;

/// The suffix that makes a file a template.
pub const SUFFIX: &str = ".ww";

/// One overlay, found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    pub name: String,
    /// The site's own, or part of the distribution.
    pub site: bool,
    /// The overlay's folder.
    pub folder: PathBuf,
    /// Its tree: `rootfs` in the folder, or the folder itself when there is none.
    pub root: PathBuf,
    /// Of a site overlay that hides single files only: the distribution overlay behind it.
    pub behind: Option<Box<Found>>,
}

impl Found {
    /// Where modes and owners of a distribution overlay are declared.
    pub fn declaration(&self) -> PathBuf {
        self.folder.join("modes")
    }

    fn declared(&self) -> Option<PathBuf> {
        let file = self.declaration();
        (self.root != self.folder && file.is_file()).then_some(file)
    }
}

/// The overlay of that name, the site's first.
pub fn find(conf: &Conf, name: &str) -> Option<Found> {
    if !is_name(name) {
        return None;
    }
    sites(conf, name).or_else(|| found(&conf.paths.distribution_overlays(), name, false))
}

/// The site's overlay, with what it lets through.
fn sites(conf: &Conf, name: &str) -> Option<Found> {
    let behind = match conf.overlays.merge {
        OverlayMerge::Whole => None,
        OverlayMerge::Files => found(&conf.paths.distribution_overlays(), name, false).map(Box::new),
    };
    Some(Found { behind, ..found(&conf.paths.wwoverlaydir, name, true)? })
}

/// All overlays: those of the distribution that are not hidden, then the site's, each by name.
pub fn all(conf: &Conf) -> Vec<Found> {
    let paths = &conf.paths;
    let site = names(&paths.wwoverlaydir);
    let mut found_all: Vec<Found> = names(&paths.distribution_overlays())
        .iter()
        .filter(|name| !site.contains(name))
        .filter_map(|name| found(&paths.distribution_overlays(), name, false))
        .collect();
    found_all.extend(site.iter().filter_map(|name| sites(conf, name)));
    found_all
}

/// Letters, digits and `. _ - :`, and not a folder of the file system itself.
pub fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':'))
}

fn found(folder: &Path, name: &str, site: bool) -> Option<Found> {
    let folder = folder.join(name);
    if !folder.is_dir() {
        return None;
    }
    let rootfs = folder.join("rootfs");
    let root = if rootfs.is_dir() { rootfs } else { folder.clone() };
    Some(Found { name: name.into(), site, folder, root, behind: None })
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    names
}

/// One thing in a tree, with what the file system says of it.
#[derive(Debug)]
pub struct Thing {
    /// From the root of the tree, without leading slash.
    pub path: PathBuf,
    /// Of the link itself, where it is one.
    pub data: Metadata,
}

/// Everything in a tree, folders before what they hold, by name.
///
/// # Errors
/// When a folder cannot be read.
pub fn walk(root: &Path) -> io::Result<Vec<Thing>> {
    let mut things = Vec::new();
    descend(root, Path::new(""), &mut things)?;
    Ok(things)
}

fn descend(root: &Path, below: &Path, things: &mut Vec<Thing>) -> io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(root.join(below))?.collect::<io::Result<_>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let data = entry.metadata()?;
        let path = below.join(entry.file_name());
        let folder = data.is_dir();
        things.push(Thing { path: path.clone(), data });
        if folder {
            descend(root, &path, things)?;
        }
    }
    Ok(())
}

/// A digest that changes whenever anything in the tree does: names, kinds, sizes, owners, modes, times of change.
///
/// Contents are not read: a change of content changes the inode or its time of change. Waits for the end of a tick in
/// which something changed, see [`tick`].
///
/// # Errors
/// When a folder cannot be read.
pub fn look(overlay: &Found) -> io::Result<[u8; 32]> {
    let (digest, settled) = tick::settled(|tick| glance(overlay, tick));
    let mut digest = digest?;
    if !settled {
        digest.update(tick::never_again());
    }
    Ok(digest.finalize().into())
}

fn glance(overlay: &Found, tick: &mut Tick) -> io::Result<Sha256> {
    let mut digest = Sha256::new();
    for thing in walk(&overlay.root)? {
        tick.saw(&thing.data);
        digest.update(thing.path.as_os_str().as_bytes());
        digest.update([0]);
        stamp(&mut digest, &thing.data);
        // What a template that is a link leads to is read through the link.
        if thing.data.is_symlink() && is_template(&thing.path) {
            match fs::metadata(overlay.root.join(&thing.path)) {
                Ok(data) => {
                    tick.saw(&data);
                    stamp(&mut digest, &data);
                }
                Err(_) => digest.update([0]),
            }
        }
    }
    if let Some(file) = overlay.declared() {
        digest.update(fs::read(file)?);
    }
    if let Some(behind) = &overlay.behind {
        digest.update(glance(behind, tick)?.finalize());
    }
    Ok(digest)
}

/// What tells one state of a file from another, without its content.
pub fn stamp(digest: &mut Sha256, data: &Metadata) {
    for number in [data.dev(), data.ino(), data.size(), u64::from(data.mode()), u64::from(data.uid())] {
        digest.update(number.to_le_bytes());
    }
    digest.update(u64::from(data.gid()).to_le_bytes());
    for time in [data.ctime(), data.ctime_nsec(), data.mtime()] {
        digest.update(time.to_le_bytes());
    }
}

/// Whether a path of a tree is a template.
pub fn is_template(path: &Path) -> bool {
    path.as_os_str().as_bytes().ends_with(SUFFIX.as_bytes()) && path.file_name() != Some(OsStr::new(SUFFIX))
}

/// The tree as values, folders before what they hold.
///
/// # Errors
/// When something cannot be read, or when the declaration of modes is wrong.
pub fn read(overlay: &Found) -> io::Result<Vec<Entry>> {
    Ok(read_layers(overlay)?.into_iter().map(|(_, entry)| entry).collect())
}

/// The same, each entry with the overlay that holds it: the one given, or the one behind it.
///
/// # Errors
/// As [`read`].
pub fn read_layers(overlay: &Found) -> io::Result<Vec<(&Found, Entry)>> {
    let own = read_one(overlay)?;
    let Some(behind) = &overlay.behind else {
        return Ok(own.into_iter().map(|entry| (overlay, entry)).collect());
    };
    let tag = |found| move |entry| (found, entry);
    let behind = read_one(behind)?.into_iter().map(tag(behind.as_ref())).collect();
    Ok(merged::merge(behind, own.into_iter().map(tag(overlay)).collect()))
}

fn read_one(overlay: &Found) -> io::Result<Vec<Entry>> {
    let declared = match overlay.declared() {
        Some(file) => Some(declarations(&file)?),
        None => None,
    };
    let mut first_names: HashMap<(u64, u64), Vec<u8>> = HashMap::new();
    let mut entries = Vec::new();
    for Thing { path, data } in walk(&overlay.root)? {
        let full = overlay.root.join(&path);
        let template = is_template(&path) && (data.is_file() || data.is_symlink());
        let name = path.as_os_str().as_bytes().to_vec();
        let (kind, data) = if template {
            let (content, real) = plain::content(&full, MOST).map_err(|error| tell(&full, &error))?;
            (Kind::File(content.into()), real)
        } else {
            (kind_of(&full, &name, &data, &mut first_names).map_err(|error| tell(&full, &error))?, data)
        };
        let mut entry = Entry {
            path: name,
            mode: data.mode() & 0o7777,
            uid: data.uid(),
            gid: data.gid(),
            mtime: u64::try_from(data.mtime()).unwrap_or(0),
            kind,
            xattrs: BTreeMap::new(),
        };
        if let Some(declared) = &declared {
            declare(&mut entry, declared);
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn kind_of(
    full: &Path,
    name: &[u8],
    data: &Metadata,
    first_names: &mut HashMap<(u64, u64), Vec<u8>>,
) -> io::Result<Kind> {
    let kind = data.file_type();
    if kind.is_dir() {
        return Ok(Kind::Directory);
    }
    if kind.is_symlink() {
        return Ok(Kind::Symlink(fs::read_link(full)?.as_os_str().as_bytes().to_vec()));
    }
    // Opening a FIFO waits for somebody to write to it, so nothing but plain files is opened.
    if kind.is_fifo() {
        return Ok(Kind::Fifo);
    }
    if kind.is_socket() {
        return Ok(Kind::Socket);
    }
    let (major, minor) = (nix::sys::stat::major(data.rdev()), nix::sys::stat::minor(data.rdev()));
    let device = |major, minor| (u32::try_from(major).unwrap_or(0), u32::try_from(minor).unwrap_or(0));
    if kind.is_char_device() {
        let (major, minor) = device(major, minor);
        return Ok(Kind::CharDevice { major, minor });
    }
    if kind.is_block_device() {
        let (major, minor) = device(major, minor);
        return Ok(Kind::BlockDevice { major, minor });
    }
    if data.nlink() > 1 {
        if let Some(first) = first_names.get(&(data.dev(), data.ino())) {
            return Ok(Kind::HardLink(first.clone()));
        }
        first_names.insert((data.dev(), data.ino()), name.to_vec());
    }
    Ok(Kind::File(plain::content(full, MOST)?.0.into()))
}

/// Mode, user and group.
type How = (u32, u32, u32);
type Declared = BTreeMap<Vec<u8>, How>;

/// Reads lines of `path mode uid gid`; `#` begins a comment.
fn declarations(file: &Path) -> io::Result<Declared> {
    let text = fs::read_to_string(file).map_err(|error| tell(file, &error))?;
    let mut declared = Declared::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let put = declaration(line).and_then(|(path, how)| match declared.insert(path, how) {
            None => Ok(()),
            Some(_) => Err("path: it stands in a line above: remove one of the two".to_owned()),
        });
        put.map_err(|why| io::Error::other(format!("{}: line {}: {why}", file.display(), number + 1)))?;
    }
    Ok(declared)
}

/// One line, or which field of it is wrong and what to write there.
fn declaration(line: &str) -> Result<(Vec<u8>, How), String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [path, mode, uid, gid] = words.as_slice() else {
        let count = words.len();
        return Err(format!("{count} words: write `path mode uid gid`, as `/root/.ssh 0700 0 0`"));
    };
    let Some(clean) = render::layer::clean(path.as_bytes()) else {
        return Err(format!("path: `{path}` names nothing inside the overlay: write it from the root of the tree"));
    };
    let octal = |word: &str| u32::from_str_radix(word, 8).ok().filter(|mode| *mode <= 0o7777 && !word.starts_with('+'));
    let mode = octal(mode).ok_or_else(|| format!("mode: `{mode}` is no octal mode up to 7777: write it as 0644"))?;
    let owner = |field: &str, word: &str| {
        let number = word.parse().ok().filter(|number| *number != u32::MAX && !word.starts_with('+'));
        number.ok_or_else(|| format!("{field}: `{word}` is no number of an owner: write it as 0"))
    };
    Ok((clean, (mode, owner("uid", uid)?, owner("gid", gid)?)))
}

/// What is declared counts; what is not gets the plain modes, so that the umask of a checkout is never seen on a node.
fn declare(entry: &mut Entry, declared: &Declared) {
    (entry.mode, entry.uid, entry.gid) = match declared.get(&entry.path) {
        Some(how) => *how,
        None => match entry.kind {
            Kind::Directory => (0o755, 0, 0),
            Kind::Symlink(_) => (0o777, 0, 0),
            _ if entry.mode & 0o100 != 0 => (0o755, 0, 0),
            _ => (0o644, 0, 0),
        },
    };
}

fn tell(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn overlay(folder: &Path) -> Found {
        Found { name: "t".into(), site: true, folder: folder.into(), root: folder.join("rootfs"), behind: None }
    }

    #[test]
    fn a_tree_is_read_with_links_kept_and_template_links_followed() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("rootfs");
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::write(root.join("etc/a"), "a").unwrap();
        fs::hard_link(root.join("etc/a"), root.join("etc/b")).unwrap();
        fs::write(dir.path().join("outside"), "{{.Id}}").unwrap();
        symlink("../../outside", root.join("etc/t.ww")).unwrap();
        symlink("a", root.join("etc/l")).unwrap();
        nix::unistd::mkfifo(&root.join("etc/p"), nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        let entries = read(&overlay(dir.path())).unwrap();
        let kinds: Vec<(String, Kind)> =
            entries.into_iter().map(|e| (String::from_utf8(e.path).unwrap(), e.kind)).collect();
        assert_eq!(
            kinds,
            [
                ("etc".into(), Kind::Directory),
                ("etc/a".into(), Kind::File(b"a".as_slice().into())),
                ("etc/b".into(), Kind::HardLink(b"etc/a".to_vec())),
                ("etc/l".into(), Kind::Symlink(b"a".to_vec())),
                ("etc/p".into(), Kind::Fifo),
                ("etc/t.ww".into(), Kind::File(b"{{.Id}}".as_slice().into())),
            ]
        );
    }

    #[test]
    fn a_fifo_is_no_template_whatever_its_name_and_a_link_to_none_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("rootfs");
        fs::create_dir_all(&root).unwrap();
        nix::unistd::mkfifo(&root.join("p.ww"), nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        let entries = read(&overlay(dir.path())).unwrap();
        assert_eq!((entries[0].path.as_slice(), &entries[0].kind), (b"p.ww".as_slice(), &Kind::Fifo));
        symlink("p.ww", root.join("l.ww")).unwrap();
        let error = read(&overlay(dir.path())).unwrap_err().to_string();
        let why = "it is a FIFO, and only plain files can be read";
        assert_eq!(error, format!("{}: {why}", root.join("l.ww").display()));
    }

    #[test]
    fn a_file_that_no_archive_can_hold_is_refused_before_it_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("rootfs");
        fs::create_dir_all(&root).unwrap();
        fs::File::create(root.join("sparse")).unwrap().set_len(1 << 40).unwrap();
        let error = read(&overlay(dir.path())).unwrap_err().to_string();
        let why = "it has 1099511627776 bytes, more than 4294967295";
        assert_eq!(error, format!("{}: {why}", root.join("sparse").display()));
    }

    #[test]
    fn declared_modes_count_and_the_umask_of_a_checkout_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("rootfs");
        fs::create_dir_all(root.join("root/.ssh")).unwrap();
        fs::write(root.join("root/.ssh/authorized_keys.ww"), "").unwrap();
        fs::write(root.join("script"), "").unwrap();
        fs::set_permissions(root.join("script"), fs::Permissions::from_mode(0o775)).unwrap();
        fs::write(dir.path().join("modes"), "# paths\n/root 0700 0 0\n/root/.ssh/authorized_keys.ww 0600 0 0\n")
            .unwrap();
        let modes: Vec<u32> = read(&overlay(dir.path())).unwrap().iter().map(|e| e.mode).collect();
        assert_eq!(modes, [0o700, 0o755, 0o600, 0o755]);
    }

    #[test]
    fn a_wrong_declaration_names_its_line_its_field_and_what_to_write() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("rootfs")).unwrap();
        let modes = dir.path().join("modes");
        for (text, why) in [
            ("/x 0644 0\n", "line 1: 3 words: write `path mode uid gid`, as `/root/.ssh 0700 0 0`"),
            ("# x\n\n/x u+x 0 0\n", "line 3: mode: `u+x` is no octal mode up to 7777: write it as 0644"),
            ("/x 100644 0 0\n", "line 1: mode: `100644` is no octal mode up to 7777: write it as 0644"),
            ("/x 0644 root 0\n", "line 1: uid: `root` is no number of an owner: write it as 0"),
            ("/x 0644 0 4294967295\n", "line 1: gid: `4294967295` is no number of an owner: write it as 0"),
            (
                "../x 0644 0 0\n",
                "line 1: path: `../x` names nothing inside the overlay: write it from the root of the tree",
            ),
            ("/x 0644 0 0\nx/ 0600 0 0\n", "line 2: path: it stands in a line above: remove one of the two"),
        ] {
            fs::write(&modes, text).unwrap();
            let error = read(&overlay(dir.path())).unwrap_err().to_string();
            assert_eq!(error, format!("{}: {why}", modes.display()));
        }
    }

    #[test]
    fn any_change_in_a_tree_is_seen_without_reading_contents() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("rootfs/f");
        fs::create_dir_all(dir.path().join("rootfs")).unwrap();
        fs::write(&file, "1").unwrap();
        let first = look(&overlay(dir.path())).unwrap();
        assert_eq!(look(&overlay(dir.path())).unwrap(), first);
        fs::write(&file, "2").unwrap();
        assert_ne!(look(&overlay(dir.path())).unwrap(), first);
    }
}
