//! What the letters of an unquoted scalar mean: the rules of YAML 1.1 as yaml.v3 keeps them, where `yes` is a word,
//! `0777` is 511 and `1_000` is a thousand.

use crate::node::Any;

/// Whether it says "nothing".
pub fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// For a field that may hold anything.
pub fn any_of_plain(text: &str) -> Any {
    if is_null(text) {
        return Any::Null;
    }
    match text {
        "true" | "True" | "TRUE" => return Any::Bool(true),
        "false" | "False" | "FALSE" => return Any::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Any::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Any::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Any::Float(f64::NAN),
        _ => {}
    }
    number(text).unwrap_or_else(|| Any::Text(text.to_owned()))
}

/// For a field that is true or false: the words of YAML 1.1 count there.
pub fn truth_of_plain(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" | "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
        "false" | "False" | "FALSE" | "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

fn number(text: &str) -> Option<Any> {
    if !text.starts_with(|letter: char| letter.is_ascii_digit() || matches!(letter, '-' | '+' | '.')) {
        return None;
    }
    let digits: String = text.chars().filter(|letter| *letter != '_').collect();
    if text.starts_with('.') {
        // Here alone an underscore must stand between two digits.
        let letters = text.as_bytes();
        let between = |trio: &[u8]| !matches!(trio, [a, b'_', b] if !a.is_ascii_digit() || !b.is_ascii_digit());
        let sound = letters.windows(3).all(between) && !text.ends_with('_');
        return if sound { float(&digits) } else { None };
    }
    integer(&digits).or_else(|| float(&digits))
}

fn integer(text: &str) -> Option<Any> {
    let (negative, body) = match text.strip_prefix('-') {
        Some(body) => (true, body),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = body.to_ascii_lowercase();
    let (radix, digits) = if let Some(digits) = lower.strip_prefix("0x") {
        (16, digits)
    } else if let Some(digits) = lower.strip_prefix("0b") {
        (2, digits)
    } else if let Some(digits) = lower.strip_prefix("0o") {
        (8, digits)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, lower.get(1..).unwrap_or_default())
    } else {
        (10, lower.as_str())
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    let value = u64::from_str_radix(digits, radix).ok()?;
    match (negative, i64::try_from(value)) {
        (false, Ok(value)) => Some(Any::Int(value)),
        (false, Err(_)) => Some(Any::Uint(value)),
        (true, _) => 0i64.checked_sub_unsigned(value).map(Any::Int),
    }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn float(text: &str) -> Option<Any> {
    let body = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match body.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (body, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |text: &str| text.chars().all(|digit| digit.is_ascii_digit());
    let some = |text: &str| !text.is_empty() && digits(text);
    let sound_mantissa =
        if whole.is_empty() { fraction.is_some_and(some) } else { digits(whole) && fraction.is_none_or(digits) };
    let sound_exponent = exponent.is_none_or(|exponent| some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent)));
    if !sound_mantissa || !sound_exponent {
        return None;
    }
    // What is too large for a float stays text.
    text.parse().ok().filter(|value: &f64| value.is_finite()).map(Any::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_mean_what_yaml_v3_takes_them_for() {
        let table: [(&str, Any); 28] = [
            ("-9223372036854775808", Any::Int(i64::MIN)),
            ("-9223372036854775809", Any::Float(-9_223_372_036_854_775_809.0)),
            ("1e400", Any::Text("1e400".into())),
            (".5_", Any::Text(".5_".into())),
            ("._5", Any::Text("._5".into())),
            (".5_0", Any::Float(0.5)),
            ("", Any::Null),
            ("~", Any::Null),
            ("null", Any::Null),
            ("yes", Any::Text("yes".into())),
            ("on", Any::Text("on".into())),
            ("true", Any::Bool(true)),
            ("0777", Any::Int(511)),
            ("0o17", Any::Int(15)),
            ("0x1F", Any::Int(31)),
            ("0b11", Any::Int(3)),
            ("08", Any::Float(8.0)),
            ("1_000", Any::Int(1000)),
            ("-12", Any::Int(-12)),
            ("+12", Any::Int(12)),
            ("18446744073709551615", Any::Uint(u64::MAX)),
            ("1.5", Any::Float(1.5)),
            ("1e3", Any::Float(1000.0)),
            (".5", Any::Float(0.5)),
            ("5.", Any::Float(5.0)),
            ("1.2.3", Any::Text("1.2.3".into())),
            ("52:54:00", Any::Text("52:54:00".into())),
            ("-", Any::Text("-".into())),
        ];
        for (letters, meaning) in table {
            assert_eq!(any_of_plain(letters), meaning, "{letters:?}");
        }
    }
}
