//! Which fields a template reads, by type: the dot and the variables have types, as stock's own walk gives them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use render::template::Template;
use render::template::ast::{Branch, Expr, ExprKind, List, Node, Pipe};

use super::types::{self, Row, TOP};

/// The type of a value; `None`: nobody knows.
type Type = Option<&'static str>;

/// What stands in the template -> what it is, where that is known.
pub type Found = BTreeMap<String, Option<Row>>;

/// All fields that the template reads. `main` is the name of the file's own text; whoever calls the others gives them a dot
/// that is not known here.
pub fn variables(template: &Template, main: &str) -> Found {
    let mut found = Found::new();
    for tree in template.trees() {
        let dot = (&*tree.name == main).then_some(TOP);
        let mut walk = Walk { variables: HashMap::from([(Arc::from("$"), dot)]), found };
        walk.list(&tree.root, dot);
        found = walk.found;
    }
    found
}

struct Walk {
    variables: HashMap<Arc<str>, Type>,
    found: Found,
}

impl Walk {
    fn list(&mut self, list: &List, dot: Type) {
        for node in &list.nodes {
            match node {
                Node::Text(_) | Node::Break(_) | Node::Continue(_) => {}
                Node::Action(pipe) => self.declaring(pipe, dot),
                Node::Template(call) => call.pipe.iter().for_each(|pipe| self.pipe(pipe, dot)),
                Node::If(branch) => self.branch(branch, dot, dot),
                Node::With(branch) => {
                    let inner = self.first(&branch.pipe, dot).filter(|of| types::has_fields(of));
                    self.branch(branch, inner.or(dot), dot);
                }
                Node::Range(branch) => self.range(branch, dot),
            }
        }
    }

    fn branch(&mut self, branch: &Branch, inner: Type, dot: Type) {
        self.declaring(&branch.pipe, dot);
        self.list(&branch.then, inner);
        branch.otherwise.iter().for_each(|list| self.list(list, dot));
    }

    fn range(&mut self, branch: &Branch, dot: Type) {
        self.pipe(&branch.pipe, dot);
        let over = branch.pipe.commands.iter().flat_map(|command| std::iter::once(&command.head).chain(&command.args));
        let over = over.clone().find(|expr| matches!(expr.kind, ExprKind::Field(_))).or_else(|| {
            let mut over = over;
            over.find(|expr| matches!(expr.kind, ExprKind::Variable(..)))
        });
        let over = over.and_then(|expr| self.value(expr, dot));
        let inner = over.and_then(types::element);
        match branch.pipe.variables.as_slice() {
            [key, value] => {
                let of = if over.is_some_and(|of| of.starts_with("map")) { "string" } else { "int" };
                self.variables.insert(Arc::clone(key), Some(of));
                self.variables.insert(Arc::clone(value), inner);
            }
            [value] => {
                self.variables.insert(Arc::clone(value), inner);
            }
            _ => {}
        }
        self.list(&branch.then, inner);
        branch.otherwise.iter().for_each(|list| self.list(list, dot));
    }

    /// A pipe that may give a variable its value, and so its type.
    fn declaring(&mut self, pipe: &Pipe, dot: Type) {
        self.pipe(pipe, dot);
        let of = self.first(pipe, dot);
        for name in &pipe.variables {
            self.variables.insert(Arc::clone(name), of);
        }
    }

    /// The type of a pipe that is one value and nothing else.
    fn first(&self, pipe: &Pipe, dot: Type) -> Type {
        match pipe.commands.as_slice() {
            [command] if command.args.is_empty() => self.value(&command.head, dot),
            _ => None,
        }
    }

    fn value(&self, expr: &Expr, dot: Type) -> Type {
        match &expr.kind {
            ExprKind::Dot => dot,
            ExprKind::Field(path) => types::resolve(dot?, path).map(|row| row.1),
            ExprKind::Variable(name, path) => {
                let of = (*self.variables.get(name)?)?;
                if path.is_empty() { Some(of) } else { types::resolve(of, path).map(|row| row.1) }
            }
            ExprKind::Pipe(pipe) => self.first(pipe, dot),
            _ => None,
        }
    }

    fn pipe(&mut self, pipe: &Pipe, dot: Type) {
        for command in &pipe.commands {
            for expr in std::iter::once(&command.head).chain(&command.args) {
                self.expr(expr, dot);
            }
        }
    }

    fn expr(&mut self, expr: &Expr, dot: Type) {
        match &expr.kind {
            ExprKind::Field(path) => {
                let row = dot.and_then(|dot| types::resolve(dot, path));
                self.note(format!(".{}", path.join(".")), row);
            }
            ExprKind::Variable(name, path) if path.is_empty() => self.note(name.to_string(), None),
            ExprKind::Variable(name, path) => {
                let of = self.variables.get(name).copied().flatten();
                let row = of.and_then(|of| types::resolve(of, path));
                // `$dev.OnBoot.Bool` is a method of the field: the field is what somebody sets.
                match (row, path.split_last()) {
                    (None, Some((_, field))) if !field.is_empty() => {
                        let shorter = of.and_then(|of| types::resolve(of, field));
                        let path = if shorter.is_some() { field } else { path };
                        self.note(format!("{name}.{}", path.join(".")), shorter);
                    }
                    _ => self.note(format!("{name}.{}", path.join(".")), row),
                }
            }
            ExprKind::Chain(inner, _) => self.expr(inner, dot),
            ExprKind::Pipe(pipe) => self.pipe(pipe, dot),
            _ => {}
        }
    }

    /// The same letters may be known in one place and not in another.
    fn note(&mut self, name: String, row: Option<Row>) {
        let known = self.found.entry(name).or_default();
        *known = row.or(*known);
    }
}
