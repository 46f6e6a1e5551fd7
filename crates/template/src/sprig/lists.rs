//! Functions on lists. All but `sortAlpha` make new lists.

use super::arguments::{int, rest, size, value};
use super::numbers::to_int64;
use super::{Answer, Native, equal, native, variadic};
use crate::context::Context;
use crate::error::Failure;
use crate::host::Param::{Any, Int};
use crate::value::{IntKind, List, Text, Type, UintKind, Value};

pub(super) const TABLE: &[Native] = &[
    variadic("list", &[], Any, list),
    variadic("tuple", &[], Any, list),
    native("append", &[Any, Any], append),
    native("mustAppend", &[Any, Any], append),
    native("push", &[Any, Any], append),
    native("mustPush", &[Any, Any], append),
    native("prepend", &[Any, Any], prepend),
    native("mustPrepend", &[Any, Any], prepend),
    native("chunk", &[Int, Any], chunk),
    native("mustChunk", &[Int, Any], chunk),
    native("first", &[Any], |a, cx| {
        Ok(items(a, 0, "Cannot find first on", cx)?.into_iter().next().unwrap_or_default())
    }),
    native("mustFirst", &[Any], |a, cx| {
        Ok(items(a, 0, "Cannot find first on", cx)?.into_iter().next().unwrap_or_default())
    }),
    native("last", &[Any], |a, cx| Ok(items(a, 0, "Cannot find last on", cx)?.pop().unwrap_or_default())),
    native("mustLast", &[Any], |a, cx| Ok(items(a, 0, "Cannot find last on", cx)?.pop().unwrap_or_default())),
    native("rest", &[Any], tail),
    native("mustRest", &[Any], tail),
    native("initial", &[Any], initial),
    native("mustInitial", &[Any], initial),
    native("reverse", &[Any], reverse),
    native("mustReverse", &[Any], reverse),
    native("compact", &[Any], compact),
    native("mustCompact", &[Any], compact),
    native("uniq", &[Any], uniq),
    native("mustUniq", &[Any], uniq),
    variadic("without", &[Any], Any, without),
    variadic("mustWithout", &[Any], Any, without),
    native("has", &[Any, Any], has),
    native("mustHas", &[Any, Any], has),
    variadic("slice", &[Any], Any, slice),
    variadic("mustSlice", &[Any], Any, slice),
    variadic("concat", &[], Any, concat),
    native("until", &[Int], |a, cx| {
        let count = int(a, 0);
        until(0, count, if count < 0 { -1 } else { 1 }, cx).map(numbers)
    }),
    native("untilStep", &[Int, Int, Int], |a, cx| until(int(a, 0), int(a, 1), int(a, 2), cx).map(numbers)),
    variadic("seq", &[], Int, seq),
];

/// A new list, which later functions may sort in place.
pub(super) fn new_list(items: Vec<Value>) -> Value {
    Value::List(List::shared(Type::Any, items))
}

fn list(args: &[Value], cx: &Context<'_>) -> Answer {
    cx.fuel.bytes(std::mem::size_of_val(args))?;
    Ok(new_list(args.to_vec()))
}

/// The elements of a list argument; anything else is an error that begins with `refusal`.
fn items(args: &[Value], i: usize, refusal: &str, cx: &Context<'_>) -> Result<Vec<Value>, Failure> {
    let items = match value(args, i).underlying().as_ref() {
        Value::List(list) => {
            pay(list.len(), cx)?;
            list.to_vec()
        }
        Value::Bytes(bytes) => {
            pay(bytes.len(), cx)?;
            bytes.as_bytes().iter().map(|b| Value::Uint(UintKind::U8, u64::from(*b))).collect()
        }
        Value::Missing | Value::Nil => return Err(format!("{refusal} a nil list").into()),
        other => return Err(format!("{refusal} type {}", other.kind_name()).into()),
    };
    Ok(items)
}

/// A step and the room for each element.
fn pay(count: usize, cx: &Context<'_>) -> Result<(), Failure> {
    cx.fuel.steps(count as u64)?;
    cx.fuel.bytes(count.saturating_mul(size_of::<Value>()))
}

fn append(args: &[Value], cx: &Context<'_>) -> Answer {
    let mut list = items(args, 0, "Cannot push on", cx)?;
    list.push(value(args, 1).clone());
    Ok(new_list(list))
}

fn prepend(args: &[Value], cx: &Context<'_>) -> Answer {
    let mut list = items(args, 0, "Cannot prepend on", cx)?;
    list.insert(0, value(args, 1).clone());
    Ok(new_list(list))
}

fn chunk(args: &[Value], cx: &Context<'_>) -> Answer {
    let list = items(args, 1, "Cannot chunk", cx)?;
    let wanted = int(args, 0);
    let chunks = match size(wanted).filter(|n| *n > 0) {
        Some(length) => list.chunks(length).map(|part| new_list(part.to_vec())).collect(),
        // Sprig counts the chunks by a division that forgives some negative sizes.
        None => match (list.len(), wanted) {
            (1, ..=-2) => vec![new_list(list)],
            (len, ..=-1) if len > 1 && len as u64 <= wanted.unsigned_abs() + 1 => Vec::new(),
            (len, ..=-1) if len > 1 && (len as u64 - 1).div_ceil(wanted.unsigned_abs()) == 1 => Vec::new(),
            _ => return Err("the size of a chunk must be 1 or more".into()),
        },
    };
    Ok(Value::List(List::shared(Type::list(Type::Any), chunks)))
}

fn tail(args: &[Value], cx: &Context<'_>) -> Answer {
    let list = items(args, 0, "Cannot find rest on", cx)?;
    Ok(match list.split_first() {
        Some((_, tail)) => new_list(tail.to_vec()),
        None => Value::List(List::nil(Type::Any)),
    })
}

fn initial(args: &[Value], cx: &Context<'_>) -> Answer {
    let mut list = items(args, 0, "Cannot find initial on", cx)?;
    Ok(match list.pop() {
        Some(_) => new_list(list),
        None => Value::List(List::nil(Type::Any)),
    })
}

fn reverse(args: &[Value], cx: &Context<'_>) -> Answer {
    let mut list = items(args, 0, "Cannot find reverse on", cx)?;
    list.reverse();
    Ok(new_list(list))
}

fn compact(args: &[Value], cx: &Context<'_>) -> Answer {
    let mut list = items(args, 0, "Cannot compact on", cx)?;
    list.retain(Value::is_true);
    Ok(new_list(list))
}

fn uniq(args: &[Value], cx: &Context<'_>) -> Answer {
    let mut kept: Vec<Value> = Vec::new();
    // Texts are the usual case, and a set finds them at once.
    let mut texts = std::collections::HashSet::new();
    for item in items(args, 0, "Cannot find uniq on", cx)? {
        let new = match &item {
            Value::Text(text) => texts.insert(text.clone()),
            item => !contains(&kept, item, cx)?,
        };
        if new {
            kept.push(item);
        }
    }
    Ok(new_list(kept))
}

fn without(args: &[Value], cx: &Context<'_>) -> Answer {
    let mut kept = Vec::new();
    for item in items(args, 0, "Cannot find without on", cx)? {
        if !contains(rest(args, 1), &item, cx)? {
            kept.push(item);
        }
    }
    Ok(new_list(kept))
}

fn has(args: &[Value], cx: &Context<'_>) -> Answer {
    if !value(args, 1).is_some() {
        return Ok(false.into());
    }
    let list = items(args, 1, "Cannot find has on", cx)?;
    contains(&list, value(args, 0), cx).map(Value::Bool)
}

fn contains(list: &[Value], wanted: &Value, cx: &Context<'_>) -> Result<bool, Failure> {
    for item in list {
        if equal::deep_equal(item, wanted, cx)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn slice(args: &[Value], cx: &Context<'_>) -> Answer {
    let list = match value(args, 0).underlying().as_ref() {
        Value::List(_) | Value::Bytes(_) => items(args, 0, "", cx)?,
        other => return Err(format!("list should be type of slice or array but {}", other.kind_name()).into()),
    };
    if list.is_empty() {
        return Ok(Value::Nil);
    }
    let from = args.get(1).map_or(Some(0), |n| size(to_int64(n)));
    let to = args.get(2).map_or(Some(list.len()), |n| size(to_int64(n)));
    let part = from.zip(to).and_then(|(from, to)| list.get(from..to));
    let part = part.ok_or("reflect.Value.Slice: slice index out of bounds")?.to_vec();
    Ok(match value(args, 0) {
        Value::List(list) => Value::List(List::shared(list.elem().clone(), part)),
        Value::Bytes(bytes) => {
            let range = from.zip(to).and_then(|(from, to)| bytes.as_bytes().get(from..to));
            Value::Bytes(Text::new(range.unwrap_or_default()))
        }
        _ => new_list(part),
    })
}

fn concat(args: &[Value], cx: &Context<'_>) -> Answer {
    let mut all = Vec::new();
    for (i, arg) in args.iter().enumerate() {
        if !matches!(arg.underlying().as_ref(), Value::List(_) | Value::Bytes(_)) {
            return Err(format!("Cannot concat type {} as list", arg.kind_name()).into());
        }
        all.append(&mut items(args, i, "", cx)?);
    }
    if all.is_empty() {
        return Ok(Value::List(List::nil(Type::Any)));
    }
    Ok(new_list(all))
}

fn numbers(items: Vec<i64>) -> Value {
    Value::List(List::shared(Type::Int(IntKind::Int), items.into_iter().map(Value::int).collect()))
}

/// From `start` towards `stop`, without it; nothing where the step leads away.
fn until(start: i64, stop: i64, step: i64, cx: &Context<'_>) -> Result<Vec<i64>, Failure> {
    let leads_there = if stop < start { step < 0 } else { step > 0 };
    if !leads_there {
        return Ok(Vec::new());
    }
    let count = start.abs_diff(stop).div_ceil(step.unsigned_abs());
    pay(usize::try_from(count).unwrap_or(usize::MAX), cx)?;
    let mut items = Vec::new();
    let mut next = Some(start);
    while let Some(n) = next.filter(|n| if step < 0 { *n > stop } else { *n < stop }) {
        items.push(n);
        next = n.checked_add(step);
    }
    Ok(items)
}

/// As the program of that name: FIRST, FIRST LAST, or FIRST STEP LAST.
fn seq(args: &[Value], cx: &Context<'_>) -> Answer {
    let (start, step, end) = match args.len() {
        1 => (1, None, int(args, 0)),
        2 => (int(args, 0), None, int(args, 1)),
        3 => (int(args, 0), Some(int(args, 1)), int(args, 2)),
        _ => return Ok("".into()),
    };
    let direction = if end < start { -1 } else { 1 };
    if direction < 0 && step.is_some_and(|step| step > 0) {
        return Ok("".into());
    }
    let items = until(start, end.saturating_add(direction), step.unwrap_or(direction), cx)?;
    let texts: Vec<String> = items.iter().map(ToString::to_string).collect();
    cx.fuel.bytes(texts.iter().map(String::len).sum())?;
    Ok(texts.join(" ").into())
}
