//! What can go wrong, where it went wrong, and the nearest name that would have worked.

use std::fmt;
use std::sync::Arc;

/// A template that does not parse, or a render that stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub kind: ErrorKind,
    /// The name that the text was parsed under, usually a file's path.
    pub file: Arc<str>,
    /// The `define`d template inside it, where it is not the file's own.
    pub template: Option<Arc<str>>,
    /// From 1.
    pub line: u32,
    /// From 1, in bytes.
    pub column: u32,
    /// The source of the smallest expression that failed; empty where there is none.
    pub expression: Box<str>,
    pub message: Box<str>,
    /// The nearest name that exists.
    pub nearest: Option<Box<str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    Parse,
    Exec,
    /// Out of steps, bytes or depth: the template does too much, it is not wrong as such.
    Exhausted,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if let Some(template) = &self.template {
            write!(f, "in template {template:?}: ")?;
        }
        if !self.expression.is_empty() {
            write!(f, "at <{}>: ", self.expression)?;
        }
        f.write_str(&self.message)?;
        if let Some(nearest) = &self.nearest {
            write!(f, "; did you mean {nearest:?}?")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// Why a function or a method gave no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// What went wrong, without place or name: the engine adds both.
    Message(String),
    /// The same with a name that would have worked.
    Nearest { message: String, nearest: String },
    /// A method was called with the wrong number of arguments.
    Arguments { want: usize, got: usize },
    /// The template asked to stop: no error, what was written stays.
    Abort,
    /// A limit was reached; says which.
    Exhausted(String),
}

impl Failure {
    pub fn new(message: impl Into<String>) -> Self {
        Self::Message(message.into())
    }

    pub fn arguments(want: usize, got: usize) -> Self {
        Self::Arguments { want, got }
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::Message(message)
    }
}

impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        Self::Message(message.to_owned())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(message) | Self::Exhausted(message) => f.write_str(message),
            Self::Nearest { message, nearest } => write!(f, "{message}; did you mean {nearest:?}?"),
            Self::Arguments { want, got } => write!(f, "wrong number of args: want {want} got {got}"),
            Self::Abort => f.write_str("aborted"),
        }
    }
}

impl std::error::Error for Failure {}

/// The name closest to `wanted`: at most a third of its letters differ, case not counted first.
pub fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = wanted.chars().count().div_ceil(3).min(4);
    let lower = wanted.to_lowercase();
    names
        .into_iter()
        .map(|name| (distance(&lower, &name.to_lowercase()), name))
        .filter(|(d, _)| *d <= allowed)
        .min()
        .map(|(_, name)| name)
}

/// Edits between two words (Damerau-Levenshtein, adjacent swaps count once).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let at = |row: &[usize], k: usize| row.get(k).copied().unwrap_or(usize::MAX / 2);
            let mut best = (at(&above, j + 1) + 1).min(at(&row, j) + 1).min(at(&above, j) + usize::from(x != y));
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_nearest_name_forgives_a_slip_but_not_another_word() {
        let names = ["Hostname", "Netdevs", "upper", "NetDevs6"];
        assert_eq!(nearest("Hostnmae", names), Some("Hostname"));
        assert_eq!(nearest("NetDevs", names), Some("Netdevs"));
        assert_eq!(nearest("uper", names), Some("upper"));
        assert_eq!(nearest("Kernel", names), None);
    }
}
