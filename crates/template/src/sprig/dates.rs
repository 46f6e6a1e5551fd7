//! Dates: shown by Go's layouts, moved, read; spans of time.

use std::borrow::Cow;

use super::arguments::{text, value};
use super::{Answer, Native, native};
use crate::context::Context;
use crate::error::Failure;
use crate::host::Param;
use crate::time::{Time, Zone, duration, layout};
use crate::value::{IntKind, Named, Object, Text, Value};

pub(crate) const TABLE: &[Native] = &[
    native("now", &[], |_, cx| Ok(Value::Time(cx.world.now()))),
    native("date", &[Param::Text, Param::Any], |args, cx| {
        show(&text(args, 0), value(args, 1), cx.world.local_zone(), cx)
    }),
    native("dateInZone", &[Param::Text, Param::Any, Param::Text], in_zone),
    native("date_in_zone", &[Param::Text, Param::Any, Param::Text], in_zone),
    native("htmlDate", &[Param::Any], |args, cx| show("2006-01-02", value(args, 0), cx.world.local_zone(), cx)),
    native("htmlDateInZone", &[Param::Any, Param::Text], |args, cx| {
        show("2006-01-02", value(args, 0), zone(&text(args, 1), cx), cx)
    }),
    native("dateModify", &[Param::Text, Param::Time], |args, _| moved(args).or_else(|_| Ok(value(args, 1).clone()))),
    native("date_modify", &[Param::Text, Param::Time], |args, _| moved(args).or_else(|_| Ok(value(args, 1).clone()))),
    native("mustDateModify", &[Param::Text, Param::Time], |args, _| moved(args)),
    native("must_date_modify", &[Param::Text, Param::Time], |args, _| moved(args)),
    native("toDate", &[Param::Text, Param::Text], |args, cx| read(args, cx).or(Ok(Value::Time(Time::ZERO)))),
    native("mustToDate", &[Param::Text, Param::Text], read),
    native("unixEpoch", &[Param::Time], |args, _| match value(args, 0) {
        Value::Time(time) => Ok(Value::from(time.seconds.to_string())),
        other => Err(format!("can't handle {} for arg of type time.Time", other.type_name()).into()),
    }),
    native("ago", &[Param::Any], |args, cx| {
        let now = cx.world.now();
        let since = match value(args, 0) {
            Value::Time(time) => time.clone(),
            Value::Int(IntKind::Int | IntKind::I64, seconds) => Time::unix(*seconds, 0, Zone::Utc),
            _ => now.clone(),
        };
        Ok(Value::from(duration::format(rounded_to_seconds(now.since(&since)))))
    }),
    native("duration", &[Param::Any], |args, _| {
        let seconds = match value(args, 0) {
            Value::Text(text) => text.to_str().parse::<i64>().unwrap_or(0),
            Value::Int(IntKind::I64, seconds) => *seconds,
            _ => 0,
        };
        Ok(Value::from(duration::format(seconds.wrapping_mul(SECOND))))
    }),
    native("durationRound", &[Param::Any], |args, cx| {
        let span = match value(args, 0) {
            Value::Text(text) => duration::parse(&text.to_str()).unwrap_or(0),
            Value::Int(IntKind::I64, nanoseconds) => *nanoseconds,
            Value::Time(time) => cx.world.now().since(time),
            _ => 0,
        };
        Ok(Value::from(largest_unit(span)))
    }),
];

const SECOND: i64 = 1_000_000_000;

/// What `print` shows of a time.
pub(crate) fn time_text(time: &Time) -> String {
    layout::format(time, "2006-01-02 15:04:05.999999999 -0700 MST")
}

/// `%#v` of a time: the Go source that makes it.
pub(crate) fn time_source(time: &Time) -> String {
    let zone = match &time.zone {
        Zone::Utc => "time.UTC".to_owned(),
        zone => format!("time.Location({:?})", zone.name()),
    };
    let at = time.civil();
    let month = layout::format(time, "January");
    let (year, day, hour, minute, second) = (at.year, at.day, at.hour, at.minute, at.second);
    format!("time.Date({year}, time.{month}, {day}, {hour}, {minute}, {second}, {}, {zone})", time.nanos)
}

/// The methods of Go's `time.Time` that templates use. `None`: there is no such method.
pub(crate) fn time_method(time: &Time, name: &str, args: &[Value], cx: &Context<'_>) -> Option<Answer> {
    let at = time.civil();
    let value = match name {
        "Format" => return Some(one(args).map(|format| Value::from(layout::format(time, &text(&[format], 0))))),
        "Add" => return Some(one(args).and_then(|span| Ok(Value::Time(time.plus(nanoseconds(&span)?))))),
        "AddDate" => {
            let [Value::Int(_, years), Value::Int(_, months), Value::Int(_, days)] = args else {
                return Some(Err(Failure::arguments(3, args.len())));
            };
            let date = (
                at.year.saturating_add(*years),
                i64::from(at.month).saturating_add(*months),
                i64::from(at.day).saturating_add(*days),
            );
            let clock = (at.hour.into(), at.minute.into(), at.second.into());
            return Some(Ok(Value::Time(Time::from_civil(date, clock, time.nanos, time.zone.clone()))));
        }
        "Sub" | "Before" | "After" | "Equal" => {
            return Some(one(args).and_then(|other| match other {
                Value::Time(other) => Ok(against(time, name, &other)),
                other => Err(format!("wrong type for value; expected time.Time; got {}", other.type_name()).into()),
            }));
        }
        "Unix" => Value::int64(time.seconds),
        "UnixMilli" => Value::int64(time.seconds.saturating_mul(1000).saturating_add((time.nanos / 1_000_000).into())),
        "UnixNano" => Value::int64(time.seconds.saturating_mul(SECOND).saturating_add(time.nanos.into())),
        "Year" => Value::int(at.year),
        "Month" => named("time.Month", at.month.into(), layout::format(time, "January")),
        "Day" => Value::int(at.day.into()),
        "Weekday" => named("time.Weekday", at.weekday.into(), layout::format(time, "Monday")),
        "YearDay" => Value::int(at.year_day.into()),
        "Hour" => Value::int(at.hour.into()),
        "Minute" => Value::int(at.minute.into()),
        "Second" => Value::int(at.second.into()),
        "Nanosecond" => Value::int(time.nanos.into()),
        "IsZero" => Value::Bool(time.is_zero()),
        "UnixMicro" => Value::int64(time.seconds.saturating_mul(1_000_000).saturating_add((time.nanos / 1000).into())),
        "Location" => Value::object(Location(time.zone.name().into())),
        "Local" => Value::Time(time.in_zone(cx.world.local_zone())),
        "UTC" => Value::Time(time.in_zone(Zone::Utc)),
        "String" => Value::from(time_text(time)),
        _ => return None,
    };
    Some(if args.is_empty() { Ok(value) } else { Err(Failure::arguments(0, args.len())) })
}

/// `*time.Location`, which prints its name.
struct Location(Text);

impl Object for Location {
    fn type_name(&self) -> Cow<'_, str> {
        "time.Location".into()
    }

    fn method(&self, name: &str, args: &[Value], _: &Context<'_>) -> Option<Answer> {
        let given = args.len();
        (name == "String")
            .then(|| if given == 0 { Ok(self.0.clone().into()) } else { Err(Failure::arguments(0, given)) })
    }

    fn text(&self) -> Option<Text> {
        Some(self.0.clone())
    }
}

fn one(args: &[Value]) -> Answer {
    match args {
        [value] => Ok(value.clone()),
        _ => Err(Failure::arguments(1, args.len())),
    }
}

fn against(time: &Time, method: &str, other: &Time) -> Value {
    let span = time.since(other);
    match method {
        "Before" => Value::Bool(span < 0),
        "After" => Value::Bool(span > 0),
        "Equal" => Value::Bool(span == 0),
        _ => named("time.Duration", span, duration::format(span)),
    }
}

/// A number with a type and a text of its own.
fn named(type_name: &'static str, number: i64, text: String) -> Value {
    let kind = if type_name == "time.Duration" { IntKind::I64 } else { IntKind::Int };
    Value::object(Named { type_name: type_name.into(), value: Value::Int(kind, number), text: Some(text.into()) })
}

fn nanoseconds(span: &Value) -> Result<i64, Failure> {
    match span.underlying().as_ref() {
        Value::Int(_, nanoseconds) => Ok(*nanoseconds),
        _ => Err(format!("wrong type for value; expected time.Duration; got {}", span.type_name()).into()),
    }
}

fn in_zone(args: &[Value], cx: &Context<'_>) -> Answer {
    show(&text(args, 0), value(args, 1), zone(&text(args, 2), cx), cx)
}

/// UTC where nobody knows the zone.
fn zone(name: &str, cx: &Context<'_>) -> Zone {
    match name {
        "" | "UTC" => Zone::Utc,
        "Local" => cx.world.local_zone(),
        name => cx.world.zone(name).unwrap_or(Zone::Utc),
    }
}

/// A time, or seconds since 1970; anything else is now.
fn show(format: &str, date: &Value, zone: Zone, cx: &Context<'_>) -> Answer {
    let time = match date {
        Value::Time(time) => time.clone(),
        Value::Int(IntKind::Int | IntKind::I64 | IntKind::I32, seconds) => Time::unix(*seconds, 0, Zone::Utc),
        _ => cx.world.now(),
    };
    cx.fuel.bytes(format.len().saturating_mul(4))?;
    Ok(Value::from(layout::format(&time.in_zone(zone), format)))
}

fn moved(args: &[Value]) -> Answer {
    let span = duration::parse(&text(args, 0))?;
    match value(args, 1) {
        Value::Time(time) => Ok(Value::Time(time.plus(span))),
        other => Err(format!("can't handle {} for arg of type time.Time", other.type_name()).into()),
    }
}

fn read(args: &[Value], cx: &Context<'_>) -> Answer {
    let time = layout::parse(&text(args, 0), &text(args, 1), &cx.world.local_zone());
    time.map(Value::Time).map_err(Failure::Message)
}

/// Halves away from zero, as Go's `Round`.
fn rounded_to_seconds(span: i64) -> i64 {
    let rest = span % SECOND;
    let whole = span - rest;
    if rest.abs() * 2 < SECOND { whole } else { whole.saturating_add(SECOND * rest.signum()) }
}

/// `3h`, `60m`, `1y`: the largest unit of which there is more than one.
fn largest_unit(span: i64) -> String {
    const HOUR: u64 = 3600 * 1_000_000_000;
    let size = span.unsigned_abs();
    let units = [
        (HOUR * 24 * 365, "y"),
        (HOUR * 24 * 30, "mo"),
        (HOUR * 24, "d"),
        (HOUR, "h"),
        (HOUR / 60, "m"),
        (HOUR / 3600, "s"),
    ];
    let found = units.iter().find(|(unit, _)| size > *unit);
    found.map_or_else(|| "0s".into(), |(unit, name)| format!("{}{name}", size / unit))
}
