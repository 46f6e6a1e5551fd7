//! Anything read as a number, as Go's cast 1.7 does: what is no number is 0.

use crate::value::Value;

/// A whole number; fractions are cut off, texts may be octal (`010`), hexadecimal (`0x1f`) or grouped (`1_000`).
pub(super) fn to_int64(value: &Value) -> i64 {
    match value {
        Value::Int(_, n) => *n,
        Value::Uint(_, n) => n.cast_signed(),
        Value::Float(_, f) => truncated(*f),
        Value::Bool(b) => i64::from(*b),
        Value::Text(text) => parse_int(trim_zero_decimal(&text.to_str()), 0).unwrap_or(0),
        // A month or a weekday counts; other named numbers are nothing that cast knows.
        Value::Object(object) if matches!(object.type_name().as_ref(), "time.Month" | "time.Weekday") => {
            object.underlying().as_ref().map_or(0, to_int64)
        }
        _ => 0,
    }
}

/// A decimal number.
pub(super) fn to_float64(value: &Value) -> f64 {
    match value {
        Value::Float(_, f) => *f,
        Value::Text(text) => parse_float(&text.to_str()).unwrap_or(0.0),
        #[allow(clippy::cast_precision_loss, reason = "Go's conversion loses the same bits")]
        Value::Uint(_, n) => *n as f64,
        #[allow(clippy::cast_precision_loss, reason = "Go's conversion loses the same bits")]
        other => to_int64(other) as f64,
    }
}

/// Go's conversion on amd64: what does not fit is the smallest number.
#[allow(clippy::cast_possible_truncation, reason = "the cut is what is asked for, and the range is checked")]
fn truncated(f: f64) -> i64 {
    let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&f);
    if fits { f as i64 } else { i64::MIN }
}

/// `3.00` is 3; `3.10` stays.
fn trim_zero_decimal(text: &str) -> &str {
    match text.trim_end_matches('0').strip_suffix('.') {
        Some(whole) if text.ends_with('0') => whole,
        _ => text,
    }
}

/// Go's `strconv.ParseInt` with 64 bits; base 0 lets the prefix say the base and takes underscores between digits.
pub(super) fn parse_int(text: &str, base: u32) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits, prefixed) = match base {
        0 => match (lower.get(..2), lower.as_bytes().first()) {
            (Some("0x"), _) => (16, lower.get(2..)?, true),
            (Some("0b"), _) => (2, lower.get(2..)?, true),
            (Some("0o"), _) => (8, lower.get(2..)?, true),
            (Some(_), Some(b'0')) => (8, lower.get(1..)?, true),
            _ => (10, lower.as_str(), false),
        },
        base => (base, lower.as_str(), false),
    };
    let plain = ungrouped(digits, prefixed)?;
    if plain.is_empty() || !plain.chars().all(|c| c.is_digit(base)) {
        return None;
    }
    let size = i128::from_str_radix(&plain, base).ok()?;
    i64::try_from(if negative { -size } else { size }).ok()
}

/// Digits without the underscores between them; none where an underscore stands elsewhere.
fn ungrouped(digits: &str, prefixed: bool) -> Option<String> {
    let wrong = digits.ends_with('_') || digits.contains("__") || digits.starts_with('_') && !prefixed;
    (!wrong).then(|| digits.replace('_', ""))
}

/// Go's `strconv.ParseFloat`; out of range is no number.
fn parse_float(text: &str) -> Option<f64> {
    let plain = text.replace('_', "");
    let between = |trio: &[u8]| !matches!(trio, [a, b'_', b] if !a.is_ascii_digit() || !b.is_ascii_digit());
    let grouped = !text.starts_with('_') && !text.ends_with('_') && text.as_bytes().windows(3).all(between);
    let number: f64 = if grouped { plain.parse().ok()? } else { return None };
    let named = text.trim_start_matches(['+', '-']).starts_with(['i', 'I']);
    (number.is_finite() || number.is_nan() || named).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_numbers_when_go_says_so() {
        for (text, number) in [
            ("08", 0),
            ("010", 8),
            ("0x1f", 31),
            ("1_000", 1000),
            ("1__0", 0),
            ("_1", 0),
            ("3.7", 0),
            ("3.00", 3),
            ("100", 100),
            ("+12", 12),
            ("-12", -12),
            (" 5", 0),
            ("1e3", 0),
            ("9223372036854775808", 0),
            ("-9223372036854775808", i64::MIN),
            ("0", 0),
            ("", 0),
            ("é", 0),
        ] {
            assert_eq!(to_int64(&Value::from(text)), number, "{text}");
        }
        assert_eq!(to_int64(&Value::float(1e300)), i64::MIN);
        for (text, number) in [("1e999", 0.0), ("1_0.2_5", 10.25), ("1__0", 0.0), ("_1", 0.0), ("1_.5", 0.0)] {
            assert!((to_float64(&Value::from(text)) - number).abs() < f64::EPSILON, "{text}");
        }
    }
}
