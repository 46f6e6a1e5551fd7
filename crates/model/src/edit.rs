//! A change of nodes.conf as a change of its text: lines that need not change stay as they are, with comments, order,
//! unknown keys, anchors.
//!
//! A file that has nothing of the kind is written in the one fixed form, as stock writes it. What comes out is read back
//! and compared before anybody gets it; if the text cannot be edited that way, the fixed form is the fall-back, and the
//! caller is told.

use std::collections::BTreeMap;

use crate::error::ConfError;
use crate::nodes::NodesConf;
use crate::yaml::{self, Body, Doc, Entry, Tree};

/// The new text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Rewritten {
    /// Nothing was lost.
    Whole(String),
    /// The fixed form: comments, unknown keys and anchors are gone, because the text could not be edited.
    Plain(String),
}

/// Turns `text`, which reads as some other state, into one that reads as `after`.
///
/// # Errors
/// When `text` itself cannot be read, or `after` holds what no file can (a key of more than a thousand letters).
pub fn rewrite(text: &str, after: &NodesConf) -> Result<Rewritten, ConfError> {
    let tree = yaml::parse(text)?;
    let before = NodesConf::from_tree(&tree)?;
    let plain = after.text();
    let same = |text: &str| NodesConf::parse(text).map(|read| read.doc() == after.doc());
    if before.unknown().is_empty() && !tree.has_references() && !has_more(text) {
        return if same(&plain)? { Ok(Rewritten::Whole(plain)) } else { Err(unwritable()) };
    }
    let edited = edit(text, &tree, &before.doc(), &after.doc());
    if same(&edited).unwrap_or(false) {
        return Ok(Rewritten::Whole(edited));
    }
    if same(&plain)? { Ok(Rewritten::Plain(plain)) } else { Err(unwritable()) }
}

fn unwritable() -> ConfError {
    ConfError::new(yaml::Pos::default(), "", "the change would not read back as it was meant; nothing was written")
}

/// Whether there may be comments, directives or further documents.
fn has_more(text: &str) -> bool {
    text.lines().any(|line| {
        let comment = line
            .match_indices('#')
            .any(|(at, _)| line.get(..at).is_some_and(|head| head.is_empty() || head.ends_with([' ', '\t'])));
        comment || line.starts_with("---") || line.starts_with("...") || line.starts_with('%')
    })
}

fn edit(text: &str, tree: &Tree, before: &Doc, after: &Doc) -> String {
    let mut lines: Vec<String> = text.split_inclusive('\n').map(String::from).collect();
    if let Some(last) = lines.last_mut().filter(|last| !last.ends_with('\n')) {
        last.push('\n');
    }
    let mut patch = Patch { lines: &lines, cuts: Vec::new() };
    match (&tree.body, after) {
        (Body::Map(entries), Doc::Map(after)) if tree.block && patch.line_by_line(entries) => {
            patch.map(entries, before, after, 0);
        }
        _ if tree.is_null() => patch.insert(lines.len(), yaml::yaml(after, 2, 0)),
        // Flow notation from the first letter on: nothing to keep but what stands around it.
        _ => patch.cut(tree.pos.line, tree.end.line, yaml::yaml(after, 2, 0)),
    }
    patch.apply()
}

/// Lines to be exchanged, found first and applied at once.
struct Patch<'a> {
    lines: &'a [String],
    /// From line (counted from 0), how many, what instead.
    cuts: Vec<(usize, usize, String)>,
}

impl Patch<'_> {
    /// Replaces the lines `first..=last`, counted from 1.
    fn cut(&mut self, first: usize, last: usize, with: String) {
        let from = first.saturating_sub(1);
        let to = last.min(self.lines.len());
        self.cuts.push((from, to.saturating_sub(from), with));
    }

    /// Adds behind `after` lines.
    fn insert(&mut self, after: usize, text: String) {
        self.cuts.push((after, 0, text));
    }

    fn line(&self, number: usize) -> &str {
        self.lines.get(number.saturating_sub(1)).map_or("", |line| line.trim_end_matches(['\n', '\r']))
    }

    /// Whether each entry begins a line of its own, so that lines can be exchanged.
    fn line_by_line(&self, entries: &[Entry]) -> bool {
        let own = entries.iter().filter(|entry| !entry.merged);
        let mut own = own.peekable();
        own.peek().is_some()
            && own.all(|entry| {
                let head: String = self.line(entry.pos.line).chars().take(entry.pos.column - 1).collect();
                head.trim().is_empty()
            })
    }

    /// Makes the entries of a block say `after`. Answers how many entries it then has.
    fn map(&mut self, entries: &[Entry], before: &Doc, after: &[(String, Doc)], level: usize) -> usize {
        let own: Vec<&Entry> = entries.iter().filter(|entry| !entry.merged).collect();
        let there: BTreeMap<&str, &Entry> = own.iter().map(|entry| (entry.key.as_str(), *entry)).collect();
        let wanted: BTreeMap<&str, &Doc> = after.iter().map(|(key, doc)| (key.as_str(), doc)).collect();
        let before = by_key(before);
        let indent = own.first().map_or(level * 2, |entry| entry.pos.column - 1);
        let mut left = 0;
        for (index, entry) in own.iter().enumerate() {
            let (was, is) = (before.get(entry.key.as_str()).copied(), wanted.get(entry.key.as_str()).copied());
            left += usize::from(is.is_some() || was.is_none());
            if was == is {
                continue;
            }
            match is {
                Some(is) => self.entry(entry, was, is, level),
                None if self.keeps_unknown(entry, was) => {
                    self.entry(entry, was, &Doc::empty(), level);
                    left += 1;
                }
                None => self.remove(entry, index == 0),
            }
        }
        // The entry that precedes a new one in the fixed order, of those that are there.
        let mut nearest: Option<&Entry> = None;
        for (key, doc) in after {
            if let Some(entry) = there.get(key.as_str()) {
                nearest = Some(entry);
                continue;
            }
            // The two sections of the file itself are always written, as stock does.
            if level > 0 && before.get(key.as_str()).copied() == Some(doc) {
                continue;
            }
            left += 1;
            let place = self.place(&own, nearest);
            self.insert(place, shifted(&[(key.clone(), doc.clone())], indent));
        }
        left
    }

    /// Behind which line a new entry stands.
    fn place(&self, own: &[&Entry], nearest: Option<&Entry>) -> usize {
        if let Some(entry) = nearest {
            return self.last_line(entry);
        }
        let Some(first) = own.first() else { return self.lines.len() };
        // A comment above the first entry is about it, or about all of them: a new one goes behind.
        if first.pos.line > 1 && self.line(first.pos.line - 1).trim_start().starts_with('#') {
            return own.last().map_or(self.lines.len(), |entry| self.last_line(entry));
        }
        first.pos.line - 1
    }

    fn last_line(&self, entry: &Entry) -> usize {
        entry.value.end.line.max(entry.pos.line).min(self.lines.len())
    }

    /// Whether something in a section that is to go is nobody's to remove.
    fn keeps_unknown(&self, entry: &Entry, was: Option<&Doc>) -> bool {
        let section = matches!(entry.key.as_str(), "kernel" | "ipmi");
        let unknown = match (&entry.value.body, was) {
            (Body::Map(inner), Some(was)) => inner.iter().any(|inner| was.at(&inner.key).is_none()),
            _ => false,
        };
        section && unknown && entry.value.block
    }

    /// Takes an entry out, with the comment lines right above it (but those above the first are about all).
    fn remove(&mut self, entry: &Entry, first: bool) {
        let mut from = entry.pos.line;
        while !first && from > 1 && self.line(from - 1).trim_start().starts_with('#') {
            from -= 1;
        }
        self.cut(from, self.last_line(entry), String::new());
    }

    /// Makes an entry that is there say `is`.
    fn entry(&mut self, entry: &Entry, was: Option<&Doc>, is: &Doc, level: usize) {
        let indent = entry.pos.column - 1;
        let empty = Doc::empty();
        match (&entry.value.body, is) {
            (Body::Map(inner), Doc::Map(after)) if entry.value.block && self.line_by_line(inner) => {
                let left = self.map(inner, was.unwrap_or(&empty), after, level + 1);
                if left == 0 {
                    let text = shifted(&[(entry.key.clone(), Doc::empty())], indent);
                    let with = self.with_comment(entry, text);
                    self.cut(entry.pos.line, entry.pos.line, with);
                }
            }
            (Body::List(items), Doc::List(after)) if entry.value.block && self.lines_of_words(items) => {
                self.list(entry, items, after);
            }
            _ => {
                let text = shifted(&[(entry.key.clone(), is.clone())], indent);
                let with = self.with_comment(entry, text);
                self.cut(entry.pos.line, self.last_line(entry), with);
            }
        }
    }

    /// Whether every item is a word on a line of its own.
    fn lines_of_words(&self, items: &[Tree]) -> bool {
        items.iter().all(|item| {
            matches!(item.body, Body::Scalar { .. })
                && item.pos.line == item.end.line
                && self.line(item.pos.line).trim_start().starts_with('-')
        })
    }

    /// Items that stay keep their lines, and the comments above and behind them.
    fn list(&mut self, entry: &Entry, items: &[Tree], after: &[Doc]) {
        let Some(first) = items.first() else { return };
        let line = self.line(first.pos.line);
        let indent = line.len() - line.trim_start().len();
        let mut old: Vec<(String, String)> = Vec::new();
        let mut from = entry.pos.line + 1;
        for item in items {
            let lines = self.lines.get(from.saturating_sub(1)..item.pos.line).unwrap_or_default().concat();
            from = item.pos.line + 1;
            if let Body::Scalar { text, .. } = &item.body
                && !item.is_null()
            {
                old.push((text.clone(), lines));
            }
        }
        let mut text = String::new();
        for item in after {
            let Doc::Text(word) = item else { continue };
            match old.iter().position(|(known, _)| known == word) {
                Some(at) => text.push_str(&old.remove(at).1),
                None => text.push_str(&format!("{}- {}\n", " ".repeat(indent), yaml::text(word, indent + 2))),
            }
        }
        self.cut(entry.pos.line + 1, self.last_line(entry), text);
    }

    /// Puts the comment that stands behind a key, or behind its value, on the first line of `text`.
    fn with_comment(&self, entry: &Entry, text: String) -> String {
        let line = self.line(entry.pos.line);
        let from = if entry.value.end.line == entry.pos.line && entry.value.end.column >= entry.pos.column {
            entry.value.end.column - 1
        } else {
            entry.pos.column - 1 + entry.key.chars().count()
        };
        let rest: String = line.chars().skip(from).collect();
        let comment = rest.find(" #").and_then(|at| rest.get(at..)).map(str::trim);
        match (comment, text.split_once('\n')) {
            (Some(comment), Some((head, tail))) => format!("{head} {comment}\n{tail}"),
            _ => text,
        }
    }

    fn apply(mut self) -> String {
        self.cuts.sort_by_key(|(from, count, _)| (*from, *count));
        let mut out = String::new();
        let mut at = 0;
        for (from, count, with) in &self.cuts {
            out.extend(self.lines.get(at..*from).unwrap_or_default().iter().map(String::as_str));
            out.push_str(with);
            at = at.max(from + count);
        }
        out.extend(self.lines.get(at..).unwrap_or_default().iter().map(String::as_str));
        out
    }
}

fn by_key(doc: &Doc) -> BTreeMap<&str, &Doc> {
    match doc {
        Doc::Map(entries) => entries.iter().map(|(key, doc)| (key.as_str(), doc)).collect(),
        _ => BTreeMap::new(),
    }
}

/// Entries as lines, all of them moved right by `indent` blanks.
fn shifted(entries: &[(String, Doc)], indent: usize) -> String {
    let text = yaml::yaml(&Doc::Map(entries.to_vec()), 2, 0);
    let margin = " ".repeat(indent);
    text.split_inclusive('\n').map(|line| if line == "\n" { line.into() } else { format!("{margin}{line}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields;

    const FILE: &str = "\
# the cluster of the east wing
nodeprofiles:
  default: # for all
    comment: base
    runtime overlay:
      # keys first
      - keys
      - hosts # and who is who
nodes:
  # rack 1
  n1:
    image name: old # until May
    colour: red

    profiles: [default]
  # broken since spring
  n2:
    tags:
      a: \"1\" # one
  n3: {}
extra: 1
";

    fn changed(text: &str, change: impl FnOnce(&mut NodesConf)) -> String {
        let mut conf = NodesConf::parse(text).unwrap();
        change(&mut conf);
        match rewrite(text, &conf).unwrap() {
            Rewritten::Whole(text) => text,
            Rewritten::Plain(text) => panic!("comments lost:\n{text}"),
        }
    }

    fn node<'a>(conf: &'a mut NodesConf, name: &str) -> &'a mut crate::Node {
        conf.nodes.get_mut(name).unwrap()
    }

    #[test]
    fn nothing_changed_is_the_same_text() {
        assert_eq!(changed(FILE, |_| {}), FILE);
    }

    #[test]
    fn one_field_changes_one_line_and_keeps_its_comment() {
        let text = changed(FILE, |conf| node(conf, "n1").profile.image_name = "new".into());
        assert_eq!(text, FILE.replace("image name: old # until May", "image name: new # until May"));
    }

    #[test]
    fn a_new_field_stands_where_the_fixed_order_has_it() {
        let text = changed(FILE, |conf| node(conf, "n1").profile.init = "/i".into());
        assert_eq!(text, FILE.replace("# until May\n", "# until May\n    init: /i\n"));
    }

    #[test]
    fn a_removed_node_takes_its_comment_along() {
        let text = changed(FILE, |conf| drop(conf.nodes.remove("n2")));
        let gone = "  # broken since spring\n  n2:\n    tags:\n      a: \"1\" # one\n";
        assert_eq!(text, FILE.replace(gone, ""));
    }

    #[test]
    fn a_new_node_stands_behind_its_predecessor() {
        let text = changed(FILE, |conf| {
            conf.nodes.insert("n2a".into(), crate::Node { id: "n2a".into(), ..Default::default() });
        });
        assert_eq!(text, FILE.replace("  n3: {}\n", "  n2a: {}\n  n3: {}\n"));
    }

    #[test]
    fn items_of_a_list_keep_their_comments() {
        let text = changed(FILE, |conf| {
            let list = &mut conf.profiles.get_mut("default").unwrap().runtime_overlay;
            *list = vec!["hosts".into(), "new".into(), "keys".into()];
        });
        let (old, new) = (
            "      # keys first\n      - keys\n      - hosts # and who is who\n",
            "      - hosts # and who is who\n      - new\n      # keys first\n      - keys\n",
        );
        assert_eq!(text, FILE.replace(old, new));
    }

    #[test]
    fn an_entry_that_loses_its_last_field_is_an_empty_one() {
        let text = changed(FILE, |conf| node(conf, "n2").profile.tags.clear());
        assert_eq!(text, FILE.replace("  n2:\n    tags:\n      a: \"1\" # one\n", "  n2: {}\n"));
    }

    #[test]
    fn an_entry_that_was_empty_gets_its_fields() {
        let text = changed(FILE, |conf| node(conf, "n3").profile.root = "tmpfs".into());
        assert_eq!(text, FILE.replace("  n3: {}\n", "  n3:\n    root: tmpfs\n"));
    }

    #[test]
    fn a_file_without_comments_gets_the_fixed_form() {
        let text = "nodes:\n  z: {init: /i, comment: c}\n  a:\n";
        assert_eq!(changed(text, |_| {}), "nodeprofiles: {}\nnodes:\n  a: {}\n  z:\n    comment: c\n    init: /i\n");
    }

    #[test]
    fn anchors_that_are_not_touched_stay() {
        let text = "nodeprofiles: {}\nnodes:\n  n1: &a\n    init: /x\n  n2:\n    <<: *a\n    root: tmpfs\n";
        let new = changed(text, |conf| node(conf, "n2").profile.root = "initramfs".into());
        assert_eq!(new, text.replace("tmpfs", "initramfs"));
    }

    #[test]
    fn what_cannot_be_edited_falls_back_to_the_fixed_form_and_says_so() {
        let text = "nodes:\n  n1: &a\n    init: /x\n  n2:\n    <<: *a\n    root: r\n";
        let mut conf = NodesConf::parse(text).unwrap();
        node(&mut conf, "n2").profile.init.clear();
        let plain = "nodeprofiles: {}\nnodes:\n  n1:\n    init: /x\n  n2:\n    root: r\n";
        assert_eq!(rewrite(text, &conf).unwrap(), Rewritten::Plain(plain.into()));
    }

    #[test]
    fn every_single_field_can_be_cleared_in_a_commented_file() {
        for field in fields::profile_fields() {
            let text = changed(FILE, |conf| {
                for node in conf.nodes.values_mut() {
                    field.clear(&mut node.profile);
                }
            });
            assert!(text.contains("# rack 1") && text.contains("colour: red"), "{}:\n{text}", field.key);
        }
    }
}
