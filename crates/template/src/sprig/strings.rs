//! Functions on texts. Several count bytes where one would expect characters: so does sprig.

use super::arguments::{PART_BYTES, bytes, int, marked, size, text, text_list, text_of, texts_of, value};
use super::{Answer, Native, native, variadic, words};
use crate::context::Context;
use crate::error::Failure;
use crate::host::Param::{Any, Int, Text as TextParam};
use crate::value::{Map, Text, Type, Value};

pub(super) const TABLE: &[Native] = &[
    native("hello", &[], |_, _| Ok("Hello!".into())),
    native("abbrev", &[Int, TextParam], |a, _| Ok(Value::text(abbreviate(bytes(a, 1), 0, int(a, 0))))),
    native("abbrevboth", &[Int, Int, TextParam], abbrevboth),
    native("trunc", &[Int, TextParam], |a, _| Ok(Value::text(trunc(int(a, 0), bytes(a, 1))))),
    native("substr", &[Int, Int, TextParam], |a, _| substr(int(a, 0), int(a, 1), bytes(a, 2)).map(Value::text)),
    native("trim", &[TextParam], |a, _| {
        let text = marked(a, 0);
        Ok(Value::Text(text.back(text.text().trim())))
    }),
    native("upper", &[TextParam], |a, _| Ok(mapped(bytes(a, 0), words::upper))),
    native("lower", &[TextParam], |a, _| Ok(mapped(bytes(a, 0), words::lower))),
    native("title", &[TextParam], |a, _| Ok(words::title(&text(a, 0)).into())),
    native("untitle", &[TextParam], |a, _| Ok(words::untitle(&text(a, 0)).into())),
    native("swapcase", &[TextParam], |a, _| Ok(words::swapcase(&text(a, 0)).into())),
    native("snakecase", &[TextParam], |a, cx| {
        // Characters and the runs that they make.
        cx.fuel.bytes(bytes(a, 0).len().saturating_mul(32))?;
        let text = marked(a, 0);
        Ok(Value::Text(text.back(&words::separated(text.text(), '_'))))
    }),
    native("kebabcase", &[TextParam], |a, cx| {
        // Characters and the runs that they make.
        cx.fuel.bytes(bytes(a, 0).len().saturating_mul(32))?;
        let text = marked(a, 0);
        Ok(Value::Text(text.back(&words::separated(text.text(), '-'))))
    }),
    native("camelcase", &[TextParam], |a, _| Ok(words::camelcase(&text(a, 0)).into())),
    native("repeat", &[Int, TextParam], |a, cx| repeat(int(a, 0), bytes(a, 1), cx).map(Value::text)),
    native("trimall", &[TextParam, TextParam], trim_all),
    native("trimAll", &[TextParam, TextParam], trim_all),
    native("trimSuffix", &[TextParam, TextParam], |a, _| {
        let text = bytes(a, 1);
        Ok(Value::text(text.strip_suffix(bytes(a, 0)).unwrap_or(text)))
    }),
    native("trimPrefix", &[TextParam, TextParam], |a, _| {
        let text = bytes(a, 1);
        Ok(Value::text(text.strip_prefix(bytes(a, 0)).unwrap_or(text)))
    }),
    native("nospace", &[TextParam], |a, _| {
        // A text without space stays as it is; any other loses what is not ASCII.
        let kept: String = latin(bytes(a, 0)).filter(|c| !c.is_whitespace()).collect();
        Ok(if kept.chars().count() == bytes(a, 0).len() { value(a, 0).clone() } else { kept.into() })
    }),
    native("initials", &[TextParam], |a, _| Ok(initials(bytes(a, 0)).into())),
    native("wrap", &[Int, TextParam], |a, cx| words::wrap(bytes(a, 1), int(a, 0), b"\n", false, cx).map(Value::text)),
    native("wrapWith", &[Int, TextParam, TextParam], |a, cx| {
        let line = if bytes(a, 1).is_empty() { b"\n" } else { bytes(a, 1) };
        words::wrap(bytes(a, 2), int(a, 0), line, true, cx).map(Value::text)
    }),
    native("contains", &[TextParam, TextParam], |a, _| Ok(find(bytes(a, 1), bytes(a, 0)).is_some().into())),
    native("hasPrefix", &[TextParam, TextParam], |a, _| Ok(bytes(a, 1).starts_with(bytes(a, 0)).into())),
    native("hasSuffix", &[TextParam, TextParam], |a, _| Ok(bytes(a, 1).ends_with(bytes(a, 0)).into())),
    variadic("quote", &[], Any, quote),
    variadic("squote", &[], Any, squote),
    variadic("cat", &[], Any, cat),
    native("indent", &[Int, TextParam], |a, cx| indent(int(a, 0), bytes(a, 1), cx).map(Value::text)),
    native("nindent", &[Int, TextParam], |a, cx| {
        let mut out = vec![b'\n'];
        out.append(&mut indent(int(a, 0), bytes(a, 1), cx)?);
        Ok(Value::text(out))
    }),
    native("replace", &[TextParam, TextParam, TextParam], |a, cx| {
        replace(bytes(a, 0), bytes(a, 1), bytes(a, 2), cx).map(Value::text)
    }),
    native("plural", &[TextParam, TextParam, Int], |a, _| Ok(value(a, usize::from(int(a, 2) != 1)).clone())),
    native("toString", &[Any], |a, cx| text_of(value(a, 0), cx).map(Value::Text)),
    native("toStrings", &[Any], |a, cx| {
        if is_nil_texts(value(a, 0)) { Ok(value(a, 0).clone()) } else { texts_of(value(a, 0), cx).map(text_list) }
    }),
    native("join", &[TextParam, Any], join),
    native("sortAlpha", &[Any], sort_alpha),
    native("split", &[TextParam, TextParam], |a, cx| {
        pay_parts(bytes(a, 1), bytes(a, 0), cx)?;
        numbered(split(bytes(a, 1), bytes(a, 0), -1), cx)
    }),
    native("splitn", &[TextParam, Int, TextParam], |a, cx| {
        pay_parts(bytes(a, 2), bytes(a, 0), cx)?;
        numbered(split(bytes(a, 2), bytes(a, 0), int(a, 1)), cx)
    }),
    native("splitList", &[TextParam, TextParam], |a, cx| {
        pay_parts(bytes(a, 1), bytes(a, 0), cx)?;
        let parts = split(bytes(a, 1), bytes(a, 0), -1);
        Ok(text_list(parts.into_iter().map(Text::new).collect()))
    }),
];

fn abbrevboth(args: &[Value], _: &Context<'_>) -> Answer {
    let (left, right, text) = (int(args, 0), int(args, 1), bytes(args, 2));
    if right < 4 || (left > 0 && right < 7) {
        return Ok(value(args, 2).clone());
    }
    Ok(Value::text(abbreviate(text, left, right)))
}

/// Cuts to `width` bytes, `...` included; what is cut on the left depends on `offset`.
fn abbreviate(text: &[u8], offset: i64, width: i64) -> Vec<u8> {
    let Some(width) = size(width).filter(|w| *w >= 4 && text.len() > *w) else { return text.to_vec() };
    let kept = width - 3;
    // Go's numbers run over: the smallest offset is far to the right.
    let runs_over = i64::try_from(text.len()).is_ok_and(|length| length.checked_sub(offset).is_none());
    let mut offset = size(offset).unwrap_or(0).min(text.len());
    if runs_over || text.len() - offset < kept {
        offset = text.len() - kept;
    }
    if offset <= 4 {
        return [text.get(..kept).unwrap_or_default(), b"..."].concat();
    }
    if width < 7 {
        return Vec::new();
    }
    if offset + kept < text.len() {
        let inner = abbreviate(text.get(offset..).unwrap_or_default(), 0, i64::try_from(kept).unwrap_or(0));
        return [b"...", inner.as_slice()].concat();
    }
    [b"...", text.get(text.len() - kept..).unwrap_or_default()].concat()
}

fn trunc(count: i64, text: &[u8]) -> &[u8] {
    let magnitude = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if magnitude >= text.len() {
        return text;
    }
    let range = if count < 0 { text.get(text.len() - magnitude..) } else { text.get(..magnitude) };
    range.unwrap_or(text)
}

fn substr(start: i64, end: i64, text: &[u8]) -> Result<&[u8], Failure> {
    let whole = i64::try_from(text.len()).unwrap_or(i64::MAX);
    let (from, to) = match (start, end) {
        (start, end) if start < 0 => (0, end),
        (start, end) if end < 0 || end > whole => (start, whole),
        (start, end) => (start, end),
    };
    let range = size(from).zip(size(to)).and_then(|(from, to)| text.get(from..to));
    range.ok_or_else(|| format!("slice bounds out of range [{from}:{to}] with length {whole}").into())
}

/// Each character by itself; bytes that are no UTF-8 become U+FFFD.
fn mapped(text: &[u8], map: fn(char) -> char) -> Value {
    String::from_utf8_lossy(text).chars().map(map).collect::<String>().into()
}

pub(super) fn repeat(count: i64, text: &[u8], cx: &Context<'_>) -> Result<Vec<u8>, Failure> {
    let count = size(count).ok_or("strings: negative Repeat count")?;
    let total = count.checked_mul(text.len()).ok_or("strings: Repeat output length overflow")?;
    cx.fuel.bytes(total)?;
    Ok(text.repeat(count))
}

fn trim_all(args: &[Value], _: &Context<'_>) -> Answer {
    let set = text(args, 0);
    let text = marked(args, 1);
    // A byte that is no text is U+FFFD for Go.
    let any_byte = set.contains(char::REPLACEMENT_CHARACTER);
    let cut = |c| set.contains(c) || any_byte && text.is_mark(c);
    Ok(Value::Text(text.back(text.text().trim_matches(cut))))
}

/// Bytes as characters of their own, as goutils reads them.
fn latin(text: &[u8]) -> impl Iterator<Item = char> + '_ {
    text.iter().map(|b| char::from(*b))
}

fn initials(text: &[u8]) -> String {
    let mut gap = true;
    let mut out = String::new();
    for c in latin(text) {
        if !c.is_whitespace() && gap {
            out.push(c);
        }
        gap = c.is_whitespace();
    }
    out
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(haystack, needle)
}

fn quote(args: &[Value], cx: &Context<'_>) -> Answer {
    let mut out = Vec::new();
    for arg in args.iter().filter(|arg| arg.is_some()) {
        let text = text_of(arg, cx)?;
        cx.fuel.bytes(text.len().saturating_mul(4))?;
        out.push(crate::print::quote(text.as_bytes()));
    }
    Ok(out.join(" ").into())
}

fn squote(args: &[Value], cx: &Context<'_>) -> Answer {
    let mut out = Vec::new();
    for (i, arg) in args.iter().filter(|arg| arg.is_some()).enumerate() {
        if i > 0 {
            out.push(b' ');
        }
        out.push(b'\'');
        out.append(&mut crate::print::to_bytes(arg, cx)?);
        out.push(b'\'');
    }
    Ok(Value::text(out))
}

fn cat(args: &[Value], cx: &Context<'_>) -> Answer {
    let mut out = Vec::new();
    for (i, arg) in args.iter().filter(|arg| arg.is_some()).enumerate() {
        if i > 0 {
            out.push(b' ');
        }
        out.append(&mut crate::print::to_bytes(arg, cx)?);
    }
    Ok(Value::text(out))
}

fn indent(spaces: i64, text: &[u8], cx: &Context<'_>) -> Result<Vec<u8>, Failure> {
    let pad = repeat(spaces, b" ", cx)?;
    let lines = text.iter().filter(|b| **b == b'\n').count();
    cx.fuel.bytes(text.len() + pad.len().saturating_mul(lines + 1))?;
    let mut out = pad.clone();
    for byte in text {
        out.push(*byte);
        if *byte == b'\n' {
            out.extend_from_slice(&pad);
        }
    }
    Ok(out)
}

fn replace(old: &[u8], new: &[u8], text: &[u8], cx: &Context<'_>) -> Result<Vec<u8>, Failure> {
    pay_parts(text, old, cx)?;
    if old.is_empty() {
        // Go puts it before every character and at the end.
        let pieces = split(text, b"", -1);
        cx.fuel.bytes(text.len() + new.len().saturating_mul(pieces.len() + 1))?;
        let mut out = new.to_vec();
        for piece in pieces {
            out.extend_from_slice(piece);
            out.extend_from_slice(new);
        }
        return Ok(out);
    }
    let pieces = split(text, old, -1);
    cx.fuel.bytes(text.len() + new.len().saturating_mul(pieces.len()))?;
    Ok(pieces.join(new))
}

/// Pays for the parts of a text, before they are made.
fn pay_parts(text: &[u8], separator: &[u8], cx: &Context<'_>) -> Result<(), Failure> {
    let count = match separator {
        [] => text.len(),
        separator => memchr::memmem::find_iter(text, separator).count() + 1,
    };
    cx.fuel.steps(count as u64)?;
    cx.fuel.bytes(count.saturating_mul(PART_BYTES))
}

/// Go's `strings.SplitN`; an empty separator splits into characters.
pub(super) fn split<'a>(text: &'a [u8], separator: &[u8], limit: i64) -> Vec<&'a [u8]> {
    if limit == 0 {
        return Vec::new();
    }
    let limit = size(limit).unwrap_or(usize::MAX);
    let mut out = Vec::new();
    let mut left = text;
    if separator.is_empty() {
        for chunk in text.utf8_chunks() {
            let widths = chunk.valid().chars().map(char::len_utf8).chain(chunk.invalid().iter().map(|_| 1));
            for width in widths {
                if out.len() + 1 == limit {
                    break;
                }
                let (head, tail) = left.split_at_checked(width).unwrap_or((left, &[]));
                out.push(head);
                left = tail;
            }
        }
        if !left.is_empty() {
            out.push(left);
        }
        return out;
    }
    while out.len() + 1 < limit
        && let Some(at) = find(left, separator)
    {
        out.push(left.get(..at).unwrap_or_default());
        left = left.get(at + separator.len()..).unwrap_or_default();
    }
    out.push(left);
    out
}

/// `map[_0:... _1:...]`
fn numbered(parts: Vec<&[u8]>, cx: &Context<'_>) -> Answer {
    cx.fuel.steps(parts.len() as u64)?;
    let entries = parts.into_iter().enumerate().map(|(i, part)| (format!("_{i}"), Value::text(part)));
    Ok(Map::by_text(Type::Text, entries).into())
}

fn join(args: &[Value], cx: &Context<'_>) -> Answer {
    let parts = texts_of(value(args, 1), cx)?;
    let separator = bytes(args, 0);
    cx.fuel.bytes(parts.iter().map(|part| part.len() + separator.len()).sum())?;
    let parts: Vec<&[u8]> = parts.iter().map(Text::as_bytes).collect();
    Ok(Value::text(parts.join(separator)))
}

/// A nil `[]string`, which stays one.
fn is_nil_texts(value: &Value) -> bool {
    matches!(value, Value::List(list) if list.is_nil() && *list.elem() == Type::Text)
}

fn sort_alpha(args: &[Value], cx: &Context<'_>) -> Answer {
    let list = value(args, 0);
    if !list.is_some() {
        return Ok(text_list(vec![text_of(list, cx)?]));
    }
    if is_nil_texts(list) {
        return Ok(list.clone());
    }
    let mut texts = texts_of(list, cx)?;
    if matches!(list, Value::Bytes(_)) {
        texts.sort();
    }
    if let Value::List(list) = list {
        texts.sort();
        if *list.elem() == Type::Text {
            // Go sorts the very list that it was given.
            list.replace_shared(texts.iter().cloned().map(Value::Text).collect());
        }
    }
    Ok(text_list(texts))
}
