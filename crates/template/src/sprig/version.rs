//! Semantic versions and constraints on them, with the tolerance of Masterminds/semver 3.3: `1.2` is a version, `x` a
//! wildcard, `||` an alternative, a suffix a prerelease that only a constraint with one accepts.

use std::cmp::Ordering;
use std::fmt;

/// A version: three numbers, a prerelease, and metadata that never counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    pub major: u64,
    pub minor: u64,
    pub patch: u64,
    pub prerelease: String,
    pub metadata: String,
    /// What was read, letter by letter.
    pub original: String,
    /// What the `Inc` methods give is no pointer in Go, and is called by another name.
    pub increased: bool,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        if !self.prerelease.is_empty() {
            write!(f, "-{}", self.prerelease)?;
        }
        if !self.metadata.is_empty() {
            write!(f, "+{}", self.metadata)?;
        }
        Ok(())
    }
}

/// Three dotted places, each possibly absent, then prerelease and metadata; what both versions and constraints are.
struct Parts<'a> {
    places: [&'a str; 3],
    prerelease: &'a str,
    metadata: &'a str,
    /// What stood behind.
    rest: &'a str,
}

impl Version {
    /// Reads a version; one or two numbers are enough, and a leading `v` is passed over.
    ///
    /// # Errors
    /// The text says what is wrong, in the library's own words.
    pub fn parse(text: &str) -> Result<Version, String> {
        const INVALID: &str = "Invalid Semantic Version";
        let parts = parts(text, |c| c.is_ascii_digit()).filter(|p| p.rest.is_empty()).ok_or(INVALID)?;
        let number = |text: &str| -> Result<u64, String> {
            if text.is_empty() {
                return Ok(0);
            }
            text.parse().map_err(|_| {
                format!("Error parsing version segment: strconv.ParseUint: parsing {text:?}: value out of range")
            })
        };
        let [major, minor, patch] = parts.places;
        let version = Version {
            major: number(major)?,
            minor: number(minor)?,
            patch: number(patch)?,
            prerelease: parts.prerelease.to_string(),
            metadata: parts.metadata.to_string(),
            original: text.to_string(),
            increased: false,
        };
        let zero_first =
            |part: &str| part.len() > 1 && part.starts_with('0') && part.bytes().all(|b| b.is_ascii_digit());
        if version.prerelease.split('.').any(zero_first) {
            return Err("Version segment starts with 0".into());
        }
        Ok(version)
    }

    /// The order of versions; metadata does not count (semver.org, 10 and 11).
    pub fn compare(&self, other: &Version) -> Ordering {
        (self.major, self.minor, self.patch)
            .cmp(&(other.major, other.minor, other.patch))
            .then_with(|| compare_prerelease(&self.prerelease, &other.prerelease))
    }

    /// The next version of that place: a prerelease's own number when only its suffix has to go.
    pub fn increase(&self, place: Place) -> Version {
        let next = match place {
            Place::Major => (self.major.saturating_add(1), 0, 0),
            Place::Minor => (self.major, self.minor.saturating_add(1), 0),
            Place::Patch if !self.prerelease.is_empty() => (self.major, self.minor, self.patch),
            Place::Patch => (self.major, self.minor, self.patch.saturating_add(1)),
        };
        let mut version =
            Version { major: next.0, minor: next.1, patch: next.2, increased: true, ..Version::default() };
        let v = if self.original.starts_with('v') { "v" } else { "" };
        version.original = format!("{v}{version}");
        version
    }
}

/// A place of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Major,
    Minor,
    Patch,
}

fn compare_prerelease(a: &str, b: &str) -> Ordering {
    match (a.is_empty(), b.is_empty()) {
        (true, true) => return Ordering::Equal,
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let (mut left, mut right) = (a.split('.'), b.split('.'));
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(x), Some(y)) => match (x.parse::<u64>(), y.parse::<u64>()) {
                (Ok(x), Ok(y)) => x.cmp(&y),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => x.cmp(y),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Cuts a version off the front of `text`; `place` says which letters the three places may hold.
fn parts(text: &str, place: fn(char) -> bool) -> Option<Parts<'_>> {
    let mut rest = text.strip_prefix('v').unwrap_or(text);
    let mut places = [""; 3];
    let (first, after) = cut(rest, place);
    if first.is_empty() {
        return None;
    }
    places[0] = first;
    rest = after;
    for slot in places.iter_mut().skip(1) {
        let Some((found, after)) = rest.strip_prefix('.').map(|r| cut(r, place)).filter(|(f, _)| !f.is_empty()) else {
            break;
        };
        *slot = found;
        rest = after;
    }
    let (prerelease, rest) = suffix(rest, '-');
    let (metadata, rest) = suffix(rest, '+');
    Some(Parts { places, prerelease, metadata, rest })
}

fn cut(text: &str, keep: fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !keep(c)).unwrap_or(text.len());
    text.split_at(end)
}

/// Dotted identifiers behind `mark`, or nothing.
fn suffix(text: &str, mark: char) -> (&str, &str) {
    let Some(body) = text.strip_prefix(mark) else { return ("", text) };
    let mut end = 0;
    loop {
        let (word, _) = cut(body.get(end..).unwrap_or(""), |c| c.is_ascii_alphanumeric() || c == '-');
        if word.is_empty() {
            // A dot with nothing behind it belongs to what follows.
            end = end.saturating_sub(1);
            break;
        }
        end += word.len();
        match body.get(end..) {
            Some(rest) if rest.starts_with('.') => end += 1,
            _ => break,
        }
    }
    if end == 0 {
        return ("", text);
    }
    (body.get(..end).unwrap_or(""), body.get(end..).unwrap_or(""))
}

/// A constraint: alternatives of conditions that all have to hold.
#[derive(Clone, Debug)]
pub struct Constraint {
    any: Vec<Vec<Condition>>,
}

#[derive(Clone, Debug)]
struct Condition {
    operator: Operator,
    version: Version,
    /// A place was left out or is a wildcard; which one.
    open: Open,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
    Tilde,
    Caret,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    No,
    Major,
    Minor,
    Patch,
}

/// Longest first, so that `>=` is not read as `>`.
const OPERATORS: [(&str, Operator); 12] = [
    ("!=", Operator::NotEqual),
    (">=", Operator::GreaterOrEqual),
    ("=>", Operator::GreaterOrEqual),
    ("<=", Operator::LessOrEqual),
    ("=<", Operator::LessOrEqual),
    ("~>", Operator::Tilde),
    ("=", Operator::Equal),
    (">", Operator::Greater),
    ("<", Operator::Less),
    ("~", Operator::Tilde),
    ("^", Operator::Caret),
    ("", Operator::Equal),
];

impl Constraint {
    /// Reads a constraint such as `>=1.2, <2 || ~3.1`; blanks or commas join, ` - ` is a range.
    ///
    /// # Errors
    /// `improper constraint: TEXT`.
    pub fn parse(text: &str) -> Result<Constraint, String> {
        let any = text.split("||").map(|part| conditions(part, text)).collect::<Result<_, _>>()?;
        Ok(Constraint { any })
    }

    /// Whether the version is one of those meant.
    pub fn allows(&self, version: &Version) -> bool {
        self.any.iter().any(|all| all.iter().all(|condition| condition.holds(version)))
    }
}

fn conditions(part: &str, whole: &str) -> Result<Vec<Condition>, String> {
    let improper = || format!("improper constraint: {part}");
    let mut found = Vec::new();
    let mut rest = part.trim_start();
    loop {
        let (mut condition, after) = condition(rest).ok_or_else(improper)??;
        let trimmed = after.trim_start();
        // `1.2 - 2.3` is both ends of a range.
        if let Some(upper) = range_end(after, trimmed) {
            if [rest, upper].iter().any(|end| end.starts_with(['=', '!', '<', '>', '~', '^'])) {
                return Err(improper());
            }
            condition.operator = Operator::GreaterOrEqual;
            found.push(condition);
            let (mut upper, after) = self::condition(upper).ok_or_else(improper)??;
            upper.operator = Operator::LessOrEqual;
            found.push(upper);
            rest = after;
        } else {
            found.push(condition);
            rest = after;
        }
        let trimmed = rest.trim_start();
        if trimmed.is_empty() {
            return Ok(found);
        }
        match trimmed.strip_prefix(',') {
            Some(after) => rest = after.trim_start(),
            None if trimmed.len() < rest.len() => rest = trimmed,
            None => return Err(format!("improper constraint: {}", if whole.contains("||") { part } else { whole })),
        }
    }
}

fn range_end<'a>(after: &str, trimmed: &'a str) -> Option<&'a str> {
    let behind = trimmed.strip_prefix('-').filter(|_| trimmed.len() < after.len())?;
    let upper = behind.trim_start();
    (upper.len() < behind.len()).then_some(upper)
}

/// One condition off the front; `None` when there is no version.
fn condition(text: &str) -> Option<Result<(Condition, &str), String>> {
    let (operator, rest) = OPERATORS.iter().find_map(|(sign, op)| text.strip_prefix(sign).map(|rest| (*op, rest)))?;
    let parts = parts(rest.trim_start(), |c| c.is_ascii_digit() || matches!(c, 'x' | 'X' | '*' | '|'))?;
    let [major, minor, patch] = parts.places;
    let open = |place: &str| matches!(place, "" | "x" | "X" | "*");
    let suffix = if parts.prerelease.is_empty() { String::new() } else { format!("-{}", parts.prerelease) };
    let (text, open) = if open(major) {
        (format!("0.0.0{suffix}"), Open::Major)
    } else if open(minor) {
        (format!("{major}.0.0{suffix}"), Open::Minor)
    } else if open(patch) {
        (format!("{major}.{minor}.0{suffix}"), Open::Patch)
    } else {
        (format!("{major}.{minor}.{patch}{suffix}"), Open::No)
    };
    Some(match Version::parse(&text) {
        Ok(version) => Ok((Condition { operator, version, open }, parts.rest)),
        Err(_) => Err("constraint Parser Error".into()),
    })
}

impl Condition {
    fn holds(&self, v: &Version) -> bool {
        let c = &self.version;
        // Who does not ask for prereleases does not get them.
        let wanted = v.prerelease.is_empty() || !c.prerelease.is_empty();
        match self.operator {
            Operator::NotEqual => self.differs(v, wanted),
            _ if !wanted => false,
            Operator::Equal if self.open == Open::No => v.compare(c) == Ordering::Equal,
            Operator::Equal | Operator::Tilde => self.tilde(v),
            Operator::Greater => self.greater(v),
            Operator::Less => v.compare(c) == Ordering::Less,
            Operator::GreaterOrEqual => v.compare(c) != Ordering::Less,
            Operator::LessOrEqual if self.open == Open::No => v.compare(c) != Ordering::Greater,
            Operator::LessOrEqual => {
                v.major <= c.major && !(v.major == c.major && v.minor > c.minor && self.open != Open::Minor)
            }
            Operator::Caret => self.caret(v),
        }
    }

    fn differs(&self, v: &Version, wanted: bool) -> bool {
        let c = &self.version;
        if self.open == Open::No {
            return v.compare(c) != Ordering::Equal;
        }
        if !wanted {
            return false;
        }
        if c.major != v.major {
            return true;
        }
        match self.open {
            Open::Minor => false,
            _ if c.minor != v.minor => true,
            Open::Patch => compare_prerelease(&v.prerelease, &c.prerelease) != Ordering::Equal,
            _ => v.compare(c) != Ordering::Equal,
        }
    }

    fn greater(&self, v: &Version) -> bool {
        let c = &self.version;
        match self.open {
            Open::Minor => v.major > c.major,
            Open::Patch => v.major > c.major || v.major == c.major && v.minor > c.minor,
            Open::No | Open::Major => v.compare(c) == Ordering::Greater,
        }
    }

    fn tilde(&self, v: &Version) -> bool {
        let c = &self.version;
        if v.compare(c) == Ordering::Less {
            return false;
        }
        if (c.major, c.minor, c.patch) == (0, 0, 0) && !matches!(self.open, Open::Minor | Open::Patch) {
            return true;
        }
        v.major == c.major && (v.minor == c.minor || self.open == Open::Minor)
    }

    fn caret(&self, v: &Version) -> bool {
        let c = &self.version;
        if v.compare(c) == Ordering::Less {
            return false;
        }
        if c.major > 0 || self.open == Open::Minor {
            return v.major == c.major;
        }
        if v.major > 0 {
            return false;
        }
        if c.minor > 0 || self.open == Open::Patch {
            return v.minor == c.minor;
        }
        v.minor == 0 && c.patch == v.patch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(constraint: &str, version: &str) -> bool {
        Constraint::parse(constraint).unwrap().allows(&Version::parse(version).unwrap())
    }

    #[test]
    fn constraints_hold_as_the_library_has_it() {
        for (constraint, version, expected) in [
            (">=5.14", "5.14.0-427.el9", false),
            (">=5.14-0", "5.14.0-427.el9", true),
            ("^1.2", "1.9.0", true),
            ("^1.2", "2.0.0", false),
            ("^0.2.3", "0.2.9", true),
            ("^0.2.3", "0.3.0", false),
            ("^0.0.3", "0.0.4", false),
            ("~1.2.3", "1.2.9", true),
            ("~1.2.3", "1.3.0", false),
            ("~1", "1.9.0", true),
            ("*", "4.5.6", true),
            ("1.x", "1.5.0", true),
            ("1.2 - 1.4", "1.4.9", true),
            ("1.2 - 1.4.5", "1.4.6", false),
            (">1", "1.5.0", false),
            (">11.1", "11.2.0", true),
            ("<=1", "1.9.0", true),
            ("!=1.x", "1.5.0", false),
            (">=1.0, <2 || >=3", "3.1.0", true),
            (">=1.0 <2", "2.5.0", false),
        ] {
            assert_eq!(allows(constraint, version), expected, "{constraint} {version}");
        }
    }

    #[test]
    fn nonsense_is_an_improper_constraint() {
        for text in ["", "abc", ">=", "1.2.3.4", ">1 &"] {
            assert!(Constraint::parse(text).is_err(), "{text}");
        }
    }
}
