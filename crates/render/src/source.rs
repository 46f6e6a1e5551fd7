//! How a render reaches files: through this trait and in no other way.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::layer::ImageLinks;
use crate::reads::{Read, ReadSet};

/// Files of the controller and of the images.
pub trait Source: Send + Sync {
    /// The content of a file of the controller, relative paths below `<sysconfdir>/warewulf`; `None` when there is none.
    ///
    /// # Errors
    /// When there is one and it cannot be read.
    fn file(&self, path: &str) -> Result<Option<Vec<u8>>, String>;

    /// The content of a file of an image; `None` when there is none, or no such image. The path never leaves the image.
    ///
    /// # Errors
    /// When there is one and it cannot be read.
    fn image_file(&self, image: &str, path: &str) -> Result<Option<Vec<u8>>, String>;

    /// The path with all links of the controller resolved to the end.
    ///
    /// # Errors
    /// When it leads nowhere.
    fn resolve(&self, path: &str) -> Result<String, String>;

    /// The release of the newest kernel of an image (`5.14.0-427.el9.x86_64`).
    fn newest_kernel(&self, image: &str) -> Option<String>;

    /// The links to folders of an image.
    fn image_links(&self, image: &str) -> Box<dyn ImageLinks + '_>;

    /// A digest over the state of what was read here. For the reads of files; of nodes it is never asked.
    fn state(&self, read: &Read) -> [u8; 32];

    /// A digest over the state of all files among these reads.
    fn states(&self, reads: &ReadSet) -> [u8; 32] {
        states(reads, |read| self.state(read))
    }

    /// As [`Source::states`], but over what the files hold: a file that was put back is what it was.
    fn contents(&self, reads: &ReadSet) -> [u8; 32] {
        let mut digest = Sha256::new();
        let mut put = |there: bool, bytes: &[u8]| {
            digest.update([u8::from(there)]);
            digest.update(Sha256::digest(bytes));
        };
        for read in reads.iter() {
            let file = match read {
                Read::File(path) => self.file(path),
                Read::ImageFile { image, path } => self.image_file(image, path),
                Read::Link(path) => self.resolve(path).map(|real| Some(real.into_bytes())),
                Read::ImageKernel(image) => Ok(self.newest_kernel(image).map(String::into_bytes)),
                Read::ImageLink { image, path } => Ok(self.image_links(image).folder_link(path.as_bytes())),
                Read::Own(_) | Read::World(_) | Read::Conf(_) | Read::Environment(_) => continue,
            };
            match file {
                Ok(content) => put(content.is_some(), &content.unwrap_or_default()),
                Err(error) => put(false, error.as_bytes()),
            }
        }
        digest.finalize().into()
    }
}

/// A digest over the states of all files among these reads, as `state` knows them.
pub fn states(reads: &ReadSet, state: impl Fn(&Read) -> [u8; 32]) -> [u8; 32] {
    let mut digest = Sha256::new();
    reads.iter().filter(|read| read.is_file()).for_each(|read| digest.update(state(read)));
    digest.finalize().into()
}

impl fmt::Debug for dyn Source + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::layer::NoImage;

    /// A controller without any file.
    pub(crate) struct Bare;

    impl Source for Bare {
        fn file(&self, _path: &str) -> Result<Option<Vec<u8>>, String> {
            Ok(None)
        }

        fn image_file(&self, _image: &str, _path: &str) -> Result<Option<Vec<u8>>, String> {
            Ok(None)
        }

        fn resolve(&self, path: &str) -> Result<String, String> {
            Err(format!("{path}: nothing there"))
        }

        fn newest_kernel(&self, _image: &str) -> Option<String> {
            None
        }

        fn image_links(&self, _image: &str) -> Box<dyn ImageLinks + '_> {
            Box::new(NoImage)
        }

        fn state(&self, _read: &Read) -> [u8; 32] {
            [0; 32]
        }
    }
}
