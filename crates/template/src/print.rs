//! Go's `fmt`: `%v` and its relatives for every value, with flags, widths, indexes and Go's own error texts.

mod flags;
mod float;
mod printf;
mod quote;
mod show;

use crate::context::Context;
use crate::error::Failure;
use crate::value::Value;

pub(crate) use float::format_float;
pub(crate) use printf::printf;
pub(crate) use quote::{is_print, quote};
use show::Printer;

/// A value as `{{ value }}` prints it: what a pointer points to, not the pointer.
pub(crate) fn write(out: &mut Vec<u8>, value: &Value, cx: &Context<'_>) -> Result<(), Failure> {
    match value {
        Value::Missing | Value::Nil => out.extend_from_slice(b"<no value>"),
        value => Printer::new(out, cx).shown(value)?,
    }
    Ok(())
}

/// Go's `Sprint(value)`, as it is used where a text is made of anything.
pub(crate) fn to_bytes(value: &Value, cx: &Context<'_>) -> Result<Vec<u8>, Failure> {
    let mut out = Vec::new();
    Printer::new(&mut out, cx).arg(value, 'v')?;
    Ok(out)
}

pub(crate) fn to_text(value: &Value, cx: &Context<'_>) -> Result<String, Failure> {
    to_bytes(value, cx).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// `print`: a space between two operands when neither is a string.
pub(crate) fn sprint(args: &[Value], cx: &Context<'_>) -> Result<Vec<u8>, Failure> {
    spaced(args, cx, false)
}

/// `print` of what pointers point to, as `html` and its kind see their arguments.
pub(crate) fn sprint_shown(args: &[Value], cx: &Context<'_>) -> Result<Vec<u8>, Failure> {
    spaced(args, cx, true)
}

fn spaced(args: &[Value], cx: &Context<'_>, through_pointers: bool) -> Result<Vec<u8>, Failure> {
    let mut out = Vec::new();
    let mut after_text = true;
    for (i, arg) in args.iter().enumerate() {
        let is_text = matches!(arg.underlying().as_ref(), Value::Text(_));
        if i > 0 && !is_text && !after_text {
            out.push(b' ');
        }
        let mut printer = Printer::new(&mut out, cx);
        if through_pointers { printer.shown(arg) } else { printer.arg(arg, 'v') }?;
        after_text = is_text;
    }
    Ok(out)
}

/// `println`: spaces always, and a newline.
pub(crate) fn sprintln(args: &[Value], cx: &Context<'_>) -> Result<Vec<u8>, Failure> {
    let mut out = Vec::new();
    for (i, arg) in args.iter().enumerate() {
        if i > 0 {
            out.push(b' ');
        }
        Printer::new(&mut out, cx).arg(arg, 'v')?;
    }
    out.push(b'\n');
    Ok(out)
}
