//! Time zones: fixed ones, and TZif tables (RFC 8536) with the POSIX rule for the years after the table.

use std::fmt;
use std::sync::Arc;

use super::{DAY, civil_from_days, days_from_civil};

/// Where an instant is shown.
#[derive(Clone)]
pub enum Zone {
    Utc,
    Fixed { offset: i32, name: Arc<str> },
    Table(Arc<ZoneTable>),
}

/// A zone of the tz database.
#[derive(Debug)]
pub struct ZoneTable {
    name: String,
    /// Since when (seconds since 1970 UTC), and which span.
    changes: Vec<(i64, usize)>,
    spans: Vec<Span>,
    rule: Option<Rule>,
}

/// What holds in a zone at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Seconds east of UTC.
    pub offset: i32,
    pub name: String,
    /// Daylight saving time.
    pub summer: bool,
}

#[derive(Debug)]
struct Rule {
    standard: Span,
    summer: Option<(Span, Turn, Turn)>,
}

/// A yearly change: a day and a wall clock second of it.
#[derive(Debug, Clone, Copy)]
struct Turn {
    day: TurnDay,
    second: i64,
}

#[derive(Debug, Clone, Copy)]
enum TurnDay {
    /// `Jn`: 1 to 365, February 29 never counts.
    Julian(i64),
    /// `n`: from 0, February 29 counts.
    Ordinal(i64),
    /// `Mm.w.d`
    Week { month: i64, week: i64, weekday: i64 },
}

impl Zone {
    /// Reads a TZif file, version 1 to 4. `None`: it is not one.
    pub fn parse(name: &str, bytes: &[u8]) -> Option<Self> {
        ZoneTable::parse(name, bytes).map(|table| Self::Table(Arc::new(table)))
    }

    /// As the zone was loaded: `UTC`, `Europe/Vienna`.
    pub fn name(&self) -> &str {
        match self {
            Self::Utc => "UTC",
            Self::Fixed { name, .. } => name,
            Self::Table(table) => &table.name,
        }
    }

    pub fn at(&self, seconds: i64) -> Span {
        match self {
            Self::Utc => Span { offset: 0, name: "UTC".into(), summer: false },
            Self::Fixed { offset, name } => Span { offset: *offset, name: name.to_string(), summer: false },
            Self::Table(table) => table.at(seconds),
        }
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ZoneTable {
    fn at(&self, seconds: i64) -> Span {
        let after = self.changes.partition_point(|(since, _)| *since <= seconds);
        if after == self.changes.len()
            && let Some(rule) = &self.rule
        {
            return rule.at(seconds);
        }
        let span = after.checked_sub(1).and_then(|i| self.changes.get(i)).map_or(0, |(_, span)| *span);
        self.spans.get(span).cloned().unwrap_or(Span { offset: 0, name: "UTC".into(), summer: false })
    }

    fn parse(name: &str, bytes: &[u8]) -> Option<Self> {
        let head = Head::parse(bytes)?;
        if head.version == 0 {
            return Some(Self { name: name.into(), changes: head.changes(4)?, spans: head.spans(4)?, rule: None });
        }
        let head = Head::parse(bytes.get(44 + head.body_len(4)?..)?)?;
        let footer = head.body.get(head.body_len(8)?..).unwrap_or_default();
        let footer = footer.strip_prefix(b"\n").unwrap_or_default().split(|b| *b == b'\n').next().unwrap_or_default();
        Some(Self {
            name: name.into(),
            changes: head.changes(8)?,
            spans: head.spans(8)?,
            rule: std::str::from_utf8(footer).ok().and_then(Rule::parse),
        })
    }
}

struct Head<'a> {
    version: u8,
    counts: [usize; 6],
    body: &'a [u8],
}

impl<'a> Head<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        if !bytes.starts_with(b"TZif") {
            return None;
        }
        let mut counts = [0; 6];
        for (i, count) in counts.iter_mut().enumerate() {
            let word = bytes.get(20 + 4 * i..24 + 4 * i)?.try_into().ok()?;
            *count = usize::try_from(u32::from_be_bytes(word)).ok().filter(|n| *n < 1 << 20)?;
        }
        Some(Self { version: *bytes.get(4)?, counts, body: bytes.get(44..)? })
    }

    fn body_len(&self, word: usize) -> Option<usize> {
        let [isut, isstd, leap, times, types, chars] = self.counts;
        Some(times * word + times + types * 6 + chars + leap * (word + 4) + isstd + isut)
    }

    fn changes(&self, word: usize) -> Option<Vec<(i64, usize)>> {
        let times = self.counts[3];
        let at = |i: usize| -> Option<i64> {
            let raw = self.body.get(i * word..(i + 1) * word)?;
            Some(match word {
                4 => i64::from(i32::from_be_bytes(raw.try_into().ok()?)),
                _ => i64::from_be_bytes(raw.try_into().ok()?),
            })
        };
        (0..times).map(|i| Some((at(i)?, usize::from(*self.body.get(times * word + i)?)))).collect()
    }

    fn spans(&self, word: usize) -> Option<Vec<Span>> {
        let [_, _, _, times, types, chars] = self.counts;
        let start = times * word + times;
        let names = self.body.get(start + types * 6..start + types * 6 + chars)?;
        let span = |i: usize| -> Option<Span> {
            let raw = self.body.get(start + i * 6..start + i * 6 + 6)?;
            let name = names.get(usize::from(*raw.get(5)?)..)?.split(|b| *b == 0).next()?;
            Some(Span {
                offset: i32::from_be_bytes(raw.get(..4)?.try_into().ok()?),
                name: String::from_utf8_lossy(name).into_owned(),
                summer: raw.get(4)? != &0,
            })
        };
        (0..types).map(span).collect()
    }
}

impl Rule {
    /// A POSIX `TZ` text: `CET-1CEST,M3.5.0,M10.5.0/3`.
    fn parse(text: &str) -> Option<Self> {
        let mut rest = text;
        let standard = Span { name: zone_word(&mut rest)?, offset: -zone_clock(&mut rest)?, summer: false };
        if rest.is_empty() {
            return Some(Self { standard, summer: None });
        }
        let name = zone_word(&mut rest)?;
        let offset = if rest.starts_with(',') { standard.offset + 3600 } else { -zone_clock(&mut rest)? };
        let mut turns = rest.strip_prefix(',')?.split(',').map(Turn::parse);
        let (start, end) = (turns.next()??, turns.next()??);
        Some(Self { standard, summer: Some((Span { offset, name, summer: true }, start, end)) })
    }

    fn at(&self, seconds: i64) -> Span {
        let Some((summer, start, end)) = &self.summer else { return self.standard.clone() };
        let (year, ..) = civil_from_days(seconds.saturating_add(i64::from(self.standard.offset)).div_euclid(DAY));
        let start = start.local(year).saturating_sub(self.standard.offset.into());
        let end = end.local(year).saturating_sub(summer.offset.into());
        let is_summer = if start < end { (start..end).contains(&seconds) } else { !(end..start).contains(&seconds) };
        if is_summer { summer.clone() } else { self.standard.clone() }
    }
}

impl Turn {
    fn parse(text: &str) -> Option<Self> {
        let (day, clock) = text.split_once('/').unwrap_or((text, "2"));
        let mut clock = clock;
        let second = i64::from(zone_clock(&mut clock)?);
        let day = if let Some(n) = day.strip_prefix('J') {
            TurnDay::Julian(n.parse().ok()?)
        } else if let Some(week) = day.strip_prefix('M') {
            let mut parts = week.split('.').map(|n| n.parse::<i64>().ok());
            TurnDay::Week { month: parts.next()??, week: parts.next()??, weekday: parts.next()?? }
        } else {
            TurnDay::Ordinal(day.parse().ok()?)
        };
        Some(Self { day, second })
    }

    /// Seconds since 1970 on the wall clock.
    fn local(self, year: i64) -> i64 {
        let first = days_from_civil(year, 1, 1);
        let day = match self.day {
            TurnDay::Ordinal(n) => first + n,
            TurnDay::Julian(n) => {
                let leap = days_from_civil(year, 3, 1) - first == 60;
                first + n - 1 + i64::from(leap && n >= 60)
            }
            TurnDay::Week { month, week, weekday } => {
                let start = days_from_civil(year, month, 1);
                let day = start + (weekday - (start + 4)).rem_euclid(7) + (week - 1) * 7;
                if day >= days_from_civil(year, month + 1, 1) { day - 7 } else { day }
            }
        };
        day.saturating_mul(DAY).saturating_add(self.second)
    }
}

fn zone_word(rest: &mut &str) -> Option<String> {
    let (word, after) = if let Some(quoted) = rest.strip_prefix('<') {
        quoted.split_once('>')?
    } else {
        rest.split_at(rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len()))
    };
    *rest = after;
    (!word.is_empty()).then(|| word.to_owned())
}

/// `[+-]h[h[h]][:mm[:ss]]` in seconds.
fn zone_clock(rest: &mut &str) -> Option<i32> {
    let end = rest.find(|c: char| !c.is_ascii_digit() && !"+-:".contains(c)).unwrap_or(rest.len());
    let (clock, after) = rest.split_at(end);
    *rest = after;
    let (sign, digits) = match clock.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, clock.strip_prefix('+').unwrap_or(clock)),
    };
    let mut seconds = 0;
    for (part, unit) in digits.split(':').zip([3600, 60, 1]) {
        seconds += part.parse::<i32>().ok().filter(|n| *n < 1000)? * unit;
    }
    Some(sign * seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_posix_rule_knows_when_summer_begins() {
        let rule = Rule::parse("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        // 2040-03-25 01:00 UTC is the last Sunday of March.
        let turn = days_from_civil(2040, 3, 25) * DAY + 3600;
        assert_eq!(rule.at(turn - 1), Span { offset: 3600, name: "CET".into(), summer: false });
        assert_eq!(rule.at(turn), Span { offset: 7200, name: "CEST".into(), summer: true });
        let south = Rule::parse("AEST-10AEDT,M10.1.0,M4.1.0/3").unwrap();
        assert_eq!(south.at(days_from_civil(2040, 1, 1) * DAY).name, "AEDT");
        assert_eq!(
            Rule::parse("<+0530>-5:30").unwrap().at(0),
            Span { offset: 19_800, name: "+0530".into(), summer: false }
        );
    }

    #[test]
    fn dates_beyond_any_calendar_are_far_away_and_no_harm() {
        let rule = Rule::parse("CET-1CEST,M3.5.0,M10.5.0/3");
        let table = ZoneTable { name: "x".into(), changes: Vec::new(), spans: Vec::new(), rule };
        let zone = Zone::Table(Arc::new(table));
        for n in [i64::MIN, i64::MAX] {
            for date in [(n, 1, 1), (2024, n, 1), (2024, 1, n), (n, n, n)] {
                let time = crate::time::Time::from_civil(date, (n, n, n), 0, zone.clone());
                assert!(crate::time::layout::format(&time, "2006-01-02 MST").contains("CE"), "{date:?}");
            }
            assert!(zone.at(n).offset > 0);
        }
    }

    #[test]
    fn what_is_no_table_is_refused() {
        assert!(Zone::parse("x", b"TZif2").is_none());
        assert!(Zone::parse("x", b"").is_none());
    }
}
