//! What can be wrong with a configuration file: one kind of error, that names line, column, field and what to do.

use std::fmt;

use crate::yaml::Pos;

/// Why a file is refused. It does not know the file's name: who opened it adds that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfError {
    /// From 1; 0 when nobody can say.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The way to the field, with dots: `nodes.n1.network devices.default.ipaddr`. Empty when it is the YAML itself.
    pub field: String,
    /// What is wrong, and what to do.
    pub message: String,
}

impl ConfError {
    /// At `pos`, about `field`.
    pub fn new(pos: Pos, field: impl Into<String>, message: impl Into<String>) -> ConfError {
        ConfError { line: pos.line, column: pos.column, field: field.into(), message: message.into() }
    }
}

impl fmt::Display for ConfError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(out, "line {}, column {}: ", self.line, self.column)?;
        }
        if !self.field.is_empty() {
            write!(out, "{}: ", self.field)?;
        }
        out.write_str(&self.message)
    }
}

impl std::error::Error for ConfError {}

/// Something that is kept or passed over, and that a person should know.
pub type Warning = ConfError;
