//! What a render read: noted where it happens, leaf by leaf, so that only what a result depends on can make it stale.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use sha2::{Digest, Sha256};

/// A name of a field or a key; `None` stands for each key of a map.
pub type Name = Option<Arc<str>>;

/// What of a thing was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// All of it.
    Value,
    /// Whether it is there, and what kind of thing it is.
    Exists,
    /// The keys of a map.
    Keys,
    /// How many keys.
    Count,
    /// Whether there is any.
    Some,
}

impl What {
    const ALL: [(What, &'static str); 5] =
        [(What::Value, ""), (What::Exists, "?"), (What::Keys, "{}"), (What::Count, "#"), (What::Some, "+")];

    fn bit(self) -> u8 {
        1 << (self as u8)
    }

    fn mark(self) -> &'static str {
        What::ALL.iter().find(|(what, _)| *what == self).map_or("", |(_, mark)| mark)
    }
}

/// A way from a node, from all nodes or from the configuration down to what was read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    names: Vec<Name>,
    what: What,
}

impl Path {
    pub fn new(names: Vec<Name>, what: What) -> Path {
        Path { names, what }
    }

    /// `NetDevs.default.Ipaddr`, `NetDevs{}`, `Tags.x?`, `NetDevs.*.Hwaddr`.
    pub fn parse(text: &str) -> Option<Path> {
        let (what, names) = What::ALL
            .iter()
            .skip(1)
            .find_map(|(what, mark)| Some((*what, text.strip_suffix(mark)?)))
            .unwrap_or((What::Value, text));
        if names.is_empty() {
            return Some(Path { names: Vec::new(), what });
        }
        let names = names.split('.').map(|name| match name {
            "*" => None,
            name => Some(unescape(name).into()),
        });
        Some(Path { names: names.collect(), what })
    }

    pub fn names(&self) -> &[Name] {
        &self.names
    }

    pub fn what(&self) -> What {
        self.what
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, name) in self.names.iter().enumerate() {
            let dot = if at > 0 { "." } else { "" };
            match name {
                Some(name) => write!(f, "{dot}{}", escape_name(name))?,
                None => write!(f, "{dot}*")?,
            }
        }
        f.write_str(self.what.mark())
    }
}

/// One thing that was read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Read {
    /// Of the node that is rendered for.
    Own(Path),
    /// Of all nodes, in their order; without names: how many there are.
    World(Path),
    /// Of warewulf.conf, by the names that templates use.
    Conf(Path),
    /// A variable of the environment, there or not.
    Environment(String),
    /// A file of the controller, there or not.
    File(String),
    /// Where a path of the controller leads.
    Link(String),
    /// A file of an image, there or not.
    ImageFile { image: String, path: String },
    /// The newest kernel of an image.
    ImageKernel(String),
    /// Whether a path of an image is a link to a folder, and to which.
    ImageLink { image: String, path: String },
}

impl Read {
    /// One line, read again by [`Read::parse`].
    pub fn line(&self) -> String {
        match self {
            Read::Own(path) => format!("own {path}"),
            Read::World(path) => format!("world {path}"),
            Read::Conf(path) => format!("conf {path}"),
            Read::Environment(name) => format!("environment {}", escape(name)),
            Read::File(path) => format!("file {}", escape(path)),
            Read::Link(path) => format!("link {}", escape(path)),
            Read::ImageFile { image, path } => format!("image-file {} {}", escape(image), escape(path)),
            Read::ImageKernel(image) => format!("image-kernel {}", escape(image)),
            Read::ImageLink { image, path } => format!("image-link {} {}", escape(image), escape(path)),
        }
    }

    /// What [`Read::line`] wrote.
    pub fn parse(line: &str) -> Option<Read> {
        let (kind, rest) = line.split_once(' ')?;
        let image = || {
            let (image, path) = rest.split_once(' ')?;
            Some((unescape(image), unescape(path)))
        };
        Some(match kind {
            "own" => Read::Own(Path::parse(rest)?),
            "world" => Read::World(Path::parse(rest)?),
            "conf" => Read::Conf(Path::parse(rest)?),
            "environment" => Read::Environment(unescape(rest)),
            "file" => Read::File(unescape(rest)),
            "link" => Read::Link(unescape(rest)),
            "image-file" => image().map(|(image, path)| Read::ImageFile { image, path })?,
            "image-kernel" => Read::ImageKernel(unescape(rest)),
            "image-link" => image().map(|(image, path)| Read::ImageLink { image, path })?,
            _ => return None,
        })
    }

    /// Puts what names this read into a digest.
    fn name(&self, digest: &mut Sha256) {
        let mut word = |word: &str| {
            digest.update(u32::try_from(word.len()).unwrap_or(u32::MAX).to_le_bytes());
            digest.update(word);
        };
        let (kind, path) = match self {
            Read::Own(path) => (0, path),
            Read::World(path) => (1, path),
            Read::Conf(path) => (2, path),
            other => {
                word(&other.line());
                return digest.update([3]);
            }
        };
        path.names.iter().for_each(|name| word(name.as_deref().unwrap_or("*")));
        // A key that is a star is told from all keys.
        let stars = path.names.iter().filter(|name| name.is_none()).count();
        digest.update([4 + kind, path.what.bit(), u8::try_from(stars).unwrap_or(u8::MAX)]);
    }

    /// Whether it lies on a disk: on the controller, or in an image.
    pub fn is_file(&self) -> bool {
        !matches!(self, Read::Own(_) | Read::World(_) | Read::Conf(_) | Read::Environment(_))
    }
}

/// Blanks and line breaks would end a word of the line.
pub fn escape(text: &str) -> String {
    escaped(text, |c| matches!(c, '%' | ' ' | '\n' | '\r'))
}

/// What would end a name of a path as well.
fn escape_name(text: &str) -> String {
    // An empty name would be no name.
    if text.is_empty() {
        return "%".into();
    }
    escaped(text, |c| matches!(c, '%' | ' ' | '\n' | '\r' | '.' | '*' | '?' | '{' | '}' | '#' | '+'))
}

fn escaped(text: &str, special: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if special(c) {
            out.push_str(&format!("%{:02x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// What [`escape`] wrote.
pub fn unescape(text: &str) -> String {
    let mut parts = text.split('%');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(byte) => {
                out.push(char::from(byte));
                out.push_str(part.get(2..).unwrap_or_default());
            }
            None => out.push_str(part),
        }
    }
    out
}

/// All that was read, each thing once, in order.
#[derive(Clone, Debug)]
pub struct ReadSet {
    reads: Vec<Read>,
    id: [u8; 32],
    lines: OnceLock<String>,
}

impl PartialEq for ReadSet {
    fn eq(&self, other: &ReadSet) -> bool {
        self.reads == other.reads
    }
}

impl Eq for ReadSet {}

impl ReadSet {
    pub fn new(reads: BTreeSet<Read>) -> ReadSet {
        let mut digest = Sha256::new();
        reads.iter().for_each(|read| read.name(&mut digest));
        ReadSet { reads: reads.into_iter().collect(), id: digest.finalize().into(), lines: OnceLock::new() }
    }

    /// A line for each, see [`Read::line`]. Written once: many nodes read the same.
    pub fn lines(&self) -> &str {
        self.lines.get_or_init(|| self.reads.iter().map(|read| read.line() + "\n").collect())
    }

    /// A digest over what was read, not over the state of it.
    pub fn id(&self) -> [u8; 32] {
        self.id
    }

    pub fn iter(&self) -> impl Iterator<Item = &Read> {
        self.reads.iter()
    }

    /// Whether anything of it is the node's own.
    pub fn has_own(&self) -> bool {
        matches!(self.reads.first(), Some(Read::Own(_)))
    }

    /// Whether it was asked which node is rendered for.
    pub fn names_the_node(&self) -> bool {
        let is_id = |path: &Path| matches!(path.names(), [Some(name)] if &**name == "Id");
        self.reads.iter().any(|read| matches!(read, Read::Own(path) if is_id(path)))
    }
}

impl Default for ReadSet {
    fn default() -> ReadSet {
        ReadSet::new(BTreeSet::new())
    }
}

/// Whose fields are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Root {
    Own,
    World,
    Conf,
}

/// A place in the notes, got from [`Reads::root`] and [`Reads::below`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(usize);

/// From so many keys of one map on they are no longer told apart. Of all nodes sooner: each name is looked for in every
/// node.
const NAMES_OWN: usize = 1000;
const NAMES_WORLD: usize = 32;

/// The notes of one render.
#[derive(Debug)]
pub struct Reads(Mutex<Notes>);

#[derive(Debug)]
struct Notes {
    /// The first three are the roots.
    places: Vec<Noted>,
    others: BTreeSet<Read>,
}

#[derive(Debug, Default)]
struct Noted {
    /// Bits of [`What`].
    what: u8,
    below: BTreeMap<Arc<str>, usize>,
    every: Option<usize>,
    of_world: bool,
}

impl Default for Reads {
    fn default() -> Reads {
        let root = |of_world| Noted { of_world, ..Noted::default() };
        Reads(Mutex::new(Notes { places: vec![root(false), root(true), root(false)], others: BTreeSet::new() }))
    }
}

impl Reads {
    /// Where the notes of a root begin.
    pub fn root(&self, root: Root) -> Place {
        Place(root as usize)
    }

    /// The place of a field or a key below another.
    pub fn below(&self, place: Place, name: &str) -> Place {
        let mut notes = self.notes();
        let next = notes.places.len();
        let Some(noted) = notes.places.get_mut(place.0) else { return place };
        if let Some(known) = noted.below.get(name) {
            return Place(*known);
        }
        let of_world = noted.of_world;
        if noted.below.len() >= if of_world { NAMES_WORLD } else { NAMES_OWN } {
            let every = *noted.every.get_or_insert(next);
            if every == next {
                notes.places.push(Noted { of_world, ..Noted::default() });
            }
            return Place(every);
        }
        noted.below.insert(name.into(), next);
        notes.places.push(Noted { of_world, ..Noted::default() });
        Place(next)
    }

    /// Notes a read.
    pub fn mark(&self, place: Place, what: What) {
        if let Some(noted) = self.notes().places.get_mut(place.0) {
            noted.what |= what.bit();
        }
    }

    /// Notes a read of all of a field or an entry.
    pub fn mark_below(&self, place: Place, name: &str) {
        self.mark(self.below(place, name), What::Value);
    }

    /// Notes a read that is none of fields.
    pub fn note(&self, read: Read) {
        self.notes().others.insert(read);
    }

    /// All notes.
    pub fn all(&self) -> BTreeSet<Read> {
        let notes = self.notes();
        let mut all = notes.others.clone();
        for (root, make) in
            [(Root::Own, Read::Own as fn(Path) -> Read), (Root::World, Read::World), (Root::Conf, Read::Conf)]
        {
            collect(&notes, root as usize, &mut Vec::new(), &mut |path| {
                all.insert(make(path));
            });
        }
        all
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn collect(notes: &Notes, at: usize, names: &mut Vec<Name>, tell: &mut dyn FnMut(Path)) {
    let Some(noted) = notes.places.get(at) else { return };
    for (what, _) in What::ALL.iter().filter(|(what, _)| noted.what & what.bit() != 0) {
        tell(Path::new(names.clone(), *what));
    }
    let below = noted.below.iter().map(|(name, at)| (Some(Arc::clone(name)), *at));
    for (name, at) in below.chain(noted.every.map(|at| (None, at))) {
        names.push(name);
        collect(notes, at, names, tell);
        names.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_note_survives_its_line() {
        let name = |text: &str| Some(Arc::from(text));
        let notes = [
            Read::Own(Path::new(vec![name("NetDevs"), name("a.b *?%+#{}"), name("Ipaddr")], What::Value)),
            Read::Own(Path::new(vec![name("Tags"), name("")], What::Exists)),
            Read::Own(Path::new(vec![name("NetDevs")], What::Keys)),
            Read::World(Path::new(Vec::new(), What::Count)),
            Read::World(Path::new(vec![name("NetDevs"), None, name("Hwaddr")], What::Value)),
            Read::Conf(Path::new(vec![name("Dhcp"), name("RangeStart")], What::Value)),
            Read::Own(Path::new(vec![name("Disks")], What::Some)),
            Read::Environment("HOME".into()),
            Read::File("/a b%20\nc".into()),
            Read::Link("/etc/localtime".into()),
            Read::ImageFile { image: "oak".into(), path: "/etc/pass wd".into() },
            Read::ImageKernel("oak".into()),
            Read::ImageLink { image: "oak".into(), path: "lib64".into() },
        ];
        for note in notes {
            assert_eq!(Read::parse(&note.line()), Some(note.clone()), "{}", note.line());
        }
        assert_eq!(Read::parse("rubbish NetDevs"), None);
        let path = Path::parse("NetDevs.*.Hwaddr").unwrap();
        assert_eq!(path, Path::new(vec![name("NetDevs"), None, name("Hwaddr")], What::Value));
    }

    #[test]
    fn many_names_of_one_map_become_one_note() {
        let reads = Reads::default();
        let tags = reads.below(reads.root(Root::World), "Tags");
        (0..10_000).for_each(|n| reads.mark_below(tags, &format!("t{n}")));
        let all = reads.all();
        assert_eq!(all.len(), NAMES_WORLD + 1);
        assert!(all.contains(&Read::parse("world Tags.*").unwrap()));
    }
}
