//! A shelf: the recipes of many nodes in one file, written by who builds many nodes. Ten thousand nodes would be twenty
//! thousand small files, and making those costs more than rendering what is in them.
//!
//! ```text
//! overlay shelf 1 INDEX RECIPES
//! needs DIGEST
//! recipe AT LENGTH NAME
//! (the recipes, one after another)
//! ```
//!
//! INDEX is the bytes of the lines after the first, RECIPES those of what follows them, AT counts from their end. DIGEST
//! is a shared piece that a recipe here names. A shelf is immutable and is replaced as a whole. A recipe in a file of its
//! own counts before the one on the shelf: it was made later, for one node.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::recipe::Recipe;

const FORMAT: &str = "overlay shelf 1";
/// How many shelves there are: for some tens of nodes each, at ten thousand.
pub const SHELVES: u32 = 256;
/// In so many bytes the whole index stands, but on large clusters.
const BEGINNING: usize = 4 << 10;
/// No index is longer, in bytes.
const LONGEST: u64 = 256 << 20;

/// The shelf of a node, by the FNV-1a hash of its name.
pub fn number(node: &str) -> u32 {
    let hash = node.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (hash ^ (hash >> 16)) % SHELVES
}

/// The shelf of an archive by its name, `NODE.KIND`.
pub fn of(archive: &str) -> u32 {
    number(archive.rsplit_once('.').map_or(archive, |(node, _)| node))
}

/// The file name of a shelf.
pub fn file_name(number: u32) -> String {
    format!("{number:02x}")
}

/// An open shelf.
#[derive(Debug)]
pub struct Shelf {
    pub file: File,
    index: String,
    /// Where in the file the recipes are.
    recipes: Range<u64>,
}

impl Shelf {
    /// `None` when there is none, or when it was cut short.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn open(path: &Path) -> io::Result<Option<Shelf>> {
        match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            opened => Shelf::read(opened?),
        }
    }

    fn read(file: File) -> io::Result<Option<Shelf>> {
        let whole = file.metadata()?.len();
        let mut index = vec![0; usize::try_from(whole).map_or(BEGINNING, |whole| whole.min(BEGINNING))];
        file.read_exact_at(&mut index, 0)?;
        let Some((line, bytes, recipes)) = first_line(&index) else { return Ok(None) };
        let begin = bytes.saturating_add(line as u64);
        if bytes > LONGEST || begin.checked_add(recipes) != Some(whole) {
            return Ok(None);
        }
        let known = index.len();
        index.resize(usize::try_from(begin).map_err(io::Error::other)?, 0);
        if let Some(rest) = index.get_mut(known..) {
            file.read_exact_at(rest, known as u64)?;
        }
        index.drain(..line);
        Ok(String::from_utf8(index).ok().map(|index| Shelf { file, index, recipes: begin..whole }))
    }

    /// Names, and where in the file the recipes are.
    fn entries(&self) -> impl Iterator<Item = (&str, Range<u64>)> {
        self.index.lines().filter_map(|line| {
            let mut words = line.strip_prefix("recipe ")?.splitn(3, ' ');
            let begin = self.recipes.start.checked_add(words.next()?.parse().ok()?)?;
            let end = begin.checked_add(words.next()?.parse().ok()?).filter(|end| *end <= self.recipes.end)?;
            Some((words.next()?, begin..end))
        })
    }

    /// Where in the file the recipe of this name is.
    pub fn find(&self, name: &str) -> Option<Range<u64>> {
        self.entries().find(|(known, _)| *known == name).map(|(_, place)| place)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries().map(|(name, _)| name)
    }

    /// The digests of the pieces that the recipes need from the store.
    pub fn needs(&self) -> impl Iterator<Item = &str> {
        self.index.lines().filter_map(|line| line.strip_prefix("needs "))
    }

    /// All recipes, by name.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn take_all(&self) -> io::Result<BTreeMap<String, Vec<u8>>> {
        let one = |(name, place): (&str, Range<u64>)| {
            let mut recipe = vec![0; usize::try_from(place.end - place.start).map_err(io::Error::other)?];
            self.file.read_exact_at(&mut recipe, place.start)?;
            Ok((name.to_owned(), recipe))
        };
        self.entries().map(one).collect()
    }
}

/// Its length with the line's end, and the two numbers.
fn first_line(beginning: &[u8]) -> Option<(usize, u64, u64)> {
    let end = beginning.iter().position(|byte| *byte == b'\n')?;
    let line = std::str::from_utf8(beginning.get(..end)?).ok()?;
    let (index, recipes) = line.strip_prefix(FORMAT)?.strip_prefix(' ')?.split_once(' ')?;
    Some((end + 1, index.parse().ok()?, recipes.parse().ok()?))
}

/// The content of a shelf with these recipes.
pub fn text(recipes: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut index = String::new();
    let mut needs = BTreeSet::new();
    let mut at = 0;
    for (name, recipe) in recipes {
        let _ = writeln!(index, "recipe {at} {} {name}", recipe.len());
        at += recipe.len();
        let known = Recipe::parse(recipe, recipe.len() as u64);
        needs.extend(known.iter().flat_map(|recipe| recipe.shared().map(str::to_owned)));
    }
    needs.iter().for_each(|digest| index.extend(["needs ", digest, "\n"]));
    let mut text = format!("{FORMAT} {} {at}\n{index}", index.len()).into_bytes();
    text.reserve_exact(at);
    recipes.values().for_each(|recipe| text.extend_from_slice(recipe));
    text
}

#[cfg(test)]
mod tests {
    use super::super::recipe::{Piece, Place};
    use super::*;

    fn recipe(content: &str, digest: &str) -> Vec<u8> {
        let piece = Piece { length: 9, crc: 1, packed: 9, place: Place::Shared(digest.into()) };
        let recipe = Recipe { content: content.into(), published: 7, pieces: vec![piece], record: 3 };
        [recipe.text().as_bytes(), b"rec"].concat()
    }

    fn laid(text: &[u8]) -> Option<Shelf> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Shelf::open(file.path()).unwrap()
    }

    #[test]
    fn what_is_laid_on_a_shelf_is_found_there_and_tells_what_it_needs() {
        let digests = ["0".repeat(64), "f".repeat(64)];
        let many = (0..300).map(|n| (format!("n{n} with blanks.system"), recipe(&n.to_string(), &digests[n % 2])));
        let recipes: BTreeMap<String, Vec<u8>> = many.collect();
        let shelf = laid(&text(&recipes)).unwrap();
        assert_eq!(shelf.take_all().unwrap(), recipes);
        assert_eq!(shelf.needs().collect::<Vec<_>>(), digests);
        assert_eq!(shelf.find("n300.system"), None);
    }

    #[test]
    fn a_shelf_that_was_cut_short_anywhere_is_none() {
        let text = text(&[("n1.system".into(), recipe("a", &"0".repeat(64)))].into());
        assert!(laid(&text).is_some());
        for length in 0..text.len() {
            assert!(laid(&text[..length]).is_none(), "{length}");
        }
        let lying = String::from_utf8_lossy(&text).replace("recipe 0 ", "recipe 9 ");
        assert_eq!(laid(lying.as_bytes()).unwrap().find("n1.system"), None, "beyond its end");
        assert!(laid(b"overlay shelf 1 18446744073709551615 18446744073709551615\n").is_none());
        assert!(Shelf::open(Path::new("/none")).unwrap().is_none());
    }

    #[test]
    fn nodes_in_a_row_are_spread_over_all_shelves() {
        let mut counts = BTreeMap::new();
        (1..=10_000).for_each(|n| *counts.entry(number(&format!("n{n:05}"))).or_insert(0) += 1);
        assert_eq!(counts.len(), SHELVES as usize);
        assert!(counts.values().all(|count| (20..=80).contains(count)), "{counts:?}");
    }
}
