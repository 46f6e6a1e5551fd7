//! HTTP dates (RFC 9110, 5.6.7): seconds since 1970 to text and back.

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `Fri, 02 Jan 2026 03:04:05 GMT`. Years beyond four digits are written as they are.
pub fn write(seconds: i64) -> String {
    let days = seconds.div_euclid(86_400);
    let second = seconds.rem_euclid(86_400);
    let (year, month, day) = civil(days);
    // 1970-01-01 was a Thursday.
    let weekday = usize::try_from((days + 3).rem_euclid(7)).ok().and_then(|at| DAYS.get(at)).unwrap_or(&"Mon");
    let name = usize::try_from(month - 1).ok().and_then(|at| MONTHS.get(at)).unwrap_or(&"Jan");
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{weekday}, {day:02} {name} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

/// Reads the three forms that HTTP has had: `Fri, 02 Jan 2026 03:04:05 GMT`, `Friday, 02-Jan-26 03:04:05 GMT`,
/// `Fri Jan  2 03:04:05 2026`. Anything else is none, and a condition with it counts as not said.
pub fn read(text: &str) -> Option<i64> {
    let text = text.trim();
    match text.split_once(", ") {
        Some((_, rest)) => {
            let rest = rest.strip_suffix(" GMT").or_else(|| rest.strip_suffix(" UTC"))?;
            let (date, time) = rest.rsplit_once(' ')?;
            let mut parts = date.split([' ', '-']);
            let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
            if parts.next().is_some() {
                return None;
            }
            let short = year.len() == 2;
            let year: i64 = number(year)?;
            // RFC 9110: two digits that would lie more than 50 years ahead are of the century before.
            let year = if !short {
                year
            } else if year < 70 {
                2000 + year
            } else {
                1900 + year
            };
            seconds(year, month, day, time)
        }
        None => {
            let mut parts = text.split_ascii_whitespace();
            let (_, month, day, time, year) =
                (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?);
            if parts.next().is_some() {
                return None;
            }
            seconds(number(year)?, month, day, time)
        }
    }
}

fn seconds(year: i64, month: &str, day: &str, time: &str) -> Option<i64> {
    let month = i64::try_from(MONTHS.iter().position(|name| *name == month)?).ok()? + 1;
    let day = number(day)?;
    let mut parts = time.split(':');
    let (hour, minute, second) = (number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?);
    let fits = (1..=9999).contains(&year) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 61;
    if !fits || parts.next().is_some() {
        return None;
    }
    Some(days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

fn number(text: &str) -> Option<i64> {
    let digits = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar, counting years from March.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date of a day since 1970-01-01: year, month, day. Inverse of [`days`].
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_written_as_http_wants_it() {
        assert_eq!(write(1_767_323_045), "Fri, 02 Jan 2026 03:04:05 GMT");
        assert_eq!(write(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(write(951_782_400), "Tue, 29 Feb 2000 00:00:00 GMT");
        assert_eq!(write(-1), "Wed, 31 Dec 1969 23:59:59 GMT");
    }

    #[test]
    fn the_three_forms_are_one_moment() {
        for text in ["Fri, 02 Jan 2026 03:04:05 GMT", "Friday, 02-Jan-26 03:04:05 GMT", "Fri Jan  2 03:04:05 2026"] {
            assert_eq!(read(text), Some(1_767_323_045), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "yesterday",
            "Fri, 02 Jan 2026 03:04 GMT",
            "Fri, 32 Jan 2026 03:04:05 GMT",
            "Fri, 2026",
            "Fri, 02 Jan 99999 03:04:05 GMT",
            "Fri, 02 Jän 2026 03:04:05 GMT",
            "-1",
            "0",
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_was_written_is_read_back(seconds in -62_135_596_800i64..253_402_300_800) {
            proptest::prop_assert_eq!(read(&write(seconds)), Some(seconds));
        }

        #[test]
        fn any_text_is_read_without_harm(text in ".{0,40}") {
            let _ = read(&text);
        }
    }
}
