//! The store of built overlays below `<wwprovisiondir>/.overlays`: recipes, one an archive, in files of their own or
//! together on shelves, and the pieces that recipes share, named by their digest. Readable by root only; all of it is
//! immutable once it has its name.
//!
//! Who writes a recipe holds the store's lock shared from before it looks for the pieces until the recipe has its name;
//! who sweeps pieces that no recipe names holds it alone. Who writes to a shelf holds the lock of its archives, too, see
//! [`super::files`]. Readers hold nothing: a piece that is open stays readable, and one that was swept before it was
//! opened belongs to a recipe that was replaced, so the recipe is read again.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::group;
use super::maker::{Draft, Maker};
use super::opened::{Open, Opened};
use super::recipe::{self, Piece, Place, Recipe};
use super::record::Record;
use super::shelf::{self, Shelf};
use super::splice::Part;
use crate::site::Site;
use crate::store::publish;

/// A shared run that is smaller than this stands in the recipes, in bytes: a file of its own would cost more.
const SMALL: u64 = 4 << 10;
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
    shelves: PathBuf,
    pieces: PathBuf,
}

/// A recipe as it lies there: in a file, or in a part of one.
struct Slot {
    file: File,
    at: u64,
    length: u64,
}

/// The lock under which a recipe is written.
#[derive(Debug)]
pub struct Writing {
    _held: File,
}

impl Store {
    pub fn of(site: &Site) -> Store {
        let folder = group::memory(site);
        Store { recipes: folder.join("recipes"), shelves: folder.join("shelves"), pieces: folder.join("pieces") }
    }

    /// Where the recipe of an archive lies when it is in a file of its own.
    fn recipe(&self, name: &str) -> PathBuf {
        self.recipes.join(name)
    }

    /// The shelf of an archive.
    fn shelf(&self, name: &str) -> PathBuf {
        self.shelves.join(shelf::file_name(shelf::of(name)))
    }

    /// Where the recipe of an archive lies.
    pub fn place(&self, name: &str) -> PathBuf {
        let own = self.recipe(name);
        if own.exists() { own } else { self.shelf(name) }
    }

    pub fn present(&self, name: &str) -> bool {
        self.recipe(name).exists()
            || Shelf::open(&self.shelf(name)).is_ok_and(|shelf| shelf.is_some_and(|shelf| shelf.find(name).is_some()))
    }

    fn slot(&self, name: &str) -> io::Result<Option<Slot>> {
        match File::open(self.recipe(name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let Some(shelf) = Shelf::open(&self.shelf(name))? else { return Ok(None) };
                let place = shelf.find(name);
                Ok(place.map(|place| Slot { file: shelf.file, at: place.start, length: place.end - place.start }))
            }
            opened => {
                let file = opened?;
                let length = file.metadata()?.len();
                Ok(Some(Slot { file, at: 0, length }))
            }
        }
    }

    /// Makes the folders, and takes the lock that keeps pieces from being swept.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self) -> io::Result<Writing> {
        let held = match self.lock() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                for folder in [&self.recipes, &self.shelves, &self.pieces] {
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
        File::options().create(true).append(true).mode(0o600).open(self.pieces.join(".lock"))
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
        match by.draft.as_mut() {
            Some(draft) => draft.lay(name, whole),
            None => publish::replace_with(&self.recipe(name), 0o600, &whole)?,
        }
        Ok(())
    }

    /// Puts a shelf up on which what was laid replaces what was there before under its name. The lock of its archives
    /// must be held. Answers the file, which need not be on the disk yet.
    ///
    /// # Errors
    /// Those of the file system; the old shelf is then still there.
    pub fn put_up(&self, draft: Draft) -> io::Result<Option<File>> {
        let Draft { number, changes } = draft;
        if changes.is_empty() {
            return Ok(None);
        }
        let path = self.shelves.join(shelf::file_name(number));
        let mut recipes = match Shelf::open(&path)? {
            // One that cannot be read has nothing that anybody could use.
            Some(shelf) => shelf.take_all().unwrap_or_default(),
            None => BTreeMap::new(),
        };
        let names: Vec<String> = changes.keys().cloned().collect();
        for (name, recipe) in changes {
            match recipe {
                Some(recipe) => recipes.insert(name, recipe),
                None => recipes.remove(&name),
            };
        }
        let file = if recipes.is_empty() {
            remove(&path)?;
            None
        } else {
            Some(publish::replace_for_now(&path, 0o600, &shelf::text(&recipes))?)
        };
        names.iter().try_for_each(|name| remove(&self.recipe(name)))?;
        Ok(file)
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
        let fill = |file: &mut File| {
            file.write_all(&packed)?;
            part.run.chunks().try_for_each(|chunk| file.write_all(chunk))?;
            file.write_all(&[length.to_le_bytes(), WHOLE].concat())
        };
        match by.held {
            Some(_) => publish::replace_for_now_by(&place, publish::NEW, 0o600, fill).map(drop)?,
            None => publish::replace(&place, 0o600, fill)?,
        }
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
        let Some(slot) = self.slot(name)? else { return Ok(None) };
        let Some(recipe) = read(&slot)? else { return Ok(None) };
        let mut places = Vec::with_capacity(recipe.pieces.len());
        let file = Arc::new(slot.file);
        for piece in &recipe.pieces {
            places.push(match &piece.place {
                Place::Here(at) => Opened::Here { file: Arc::clone(&file), at: slot.at + at },
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
        let slot = self.slot(name).ok()??;
        let mut whole = vec![0; usize::try_from(slot.length).ok()?];
        slot.file.read_exact_at(&mut whole, slot.at).ok()?;
        let recipe = Recipe::parse(&whole, slot.length)?;
        let begin = whole.len().checked_sub(usize::try_from(recipe.record).ok()?)?;
        Record::parse(std::str::from_utf8(whole.get(begin..)?).ok()?)
    }

    /// Forgets an archive. Its lock must be held.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn forget(&self, name: &str, draft: Option<&mut Draft>) -> io::Result<()> {
        match draft {
            Some(draft) => {
                draft.take_off(name);
                Ok(())
            }
            None => {
                let mut draft = Draft::new(shelf::of(name));
                draft.take_off(name);
                self.put_up(draft).map(drop)
            }
        }
    }

    /// The names of all recipes, each once.
    pub fn names(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        let list = |folder| entries(folder).unwrap_or_default().into_iter();
        for shelf in list(&self.shelves).filter_map(|path| Shelf::open(&path).ok().flatten()) {
            names.extend(shelf.names().map(str::to_owned));
        }
        let own = list(&self.recipes).filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()));
        names.extend(own.filter(|name| is_name(name)));
        names
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
        for path in entries(&self.recipes)? {
            if is_left_over(&path) {
                fs::remove_file(&path)?;
                continue;
            }
            let file = File::open(&path)?;
            let length = file.metadata()?.len();
            if let Some(recipe) = read(&Slot { file, at: 0, length })? {
                named.extend(recipe.shared().map(str::to_owned));
            }
        }
        for path in entries(&self.shelves)? {
            if is_left_over(&path) {
                fs::remove_file(&path)?;
            } else if let Some(shelf) = Shelf::open(&path)? {
                named.extend(shelf.needs().map(str::to_owned));
            }
        }
        let mut removed = 0;
        for path in entries(&self.pieces)? {
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

fn read(slot: &Slot) -> io::Result<Option<Recipe>> {
    let whole = usize::try_from(slot.length).map_err(io::Error::other)?;
    let mut beginning = vec![0; whole.min(BEGINNING)];
    slot.file.read_exact_at(&mut beginning, slot.at)?;
    let recipe = Recipe::parse(&beginning, slot.length);
    if recipe.is_some() || whole <= BEGINNING {
        return Ok(recipe);
    }
    beginning.resize(whole, 0);
    slot.file.read_exact_at(&mut beginning, slot.at)?;
    Ok(Recipe::parse(&beginning, slot.length))
}

/// What is in a folder; nothing, when it is not there.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.map(|entry| Ok(entry?.path())).collect(),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether it is time to look for pieces without use, after so many new ones; says so once.
#[must_use]
pub fn should_sweep(fresh: &AtomicUsize) -> bool {
    fresh.load(Ordering::Relaxed) >= SWEEP_AFTER && fresh.swap(0, Ordering::Relaxed) >= SWEEP_AFTER
}
