//! The order in which free keys are written: numbers inside names count as numbers, as yaml.v3 sorts them.

use std::cmp::Ordering;

/// `n2` before `n10`, `n1` before `n07`, letters behind everything else.
pub fn by_name(left: &str, right: &str) -> Ordering {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let Some(at) = left.iter().zip(&right).position(|(a, b)| a != b) else { return left.len().cmp(&right.len()) };
    let (Some(a), Some(b)) = (left.get(at), right.get(at)) else { return Ordering::Equal };
    let after_digit = at > 0 && left.get(at - 1).is_some_and(char::is_ascii_digit);
    match (a.is_alphabetic(), b.is_alphabetic()) {
        (true, true) => return a.cmp(b),
        // Behind a number the shorter number ends first, so its letter comes first.
        (true, false) => return if after_digit { Ordering::Less } else { Ordering::Greater },
        (false, true) => return if after_digit { Ordering::Greater } else { Ordering::Less },
        (false, false) => {}
    }
    // A zero that differs inside a number that has begun is a digit like any other; at its front it is padding.
    let begun = left.get(..at).unwrap_or_default().iter().rev().take_while(|letter| letter.is_ascii_digit());
    let inside = (*a == '0' || *b == '0') && begun.into_iter().any(|digit| *digit != '0');
    let number = |letters: &[char]| -> (u64, usize) {
        let digits = letters.get(at..).unwrap_or_default().iter().map_while(|letter| letter.to_digit(10));
        let mut value = u64::from(inside);
        let mut count = 0;
        for digit in digits {
            value = value.saturating_mul(10).saturating_add(digit.into());
            count += 1;
        }
        (value, count)
    };
    number(&left).cmp(&number(&right)).then(a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_count_as_numbers() {
        let mut names = vec!["n10", "n2", "n07", "n1", "n11", "N1", "n_1", "n", "-dash", "UPPER", "1", "n1a", "n100"];
        names.sort_by(|a, b| by_name(a, b));
        assert_eq!(names, ["-dash", "1", "N1", "UPPER", "n", "n_1", "n1", "n1a", "n2", "n07", "n10", "n11", "n100"]);
    }
}
