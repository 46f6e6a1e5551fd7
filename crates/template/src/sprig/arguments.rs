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

pub(super) fn int(args: &[Value], index: usize) -> i64 {
    match value(args, index) {
        Value::Int(_, n) => *n,
        _ => 0,
    }
}

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
        other => Ok(vec![text_of(other, cx)?]),
    }
}

/// `[]string`, which `sortAlpha` may sort in place.
pub(super) fn text_list(items: Vec<Text>) -> Value {
    Value::List(List::shared(Type::Text, items.into_iter().map(Value::Text).collect()))
}
