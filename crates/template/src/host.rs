//! What the program around a template brings: its own functions with state, and the place where the output goes.

use crate::context::Context;
use crate::error::Failure;
use crate::value::{Text, Value};

/// What a parameter accepts. Literals are read as the parameter wants them; values must have exactly that type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Param {
    /// `interface {}`: anything; a missing value arrives as nil.
    Any,
    /// Go's `reflect.Value`: anything, and missing values stay missing.
    Raw,
    Text,
    Int,
    Int64,
    Float,
    Bool,
    /// `[]interface {}`
    List,
    /// `[]string`
    Texts,
    /// `map[string]interface {}`
    Dict,
    Time,
    /// A value of the host's type with this name.
    Object(&'static str),
}

/// The parameters of a function: the fixed ones, then any number of the last kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    pub params: &'static [Param],
    pub rest: Option<Param>,
}

impl Signature {
    pub const fn new(params: &'static [Param]) -> Self {
        Self { params, rest: None }
    }

    pub const fn variadic(params: &'static [Param], rest: Param) -> Self {
        Self { params, rest: Some(rest) }
    }

    /// What the `index`th argument (from 0) must be.
    pub fn param(&self, index: usize) -> Option<Param> {
        self.params.get(index).copied().or(self.rest)
    }
}

/// The names that the host's functions have, asked while parsing. They hide sprig's and Go's own of the same name.
pub trait Functions {
    fn signature(&self, name: &str) -> Option<Signature>;

    /// For near misses in error messages.
    fn names(&self) -> Vec<&str>;
}

/// The host while a template runs: takes the output, answers its own functions, keeps its own state.
pub trait Host {
    /// Takes output, in order. A host that switches files in mid-render switches here; see [`Buffers`].
    ///
    /// # Errors
    /// Ends the render.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure>;

    /// Calls one of the functions that were known when parsing; arguments fit the signature.
    ///
    /// # Errors
    /// [`Failure::Abort`] ends the render without an error.
    fn call(&mut self, name: &str, args: &[Value], cx: &Context<'_>) -> Result<Value, Failure> {
        let _ = (args, cx);
        Err(Failure::new(format!("function {name:?} has no body")))
    }
}

/// No functions beyond Go's and sprig's.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFunctions;

impl Functions for NoFunctions {
    fn signature(&self, _: &str) -> Option<Signature> {
        None
    }

    fn names(&self) -> Vec<&str> {
        Vec::new()
    }
}

/// A list of names with their signatures is a set of functions.
impl Functions for &[(&'static str, Signature)] {
    fn signature(&self, name: &str) -> Option<Signature> {
        self.iter().find(|(n, _)| *n == name).map(|(_, s)| *s)
    }

    fn names(&self) -> Vec<&str> {
        self.iter().map(|(n, _)| *n).collect()
    }
}

/// Output into memory.
impl Host for Vec<u8> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

/// Output into several named buffers, one after the other: what `file NAME` needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buffers {
    done: Vec<(Text, Vec<u8>)>,
    name: Text,
    current: Vec<u8>,
}

impl Buffers {
    /// The first buffer has this name.
    pub fn new(name: impl Into<Text>) -> Self {
        Self { done: Vec::new(), name: name.into(), current: Vec::new() }
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.current.extend_from_slice(bytes);
    }

    /// Starts a new buffer, also where one of that name exists; gives the index of it.
    pub fn switch(&mut self, name: impl Into<Text>) -> usize {
        let name = std::mem::replace(&mut self.name, name.into());
        self.done.push((name, std::mem::take(&mut self.current)));
        self.done.len()
    }

    /// The index of the buffer that is being written.
    pub fn index(&self) -> usize {
        self.done.len()
    }

    /// All buffers in the order in which they were started.
    pub fn finish(mut self) -> Vec<(Text, Vec<u8>)> {
        self.done.push((self.name, self.current));
        self.done
    }
}
