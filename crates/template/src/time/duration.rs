//! Spans of time in nanoseconds, read and written as Go does: `1h2m3.5s`.

/// Nanoseconds of a text such as `-1.5h` or `2m30s`.
///
/// # Errors
/// Go's own words: `time: unknown unit "day" in duration "1day"`.
pub fn parse(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let whole = digits(rest);
        let after = rest.get(whole.len()..).unwrap_or("");
        let fraction = after.strip_prefix('.').map(digits);
        if whole.is_empty() && fraction.is_none_or(str::is_empty) {
            return Err(invalid());
        }
        let after = after.get(fraction.map_or(0, |f| f.len() + 1)..).unwrap_or("");
        let end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, tail) = after.split_at(end);
        let size: i128 = match unit {
            "" => return Err(format!("time: missing unit in duration {text:?}")),
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(format!("time: unknown unit {unit:?} in duration {text:?}")),
        };
        if !whole.is_empty() {
            total += whole.parse::<u64>().map(i128::from).map_err(|_| invalid())? * size;
        }
        if let Some(fraction) = fraction {
            let kept = fraction.get(..fraction.len().min(18)).unwrap_or("");
            let scale = (0..kept.len()).fold(1_i128, |scale, _| scale * 10);
            total += kept.parse::<i128>().unwrap_or(0) * size / scale;
        }
        if total > i128::from(i64::MAX) + i128::from(negative) {
            return Err(invalid());
        }
        rest = tail;
    }
    i64::try_from(if negative { -total } else { total }).map_err(|_| invalid())
}

fn digits(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end).unwrap_or("")
}

/// The span as Go prints it; below a second in the unit that leaves a whole number before the point.
pub fn format(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let size = nanoseconds.unsigned_abs();
    let fraction = |value: u64, unit: u64, digits: usize| {
        let text = format!("{}.{:0digits$}", value / unit, value % unit);
        text.trim_end_matches('0').trim_end_matches('.').to_string()
    };
    match size {
        0 => "0s".into(),
        1..1_000 => format!("{sign}{size}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", fraction(size, 1_000, 3)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", fraction(size, 1_000_000, 6)),
        _ => {
            let seconds = fraction(size % 60_000_000_000, 1_000_000_000, 9);
            let minutes = size / 60_000_000_000;
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
                (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_written_like_go() {
        for (text, shown) in [
            ("1h2m3s", "1h2m3s"),
            ("90m", "1h30m0s"),
            ("1500ms", "1.5s"),
            ("-1.5h", "-1h30m0s"),
            ("10us", "10µs"),
            ("1.000001ms", "1.000001ms"),
            ("0", "0s"),
            (".5s", "500ms"),
            ("2540400h10m10.000000000s", "2540400h10m10s"),
        ] {
            assert_eq!(format(parse(text).unwrap()), shown, "{text}");
        }
    }

    #[test]
    fn nonsense_is_told_in_gos_words() {
        assert_eq!(parse("soon").unwrap_err(), "time: invalid duration \"soon\"");
        assert_eq!(parse("5").unwrap_err(), "time: missing unit in duration \"5\"");
        assert_eq!(parse("1day").unwrap_err(), "time: unknown unit \"day\" in duration \"1day\"");
        assert!(parse("99999999999h").is_err());
    }
}
