//! A parsed text: parse once, execute often, from any number of threads.

use std::sync::Arc;

use crate::ast::Tree;
use crate::context::{Context, Fuel, Limits, Nowhere, World};
use crate::error::{Error, Failure};
use crate::exec::Exec;
use crate::host::{Functions, Host, NoFunctions};
use crate::parse::{Trees, parse};
use crate::patterns::InText;
use crate::source::Source;
use crate::value::Value;

/// A text with all the templates that it defines. Cloning copies a pointer.
#[derive(Debug, Clone)]
pub struct Template {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    source: Source,
    trees: Trees,
    patterns: Arc<InText>,
}

/// What a field means that a map does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissingKey {
    /// Go's default: `<no value>`, and absent to functions.
    #[default]
    NoValue,
    /// The zero value of the map's type.
    Zero,
    Error,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    pub missing_key: MissingKey,
    pub limits: Limits,
}

/// How a render ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Ending {
    Finished {
        spent: Limits,
    },
    /// A function asked to stop ([`Failure::Abort`]); what was written stays.
    Aborted {
        spent: Limits,
    },
}

impl Template {
    /// Parses a text. `name` stands in errors, and the text can call itself by it.
    ///
    /// # Errors
    /// At the first thing that Go would refuse; functions are known or not at this point.
    pub fn parse(name: &str, text: impl AsRef<[u8]>, functions: &dyn Functions) -> Result<Self, Error> {
        let source = Source::new(name, text.as_ref());
        let (trees, patterns) = parse(&source, functions)?;
        Ok(Self { inner: Arc::new(Inner { source, trees, patterns: Arc::new(patterns) }) })
    }

    pub fn name(&self) -> &str {
        self.inner.source.name()
    }

    /// All trees: the text's own under its name, and the `define`d ones.
    pub fn trees(&self) -> impl Iterator<Item = &Tree> {
        self.inner.trees.values()
    }

    pub fn tree(&self, name: &str) -> Option<&Tree> {
        self.inner.trees.get(name)
    }

    #[cfg(test)]
    pub(crate) fn patterns(&self) -> &InText {
        &self.inner.patterns
    }

    pub(crate) fn source(&self) -> &Source {
        &self.inner.source
    }

    /// Runs the template; output goes to the host as it is made.
    ///
    /// # Errors
    /// Where Go would stop with an error, or when the limits are reached. What was written before stays with the host.
    pub fn execute(
        &self,
        data: &Value,
        host: &mut dyn Host,
        world: &dyn World,
        options: &Options,
    ) -> Result<Ending, Error> {
        let fuel = Fuel::with_patterns(options.limits, Arc::clone(&self.inner.patterns));
        let cx = Context { fuel: &fuel, world };
        Exec::new(self, host, &cx, options.missing_key).run(data)
    }

    /// Runs the template without functions of a host, clock or environment, and gives what it prints.
    ///
    /// # Errors
    /// As [`Template::execute`].
    pub fn render(&self, data: &Value, options: &Options) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        match self.execute(data, &mut out, &Nowhere, options)? {
            Ending::Finished { .. } | Ending::Aborted { .. } => Ok(out),
        }
    }
}

/// Parses and renders a text in one go.
///
/// # Errors
/// As [`Template::parse`] and [`Template::execute`].
pub fn render(name: &str, text: &str, data: &Value) -> Result<String, Error> {
    let out = Template::parse(name, text, &NoFunctions)?.render(data, &Options::default())?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

impl Ending {
    pub fn spent(&self) -> Limits {
        match self {
            Self::Finished { spent } | Self::Aborted { spent } => *spent,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Message(error.to_string())
    }
}
