//! Walks a tree and writes what it says, after Go's `text/template/exec.go`.

mod call;
mod field;
mod range;

use std::sync::Arc;

use crate::ast::{self, Branch, Command, Expr, ExprKind, List, Node, Pipe, Span, Tree};
use crate::context::Context;
use crate::error::{Error, ErrorKind, Failure};
use crate::host::{Host, Param};
use crate::print;
use crate::template::{Ending, MissingKey, Template};
use crate::value::Value;

/// How deep lists, pipelines and template calls may nest at run time.
const DEPTH: usize = 320;
/// Bytes of an error's message.
const LONGEST: usize = 4096;

pub(crate) struct Exec<'a> {
    template: &'a Template,
    host: &'a mut dyn Host,
    cx: &'a Context<'a>,
    missing_key: MissingKey,
    /// Of all templates that are running; those of the one that runs begin at `frame`, with its `$`.
    variables: Vec<(Arc<str>, Value)>,
    frame: usize,
    /// The name `$`.
    dollar: Arc<str>,
    /// The tree that is being walked.
    tree: &'a str,
    /// What is being evaluated, as Go keeps it: where an error's line is told from.
    at: Span,
    depth: usize,
    scratch: Vec<u8>,
}

/// Why walking ends before the end. Boxed, because it travels through every return value.
pub(crate) enum Stop {
    Error(Box<Error>),
    Abort,
}

/// What a list asks of the `range` around it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

type Run<T> = Result<T, Stop>;

impl<'a> Exec<'a> {
    pub(crate) fn new(
        template: &'a Template,
        host: &'a mut dyn Host,
        cx: &'a Context<'a>,
        missing_key: MissingKey,
    ) -> Self {
        let tree = template.name();
        Self {
            template,
            host,
            cx,
            missing_key,
            variables: Vec::new(),
            frame: 0,
            dollar: Arc::from("$"),
            tree,
            at: Span::default(),
            depth: 0,
            scratch: Vec::new(),
        }
    }

    pub(crate) fn run(mut self, data: &Value) -> Result<Ending, Error> {
        let name = self.template.name();
        let Some(tree) = self.template.tree(name) else {
            return Ok(Ending::Finished { spent: self.cx.fuel.spent() });
        };
        // A nil interface as data is no value at all.
        let dot = if data.is_some() { data.clone() } else { Value::Missing };
        let walked = self.tree(tree, &dot);
        let spent = self.cx.fuel.spent();
        match walked {
            Ok(()) => Ok(Ending::Finished { spent }),
            Err(Stop::Abort) => Ok(Ending::Aborted { spent }),
            Err(Stop::Error(error)) => Err(*error),
        }
    }

    fn tree(&mut self, tree: &'a Tree, dot: &Value) -> Run<()> {
        let outer = std::mem::replace(&mut self.tree, &tree.name);
        let frame = std::mem::replace(&mut self.frame, self.variables.len());
        self.variables.push((Arc::clone(&self.dollar), dot.clone()));
        self.list(&tree.root, dot)?;
        self.tree = outer;
        self.variables.truncate(self.frame);
        self.frame = frame;
        Ok(())
    }

    fn list(&mut self, list: &'a List, dot: &Value) -> Run<Flow> {
        for node in &list.nodes {
            let flow = self.node(node, dot)?;
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn node(&mut self, node: &'a Node, dot: &Value) -> Run<Flow> {
        match node {
            Node::Text(text) => self.write(text.span, text.text.as_bytes())?,
            Node::Action(pipe) => {
                let value = self.pipe(pipe, dot)?;
                if pipe.variables.is_empty() {
                    self.print(pipe.span, &value)?;
                }
            }
            Node::If(branch) => return self.branch(branch, dot, false),
            Node::With(branch) => return self.branch(branch, dot, true),
            Node::Range(branch) => return self.range(branch, dot),
            Node::Template(call) => self.call_template(call, dot)?,
            Node::Break(_) => return Ok(Flow::Break),
            Node::Continue(_) => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn branch(&mut self, branch: &'a Branch, dot: &Value, with: bool) -> Run<Flow> {
        let mark = self.variables.len();
        self.deeper(branch.span)?;
        let value = self.pipe(&branch.pipe, dot)?;
        let flow = match (&branch.otherwise, value.is_true()) {
            (_, true) => self.list(&branch.then, if with { &value } else { dot })?,
            (Some(otherwise), false) => self.list(otherwise, dot)?,
            (None, false) => Flow::Next,
        };
        self.depth -= 1;
        self.variables.truncate(mark);
        Ok(flow)
    }

    fn call_template(&mut self, call: &'a ast::Call, dot: &Value) -> Run<()> {
        self.at = call.name_span;
        let Some(tree) = self.template.tree(&call.name) else {
            return Err(self.no_template(call));
        };
        self.deeper(call.span)?;
        let dot = match &call.pipe {
            Some(pipe) => self.pipe(pipe, dot)?,
            None => Value::Missing,
        };
        self.tree(tree, &dot)?;
        self.depth -= 1;
        Ok(())
    }

    /// The value of a pipeline; a nil interface comes out as no value.
    fn pipe(&mut self, pipe: &'a Pipe, dot: &Value) -> Run<Value> {
        self.at = pipe.span;
        let Some((first, others)) = pipe.commands.split_first() else { return Ok(Value::Missing) };
        let some = |value| if matches!(value, Value::Nil) { Value::Missing } else { value };
        let mut value = some(self.command(first, dot, None)?);
        for command in others {
            value = some(self.command(command, dot, Some(value))?);
        }
        for name in &pipe.variables {
            if pipe.assigns {
                self.assign(name, value.clone(), pipe.span)?;
            } else {
                self.variables.push((Arc::clone(name), value.clone()));
            }
        }
        Ok(value)
    }

    fn command(&mut self, command: &'a Command, dot: &Value, last: Option<Value>) -> Run<Value> {
        let head = &command.head;
        self.step(head.span)?;
        if !matches!(head.kind, ExprKind::Pipe(_)) {
            self.at = head.place();
        }
        let bare = last.is_none() && command.args.is_empty();
        match &head.kind {
            ExprKind::Field(path) if bare => self.follow(dot, path, head.span),
            ExprKind::Variable(name, path) if bare => self.follow(self.variable(name, head.span)?, path, head.span),
            ExprKind::Function(function) => self.call(function, command.span, head.span, &command.args, last, dot),
            ExprKind::Field(path) => self.path(dot.clone(), path, head.span, &command.args, last, dot),
            ExprKind::Variable(name, path) if !path.is_empty() => {
                let value = self.variable(name, head.span)?.clone();
                self.path(value, path, head.span, &command.args, last, dot)
            }
            ExprKind::Chain(inner, path) => self.chain(inner, path, head.span, &command.args, last, dot),
            _ if !bare => Err(self.not_a_function(head.span)),
            ExprKind::Nil => Err(self.wrong(head.span, "nil is not a command")),
            _ => self.operand(head, dot),
        }
    }

    fn chain(
        &mut self,
        inner: &'a Expr,
        path: &'a [Arc<str>],
        span: Span,
        args: &'a [Expr],
        last: Option<Value>,
        dot: &Value,
    ) -> Run<Value> {
        self.at = inner.place();
        let value = self.operand(inner, dot)?;
        self.path(value, path, span, args, last, dot)
    }

    /// The value of an expression where any type will do; nil and missing values stay what they are.
    fn operand(&mut self, expr: &'a Expr, dot: &Value) -> Run<Value> {
        match &expr.kind {
            ExprKind::Dot => Ok(dot.clone()),
            ExprKind::Nil => Ok(Value::Nil),
            ExprKind::Bool(b) => Ok(Value::Bool(*b)),
            ExprKind::Number(number) => match number.value() {
                Some(value) => Ok(value),
                None => Err(self.wrong(expr.span, "overflows int")),
            },
            ExprKind::Text(text) => Ok(Value::Text(text.clone())),
            ExprKind::Field(path) => self.follow(dot, path, expr.span),
            ExprKind::Variable(name, path) => self.follow(self.variable(name, expr.span)?, path, expr.span),
            ExprKind::Chain(inner, path) => self.chain(inner, path, expr.span, &[], None, dot),
            ExprKind::Function(function) => self.call(function, expr.span, expr.span, &[], None, dot),
            ExprKind::Pipe(pipe) => {
                self.deeper(expr.span)?;
                // Variables declared in parentheses live on, as in Go.
                let value = self.pipe(pipe, dot)?;
                self.depth -= 1;
                Ok(value)
            }
        }
    }

    fn variable(&self, name: &str, span: Span) -> Run<&Value> {
        let own = self.variables.get(self.frame..).unwrap_or_default();
        match own.iter().rev().find(|(n, _)| **n == *name) {
            Some((_, value)) => Ok(value),
            None => Err(self.wrong(span, format!("undefined variable: {name}"))),
        }
    }

    fn assign(&mut self, name: &str, value: Value, span: Span) -> Run<()> {
        let own = self.variables.get_mut(self.frame..).unwrap_or_default();
        match own.iter_mut().rev().find(|(n, _)| **n == *name) {
            Some((_, slot)) => {
                *slot = value;
                Ok(())
            }
            None => Err(self.wrong(span, format!("undefined variable: {name}"))),
        }
    }

    fn print(&mut self, span: Span, value: &Value) -> Run<()> {
        self.at = span;
        match value {
            Value::Text(text) => self.write(span, text.as_bytes()),
            Value::Func(f) => Err(self.wrong(span, format!("can't print a value of type {}", f.type_name()))),
            _ => {
                let mut buffer = std::mem::take(&mut self.scratch);
                buffer.clear();
                let done = print::write(&mut buffer, value, self.cx);
                let wrote = done.map_err(|f| self.failed(span, f)).and_then(|()| self.write(span, &buffer));
                self.scratch = buffer;
                wrote
            }
        }
    }

    fn write(&mut self, span: Span, bytes: &[u8]) -> Run<()> {
        let paid = self.cx.fuel.bytes(bytes.len()).and_then(|()| self.cx.fuel.steps(1));
        paid.and_then(|()| self.host.write(bytes)).map_err(|failure| self.failed(span, failure))
    }

    fn step(&self, span: Span) -> Run<()> {
        self.cx.fuel.steps(1).map_err(|failure| self.failed(span, failure))
    }

    fn deeper(&mut self, span: Span) -> Run<()> {
        self.depth += 1;
        if self.depth > DEPTH {
            let message = format!("templates, lists and parentheses nest more than {DEPTH} deep");
            return Err(self.failed(span, Failure::Exhausted(message)));
        }
        Ok(())
    }

    #[cold]
    fn wrong(&self, span: Span, message: impl Into<String>) -> Stop {
        self.failed(span, Failure::Message(message.into()))
    }

    #[cold]
    fn no_template(&self, call: &ast::Call) -> Stop {
        let near = crate::error::nearest(&call.name, self.template.trees().map(|t| &*t.name));
        let message = format!("template {:?} not defined", call.name);
        match near {
            Some(near) => self.failed(call.span, Failure::Nearest { message, nearest: near.to_owned() }),
            None => self.failed(call.span, Failure::Message(message)),
        }
    }

    #[cold]
    fn not_a_function(&self, span: Span) -> Stop {
        let source = self.template.source().slice(span);
        self.wrong(span, format!("can't give argument to non-function {}", String::from_utf8_lossy(source)))
    }

    #[cold]
    fn failed(&self, span: Span, failure: Failure) -> Stop {
        let (kind, message, nearest) = match failure {
            Failure::Abort => return Stop::Abort,
            Failure::Exhausted(message) => (ErrorKind::Exhausted, message, None),
            Failure::Nearest { message, nearest } => (ErrorKind::Exec, message, Some(nearest)),
            other => (ErrorKind::Exec, other.to_string(), None),
        };
        let message = short(message);
        let source = self.template.source();
        // In an action of several lines the line is Go's; in one line we know the place better.
        let span = if source.line(span) == source.line(self.at) { span } else { self.at };
        Stop::Error(Box::new(source.error(kind, Some(self.tree), span, message, nearest)))
    }
}

/// Functions quote what they were given, which may be a whole file.
fn short(mut message: String) -> String {
    if message.len() > LONGEST {
        message.truncate(message.floor_char_boundary(LONGEST));
        message.push_str("...");
    }
    message
}

/// Whether nil can stand for such a parameter, and what it is then.
fn nil_for(param: Param) -> Option<Value> {
    use crate::value::{List, MapType, Type};
    Some(match param {
        Param::Any => Value::Nil,
        Param::Raw => Value::Missing,
        Param::List => Value::List(List::nil(Type::Any)),
        Param::Texts => Value::List(List::nil(Type::Text)),
        Param::Dict => Value::Map(crate::value::Map::nil(Arc::new(MapType { key: Type::Text, elem: Type::Any }))),
        _ => return None,
    })
}
