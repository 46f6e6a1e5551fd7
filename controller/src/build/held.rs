//! What a build of many nodes holds on to: overlays, files and links are looked at once, and count for all of its nodes.
//!
//! A state is always taken before the content that goes with it. What changes meanwhile then has another state at the
//! next look, and whatever was built from the old one is built again.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use model::Node;
use render::Overlay;
use render::layer::ImageLinks;
use render::reads::{Read, ReadSet};
use render::source::Source;

use super::{BuildError, OverlayKind};

/// Overlays in order, and a digest over their state.
pub type Stack = Result<([u8; 32], Arc<[Arc<Overlay>]>), BuildError>;

/// An archive that has nothing of a node in it: the recipe, and what came to lie elsewhere.
#[derive(Debug)]
pub struct Alike {
    pub recipe: Vec<u8>,
    pub detours: Vec<String>,
}

/// A source and overlays as they were when they were first looked at.
pub struct Held {
    source: Arc<dyn Source>,
    stacks: Once<Vec<String>, Stack>,
    states: Once<Read, [u8; 32]>,
    sets: Once<[u8; 32], [u8; 32]>,
    holdings: Once<[u8; 32], [u8; 32]>,
    links: Once<(String, Vec<u8>), Option<Vec<u8>>>,
    kernels: Once<String, Option<String>>,
    pieces: Once<[u8; 32], u64>,
    /// By names of overlays and image.
    alike: Once<(Vec<String>, String), Arc<Alike>>,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").finish_non_exhaustive()
    }
}

impl Held {
    pub fn new(source: Arc<dyn Source>) -> Held {
        let (stacks, states, sets, holdings, links, kernels, pieces, alike) = Default::default();
        Held { source, stacks, states, sets, holdings, links, kernels, pieces, alike }
    }

    /// How many bytes a shared piece has packed, if it was seen in the store: a group keeps it there.
    pub fn stored(&self, piece: &[u8; 32]) -> Option<u64> {
        self.pieces.known(piece)
    }

    /// A shared piece was seen in the store.
    pub fn note_stored(&self, piece: [u8; 32], packed: u64) {
        self.pieces.get(&piece, || packed);
    }

    /// The archive of a node that was never built, when it is the same for all nodes with these overlays and this image.
    pub fn alike(&self, node: &Node, kind: OverlayKind) -> Option<Arc<Alike>> {
        self.alike.known(&(kind.list(node).to_vec(), node.profile.image_name.clone()))
    }

    /// This archive of a node that was never built has nothing of the node in it.
    pub fn note_alike(&self, node: &Node, kind: OverlayKind, alike: Alike) {
        self.alike.get(&(kind.list(node).to_vec(), node.profile.image_name.clone()), || Arc::new(alike));
    }

    /// The overlays of these names.
    ///
    /// # Errors
    /// What `read` said at the first time.
    pub fn stack(&self, names: &[String], read: impl FnOnce() -> Stack) -> Stack {
        self.stacks.get(names, read)
    }
}

impl Source for Held {
    fn file(&self, path: &str) -> Result<Option<Vec<u8>>, String> {
        self.state(&Read::File(path.to_owned()));
        self.source.file(path)
    }

    fn image_file(&self, image: &str, path: &str) -> Result<Option<Vec<u8>>, String> {
        self.state(&Read::ImageFile { image: image.to_owned(), path: path.to_owned() });
        self.source.image_file(image, path)
    }

    fn resolve(&self, path: &str) -> Result<String, String> {
        self.state(&Read::Link(path.to_owned()));
        self.source.resolve(path)
    }

    fn newest_kernel(&self, image: &str) -> Option<String> {
        self.state(&Read::ImageKernel(image.to_owned()));
        self.kernels.get(image, || self.source.newest_kernel(image))
    }

    fn image_links(&self, image: &str) -> Box<dyn ImageLinks + '_> {
        Box::new(Links { held: self, image: image.to_owned() })
    }

    fn state(&self, read: &Read) -> [u8; 32] {
        self.states.get(read, || self.source.state(read))
    }

    fn states(&self, reads: &ReadSet) -> [u8; 32] {
        self.sets.get(&reads.id(), || render::source::states(reads, |read| self.state(read)))
    }

    fn contents(&self, reads: &ReadSet) -> [u8; 32] {
        self.holdings.get(&reads.id(), || {
            self.states(reads);
            self.source.contents(reads)
        })
    }
}

struct Links<'a> {
    held: &'a Held,
    image: String,
}

impl ImageLinks for Links<'_> {
    fn folder_link(&self, path: &[u8]) -> Option<Vec<u8>> {
        let what = (self.image.clone(), path.to_vec());
        self.held.links.get(&what, || {
            let read = Read::ImageLink { image: self.image.clone(), path: String::from_utf8_lossy(path).into_owned() };
            self.held.state(&read);
            self.held.source.image_links(&self.image).folder_link(path)
        })
    }
}

/// Answers that stay what they were at first.
struct Once<K, V>(Mutex<HashMap<K, V>>);

impl<K, V> Default for Once<K, V> {
    fn default() -> Self {
        Once(Mutex::default())
    }
}

impl<K: Eq + Hash, V: Clone> Once<K, V> {
    fn known<Q>(&self, what: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(what).cloned()
    }

    /// Two who ask at once may both look; the first answer counts.
    fn get<Q>(&self, what: &Q, look: impl FnOnce() -> V) -> V
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(what) {
            return known.clone();
        }
        let answer = look();
        lock().entry(what.to_owned()).or_insert(answer).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::super::disk::Disk;
    use super::*;
    use model::conf::Paths;
    use std::fs;

    #[test]
    fn what_is_held_is_looked_at_once_and_a_change_meanwhile_is_seen_by_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths { sysconfdir: dir.path().into(), ..Paths::default() };
        fs::create_dir_all(paths.etc()).unwrap();
        let file = paths.etc().join("motd");
        fs::write(&file, "one").unwrap();
        let disk: Arc<dyn Source> = Arc::new(Disk::new(paths));
        let held = Held::new(Arc::clone(&disk));
        let read = Read::File("motd".into());
        let reads = ReadSet::new([read.clone()].into());
        assert_eq!(held.file("motd"), Ok(Some(b"one".to_vec())));
        let (state, states, contents) = (held.state(&read), held.states(&reads), held.contents(&reads));
        fs::write(&file, "another").unwrap();
        assert_eq!((held.state(&read), held.states(&reads), held.contents(&reads)), (state, states, contents));
        assert_ne!((disk.state(&read), disk.states(&reads)), (state, states));
    }
}
