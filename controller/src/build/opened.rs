//! A recipe whose pieces are open: the archive in the two ways in which it is sent.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::recipe::Recipe;
use super::span::Span;
use crate::image::pack;

/// Copying so many bytes costs less than sending them by themselves.
const SMALL: u64 = 32 << 10;

/// A recipe, and its pieces open.
#[derive(Debug)]
pub struct Open {
    pub recipe: Recipe,
    /// One for each piece.
    pub(super) places: Vec<Opened>,
}

/// Where the bytes of a piece are.
#[derive(Debug)]
pub(super) enum Opened {
    /// Packed, in the file of the recipe.
    Here { file: Arc<File>, at: u64 },
    /// Packed, then as it is.
    Shared(Arc<File>),
}

impl Open {
    /// The archive as gzip. Small pieces of the recipe are taken into memory: they go out in one segment with what is
    /// before them.
    ///
    /// # Errors
    /// When the recipe cannot be read.
    pub fn packed(&self) -> io::Result<Vec<Span>> {
        let mut spans = Vec::new();
        let mut waiting = pack::HEADER.to_vec();
        for (piece, place) in self.recipe.pieces.iter().zip(&self.places) {
            let (file, at) = match place {
                Opened::Here { file, at } if piece.packed <= SMALL => {
                    let here = Span::File { file: Arc::clone(file), at: *at, length: piece.packed };
                    here.read(&mut waiting)?;
                    continue;
                }
                Opened::Here { file, at } => (file, *at),
                Opened::Shared(file) => (file, 0),
            };
            if !waiting.is_empty() {
                spans.push(Span::from(std::mem::take(&mut waiting)));
            }
            spans.push(Span::File { file: Arc::clone(file), at, length: piece.packed });
        }
        waiting.extend(self.recipe.ending());
        spans.push(Span::from(waiting));
        Ok(spans)
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
