//! A recipe: of which pieces an archive consists. The pieces of one node stand in it, packed; those that nodes share lie
//! in the store, by their digest. Only the text is read and written here.
//!
//! ```text
//! overlay recipe 1
//! content CONTENT-KEY
//! published SECONDS
//! shared DIGEST LENGTH CHECKSUM PACKED
//! here LENGTH CHECKSUM PACKED
//! record BYTES
//! end TOTAL
//! (bytes of the pieces that are here, one after another; the record)
//! ```
//!
//! LENGTH and PACKED are bytes of a piece as it is and deflated, CHECKSUM is its CRC-32 in hexadecimal, DIGEST the SHA-256
//! of its bytes as they are, TOTAL the bytes of all pieces that are here and of the record: what the archive was made
//! from.

use super::record::hex;
use crate::image::pack::{self, Sum};

const FORMAT: &str = "overlay recipe 1";

/// An archive as a list of pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipe {
    /// The identity of what is served.
    pub content: String,
    /// Since when that is served, in seconds since 1970.
    pub published: u64,
    pub pieces: Vec<Piece>,
    /// Bytes of the record, which ends the file.
    pub record: u64,
}

/// One piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub length: u64,
    pub crc: u32,
    pub packed: u64,
    pub place: Place,
}

/// Where a piece lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Packed, this many bytes into the recipe's file.
    Here(u64),
    /// In the store, under this digest.
    Shared(String),
}

impl Recipe {
    /// Bytes of the archive as it is.
    pub fn length(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.length).sum()
    }

    /// Bytes of the archive as gzip.
    pub fn packed_length(&self) -> u64 {
        let framed = (pack::HEADER.len() + self.ending().len()) as u64;
        framed + self.pieces.iter().map(|piece| piece.packed).sum::<u64>()
    }

    /// What ends the gzip member.
    pub fn ending(&self) -> Vec<u8> {
        let mut sum = Sum::default();
        self.pieces.iter().for_each(|piece| sum.add(piece.crc, piece.length));
        sum.ending()
    }

    /// The text before the bytes of the pieces that are here, whose places it does not look at.
    pub fn text(&self) -> String {
        let mut text = format!("{FORMAT}\ncontent {}\npublished {}\n", self.content, self.published);
        let mut total = 0;
        for Piece { length, crc, packed, place } in &self.pieces {
            match place {
                Place::Here(_) => {
                    total += packed;
                    text.push_str(&format!("here {length} {crc:08x} {packed}\n"));
                }
                Place::Shared(digest) => text.push_str(&format!("shared {digest} {length} {crc:08x} {packed}\n")),
            }
        }
        text.push_str(&format!("record {}\nend {}\n", self.record, total + self.record));
        text
    }

    /// Reads the beginning of a recipe that is `whole` bytes long. `None` when it is none, or is cut short.
    pub fn parse(beginning: &[u8], whole: u64) -> Option<Recipe> {
        let mut recipe = Recipe::default();
        let mut at = 0;
        let mut here = 0;
        let mut lines = 0;
        loop {
            let rest = beginning.get(at..)?;
            let length = rest.iter().position(|byte| *byte == b'\n')?;
            let line = std::str::from_utf8(rest.get(..length)?).ok()?;
            at += length + 1;
            lines += 1;
            if lines == 1 {
                (line == FORMAT).then_some(())?;
                continue;
            }
            let words: Vec<&str> = line.split(' ').collect();
            match words.as_slice() {
                ["content", key] => recipe.content = (*key).to_owned(),
                ["published", at] => recipe.published = at.parse().ok()?,
                ["here", rest @ ..] => {
                    let piece = numbers(rest, Place::Here(here))?;
                    here += piece.packed;
                    recipe.pieces.push(piece);
                }
                ["shared", digest, rest @ ..] => {
                    is_digest(digest).then_some(())?;
                    recipe.pieces.push(numbers(rest, Place::Shared((*digest).to_owned()))?);
                }
                ["record", bytes] => recipe.record = small(bytes)?,
                ["end", total] => {
                    let begin = u64::try_from(at).ok()?;
                    let total: u64 = total.parse().ok()?;
                    (total == here + recipe.record && begin.checked_add(total)? == whole).then_some(())?;
                    for piece in &mut recipe.pieces {
                        if let Place::Here(offset) = &mut piece.place {
                            *offset += begin;
                        }
                    }
                    return Some(recipe);
                }
                _ => return None,
            }
        }
    }

    /// The digests of the pieces that it needs from the store.
    pub fn shared(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match &piece.place {
            Place::Shared(digest) => Some(digest.as_str()),
            Place::Here(_) => None,
        })
    }
}

fn numbers(words: &[&str], place: Place) -> Option<Piece> {
    let [length, crc, packed] = words else { return None };
    Some(Piece { length: small(length)?, crc: u32::from_str_radix(crc, 16).ok()?, packed: small(packed)?, place })
}

/// A number of which sums can be made without a second look.
fn small(word: &str) -> Option<u64> {
    word.parse().ok().filter(|number| *number < 1 << 48)
}

/// A name in the store leads nowhere else.
fn is_digest(word: &str) -> bool {
    word.len() == 64 && word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A digest as the store names its files.
pub fn name(digest: &[u8; 32]) -> String {
    hex(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe() -> Recipe {
        let piece = |length, packed, place| Piece { length, crc: 0xab, packed, place };
        Recipe {
            content: "c0ffee".into(),
            published: 1_767_323_045,
            pieces: vec![
                piece(100, 10, Place::Here(0)),
                piece(5000, 700, Place::Shared("ab".repeat(32))),
                piece(7, 9, Place::Here(10)),
            ],
            record: 5,
        }
    }

    #[test]
    fn a_recipe_survives_its_text_and_knows_where_its_pieces_begin() {
        let text = recipe().text();
        let shared = "ab".repeat(32);
        let want = format!(
            "overlay recipe 1\ncontent c0ffee\npublished 1767323045\nhere 100 000000ab 10\n\
             shared {shared} 5000 000000ab 700\nhere 7 000000ab 9\nrecord 5\nend 24\n"
        );
        assert_eq!(text, want);
        let begin = text.len() as u64;
        let mut read = recipe();
        read.pieces[0].place = Place::Here(begin);
        read.pieces[2].place = Place::Here(begin + 10);
        assert_eq!(Recipe::parse(text.as_bytes(), begin + 24), Some(read));
        assert_eq!(recipe().length(), 5107);
        assert_eq!(recipe().packed_length(), 10 + 719 + 10);
    }

    #[test]
    fn what_is_cut_short_or_strange_is_no_recipe() {
        let text = recipe().text();
        assert_eq!(Recipe::parse(text.as_bytes(), text.len() as u64 + 23), None);
        for length in 0..text.len() {
            assert_eq!(Recipe::parse(&text.as_bytes()[..length], text.len() as u64 + 24), None, "{length}");
        }
        for bad in [
            "overlay recipe 2\nend 0\n",
            "overlay recipe 1\nhere 1 2\nend 0\n",
            "overlay recipe 1\nshared ../../etc/shadow 1 0 1\nend 0\n",
            "overlay recipe 1\nhere 99999999999999999999 0 1\nend 1\n",
            "overlay recipe 1\nhere 18446744073709551615 0 1\nend 1\n",
        ] {
            assert_eq!(Recipe::parse(bad.as_bytes(), bad.len() as u64), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _ = Recipe::parse(&bytes, 200);
            let _ = Recipe::parse(&[FORMAT.as_bytes(), b"\n", &bytes].concat(), 200);
        }
    }
}
