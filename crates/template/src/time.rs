//! An instant with the zone in which it is shown, and the calendar. Formats are in `sprig::dates`.

pub(crate) mod duration;
pub(crate) mod layout;
mod zone;

use std::fmt;

pub use zone::{Zone, ZoneTable};

/// An instant, in a zone.
#[derive(Clone, Debug)]
pub struct Time {
    /// Seconds since 1970-01-01 UTC.
    pub seconds: i64,
    /// 0 to 999,999,999, forward from `seconds`.
    pub nanos: u32,
    pub zone: Zone,
}

/// A date and a time of day as a calendar shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    pub year: i64,
    /// 1 to 12
    pub month: u8,
    /// 1 to 31
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
    /// 0 is Sunday.
    pub weekday: u8,
    /// From 1.
    pub year_day: u16,
}

const DAY: i64 = 86_400;

impl Time {
    /// Go's zero time, 0001-01-01 00:00:00 UTC.
    pub const ZERO: Self = Self { seconds: -62_135_596_800, nanos: 0, zone: Zone::Utc };

    pub fn unix(seconds: i64, nanos: u32, zone: Zone) -> Self {
        Self { seconds, nanos, zone }
    }

    /// A wall clock reading in a zone; day, hour, minute and second may lie outside their range and carry over.
    pub fn from_civil(date: (i64, i64, i64), clock: (i64, i64, i64), nanos: u32, zone: Zone) -> Self {
        let local = days_from_civil(date.0, date.1, date.2)
            .saturating_mul(DAY)
            .saturating_add(clock.0.saturating_mul(3600))
            .saturating_add(clock.1.saturating_mul(60))
            .saturating_add(clock.2);
        // The offset depends on the instant and the instant on the offset: two looks settle it as in Go.
        let first = zone.at(local.saturating_sub(i64::from(zone.at(local).offset))).offset;
        let mut seconds = local.saturating_sub(i64::from(zone.at(local).offset));
        if i64::from(first) != local - seconds {
            let second = local.saturating_sub(i64::from(first));
            if zone.at(second).offset == first {
                seconds = second;
            }
        }
        Self { seconds, nanos, zone }
    }

    pub fn is_zero(&self) -> bool {
        self.seconds == Self::ZERO.seconds && self.nanos == 0
    }

    #[must_use]
    pub fn in_zone(&self, zone: Zone) -> Self {
        Self { zone, ..*self }
    }

    /// Adds nanoseconds; saturates far outside of any calendar.
    #[must_use]
    pub fn plus(&self, nanoseconds: i64) -> Self {
        let nanos = i64::from(self.nanos) + nanoseconds.rem_euclid(1_000_000_000);
        let carry = nanos.div_euclid(1_000_000_000);
        let seconds = self.seconds.saturating_add(nanoseconds.div_euclid(1_000_000_000)).saturating_add(carry);
        let nanos = u32::try_from(nanos.rem_euclid(1_000_000_000)).unwrap_or(0);
        Self { seconds, nanos, zone: self.zone.clone() }
    }

    /// `self - other` in nanoseconds, saturated as Go does.
    pub fn since(&self, other: &Self) -> i64 {
        let nanos = (i128::from(self.seconds) - i128::from(other.seconds)) * 1_000_000_000 + i128::from(self.nanos)
            - i128::from(other.nanos);
        i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
    }

    /// Seconds east of UTC.
    pub fn offset(&self) -> i32 {
        self.zone.at(self.seconds).offset
    }

    /// `UTC`, `CET`, ...
    pub fn zone_name(&self) -> String {
        self.zone.at(self.seconds).name
    }

    pub fn civil(&self) -> Civil {
        let local = self.seconds.saturating_add(i64::from(self.offset()));
        let (days, clock) = (local.div_euclid(DAY), local.rem_euclid(DAY));
        let (year, month, day) = civil_from_days(days);
        let small = |n: i64| u8::try_from(n).unwrap_or(0);
        Civil {
            year,
            month: small(month),
            day: small(day),
            hour: small(clock / 3600),
            minute: small(clock / 60 % 60),
            second: small(clock % 60),
            weekday: small((days + 4).rem_euclid(7)),
            year_day: u16::try_from(days - days_from_civil(year, 1, 1) + 1).unwrap_or(0),
        }
    }
}

impl PartialEq for Time {
    /// The same instant, in whatever zone.
    fn eq(&self, other: &Self) -> bool {
        (self.seconds, self.nanos) == (other.seconds, other.nanos)
    }
}

impl fmt::Display for Civil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, hour, minute, second, .. } = self;
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    }
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar; months carry over into years.
pub fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year.saturating_add(month.saturating_sub(1).div_euclid(12)).clamp(-300_000_000_000, 300_000_000_000);
    let month = month.saturating_sub(1).rem_euclid(12) + 1;
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era - 719_468).saturating_add(day.saturating_sub(1))
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_are_each_others_inverse() {
        for days in (-800_000..800_000).step_by(37) {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days, "{year}-{month}-{day}");
        }
        assert_eq!(Time::ZERO.civil().to_string(), "0001-01-01 00:00:00");
        assert_eq!(Time::unix(1_700_000_000, 0, Zone::Utc).civil().to_string(), "2023-11-14 22:13:20");
        assert_eq!(days_from_civil(2024, 14, 1), days_from_civil(2025, 2, 1));
    }
}
