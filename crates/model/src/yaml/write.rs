//! YAML in the letters of yaml.v3, and JSON in those of Go's encoder, so that what is written differs from stock's files
//! in nothing that a diff would show.

use super::order::by_name;
use super::scalar::any_of_plain;
use crate::node::Any;

/// What is to be written, in the order in which it is to stand.
#[derive(Clone, Debug, PartialEq)]
pub enum Doc {
    /// Text, quoted where it would read as something else.
    Text(String),
    /// Letters that need no quotes: numbers, truths, `null`.
    Word(String),
    Float(f64),
    List(Vec<Doc>),
    Map(Vec<(String, Doc)>),
}

impl Doc {
    /// A section without entries.
    pub fn empty() -> Doc {
        Doc::Map(Vec::new())
    }

    /// A section whose keys are free, in the order in which yaml.v3 writes them.
    pub fn named(entries: impl IntoIterator<Item = (String, Doc)>) -> Doc {
        let mut entries: Vec<(String, Doc)> = entries.into_iter().collect();
        entries.sort_by(|(left, _), (right, _)| by_name(left, right));
        Doc::Map(entries)
    }

    /// The value under a key.
    pub fn at(&self, key: &str) -> Option<&Doc> {
        match self {
            Doc::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }
}

impl From<&Any> for Doc {
    fn from(any: &Any) -> Doc {
        match any {
            Any::Null => Doc::Word("null".into()),
            Any::Bool(value) => Doc::Word(value.to_string()),
            Any::Int(value) => Doc::Word(value.to_string()),
            Any::Uint(value) => Doc::Word(value.to_string()),
            Any::Float(value) => Doc::Float(*value),
            Any::Text(text) => Doc::Text(text.clone()),
            Any::List(items) => Doc::List(items.iter().map(Doc::from).collect()),
            Any::Map(entries) => Doc::named(entries.iter().map(|(key, value)| (key.clone(), value.into()))),
        }
    }
}

/// The document in block notation, `width` blanks a level, the first line at level `level`; ends with a newline.
pub fn yaml(doc: &Doc, width: usize, level: usize) -> String {
    let mut out = String::new();
    match doc {
        Doc::Map(entries) if !entries.is_empty() => map(&mut out, entries, width, level * width),
        Doc::List(items) if !items.is_empty() => list(&mut out, items, width, level * width),
        other => {
            out.push_str(&inline(other, width, Some(width)));
            out.push('\n');
        }
    }
    out
}

fn map(out: &mut String, entries: &[(String, Doc)], width: usize, indent: usize) {
    for (index, (key, value)) in entries.iter().enumerate() {
        if index > 0 || out.is_empty() || out.ends_with('\n') {
            blanks(out, indent);
        }
        out.push_str(&self::key(key));
        out.push(':');
        after_key(out, value, width, indent);
    }
}

/// What follows `key:`, with the newline at its end.
fn after_key(out: &mut String, value: &Doc, width: usize, indent: usize) {
    match value {
        Doc::Map(entries) if !entries.is_empty() => {
            out.push('\n');
            map(out, entries, width, indent + width);
        }
        Doc::List(items) if !items.is_empty() => {
            out.push('\n');
            list(out, items, width, indent + width);
        }
        other => {
            out.push(' ');
            out.push_str(&inline(other, indent + width, Some(width)));
            out.push('\n');
        }
    }
}

fn list(out: &mut String, items: &[Doc], width: usize, indent: usize) {
    for (index, item) in items.iter().enumerate() {
        if index > 0 || out.is_empty() || out.ends_with('\n') {
            blanks(out, indent);
        }
        out.push_str("- ");
        match item {
            Doc::Map(entries) if !entries.is_empty() => map(out, entries, width, indent + 2),
            Doc::List(items) if !items.is_empty() => list(out, items, width, indent + 2),
            other => {
                out.push_str(&inline(other, indent + 2, Some(2).filter(|_| width == 2)));
                out.push('\n');
            }
        }
    }
}

/// A value that stands behind its key or dash; the lines of a long text are indented by `indent`, which is `step` more
/// than what it belongs to (`None`: not by what stock says of itself).
fn inline(doc: &Doc, indent: usize, step: Option<usize>) -> String {
    match doc {
        Doc::Text(value) => stepped(value, indent, step),
        Doc::Word(word) => word.clone(),
        Doc::Float(value) => float(*value),
        Doc::List(_) => "[]".into(),
        Doc::Map(_) => "{}".into(),
    }
}

fn blanks(out: &mut String, count: usize) {
    out.extend(std::iter::repeat_n(' ', count));
}

/// A key: as text, but never over several lines.
fn key(key: &str) -> String {
    if key.contains('\n') || key == "<<" { double_quoted(key) } else { text(key, 0) }
}

/// The letters for a text: plain, quoted, or `|` with its lines indented by `indent`, two more than its key.
pub fn text(value: &str, indent: usize) -> String {
    stepped(value, indent, Some(2))
}

fn stepped(value: &str, indent: usize, step: Option<usize>) -> String {
    let looks = Looks::of(value);
    if value.contains('\n') {
        // Where the first line's own blanks would count as indent, the indent is said. Stock loses an empty
        // first line, and cannot read one that begins with a tab.
        let hint = match value.chars().next() {
            Some(' ') => step.map(|step| step.to_string()),
            Some('\n' | '\t') => None,
            _ => Some(String::new()),
        };
        return match hint.filter(|_| !looks.no_block) {
            Some(hint) => literal(value, indent, &hint),
            None => double_quoted(value),
        };
    }
    if reads_as_other(value) {
        return double_quoted(value);
    }
    if !looks.no_plain {
        return value.to_owned();
    }
    if looks.no_single { double_quoted(value) } else { format!("'{}'", value.replace('\'', "''")) }
}

/// Whether these letters, without quotes, would be something else than this text.
pub fn needs_quotes(value: &str) -> bool {
    value.contains('\n') || reads_as_other(value) || Looks::of(value).no_plain
}

fn reads_as_other(value: &str) -> bool {
    !matches!(any_of_plain(value), Any::Text(_))
        || super::truth_of_plain(value).is_some()
        || is_base_60(value)
        || is_date(value)
}

/// `52:54:00:00:00:01`: YAML 1.1 counted such in sixties.
fn is_base_60(value: &str) -> bool {
    let body = value.strip_prefix(['-', '+']).unwrap_or(value);
    let mut parts = body.split(':');
    let first = parts.next().unwrap_or_default();
    let digits = |text: &str| text.chars().all(|letter| letter.is_ascii_digit() || letter == '_');
    if !first.starts_with(|letter: char| letter.is_ascii_digit()) || !digits(first) {
        return false;
    }
    let rest: Vec<&str> = parts.collect();
    let Some((last, middle)) = rest.split_last() else { return false };
    let sixty = |text: &str| match text.as_bytes() {
        [one] => one.is_ascii_digit(),
        [ten, one] => (b'0'..=b'5').contains(ten) && one.is_ascii_digit(),
        _ => false,
    };
    let (last, fraction) = last.split_once('.').unwrap_or((last, ""));
    sixty(last) && digits(fraction) && middle.iter().all(|part| sixty(part))
}

/// `2024-01-02`, with or without a time of day.
fn is_date(value: &str) -> bool {
    let (date, time) = match value.find(['T', 't', ' ']) {
        Some(at) => value.split_at(at),
        None => (value, ""),
    };
    let mut parts = date.split('-');
    let number = |part: Option<&str>, lengths: &[usize]| {
        part.is_some_and(|part| lengths.contains(&part.len()) && part.chars().all(|letter| letter.is_ascii_digit()))
    };
    let day = number(parts.next(), &[4])
        && number(parts.next(), &[1, 2])
        && number(parts.next(), &[1, 2])
        && parts.next().is_none();
    let clock = |time: &str| {
        let sound = |letter: char| letter.is_ascii_digit() || matches!(letter, ':' | '.' | 'Z' | '+' | '-');
        time.matches(':').count() >= 2 && time.chars().skip(1).all(sound)
    };
    day && (time.is_empty() || clock(time))
}

/// What a text's letters forbid: the rules of libyaml's analysis.
#[derive(Default)]
struct Looks {
    no_plain: bool,
    no_single: bool,
    no_block: bool,
}

impl Looks {
    fn of(value: &str) -> Looks {
        let mut looks = Looks::default();
        if value.starts_with("---") || value.starts_with("...") {
            looks.no_plain = true;
        }
        let mut before = ' ';
        let mut letters = value.chars().enumerate().peekable();
        while let Some((index, letter)) = letters.next() {
            let after = letters.peek().map_or(' ', |(_, letter)| *letter);
            looks.letter(index == 0, before, letter, after);
            before = letter;
        }
        if value.starts_with([' ', '\n']) || value.ends_with([' ', '\n']) {
            looks.no_plain = true;
        }
        if value.ends_with(' ') || value.contains(" \n") {
            looks.no_block = true;
        }
        looks
    }

    fn letter(&mut self, first: bool, before: char, letter: char, after: char) {
        let blank = |letter: char| matches!(letter, ' ' | '\t' | '\n' | '\r');
        let indicator = match letter {
            ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' => first,
            '?' | '-' => first && blank(after),
            ':' => blank(after),
            '#' => first || blank(before),
            _ => false,
        };
        let special = !printable(letter);
        self.no_plain |= indicator || special || letter == '\t' || letter == '\n';
        self.no_single |= special || letter == '\t' || letter == '\n';
        self.no_block |= special;
    }
}

/// What goes without escapes; above the basic plane libyaml escapes everything.
fn printable(letter: char) -> bool {
    matches!(letter, '\n' | '\t' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
        && !matches!(letter, '\u{feff}' | '\u{2028}' | '\u{2029}')
}

fn literal(value: &str, indent: usize, hint: &str) -> String {
    let body = value.trim_end_matches('\n');
    let ends = value.len() - body.len();
    let keep = match ends {
        0 => "-",
        1 => "",
        _ => "+",
    };
    let mut out = format!("|{hint}{keep}");
    for line in value.strip_suffix('\n').unwrap_or(value).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            blanks(&mut out, indent);
            out.push_str(line);
        }
    }
    out
}

fn double_quoted(value: &str) -> String {
    let mut out = String::from("\"");
    for letter in value.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\0' => out.push_str("\\0"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            '\u{1b}' => out.push_str("\\e"),
            '\u{85}' => out.push_str("\\N"),
            '\u{2028}' => out.push_str("\\L"),
            '\u{2029}' => out.push_str("\\P"),
            letter if printable(letter) => out.push(letter),
            letter => match u32::from(letter) {
                code @ ..0x100 => out.push_str(&format!("\\x{code:02X}")),
                code @ ..0x1_0000 => out.push_str(&format!("\\u{code:04X}")),
                code => out.push_str(&format!("\\U{code:08X}")),
            },
        }
    }
    out.push('"');
    out
}

fn float(value: f64) -> String {
    if value.is_nan() {
        ".nan".into()
    } else if value.is_infinite() {
        if value > 0.0 { ".inf".into() } else { "-.inf".into() }
    } else if value != 0.0 && (value.abs() < 1e-4 || value.abs() >= 1e15) {
        format!("{value:e}")
    } else {
        format!("{value:?}")
    }
}

/// The document as Go's encoder indents it: two blanks a level, `<`, `>` and `&` escaped. No newline at the end.
pub fn json(doc: &Doc, pretty: bool) -> String {
    let mut out = String::new();
    json_value(&mut out, doc, if pretty { Some(0) } else { None });
    out
}

fn json_value(out: &mut String, doc: &Doc, level: Option<usize>) {
    let inner = level.map(|level| level + 1);
    match doc {
        Doc::Text(text) => json_text(out, text),
        Doc::Word(word) => out.push_str(word),
        Doc::Float(value) if value.is_finite() => out.push_str(&value.to_string()),
        Doc::Float(_) => out.push_str("null"),
        Doc::List(items) if items.is_empty() => out.push_str("[]"),
        Doc::Map(entries) if entries.is_empty() => out.push_str("{}"),
        Doc::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                json_next(out, index, inner);
                json_value(out, item, inner);
            }
            json_end(out, level, ']');
        }
        Doc::Map(entries) => {
            out.push('{');
            for (index, (key, value)) in entries.iter().enumerate() {
                json_next(out, index, inner);
                json_text(out, key);
                out.push_str(if level.is_some() { ": " } else { ":" });
                json_value(out, value, inner);
            }
            json_end(out, level, '}');
        }
    }
}

fn json_next(out: &mut String, index: usize, level: Option<usize>) {
    if index > 0 {
        out.push(',');
    }
    if let Some(level) = level {
        out.push('\n');
        blanks(out, 2 * level);
    }
}

fn json_end(out: &mut String, level: Option<usize>, bracket: char) {
    if let Some(level) = level {
        out.push('\n');
        blanks(out, 2 * level);
    }
    out.push(bracket);
}

fn json_text(out: &mut String, text: &str) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(letter)));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_quoted_where_yaml_v3_quotes_it() {
        let table = [
            ("word", "word"),
            ("two words", "two words"),
            ("", "\"\""),
            ("yes", "\"yes\""),
            ("N", "\"N\""),
            ("0123", "\"0123\""),
            ("1e3", "\"1e3\""),
            ("5.10", "\"5.10\""),
            ("6.1.0-gpu", "6.1.0-gpu"),
            ("# no", "'# no'"),
            ("a#b", "a#b"),
            ("a: b", "'a: b'"),
            ("a:b", "a:b"),
            ("a:", "'a:'"),
            (" lead", "' lead'"),
            ("null", "\"null\""),
            ("~x", "~x"),
            ("~", "\"~\""),
            ("- x", "'- x'"),
            ("--", "--"),
            ("---", "'---'"),
            ("52:54:00:00:00:01", "\"52:54:00:00:00:01\""),
            ("52:54:00:ab:cd:01", "52:54:00:ab:cd:01"),
            ("10:20:30", "\"10:20:30\""),
            ("*a", "'*a'"),
            ("it's", "it's"),
            ("'q", "'''q'"),
            ("2024-01-02", "\"2024-01-02\""),
            ("10.20.0.1", "10.20.0.1"),
            ("fd00::1", "fd00::1"),
            ("tab\there", "\"tab\\there\""),
            ("über", "über"),
            ("<<", "<<"),
            ("\nx", "\"\\nx\""),
            ("\tx\ny", "\"\\tx\\ny\""),
            (" x\ny", "|2-\n x\ny"),
            ("\u{1f600}", "\"\\U0001F600\""),
        ];
        for (value, letters) in table {
            assert_eq!(text(value, 0), letters, "{value:?}");
        }
    }

    #[test]
    fn lines_become_a_literal_block() {
        let doc = Doc::Map(vec![("f".into(), Doc::Text("line\nbreak".into()))]);
        assert_eq!(yaml(&doc, 4, 0), "f: |-\n    line\n    break\n");
    }
}
