//! Floating point numbers as Go's `strconv.FormatFloat` and `fmt` write them.

use super::flags::Flags;
use crate::value::FloatKind;

/// `strconv.FormatFloat`; `None` as precision: as many digits as it takes to read the same number back.
pub(crate) fn format_float(f: f64, verb: char, precision: Option<usize>, kind: FloatKind) -> String {
    if f.is_nan() {
        return "NaN".into();
    }
    if f.is_infinite() {
        return if f > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    let text = match verb {
        'b' => binary(f, kind),
        'x' | 'X' => hex(f, precision, kind),
        'e' | 'E' => exponent_form(&digits(f, precision, kind)),
        'f' | 'F' => plain(f, precision, kind),
        _ => general(f, precision, kind),
    };
    if verb.is_ascii_uppercase() && verb != 'F' { text.to_uppercase() } else { text }
}

/// Sign, decimal digits `d.ddd`, exponent.
struct Decimal {
    negative: bool,
    digits: String,
    exponent: i32,
}

/// No float has more decimals than this that are not zero.
const DECIMALS: usize = 1100;

/// With `precision` digits after the first.
fn digits(f: f64, precision: Option<usize>, kind: FloatKind) -> Decimal {
    let zeros = precision.unwrap_or(0).saturating_sub(DECIMALS);
    let text = match precision.map(|p| p.min(DECIMALS)) {
        Some(precision) => format!("{f:.precision$e}"),
        None => shortest(f, kind),
    };
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.as_str()),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let digits = mantissa.replace('.', "") + &"0".repeat(zeros);
    Decimal { negative, digits, exponent: exponent.parse().unwrap_or(0) }
}

/// The fewest digits that read back as the same number, as `1.25e3`. Where two texts are equally near, Go takes the one
/// that ends in an even digit and std the greater.
fn shortest(f: f64, kind: FloatKind) -> String {
    let text = match kind {
        #[allow(clippy::cast_possible_truncation, reason = "it was a float32 before")]
        FloatKind::F32 => format!("{:e}", f as f32),
        FloatKind::F64 => format!("{f:e}"),
    };
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    let Some(last) = mantissa.chars().last().filter(|last| "13579".contains(*last)) else { return text };
    let count = mantissa.bytes().filter(u8::is_ascii_digit).count();
    let exact = format!("{f:.*e}", count + 40);
    let tail = exact.split_once('e').map_or("", |(digits, _)| digits.get(mantissa.len()..).unwrap_or(""));
    let head = mantissa.get(..mantissa.len() - 1).unwrap_or("");
    let even = u32::from(last) - u32::from('0') - 1;
    let other = format!("{head}{even}e{exponent}");
    let halfway = tail.strip_prefix('5').is_some_and(|rest| rest.bytes().all(|b| b == b'0'));
    let rounded_up = exact.starts_with(&format!("{head}{even}"));
    let same = match kind {
        #[allow(clippy::cast_possible_truncation, reason = "it was a float32 before")]
        FloatKind::F32 => other.parse::<f32>().is_ok_and(|back| back.to_bits() == (f as f32).to_bits()),
        FloatKind::F64 => other.parse::<f64>().is_ok_and(|back| back.to_bits() == f.to_bits()),
    };
    if halfway && rounded_up && same { other } else { text }
}

fn exponent_form(decimal: &Decimal) -> String {
    let mut out = String::new();
    if decimal.negative {
        out.push('-');
    }
    let (first, rest) = decimal.digits.split_at_checked(1).unwrap_or(("0", ""));
    out.push_str(first);
    if !rest.is_empty() {
        out.push('.');
        out.push_str(rest);
    }
    let sign = if decimal.exponent < 0 { '-' } else { '+' };
    out.push_str(&format!("e{sign}{:02}", decimal.exponent.abs()));
    out
}

fn plain(f: f64, precision: Option<usize>, kind: FloatKind) -> String {
    let zeros = precision.unwrap_or(0).saturating_sub(DECIMALS);
    match precision.map(|p| p.min(DECIMALS)) {
        Some(precision) => format!("{f:.precision$}") + &"0".repeat(zeros),
        None => {
            let decimal = digits(f, None, kind);
            let whole = decimal.exponent + 1;
            positional(&decimal, whole)
        }
    }
}

/// `%g`: the exponent decides which form is shorter to read.
fn general(f: f64, precision: Option<usize>, kind: FloatKind) -> String {
    let decimal = digits(f, precision.map(|p| p.max(1) - 1), kind);
    let significant = decimal.digits.trim_end_matches('0');
    let count = i32::try_from(significant.len()).unwrap_or(i32::MAX);
    let whole = if count == 0 { 0 } else { decimal.exponent + 1 };
    let threshold = match precision.map(|p| i32::try_from(p.max(1)).unwrap_or(i32::MAX)) {
        // The shortest form decides as if it had six digits.
        None => 6,
        Some(p) if p > count && count >= whole => count,
        Some(p) => p,
    };
    let decimal = Decimal { digits: significant.to_owned(), ..decimal };
    if whole - 1 < -4 || whole > threshold { exponent_form(&decimal) } else { positional(&decimal, whole) }
}

/// `whole` digits stand before the point; where it is negative, zeros follow the point.
fn positional(decimal: &Decimal, whole: i32) -> String {
    let mut out = String::new();
    if decimal.negative {
        out.push('-');
    }
    let digits = &decimal.digits;
    match usize::try_from(whole) {
        Ok(whole) if whole >= digits.len() => {
            out.push_str(if digits.is_empty() { "0" } else { digits });
            out.push_str(&"0".repeat(whole - digits.len()));
        }
        Ok(whole) => {
            let (before, after) = digits.split_at_checked(whole).unwrap_or((digits, ""));
            out.push_str(if before.is_empty() { "0" } else { before });
            out.push('.');
            out.push_str(after);
        }
        Err(_) => {
            out.push_str("0.");
            out.push_str(&"0".repeat(usize::try_from(whole.unsigned_abs()).unwrap_or(0)));
            out.push_str(digits);
        }
    }
    out
}

/// `%b`: mantissa and exponent of two, in decimal.
fn binary(f: f64, kind: FloatKind) -> String {
    let (negative, mantissa, exponent) = parts(f, kind);
    let sign = if negative { "-" } else { "" };
    format!("{sign}{mantissa}p{exponent:+}")
}

/// Sign, whole mantissa and exponent of two, as the bits have them.
fn parts(f: f64, kind: FloatKind) -> (bool, u64, i64) {
    let (bits, mantissa_bits, exponent_bits, bias) = match kind {
        FloatKind::F64 => (f.to_bits(), 52u32, 11u32, 1023i64),
        #[allow(clippy::cast_possible_truncation, reason = "it was a float32 before")]
        FloatKind::F32 => (u64::from((f as f32).to_bits()), 23, 8, 127),
    };
    let raw = (bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
    let mut mantissa = bits & ((1 << mantissa_bits) - 1);
    let mut exponent = raw.cast_signed();
    if raw == 0 {
        exponent += 1;
    } else {
        mantissa |= 1 << mantissa_bits;
    }
    (bits >> (mantissa_bits + exponent_bits) == 1, mantissa, exponent - bias - i64::from(mantissa_bits))
}

/// `%x`: `-0x1.8p+01`
fn hex(f: f64, precision: Option<usize>, kind: FloatKind) -> String {
    let (negative, mut mantissa, mut exponent) = parts(f, kind);
    if mantissa == 0 {
        exponent = 0;
    } else {
        // One bit before the point, 60 after it.
        let shift = mantissa.leading_zeros().saturating_sub(3);
        mantissa <<= shift;
        exponent += 60 - i64::from(shift);
    }
    if let Some(precision) = precision.filter(|p| *p < 15) {
        let drop = (15 - precision) * 4;
        let extra = mantissa & ((1 << drop) - 1);
        mantissa >>= drop;
        let half = 1u64 << (drop - 1);
        if extra > half || (extra == half && mantissa & 1 == 1) {
            mantissa += 1;
        }
        mantissa <<= drop;
        if mantissa >> 61 != 0 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let mut part = format!("{:015x}", mantissa & ((1 << 60) - 1));
    match precision {
        Some(p) if p <= 15 => part.truncate(p),
        Some(p) => part.push_str(&"0".repeat(p - 15)),
        None => part.truncate(part.trim_end_matches('0').len()),
    }
    let sign = if negative { "-" } else { "" };
    let point = if part.is_empty() { "" } else { "." };
    let direction = if exponent < 0 { '-' } else { '+' };
    format!("{sign}0x{}{point}{part}p{direction}{:02}", mantissa >> 60, exponent.abs())
}

impl Flags {
    pub(super) fn float(&self, out: &mut Vec<u8>, f: f64, kind: FloatKind, verb: char, precision: Option<usize>) {
        let precision = self.precision.or(precision);
        let mut number = format_float(f, verb, precision, kind);
        if !number.starts_with(['-', '+']) {
            number.insert(0, '+');
        }
        if self.space && number.starts_with('+') && !self.plus {
            number.replace_range(..1, " ");
        }
        if number.contains(['I', 'N']) {
            // NaN has no sign unless one is asked for; infinities always show theirs.
            let signless = number.contains('N') && !self.space && !self.plus;
            let show = if signless { number.get(1..).unwrap_or_default() } else { &number };
            Self { zero: false, ..*self }.pad(out, show.as_bytes());
            return;
        }
        if self.sharp && verb != 'b' {
            number = with_point(&number, verb, precision);
        }
        if self.plus || !number.starts_with('+') {
            let missing = self.width.unwrap_or(0).saturating_sub(number.len());
            if self.zero && !self.minus && missing > 0 {
                let (sign, rest) = number.split_at_checked(1).unwrap_or(("", &number));
                out.extend_from_slice(sign.as_bytes());
                self.padding(out, missing);
                out.extend_from_slice(rest.as_bytes());
            } else {
                self.pad(out, number.as_bytes());
            }
            return;
        }
        self.pad(out, number.get(1..).unwrap_or_default().as_bytes());
    }
}

/// `%#g`: a point always, and trailing zeros kept. The number begins with its sign.
fn with_point(number: &str, verb: char, precision: Option<usize>) -> String {
    let mut wanted =
        if matches!(verb, 'g' | 'G' | 'x') { i64::try_from(precision.unwrap_or(6)).unwrap_or(i64::MAX) } else { 0 };
    let exponent_marks: &[char] = if matches!(verb, 'x' | 'X') { &['p', 'P'] } else { &['e', 'E', 'p', 'P'] };
    let (body, tail) = number.split_at(number.find(exponent_marks).unwrap_or(number.len()));
    let mut out = body.to_owned();
    let mut significant = false;
    for c in body.chars().skip(1).filter(|c| *c != '.') {
        significant |= c != '0';
        if significant {
            wanted -= 1;
        }
    }
    if !body.contains('.') {
        if body.get(1..) == Some("0") {
            wanted -= 1;
        }
        out.push('.');
    }
    out.push_str(&"0".repeat(usize::try_from(wanted).unwrap_or(0)));
    out.push_str(tail);
    out
}
