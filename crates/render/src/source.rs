//! How a render reaches files: through this trait and in no other way.

use std::fmt;

use crate::layer::ImageLinks;
use crate::reads::Read;

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

    /// A digest that changes when what was read here changes. For the reads of files; of nodes it is never asked.
    fn state(&self, read: &Read) -> [u8; 32];
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
