//! Arithmetic. Whole numbers are 64 bits and wrap around; decimals are exact in between.

use super::arguments::value;
use super::decimal::Decimal;
use super::numbers::{to_float64, to_int64};
use super::{Answer, Native, native, variadic};
use crate::context::Context;
use crate::error::Failure;
use crate::host::Param;
use crate::value::Value;

use Param::{Any, Float, Int};

pub(crate) const TABLE: &[Native] = &[
    native("add1", &[Any], |args, _| whole(to_int64(value(args, 0)).wrapping_add(1))),
    variadic("add", &[], Any, |args, _| whole(args.iter().map(to_int64).fold(0, i64::wrapping_add))),
    native("sub", &[Any, Any], |args, _| whole(to_int64(value(args, 0)).wrapping_sub(to_int64(value(args, 1))))),
    variadic("mul", &[Any], Any, |args, _| whole(args.iter().map(to_int64).fold(1, i64::wrapping_mul))),
    native("div", &[Any, Any], |args, _| divided(args, i64::wrapping_div)),
    native("mod", &[Any, Any], |args, _| divided(args, i64::wrapping_rem)),
    variadic("max", &[Any], Any, |args, _| whole(args.iter().map(to_int64).max().unwrap_or(0))),
    variadic("biggest", &[Any], Any, |args, _| whole(args.iter().map(to_int64).max().unwrap_or(0))),
    variadic("min", &[Any], Any, |args, _| whole(args.iter().map(to_int64).min().unwrap_or(0))),
    native("add1f", &[Any], |args, cx| exact(&[value(args, 0).clone(), Value::int(1)], cx, |a, b| Ok(a.plus(b)))),
    variadic("addf", &[], Any, |args, cx| exact(args, cx, |a, b| Ok(a.plus(b)))),
    variadic("subf", &[Any], Any, |args, cx| exact(args, cx, |a, b| Ok(a.minus(b)))),
    variadic("mulf", &[Any], Any, |args, cx| exact(args, cx, |a, b| Ok(a.times(b)))),
    variadic("divf", &[Any], Any, |args, cx| {
        exact(args, cx, |a, b| a.over(b).ok_or_else(|| "decimal division by 0".into()))
    }),
    variadic("maxf", &[Any], Any, |args, _| Ok(Value::float(floats(args, largest)))),
    variadic("minf", &[Any], Any, |args, _| Ok(Value::float(floats(args, |a, b| -largest(-a, -b))))),
    native("floor", &[Any], |args, _| Ok(Value::float(to_float64(value(args, 0)).floor()))),
    native("ceil", &[Any], |args, _| Ok(Value::float(to_float64(value(args, 0)).ceil()))),
    variadic("round", &[Any, Int], Float, |args, _| {
        let from = args.get(2).map_or(0.5, to_float64);
        let scale = 10_f64.powf(to_float64(value(args, 1)));
        let shifted = scale * to_float64(value(args, 0));
        let rounded = if shifted.fract() >= from { shifted.ceil() } else { shifted.floor() };
        Ok(Value::float(rounded / scale))
    }),
];

fn whole(n: i64) -> Answer {
    Ok(Value::int64(n))
}

fn divided(args: &[Value], by: fn(i64, i64) -> i64) -> Answer {
    match to_int64(value(args, 1)) {
        0 => Err("runtime error: integer divide by zero".into()),
        divisor => whole(by(to_int64(value(args, 0)), divisor)),
    }
}

/// The first, and each other one joined to it; nothing is 0.
fn exact(args: &[Value], cx: &Context<'_>, join: fn(&Decimal, &Decimal) -> Result<Decimal, Failure>) -> Answer {
    let mut total: Option<Decimal> = None;
    for arg in args {
        cx.fuel.steps(1)?;
        let number = to_float64(arg);
        let next = Decimal::from_float(number)
            .ok_or_else(|| Failure::new(format!("Cannot create a Decimal from {number}")))?;
        total = Some(match total {
            None => next,
            // Digits add up with every product: what they cost grows with them.
            Some(total) => {
                cx.fuel.bytes(64)?;
                join(&total, &next)?
            }
        });
    }
    Ok(Value::float(total.map_or(0.0, |total| total.to_float())))
}

fn floats(args: &[Value], join: fn(f64, f64) -> f64) -> f64 {
    args.iter().map(to_float64).reduce(join).unwrap_or(0.0)
}

/// Go's `math.Max`: what is no number wins.
fn largest(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        // Minus zero is less than zero.
        if a.is_sign_negative() { b } else { a }
    } else {
        a.max(b)
    }
}
