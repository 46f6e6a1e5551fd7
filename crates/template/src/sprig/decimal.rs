//! Exact decimal arithmetic for `addf` and its kind: 0.1 and 0.2 are 0.3. Division stops after sixteen places.

use num_bigint::BigInt;

/// `coefficient` times ten to the `exponent`.
#[derive(Clone, Debug)]
pub(super) struct Decimal {
    coefficient: BigInt,
    exponent: i32,
}

/// Places behind the point that a quotient keeps.
const PLACES: i32 = 16;

impl Decimal {
    /// The shortest decimal that reads back as that number. `None`: infinite, or no number.
    pub(super) fn from_float(number: f64) -> Option<Decimal> {
        if !number.is_finite() {
            return None;
        }
        let text = crate::print::format_float(number, 'e', None, crate::value::FloatKind::F64);
        let (digits, exponent) = text.split_once('e')?;
        let places = digits.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        let coefficient = digits.replace('.', "").parse().ok()?;
        let exponent = exponent.parse::<i32>().ok()? - i32::try_from(places).ok()?;
        Some(Decimal { coefficient, exponent })
    }

    /// The nearest float.
    pub(super) fn to_float(&self) -> f64 {
        format!("{}e{}", self.coefficient, self.exponent).parse().unwrap_or(0.0)
    }

    pub(super) fn is_zero(&self) -> bool {
        self.coefficient == BigInt::ZERO
    }

    pub(super) fn plus(&self, other: &Decimal) -> Decimal {
        let exponent = self.exponent.min(other.exponent);
        Decimal { coefficient: self.scaled(exponent) + other.scaled(exponent), exponent }
    }

    pub(super) fn minus(&self, other: &Decimal) -> Decimal {
        self.plus(&Decimal { coefficient: -&other.coefficient, exponent: other.exponent })
    }

    pub(super) fn times(&self, other: &Decimal) -> Decimal {
        Decimal { coefficient: &self.coefficient * &other.coefficient, exponent: self.exponent + other.exponent }
    }

    /// Rounded half away from zero at the last place. `None`: division by zero.
    pub(super) fn over(&self, other: &Decimal) -> Option<Decimal> {
        if other.is_zero() {
            return None;
        }
        // Both sides whole: self / other * 10^PLACES.
        let shift = self.exponent - other.exponent + PLACES;
        let (mut above, mut below) = (self.coefficient.clone(), other.coefficient.clone());
        if shift >= 0 {
            above *= ten_to(shift);
        } else {
            below *= ten_to(-shift);
        }
        let negative = (above < BigInt::ZERO) != (below < BigInt::ZERO);
        let (above, below) = (above.magnitude().clone(), below.magnitude().clone());
        let doubled = (above * 2_u32 + &below) / (below * 2_u32);
        let coefficient = BigInt::from(doubled);
        Some(Decimal { coefficient: if negative { -coefficient } else { coefficient }, exponent: -PLACES })
    }

    fn scaled(&self, exponent: i32) -> BigInt {
        &self.coefficient * ten_to(self.exponent - exponent)
    }
}

fn ten_to(exponent: i32) -> BigInt {
    BigInt::from(10).pow(exponent.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(number: f64) -> Decimal {
        Decimal::from_float(number).unwrap()
    }

    #[test]
    fn tenths_stay_tenths() {
        let close = |a: f64, b: f64| assert!(a.to_bits() == b.to_bits(), "{a} {b}");
        close(decimal(0.1).plus(&decimal(0.2)).to_float(), 0.3);
        close(decimal(1.1).times(&decimal(1.1)).to_float(), 1.21);
        close(decimal(5.5).minus(&decimal(2.0)).to_float(), 3.5);
        close(decimal(2.0).over(&decimal(3.0)).unwrap().to_float(), 0.666_666_666_666_666_7);
        close(decimal(-1.0).over(&decimal(3.0)).unwrap().to_float(), -0.333_333_333_333_333_3);
        close(decimal(1e300).over(&decimal(1e-300)).map_or(0.0, |d| d.to_float()), f64::INFINITY);
        assert!(decimal(1.0).over(&decimal(0.0)).is_none());
    }
}
