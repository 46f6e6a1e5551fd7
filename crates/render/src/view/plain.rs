//! An object whose fields and methods are few and cheap: they are made at once.

use std::borrow::Cow;

use template::Failure;
use template::{Object, Value};

use super::{Cx, niladic};

/// Fields and methods by name.
pub(crate) struct Plain {
    name: &'static str,
    fields: Vec<(&'static str, Value)>,
    methods: Vec<(&'static str, Value)>,
}

impl Plain {
    /// A pointer to a struct of that type.
    pub(crate) fn new(name: &'static str) -> Plain {
        Plain { name, fields: Vec::new(), methods: Vec::new() }
    }

    pub(crate) fn field(mut self, name: &'static str, value: impl Into<Value>) -> Plain {
        self.fields.push((name, value.into()));
        self
    }

    pub(crate) fn method(mut self, name: &'static str, value: impl Into<Value>) -> Plain {
        self.methods.push((name, value.into()));
        self
    }

    pub(crate) fn done(self) -> Value {
        Value::object(self)
    }
}

impl Object for Plain {
    fn type_name(&self) -> Cow<'_, str> {
        self.name.into()
    }

    fn field(&self, name: &str) -> Option<Value> {
        self.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
    }

    fn fields(&self) -> Vec<Cow<'_, str>> {
        self.fields.iter().map(|(name, _)| Cow::Borrowed(*name)).collect()
    }

    fn method(&self, name: &str, args: &[Value], _: &Cx<'_>) -> Option<Result<Value, Failure>> {
        let (_, value) = self.methods.iter().find(|(known, _)| *known == name)?;
        niladic(args, || value.clone())
    }

    fn methods(&self) -> Vec<Cow<'_, str>> {
        self.methods.iter().map(|(name, _)| Cow::Borrowed(*name)).collect()
    }
}
