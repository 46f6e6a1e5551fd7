//! Letters and words: upper and lower case one character at a time, camel, snake and kebab case, wrapping.

use std::sync::LazyLock;

use regex::Regex;

use super::arguments::{is_mark, size};
use crate::context::Context;
use crate::error::Failure;

/// One character to one character, as Go does: `ß` stays.
pub(super) fn upper(c: char) -> char {
    single(c, c.to_uppercase())
}

pub(super) fn lower(c: char) -> char {
    // The only letter whose lower case has two characters in full Unicode and one in Go.
    if c == 'İ' { 'i' } else { single(c, c.to_lowercase()) }
}

fn single(c: char, mut mapped: impl Iterator<Item = char>) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

/// Title case differs from upper case for four digraphs.
fn title_case(c: char) -> char {
    match c {
        'Ǆ' | 'ǅ' | 'ǆ' => 'ǅ',
        'Ǉ' | 'ǈ' | 'ǉ' => 'ǈ',
        'Ǌ' | 'ǋ' | 'ǌ' => 'ǋ',
        'Ǳ' | 'ǲ' | 'ǳ' => 'ǲ',
        c => upper(c),
    }
}

fn is_title(c: char) -> bool {
    matches!(c, 'ǅ' | 'ǈ' | 'ǋ' | 'ǲ')
}

/// Go's `strings.Title`: an apostrophe ends a word, an underscore does not.
pub(super) fn title(text: &str) -> String {
    let mut before = ' ';
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        out.push(if separates(before) { title_case(c) } else { c });
        before = c;
    }
    out
}

fn separates(c: char) -> bool {
    if c.is_ascii() { !c.is_ascii_alphanumeric() && c != '_' } else { !c.is_alphanumeric() && c.is_whitespace() }
}

pub(super) fn untitle(text: &str) -> String {
    let mut first = true;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        out.push(if first && !c.is_whitespace() { lower(c) } else { c });
        first = c.is_whitespace();
    }
    out
}

pub(super) fn swapcase(text: &str) -> String {
    let mut after_space = true;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        out.push(match c {
            c if is_upper(c) || is_title(c) => {
                after_space = false;
                lower(c)
            }
            c if is_lower(c) => {
                let swapped = if after_space { title_case(c) } else { upper(c) };
                after_space = false;
                swapped
            }
            c => {
                after_space = c.is_whitespace();
                c
            }
        });
    }
    out
}

/// Go's categories, which are narrower than the properties that `char` knows: `Ⅷ` has a lower case and is no letter.
fn is_in(c: char, category: &'static LazyLock<Option<Regex>>) -> bool {
    category.as_ref().is_some_and(|regex| regex.is_match(c.encode_utf8(&mut [0; 4])))
}

static UPPER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\p{Lu}").ok());
static LOWER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\p{Ll}").ok());
static LETTER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\p{L}").ok());
static PUNCTUATION: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\p{P}").ok());

fn is_upper(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_uppercase() } else { is_in(c, &UPPER) }
}

fn is_lower(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_lowercase() } else { is_in(c, &LOWER) }
}

fn is_letter(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_alphabetic() } else { is_in(c, &LETTER) }
}

fn is_punctuation(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_punctuation() && !"$+<=>^`|~".contains(c) } else { is_in(c, &PUNCTUATION) }
}

fn connects(c: char) -> bool {
    c == '-' || c == '_' || c.is_whitespace()
}

/// `boot_server` is `BootServer`; of several connectors in a row one stays, and capitals in a row become one word.
pub(super) fn camelcase(text: &str) -> String {
    let mut chars = text.chars();
    let mut out = String::with_capacity(text.len());
    let mut before = loop {
        match chars.next() {
            // Of connectors alone the last one comes twice.
            None => return out.chars().chain(text.chars().last()).collect(),
            Some(c) if connects(c) => out.push(c),
            Some(c) => break c,
        }
    };
    let mut shouting = is_upper(before);
    before = upper(before);
    for c in chars {
        let mut next = c;
        match (connects(before), connects(c)) {
            (true, true) => out.push(before),
            (true, false) => {
                shouting = is_upper(c);
                next = upper(c);
            }
            (false, _) => {
                if shouting && is_upper(c) {
                    next = lower(c);
                } else {
                    shouting = false;
                }
                out.push(before);
            }
        }
        before = next;
    }
    out.push(before);
    out
}

/// What a run of characters is, for `snakecase` and `kebabcase`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    Number,
    /// Begins with a capital.
    Upper,
    Letters,
    Connector,
    Punctuation,
    Other,
}

impl Run {
    /// Nothing is put before or after these.
    fn separates(self) -> bool {
        matches!(self, Self::Connector | Self::Punctuation)
    }

    fn sticks_to_number(self) -> bool {
        matches!(self, Self::Letters | Self::Number)
    }
}

/// Words in lower case with a connector between them. A number belongs to the word before it, unless small letters
/// follow it: `eth0_port`, but `slot_4ab`.
pub(super) fn separated(text: &str, connector: char) -> String {
    let chars: Vec<char> = text.chars().collect();
    let runs = runs(&chars);
    let mut out = String::with_capacity(text.len() + 4);
    let mut i = 0;
    while let Some((kind, run)) = runs.get(i) {
        push_run(&mut out, *kind, run, connector);
        i += 1;
        let number_follows = runs.get(i).filter(|(next, _)| *next == Run::Number);
        let glued = match kind {
            Run::Connector | Run::Punctuation => continue,
            Run::Number => true,
            _ => match number_follows {
                // The last run of all: a number at the end stays where it is.
                Some((_, digits)) => {
                    let after = runs.get(i + 1).map(|(k, _)| *k);
                    if after == Some(Run::Letters) {
                        out.push(connector);
                    }
                    push_run(&mut out, Run::Number, digits, connector);
                    i += 1;
                    after == Some(Run::Letters)
                }
                None => false,
            },
        };
        if glued {
            while let Some((next, run)) = runs.get(i).filter(|(next, _)| next.sticks_to_number()) {
                push_run(&mut out, *next, run, connector);
                i += 1;
            }
        }
        if runs.get(i).is_some_and(|(next, _)| !next.separates()) {
            out.push(connector);
        }
    }
    out
}

fn push_run(out: &mut String, kind: Run, run: &[char], connector: char) {
    for c in run {
        out.push(match kind {
            Run::Connector => connector,
            Run::Upper if is_upper(*c) => lower(*c),
            _ => *c,
        });
    }
}

/// A byte that is no text belongs to the word of the letter behind it; at the end, to that of the letter before.
fn with_neighbours(chars: &[char]) -> Vec<char> {
    let mut neighbour = chars.iter().rev().copied().find(|c| !is_mark(*c)).unwrap_or('a');
    let mut out: Vec<char> = Vec::with_capacity(chars.len());
    for c in chars.iter().rev() {
        if !is_mark(*c) {
            neighbour = *c;
        }
        out.push(neighbour);
    }
    out.reverse();
    out
}

fn runs(chars: &[char]) -> Vec<(Run, &[char])> {
    let seen = with_neighbours(chars);
    let mut rest = chars;
    let cut = |(kind, run): (Run, &[char])| {
        let (head, tail) = rest.split_at_checked(run.len()).unwrap_or((rest, &[]));
        rest = tail;
        (kind, head)
    };
    runs_of_letters(&seen).into_iter().map(cut).collect()
}

fn runs_of_letters(chars: &[char]) -> Vec<(Run, &[char])> {
    let mut out = Vec::new();
    let mut left = chars;
    while let Some((first, tail)) = left.split_first() {
        let kind = kind_of(*first);
        let more = tail.iter().take_while(|c| kind_of(**c) == kind).count();
        let len = match kind {
            // `HTTPServer` is `HTTP` and `Server`: the last capital begins the next word.
            Run::Upper if more > 0 => {
                let next = left.get(more + 1).map(|c| kind_of(*c));
                if next == Some(Run::Letters) { more } else { more + 1 }
            }
            Run::Upper => 1 + tail.iter().take_while(|c| kind_of(**c) == Run::Letters).count(),
            // A connector is punctuation too, where it does not come first.
            Run::Punctuation => 1 + tail.iter().take_while(|c| is_punctuation(**c)).count(),
            _ => more + 1,
        };
        let (run, after) = left.split_at(len.max(1).min(left.len()));
        out.push((kind, run));
        left = after;
    }
    out
}

fn kind_of(c: char) -> Run {
    match c {
        c if connects(c) => Run::Connector,
        c if is_punctuation(c) => Run::Punctuation,
        c if is_upper(c) => Run::Upper,
        '\u{3400}'..='\u{4d85}' | '\u{4e00}'..='\u{9fcc}' | '\u{20000}'..='\u{2b81d}' => Run::Other,
        c if is_letter(c) => Run::Letters,
        c if c.is_numeric() => Run::Number,
        _ => Run::Other,
    }
}

/// Breaks at spaces so that lines have at most `width` bytes; words that are longer are cut only if `cut_words`.
pub(super) fn wrap(
    text: &[u8],
    width: i64,
    line: &[u8],
    cut_words: bool,
    cx: &Context<'_>,
) -> Result<Vec<u8>, Failure> {
    let width = size(width).unwrap_or(1).max(1);
    cx.fuel.bytes(text.len() + (text.len() / width + 1).saturating_mul(line.len()))?;
    let mut out = Vec::with_capacity(text.len());
    let mut left = text;
    while left.len() > width {
        if left.first() == Some(&b' ') {
            left = left.get(1..).unwrap_or_default();
            continue;
        }
        let window = left.get(..=width).unwrap_or(left);
        let space = window.iter().rposition(|b| *b == b' ');
        let (end, skip) = match space {
            Some(at) => (at, 1),
            None if cut_words => (width, 0),
            None => match left.iter().skip(width).position(|b| *b == b' ') {
                Some(at) => (width + at, 1),
                None => break,
            },
        };
        out.extend_from_slice(left.get(..end).unwrap_or_default());
        out.extend_from_slice(line);
        left = left.get(end + skip..).unwrap_or_default();
    }
    out.extend_from_slice(left);
    Ok(out)
}
