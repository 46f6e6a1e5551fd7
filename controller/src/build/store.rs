//! The store of built overlays below `<wwprovisiondir>/.overlays`: recipes, one an archive, and the pieces that recipes
//! share, named by their digest. Readable by root only; all of it is immutable once it has its name.
//!
//! Who writes a recipe holds the store's lock shared from before it looks for the pieces until the recipe has its name;
//! who sweeps pieces that no recipe names holds it alone. Readers hold nothing: a piece that is open stays readable, and
//! one that was swept before it was opened belongs to a recipe that was replaced, so the recipe is read again.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::group;
use super::held::Held;
use super::recipe::{self, Piece, Place, Recipe};
use super::record::Record;
use super::span::Span;
use super::splice::{Part, Splicer};
use crate::image::pack;
use crate::site::Site;
use crate::store::publish;

/// A shared run that is smaller than this stands in the recipes, in bytes: a file of its own would cost more.
const SMALL: u64 = 16 << 10;
/// The beginning of a recipe, in which all its text stands but in the strangest of cases.
const BEGINNING: usize = 4 << 10;
/// What ends the file of a piece, behind the number of its packed bytes: a power cut can leave the beginning only.
const WHOLE: [u8; 8] = *b"whole\0\0\n";
const FOOTER: usize = 16;
/// After so many new pieces somebody looks whether old ones are of no more use.
const SWEEP_AFTER: usize = 32;
/// How often a reader whose pieces are swept under it begins anew.
const TRIES: usize = 5;

/// The store of a site.
#[derive(Debug)]
pub struct Store {
    recipes: PathBuf,
    pieces: PathBuf,
}

/// The lock under which a recipe is written.
#[derive(Debug)]
pub struct Writing {
    _held: File,
}

impl Store {
    pub fn of(site: &Site) -> Store {
        let folder = group::memory(site);
        Store { recipes: folder.join("recipes"), pieces: folder.join("pieces") }
    }

    /// Where the recipe of an archive lies.
    pub fn recipe(&self, name: &str) -> PathBuf {
        self.recipes.join(name)
    }

    /// Makes the folders, and takes the lock that keeps pieces from being swept.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self) -> io::Result<Writing> {
        let held = match self.lock() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                for folder in [&self.recipes, &self.pieces] {
                    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
                }
                self.lock()?
            }
            opened => opened?,
        };
        held.lock_shared()?;
        Ok(Writing { _held: held })
    }

    fn lock(&self) -> io::Result<File> {
        File::options().create(true).append(true).open(self.pieces.join(".lock"))
    }

    /// Publishes the recipe of these parts with its record, and the pieces that are not there yet.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn publish(&self, name: &str, parts: &[Arc<Part>], head: &Record, by: &mut Maker<'_>) -> io::Result<()> {
        // A group holds the lock all the time.
        let _writing = if by.held.is_some() { None } else { Some(self.write()?) };
        let mut pieces = Vec::with_capacity(parts.len());
        let mut here = Vec::new();
        for part in parts {
            let place = if part.run.own || part.length < SMALL {
                let at = here.len() as u64;
                here.extend_from_slice(&by.splicer.packed(part)?);
                (Place::Here(at), here.len() as u64 - at)
            } else {
                (Place::Shared(recipe::name(&part.digest)), self.keep(part, by)?)
            };
            pieces.push(Piece { length: part.length, crc: part.crc, packed: place.1, place: place.0 });
        }
        let record = head.text();
        let recipe =
            Recipe { content: head.content.clone(), published: head.published, pieces, record: record.len() as u64 };
        let mut whole = recipe.text().into_bytes();
        whole.extend(here);
        whole.extend(record.into_bytes());
        by.replace(&self.recipe(name), &whole)
    }

    /// Makes sure that a shared piece is there; answers how many bytes it has packed.
    fn keep(&self, part: &Part, by: &mut Maker<'_>) -> io::Result<u64> {
        // Nobody sweeps as long as a group holds the lock.
        if let Some(packed) = by.held.and_then(|held| held.stored(&part.digest)) {
            return Ok(packed);
        }
        let place = self.pieces.join(recipe::name(&part.digest));
        if let Some(packed) = packed_length(&place, part.length) {
            by.keep_in_mind(part, packed);
            return Ok(packed);
        }
        let packed = by.splicer.packed(part)?;
        let length = packed.len() as u64;
        let mut whole = packed.to_vec();
        part.run.chunks().for_each(|chunk| whole.extend_from_slice(chunk));
        whole.extend(length.to_le_bytes());
        whole.extend(WHOLE);
        by.replace(&place, &whole)?;
        by.fresh.fetch_add(1, Ordering::Relaxed);
        by.keep_in_mind(part, length);
        Ok(length)
    }

    /// The archive under this name, with everything open that sending it needs. `None`: there is none, or what is there
    /// cannot be used.
    pub fn open(&self, name: &str) -> Option<Open> {
        (0..TRIES).find_map(|_| self.try_open(name).ok()).flatten()
    }

    fn try_open(&self, name: &str) -> io::Result<Option<Open>> {
        let mut file = match File::open(self.recipe(name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let Some(recipe) = read(&mut file)? else { return Ok(None) };
        let mut places = Vec::with_capacity(recipe.pieces.len());
        let file = Arc::new(file);
        for piece in &recipe.pieces {
            places.push(match &piece.place {
                Place::Here(at) => Opened::Here { file: Arc::clone(&file), at: *at },
                Place::Shared(digest) => {
                    let file = File::open(self.pieces.join(digest))?;
                    if file.metadata()?.len() != piece.packed + piece.length + FOOTER as u64 {
                        return Ok(None);
                    }
                    Opened::Shared(Arc::new(file))
                }
            });
        }
        Ok(Some(Open { recipe, places }))
    }

    /// What the archive under this name was made from.
    pub fn record(&self, name: &str) -> Option<Record> {
        let whole = fs::read(self.recipe(name)).ok()?;
        let recipe = Recipe::parse(&whole, whole.len() as u64)?;
        let begin = whole.len().checked_sub(usize::try_from(recipe.record).ok()?)?;
        Record::parse(std::str::from_utf8(whole.get(begin..)?).ok()?)
    }

    /// Forgets an archive.
    pub fn forget(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.recipe(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The names of all recipes.
    pub fn names(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(&self.recipes) else { return Vec::new() };
        entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| is_name(name))
            .collect()
    }

    /// Removes pieces that no recipe names, and what killed writers left. Somebody who writes meanwhile puts it off.
    /// Answers how many were removed.
    ///
    /// # Errors
    /// Those of the file system; nothing that is needed is then gone.
    pub fn sweep(&self) -> io::Result<usize> {
        // Nothing was ever kept here.
        let Ok(lock) = self.lock() else { return Ok(0) };
        if lock.try_lock().is_err() {
            return Ok(0);
        }
        let mut named = HashSet::new();
        for entry in fs::read_dir(&self.recipes)? {
            let path = entry?.path();
            if is_left_over(&path) {
                fs::remove_file(&path)?;
                continue;
            }
            if let Some(recipe) = read(&mut File::open(&path)?)? {
                named.extend(recipe.shared().map(str::to_owned));
            }
        }
        let mut removed = 0;
        for entry in fs::read_dir(&self.pieces)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name != ".lock" && !named.contains(name) {
                fs::remove_file(&path)?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// How many packed bytes the file of a piece has; `None` when it is not there whole.
fn packed_length(place: &Path, length: u64) -> Option<u64> {
    let file = File::open(place).ok()?;
    let all = file.metadata().ok()?.len();
    let mut footer = [0; FOOTER];
    file.read_exact_at(&mut footer, all.checked_sub(FOOTER as u64)?).ok()?;
    let (packed, end) = footer.split_first_chunk::<8>()?;
    let packed = u64::from_le_bytes(*packed);
    (*end == WHOLE && all.checked_sub(length + FOOTER as u64) == Some(packed)).then_some(packed)
}

/// Names that begin with a dot are temporary.
fn is_name(name: &str) -> bool {
    !name.starts_with('.')
}

fn is_left_over(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn read(file: &mut File) -> io::Result<Option<Recipe>> {
    let whole = file.metadata()?.len();
    file.seek(SeekFrom::Start(0))?;
    let mut beginning = Vec::with_capacity(BEGINNING);
    Read::take(&mut *file, BEGINNING as u64).read_to_end(&mut beginning)?;
    let recipe = Recipe::parse(&beginning, whole);
    if recipe.is_some() || whole <= BEGINNING as u64 {
        return Ok(recipe);
    }
    file.read_to_end(&mut beginning)?;
    Ok(Recipe::parse(&beginning, whole))
}

/// How pieces are made and written.
#[derive(Debug)]
pub struct Maker<'a> {
    pub splicer: &'a Splicer,
    /// Of a group: who builds then waits for the disk once, at the end.
    pub held: Option<&'a Held>,
    /// Counts new shared pieces since the last sweep.
    pub fresh: &'a AtomicUsize,
}

impl Maker<'_> {
    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let replace = if self.held.is_some() { publish::replace_for_now } else { publish::replace_with };
        replace(path, 0o600, content)
    }

    fn keep_in_mind(&self, part: &Part, packed: u64) {
        if let Some(held) = self.held {
            held.note_stored(part.digest, packed);
        }
    }

    /// Whether it is time to look for pieces without use; says so once.
    #[must_use]
    pub fn should_sweep(&self) -> bool {
        self.fresh.load(Ordering::Relaxed) >= SWEEP_AFTER && self.fresh.swap(0, Ordering::Relaxed) >= SWEEP_AFTER
    }
}

/// A recipe, and its pieces open.
#[derive(Debug)]
pub struct Open {
    pub recipe: Recipe,
    places: Vec<Opened>,
}

#[derive(Debug)]
enum Opened {
    Here {
        file: Arc<File>,
        at: u64,
    },
    /// Packed, then as it is.
    Shared(Arc<File>),
}

impl Open {
    /// The archive as gzip.
    pub fn packed(&self) -> Vec<Span> {
        let mut spans = vec![Span::from(pack::HEADER.to_vec())];
        for (piece, place) in self.recipe.pieces.iter().zip(&self.places) {
            let (file, at) = match place {
                Opened::Here { file, at } => (file, *at),
                Opened::Shared(file) => (file, 0),
            };
            spans.push(Span::File { file: Arc::clone(file), at, length: piece.packed });
        }
        spans.push(Span::from(self.recipe.ending()));
        spans
    }

    /// The archive as it is.
    ///
    /// # Errors
    /// When the recipe cannot be read, or its bytes are not what they should be.
    pub fn plain(&self) -> io::Result<Vec<Span>> {
        let mut spans = Vec::with_capacity(self.places.len());
        for (piece, place) in self.recipe.pieces.iter().zip(&self.places) {
            spans.push(match place {
                Opened::Here { file, at } => {
                    let mut packed = vec![0; usize::try_from(piece.packed).map_err(io::Error::other)?];
                    file.read_exact_at(&mut packed, *at)?;
                    Span::from(pack::inflate(&packed, piece.length)?)
                }
                Opened::Shared(file) => Span::File { file: Arc::clone(file), at: piece.packed, length: piece.length },
            });
        }
        Ok(spans)
    }
}
