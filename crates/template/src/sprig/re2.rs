//! Go's regular expressions on top of the crate `regex`: the same engine family, but other corners of syntax. A pattern
//! is rewritten once; what Go refuses is refused.

use std::sync::Arc;

use regex::Regex;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Re2 {
    regex: Regex,
    /// The names of the groups from 1 on. Go lets several have one name.
    names: Arc<[Option<String>]>,
    /// Go's Split asks whether the pattern was empty.
    empty: bool,
}

/// Most memory that a compiled pattern may take, bytes: a template is no place for more.
const SIZE_LIMIT: usize = 4 << 20;
/// RE2's own limit for a counted repetition.
const MOST_REPEATS: u32 = 1000;
/// The names between `[:` and `:]`.
const ASCII_CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
    "xdigit",
];
/// Nesting that Go's parser accepts.
const DEEPEST: usize = 1000;

impl Re2 {
    /// Compiles a pattern written for Go (RE2 syntax: no look-around, no back references; `\d \w \s \b` are ASCII).
    ///
    /// # Errors
    /// `error parsing regexp: ...`, with the part at fault.
    pub fn compile(pattern: &str) -> Result<Re2, String> {
        let (translated, names) = Translation::of(pattern)?;
        let regex =
            regex::RegexBuilder::new(&translated).size_limit(SIZE_LIMIT).build().map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => format!("error parsing regexp: expression too large: `{pattern}`"),
                _ => format!("error parsing regexp: invalid syntax: `{pattern}`"),
            })?;
        Ok(Re2 { regex, names: names.into(), empty: pattern.is_empty() })
    }

    /// Whether it matches anywhere.
    pub fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// The leftmost match.
    pub fn find<'t>(&self, text: &'t str) -> Option<&'t str> {
        self.regex.find(text).map(|found| found.as_str())
    }

    /// How many matches there are.
    pub fn count(&self, text: &str) -> usize {
        self.regex.find_iter(text).count()
    }

    /// The first `most` matches; all of them when it is negative.
    pub fn find_all<'t>(&self, text: &'t str, most: i64) -> Vec<&'t str> {
        self.regex.find_iter(text).take(limit(most)).map(|found| found.as_str()).collect()
    }

    /// Every match replaced; `$1`, `${1}`, `$name` stand for groups, `$$` for a dollar sign. `pay` is asked for each
    /// piece before it is made.
    ///
    /// # Errors
    /// What `pay` gives.
    pub fn replace_all<E>(
        &self,
        text: &str,
        replacement: &str,
        mut pay: impl FnMut(usize) -> Result<(), E>,
    ) -> Result<String, E> {
        let mut out = String::new();
        let mut end = 0;
        for groups in self.regex.captures_iter(text) {
            let Some(whole) = groups.get(0) else { continue };
            out.push_str(text.get(end..whole.start()).unwrap_or(""));
            self.expand(&mut out, replacement, &groups, &mut pay)?;
            end = whole.end();
        }
        out.push_str(text.get(end..).unwrap_or(""));
        Ok(out)
    }

    /// Every match replaced by the text as it stands.
    ///
    /// # Errors
    /// What `pay` gives.
    pub fn replace_all_literal<E>(
        &self,
        text: &str,
        replacement: &str,
        mut pay: impl FnMut(usize) -> Result<(), E>,
    ) -> Result<String, E> {
        let mut out = String::new();
        let mut end = 0;
        for found in self.regex.find_iter(text) {
            pay(replacement.len())?;
            out.push_str(text.get(end..found.start()).unwrap_or(""));
            out.push_str(replacement);
            end = found.end();
        }
        out.push_str(text.get(end..).unwrap_or(""));
        Ok(out)
    }

    /// The pieces between matches, at most `most` of them; all when it is negative, none when it is 0.
    pub fn split<'t>(&self, text: &'t str, most: i64) -> Vec<&'t str> {
        if most == 0 {
            return Vec::new();
        }
        if !self.empty && text.is_empty() {
            return vec![""];
        }
        let mut pieces = Vec::new();
        let (mut begin, mut end) = (0, 0);
        for found in self.regex.find_iter(text).take(limit(most)) {
            if most > 0 && i64::try_from(pieces.len()).is_ok_and(|n| n == most - 1) {
                break;
            }
            end = found.start();
            if found.end() != 0 {
                pieces.push(text.get(begin..end).unwrap_or(""));
            }
            begin = found.end();
        }
        if end != text.len() {
            pieces.push(text.get(begin..).unwrap_or(""));
        }
        pieces
    }

    /// The groups' texts put into a replacement, by the rules of Go's `Regexp.Expand`.
    fn expand<E>(
        &self,
        out: &mut String,
        replacement: &str,
        groups: &regex::Captures<'_>,
        pay: &mut impl FnMut(usize) -> Result<(), E>,
    ) -> Result<(), E> {
        pay(replacement.len())?;
        let mut rest = replacement;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            if let Some(after) = after.strip_prefix('$') {
                out.push('$');
                rest = after;
                continue;
            }
            let Some((name, after)) = group_name(after) else {
                out.push('$');
                rest = after;
                continue;
            };
            // A number does not begin with a zero; with one it is a name.
            let number = name.parse::<usize>().ok().filter(|n| *n == 0 || !name.starts_with('0'));
            let group = match number {
                Some(number) => groups.get(number),
                None => self.named(name, groups),
            };
            let found = group.map_or("", |found| found.as_str());
            pay(found.len())?;
            out.push_str(found);
            rest = after;
        }
        out.push_str(rest);
        Ok(())
    }

    /// The first group of that name that took part.
    fn named<'t>(&self, name: &str, groups: &regex::Captures<'t>) -> Option<regex::Match<'t>> {
        let numbered = self.names.iter().enumerate();
        numbered.filter(|(_, own)| own.as_deref() == Some(name)).find_map(|(i, _)| groups.get(i + 1))
    }
}

/// Puts a backslash before everything that means something in a pattern.
pub fn quote_meta(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for c in text.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted
}

fn limit(most: i64) -> usize {
    usize::try_from(most).unwrap_or(usize::MAX)
}

fn group_name(text: &str) -> Option<(&str, &str)> {
    let (braced, body) = match text.strip_prefix('{') {
        Some(body) => (true, body),
        None => (false, text),
    };
    let end = body.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(body.len());
    let (name, after) = body.split_at(end);
    if name.is_empty() {
        return None;
    }
    if braced { after.strip_prefix('}').map(|after| (name, after)) } else { Some((name, after)) }
}

/// What an operator `*` would repeat.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    Something,
    /// A repetition: another one is refused.
    Repeated,
}

struct Translation<'p> {
    pattern: &'p str,
    rest: std::iter::Peekable<std::str::CharIndices<'p>>,
    out: String,
    names: Vec<Option<String>>,
    before: Before,
    depth: usize,
}

impl<'p> Translation<'p> {
    /// The pattern for the crate, and the names of its groups.
    fn of(pattern: &'p str) -> Result<(String, Vec<Option<String>>), String> {
        let mut this = Translation {
            pattern,
            rest: pattern.char_indices().peekable(),
            out: String::with_capacity(pattern.len() + 16),
            names: Vec::new(),
            before: Before::Nothing,
            depth: 0,
        };
        while let Some((at, c)) = this.rest.next() {
            this.one(at, c)?;
        }
        if this.depth > 0 {
            return Err(format!("error parsing regexp: missing closing ): `{pattern}`"));
        }
        Ok((this.out, this.names))
    }

    fn one(&mut self, at: usize, c: char) -> Result<(), String> {
        match c {
            '\\' => self.escape(at)?,
            '[' => self.class(at)?,
            '(' => return self.open(at),
            ')' => {
                self.depth = self
                    .depth
                    .checked_sub(1)
                    .ok_or_else(|| format!("error parsing regexp: unexpected ): `{}`", self.pattern))?;
                self.out.push(')');
            }
            '|' => {
                self.out.push('|');
                self.before = Before::Nothing;
                return Ok(());
            }
            '*' | '+' | '?' => return self.repeat(at, &c.to_string()),
            '{' => match self.counted(at)? {
                Some(counted) => return self.repeat(at, &counted),
                None => self.out.push_str("\\{"),
            },
            '}' | ']' => {
                self.out.push('\\');
                self.out.push(c);
            }
            _ => self.out.push(c),
        }
        self.before = Before::Something;
        Ok(())
    }

    fn repeat(&mut self, at: usize, operator: &str) -> Result<(), String> {
        let text = self.pattern.get(at..).unwrap_or("");
        match self.before {
            Before::Nothing => {
                return Err(format!("error parsing regexp: missing argument to repetition operator: `{operator}`"));
            }
            Before::Repeated => {
                return Err(format!("error parsing regexp: invalid nested repetition operator: `{text}`"));
            }
            Before::Something => {}
        }
        self.out.push_str(operator);
        if self.rest.next_if(|(_, c)| *c == '?').is_some() {
            self.out.push('?');
        }
        self.before = Before::Repeated;
        Ok(())
    }

    /// `{2}`, `{2,}`, `{2,5}` behind the brace; anything else is plain text for Go.
    fn counted(&mut self, at: usize) -> Result<Option<String>, String> {
        let body = self.pattern.get(at + 1..).unwrap_or("");
        let Some((inside, _)) = body.split_once('}') else { return Ok(None) };
        let (least, most) = inside.split_once(',').map_or((inside, None), |(least, most)| (least, Some(most)));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(least) || most.is_some_and(|most| !most.is_empty() && !digits(most)) {
            return Ok(None);
        }
        // Too many digits for a number is too large as well.
        let number = |text: &str| text.parse::<u32>().unwrap_or(u32::MAX);
        let last = most.filter(|most| !most.is_empty()).map(number);
        if number(least) > MOST_REPEATS || last.is_some_and(|last| last > MOST_REPEATS || last < number(least)) {
            return Err(format!("error parsing regexp: invalid repeat count: `{{{inside}}}`"));
        }
        for _ in 0..=inside.chars().count() {
            self.rest.next();
        }
        Ok(Some(format!("{{{inside}}}")))
    }

    fn open(&mut self, at: usize) -> Result<(), String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(format!("error parsing regexp: expression nests too deeply: `{}`", self.pattern));
        }
        self.out.push('(');
        self.before = Before::Nothing;
        if self.rest.next_if(|(_, c)| *c == '?').is_none() {
            self.names.push(None);
            return Ok(());
        }
        let head = self.pattern.get(at + 2..).unwrap_or("");
        let end = head.find([':', ')', '>']).unwrap_or(head.len());
        let (inside, closed) = (head.get(..end).unwrap_or(""), head.get(end..end + 1).unwrap_or(""));
        let named = inside.strip_prefix("P<").or_else(|| inside.strip_prefix('<'));
        let good = match (named, closed) {
            (Some(name), ">") => !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'),
            // Flags that Go knows; the crate's own x, u and R are nothing to a template.
            (None, ":" | ")") => inside.chars().all(|c| "imsU-".contains(c)),
            _ => false,
        };
        if !good {
            let upto = head.get(..end + closed.len()).unwrap_or("");
            return Err(format!("error parsing regexp: invalid or unsupported Perl syntax: `(?{upto}`"));
        }
        if closed == ")" {
            self.depth -= 1;
        }
        if let Some(name) = named {
            self.names.push(Some(name.to_owned()));
        } else {
            self.out.push('?');
            self.out.push_str(inside);
            self.out.push_str(closed);
        }
        for _ in 0..inside.chars().count() + 1 {
            self.rest.next();
        }
        Ok(())
    }

    fn escape(&mut self, at: usize) -> Result<(), String> {
        let Some((_, c)) = self.rest.next() else {
            return Err("error parsing regexp: trailing backslash at end of expression: ``".into());
        };
        match c {
            'd' => self.out.push_str("[0-9]"),
            'D' => self.out.push_str("[^0-9]"),
            'w' => self.out.push_str("[0-9A-Za-z_]"),
            'W' => self.out.push_str("[^0-9A-Za-z_]"),
            's' => self.out.push_str(r"[\t\n\x0C\r ]"),
            'S' => self.out.push_str(r"[^\t\n\x0C\r ]"),
            'b' => self.out.push_str(r"(?-u:\b)"),
            'A' | 'z' | 'B' => self.out.extend(['\\', c]),
            'Q' => self.quoted(),
            'p' | 'P' => {
                let property = self.property(at, c)?;
                self.out.push_str(&property);
            }
            _ => {
                let literal = self.literal(at, c)?;
                self.out.push_str(&hex(literal));
            }
        }
        Ok(())
    }

    /// `\Q...\E`: text as it stands.
    fn quoted(&mut self) {
        while let Some((at, c)) = self.rest.next() {
            if self.pattern.get(at..).is_some_and(|rest| rest.starts_with("\\E")) {
                self.rest.next();
                return;
            }
            self.out.push_str(&hex(c));
        }
    }

    /// `\pL`, `\p{Greek}` or, which is the same as `\P{Greek}`, `\p{^Greek}`; `p` is the letter behind the backslash.
    fn property(&mut self, at: usize, p: char) -> Result<String, String> {
        let text = self.pattern.get(at + 2..).unwrap_or("");
        let name = match text.strip_prefix('{') {
            Some(body) => body.split_once('}').map(|(name, _)| format!("{{{name}}}")),
            None => text.chars().next().map(|c| c.to_string()),
        };
        let name = name.ok_or_else(|| format!("error parsing regexp: invalid character class range: `{text}`"))?;
        for _ in name.chars() {
            self.rest.next();
        }
        Ok(match (p, name.strip_prefix("{^")) {
            ('p', Some(positive)) => format!("\\P{{{positive}"),
            (_, Some(positive)) => format!("\\p{{{positive}"),
            (p, None) => format!("\\{p}{name}"),
        })
    }

    /// An escape that stands for one character; `c` is the letter behind the backslash at `at`.
    fn literal(&mut self, at: usize, c: char) -> Result<char, String> {
        let invalid = |upto: &str| format!("error parsing regexp: invalid escape sequence: `\\{upto}`");
        Ok(match c {
            'a' => '\u{7}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            'x' => self.hexadecimal().ok_or_else(|| invalid("x"))?,
            '0'..='7' => {
                let digits: String = self
                    .pattern
                    .get(at + 1..)
                    .unwrap_or("")
                    .chars()
                    .take(3)
                    .take_while(|c| ('0'..='7').contains(c))
                    .collect();
                // A single digit but 0 would be a back reference, which RE2 does not have.
                if c != '0' && digits.len() < 2 {
                    return Err(invalid(&digits));
                }
                for _ in 1..digits.len() {
                    self.rest.next();
                }
                u32::from_str_radix(&digits, 8).ok().and_then(char::from_u32).ok_or_else(|| invalid(&digits))?
            }
            _ if c.is_ascii() && !c.is_ascii_alphanumeric() => c,
            _ => return Err(invalid(&c.to_string())),
        })
    }

    fn hexadecimal(&mut self) -> Option<char> {
        let digits: String = if self.rest.next_if(|(_, c)| *c == '{').is_some() {
            let mut digits = String::new();
            loop {
                match self.rest.next()?.1 {
                    '}' => break digits,
                    c => digits.push(c),
                }
            }
        } else {
            [self.rest.next()?.1, self.rest.next()?.1].iter().collect()
        };
        let sound = digits.bytes().all(|b| b.is_ascii_hexdigit());
        u32::from_str_radix(&digits, 16).ok().filter(|_| sound).and_then(char::from_u32)
    }

    /// A bracketed class. The crate knows set operations and nesting inside brackets; Go does not.
    fn class(&mut self, at: usize) -> Result<(), String> {
        let missing = || format!("error parsing regexp: missing closing ]: `{}`", self.pattern.get(at..).unwrap_or(""));
        let missing = missing();
        self.out.push('[');
        if self.rest.next_if(|(_, c)| *c == '^').is_some() {
            self.out.push('^');
        }
        let mut first = true;
        loop {
            let (at, c) = self.rest.next().ok_or_else(|| missing.clone())?;
            let low = match c {
                ']' if !first => break,
                '[' if self.pattern.get(at..).is_some_and(|rest| rest.starts_with("[:")) => {
                    let name =
                        self.pattern.get(at..).and_then(|rest| rest.find(":]").and_then(|end| rest.get(..end + 2)));
                    let name = name.ok_or_else(|| missing.clone())?;
                    if !ASCII_CLASSES.contains(&name.trim_matches(['[', ':', '^', ']'])) {
                        return Err(format!("error parsing regexp: invalid character class range: `{name}`"));
                    }
                    self.out.push_str(name);
                    for _ in 1..name.chars().count() {
                        self.rest.next();
                    }
                    None
                }
                '\\' => self.class_escape(at)?,
                c => Some(c),
            };
            first = false;
            if let Some(low) = low {
                self.range_from(at, low, &missing)?;
            }
        }
        self.out.push(']');
        Ok(())
    }

    /// A character of a class, or the range that it begins.
    fn range_from(&mut self, at: usize, low: char, missing: &str) -> Result<(), String> {
        self.out.push_str(&hex(low));
        let mut ahead = self.rest.clone();
        let is_range = ahead.next().is_some_and(|(_, c)| c == '-') && ahead.next().is_some_and(|(_, c)| c != ']');
        if !is_range {
            return Ok(());
        }
        self.rest.next();
        let (next, c) = self.rest.next().ok_or(missing)?;
        let high = if c == '\\' {
            let (_, c) = self.rest.next().ok_or("error parsing regexp: trailing backslash at end of expression: ``")?;
            self.literal(next, c)?
        } else {
            c
        };
        if high < low {
            let end = self.rest.peek().map_or(self.pattern.len(), |(end, _)| *end);
            let range = self.pattern.get(at..end).unwrap_or("");
            return Err(format!("error parsing regexp: invalid character class range: `{range}`"));
        }
        self.out.push('-');
        self.out.push_str(&hex(high));
        Ok(())
    }

    /// A class of characters, or the one character that is given back.
    fn class_escape(&mut self, at: usize) -> Result<Option<char>, String> {
        let Some((_, c)) = self.rest.next() else {
            return Err("error parsing regexp: trailing backslash at end of expression: ``".into());
        };
        match c {
            'd' => self.out.push_str("0-9"),
            'w' => self.out.push_str("0-9A-Za-z_"),
            's' => self.out.push_str(r"\t\n\x0C\r\x20"),
            'D' => self.out.push_str("[^0-9]"),
            'W' => self.out.push_str("[^0-9A-Za-z_]"),
            'S' => self.out.push_str(r"[^\t\n\x0C\r\x20]"),
            'p' | 'P' => {
                let property = self.property(at, c)?;
                self.out.push_str(&property);
            }
            _ => return self.literal(at, c).map(Some),
        }
        Ok(None)
    }
}

/// A character that means nothing but itself, inside a class and outside.
fn hex(c: char) -> String {
    if c.is_alphanumeric() { c.to_string() } else { format!("\\x{{{:X}}}", u32::from(c)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(pattern: &str, text: &str) -> Option<String> {
        Re2::compile(pattern).unwrap().find(text).map(String::from)
    }

    #[test]
    fn classes_are_ascii_and_brackets_hold_no_set_operations() {
        assert_eq!(found(r"\d+", "٣4"), Some("4".into()));
        assert_eq!(found(r"[a&&b]+", "x&b"), Some("&b".into()));
        assert_eq!(found(r"[[:alpha:]_-]+", "1a-_b2"), Some("a-_b".into()));
        assert_eq!(found(r"[]a]+", "x]a"), Some("]a".into()));
        assert_eq!(found(r"[a-c\d]+", "xb3"), Some("b3".into()));
        assert_eq!(found(r"\<a", "x<a"), Some("<a".into()));
        assert_eq!(found(r"\Qa.b\E+", "a.bbb"), Some("a.bbb".into()));
    }

    #[test]
    fn a_brace_that_counts_nothing_is_text() {
        assert_eq!(found("a{,2}", "a{,2}"), Some("a{,2}".into()));
        assert_eq!(found("x{", "x{"), Some("x{".into()));
        assert_eq!(found("a{2}", "aaa"), Some("aa".into()));
    }

    #[test]
    fn what_re2_refuses_is_refused() {
        for pattern in [
            "a++", "a**", "a{1001}", "a{3,2}", "*", "(", ")", "[a", r"\", r"\1", r"\y", "(?=a)", "(?<!a)", "(?x)a",
            "|*",
        ] {
            assert!(Re2::compile(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn a_replacement_takes_the_longest_name() {
        let re = Re2::compile("(a)(b)").unwrap();
        let free = |_| Ok::<(), ()>(());
        assert_eq!(re.replace_all("ab", "$1x|${1}x|$$|$2|$", free).unwrap(), "|ax|$|b|$");
        assert_eq!(re.replace_all_literal("ab", "$1", free).unwrap(), "$1");
    }

    #[test]
    fn split_counts_like_go() {
        let re = Re2::compile("a").unwrap();
        assert_eq!(re.split("banana", -1), ["b", "n", "n", ""]);
        assert_eq!(re.split("banana", 2), ["b", "nana"]);
        assert!(re.split("banana", 0).is_empty());
        assert_eq!(Re2::compile("z+").unwrap().split("pizza", -1), ["pi", "a"]);
    }

    proptest! {
        #[test]
        fn no_pattern_brings_it_down(pattern in "\\PC{0,24}", text in "\\PC{0,24}") {
            if let Ok(re) = Re2::compile(&pattern) {
                let _ = re.find_all(&text, -1);
                let _ = re.replace_all(&text, "$1${2}$x", |_| Ok::<(), ()>(()));
                let _ = re.split(&text, -1);
            }
        }
    }
}
