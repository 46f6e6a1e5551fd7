//! Dates: shown by Go's layouts, moved, read; spans of time.

use super::arguments::{Marked, marked, text, value};
use super::moments::rounded;
use super::{Answer, Native, native};
use crate::context::Context;
use crate::error::Failure;
use crate::host::Param;
use crate::time::{Time, Zone, duration, layout};
use crate::value::{IntKind, Value};

pub(crate) const TABLE: &[Native] = &[
    native("now", &[], |_, cx| Ok(Value::Time(cx.world.now()))),
    native("date", &[Param::Text, Param::Any], |args, cx| {
        show(&marked(args, 0), value(args, 1), cx.world.local_zone(), cx)
    }),
    native("dateInZone", &[Param::Text, Param::Any, Param::Text], in_zone),
    native("date_in_zone", &[Param::Text, Param::Any, Param::Text], in_zone),
    native("htmlDate", &[Param::Any], |args, cx| {
        show(&Marked::plain("2006-01-02"), value(args, 0), cx.world.local_zone(), cx)
    }),
    native("htmlDateInZone", &[Param::Any, Param::Text], |args, cx| {
        show(&Marked::plain("2006-01-02"), value(args, 0), zone(&text(args, 1), cx), cx)
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
        Ok(Value::from(duration::format(rounded(now.since(&since), SECOND))))
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

fn in_zone(args: &[Value], cx: &Context<'_>) -> Answer {
    show(&marked(args, 0), value(args, 1), zone(&text(args, 2), cx), cx)
}

/// UTC where nobody knows the zone.
pub(super) fn zone(name: &str, cx: &Context<'_>) -> Zone {
    match name {
        "" | "UTC" => Zone::Utc,
        "Local" => cx.world.local_zone(),
        name => cx.world.zone(name).unwrap_or(Zone::Utc),
    }
}

/// A time, or seconds since 1970; anything else is now.
fn show(format: &Marked<'_>, date: &Value, zone: Zone, cx: &Context<'_>) -> Answer {
    let time = match date {
        Value::Time(time) => time.clone(),
        Value::Int(IntKind::Int | IntKind::I64 | IntKind::I32, seconds) => Time::unix(*seconds, 0, Zone::Utc),
        _ => cx.world.now(),
    };
    cx.fuel.bytes(format.text().len().saturating_mul(4))?;
    Ok(Value::Text(format.back(&layout::format(&time.in_zone(zone), format.text()))))
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
