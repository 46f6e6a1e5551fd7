//! The files of one render: each is read once, and its state is taken before. A file that changes while it is rendered
//! then has another state at the next look, and is rendered again; taken afterwards, the old content would pass for the
//! new.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use render::layer::ImageLinks;
use render::reads::{Read, ReadSet};
use render::source::Source;

/// One render's view of a source.
pub struct Glimpse {
    source: Arc<dyn Source>,
    states: Mutex<BTreeMap<Read, [u8; 32]>>,
    contents: Mutex<BTreeMap<Read, Content>>,
}

/// What was found: bytes, nothing, or an error in words.
type Content = Result<Option<Arc<[u8]>>, String>;

impl Glimpse {
    pub fn new(source: Arc<dyn Source>) -> Glimpse {
        Glimpse { source, states: Mutex::default(), contents: Mutex::default() }
    }

    fn first(&self, read: Read) -> [u8; 32] {
        if let Some(state) = lock(&self.states).get(&read) {
            return *state;
        }
        let state = self.source.state(&read);
        // Of two that ask at once the earlier look counts: it is older than both their contents.
        *lock(&self.states).entry(read).or_insert(state)
    }

    fn once(&self, read: Read, find: impl FnOnce() -> Result<Option<Vec<u8>>, String>) -> Content {
        if let Some(content) = lock(&self.contents).get(&read) {
            return content.clone();
        }
        self.first(read.clone());
        let content = find().map(|content| content.map(Arc::from));
        lock(&self.contents).entry(read).or_insert(content).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn bytes(content: Content) -> Result<Option<Vec<u8>>, String> {
    Ok(content?.map(|content| content.to_vec()))
}

fn text(content: Option<Arc<[u8]>>) -> Option<String> {
    content.map(|content| String::from_utf8_lossy(&content).into_owned())
}

impl fmt::Debug for Glimpse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Glimpse").finish_non_exhaustive()
    }
}

impl Source for Glimpse {
    fn file(&self, path: &str) -> Result<Option<Vec<u8>>, String> {
        bytes(self.once(Read::File(path.to_owned()), || self.source.file(path)))
    }

    fn image_file(&self, image: &str, path: &str) -> Result<Option<Vec<u8>>, String> {
        let read = Read::ImageFile { image: image.to_owned(), path: path.to_owned() };
        bytes(self.once(read, || self.source.image_file(image, path)))
    }

    fn resolve(&self, path: &str) -> Result<String, String> {
        let find = || self.source.resolve(path).map(|real| Some(real.into_bytes()));
        Ok(text(self.once(Read::Link(path.to_owned()), find)?).unwrap_or_default())
    }

    fn newest_kernel(&self, image: &str) -> Option<String> {
        let find = || Ok(self.source.newest_kernel(image).map(String::into_bytes));
        text(self.once(Read::ImageKernel(image.to_owned()), find).ok()?)
    }

    fn image_links(&self, image: &str) -> Box<dyn ImageLinks + '_> {
        Box::new(Links { glimpse: self, image: image.to_owned(), inner: self.source.image_links(image) })
    }

    fn state(&self, read: &Read) -> [u8; 32] {
        self.first(read.clone())
    }

    fn states(&self, reads: &ReadSet) -> [u8; 32] {
        if lock(&self.states).is_empty() {
            // Nothing was read: somebody only looks, and may know already.
            return self.source.states(reads);
        }
        render::source::states(reads, |read| self.state(read))
    }
}

/// The links of an image.
struct Links<'a> {
    glimpse: &'a Glimpse,
    image: String,
    inner: Box<dyn ImageLinks + 'a>,
}

impl ImageLinks for Links<'_> {
    fn folder_link(&self, path: &[u8]) -> Option<Vec<u8>> {
        let name = String::from_utf8_lossy(path).into_owned();
        let read = Read::ImageLink { image: self.image.clone(), path: name };
        let target = self.glimpse.once(read, || Ok(self.inner.folder_link(path)));
        target.ok().flatten().map(|target| target.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU8, Ordering};

    /// A source whose file is written anew whenever somebody read it.
    #[derive(Default)]
    struct RestlessSource(AtomicU8);

    impl Source for RestlessSource {
        fn file(&self, _path: &str) -> Result<Option<Vec<u8>>, String> {
            Ok(Some(vec![self.0.fetch_add(1, Ordering::Relaxed)]))
        }

        fn image_file(&self, _image: &str, _path: &str) -> Result<Option<Vec<u8>>, String> {
            Ok(None)
        }

        fn resolve(&self, path: &str) -> Result<String, String> {
            Err(path.to_owned())
        }

        fn newest_kernel(&self, _image: &str) -> Option<String> {
            None
        }

        fn image_links(&self, _image: &str) -> Box<dyn ImageLinks + '_> {
            Box::new(render::layer::NoImage)
        }

        fn state(&self, _read: &Read) -> [u8; 32] {
            [self.0.load(Ordering::Relaxed); 32]
        }
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_counts_as_it_was_before() {
        let source = Arc::new(RestlessSource::default());
        let glimpse = Glimpse::new(Arc::clone(&source) as Arc<dyn Source>);
        assert_eq!(glimpse.file("f"), Ok(Some(vec![0])));
        assert_eq!(glimpse.state(&Read::File("f".into())), [0; 32]);
        assert_eq!(glimpse.file("f"), Ok(Some(vec![0])), "one render sees one state of it");
        let next = Glimpse::new(source);
        assert_eq!(next.state(&Read::File("f".into())), [1; 32]);
    }
}
