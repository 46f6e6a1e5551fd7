//! Conversion, emptiness, types and comparison.

use super::arguments::{text, value};
use super::numbers::{to_float64, to_int64};
use super::{Answer, Native, equal, native, variadic};
use crate::context::Context;
use crate::error::Failure;
use crate::host::Param::{Any, Bool, Text as TextParam};
use crate::value::Value;

pub(super) const TABLE: &[Native] = &[
    native("int", &[Any], |a, _| Ok(Value::int(to_int64(value(a, 0))))),
    native("int64", &[Any], |a, _| Ok(Value::int64(to_int64(value(a, 0))))),
    native("float64", &[Any], |a, _| Ok(to_float64(value(a, 0)).into())),
    native("atoi", &[TextParam], |a, _| Ok(Value::int(atoi(&text(a, 0))))),
    native("toDecimal", &[Any], to_decimal),
    variadic("default", &[Any], Any, |a, _| {
        let given = a.get(1).filter(|given| given.is_true());
        Ok(given.unwrap_or(value(a, 0)).clone())
    }),
    native("empty", &[Any], |a, _| Ok((!value(a, 0).is_true()).into())),
    variadic("coalesce", &[], Any, |a, _| Ok(a.iter().find(|v| v.is_true()).cloned().unwrap_or(Value::Nil))),
    variadic("all", &[], Any, |a, _| Ok(a.iter().all(Value::is_true).into())),
    variadic("any", &[], Any, |a, _| Ok(a.iter().any(Value::is_true).into())),
    native("ternary", &[Any, Any, Bool], |a, _| Ok(value(a, usize::from(!value(a, 2).is_true())).clone())),
    native("fail", &[TextParam], |a, _| Err(Failure::new(text(a, 0)))),
    native("typeOf", &[Any], |a, _| Ok(value(a, 0).type_name().into_owned().into())),
    native("typeIs", &[TextParam, Any], |a, _| Ok((value(a, 1).type_name() == text(a, 0)).into())),
    native("typeIsLike", &[TextParam, Any], |a, _| {
        let (wanted, name) = (text(a, 0), value(a, 1).type_name());
        Ok((name == wanted || name.strip_prefix('*') == Some(&*wanted)).into())
    }),
    native("kindOf", &[Any], |a, _| Ok(value(a, 0).kind_name().into_owned().into())),
    native("kindIs", &[TextParam, Any], |a, _| Ok((value(a, 1).kind_name() == text(a, 0)).into())),
    native("deepEqual", &[Any, Any], |a, cx| equal::deep_equal(value(a, 0), value(a, 1), cx).map(Value::Bool)),
];

/// Decimal only; what is too large is the largest, what is no number is 0.
fn atoi(text: &str) -> i64 {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return 0;
    }
    text.parse().unwrap_or(if text.starts_with('-') { i64::MIN } else { i64::MAX })
}

/// Reads an octal number: `toDecimal 755` is 493.
fn to_decimal(args: &[Value], cx: &Context<'_>) -> Answer {
    let text = crate::print::to_text(value(args, 0), cx)?;
    Ok(Value::int64(i64::from_str_radix(&text, 8).unwrap_or(0)))
}
