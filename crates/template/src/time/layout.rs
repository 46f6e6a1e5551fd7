//! Dates as text by Go's layouts: the reference time `Mon Jan 2 15:04:05 MST 2006` says by example how a date is
//! written (package time, "Layout").

use std::fmt::Write;

use super::{Time, Zone, days_from_civil};

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
                write!(out, "{}{:02}", if minutes < 0 { '-' } else { '+' }, minutes.abs() / 60)?;
                if minutes % 60 != 0 { write!(out, "{:02}", minutes.abs() % 60) } else { Ok(()) }
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

/// What was read so far.
#[derive(Default)]
struct Read {
    year: i64,
    month: Option<i64>,
    day: Option<i64>,
    year_day: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    nanos: u32,
    afternoon: Option<bool>,
    offset: Option<i32>,
    zone_name: Option<String>,
}

/// Reads a date; what the layout leaves out is zero or the first, and the zone is `zone` unless the text names one.
///
/// # Errors
/// Go's own words: `parsing time "x" as "layout": cannot parse "rest" as "2006"`.
pub fn parse(layout: &str, text: &str, zone: &Zone) -> Result<Time, String> {
    let whole = |what: String| format!("parsing time {text:?}{what}");
    let mut read = Read::default();
    let (mut pattern, mut value) = (layout, text);
    loop {
        let step = next(pattern);
        let (before, written) = match &step {
            Some((before, _, written, _)) => (*before, *written),
            None => (pattern, ""),
        };
        value = skip(value, before)
            .ok_or_else(|| whole(format!(" as {layout:?}: cannot parse {value:?} as {before:?}")))?;
        let Some((_, part, _, after)) = step else {
            if !value.is_empty() {
                return Err(whole(format!(": extra text: {value:?}")));
            }
            break;
        };
        value = match read.part(part, value, after) {
            Ok(rest) => rest,
            Err(Fault::Syntax) => {
                return Err(whole(format!(" as {layout:?}: cannot parse {value:?} as {written:?}")));
            }
            Err(Fault::Range(what)) => return Err(whole(format!(": {what} out of range"))),
        };
        pattern = after;
    }
    read.finish(zone).map_err(|what| whole(format!(": {what} out of range")))
}

enum Fault {
    Syntax,
    Range(&'static str),
}

/// Plain text of the layout passed over in the value; a blank stands for any number of blanks.
fn skip<'a>(mut value: &'a str, mut prefix: &str) -> Option<&'a str> {
    while let Some(c) = prefix.chars().next() {
        if c == ' ' {
            if !value.is_empty() && !value.starts_with(' ') {
                return None;
            }
            prefix = prefix.trim_start_matches(' ');
            value = value.trim_start_matches(' ');
            continue;
        }
        value = value.strip_prefix(c)?;
        prefix = prefix.get(c.len_utf8()..)?;
    }
    Some(value)
}

/// One or two digits (`exact`: two) as a number.
fn number(value: &str, exact: bool) -> Result<(i64, &str), Fault> {
    let count = value.bytes().take(2).take_while(u8::is_ascii_digit).count();
    if count == 0 || exact && count < 2 {
        return Err(Fault::Syntax);
    }
    let (digits, rest) = value.split_at(count);
    Ok((digits.parse().map_err(|_| Fault::Syntax)?, rest))
}

fn lookup<'a>(names: &[&str], value: &'a str, short: bool) -> Result<(i64, &'a str), Fault> {
    for (index, name) in (0..).zip(names) {
        let name = if short { name.get(..3).unwrap_or(name) } else { name };
        if let Some((head, rest)) = value.split_at_checked(name.len())
            && head.eq_ignore_ascii_case(name)
        {
            return Ok((index, rest));
        }
    }
    Err(Fault::Syntax)
}

impl Read {
    fn part<'a>(&mut self, part: Part, value: &'a str, after: &str) -> Result<&'a str, Fault> {
        let within = |(n, rest), least: i64, most: i64, what| {
            if (least..=most).contains(&n) { Ok((n, rest)) } else { Err(Fault::Range(what)) }
        };
        match part {
            Part::LongYear => {
                let digits = value.get(..4).filter(|d| d.bytes().all(|b| b.is_ascii_digit())).ok_or(Fault::Syntax)?;
                self.year = digits.parse().map_err(|_| Fault::Syntax)?;
                return value.get(4..).ok_or(Fault::Syntax);
            }
            Part::Year => {
                let (n, rest) = number(value, true)?;
                self.year = if n >= 69 { n + 1900 } else { n + 2000 };
                return Ok(rest);
            }
            Part::LongMonth | Part::Month => {
                let (index, rest) = lookup(&MONTHS, value, part == Part::Month)?;
                self.month = Some(index + 1);
                return Ok(rest);
            }
            Part::NumMonth | Part::ZeroMonth => {
                let (n, rest) = within(number(value, part == Part::ZeroMonth)?, 1, 12, "month")?;
                self.month = Some(n);
                return Ok(rest);
            }
            Part::LongWeekday | Part::Weekday => {
                return lookup(&DAYS, value, part == Part::Weekday).map(|(_, rest)| rest);
            }
            Part::Day | Part::UnderDay | Part::ZeroDay => {
                let value = if part == Part::UnderDay { value.strip_prefix(' ').unwrap_or(value) } else { value };
                let (n, rest) = number(value, part == Part::ZeroDay)?;
                self.day = Some(n);
                return Ok(rest);
            }
            Part::UnderYearDay | Part::ZeroYearDay => {
                let digits = value.get(..3).ok_or(Fault::Syntax)?;
                let digits = if part == Part::UnderYearDay { digits.trim_start_matches(' ') } else { digits };
                self.year_day = Some(digits.parse::<u16>().map_err(|_| Fault::Syntax)?.into());
                return value.get(3..).ok_or(Fault::Syntax);
            }
            Part::Hour => {
                let (n, rest) = within(number(value, false)?, 0, 23, "hour")?;
                self.hour = n;
                return Ok(rest);
            }
            Part::Hour12 | Part::ZeroHour12 => {
                let (n, rest) = within(number(value, part == Part::ZeroHour12)?, 0, 12, "hour")?;
                self.hour = n;
                return Ok(rest);
            }
            Part::Minute | Part::ZeroMinute => {
                let (n, rest) = within(number(value, part == Part::ZeroMinute)?, 0, 59, "minute")?;
                self.minute = n;
                return Ok(rest);
            }
            Part::Second | Part::ZeroSecond => {
                let (n, rest) = within(number(value, part == Part::ZeroSecond)?, 0, 59, "second")?;
                self.second = n;
                // A fraction may follow the seconds even where the layout does not show one.
                let shown = matches!(next(after), Some(("", Part::Fraction { .. }, _, _)));
                return if shown { Ok(rest) } else { self.fraction(rest, None).or(Ok(rest)) };
            }
            Part::UpperPm | Part::LowerPm => {
                let (head, rest) = value.split_at_checked(2).ok_or(Fault::Syntax)?;
                let (am, pm) = if part == Part::UpperPm { ("AM", "PM") } else { ("am", "pm") };
                self.afternoon = Some(match head {
                    _ if head == pm => true,
                    _ if head == am => false,
                    _ => return Err(Fault::Syntax),
                });
                return Ok(rest);
            }
            Part::Fraction { digits, trim, .. } => {
                return match self.fraction(value, (!trim).then_some(digits)) {
                    Err(_) if trim => Ok(value),
                    other => other,
                };
            }
            Part::ZoneName | Part::Offset { .. } => {}
        }
        self.zone(part, value)
    }

    /// A point or comma and digits, exactly `want` of them or as many as there are.
    fn fraction<'a>(&mut self, value: &'a str, want: Option<usize>) -> Result<&'a str, Fault> {
        let digits = value.strip_prefix(['.', ',']).ok_or(Fault::Syntax)?;
        let count = digits.bytes().take_while(u8::is_ascii_digit).count();
        let count = match want {
            Some(want) if count < want => return Err(Fault::Syntax),
            Some(want) => want,
            None if count == 0 => return Err(Fault::Syntax),
            None => count,
        };
        let (digits, rest) = digits.split_at(count);
        let padded = format!("{:0<9}", digits.get(..digits.len().min(9)).unwrap_or(""));
        self.nanos = padded.parse().map_err(|_| Fault::Syntax)?;
        Ok(rest)
    }

    fn zone<'a>(&mut self, part: Part, value: &'a str) -> Result<&'a str, Fault> {
        let Part::Offset { z, colon, fields } = part else {
            // An abbreviation is three to five capitals; what it means, only the zone given knows.
            if let Some(rest) = value.strip_prefix("UTC") {
                self.offset = Some(0);
                return Ok(rest);
            }
            let length = value.bytes().take_while(u8::is_ascii_uppercase).count();
            if !(3..=5).contains(&length) {
                return Err(Fault::Syntax);
            }
            let (name, rest) = value.split_at(length);
            self.zone_name = Some(name.into());
            return Ok(rest);
        };
        if z && let Some(rest) = value.strip_prefix('Z') {
            self.offset = Some(0);
            return Ok(rest);
        }
        let sign = match value.as_bytes().first() {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return Err(Fault::Syntax),
        };
        let mut rest = value.get(1..).ok_or(Fault::Syntax)?;
        let mut seconds = 0;
        for (index, unit) in (0..fields).zip([3600, 60, 1]) {
            if index > 0 && colon {
                rest = rest.strip_prefix(':').ok_or(Fault::Syntax)?;
            }
            let (n, after) = number(rest, true)?;
            if n > if index == 0 { 24 } else { 60 } {
                return Err(Fault::Range("time zone offset"));
            }
            seconds += i32::try_from(n).unwrap_or(0) * unit;
            rest = after;
        }
        self.offset = Some(sign * seconds);
        Ok(rest)
    }

    fn finish(self, zone: &Zone) -> Result<Time, String> {
        let hour = match self.afternoon {
            Some(true) if self.hour < 12 => self.hour + 12,
            Some(false) if self.hour == 12 => 0,
            _ => self.hour,
        };
        let length = |month: i64| days_from_civil(self.year, month + 1, 1) - days_from_civil(self.year, month, 1);
        let (month, day) = match self.year_day {
            Some(n) => {
                if n < 1 || n > days_from_civil(self.year + 1, 1, 1) - days_from_civil(self.year, 1, 1) {
                    return Err("day-of-year".into());
                }
                (1, n)
            }
            None => {
                let (month, day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
                if day < 1 || day > length(month) {
                    return Err("day".into());
                }
                (month, day)
            }
        };
        let zone = match (self.offset, self.zone_name) {
            (Some(0), _) => Zone::Utc,
            (Some(offset), name) => Zone::Fixed { offset, name: name.unwrap_or_default().into() },
            (None, Some(name)) => Zone::Fixed { offset: 0, name: name.into() },
            (None, None) => zone.clone(),
        };
        Ok(Time::from_civil((self.year, month, day), (hour, self.minute, self.second), self.nanos, zone))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
