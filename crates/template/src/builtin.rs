//! The functions that Go's text/template has of itself, except `and`, `or` and `slice`.

use std::sync::Arc;

use crate::context::Context;
use crate::error::Failure;
use crate::host::Param::{Any, Raw, Text as TextParam};
use crate::print;
use crate::sprig::{Answer, Native, native, variadic};
use crate::value::{Key, Object, Type, UintKind, Value};

pub(crate) const TABLE: &[Native] = &[
    native("not", &[Raw], |args, _| Ok(Value::Bool(!first(args).is_true()))),
    native("len", &[Raw], |args, _| len(first(args)).map(Value::from)),
    variadic("index", &[Raw], Raw, index),
    variadic("call", &[Raw], Raw, call),
    variadic("eq", &[Raw], Raw, |args, cx| eq(args, cx).map(Value::Bool)),
    native("ne", &[Raw, Raw], |args, cx| eq(args, cx).map(|b| Value::Bool(!b))),
    native("lt", &[Raw, Raw], |args, _| less(args).map(Value::Bool)),
    native("le", &[Raw, Raw], |args, cx| less_or_equal(args, cx).map(Value::Bool)),
    native("gt", &[Raw, Raw], |args, cx| less_or_equal(args, cx).map(|b| Value::Bool(!b))),
    native("ge", &[Raw, Raw], |args, _| less(args).map(|b| Value::Bool(!b))),
    variadic("print", &[], Any, |args, cx| print::sprint(args, cx).map(Value::text)),
    variadic("println", &[], Any, |args, cx| print::sprintln(args, cx).map(Value::text)),
    variadic("printf", &[TextParam], Any, printf),
    variadic("html", &[], Any, |args, cx| Ok(Value::Text(html(&joined(args, cx)?).into()))),
    variadic("js", &[], Any, |args, cx| Ok(Value::text(js(&joined(args, cx)?)))),
    variadic("urlquery", &[], Any, |args, cx| Ok(Value::Text(query_escape(&joined(args, cx)?).into()))),
];

fn first(args: &[Value]) -> &Value {
    args.first().unwrap_or(&Value::Missing)
}

fn printf(args: &[Value], cx: &Context<'_>) -> Answer {
    let (format, rest) = args.split_first().ok_or("printf needs a format")?;
    let format = format.as_text().ok_or("the format is no string")?;
    print::printf(format.as_bytes(), rest, cx).map(Value::text)
}

/// Go's `len`: bytes of a text, elements of a list or a map.
pub(crate) fn len(value: &Value) -> Result<usize, Failure> {
    match value {
        Value::Text(text) | Value::Bytes(text) => Ok(text.len()),
        Value::List(list) => Ok(list.len()),
        Value::Map(map) => Ok(map.len()),
        Value::Dict(dict) => Ok(dict.len()),
        Value::Missing | Value::Nil => Err("len of nil".into()),
        Value::Object(object) if object.is_pointer() && object.is_nil() => Err("len of nil pointer".into()),
        Value::Object(object) if !object.is_pointer() => match (object.length(), object.underlying()) {
            (Some(len), _) => Ok(len),
            (None, Some(inner)) => len(&inner),
            _ => Err(format!("len of type {}", value.type_name()).into()),
        },
        _ => Err(format!("len of type {}", value.type_name()).into()),
    }
}

fn index(args: &[Value], _: &Context<'_>) -> Answer {
    let (item, indexes) = args.split_first().ok_or("index of untyped nil")?;
    if !item.is_some() {
        return Err("index of untyped nil".into());
    }
    let mut item = item.clone();
    for index in indexes {
        item = index_once(&item, index)?;
    }
    Ok(item)
}

fn index_once(item: &Value, index: &Value) -> Answer {
    match item.underlying().as_ref() {
        Value::Missing | Value::Nil => Err("index of nil pointer".into()),
        Value::Object(object) if object.is_nil() => Err("index of nil pointer".into()),
        Value::List(list) => {
            let at = position(index, list.len(), "slice")?;
            list.item(at).ok_or_else(|| "reflect: slice index out of range".into())
        }
        Value::Text(text) => {
            let at = position(index, text.len(), "string")?;
            let byte = text.as_bytes().get(at).copied().unwrap_or_default();
            Ok(Value::Uint(UintKind::U8, byte.into()))
        }
        Value::Bytes(bytes) => {
            let at = position(index, bytes.len(), "slice")?;
            let byte = bytes.as_bytes().get(at).copied().unwrap_or_default();
            Ok(Value::Uint(UintKind::U8, byte.into()))
        }
        Value::Dict(dict) => {
            let key = map_key(index, &Type::Text)?;
            Ok(match key {
                Key::Text(text) => dict.entry(text.as_bytes()).unwrap_or(Value::Nil),
                Key::Int(_) => Value::Nil,
            })
        }
        Value::Map(map) => {
            let key = map_key(index, &map.ty().key)?;
            Ok(map.entry(&key).unwrap_or_else(|| map.ty().elem.zero()))
        }
        _ => Err(format!("can't index item of type {}", item.type_name()).into()),
    }
}

fn position(index: &Value, len: usize, what: &str) -> Result<usize, Failure> {
    let at = match index.underlying().as_ref() {
        Value::Int(_, n) => i128::from(*n),
        Value::Uint(_, n) => i128::from(*n),
        Value::Missing | Value::Nil => return Err("cannot index slice/array with nil".into()),
        _ => return Err(format!("cannot index slice/array with type {}", index.type_name()).into()),
    };
    match usize::try_from(at) {
        Ok(at) if at < len => Ok(at),
        Ok(at) if at == len => Err(format!("reflect: {what} index out of range").into()),
        _ => Err(format!("index out of range: {at}").into()),
    }
}

fn map_key(index: &Value, wanted: &Type) -> Result<Key, Failure> {
    match (index, wanted) {
        (Value::Text(text), Type::Text) => Ok(Key::Text(text.clone())),
        (Value::Int(_, n), Type::Int(_) | Type::Uint(_)) => Ok(Key::Int(*n)),
        (Value::Uint(_, n), Type::Int(_) | Type::Uint(_)) => Ok(Key::Int(n.cast_signed())),
        (Value::Missing | Value::Nil, _) => Err(format!("value is nil; should be of type {}", wanted.name()).into()),
        _ => Err(format!("value has type {}; should be {}", index.type_name(), wanted.name()).into()),
    }
}

fn call(args: &[Value], cx: &Context<'_>) -> Answer {
    let (function, args) = args.split_first().ok_or("call of nil")?;
    match function {
        Value::Func(f) => {
            if let Some(want) = f.arity().filter(|want| *want != args.len()) {
                return Err(format!("wrong number of args: got {} want {want}", args.len()).into());
            }
            f.call(args, cx)
        }
        Value::Missing | Value::Nil => Err("call of nil".into()),
        other => Err(format!("non-function of type {}", other.type_name()).into()),
    }
}

/// What scalars are compared as.
#[derive(PartialEq)]
enum Basic {
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Complex(f64, f64),
    Text(crate::value::Text),
    Other,
}

fn basic(value: &Value) -> Basic {
    match value.underlying().as_ref() {
        Value::Bool(b) => Basic::Bool(*b),
        Value::Int(_, n) => Basic::Int(*n),
        Value::Uint(_, n) => Basic::Uint(*n),
        Value::Float(_, f) => Basic::Float(*f),
        Value::Complex(re, im) => Basic::Complex(*re, *im),
        Value::Text(text) => Basic::Text(text.clone()),
        _ => Basic::Other,
    }
}

fn incompatible(a: &Value, b: &Value) -> Failure {
    let message = format!("incompatible types for comparison: {} and {}", a.type_name(), b.type_name());
    Failure::Message(message)
}

/// Whether the first equals any of the others.
pub(crate) fn eq(args: &[Value], cx: &Context<'_>) -> Result<bool, Failure> {
    let (one, others) = args.split_first().ok_or("missing argument for comparison")?;
    if others.is_empty() {
        return Err("missing argument for comparison".into());
    }
    for other in others {
        if eq_two(one, other, cx)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn eq_two(a: &Value, b: &Value, cx: &Context<'_>) -> Result<bool, Failure> {
    match (basic(a), basic(b)) {
        (Basic::Int(x), Basic::Uint(y)) | (Basic::Uint(y), Basic::Int(x)) => Ok(u64::try_from(x).is_ok_and(|x| x == y)),
        (Basic::Other, Basic::Other) => eq_others(a, b, cx),
        (x, y) if std::mem::discriminant(&x) == std::mem::discriminant(&y) => Ok(x == y),
        _ if a.is_some() && b.is_some() => Err(incompatible(a, b)),
        _ => Ok(false),
    }
}

fn eq_others(a: &Value, b: &Value, cx: &Context<'_>) -> Result<bool, Failure> {
    if a.is_some() && b.is_some() && a.kind_name() != b.kind_name() {
        let message = format!("non-comparable types {} and {}", a.type_name(), b.type_name());
        return Err(message.into());
    }
    if is_nil(a) || is_nil(b) {
        return Ok(is_nil(a) == is_nil(b));
    }
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => same_object(a, b, cx),
        (Value::Time(a), Value::Time(b)) => Ok(a == b),
        _ => Err(format!("non-comparable type {}", b.type_name()).into()),
    }
}

fn is_nil(value: &Value) -> bool {
    match value {
        Value::Missing | Value::Nil => true,
        Value::List(list) => list.is_nil(),
        Value::Map(map) => map.is_nil(),
        Value::Object(object) => object.is_pointer() && object.is_nil(),
        _ => false,
    }
}

/// Pointers are equal when they are the same, structs when their fields are.
fn same_object(a: &Arc<dyn Object>, b: &Arc<dyn Object>, cx: &Context<'_>) -> Result<bool, Failure> {
    if std::ptr::addr_eq(Arc::as_ptr(a), Arc::as_ptr(b)) {
        return Ok(true);
    }
    if a.is_pointer() || b.is_pointer() || a.type_name() != b.type_name() {
        let known = a.is_pointer() && b.is_pointer() && a.identity() != 0;
        return Ok(known && a.identity() == b.identity() && a.type_name() == b.type_name());
    }
    for name in a.fields() {
        cx.fuel.steps(1)?;
        let (Some(x), Some(y)) = (a.field(&name), b.field(&name)) else { return Ok(false) };
        if !eq_two(&x, &y, cx)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn less(args: &[Value]) -> Result<bool, Failure> {
    let [a, b] = args else { return Err("missing argument for comparison".into()) };
    let not_ordered = || Failure::new("invalid type for comparison");
    match (basic(a), basic(b)) {
        (Basic::Other, _) | (_, Basic::Other) => Err(not_ordered()),
        (Basic::Int(x), Basic::Int(y)) => Ok(x < y),
        (Basic::Uint(x), Basic::Uint(y)) => Ok(x < y),
        (Basic::Float(x), Basic::Float(y)) => Ok(x < y),
        (Basic::Text(x), Basic::Text(y)) => Ok(x < y),
        (Basic::Int(x), Basic::Uint(y)) => Ok(u64::try_from(x).is_ok_and(|x| x < y) || x < 0),
        (Basic::Uint(x), Basic::Int(y)) => Ok(u64::try_from(y).is_ok_and(|y| x < y)),
        (Basic::Bool(_), Basic::Bool(_)) | (Basic::Complex(..), Basic::Complex(..)) => Err(not_ordered()),
        _ => Err(incompatible(a, b)),
    }
}

fn less_or_equal(args: &[Value], cx: &Context<'_>) -> Result<bool, Failure> {
    Ok(less(args)? || eq(args, cx)?)
}

/// All arguments as one text; pointers count as what they point to.
fn joined(args: &[Value], cx: &Context<'_>) -> Result<Vec<u8>, Failure> {
    if let [Value::Text(text)] = args {
        // Each letter may become six.
        cx.fuel.bytes(text.len().saturating_mul(6))?;
        return Ok(text.as_bytes().to_vec());
    }
    let nothing = Value::from("<no value>");
    let args: Vec<Value> = args.iter().map(|arg| if arg.is_some() { arg } else { &nothing }).cloned().collect();
    let joined = print::sprint_shown(&args, cx)?;
    cx.fuel.bytes(joined.len().saturating_mul(6))?;
    Ok(joined)
}

fn html(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            0 => out.extend_from_slice("\u{fffd}".as_bytes()),
            b'"' => out.extend_from_slice(b"&#34;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            byte => out.push(*byte),
        }
    }
    out
}

fn js(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => out.extend_from_slice(b"\\\\"),
                '\'' => out.extend_from_slice(b"\\'"),
                '"' => out.extend_from_slice(b"\\\""),
                '<' | '>' | '&' | '=' => out.extend_from_slice(format!("\\u{:04X}", u32::from(c)).as_bytes()),
                c if c < ' ' || (!c.is_ascii() && !print::is_print(c)) => {
                    out.extend_from_slice(format!("\\u{:04X}", u32::from(c)).as_bytes());
                }
                c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        out.extend_from_slice(chunk.invalid());
    }
    out
}

/// Go's `url.QueryEscape`.
pub(crate) fn query_escape(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text {
        match byte {
            b' ' => out.push('+'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(*byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
