//! A built archive as it is sent: whichever form it lies in, the same identity for the same content.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

use model::Node;

use super::OverlayKind;
use super::files::Files;
use super::record::Record;
use super::span::Span;
use crate::site::Site;

/// Counts the ways of packing: the same content packed in another way is another packed file.
const PACKING: u32 = 2;
/// How much of a content key is in a tag, in digits.
const DIGITS: usize = 40;

/// What there is to send.
#[derive(Debug)]
#[must_use]
pub enum Offer {
    /// Made by us, in spans.
    Known {
        spans: Vec<Span>,
        etag: String,
        modified: i64,
        name: String,
    },
    /// A file of which nothing is known.
    Foreign {
        file: File,
        name: String,
    },
    /// There is an archive, but not packed.
    NotPacked,
    Nothing(PathBuf),
}

/// The bytes of the archive as it lies there now, not packed; `None` when there is none.
///
/// # Errors
/// When it is there and cannot be read.
pub fn archive(site: &Site, node: &Node, kind: OverlayKind) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    match offer(site, node, kind, false)? {
        Offer::Known { spans, .. } => spans.iter().try_for_each(|span| span.read(&mut bytes))?,
        Offer::Foreign { mut file, .. } => {
            file.read_to_end(&mut bytes)?;
        }
        Offer::NotPacked | Offer::Nothing(_) => return Ok(None),
    }
    Ok(Some(bytes))
}

/// The archive as it lies there now, packed or not.
///
/// # Errors
/// When it is there and cannot be read.
pub fn offer(site: &Site, node: &Node, kind: OverlayKind, packed: bool) -> io::Result<Offer> {
    let files = Files::of(site, &node.id, kind);
    let path = if packed { &files.packed } else { &files.image };
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if files.image.exists() {
        return match File::open(path) {
            Ok(file) if file.metadata()?.is_file() => from_file(&files, file, packed, name),
            _ if packed => Ok(Offer::NotPacked),
            _ => Ok(Offer::Nothing(path.clone())),
        };
    }
    let Some(open) = files.store.open(&files.name) else { return Ok(Offer::Nothing(path.clone())) };
    let spans = if packed { open.packed()? } else { open.plain()? };
    let modified = i64::try_from(open.recipe.published).unwrap_or(i64::MAX);
    Ok(Offer::Known { spans, etag: etag(&open.recipe.content, packed), modified, name })
}

fn from_file(files: &Files, file: File, packed: bool, name: String) -> io::Result<Offer> {
    let path = if packed { &files.packed } else { &files.image };
    let record = Record::read(&files.record).filter(|record| Some(&record.files) == files.identity().as_ref());
    let opened = file.metadata()?;
    // Replaced between the two looks: then the record is not of the file that is open.
    let same = fs::metadata(path).is_ok_and(|data| data.ino() == opened.ino());
    match record.filter(|_| same) {
        Some(record) => Ok(Offer::Known {
            spans: vec![Span::File { file: Arc::new(file), at: 0, length: opened.len() }],
            etag: etag(&record.content, packed),
            modified: i64::try_from(record.published).unwrap_or(i64::MAX),
            name,
        }),
        None => Ok(Offer::Foreign { file, name }),
    }
}

/// Strong: entries, order and times are in the content key.
fn etag(content: &str, packed: bool) -> String {
    let key = content.get(..DIGITS).unwrap_or(content);
    if packed { format!("\"{key}-gz{PACKING}\"") } else { format!("\"{key}\"") }
}
