//! HTTP dates (RFC 9110, 5.6.7): seconds since 1970 to text and back.

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const LONG_DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
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
///
/// The name of the day is not compared with the date, and names may be in any case, as Go's net/http has it.
pub fn read(text: &str) -> Option<i64> {
    imf_fixdate(text).or_else(|| rfc850(text)).or_else(|| asctime(text))
}

fn imf_fixdate(text: &str) -> Option<i64> {
    let mut rest = Rest(text);
    rest.name(&DAYS)?;
    rest.text(",")?;
    rest.space()?;
    let day = rest.two()?;
    rest.space()?;
    let month = rest.name(&MONTHS)?;
    rest.space()?;
    let year = rest.year()?;
    rest.space()?;
    let second = rest.clock()?;
    rest.space()?;
    rest.text("GMT")?;
    rest.end()?;
    seconds(year, month, day, second)
}

fn rfc850(text: &str) -> Option<i64> {
    let mut rest = Rest(text);
    rest.name(&LONG_DAYS)?;
    rest.text(",")?;
    rest.space()?;
    let day = rest.two()?;
    rest.text("-")?;
    let month = rest.name(&MONTHS)?;
    rest.text("-")?;
    // The years from 69 on are of the century before.
    let year = rest.two().map(|year| if year < 69 { 2000 + year } else { 1900 + year })?;
    rest.space()?;
    let second = rest.clock()?;
    rest.space()?;
    // Any three capitals are a zone, and all zones are Greenwich.
    let zone = rest.take(3)?;
    rest.end()?;
    if zone.bytes().all(|byte| byte.is_ascii_uppercase()) { seconds(year, month, day, second) } else { None }
}

fn asctime(text: &str) -> Option<i64> {
    let mut rest = Rest(text);
    rest.name(&DAYS)?;
    rest.space()?;
    let month = rest.name(&MONTHS)?;
    rest.space()?;
    let day = rest.one_or_two()?;
    rest.space()?;
    let second = rest.clock()?;
    rest.space()?;
    let year = rest.year()?;
    rest.end()?;
    seconds(year, month, day, second)
}

/// What of a date has not been read.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Option<&'a str> {
        let (head, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        Some(head)
    }

    fn text(&mut self, wanted: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(wanted)?;
        Some(())
    }

    /// One blank or more.
    fn space(&mut self) -> Option<()> {
        self.text(" ")?;
        self.0 = self.0.trim_start_matches(' ');
        Some(())
    }

    /// One of these names: its number, from 0.
    fn name(&mut self, names: &[&str]) -> Option<i64> {
        let begins = |name: &&str| self.0.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name));
        let at = names.iter().position(begins)?;
        self.take(names.get(at)?.len())?;
        i64::try_from(at).ok()
    }

    fn two(&mut self) -> Option<i64> {
        number(self.take(2)?)
    }

    fn one_or_two(&mut self) -> Option<i64> {
        let length = if self.0.as_bytes().get(1).is_some_and(u8::is_ascii_digit) { 2 } else { 1 };
        number(self.take(length)?)
    }

    fn year(&mut self) -> Option<i64> {
        number(self.take(4)?)
    }

    /// `03:04:05`, perhaps with a fraction that counts for nothing: the second of the day.
    fn clock(&mut self) -> Option<i64> {
        let hour = self.one_or_two()?;
        self.text(":")?;
        let minute = self.two()?;
        self.text(":")?;
        let second = self.two()?;
        if let Some(fraction) = self.0.strip_prefix(['.', ',']).filter(|f| f.starts_with(|c: char| c.is_ascii_digit()))
        {
            self.0 = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
        }
        (hour < 24 && minute < 60 && second < 60).then_some(hour * 3600 + minute * 60 + second)
    }

    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// `month` from 0.
fn seconds(year: i64, month: i64, day: i64, second: i64) -> Option<i64> {
    let at = days(year, month + 1, day);
    // A day that the month does not have becomes one of the next.
    (day > 0 && civil(at) == (year, month + 1, day)).then_some(at * 86_400 + second)
}

fn number(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
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
    fn case_and_blanks_and_the_name_of_the_day_matter_little() {
        for text in [
            "FRI, 02 JAN 2026 03:04:05 GMT",
            "Mon, 02 Jan 2026 3:04:05 GMT",
            "Fri,  02 Jan 2026 03:04:05 GMT",
            "Friday, 02-Jan-26 03:04:05 EST",
            "Fri Jan 02 03:04:05 2026",
            "Fri, 02 Jan 2026 03:04:05.9 GMT",
        ] {
            assert_eq!(read(text), Some(1_767_323_045), "{text}");
        }
        assert_eq!(read("Friday, 01-Jan-69 00:00:00 GMT"), Some(-31_536_000));
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
            "Fri, 2 Jan 2026 03:04:05 GMT",
            "Fri, 30 Feb 2026 03:04:05 GMT",
            "Fri, 02 Jan 2026 03:04:60 GMT",
            "Fri, 02 Jan 2026 03:04:05 UTC",
            "Xyz, 02 Jan 2026 03:04:05 GMT",
            "Fri, 02-Jan-26 03:04:05 GMT",
            "Fri, 02 Jan 2026 03:04:05 GMT ",
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
