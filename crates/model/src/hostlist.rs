//! Hostlists: `n[01-03,05]` to names, and names to `n[01-03,05]`.

use std::collections::BTreeMap;

/// How many names one command may mean.
const MOST: usize = 1_000_000;

/// The names that `patterns` mean, in order, doubles kept.
///
/// Commas outside brackets separate; several brackets multiply, the last fastest; the width is that of the range's first
/// number. A reversed range gives nothing. Anything else in a bracket stops that round of expansion and leaves every
/// word as it was, as stock does.
pub fn expand<S: AsRef<str>>(patterns: &[S]) -> Vec<String> {
    let mut words: Vec<String> = patterns.iter().flat_map(|pattern| split(pattern.as_ref())).collect();
    while words.iter().any(|word| first_bracket(word).is_some()) {
        let Some(next) = round(&words) else { return words };
        words = next;
    }
    words
}

/// Splits at commas outside brackets.
fn split(pattern: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut inside = false;
    for letter in pattern.chars() {
        match letter {
            '[' => inside = true,
            ']' => inside = false,
            _ => {}
        }
        match words.last_mut() {
            Some(word) if letter != ',' || inside => word.push(letter),
            _ => words.push(String::new()),
        }
    }
    words
}

/// Around the first bracket: before, inside, after.
fn first_bracket(word: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = word.split_once('[')?;
    let (inside, after) = rest.split_once(']')?;
    Some((before, inside, after))
}

/// Expands the first bracket of every word; None when one of them holds junk, or too much.
fn round(words: &[String]) -> Option<Vec<String>> {
    let mut out = Vec::new();
    for word in words {
        let Some((before, inside, after)) = first_bracket(word) else {
            out.push(word.clone());
            continue;
        };
        for part in inside.split(',') {
            for number in numbers(part)? {
                out.push(format!("{before}{number}{after}"));
            }
            if out.len() > MOST {
                return None;
            }
        }
    }
    Some(out)
}

/// The numbers of one part of a bracket, padded; None for junk.
fn numbers(part: &str) -> Option<Vec<String>> {
    if part.is_empty() {
        return Some(vec![String::new()]);
    }
    let whole = |text: &str| -> Option<u64> {
        if text.chars().all(|letter| letter.is_ascii_digit()) { text.parse().ok() } else { None }
    };
    let ends: Vec<&str> = part.split('-').collect();
    match ends.as_slice() {
        [one] => whole(one).map(|_| vec![(*one).to_owned()]),
        [first, last] => {
            if last.is_empty() {
                return whole(first).map(|_| Vec::new());
            }
            let (from, to) = (if first.is_empty() { 0 } else { whole(first)? }, whole(last)?);
            if to.saturating_sub(from) > MOST as u64 {
                return None;
            }
            Some((from..=to).map(|number| format!("{number:0width$}", width = first.len())).collect())
        }
        // Three ends and more are no range at all, whatever they hold.
        _ => Some(Vec::new()),
    }
}

/// The names, written as short as hostlists can: `n[1-3,5],x`.
pub fn fold<S: AsRef<str>>(names: &[S]) -> String {
    // Names that differ in one number, of one width, stand together; the last number of a name counts.
    let mut groups: BTreeMap<(String, String, usize), Vec<u64>> = BTreeMap::new();
    let mut plain = Vec::new();
    for name in names {
        let name = name.as_ref();
        match last_number(name) {
            Some((before, digits, after)) => {
                let width = if digits.starts_with('0') { digits.len() } else { 0 };
                match digits.parse() {
                    Ok(number) => groups.entry((before.into(), after.into(), width)).or_default().push(number),
                    Err(_) => plain.push(name.to_owned()),
                }
            }
            None => plain.push(name.to_owned()),
        }
    }
    for ((before, after, width), mut numbers) in groups {
        numbers.sort_unstable();
        numbers.dedup();
        if let [only] = numbers.as_slice() {
            plain.push(format!("{before}{only:0width$}{after}"));
        } else {
            plain.push(format!("{before}[{}]{after}", runs(&numbers, width)));
        }
    }
    plain.sort();
    plain.dedup();
    plain.join(",")
}

fn last_number(name: &str) -> Option<(&str, &str, &str)> {
    let end = name.rfind(|letter: char| letter.is_ascii_digit())? + 1;
    let (head, after) = name.split_at(end);
    let start = head
        .rfind(|letter: char| !letter.is_ascii_digit())
        .map_or(0, |at| at + head.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8));
    let (before, digits) = head.split_at(start);
    Some((before, digits, after))
}

fn runs(numbers: &[u64], width: usize) -> String {
    let mut parts: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => parts.push((*number, *number)),
        }
    }
    let written = parts.iter().map(|(first, last)| match first == last {
        true => format!("{first:0width$}"),
        false => format!("{first:0width$}-{last:0width$}"),
    });
    written.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_expand_as_stock_expands_them() {
        let table: [(&str, &[&str]); 16] = [
            ("n1", &["n1"]),
            ("n[1-3]", &["n1", "n2", "n3"]),
            ("n[001-003]", &["n001", "n002", "n003"]),
            ("n[1-003]", &["n1", "n2", "n3"]),
            ("n[1-2,07,10-11]", &["n1", "n2", "n07", "n10", "n11"]),
            ("a[1-2]b[3-4]", &["a1b3", "a1b4", "a2b3", "a2b4"]),
            ("n[1-2].x,y", &["n1.x", "n2.x", "y"]),
            ("n[3-1]", &[]),
            ("n[3-]", &[]),
            ("n[1-2-3]", &[]),
            ("n[-2]", &["n0", "n1", "n2"]),
            ("n[1-[2-3]]", &[]),
            ("n[]", &["n"]),
            ("n[1,]", &["n1", "n"]),
            ("a,", &["a", ""]),
            ("n[x],m[1-2]", &["n[x]", "m[1-2]"]),
        ];
        for (pattern, names) in table {
            assert_eq!(expand(&[pattern]), names, "{pattern}");
        }
    }

    #[test]
    fn names_fold_to_the_shortest_list() {
        let table: [(&[&str], &str); 6] = [
            (&["n1", "n2", "n3", "n5"], "n[1-3,5]"),
            (&["n1"], "n1"),
            (&["n01", "n02", "n10"], "n10,n[01-02]"),
            (&["a1b1", "a1b2"], "a1b[1-2]"),
            (&["x", "n2", "n1"], "n[1-2],x"),
            (&[], ""),
        ];
        for (names, short) in table {
            assert_eq!(fold(names), short);
        }
    }
}
