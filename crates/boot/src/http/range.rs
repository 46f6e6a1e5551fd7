//! Byte ranges (RFC 9110, section 14): which pieces of a file are asked for.

/// Beyond this many pieces the whole is sent: a client in earnest asks for few, the others cost more than the file.
const MOST_PIECES: usize = 64;

/// A piece of a file, never empty, within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    pub start: u64,
    pub len: u64,
}

impl Piece {
    /// `bytes 0-15/65536`.
    pub fn content_range(&self, size: u64) -> String {
        format!("bytes {}-{}/{size}", self.start, self.start + (self.len - 1))
    }
}

/// What a `Range` header asks for of a file of a known size.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Ranges {
    Whole,
    One(Piece),
    /// At least two, in the order asked for.
    Many(Vec<Piece>),
    /// 416.
    None,
}

/// Reads a `Range` header. Another unit than bytes is as if nothing was said; pieces that together would be more than
/// the file get the file.
pub fn read(header: Option<&str>, size: u64) -> Ranges {
    let Some(header) = header else { return Ranges::Whole };
    let Some((unit, list)) = header.split_once('=') else { return Ranges::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Ranges::Whole;
    }
    let mut pieces = Vec::new();
    let mut sum: u64 = 0;
    // A list of nothing says nothing.
    if list.chars().all(|c| matches!(c, ',' | ' ' | '\t')) {
        return Ranges::Whole;
    }
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        match piece(part, size) {
            Err(Malformed) => return Ranges::None,
            Ok(None) => {}
            Ok(Some(piece)) => {
                sum = sum.saturating_add(piece.len);
                pieces.push(piece);
            }
        }
        if pieces.len() > MOST_PIECES {
            return Ranges::Whole;
        }
    }
    match pieces.as_slice() {
        // An empty file has no pieces, and nothing to refuse either.
        [] if size == 0 => Ranges::Whole,
        [] => Ranges::None,
        [piece] => Ranges::One(*piece),
        _ if sum > size => Ranges::Whole,
        _ => Ranges::Many(pieces),
    }
}

struct Malformed;

/// `Ok(None)`: well written, but nothing of the file.
fn piece(text: &str, size: u64) -> Result<Option<Piece>, Malformed> {
    let (start, end) = text.split_once('-').ok_or(Malformed)?;
    let (start, end) = (start.trim(), end.trim());
    if start.is_empty() {
        let len = number(end)?.min(size);
        return Ok((len > 0).then_some(Piece { start: size - len, len }));
    }
    let start = number(start)?;
    // What begins behind the file is nothing of it, wherever it ends.
    if start >= size {
        return Ok(None);
    }
    let end = if end.is_empty() { u64::MAX } else { number(end)? };
    if end < start {
        return Err(Malformed);
    }
    let last = end.min(size - 1);
    Ok(Some(Piece { start, len: last - start + 1 }))
}

fn number(text: &str) -> Result<u64, Malformed> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Malformed);
    }
    // More digits than fit mean "to the end" or "beyond it", both of which the largest number says as well.
    Ok(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(start: u64, len: u64) -> Ranges {
        Ranges::One(Piece { start, len })
    }

    #[test]
    fn single_ranges() {
        for (header, want) in [
            ("bytes=0-15", one(0, 16)),
            ("bytes=16-35", one(16, 20)),
            ("bytes=-8", one(65528, 8)),
            ("bytes=65500-99999", one(65500, 36)),
            ("bytes=65535-", one(65535, 1)),
            ("bytes=-99999", one(0, 65536)),
            ("bytes=0-99999999999999999999999", one(0, 65536)),
            ("bytes=65536-", Ranges::None),
            ("bytes=-0", Ranges::None),
            ("bytes=x-y", Ranges::None),
            ("bytes=5-4", Ranges::None),
            ("bytes=", Ranges::Whole),
            ("bytes=, ,", Ranges::Whole),
            ("bytes=+1-2", Ranges::None),
        ] {
            assert_eq!(read(Some(header), 65536), want, "{header}");
        }
    }

    #[test]
    fn an_unknown_unit_is_ignored() {
        for header in ["lines=1-2", "bytes", ""] {
            assert_eq!(read(Some(header), 10), Ranges::Whole, "{header}");
        }
        assert_eq!(read(None, 10), Ranges::Whole);
    }

    #[test]
    fn several_ranges_keep_their_order_and_lose_what_is_outside() {
        let want = Ranges::Many(vec![Piece { start: 8, len: 2 }, Piece { start: 0, len: 1 }]);
        assert_eq!(read(Some("bytes=8-, 0-0 ,50-60"), 10), want);
        assert_eq!(read(Some("bytes=1-2,50-60"), 10), one(1, 2));
        assert_eq!(read(Some("bytes=60-50,1-2"), 10), one(1, 2));
    }

    #[test]
    fn more_than_the_file_in_pieces_is_the_file() {
        assert_eq!(read(Some("bytes=0-9,0-9"), 10), Ranges::Whole);
        let many = format!("bytes={}", vec!["0-0"; 100].join(","));
        assert_eq!(read(Some(&many), 1000), Ranges::Whole);
    }

    #[test]
    fn an_empty_file_is_sent_whole() {
        assert_eq!(read(Some("bytes=0-3"), 0), Ranges::Whole);
    }

    #[test]
    fn a_content_range_counts_to_the_last_byte() {
        assert_eq!(Piece { start: 0, len: 16 }.content_range(65536), "bytes 0-15/65536");
    }

    proptest::proptest! {
        #[test]
        fn pieces_are_never_empty_and_within_the_file(header in "bytes=[0-9,x -]{0,40}", size in 0u64..100_000) {
            let pieces = match read(Some(&header), size) {
                Ranges::One(piece) => vec![piece],
                Ranges::Many(pieces) => pieces,
                Ranges::Whole | Ranges::None => vec![],
            };
            for piece in pieces {
                proptest::prop_assert!(piece.len > 0 && piece.start + piece.len <= size);
            }
        }
    }
}
