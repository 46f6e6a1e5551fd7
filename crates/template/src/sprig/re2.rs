//! Go's regular expressions on top of the crate `regex`: the same engine family, but other corners of syntax. A pattern
//! is rewritten once; what Go refuses is refused.

mod translate;

use std::sync::Arc;

use regex::bytes::{Captures, Match, Regex};

use translate::Translation;

use crate::error::Failure;

/// A compiled pattern. Clones share what it remembers while it searches; a clone of `Regex` would begin anew.
#[derive(Clone, Debug)]
pub struct Re2(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    regex: Regex,
    /// The names of the groups from 1 on. Go lets several have one name.
    names: Vec<Option<String>>,
    /// Go's Split asks whether the pattern was empty.
    empty: bool,
    weight: usize,
}

/// Most memory that a compiled pattern may take, bytes: a template is no place for more.
const SIZE_LIMIT: usize = 4 << 20;
/// Most memory that its searches may keep for each thread, bytes; with less they are slower, never wrong.
const SEARCH_LIMIT: usize = 256 << 10;

impl Re2 {
    /// Compiles a pattern written for Go (RE2 syntax: no look-around, no back references; `\d \w \s \b` are ASCII).
    ///
    /// `pay` is asked for [`Re2::weight`] before the work is done.
    ///
    /// # Errors
    /// `error parsing regexp: ...`, with the part at fault, and what `pay` gives.
    pub fn compile(pattern: &str, pay: impl FnOnce(usize) -> Result<(), Failure>) -> Result<Re2, Failure> {
        let Translation { out: translated, names, weight, .. } = Translation::of(pattern)?;
        let weight = weight.max(pattern.len());
        pay(weight)?;
        let regex = regex::bytes::RegexBuilder::new(&translated)
            .size_limit(SIZE_LIMIT)
            .dfa_size_limit(SEARCH_LIMIT)
            .build()
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => {
                    format!("error parsing regexp: expression too large: `{pattern}`")
                }
                _ => format!("error parsing regexp: invalid syntax: `{pattern}`"),
            })?;
        Ok(Re2(Arc::new(Compiled { regex, names, empty: pattern.is_empty(), weight })))
    }

    /// How many letters it would have, were all repetitions written out.
    pub fn weight(&self) -> usize {
        self.0.weight
    }

    /// Whether it matches anywhere.
    pub fn matches(&self, text: &str) -> bool {
        self.0.regex.is_match(text.as_bytes()) && self.found(text).next().is_some()
    }

    /// The leftmost match.
    pub fn find<'t>(&self, text: &'t str) -> Option<&'t str> {
        self.found(text).next().map(|found| part(text, found.start(), found.end()))
    }

    /// All matches. `\B` is ASCII's, and would hold inside of a character too.
    fn found<'t>(&self, text: &'t str) -> impl Iterator<Item = Match<'t>> {
        self.0.regex.find_iter(text.as_bytes()).filter(move |found| !splits(text, found))
    }

    /// How many matches there are.
    pub fn count(&self, text: &str) -> usize {
        self.found(text).count()
    }

    /// The first `most` matches; all of them when it is negative.
    pub fn find_all<'t>(&self, text: &'t str, most: i64) -> Vec<&'t str> {
        self.found(text).take(limit(most)).map(|found| part(text, found.start(), found.end())).collect()
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
        for groups in self.0.regex.captures_iter(text.as_bytes()) {
            let Some(whole) = groups.get(0).filter(|whole| !splits(text, whole)) else { continue };
            out.push_str(text.get(end..whole.start()).unwrap_or(""));
            self.expand(&mut out, replacement, (text, &groups), &mut pay)?;
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
        for found in self.found(text) {
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
        if !self.0.empty && text.is_empty() {
            return vec![""];
        }
        let mut pieces = Vec::new();
        let (mut begin, mut end) = (0, 0);
        for found in self.found(text).take(limit(most)) {
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
        (text, groups): (&str, &Captures<'_>),
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
            let found = group.map_or("", |found| part(text, found.start(), found.end()));
            pay(found.len())?;
            out.push_str(found);
            rest = after;
        }
        out.push_str(rest);
        Ok(())
    }

    /// The first group of that name that took part.
    fn named<'t>(&self, name: &str, groups: &Captures<'t>) -> Option<Match<'t>> {
        let numbered = self.0.names.iter().enumerate();
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

fn splits(text: &str, found: &Match<'_>) -> bool {
    found.is_empty() && !text.is_char_boundary(found.start())
}

fn part(text: &str, start: usize, end: usize) -> &str {
    text.get(start..end).unwrap_or("")
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn compiled(pattern: &str) -> Result<Re2, Failure> {
        Re2::compile(pattern, |_| Ok(()))
    }

    fn found(pattern: &str, text: &str) -> Option<String> {
        compiled(pattern).unwrap().find(text).map(String::from)
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
            assert!(compiled(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn a_replacement_takes_the_longest_name() {
        let re = compiled("(a)(b)").unwrap();
        let free = |_| Ok::<(), ()>(());
        assert_eq!(re.replace_all("ab", "$1x|${1}x|$$|$2|$", free).unwrap(), "|ax|$|b|$");
        assert_eq!(re.replace_all_literal("ab", "$1", free).unwrap(), "$1");
    }

    #[test]
    fn split_counts_like_go() {
        let re = compiled("a").unwrap();
        assert_eq!(re.split("banana", -1), ["b", "n", "n", ""]);
        assert_eq!(re.split("banana", 2), ["b", "nana"]);
        assert!(re.split("banana", 0).is_empty());
        assert_eq!(compiled("z+").unwrap().split("pizza", -1), ["pi", "a"]);
    }

    proptest! {
        #[test]
        fn no_pattern_brings_it_down(pattern in "\\PC{0,24}", text in "\\PC{0,24}") {
            if let Ok(re) = compiled(&pattern) {
                let _ = re.find_all(&text, -1);
                let _ = re.replace_all(&text, "$1${2}$x", |_| Ok::<(), ()>(()));
                let _ = re.split(&text, -1);
            }
        }
    }
}
