//! Reads a date by a layout, as Go's `time.ParseInLocation` does.

use super::{DAYS, MONTHS, Part, next};
use crate::time::{Time, Zone, days_from_civil};

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
    /// `Z` or `UTC` was read, which no name changes.
    utc: bool,
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
                let blanks = value.bytes().take(2).take_while(|b| *b == b' ').count();
                let value = if part == Part::UnderYearDay { value.get(blanks..).unwrap_or("") } else { value };
                let count = value.bytes().take(3).take_while(u8::is_ascii_digit).count();
                if count == 0 || (count < 3 && part == Part::ZeroYearDay) {
                    return Err(Fault::Syntax);
                }
                let (digits, rest) = value.split_at_checked(count).ok_or(Fault::Syntax)?;
                self.year_day = Some(digits.parse::<u16>().map_err(|_| Fault::Syntax)?.into());
                return Ok(rest);
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
            if let Some(rest) = value.strip_prefix("UTC") {
                self.utc = true;
                return Ok(rest);
            }
            let (name, rest) = value.split_at_checked(zone_length(value)).ok_or(Fault::Syntax)?;
            if name.is_empty() {
                return Err(Fault::Syntax);
            }
            self.zone_name = Some(name.into());
            return Ok(rest);
        };
        if z && let Some(rest) = value.strip_prefix('Z') {
            self.utc = true;
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
                // A month and a day that were read as well must be those of the day.
                let months = (1..=12).map(|month| (month, length(month)));
                let (month, day) = months.fold((0, n), |(found, left), (month, length)| match found {
                    0 if left <= length => (month, left),
                    0 => (0, left - length),
                    found => (found, left),
                });
                if self.month.is_some_and(|read| read != month) {
                    return Err("day-of-year does not match month".into());
                }
                if self.day.is_some_and(|read| read != day) {
                    return Err("day-of-year does not match day".into());
                }
                (month, day)
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
            _ if self.utc => Zone::Utc,
            (Some(0), None) => Zone::Utc,
            (Some(0), Some(name)) if name == "UTC" => Zone::Utc,
            (Some(offset), name) => Zone::Fixed { offset, name: name.unwrap_or_default().into() },
            (None, Some(name)) => {
                // `GMT+2` says itself what it means; of the others only the zone given would know.
                let hours = name.strip_prefix("GMT").and_then(|hours| hours.parse::<i32>().ok());
                let zone = Zone::Fixed { offset: hours.unwrap_or(0) * 3600, name: name.into() };
                // Go takes the clock for that of Greenwich all the same.
                let clock = (hour, self.minute, self.second);
                return Ok(Time::from_civil((self.year, month, day), clock, self.nanos, Zone::Utc).in_zone(zone));
            }
            (None, None) => zone.clone(),
        };
        Ok(Time::from_civil((self.year, month, day), (hour, self.minute, self.second), self.nanos, zone))
    }
}

/// How long the name of a zone is that a text begins with; 0: there is none.
fn zone_length(text: &str) -> usize {
    if let Some(rest) = text.strip_prefix("GMT") {
        return 3 + signed_length(rest);
    }
    if text.starts_with(['+', '-']) && text.len() >= 3 {
        return signed_length(text);
    }
    if ["ChST", "MeST", "WITA"].iter().any(|name| text.starts_with(name)) {
        return 4;
    }
    let capitals = text.bytes().take(6).take_while(u8::is_ascii_uppercase).count();
    match capitals {
        3 => 3,
        4 | 5 if text.as_bytes().get(capitals - 1) == Some(&b'T') => capitals,
        _ => 0,
    }
}

/// `+3`, `-11`: hours up to 23.
fn signed_length(text: &str) -> usize {
    let Some(rest) = text.strip_prefix(['+', '-']) else { return 0 };
    let count = rest.bytes().take_while(u8::is_ascii_digit).count();
    let hours = rest.get(..count).and_then(|digits| digits.parse::<u32>().ok());
    if hours.is_some_and(|hours| hours <= 23) { count + 1 } else { 0 }
}
