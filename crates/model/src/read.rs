//! A section of a configuration file while it is read: who asks for a key gets it typed, or an error that names its place;
//! what nobody asked for is unknown.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::{ConfError, Warning};
use crate::yaml::{Body, Entry, Tree, truth_of_plain};

/// A map of the file, and which of its keys were asked for.
pub struct Section<'a> {
    path: String,
    entries: &'a [Entry],
    asked: BTreeSet<String>,
    unknown: Vec<Warning>,
    doubts: Vec<Warning>,
}

/// What a section left to tell when all of it was read.
#[derive(Debug, Default)]
pub struct Told {
    /// Keys that nobody asked for.
    pub unknown: Vec<Warning>,
    /// Values that can be taken, and are probably not meant.
    pub doubts: Vec<Warning>,
}

impl Told {
    /// The two together.
    pub fn all(self) -> Vec<Warning> {
        [self.unknown, self.doubts].concat()
    }
}

/// The text of a file; what is no UTF-8 is refused with its place.
///
/// # Errors
/// As said.
pub fn text_of(bytes: Vec<u8>) -> Result<String, ConfError> {
    String::from_utf8(bytes).map_err(|error| {
        let sound = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let before = String::from_utf8_lossy(sound);
        let line = before.rsplit('\n').next().unwrap_or_default();
        let (lines, column) = (before.matches('\n').count() + 1, line.chars().count() + 1);
        let message = "this is no text in UTF-8; write it anew in that encoding".to_owned();
        ConfError { line: lines, column, field: String::new(), message }
    })
}

/// A number type that can stand in a file.
pub trait Whole: TryFrom<i64> {
    /// Which numbers it can be, in words.
    const RANGE: &'static str;
}

impl Whole for u16 {
    const RANGE: &'static str = "from 0 to 65535";
}

impl Whole for u64 {
    const RANGE: &'static str = "from 0 up";
}

/// An address type that can stand in a file.
pub trait Address: Sized {
    /// What it is called in a message.
    const WHAT: &'static str;
    /// Reads it.
    fn read(text: &str) -> Option<Self>;
}

impl Address for IpAddr {
    const WHAT: &'static str = "an address like 10.0.0.1 or fd00::1";
    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Address for Ipv4Addr {
    const WHAT: &'static str = "an IPv4 address like 10.0.0.1";
    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Address for Ipv6Addr {
    const WHAT: &'static str = "an IPv6 address like fd00::1";
    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl<'a> Section<'a> {
    /// The tree as a section; no value is an empty one.
    ///
    /// # Errors
    /// When it is a list or a single value.
    pub fn of(tree: &'a Tree, path: &str) -> Result<Section<'a>, ConfError> {
        let entries: &[Entry] = match &tree.body {
            Body::Map(entries) => entries,
            _ if tree.is_null() => &[],
            _ => return Err(wrong(tree, path, "a section (key: value)")),
        };
        Ok(Section { path: path.to_owned(), entries, asked: BTreeSet::new(), unknown: Vec::new(), doubts: Vec::new() })
    }

    /// A section that is not there.
    pub fn empty(path: &str) -> Section<'static> {
        Section { path: path.to_owned(), entries: &[], asked: BTreeSet::new(), unknown: Vec::new(), doubts: Vec::new() }
    }

    /// All entries, for a section whose keys are free.
    pub fn entries(&self) -> &'a [Entry] {
        self.entries
    }

    /// The way to a key of this section.
    pub fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The value of a key, when it has one.
    pub fn value(&mut self, key: &str) -> Option<&'a Tree> {
        self.asked.insert(key.to_owned());
        let found = self.entries.iter().find(|entry| entry.key == key)?;
        (!found.value.is_null()).then_some(&found.value)
    }

    /// Passes a key over without a word.
    pub fn ignore(&mut self, key: &str) {
        self.asked.insert(key.to_owned());
    }

    /// A section in this one; an empty one counts as being there.
    ///
    /// # Errors
    /// When something else stands there.
    pub fn section(&mut self, key: &str) -> Result<Option<Section<'a>>, ConfError> {
        let path = self.path(key);
        self.value(key).map(|tree| Section::of(tree, &path)).transpose()
    }

    /// The entries of a section whose keys are free.
    ///
    /// # Errors
    /// When something else stands there.
    pub fn named(&mut self, key: &str) -> Result<&'a [Entry], ConfError> {
        Ok(self.section(key)?.map_or(&[], |section| section.entries))
    }

    /// A section whose keys are free and whose values are all of one shape.
    ///
    /// # Errors
    /// As `read` says, and when something else stands there.
    pub fn each<T>(
        &mut self,
        key: &str,
        read: impl Fn(&mut Section<'a>) -> Result<T, ConfError>,
    ) -> Result<BTreeMap<String, T>, ConfError> {
        let path = self.path(key);
        let mut map = BTreeMap::new();
        for entry in self.named(key)? {
            let mut section = Section::of(&entry.value, &format!("{path}.{}", entry.key))?;
            map.insert(entry.key.clone(), read(&mut section)?);
            self.absorb(section);
        }
        Ok(map)
    }

    /// A single value, in the letters in which it stands; nothing is "".
    ///
    /// # Errors
    /// When a list or a section stands there.
    pub fn text(&mut self, key: &str) -> Result<String, ConfError> {
        let path = self.path(key);
        self.value(key).map_or(Ok(String::new()), |tree| text(tree, &path))
    }

    /// A list of single values.
    ///
    /// # Errors
    /// When something else stands there.
    pub fn list(&mut self, key: &str) -> Result<Vec<String>, ConfError> {
        let path = self.path(key);
        // An item without a value is none, as yaml.v3 has it.
        self.items(key)?.iter().filter(|item| !item.is_null()).map(|item| text(item, &path)).collect()
    }

    /// The items of a list of anything.
    ///
    /// # Errors
    /// When something else stands there.
    pub fn items(&mut self, key: &str) -> Result<&'a [Tree], ConfError> {
        let path = self.path(key);
        match self.value(key) {
            None => Ok(&[]),
            Some(Tree { body: Body::List(items), .. }) => Ok(items),
            Some(other) => Err(wrong(other, &path, "a list (one `- item` a line)")),
        }
    }

    /// A section of texts.
    ///
    /// # Errors
    /// When something else stands there.
    pub fn texts(&mut self, key: &str) -> Result<BTreeMap<String, String>, ConfError> {
        let path = self.path(key);
        let named = self.named(key)?.iter();
        named.map(|entry| Ok((entry.key.clone(), text(&entry.value, &format!("{path}.{}", entry.key))?))).collect()
    }

    /// An address; an empty text is none.
    ///
    /// # Errors
    /// When something else stands there.
    pub fn ip<A: Address>(&mut self, key: &str) -> Result<Option<A>, ConfError> {
        let path = self.path(key);
        let Some(tree) = self.value(key) else { return Ok(None) };
        let text = text(tree, &path)?;
        if text.is_empty() {
            return Ok(None);
        }
        let bad = || ConfError::new(tree.pos, path, format!("{text:?} is not {}; correct it", A::WHAT));
        A::read(&text).map(Some).ok_or_else(bad)
    }

    /// True or false, by the words of YAML 1.1 (yes, no, on, off).
    ///
    /// # Errors
    /// When something else stands there.
    pub fn truth(&mut self, key: &str) -> Result<Option<bool>, ConfError> {
        let path = self.path(key);
        let Some(tree) = self.value(key) else { return Ok(None) };
        let truth = match &tree.body {
            // In quotes, the words of YAML 1.1 count and those of 1.2 do not.
            Body::Scalar { text, plain } => {
                truth_of_plain(text).filter(|_| *plain || !matches!(text.to_lowercase().as_str(), "true" | "false"))
            }
            _ => None,
        };
        truth.map(Some).ok_or_else(|| wrong(tree, &path, "true or false, without quotes"))
    }

    /// A whole number.
    ///
    /// # Errors
    /// When something else stands there, or it is out of the range of `T`.
    pub fn number<T: Whole>(&mut self, key: &str) -> Result<Option<T>, ConfError> {
        let path = self.path(key);
        let Some(tree) = self.value(key) else { return Ok(None) };
        let number = match tree.any() {
            crate::node::Any::Int(number) => T::try_from(number).ok(),
            _ => None,
        };
        number.map(Some).ok_or_else(|| wrong(tree, &path, &format!("a whole number {}, without quotes", T::RANGE)))
    }

    /// Takes over what a part of this section has to tell.
    pub fn absorb(&mut self, part: Section<'_>) {
        let told = part.finish();
        self.unknown.extend(told.unknown);
        self.doubts.extend(told.doubts);
    }

    /// Tells that the value of a key is taken, and probably not meant.
    pub fn doubt(&mut self, key: &str, message: impl Into<String>) {
        if let Some(pos) = self.value(key).map(|tree| tree.pos) {
            self.doubts.push(ConfError::new(pos, self.path(key), message));
        }
    }

    /// Names the keys that nobody asked for, and what is doubtful.
    pub fn finish(mut self) -> Told {
        let mut unknown = Vec::new();
        for entry in self.entries.iter().filter(|entry| !self.asked.contains(&entry.key)) {
            let message = "nobody knows this key; it is kept, and has no effect";
            unknown.push(ConfError::new(entry.pos, self.path(&entry.key), message));
        }
        unknown.append(&mut self.unknown);
        Told { unknown, doubts: self.doubts }
    }
}

fn text(tree: &Tree, path: &str) -> Result<String, ConfError> {
    match &tree.body {
        Body::Scalar { .. } if tree.is_null() => Ok(String::new()),
        Body::Scalar { text, .. } => Ok(text.clone()),
        _ => Err(wrong(tree, path, "a single value")),
    }
}

/// The error for a value of the wrong kind.
pub fn wrong(tree: &Tree, path: &str, wanted: &str) -> ConfError {
    let found = match &tree.body {
        Body::Scalar { text, .. } => format!("{text:?}"),
        _ => tree.kind().to_owned(),
    };
    ConfError::new(tree.pos, path, format!("found {found}, but this must be {wanted}; correct it"))
}
