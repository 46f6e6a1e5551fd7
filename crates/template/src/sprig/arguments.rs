//! Reads arguments that fit their signature already. What is absent reads as empty: the engine has counted.

use std::borrow::Cow;

use crate::value::{Text, Value};

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
