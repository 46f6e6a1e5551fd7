//! Functions on dicts. `set`, `unset` and the merges change the first dict in place; data of the host is copied first.

use super::arguments::{bytes, rest, text_of, value};
use super::lists::new_list;
use super::{Answer, Native, native, variadic};
use crate::context::Context;
use crate::error::Failure;
use crate::host::Param::{Any, Dict as DictParam, Text as TextParam};
use crate::value::{Dict, Key, List, Text, Type, Value};

pub(super) const TABLE: &[Native] = &[
    variadic("dict", &[], Any, dict),
    native("get", &[DictParam, TextParam], |a, _| Ok(entry(value(a, 0), bytes(a, 1)).unwrap_or_else(|| "".into()))),
    native("set", &[DictParam, TextParam, Any], set),
    native("unset", &[DictParam, TextParam], unset),
    native("hasKey", &[DictParam, TextParam], |a, _| Ok(has(value(a, 0), bytes(a, 1)).into())),
    variadic("pluck", &[TextParam], DictParam, pluck),
    variadic("keys", &[], DictParam, keys),
    native("values", &[DictParam], |a, cx| {
        Ok(new_list(entries(value(a, 0), cx)?.into_iter().map(|(_, v)| v).collect()))
    }),
    variadic("pick", &[DictParam], TextParam, |a, cx| picked(a, true, cx)),
    variadic("omit", &[DictParam], TextParam, |a, cx| picked(a, false, cx)),
    variadic("merge", &[DictParam], DictParam, |a, cx| merged(a, false, cx)),
    variadic("mustMerge", &[DictParam], DictParam, |a, cx| merged(a, false, cx)),
    variadic("mergeOverwrite", &[DictParam], DictParam, |a, cx| merged(a, true, cx)),
    variadic("mustMergeOverwrite", &[DictParam], DictParam, |a, cx| merged(a, true, cx)),
    variadic("dig", &[], Any, dig),
    native("deepCopy", &[Any], copy),
    native("mustDeepCopy", &[Any], copy),
];

const DEPTH: usize = 64;

fn too_deep() -> Failure {
    Failure::Exhausted(format!("a value nests more than {DEPTH} deep"))
}

fn dict(args: &[Value], cx: &Context<'_>) -> Answer {
    cx.fuel.bytes(std::mem::size_of_val(args))?;
    let made = Dict::default();
    for pair in args.chunks(2) {
        made.insert(text_of(value(pair, 0), cx)?, pair.get(1).cloned().unwrap_or_else(|| "".into()));
    }
    Ok(made.into())
}

fn entry(map: &Value, key: &[u8]) -> Option<Value> {
    match map {
        Value::Dict(dict) => dict.entry(key),
        Value::Map(map) => map.entry(&Key::Text(Text::new(key))),
        _ => None,
    }
}

fn has(map: &Value, key: &[u8]) -> bool {
    match map {
        Value::Dict(dict) => dict.has(key),
        Value::Map(map) => map.has(&Key::Text(Text::new(key))),
        _ => false,
    }
}

/// Sorted by key.
fn entries(map: &Value, cx: &Context<'_>) -> Result<Vec<(Text, Value)>, Failure> {
    let entries = match map {
        Value::Dict(dict) => dict.entries(),
        Value::Map(map) => map
            .keys()
            .into_iter()
            .filter_map(|key| {
                let value = map.entry(&key)?;
                if let Key::Text(text) = key { Some((text, value)) } else { None }
            })
            .collect(),
        _ => Vec::new(),
    };
    cx.fuel.steps(entries.len() as u64)?;
    cx.fuel.bytes(entries.len() * size_of::<Value>())?;
    Ok(entries)
}

/// A dict that may be changed: itself, or a copy of what belongs to the host. `None`: a nil map.
fn changeable(map: &Value, cx: &Context<'_>) -> Result<Option<Dict>, Failure> {
    Ok(match map {
        Value::Dict(dict) => Some(dict.clone()),
        Value::Map(map) if map.is_nil() => None,
        map => Some(Dict::new(entries(map, cx)?)),
    })
}

fn set(args: &[Value], cx: &Context<'_>) -> Answer {
    let dict = changeable(value(args, 0), cx)?.ok_or("assignment to entry in nil map")?;
    put(&dict, Text::new(bytes(args, 1)), value(args, 2).clone(), cx)?;
    Ok(dict.into())
}

fn unset(args: &[Value], cx: &Context<'_>) -> Answer {
    let Some(dict) = changeable(value(args, 0), cx)? else { return Ok(value(args, 0).clone()) };
    dict.remove(bytes(args, 1));
    Ok(dict.into())
}

/// Puts a value into a dict, unless the dict would then hold itself and could never be freed or printed.
fn put(dict: &Dict, key: Text, value: Value, cx: &Context<'_>) -> Result<(), Failure> {
    if holds(&value, dict, cx, 0)? {
        return Err("a dict cannot be put into itself".into());
    }
    cx.fuel.bytes(key.len() + size_of::<Value>())?;
    dict.insert(key, value);
    Ok(())
}

fn holds(value: &Value, wanted: &Dict, cx: &Context<'_>, depth: usize) -> Result<bool, Failure> {
    if depth > DEPTH {
        return Err(too_deep());
    }
    let inner: Vec<Value> = match value {
        Value::Dict(dict) if dict.same(wanted) => return Ok(true),
        Value::Dict(dict) => dict.entries().into_iter().map(|(_, v)| v).collect(),
        Value::List(list) => match list.elem() {
            Type::Any | Type::List(_) | Type::Map(_) => list.to_vec(),
            _ => return Ok(false),
        },
        _ => return Ok(false),
    };
    cx.fuel.steps(inner.len() as u64)?;
    for item in &inner {
        if holds(item, wanted, cx, depth + 1)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn pluck(args: &[Value], _: &Context<'_>) -> Answer {
    Ok(new_list(rest(args, 1).iter().filter_map(|dict| entry(dict, bytes(args, 0))).collect()))
}

/// Sorted, where Go has them in any order.
fn keys(args: &[Value], cx: &Context<'_>) -> Answer {
    let mut keys = Vec::new();
    for dict in args {
        keys.extend(entries(dict, cx)?.into_iter().map(|(key, _)| Value::Text(key)));
    }
    Ok(Value::List(List::shared(Type::Text, keys)))
}

fn picked(args: &[Value], keep: bool, cx: &Context<'_>) -> Answer {
    let named = |key: &Text| rest(args, 1).iter().any(|name| name.as_text() == Some(key));
    let kept = entries(value(args, 0), cx)?.into_iter().filter(|(key, _)| named(key) == keep);
    Ok(Dict::new(kept).into())
}

fn merged(args: &[Value], overwrite: bool, cx: &Context<'_>) -> Answer {
    let Some(target) = changeable(value(args, 0), cx)? else {
        // A nil map becomes one with the first source that is none.
        if rest(args, 1).iter().all(|source| matches!(source, Value::Map(map) if map.is_nil())) {
            return Ok(value(args, 0).clone());
        }
        let target = Dict::default();
        for source in rest(args, 1) {
            merge(&target, source, overwrite, cx, 0)?;
        }
        return Ok(target.into());
    };
    for source in rest(args, 1) {
        merge(&target, source, overwrite, cx, 0)?;
    }
    Ok(target.into())
}

/// As mergo 1.0.1 does it: dicts in dicts are merged, anything else is taken where the target is empty, or always.
fn merge(target: &Dict, source: &Value, overwrite: bool, cx: &Context<'_>, depth: usize) -> Result<(), Failure> {
    if depth > DEPTH {
        return Err(too_deep());
    }
    for (key, new) in entries(source, cx)? {
        let old = target.entry(key.as_bytes());
        if !new.is_some() {
            if overwrite {
                put(target, key, new, cx)?;
            }
            continue;
        }
        if let (Some(old @ (Value::Dict(_) | Value::Map(_))), Value::Dict(_) | Value::Map(_)) = (&old, &new)
            && let Some(inner) = changeable(old, cx)?
        {
            merge(&inner, &new, overwrite, cx, depth + 1)?;
            if !inner.is_empty() {
                put(target, key, inner.into(), cx)?;
                continue;
            }
        }
        if overwrite || !old.is_some_and(|old| old.is_true()) {
            put(target, key, new, cx)?;
        }
    }
    Ok(())
}

/// `dig KEY... DEFAULT DICT`
fn dig(args: &[Value], _: &Context<'_>) -> Answer {
    let [keys @ .., default, dict] = args else { return Err("dig needs at least three arguments".into()) };
    if keys.is_empty() {
        return Err("dig needs at least three arguments".into());
    }
    let is_dict = |value: &Value| match value {
        Value::Dict(_) => true,
        Value::Map(map) => map.ty().elem == Type::Any,
        _ => false,
    };
    if !is_dict(dict) {
        return Err(format!("dig looks into a map[string]interface {{}}, not into {}", dict.type_name()).into());
    }
    let text =
        |key: &Value| key.as_text().cloned().ok_or_else(|| format!("a key of dig is {}, not string", key.type_name()));
    let keys = keys.iter().map(text).collect::<Result<Vec<Text>, String>>()?;
    let mut found = dict.clone();
    for (i, key) in keys.iter().enumerate() {
        let Some(next) = entry(&found, key.as_bytes()) else { return Ok(default.clone()) };
        if i + 1 < keys.len() && !is_dict(&next) {
            return Err(format!("dig finds {} at {key:?}, not a dict", next.type_name()).into());
        }
        found = next;
    }
    Ok(found)
}

fn copy(args: &[Value], cx: &Context<'_>) -> Answer {
    let whole = value(args, 0);
    if whole.is_some() { deep_copy(whole, cx, 0) } else { Err("nil cannot be copied".into()) }
}

fn deep_copy(value: &Value, cx: &Context<'_>, depth: usize) -> Answer {
    if depth > DEPTH {
        return Err(too_deep());
    }
    Ok(match value {
        Value::List(list) if !list.is_nil() => {
            cx.fuel.steps(list.len() as u64)?;
            cx.fuel.bytes(list.len() * size_of::<Value>())?;
            let items = list.iter().map(|item| deep_copy(&item, cx, depth + 1)).collect::<Result<_, _>>()?;
            Value::List(List::shared(list.elem().clone(), items))
        }
        Value::Dict(_) => copy_entries(value, cx, depth)?,
        Value::Map(map) if !map.is_nil() && map.ty().key == Type::Text && map.ty().elem == Type::Any => {
            copy_entries(value, cx, depth)?
        }
        other => other.clone(),
    })
}

fn copy_entries(map: &Value, cx: &Context<'_>, depth: usize) -> Answer {
    let copy = Dict::default();
    for (key, item) in entries(map, cx)? {
        copy.insert(key, deep_copy(&item, cx, depth + 1)?);
    }
    Ok(copy.into())
}
