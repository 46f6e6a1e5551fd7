//! The parsed template as a tree that anybody may walk; every node knows where it stands in the source.

use std::sync::Arc;

use crate::host::Signature;
use crate::sprig::Native;
use crate::value::{Text, Value};

/// From where to where in the source, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

impl Span {
    pub(crate) fn to(self, other: Self) -> Self {
        Self { start: self.start, end: self.end.max(other.end) }
    }
}

/// One template: a file's own text or a `define` in it.
#[derive(Debug)]
pub struct Tree {
    pub name: Arc<str>,
    pub root: List,
}

#[derive(Debug, Default)]
pub struct List {
    pub nodes: Vec<Node>,
}

impl List {
    /// Nothing but space: such a definition never replaces another.
    pub fn is_blank(&self) -> bool {
        self.nodes.iter().all(|node| match node {
            Node::Text(text) => text.text.as_bytes().iter().all(u8::is_ascii_whitespace),
            _ => false,
        })
    }
}

#[derive(Debug)]
pub enum Node {
    Text(TextNode),
    /// `{{ pipeline }}`
    Action(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    Template(Call),
    Break(Span),
    Continue(Span),
}

#[derive(Debug)]
pub struct TextNode {
    pub span: Span,
    pub text: Text,
}

/// `if`, `with` or `range` with its two lists.
#[derive(Debug)]
pub struct Branch {
    pub span: Span,
    pub pipe: Pipe,
    pub then: List,
    pub otherwise: Option<List>,
}

/// `{{ template "name" pipeline }}`, and what a `block` leaves behind.
#[derive(Debug)]
pub struct Call {
    pub span: Span,
    pub name_span: Span,
    pub name: Arc<str>,
    pub pipe: Option<Pipe>,
}

#[derive(Debug)]
pub struct Pipe {
    pub span: Span,
    /// `$x :=` or `$x =`; two of them in `range $i, $x :=`
    pub variables: Vec<Arc<str>>,
    /// `=` and not `:=`
    pub assigns: bool,
    pub commands: Vec<Command>,
}

#[derive(Debug)]
pub struct Command {
    pub span: Span,
    /// What is called or read.
    pub head: Expr,
    pub args: Vec<Expr>,
}

#[derive(Debug)]
pub struct Expr {
    pub span: Span,
    pub kind: ExprKind,
}

impl Expr {
    /// From where errors are told, as in Go: behind parentheses, where a field hangs on them.
    pub(crate) fn place(&self) -> Span {
        match &self.kind {
            ExprKind::Chain(inner, _) => Span { start: inner.span.end, end: self.span.end },
            _ => self.span,
        }
    }
}

#[derive(Debug)]
pub enum ExprKind {
    Dot,
    Nil,
    Bool(bool),
    Number(Number),
    Text(Text),
    /// `.a.b`
    Field(Vec<Arc<str>>),
    /// `$x.a.b`
    Variable(Arc<str>, Vec<Arc<str>>),
    /// `(pipeline).a.b`, `name.a.b`
    Chain(Box<Expr>, Vec<Arc<str>>),
    Function(Function),
    Pipe(Box<Pipe>),
}

/// A literal number is what its parameter wants, where it can be that exactly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Number {
    pub int: Option<i64>,
    pub uint: Option<u64>,
    pub float: Option<f64>,
    pub complex: Option<(f64, f64)>,
    /// Written with a point or an exponent.
    pub is_float: bool,
}

/// A function by name, found while parsing.
#[derive(Debug, Clone)]
pub struct Function {
    pub name: Arc<str>,
    pub target: Target,
}

#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// `and` and `or` stop early.
    And,
    Or,
    Native(&'static Native),
    Host(Signature),
}

impl Function {
    pub fn signature(&self) -> Signature {
        match self.target {
            Target::And | Target::Or => Signature::variadic(&[crate::Param::Raw], crate::Param::Raw),
            Target::Native(native) => native.signature,
            Target::Host(signature) => signature,
        }
    }
}

impl Number {
    /// The value where any type will do.
    pub fn value(&self) -> Option<Value> {
        match self {
            Self { complex: Some((re, im)), .. } => Some(Value::Complex(*re, *im)),
            Self { is_float: true, float: Some(f), .. } => Some(Value::float(*f)),
            Self { int: Some(n), .. } => Some(Value::int(*n)),
            _ => None,
        }
    }
}

/// Calls `visit` for every expression of a list, the outer before the inner.
pub fn walk<'a>(list: &'a List, visit: &mut impl FnMut(&'a Expr)) {
    for node in &list.nodes {
        match node {
            Node::Text(_) | Node::Break(_) | Node::Continue(_) => {}
            Node::Action(pipe) => walk_pipe(pipe, visit),
            Node::Template(call) => call.pipe.iter().for_each(|pipe| walk_pipe(pipe, visit)),
            Node::If(branch) | Node::With(branch) | Node::Range(branch) => {
                walk_pipe(&branch.pipe, visit);
                walk(&branch.then, visit);
                branch.otherwise.iter().for_each(|list| walk(list, visit));
            }
        }
    }
}

fn walk_pipe<'a>(pipe: &'a Pipe, visit: &mut impl FnMut(&'a Expr)) {
    for command in &pipe.commands {
        for expr in std::iter::once(&command.head).chain(&command.args) {
            visit(expr);
            match &expr.kind {
                ExprKind::Pipe(inner) => walk_pipe(inner, visit),
                ExprKind::Chain(inner, _) => {
                    visit(inner);
                    if let ExprKind::Pipe(pipe) = &inner.kind {
                        walk_pipe(pipe, visit);
                    }
                }
                _ => {}
            }
        }
    }
}
