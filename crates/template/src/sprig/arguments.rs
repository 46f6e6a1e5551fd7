//! Reads arguments that fit their signature already. What is absent reads as empty: the engine has counted.

use std::borrow::Cow;

use crate::context::Context;
use crate::error::Failure;
use crate::print;
use crate::value::{List, Text, Type, Value};

pub(super) fn value(args: &[Value], index: usize) -> &Value {
    args.get(index).unwrap_or(&Value::Nil)
}

pub(super) fn bytes(args: &[Value], index: usize) -> &[u8] {
    value(args, index).as_text().map_or(&[], Text::as_bytes)
}

pub(super) fn text(args: &[Value], index: usize) -> Cow<'_, str> {
    value(args, index).as_text().map_or(Cow::Borrowed(""), Text::to_str)
}

/// A text in which each byte that is no UTF-8 is a character of the last private plane, so that functions on
/// characters leave it alone; [`Marked::back`] makes it that byte again.
pub(super) struct Marked<'a>(Cow<'a, str>);

const FIRST_MARK: u32 = 0x10_FE00;

pub(super) fn marked(args: &[Value], index: usize) -> Marked<'_> {
    let bytes = bytes(args, index);
    Marked(mark(bytes))
}

pub(super) fn is_mark(c: char) -> bool {
    (FIRST_MARK..FIRST_MARK + 0x100).contains(&u32::from(c))
}

/// Bytes as a text, those that are none as characters of the last plane.
pub(super) fn mark(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => {
            let mut text = String::with_capacity(bytes.len() * 2);
            for chunk in bytes.utf8_chunks() {
                text.push_str(chunk.valid());
                text.extend(chunk.invalid().iter().filter_map(|b| char::from_u32(FIRST_MARK + u32::from(*b))));
            }
            Cow::Owned(text)
        }
    }
}

/// The bytes that [`mark`] was given.
pub(super) fn unmark(made: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(made.len());
    for c in made.chars() {
        match u32::from(c).checked_sub(FIRST_MARK).and_then(|byte| u8::try_from(byte).ok()) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

impl Marked<'static> {
    pub(super) fn plain(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl Marked<'_> {
    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// Whether a character stands for a byte that is no text.
    pub(super) fn is_mark(&self, c: char) -> bool {
        matches!(self.0, Cow::Owned(_)) && is_mark(c)
    }

    /// What a function made of the text.
    pub(super) fn back(&self, made: &str) -> Text {
        if matches!(self.0, Cow::Borrowed(_)) {
            return made.into();
        }
        unmark(made).into()
    }

    /// What a function made of this text and another.
    pub(super) fn back_with(&self, other: &Marked<'_>, made: &str) -> Text {
        let plain = matches!((&self.0, &other.0), (Cow::Borrowed(_), Cow::Borrowed(_)));
        if plain { made.into() } else { unmark(made).into() }
    }
}

pub(super) fn int(args: &[Value], index: usize) -> i64 {
    match value(args, index) {
        Value::Int(_, n) => *n,
        _ => 0,
    }
}

/// What an element of a list of short texts takes in memory, roughly.
pub(super) const PART_BYTES: usize = 96;

/// The arguments from number `index` on.
pub(super) fn rest(args: &[Value], index: usize) -> &[Value] {
    args.get(index..).unwrap_or_default()
}

/// A count or an offset; `None`: it is negative.
pub(super) fn size(n: i64) -> Option<usize> {
    usize::try_from(n).ok()
}

/// Sprig's `strval`: bytes count as text, and types that print themselves do.
pub(super) fn text_of(value: &Value, cx: &Context<'_>) -> Result<Text, Failure> {
    match value {
        Value::Text(text) | Value::Bytes(text) => Ok(text.clone()),
        Value::Object(object) if !object.is_nil() => match object.text() {
            Some(text) => Ok(text),
            None => print::to_bytes(value, cx).map(Text::from),
        },
        other => print::to_bytes(other, cx).map(Text::from),
    }
}

/// Sprig's `strslice`: lists by element without nils, anything else as a list of one.
pub(super) fn texts_of(value: &Value, cx: &Context<'_>) -> Result<Vec<Text>, Failure> {
    match value {
        Value::Missing | Value::Nil => Ok(Vec::new()),
        Value::List(list) if *list.elem() == Type::Text => {
            cx.fuel.steps(list.len() as u64)?;
            Ok(list.iter().filter_map(|item| item.as_text().cloned()).collect())
        }
        Value::List(list) => {
            cx.fuel.steps(list.len() as u64)?;
            list.iter().filter(Value::is_some).map(|item| text_of(&item, cx)).collect()
        }
        Value::Bytes(bytes) => {
            cx.fuel.steps(bytes.len() as u64)?;
            cx.fuel.bytes(bytes.len().saturating_mul(PART_BYTES))?;
            Ok(bytes.as_bytes().iter().map(|byte| byte.to_string().into()).collect())
        }
        other => Ok(vec![text_of(other, cx)?]),
    }
}

/// `[]string`, which `sortAlpha` may sort in place.
pub(super) fn text_list(items: Vec<Text>) -> Value {
    Value::List(List::shared(Type::Text, items.into_iter().map(Value::Text).collect()))
}
