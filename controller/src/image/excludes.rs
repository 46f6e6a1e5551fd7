//! What of an image's tree is left out of its archive: lines of `/etc/warewulf/excludes` inside the image.
//!
//! A line is a path from the root, with or without a slash at either end, where `*`, `?` and `[...]` stand for characters
//! of one name (not for slashes) and `\` takes the meaning from what follows. It leaves out what it fits and all below.
//! Empty lines and lines that begin with `#` say nothing.

/// The lines, understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Excludes {
    patterns: Vec<Vec<u8>>,
}

impl Excludes {
    /// Any bytes are fine: a line that makes no sense fits nothing.
    pub fn parse(text: &[u8]) -> Excludes {
        let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with(b"#"));
        let patterns =
            lines.map(|line| trimmed(line.strip_prefix(b".").filter(|rest| rest.starts_with(b"/")).unwrap_or(line)));
        Excludes { patterns: patterns.filter(|pattern| !pattern.is_empty()).map(<[u8]>::to_vec).collect() }
    }

    /// Whether this path, from the root and without a slash in front, is left out. What is below a path that is left out is not
    /// asked for.
    pub fn has(&self, path: &[u8]) -> bool {
        self.patterns.iter().any(|pattern| fits(pattern, path))
    }
}

fn trimmed(line: &[u8]) -> &[u8] {
    let start = line.iter().take_while(|byte| **byte == b'/').count();
    let line = line.get(start..).unwrap_or_default();
    let end = line.iter().rev().take_while(|byte| **byte == b'/').count();
    line.get(..line.len() - end).unwrap_or_default()
}

/// Whether the whole text fits. Takes time proportional to pattern x text at most: a star that was passed is never tried again
/// once a later one was reached.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        let rest = pattern.get(at..).unwrap_or_default();
        let next = text.get(seen).copied();
        if rest.first() == Some(&b'*') {
            star = Some((at, seen));
            at += 1;
            continue;
        }
        match (rest.is_empty(), next) {
            (true, None) => return true,
            (false, Some(byte)) => {
                if let Some(length) = one(rest, byte) {
                    at += length;
                    seen += 1;
                    continue;
                }
            }
            _ => {}
        }
        // The last star takes one character more, but never a slash.
        let Some((star_at, taken)) = star else { return false };
        if text.get(taken).is_none_or(|byte| *byte == b'/') {
            return false;
        }
        star = Some((star_at, taken + 1));
        at = star_at + 1;
        seen = taken + 1;
    }
}

/// The length of the pattern's first element when it fits this byte.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [b'?', ..] => (byte != b'/').then_some(1),
        [b'\\', literal, ..] => (*literal == byte).then_some(2),
        [b'[', inner @ ..] => set(inner, byte),
        [literal, ..] => (*literal == byte).then_some(1),
        [] => None,
    }
}

/// `inner`: what follows the bracket.
fn set(inner: &[u8], byte: u8) -> Option<usize> {
    let negated = matches!(inner.first(), Some(b'^' | b'!'));
    let from = usize::from(negated);
    let mut at = from;
    let mut found = false;
    loop {
        let first = *inner.get(at)?;
        if first == b']' && at > from {
            break;
        }
        let last = match (inner.get(at + 1), inner.get(at + 2)) {
            (Some(b'-'), Some(last)) if *last != b']' => {
                at += 2;
                *last
            }
            _ => first,
        };
        found |= (first..=last).contains(&byte);
        at += 1;
    }
    (found != negated && byte != b'/').then_some(at + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_out(lines: &str, path: &str) -> bool {
        Excludes::parse(lines.as_bytes()).has(path.as_bytes())
    }

    #[test]
    fn a_line_is_a_path_from_the_root() {
        assert!(left_out("/boot/\n", "boot"));
        assert!(left_out("boot", "boot"));
        assert!(left_out("# all of it\n\n  ./usr/share/GeoIP  \r\n", "usr/share/GeoIP"));
        assert!(!left_out("/boot/", "usr/boot"));
        assert!(!left_out("/boot", "boot2"));
        assert!(!left_out("# boot\n/\n//\n", "boot"));
    }

    #[test]
    fn wildcards_stay_within_one_name() {
        assert!(left_out("/scratch/*", "scratch/junk"));
        assert!(!left_out("/scratch/*", "scratch"));
        assert!(!left_out("/scratch/*", "scratch/a/b"));
        assert!(left_out("/usr/*/*.py[co]", "usr/lib/x.pyc"));
        assert!(!left_out("/usr/*/*.py[co]", "usr/lib/x.py"));
        assert!(left_out("/v?r/[^a-c]*", "var/run"));
        assert!(!left_out("/v?r/[^a-c]*", "var/cache"));
        assert!(left_out("/a\\*b", "a*b"));
        assert!(!left_out("/a\\*b", "axb"));
        assert!(left_out("*a*b*c", "xxaxxbxxc"));
    }

    #[test]
    fn lines_that_make_no_sense_fit_nothing_and_take_no_time() {
        for line in ["[", "[a", "[^", "\\", "a[b-", "[]"] {
            assert!(!left_out(line, "a"), "{line}");
        }
        let stars = "*a".repeat(2000);
        assert!(!left_out(&stars, &"a".repeat(1999)));
        assert!(!left_out("[\u{ff}-a]\n\u{0}", "b"));
    }
}
