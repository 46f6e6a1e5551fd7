//! Dates as text by Go's layouts: the reference time `Mon Jan 2 15:04:05 MST 2006` says by example how a date is
//! written (package time, "Layout").

mod read;

use std::fmt::Write;

pub use read::parse;

use super::Time;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// One piece of a layout that stands for a part of a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    LongMonth,
    Month,
    NumMonth,
    ZeroMonth,
    LongWeekday,
    Weekday,
    Day,
    UnderDay,
    ZeroDay,
    UnderYearDay,
    ZeroYearDay,
    Hour,
    Hour12,
    ZeroHour12,
    Minute,
    ZeroMinute,
    Second,
    ZeroSecond,
    LongYear,
    Year,
    UpperPm,
    LowerPm,
    ZoneName,
    /// `Z` for UTC?, colons?, how many of hours, minutes, seconds.
    Offset {
        z: bool,
        colon: bool,
        fields: u8,
    },
    /// Separator, digits, and whether zeros at the end go.
    Fraction {
        comma: bool,
        digits: usize,
        trim: bool,
    },
}

/// Texts that stand for a part whatever follows, the longer before what it begins with.
const FIXED: [(&str, Part); 29] = [
    ("January", Part::LongMonth),
    ("Monday", Part::LongWeekday),
    ("MST", Part::ZoneName),
    ("002", Part::ZeroYearDay),
    ("01", Part::ZeroMonth),
    ("02", Part::ZeroDay),
    ("03", Part::ZeroHour12),
    ("04", Part::ZeroMinute),
    ("05", Part::ZeroSecond),
    ("06", Part::Year),
    ("15", Part::Hour),
    ("1", Part::NumMonth),
    ("2006", Part::LongYear),
    ("2", Part::Day),
    ("3", Part::Hour12),
    ("4", Part::Minute),
    ("5", Part::Second),
    ("PM", Part::UpperPm),
    ("pm", Part::LowerPm),
    ("-070000", Part::Offset { z: false, colon: false, fields: 3 }),
    ("-07:00:00", Part::Offset { z: false, colon: true, fields: 3 }),
    ("-0700", Part::Offset { z: false, colon: false, fields: 2 }),
    ("-07:00", Part::Offset { z: false, colon: true, fields: 2 }),
    ("-07", Part::Offset { z: false, colon: false, fields: 1 }),
    ("Z070000", Part::Offset { z: true, colon: false, fields: 3 }),
    ("Z07:00:00", Part::Offset { z: true, colon: true, fields: 3 }),
    ("Z0700", Part::Offset { z: true, colon: false, fields: 2 }),
    ("Z07:00", Part::Offset { z: true, colon: true, fields: 2 }),
    ("Z07", Part::Offset { z: true, colon: false, fields: 1 }),
];

/// The first part in a layout: plain text before it, the part, how it was written, and what follows.
fn next(layout: &str) -> Option<(&str, Part, &str, &str)> {
    layout.char_indices().find_map(|(at, _)| {
        let (before, here) = layout.split_at(at);
        let (part, length, skip) = part_at(here)?;
        let (written, rest) = here.split_at_checked(length)?;
        // `_2006` is an underscore and a year.
        Some((layout.get(..at + skip).unwrap_or(before), part, written.get(skip..)?, rest))
    })
}

fn part_at(here: &str) -> Option<(Part, usize, usize)> {
    let lower_follows = || here.chars().nth(3).is_some_and(|c| c.is_ascii_lowercase());
    if here.starts_with("_2006") {
        return Some((Part::LongYear, 5, 1));
    }
    if here.starts_with("_2") {
        return Some((Part::UnderDay, 2, 0));
    }
    if here.starts_with("__2") {
        return Some((Part::UnderYearDay, 3, 0));
    }
    if let Some((text, part)) = FIXED.iter().find(|(text, _)| here.starts_with(text)) {
        return Some((*part, text.len(), 0));
    }
    if here.starts_with("Jan") && !lower_follows() {
        return Some((Part::Month, 3, 0));
    }
    if here.starts_with("Mon") && !lower_follows() {
        return Some((Part::Weekday, 3, 0));
    }
    let digits = here.strip_prefix(['.', ','])?;
    let digit = digits.chars().next().filter(|c| matches!(c, '0' | '9'))?;
    let count = digits.len() - digits.trim_start_matches(digit).len();
    if digits.get(count..).and_then(|rest| rest.chars().next()).is_some_and(|c| c.is_ascii_digit()) {
        return None;
    }
    Some((Part::Fraction { comma: here.starts_with(','), digits: count, trim: digit == '9' }, count + 1, 0))
}

/// The time written as the layout shows it.
pub fn format(time: &Time, layout: &str) -> String {
    let mut text = String::with_capacity(layout.len() + 8);
    let mut rest = layout;
    while let Some((before, part, _, after)) = next(rest) {
        text.push_str(before);
        // Writing into a text cannot fail.
        let _ = write_part(&mut text, time, part);
        rest = after;
    }
    text.push_str(rest);
    text
}

fn name<'a>(names: &'a [&str], index: u8) -> &'a str {
    names.get(usize::from(index)).copied().unwrap_or("")
}

fn write_part(out: &mut String, time: &Time, part: Part) -> std::fmt::Result {
    let at = time.civil();
    let hour12 = match at.hour % 12 {
        0 => 12,
        hour => hour,
    };
    let short = |name: &str| name.get(..3).unwrap_or("").to_string();
    match part {
        Part::LongMonth => write!(out, "{}", name(&MONTHS, at.month.saturating_sub(1))),
        Part::Month => write!(out, "{}", short(name(&MONTHS, at.month.saturating_sub(1)))),
        Part::NumMonth => write!(out, "{}", at.month),
        Part::ZeroMonth => write!(out, "{:02}", at.month),
        Part::LongWeekday => write!(out, "{}", name(&DAYS, at.weekday)),
        Part::Weekday => write!(out, "{}", short(name(&DAYS, at.weekday))),
        Part::Day => write!(out, "{}", at.day),
        Part::UnderDay => write!(out, "{:2}", at.day),
        Part::ZeroDay => write!(out, "{:02}", at.day),
        Part::UnderYearDay => write!(out, "{:3}", at.year_day),
        Part::ZeroYearDay => write!(out, "{:03}", at.year_day),
        Part::Hour => write!(out, "{:02}", at.hour),
        Part::Hour12 => write!(out, "{hour12}"),
        Part::ZeroHour12 => write!(out, "{hour12:02}"),
        Part::Minute => write!(out, "{}", at.minute),
        Part::ZeroMinute => write!(out, "{:02}", at.minute),
        Part::Second => write!(out, "{}", at.second),
        Part::ZeroSecond => write!(out, "{:02}", at.second),
        Part::LongYear if at.year < 0 => write!(out, "-{:04}", at.year.unsigned_abs()),
        Part::LongYear => write!(out, "{:04}", at.year),
        Part::Year => write!(out, "{:02}", at.year.max(0) % 100),
        Part::UpperPm => write!(out, "{}", if at.hour >= 12 { "PM" } else { "AM" }),
        Part::LowerPm => write!(out, "{}", if at.hour >= 12 { "pm" } else { "am" }),
        Part::ZoneName => match time.zone_name() {
            name if name.is_empty() => {
                let minutes = time.offset() / 60;
                write!(out, "{}{:02}{:02}", if minutes < 0 { '-' } else { '+' }, minutes.abs() / 60, minutes.abs() % 60)
            }
            name => write!(out, "{name}"),
        },
        Part::Offset { z, colon, fields } => write_offset(out, time.offset(), z, colon, fields),
        Part::Fraction { comma, digits, trim } => {
            let nanos = format!("{:09}", time.nanos);
            let kept = nanos.get(..digits.min(9)).unwrap_or(&nanos);
            let kept = if trim { kept.trim_end_matches('0') } else { kept };
            if trim && kept.is_empty() {
                return Ok(());
            }
            write!(out, "{}{kept}", if comma { ',' } else { '.' })
        }
    }
}

fn write_offset(out: &mut String, offset: i32, z: bool, colon: bool, fields: u8) -> std::fmt::Result {
    if z && offset == 0 {
        return out.write_char('Z');
    }
    let (sign, size) = if offset < 0 { ('-', -offset) } else { ('+', offset) };
    write!(out, "{sign}{:02}", size / 3600)?;
    let colon = if colon { ":" } else { "" };
    if fields > 1 {
        write!(out, "{colon}{:02}", size / 60 % 60)?;
    }
    if fields > 2 {
        write!(out, "{colon}{:02}", size % 60)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Zone;

    fn at(text: &str) -> Time {
        parse("2006-01-02T15:04:05Z07:00", text, &Zone::Utc).unwrap()
    }

    #[test]
    fn layouts_show_a_date_by_example() {
        let time = at("2024-02-29T13:04:05.012Z");
        for (layout, expected) in [
            ("Monday, January 2, 2006 Mon Jan", "Thursday, February 29, 2024 Thu Feb"),
            ("002 __2 MST -0700 Z07", "060  60 UTC +0000 Z"),
            ("3:04PM pm 03 _2006 _2", "1:04PM pm 01 _2024 29"),
            ("05.000 .999 ,00", "05.012 .012 ,01"),
            ("on 2006 at Xmas", "on 2024 at Xmas"),
            ("Jane Monk", "Jane Monk"),
            ("-07:00 -07:00:00 -07", "+00:00 +00:00:00 +00"),
        ] {
            assert_eq!(format(&time, layout), expected, "{layout}");
        }
    }

    #[test]
    fn a_date_is_read_as_it_is_written() {
        let time = parse("2 Jan 2006 3:04pm -0700", "9 Nov 1989 6:53pm +0100", &Zone::Utc).unwrap();
        assert_eq!(time, at("1989-11-09T17:53:00Z"));
        assert_eq!(parse("2006-002", "2024-060", &Zone::Utc).unwrap(), at("2024-02-29T00:00:00Z"));
    }

    #[test]
    fn faults_are_told_in_gos_words() {
        let fault = |layout, text| parse(layout, text, &Zone::Utc).unwrap_err();
        assert_eq!(
            fault("2006-01-02", "31.12.2024"),
            "parsing time \"31.12.2024\" as \"2006-01-02\": cannot parse \"31.12.2024\" as \"2006\""
        );
        assert_eq!(fault("2006-01-02", "2023-02-29"), "parsing time \"2023-02-29\": day out of range");
        assert_eq!(fault("2006-01-02", "2023-13-01"), "parsing time \"2023-13-01\": month out of range");
        assert_eq!(fault("2006", "2024 x"), "parsing time \"2024 x\": extra text: \" x\"");
    }
}
