//! Tokens into trees, after Go's `text/template/parse`: same things accepted, same things refused.

mod operand;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ast::{Branch, Call, List, Node, Pipe, Span, TextNode, Tree};
use crate::error::{Error, ErrorKind};
use crate::host::Functions;
use crate::lex::{Keyword, Kind, Token, lex};
use crate::patterns::InText;
use crate::source::Source;
use crate::value::Text;

pub(crate) type Trees = BTreeMap<Arc<str>, Tree>;

/// How deep parentheses and blocks may nest.
const DEPTH: usize = 120;

/// Parses a whole text: the tree of that name, and those that it defines; and the patterns that stand in it.
pub(crate) fn parse(source: &Source, functions: &dyn Functions) -> Result<(Trees, InText), Error> {
    let (tokens, fault) = lex(source.bytes());
    let fresh = Scope { variables: vec!["$".into()], ranges: 0 };
    let (trees, patterns) = (Trees::new(), InText::default());
    let mut parser = Parser { source, functions, tokens, fault, next: 0, trees, patterns, scope: fresh, depth: 0 };
    let root = parser.file()?;
    let end = Span { start: source.bytes().len(), end: source.bytes().len() };
    parser.add(Arc::from(source.name()), root, end)?;
    Ok((parser.trees, parser.patterns))
}

struct Parser<'a> {
    source: &'a Source,
    functions: &'a dyn Functions,
    tokens: Vec<Token>,
    fault: Option<String>,
    next: usize,
    trees: Trees,
    patterns: InText,
    scope: Scope,
    depth: usize,
}

/// What one definition can see.
struct Scope {
    variables: Vec<Arc<str>>,
    ranges: usize,
}

type Parsed<T> = Result<T, Error>;

/// What ends a list.
enum Ending {
    End,
    Else(Span),
}

impl Parser<'_> {
    fn file(&mut self) -> Parsed<List> {
        let mut root = List::default();
        loop {
            let token = self.peek();
            match token.kind {
                Kind::End => return Ok(root),
                Kind::LeftDelim => {
                    let back = self.next;
                    self.take();
                    if self.take_solid()?.kind == Kind::Keyword(Keyword::Define) {
                        self.definition()?;
                        continue;
                    }
                    self.next = back;
                }
                _ => {}
            }
            match self.text_or_action()? {
                Ok(node) => root.nodes.push(node),
                Err(Ending::End) => return Err(self.late(token.span, "unexpected {{end}}".into())),
                Err(Ending::Else(span)) => return Err(self.late(span, "unexpected {{else}}".into())),
            }
        }
    }

    fn definition(&mut self) -> Parsed<()> {
        let context = "define clause";
        let at = self.peek().span;
        let name = self.template_name(context)?;
        self.expect(Kind::RightDelim, context)?;
        self.body(name, at, context, None)
    }

    /// The list of a `define` or a `block`, in a scope of its own.
    /// Where it has a head of its own, Go tells that line for an `else` that does not belong.
    fn body(&mut self, name: Arc<str>, at: Span, context: &str, head: Option<Span>) -> Parsed<()> {
        let fresh = Scope { variables: vec!["$".into()], ranges: 0 };
        let outer = std::mem::replace(&mut self.scope, fresh);
        let (list, ending) = self.list()?;
        self.scope = outer;
        if let Ending::Else(span) = ending {
            let message = format!("unexpected {{{{else}}}} in {context}");
            return Err(match head {
                Some(head) => self.wrong(head, message),
                None => self.late(span, message),
            });
        }
        self.add(name, list, at)
    }

    fn add(&mut self, name: Arc<str>, root: List, at: Span) -> Parsed<()> {
        match self.trees.get(&name) {
            Some(old) if !old.root.is_blank() => {
                if root.is_blank() {
                    return Ok(());
                }
                Err(self.late(at, format!("multiple definition of template {name:?}")))
            }
            _ => {
                self.trees.insert(Arc::clone(&name), Tree { name, root });
                Ok(())
            }
        }
    }

    fn list(&mut self) -> Parsed<(List, Ending)> {
        self.deeper()?;
        let mut list = List::default();
        loop {
            if self.peek().kind == Kind::End {
                return Err(self.wrong(self.peek().span, "unexpected EOF: an {{end}} is missing"));
            }
            match self.text_or_action()? {
                Ok(node) => list.nodes.push(node),
                Err(ending) => {
                    self.depth -= 1;
                    return Ok((list, ending));
                }
            }
        }
    }

    fn text_or_action(&mut self) -> Parsed<Result<Node, Ending>> {
        let token = self.take_solid()?;
        match token.kind {
            Kind::Text => {
                let text = Text::new(self.source.slice(token.span));
                Ok(Ok(Node::Text(TextNode { span: token.span, text })))
            }
            Kind::LeftDelim => self.action(),
            _ => Err(self.unexpected(token, "input")),
        }
    }

    fn action(&mut self) -> Parsed<Result<Node, Ending>> {
        let back = self.next;
        let token = self.take_solid()?;
        let Kind::Keyword(keyword) = token.kind else {
            self.next = back;
            return self.pipeline("command", Kind::RightDelim).map(|pipe| Ok(Node::Action(pipe)));
        };
        Ok(Ok(match keyword {
            Keyword::End => {
                self.expect(Kind::RightDelim, "end")?;
                return Ok(Err(Ending::End));
            }
            Keyword::Else => {
                // `{{else if` is read as `{{else}}{{if`.
                let next = self.peek_solid();
                if !matches!(next.kind, Kind::Keyword(Keyword::If | Keyword::With)) {
                    self.expect(Kind::RightDelim, "else")?;
                }
                return Ok(Err(Ending::Else(token.span)));
            }
            Keyword::If => Node::If(self.control(token, "if")?),
            Keyword::With => Node::With(self.control(token, "with")?),
            Keyword::Range => Node::Range(self.control(token, "range")?),
            Keyword::Template => Node::Template(self.template(token)?),
            Keyword::Block => Node::Template(self.block(token)?),
            Keyword::Break | Keyword::Continue => {
                let name = self.text(token.span);
                let end = self.take_solid()?;
                if end.kind != Kind::RightDelim {
                    return Err(self.unexpected(end, &format!("{{{{{name}}}}}")));
                }
                if self.scope.ranges == 0 {
                    let error = self.wrong(token.span, format!("{{{{{name}}}}} outside {{{{range}}}}"));
                    return Err(self.as_read(error, end.span));
                }
                if keyword == Keyword::Break { Node::Break(token.span) } else { Node::Continue(token.span) }
            }
            Keyword::Define => return Err(self.unexpected(token, "command")),
        }))
    }

    fn control(&mut self, token: Token, context: &'static str) -> Parsed<Branch> {
        let visible = self.scope.variables.len();
        let pipe = self.pipeline(context, Kind::RightDelim)?;
        let is_range = usize::from(context == "range");
        self.scope.ranges += is_range;
        let (then, ending) = self.list()?;
        self.scope.ranges -= is_range;
        let mut otherwise = None;
        if let Ending::Else(_) = ending {
            let chained = match (context, self.peek().kind) {
                // The space between `else` and `if` has been looked past, not taken.
                (_, Kind::Space) => self.peek_solid().kind,
                (_, kind) => kind,
            };
            otherwise = Some(match (context, chained) {
                ("if", Kind::Keyword(Keyword::If)) => self.chained("if")?,
                ("with", Kind::Keyword(Keyword::With)) => self.chained("with")?,
                _ => {
                    let (list, ending) = self.list()?;
                    if let Ending::Else(span) = ending {
                        return Err(self.late(span, "expected end; found {{else}}".into()));
                    }
                    list
                }
            });
        }
        self.scope.variables.truncate(visible);
        Ok(Branch { span: token.span.to(pipe.span), pipe, then, otherwise })
    }

    fn chained(&mut self, context: &'static str) -> Parsed<List> {
        self.deeper()?;
        let token = self.take_solid()?;
        let branch = self.control(token, context)?;
        self.depth -= 1;
        let node = if context == "if" { Node::If(branch) } else { Node::With(branch) };
        Ok(List { nodes: vec![node] })
    }

    fn template(&mut self, token: Token) -> Parsed<Call> {
        let context = "template clause";
        let name = self.template_name(context)?;
        let named = self.tokens.get(self.next.saturating_sub(1)).map_or(token.span, |t| t.span);
        let back = self.next;
        let end = self.take_solid()?;
        let pipe = if end.kind == Kind::RightDelim {
            None
        } else {
            self.next = back;
            Some(self.pipeline(context, Kind::RightDelim)?)
        };
        let last = pipe.as_ref().map_or(named, |pipe| pipe.span);
        Ok(Call { span: token.span.to(last), name_span: named, name, pipe })
    }

    fn block(&mut self, token: Token) -> Parsed<Call> {
        let context = "block clause";
        let at = self.peek_solid().span;
        let name = self.template_name(context)?;
        let pipe = self.pipeline(context, Kind::RightDelim)?;
        let head = self.tokens.get(self.next.saturating_sub(1)).map(|token| token.span);
        self.body(Arc::clone(&name), at, context, head)?;
        Ok(Call { span: token.span.to(pipe.span), name_span: at, name, pipe: Some(pipe) })
    }

    fn template_name(&mut self, context: &str) -> Parsed<Arc<str>> {
        let token = self.take_solid()?;
        match token.kind {
            Kind::Quoted | Kind::Raw => {
                let text = self.unquoted(token)?;
                Ok(Arc::from(text.to_str()))
            }
            _ => Err(self.unexpected(token, context)),
        }
    }

    /// Variables, then commands, up to and with `end`.
    fn pipeline(&mut self, context: &str, end: Kind) -> Parsed<Pipe> {
        self.deeper()?;
        let first = self.peek_solid().span;
        let (variables, assigns) = self.declarations(context)?;
        let mut commands = Vec::new();
        let last = loop {
            let back = self.next;
            let token = self.take_solid()?;
            match token.kind {
                kind if kind == end => break token.span,
                Kind::Bool
                | Kind::CharConstant
                | Kind::Complex
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::Raw
                | Kind::Quoted
                | Kind::Variable
                | Kind::LeftParen => {
                    self.next = back;
                    commands.push(self.command()?);
                }
                _ => return Err(self.unexpected(token, context)),
            }
        };
        if commands.is_empty() {
            return Err(self.as_read(self.wrong(first, format!("missing value for {context}")), last));
        }
        self.check_stages(&commands)?;
        self.depth -= 1;
        let end = commands.last().map_or(last.start, |c| c.span.end);
        Ok(Pipe { span: Span { start: first.start, end }, variables, assigns, commands })
    }

    fn declarations(&mut self, context: &str) -> Parsed<(Vec<Arc<str>>, bool)> {
        let mut variables: Vec<Arc<str>> = Vec::new();
        loop {
            let back = self.next;
            let token = self.peek_solid();
            if token.kind != Kind::Variable {
                return Ok((variables, false));
            }
            self.take_solid()?;
            let name: Arc<str> = Arc::from(self.text(token.span));
            let next = self.peek_solid();
            match next.kind {
                Kind::Assign | Kind::Declare => {
                    self.take_solid()?;
                    variables.push(Arc::clone(&name));
                    self.scope.variables.push(name);
                    return Ok((variables, next.kind == Kind::Assign));
                }
                Kind::Char if self.text(next.span) == "," => {
                    self.take_solid()?;
                    variables.push(Arc::clone(&name));
                    self.scope.variables.push(name);
                    if context != "range" || variables.len() >= 2 {
                        return Err(self.wrong(next.span, format!("too many declarations in {context}")));
                    }
                    if !matches!(self.peek_solid().kind, Kind::Variable | Kind::RightDelim | Kind::RightParen) {
                        return Err(self.wrong(next.span, "range can only initialize variables"));
                    }
                }
                _ => {
                    // Go has read on when it finds out, and tells that line.
                    self.variable(token).map_err(|error| self.as_read(error, next.span))?;
                    self.next = back;
                    return Ok((variables, false));
                }
            }
        }
    }

    fn deeper(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(self.wrong(self.peek().span, format!("nested more than {DEPTH} deep")));
        }
        Ok(())
    }

    fn peek(&self) -> Token {
        let last = self.tokens.last().copied();
        let end = Token { kind: Kind::End, span: Span::default() };
        self.tokens.get(self.next).copied().or(last).unwrap_or(end)
    }

    fn take(&mut self) -> Token {
        let token = self.peek();
        self.next += 1;
        token
    }

    /// The next token that is no space, without taking anything.
    fn peek_solid(&self) -> Token {
        let skipped = self.tokens.get(self.next..).unwrap_or_default().iter().find(|t| t.kind != Kind::Space);
        skipped.copied().unwrap_or(self.peek())
    }

    /// Takes up to and with the next token that is no space. What could not be lexed fails here.
    fn take_solid(&mut self) -> Parsed<Token> {
        loop {
            let token = self.take();
            match token.kind {
                Kind::Space => {}
                Kind::Fault => return Err(self.faulty(token)),
                _ => return Ok(token),
            }
        }
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Parsed<Token> {
        let token = self.take_solid()?;
        if token.kind == kind { Ok(token) } else { Err(self.unexpected(token, context)) }
    }

    fn text(&self, span: Span) -> String {
        String::from_utf8_lossy(self.source.slice(span)).into_owned()
    }

    fn faulty(&self, token: Token) -> Error {
        let fault = self.fault.clone().unwrap_or_else(|| "unreadable".into());
        self.source.error(ErrorKind::Parse, None, token.span, fault, None)
    }

    fn unexpected(&self, token: Token, context: &str) -> Error {
        match token.kind {
            Kind::Fault => self.faulty(token),
            Kind::End => self.wrong(token.span, format!("unexpected EOF in {context}")),
            Kind::Keyword(_) => self.wrong(token.span, format!("unexpected <{}> in {context}", self.text(token.span))),
            _ => self.wrong(token.span, format!("unexpected {:?} in {context}", self.text(token.span))),
        }
    }

    /// What Go notices when it has read on: the place is that of the last token, as Go counts.
    fn late(&self, span: Span, message: String) -> Error {
        let error = self.wrong(span, message);
        let read = self.tokens.get(..self.next.min(self.tokens.len())).and_then(<[Token]>::last);
        self.as_read(error, read.map_or(span, |token| token.span))
    }

    /// An error that Go notices at a later place.
    fn as_read(&self, mut error: Error, place: Span) -> Error {
        let place = self.wrong(place, "");
        if place.line > error.line {
            error.message = format!("{} (begun in line {})", error.message, error.line).into();
            (error.line, error.column) = (place.line, place.column);
        }
        error
    }

    fn wrong(&self, span: Span, message: impl Into<String>) -> Error {
        self.source.error(ErrorKind::Parse, None, span, message.into(), None)
    }
}
