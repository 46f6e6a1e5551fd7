//! The text of a template with its name: turns places into lines and columns, and spans into errors.

use std::sync::Arc;

use crate::ast::Span;
use crate::error::{Error, ErrorKind};

#[derive(Debug, Clone)]
pub(crate) struct Source {
    name: Arc<str>,
    bytes: Arc<[u8]>,
}

impl Source {
    pub(crate) fn new(name: &str, bytes: &[u8]) -> Self {
        Self { name: Arc::from(name), bytes: Arc::from(bytes) }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn slice(&self, span: Span) -> &[u8] {
        self.bytes.get(span.start..span.end).unwrap_or_default()
    }

    /// From 1.
    pub(crate) fn line(&self, span: Span) -> usize {
        let before = self.bytes.get(..span.start).unwrap_or(&self.bytes);
        before.iter().filter(|b| **b == b'\n').count() + 1
    }

    pub(crate) fn error(
        &self,
        kind: ErrorKind,
        template: Option<&str>,
        span: Span,
        message: String,
        nearest: Option<String>,
    ) -> Error {
        let before = self.bytes.get(..span.start).unwrap_or(&self.bytes);
        let line = self.line(span);
        let column = before.iter().rev().take_while(|b| **b != b'\n').count() + 1;
        Error {
            kind,
            file: Arc::clone(&self.name),
            template: template.filter(|t| *t != &*self.name).map(Arc::from),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
            expression: one_line(self.slice(span)).into(),
            message: message.into(),
            nearest: nearest.map(Into::into),
        }
    }
}

/// Source as one short line.
fn one_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() > 60 { line.chars().take(57).chain("...".chars()).collect() } else { line }
}
