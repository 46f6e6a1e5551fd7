//! What is known of the disk until something happens there: which overlay a name means, and the state of trees and files.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::path::PathBuf;

use model::Conf;
use model::conf::OverlayMerge;
use render::reads::Read;

use super::trees::{self, Found};
use super::watch::{Places, Watch};

/// Keeps what is known.
pub type Eyes = Watch<What, Known>;

/// A question about the disk.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Where the overlay of that name lies, and whether the site's hides the whole of the distribution's.
    Overlay { site: PathBuf, distribution: PathBuf, whole: bool, name: String },
    /// The state of an overlay's tree.
    Tree(Found),
    /// The state of what a render read, by where relative paths and images lie.
    Read { etc: PathBuf, images: PathBuf, read: Box<Read> },
}

/// The answer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    Overlay(Option<Found>),
    State([u8; 32]),
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Overlay { name, .. } => write!(f, "the place of overlay {name}"),
            What::Tree(found) => write!(f, "the overlay {}", found.root.display()),
            What::Read { read, .. } => match &**read {
                Read::File(path) | Read::Link(path) => write!(f, "{path}"),
                Read::ImageFile { image, path } | Read::ImageLink { image, path } => {
                    write!(f, "{path} of image {image}")
                }
                Read::ImageKernel(image) => write!(f, "the kernels of image {image}"),
                other => f.write_str(&other.line()),
            },
        }
    }
}

/// The overlay of that name, the site's first.
pub fn find(eyes: &Eyes, conf: &Conf, name: &str) -> Option<Found> {
    let (site, distribution) = (conf.paths.wwoverlaydir.clone(), conf.paths.distribution_overlays());
    let folders = [site.clone(), distribution.clone()];
    let whole = conf.overlays.merge == OverlayMerge::Whole;
    let what = What::Overlay { site, distribution, whole, name: name.to_owned() };
    let look = || Ok::<_, Infallible>(Known::Overlay(trees::find(conf, name)));
    let known = eyes.kept(
        what,
        |places| {
            for folder in folders.iter().filter(|_| trees::is_name(name)) {
                places.way(&folder.join(name).join("rootfs"));
            }
        },
        look,
    );
    match known {
        Ok(Known::Overlay(found)) => found,
        Ok(Known::State(_)) => trees::find(conf, name),
    }
}

/// The state of an overlay's tree.
///
/// # Errors
/// When it cannot be read.
pub fn tree(eyes: &Eyes, found: &Found) -> io::Result<[u8; 32]> {
    let places = |places: &mut Places<'_>| {
        for layer in std::iter::once(found).chain(found.behind.as_deref()) {
            places.tree(&layer.root);
            places.path(&layer.declaration());
        }
    };
    match eyes.kept(What::Tree(found.clone()), places, || trees::look(found).map(Known::State))? {
        Known::State(state) => Ok(state),
        Known::Overlay(_) => trees::look(found),
    }
}
