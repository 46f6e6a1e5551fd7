//! The methods of Go's times and spans of time, with the types that they want, so that a literal is read as in Go.

use std::borrow::Cow;
use std::sync::Arc;

use super::Answer;
use super::arguments::{int, marked, value};
use super::dates::time_text;
use crate::context::Context;
use crate::error::Failure;
use crate::host::Param;
use crate::print;
use crate::time::{Time, Zone, duration, layout};
use crate::value::{IntKind, Named, Object, Text, Value};

/// A method of `time.Time`.
pub(crate) struct Method {
    name: &'static str,
    pub params: &'static [Param],
    /// Called with arguments that fit.
    pub run: fn(&Time, &[Value], &Context<'_>) -> Answer,
}

const SPAN: &str = "time.Duration";
const LOCATION: &str = "time.Location";
const SECOND: i64 = 1_000_000_000;

/// `None`: there is no such method.
pub(crate) fn method_of_time(name: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.name == name)
}

/// A number as a parameter of a named type takes it; only spans of time are numbers here.
pub(crate) fn named_number(type_name: &str, number: i64) -> Option<Value> {
    (type_name == SPAN).then(|| span(number))
}

const fn plain(name: &'static str, run: fn(&Time, &[Value], &Context<'_>) -> Answer) -> Method {
    Method { name, params: &[], run }
}

const fn with(
    name: &'static str,
    params: &'static [Param],
    run: fn(&Time, &[Value], &Context<'_>) -> Answer,
) -> Method {
    Method { name, params, run }
}

const METHODS: &[Method] = &[
    with("Format", &[Param::Text], |time, args, cx| {
        let format = marked(args, 0);
        cx.fuel.bytes(format.text().len().saturating_mul(4))?;
        Ok(Value::Text(format.back(&layout::format(time, format.text()))))
    }),
    with("Add", &[Param::Object(SPAN)], |time, args, _| Ok(Value::Time(time.plus(nanoseconds(args))))),
    with("Truncate", &[Param::Object(SPAN)], |time, args, _| {
        let (unit, rest) = (nanoseconds(args), past(time, nanoseconds(args)));
        Ok(Value::Time(if unit <= 0 { time.clone() } else { time.plus(-rest) }))
    }),
    with("Round", &[Param::Object(SPAN)], |time, args, _| {
        let (unit, rest) = (nanoseconds(args), past(time, nanoseconds(args)));
        Ok(Value::Time(match unit {
            ..=0 => time.clone(),
            _ if rest < unit - rest => time.plus(-rest),
            _ => time.plus(unit - rest),
        }))
    }),
    with("AddDate", &[Param::Int, Param::Int, Param::Int], |time, args, _| {
        let at = time.civil();
        let date = (
            at.year.saturating_add(int(args, 0)),
            i64::from(at.month).saturating_add(int(args, 1)),
            i64::from(at.day).saturating_add(int(args, 2)),
        );
        let clock = (at.hour.into(), at.minute.into(), at.second.into());
        Ok(Value::Time(Time::from_civil(date, clock, time.nanos, time.zone.clone())))
    }),
    with("Sub", &[Param::Time], |time, args, _| against(time, args, span)),
    with("Before", &[Param::Time], |time, args, _| against(time, args, |since| Value::Bool(since < 0))),
    with("After", &[Param::Time], |time, args, _| against(time, args, |since| Value::Bool(since > 0))),
    with("Equal", &[Param::Time], |time, args, _| against(time, args, |since| Value::Bool(since == 0))),
    with("Compare", &[Param::Time], |time, args, _| against(time, args, |since| Value::int(since.signum()))),
    with("In", &[Param::Object(LOCATION)], |time, args, cx| {
        // A place is a name here: the world knows it again, as it did when the time got it.
        let zone = match value(args, 0) {
            Value::Object(place) => place.text().map_or(Zone::Utc, |name| super::dates::zone(&name.to_str(), cx)),
            _ => Zone::Utc,
        };
        Ok(Value::Time(time.in_zone(zone)))
    }),
    plain("Unix", |time, _, _| Ok(Value::int64(time.seconds))),
    plain("UnixMilli", |time, _, _| Ok(scaled(time, 1000))),
    plain("UnixMicro", |time, _, _| Ok(scaled(time, 1_000_000))),
    plain("UnixNano", |time, _, _| Ok(scaled(time, SECOND))),
    plain("Year", |time, _, _| Ok(Value::int(time.civil().year))),
    plain("Month", |time, _, _| Ok(counted("time.Month", time.civil().month, layout::format(time, "January")))),
    plain("Day", |time, _, _| Ok(Value::int(time.civil().day.into()))),
    plain("Weekday", |time, _, _| Ok(counted("time.Weekday", time.civil().weekday, layout::format(time, "Monday")))),
    plain("YearDay", |time, _, _| Ok(Value::int(time.civil().year_day.into()))),
    plain("Hour", |time, _, _| Ok(Value::int(time.civil().hour.into()))),
    plain("Minute", |time, _, _| Ok(Value::int(time.civil().minute.into()))),
    plain("Second", |time, _, _| Ok(Value::int(time.civil().second.into()))),
    plain("Nanosecond", |time, _, _| Ok(Value::int(time.nanos.into()))),
    plain("IsZero", |time, _, _| Ok(Value::Bool(time.is_zero()))),
    plain("IsDST", |time, _, _| Ok(Value::Bool(time.zone.at(time.seconds).summer))),
    plain("Location", |time, _, _| Ok(Value::object(Location(time.zone.name().into())))),
    plain("Local", |time, _, cx| Ok(Value::Time(time.in_zone(cx.world.local_zone())))),
    plain("UTC", |time, _, _| Ok(Value::Time(time.in_zone(Zone::Utc)))),
    plain("String", |time, _, _| Ok(time_text(time).into())),
    plain("GoString", |time, _, _| Ok(super::dates::time_source(time).into())),
    plain("MarshalText", |time, _, _| Ok(Value::Bytes(rfc3339(time, "MarshalText")?.into()))),
    plain("MarshalJSON", |time, _, _| Ok(Value::Bytes(format!("\"{}\"", rfc3339(time, "MarshalJSON")?).into()))),
    plain("Clock", |_, _, _| Err(three("Clock"))),
    plain("Date", |_, _, _| Err(three("Date"))),
    plain("ISOWeek", |_, _, _| Err(second("ISOWeek", "int"))),
    plain("Zone", |_, _, _| Err(second("Zone", "int"))),
    plain("ZoneBounds", |_, _, _| Err(second("ZoneBounds", "time.Time"))),
];

/// A template has no use for a second result that is no error.
fn second(name: &str, type_name: &str) -> Failure {
    format!("invalid function signature for {name}: second return value should be error; is {type_name}").into()
}

fn three(name: &str) -> Failure {
    format!("function {name} has 3 return values; should be 1 or 2").into()
}

fn nanoseconds(args: &[Value]) -> i64 {
    match value(args, 0).underlying().as_ref() {
        Value::Int(_, nanoseconds) => *nanoseconds,
        _ => 0,
    }
}

/// How far a time is past the last whole `unit`, counted from the year 1.
fn past(time: &Time, unit: i64) -> i64 {
    if unit <= 0 {
        return 0;
    }
    let since = i128::from(time.seconds) - i128::from(Time::ZERO.seconds);
    let nanos = since * i128::from(SECOND) + i128::from(time.nanos);
    i64::try_from(nanos.rem_euclid(i128::from(unit))).unwrap_or(0)
}

fn against(time: &Time, args: &[Value], told: impl Fn(i64) -> Value) -> Answer {
    match value(args, 0) {
        Value::Time(other) => Ok(told(time.since(other))),
        other => Err(format!("wrong type for value; expected time.Time; got {}", other.type_name()).into()),
    }
}

fn scaled(time: &Time, units: i64) -> Value {
    let part = i64::from(time.nanos) / (SECOND / units);
    Value::int64(time.seconds.wrapping_mul(units).wrapping_add(part))
}

fn rfc3339(time: &Time, method: &str) -> Result<String, Failure> {
    if !(0..10_000).contains(&time.civil().year) {
        return Err(format!("Time.{method}: year outside of range [0,9999]").into());
    }
    Ok(layout::format(time, "2006-01-02T15:04:05.999999999Z07:00"))
}

/// A month or a day of the week: a number that has a name.
fn counted(type_name: &'static str, number: u8, name: String) -> Value {
    let value = Value::Int(IntKind::Int, number.into());
    Value::object(Named { type_name: type_name.into(), value, text: Some(name.into()) })
}

fn span(nanoseconds: i64) -> Value {
    Value::object(Span(nanoseconds))
}

/// Go's `time.Duration`, in nanoseconds.
struct Span(i64);

impl Object for Span {
    fn type_name(&self) -> Cow<'_, str> {
        SPAN.into()
    }

    fn is_pointer(&self) -> bool {
        false
    }

    fn method(&self, name: &str, args: &[Value], cx: &Context<'_>) -> Option<Answer> {
        let unit = match (name, args) {
            ("Hours", []) => return Some(Ok(self.parts(3600 * SECOND))),
            ("Minutes", []) => return Some(Ok(self.parts(60 * SECOND))),
            ("Seconds", []) => return Some(Ok(self.parts(SECOND))),
            ("Milliseconds", []) => return Some(Ok(Value::int64(self.0 / 1_000_000))),
            ("Microseconds", []) => return Some(Ok(Value::int64(self.0 / 1000))),
            ("Nanoseconds", []) => return Some(Ok(Value::int64(self.0))),
            ("Abs", []) => return Some(Ok(span(self.0.saturating_abs()))),
            ("String", []) => return Some(Ok(duration::format(self.0).into())),
            ("Round" | "Truncate", [unit]) => match unit {
                Value::Int(IntKind::Int, unit) => *unit,
                Value::Object(other) if other.type_name() == SPAN => nanoseconds(args),
                other => {
                    let shown = print::to_text(other, cx).unwrap_or_default();
                    let message = format!("wrong type for value; expected {SPAN}; got {} {shown}", other.type_name());
                    return Some(Err(message.into()));
                }
            },
            ("Round" | "Truncate", _) => return Some(Err(Failure::arguments(1, args.len()))),
            (
                "Hours" | "Minutes" | "Seconds" | "Milliseconds" | "Microseconds" | "Nanoseconds" | "Abs" | "String",
                _,
            ) => return Some(Err(Failure::arguments(0, args.len()))),
            _ => return None,
        };
        Some(Ok(span(match (name, unit) {
            (_, ..=0) => self.0,
            ("Truncate", unit) => self.0 - self.0 % unit,
            (_, unit) => rounded(self.0, unit),
        })))
    }

    fn methods(&self) -> Vec<Cow<'_, str>> {
        let names = ["Abs", "Hours", "Microseconds", "Milliseconds", "Minutes", "Nanoseconds", "Round", "Seconds"];
        names.into_iter().chain(["String", "Truncate"]).map(Cow::Borrowed).collect()
    }

    fn text(&self) -> Option<Text> {
        Some(duration::format(self.0).into())
    }

    fn underlying(&self) -> Option<Value> {
        Some(Value::int64(self.0))
    }
}

impl Span {
    /// Whole units and the rest of one, added as Go adds them.
    #[allow(clippy::cast_precision_loss, reason = "Go's float64 of a span rounds the same way")]
    fn parts(&self, unit: i64) -> Value {
        Value::float((self.0 / unit) as f64 + (self.0 % unit) as f64 / unit as f64)
    }
}

/// Halves away from zero; what does not fit is the longest span.
pub(super) fn rounded(span: i64, unit: i64) -> i64 {
    let rest = (span % unit).unsigned_abs();
    let whole = span - span % unit;
    if rest < unit.unsigned_abs() - rest { whole } else { whole.saturating_add(unit.saturating_mul(span.signum())) }
}

/// `*time.Location`, which prints its name.
struct Location(Text);

impl Object for Location {
    fn type_name(&self) -> Cow<'_, str> {
        LOCATION.into()
    }

    fn text(&self) -> Option<Text> {
        Some(self.0.clone())
    }
}

/// What `String()` gives where a type has it: as a method it is there for every such value.
pub(crate) fn shown_as_method(object: &Arc<dyn Object>, name: &str, args: &[Value]) -> Option<Answer> {
    let text = object.text().filter(|_| name == "String" && !object.is_nil())?;
    Some(if args.is_empty() { Ok(Value::Text(text)) } else { Err(Failure::arguments(0, args.len())) })
}
