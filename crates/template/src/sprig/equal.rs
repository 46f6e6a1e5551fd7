//! Go's `reflect.DeepEqual`: same type, same contents.

use crate::context::Context;
use crate::error::Failure;
use crate::value::Value;

const DEPTH: usize = 64;

pub(super) fn deep_equal(a: &Value, b: &Value, cx: &Context<'_>) -> Result<bool, Failure> {
    equal(a, b, cx, 0)
}

fn equal(a: &Value, b: &Value, cx: &Context<'_>, depth: usize) -> Result<bool, Failure> {
    cx.fuel.steps(1)?;
    if depth > DEPTH {
        return Err(Failure::Exhausted(format!("a value nests more than {DEPTH} deep")));
    }
    Ok(match (a, b) {
        (Value::Missing | Value::Nil, Value::Missing | Value::Nil) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(j, a), Value::Int(k, b)) => j == k && a == b,
        (Value::Uint(j, a), Value::Uint(k, b)) => j == k && a == b,
        (Value::Float(j, a), Value::Float(k, b)) => j == k && a == b,
        (Value::Complex(a, b), Value::Complex(c, d)) => a == c && b == d,
        (Value::Text(a), Value::Text(b)) | (Value::Bytes(a), Value::Bytes(b)) => a == b,
        (Value::Time(a), Value::Time(b)) => a == b && a.zone.name() == b.zone.name(),
        (Value::List(a), Value::List(b)) => {
            if a.elem() != b.elem() || a.is_nil() != b.is_nil() || a.len() != b.len() {
                return Ok(false);
            }
            for (x, y) in a.iter().zip(b.iter()) {
                if !equal(&x, &y, cx, depth + 1)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Dict(left), Value::Dict(right)) if left.same(right) => true,
        (Value::Dict(_) | Value::Map(_), Value::Dict(_) | Value::Map(_)) => {
            if a.type_name() != b.type_name() || is_nil_map(a) != is_nil_map(b) {
                return Ok(false);
            }
            let (left, right) = (entries(a), entries(b));
            if left.len() != right.len() {
                return Ok(false);
            }
            for ((k, x), (l, y)) in left.iter().zip(&right) {
                if !equal(k, l, cx, depth + 1)? || !equal(x, y, cx, depth + 1)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Object(a), Value::Object(b)) => {
            if std::ptr::addr_eq(std::sync::Arc::as_ptr(a), std::sync::Arc::as_ptr(b)) {
                return Ok(true);
            }
            if a.type_name() != b.type_name() || a.is_pointer() != b.is_pointer() || a.is_nil() != b.is_nil() {
                return Ok(false);
            }
            if let (Some(x), Some(y)) = (a.underlying(), b.underlying()) {
                return equal(&x, &y, cx, depth + 1);
            }
            for name in a.fields() {
                let (x, y) = (a.field(&name).unwrap_or_default(), b.field(&name).unwrap_or_default());
                if !equal(&x, &y, cx, depth + 1)? {
                    return Ok(false);
                }
            }
            true
        }
        _ => false,
    })
}

fn is_nil_map(value: &Value) -> bool {
    matches!(value, Value::Map(map) if map.is_nil())
}

/// Sorted by key.
fn entries(map: &Value) -> Vec<(Value, Value)> {
    match map {
        Value::Dict(dict) => dict.entries().into_iter().map(|(k, v)| (Value::Text(k), v)).collect(),
        Value::Map(map) => map.keys().iter().filter_map(|key| Some((map.key_value(key), map.entry(key)?))).collect(),
        _ => Vec::new(),
    }
}
