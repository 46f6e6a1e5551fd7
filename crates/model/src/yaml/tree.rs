//! Parser events to a tree: aliases followed, merge keys applied, doubles refused, and a limit on what aliases may grow to.

use std::collections::{BTreeMap, HashMap};

use granit_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, StructureStyle, Tag};

use super::scalar;
use crate::error::ConfError;
use crate::node::Any;

/// Nodes that aliases may add in all; a file for ten thousand machines has a fifth of it without any.
const ALIAS_NODES: usize = 1_000_000;
/// How deep things may stand in one another, aliases followed.
const DEPTH: usize = 512;

/// Where something begins, both counted from 1; columns in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pos {
    pub line: usize,
    pub column: usize,
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    pub pos: Pos,
    /// Behind its last letter; a block's end is its last value's.
    pub end: Pos,
    /// Whether it stands here in block notation, line under line, so that lines of it can be exchanged.
    pub block: bool,
    /// Whether an `&anchor` is on it: others may point here.
    pub anchored: bool,
    pub body: Body,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// `plain`: without quotes and tag, so that its letters decide what it is.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Tree>),
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub key: String,
    pub pos: Pos,
    /// It came by a merge key (`<<`), and does not stand here.
    pub merged: bool,
    pub value: Tree,
}

impl Tree {
    /// Nothing was said: no value, `~` or `null`.
    pub fn is_null(&self) -> bool {
        matches!(&self.body, Body::Scalar { text, plain: true } if scalar::is_null(text))
    }

    /// The entry with this key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.body {
            Body::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// What kind it is, for messages.
    pub fn kind(&self) -> &'static str {
        match &self.body {
            Body::Scalar { .. } if self.is_null() => "nothing",
            Body::Scalar { .. } => "a single value",
            Body::List(_) => "a list",
            Body::Map(_) => "a section (key: value)",
        }
    }

    /// By the scalar rules of yaml.v3 for a field of no type.
    pub fn any(&self) -> Any {
        match &self.body {
            Body::Scalar { text, plain: true } => scalar::any_of_plain(text),
            Body::Scalar { text, .. } => Any::Text(text.clone()),
            Body::List(items) => Any::List(items.iter().map(Tree::any).collect()),
            Body::Map(entries) => {
                Any::Map(entries.iter().map(|entry| (entry.key.clone(), entry.value.any())).collect())
            }
        }
    }

    /// Whether anchors, aliases or merge keys are in it: its text then says more than its values.
    pub fn has_references(&self) -> bool {
        self.anchored
            || match &self.body {
                Body::Scalar { .. } => false,
                Body::List(items) => items.iter().any(Tree::has_references),
                Body::Map(entries) => entries.iter().any(|entry| entry.merged || entry.value.has_references()),
            }
    }

    /// Its nodes, and how deep they stand in one another.
    fn size(&self) -> (usize, usize) {
        let inner = |(nodes, depth): (usize, usize), child: &Tree| {
            let (more, deeper) = child.size();
            (nodes.saturating_add(more), depth.max(deeper))
        };
        let (nodes, depth) = match &self.body {
            Body::Scalar { .. } => (0, 0),
            Body::List(items) => items.iter().fold((0, 0), inner),
            Body::Map(entries) => entries.iter().map(|entry| &entry.value).fold((0, 0), inner),
        };
        (nodes + 1, depth + 1)
    }
}

/// Reads the first document of `text`; an empty text reads as null.
///
/// # Errors
/// When it is no YAML, a key stands twice in a section, or aliases grow beyond reason; with line and column.
pub fn parse(text: &str) -> Result<Tree, ConfError> {
    let options = granit_parser::options! { emit_comments: false };
    let parser = Parser::new_from_str_with_options(text.trim_start_matches('\u{feff}'), options);
    let open_end = text.lines().last().filter(|last| !text.ends_with(['\n', '\r']) && !last.trim().is_empty());
    let open_line = open_end.map(|_| text.lines().count());
    let mut reader = Reader { parser, open_line, anchors: HashMap::new(), grown: 0, depth: 0 };
    reader.document()
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    /// The last line, when no line end follows it.
    open_line: Option<usize>,
    anchors: HashMap<usize, Tree>,
    grown: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<Tree, ConfError> {
        loop {
            match self.next()? {
                None | Some((Event::StreamEnd, _)) => return Ok(null(Pos { line: 1, column: 1 })),
                Some((Event::StreamStart | Event::DocumentStart(..), _)) => {}
                Some((event, span)) => return self.value(event, span),
            }
        }
    }

    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, ConfError> {
        self.parser.next().transpose().map_err(|error| not_yaml(&error))
    }

    fn inside(&mut self) -> Result<(Event<'a>, Span), ConfError> {
        let end = || ConfError::new(Pos::default(), "", "the file ends in the middle; complete it");
        self.next()?.ok_or_else(end)
    }

    fn value(&mut self, event: Event<'a>, span: Span) -> Result<Tree, ConfError> {
        let pos = pos(&span.start);
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(ConfError::new(pos, "", "too many sections inside one another; flatten this"));
        }
        let block = |style| style == StructureStyle::Block;
        let (anchor, mut tree) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = is_plain(style, tag.as_deref());
                let mut text = text.into_owned();
                // A block that ends with the file ends as the file does.
                let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                if is_block && self.open_line.is_some_and(|last| ends_in(&span.end, last)) {
                    text.truncate(text.strip_suffix('\n').unwrap_or(&text).len());
                }
                let body = Body::Scalar { text, plain };
                (anchor, Tree { pos, end: end_of_scalar(&span), block: false, anchored: false, body })
            }
            Event::SequenceStart(style, anchor, _) => {
                let (items, end) = self.list(pos, block(style))?;
                (anchor, Tree { pos, end, block: block(style), anchored: false, body: Body::List(items) })
            }
            Event::MappingStart(style, anchor, _) => {
                let (entries, end) = self.map(pos, block(style))?;
                (anchor, Tree { pos, end, block: block(style), anchored: false, body: Body::Map(entries) })
            }
            Event::Alias(id) => (0, self.alias(id, pos, end_of_scalar(&span))?),
            _ => return Err(ConfError::new(pos, "", "a value is missing here; write one, or remove its key")),
        };
        self.depth -= 1;
        if anchor != 0 {
            tree.anchored = true;
            self.anchors.insert(anchor, tree.clone());
        }
        Ok(tree)
    }

    fn list(&mut self, start: Pos, block: bool) -> Result<(Vec<Tree>, Pos), ConfError> {
        let mut items: Vec<Tree> = Vec::new();
        loop {
            match self.inside()? {
                (Event::SequenceEnd, span) => {
                    let last = items.last().map_or(start, |item| item.end);
                    return Ok((items, if block { last } else { pos(&span.end) }));
                }
                (event, span) => items.push(self.value(event, span)?),
            }
        }
    }

    fn map(&mut self, start: Pos, block: bool) -> Result<(Vec<Entry>, Pos), ConfError> {
        let mut end = start;
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen: BTreeMap<String, Pos> = BTreeMap::new();
        let mut merges = Vec::new();
        loop {
            let (event, span) = self.inside()?;
            if matches!(event, Event::MappingEnd) {
                if !block {
                    end = pos(&span.end);
                }
                break;
            }
            let key = self.value(event, span)?;
            let (event, span) = self.inside()?;
            let mut value = self.value(event, span)?;
            // The parser may place an absent value anywhere up to the next token; it is where its key ends.
            if value.is_null() && matches!(&value.body, Body::Scalar { text, .. } if text.is_empty()) {
                (value.pos, value.end) = (key.end, key.end);
            }
            end = value.end;
            let Body::Scalar { text, plain } = key.body else {
                return Err(ConfError::new(key.pos, "", "a key must be a single word or text; quote it"));
            };
            if plain && text == "<<" {
                merges.push(value);
                continue;
            }
            if let Some(first) = seen.insert(text.clone(), key.pos) {
                let message =
                    format!("stands here for the second time, first in line {}; remove one of them", first.line);
                return Err(ConfError::new(key.pos, text, message));
            }
            entries.push(Entry { key: text, pos: key.pos, merged: false, value });
        }
        for source in merges {
            merge_key(&mut entries, &mut seen, source)?;
        }
        Ok((entries, end))
    }

    fn alias(&mut self, id: usize, pos: Pos, end: Pos) -> Result<Tree, ConfError> {
        let Some(found) = self.anchors.get(&id) else {
            return Err(ConfError::new(pos, "", "there is no anchor of this name above; name one that is"));
        };
        let (nodes, depth) = found.size();
        self.grown = self.grown.saturating_add(nodes);
        if self.grown > ALIAS_NODES || self.depth + depth > DEPTH {
            return Err(ConfError::new(pos, "", "aliases grow beyond reason; write the values out"));
        }
        Ok(Tree { pos, end, block: false, anchored: false, body: found.body.clone() })
    }
}

/// Adds what `<<` names, where the section has no key of its own.
fn merge_key(entries: &mut Vec<Entry>, seen: &mut BTreeMap<String, Pos>, source: Tree) -> Result<(), ConfError> {
    match source.body {
        Body::Map(more) => {
            for entry in more {
                if seen.contains_key(&entry.key) {
                    continue;
                }
                seen.insert(entry.key.clone(), entry.pos);
                entries.push(Entry { merged: true, ..entry });
            }
            Ok(())
        }
        Body::List(items) => items.into_iter().try_for_each(|item| merge_key(entries, seen, item)),
        Body::Scalar { .. } => Err(ConfError::new(source.pos, "<<", "needs a section or a list of sections (*alias)")),
    }
}

fn is_plain(style: ScalarStyle, tag: Option<&Tag>) -> bool {
    let text_tag = tag.is_some_and(|tag| tag.suffix() == "str" || tag.handle() == "!" || tag.suffix().is_empty());
    matches!(style, ScalarStyle::Plain) && !text_tag
}

fn null(pos: Pos) -> Tree {
    let body = Body::Scalar { text: String::new(), plain: true };
    Tree { pos, end: pos, block: false, anchored: false, body }
}

/// Whether something with this end has letters in that line.
fn ends_in(end: &Marker, line: usize) -> bool {
    end.line() > line || (end.line() == line && end.col() > 0)
}

/// A block scalar's span ends where the next line begins.
fn end_of_scalar(span: &Span) -> Pos {
    let (start, end) = (pos(&span.start), pos(&span.end));
    if end.column == 1 && end.line > start.line { Pos { line: end.line - 1, column: usize::MAX } } else { end }
}

fn pos(marker: &Marker) -> Pos {
    Pos { line: marker.line(), column: marker.col() + 1 }
}

fn not_yaml(error: &ScanError) -> ConfError {
    ConfError::new(pos(error.marker()), "", format!("this is no YAML: {}", error.info()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn places_are_lines_and_columns_from_one() {
        let tree = parse("a: 1\nbc:\n  - x\n  - {d: e}\n").unwrap();
        let list = &tree.entry("bc").unwrap().value;
        let Body::List(items) = &list.body else { panic!("no list") };
        assert_eq!((list.pos, list.end), (Pos { line: 3, column: 3 }, Pos { line: 4, column: 11 }));
        assert_eq!(items[1].pos, Pos { line: 4, column: 5 });
        assert_eq!(tree.entry("a").unwrap().value.end, Pos { line: 1, column: 5 });
    }

    #[test]
    fn merge_keys_give_what_the_section_does_not_say_itself() {
        let tree = parse("x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\nz: {<<: [*x, *y], a: 9}\n").unwrap();
        let says = |key: &str| tree.entry("z").unwrap().value.entry(key).map(|entry| entry.value.any());
        assert_eq!((says("a"), says("b"), says("c")), (Some(Any::Int(9)), Some(Any::Int(2)), Some(Any::Int(4))));
    }

    #[test]
    fn a_block_that_ends_with_the_file_ends_as_the_file_does() {
        let says = |text: &str| parse(text).unwrap().entry("a").unwrap().value.any();
        assert_eq!(says("a: |\n  x"), Any::Text("x".into()));
        assert_eq!(says("a: |+\n  x\n\n  y"), Any::Text("x\n\ny".into()));
        assert_eq!(says("a: |\n  x\n# remark"), Any::Text("x\n".into()));
        assert_eq!(says("a: |\n  x\n"), Any::Text("x\n".into()));
    }

    #[test]
    fn only_the_first_document_counts() {
        assert_eq!(parse("a: 1\n---\nb: 2\n").unwrap().any(), parse("{a: 1}").unwrap().any());
    }

    #[test]
    fn aliases_that_double_twenty_times_are_refused() {
        let mut text = String::from("a0: &a0 [x, x]\n");
        for index in 1..30 {
            text.push_str(&format!("a{index}: &a{index} [*a{0}, *a{0}]\n", index - 1));
        }
        assert!(refused(&text).contains("aliases grow beyond reason"), "{}", refused(&text));
    }

    #[test]
    fn aliases_inside_aliases_do_not_exhaust_the_stack() {
        let deep = |inner: &str| format!("{}{inner}{}", "[".repeat(200), "]".repeat(200));
        let mut text = format!("a0: &a0 {}\n", deep("x"));
        for index in 1..2000 {
            text.push_str(&format!("a{index}: &a{index} {}\n", deep(&format!("*a{}", index - 1))));
        }
        assert!(refused(&text).contains("beyond reason"), "{}", refused(&text));
    }

    #[test]
    fn brackets_without_end_are_an_error_and_no_crash() {
        for text in ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000), "? ".repeat(100_000)] {
            assert!(refused(&text).starts_with("line 1, column "), "{}", refused(&text));
        }
    }
}
