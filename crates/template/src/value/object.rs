//! Values of the host's own types: structs and pointers with fields and methods, and scalars with a name of their own.

use std::borrow::Cow;
use std::fmt;

use super::{Text, Value};
use crate::context::Context;
use crate::error::Failure;

/// A value of a type that the host defines: a struct, a pointer to one, or a scalar with a name of its own.
///
/// All methods may be called often and should be cheap; nothing is asked for before a template wants it.
pub trait Object: Send + Sync {
    /// As Go's `%T` prints it, without a `*`: `node.Node`.
    fn type_name(&self) -> Cow<'_, str>;

    /// Whether this is a pointer (`*node.Node`).
    fn is_pointer(&self) -> bool {
        true
    }

    /// A nil pointer has methods only.
    fn is_nil(&self) -> bool {
        false
    }

    /// A field by name, promoted ones too. `None`: there is no such field.
    fn field(&self, name: &str) -> Option<Value> {
        let _ = name;
        None
    }

    /// The fields in declared order: what `%v` prints, and what near misses are compared with.
    fn fields(&self) -> Vec<Cow<'_, str>> {
        Vec::new()
    }

    /// A name that exists but may not be read.
    fn is_unexported(&self, name: &str) -> bool {
        let _ = name;
        false
    }

    /// Calls a method. `None`: there is no such method. With the wrong number of arguments, answer
    /// [`Failure::arguments`].
    fn method(&self, name: &str, args: &[Value], cx: &Context<'_>) -> Option<Result<Value, Failure>> {
        let _ = (name, args, cx);
        None
    }

    /// Method names, for near misses in error messages.
    fn methods(&self) -> Vec<Cow<'_, str>> {
        Vec::new()
    }

    /// What tells a pointer from others, where objects are made anew each time they are asked for; 0: the object itself.
    /// Two of one type and one identity are the same pointer for `eq`.
    fn identity(&self) -> usize {
        0
    }

    /// What `String()` gives, where the type has it.
    fn text(&self) -> Option<Text> {
        None
    }

    /// For a scalar with a name of its own: the value without the name.
    fn underlying(&self) -> Option<Value> {
        None
    }

    /// `len` of it, where that is not the length of the underlying value.
    fn length(&self) -> Option<usize> {
        None
    }
}

/// A struct built from its fields.
#[derive(Debug, Clone)]
pub struct Record {
    name: Cow<'static, str>,
    pointer: bool,
    fields: Vec<(Cow<'static, str>, Value)>,
}

impl Record {
    pub fn new(type_name: impl Into<Cow<'static, str>>) -> Self {
        Self { name: type_name.into(), pointer: false, fields: Vec::new() }
    }

    pub fn pointer(mut self) -> Self {
        self.pointer = true;
        self
    }

    #[must_use]
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }
}

impl Object for Record {
    fn type_name(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.name)
    }

    fn is_pointer(&self) -> bool {
        self.pointer
    }

    fn field(&self, name: &str) -> Option<Value> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone())
    }

    fn fields(&self) -> Vec<Cow<'_, str>> {
        self.fields.iter().map(|(n, _)| Cow::Borrowed(n.as_ref())).collect()
    }
}

/// A nil pointer to a struct that has no methods.
#[derive(Debug, Clone)]
pub struct NilPointer {
    pub type_name: Cow<'static, str>,
    /// Reading one of these says `nil pointer evaluating`, any other name that there is no such field.
    pub fields: &'static [&'static str],
}

impl Object for NilPointer {
    fn type_name(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.type_name)
    }

    fn is_nil(&self) -> bool {
        true
    }

    fn fields(&self) -> Vec<Cow<'_, str>> {
        self.fields.iter().map(|n| Cow::Borrowed(*n)).collect()
    }
}

/// A scalar with a type name of its own, such as Go's `time.Duration`.
#[derive(Debug, Clone)]
pub struct Named {
    pub type_name: Cow<'static, str>,
    pub value: Value,
    /// What `String()` gives.
    pub text: Option<Text>,
}

impl Object for Named {
    fn type_name(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.type_name)
    }

    fn is_pointer(&self) -> bool {
        false
    }

    fn text(&self) -> Option<Text> {
        self.text.clone()
    }

    fn underlying(&self) -> Option<Value> {
        Some(self.value.clone())
    }
}

/// A function as a value, for `call`.
pub trait Callable: Send + Sync {
    /// The Go type: `func(int) int`.
    fn type_name(&self) -> Cow<'_, str>;
    /// How many arguments it takes; `None`: any number.
    fn arity(&self) -> Option<usize>;
    /// Called with as many arguments as [`Callable::arity`] says.
    fn call(&self, args: &[Value], cx: &Context<'_>) -> Result<Value, Failure>;
}

impl fmt::Debug for dyn Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Object({})", self.type_name())
    }
}

impl fmt::Debug for dyn Callable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Callable({})", self.type_name())
    }
}
