//! Commands and their operands: names, fields, literals.

use std::sync::Arc;

use super::{Parsed, Parser};
use crate::ast::{Command, Expr, ExprKind, Function, Number, Target};
use crate::error::{ErrorKind, nearest};
use crate::lex::{Kind, Token};
use crate::sprig;
use crate::value::Text;

impl Parser<'_> {
    pub(super) fn command(&mut self) -> Parsed<Command> {
        let mut exprs = Vec::new();
        let start = self.peek_solid().span;
        loop {
            exprs.extend(self.operand()?);
            let token = self.take();
            match token.kind {
                Kind::Space => {}
                Kind::RightDelim | Kind::RightParen => {
                    self.next -= 1;
                    break;
                }
                Kind::Pipe => break,
                _ => return Err(self.unexpected(token, "operand")),
            }
        }
        let mut exprs = exprs.into_iter();
        let Some(head) = exprs.next() else { return Err(self.wrong(start, "empty command")) };
        let args: Vec<Expr> = exprs.collect();
        if let (ExprKind::Function(function), Some(ExprKind::Text(text))) = (&head.kind, args.first().map(|a| &a.kind))
            && matches!(function.target, Target::Native(native) if native.takes_pattern())
            && let Ok(pattern) = std::str::from_utf8(text.as_bytes())
        {
            self.patterns.add(pattern);
        }
        let span = head.span.to(args.last().map_or(head.span, |last| last.span));
        Ok(Command { span, head, args })
    }

    pub(super) fn check_stages(&self, commands: &[Command]) -> Parsed<()> {
        for (i, command) in commands.iter().enumerate().skip(1) {
            if matches!(
                command.head.kind,
                ExprKind::Bool(_) | ExprKind::Dot | ExprKind::Nil | ExprKind::Number(_) | ExprKind::Text(_)
            ) {
                let message = format!("non executable command in pipeline stage {}", i + 1);
                return Err(self.late(command.head.span, message));
            }
        }
        Ok(())
    }

    /// A term with the fields that hang on it.
    fn operand(&mut self) -> Parsed<Option<Expr>> {
        let Some(term) = self.term()? else { return Ok(None) };
        let mut names: Vec<Arc<str>> = Vec::new();
        let mut span = term.span;
        while self.peek().kind == Kind::Field {
            let token = self.take();
            names.push(self.field_name(token));
            span = span.to(token.span);
        }
        if names.is_empty() {
            return Ok(Some(term));
        }
        let kind = match term.kind {
            ExprKind::Field(mut path) => {
                path.append(&mut names);
                ExprKind::Field(path)
            }
            ExprKind::Variable(name, mut path) => {
                path.append(&mut names);
                ExprKind::Variable(name, path)
            }
            ExprKind::Bool(_) | ExprKind::Text(_) | ExprKind::Number(_) | ExprKind::Nil | ExprKind::Dot => {
                let message = format!("unexpected . after term {:?}", self.text(term.span));
                return Err(self.wrong(span, message));
            }
            _ => ExprKind::Chain(Box::new(term), names),
        };
        Ok(Some(Expr { span, kind }))
    }

    fn term(&mut self) -> Parsed<Option<Expr>> {
        let back = self.next;
        let token = self.take_solid()?;
        let kind = match token.kind {
            Kind::Identifier => ExprKind::Function(self.function(token)?),
            Kind::Dot => ExprKind::Dot,
            Kind::Nil => ExprKind::Nil,
            Kind::Bool => ExprKind::Bool(self.text(token.span) == "true"),
            Kind::Variable => ExprKind::Variable(self.variable(token)?, Vec::new()),
            Kind::Field => ExprKind::Field(vec![self.field_name(token)]),
            Kind::Number | Kind::Complex | Kind::CharConstant => ExprKind::Number(self.number(token)?),
            Kind::Quoted | Kind::Raw => ExprKind::Text(self.unquoted(token)?),
            Kind::LeftParen => {
                let pipe = self.pipeline("parenthesized pipeline", Kind::RightParen)?;
                let end = self.tokens.get(self.next.saturating_sub(1)).map_or(token.span, |t| t.span);
                return Ok(Some(Expr { span: token.span.to(end), kind: ExprKind::Pipe(Box::new(pipe)) }));
            }
            _ => {
                self.next = back;
                return Ok(None);
            }
        };
        Ok(Some(Expr { span: token.span, kind }))
    }

    fn field_name(&self, token: Token) -> Arc<str> {
        let text = self.text(token.span);
        Arc::from(text.strip_prefix('.').unwrap_or(&text))
    }

    pub(super) fn variable(&self, token: Token) -> Parsed<Arc<str>> {
        let name = self.text(token.span);
        if let Some(known) = self.scope.variables.iter().rev().find(|v| ***v == *name) {
            return Ok(Arc::clone(known));
        }
        let near = nearest(&name, self.scope.variables.iter().map(|v| &**v)).map(str::to_owned);
        let message = format!("undefined variable {name:?}");
        Err(self.source.error(ErrorKind::Parse, None, token.span, message, near))
    }

    fn function(&self, token: Token) -> Parsed<Function> {
        let name = self.text(token.span);
        let target = match self.functions.signature(&name) {
            Some(signature) => Some(Target::Host(signature)),
            None if name == "and" => Some(Target::And),
            None if name == "or" => Some(Target::Or),
            None => sprig::find(&name).map(Target::Native),
        };
        if let Some(target) = target {
            return Ok(Function { name: Arc::from(name), target });
        }
        let own = self.functions.names();
        let names: Vec<&str> =
            own.into_iter().chain(["and", "or"]).chain(sprig::names().map(|n| -> &str { n })).collect();
        let near = nearest(&name, names).map(str::to_owned);
        let message = format!("function {name:?} not defined");
        Err(self.source.error(ErrorKind::Parse, None, token.span, message, near))
    }

    pub(super) fn unquoted(&self, token: Token) -> Parsed<Text> {
        let raw = self.source.slice(token.span);
        let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
        if token.kind == Kind::Raw {
            return Ok(Text::from(inner.iter().copied().filter(|b| *b != b'\r').collect::<Vec<u8>>()));
        }
        unescape(inner, b'"').map(Text::from).ok_or_else(|| self.wrong(token.span, "invalid escape in quoted string"))
    }

    fn number(&self, token: Token) -> Parsed<Number> {
        let text = self.text(token.span);
        let bad = |what: &str| self.wrong(token.span, format!("{what}: {text}"));
        match token.kind {
            Kind::CharConstant => {
                let raw = self.source.slice(token.span);
                let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
                char_constant(inner).map(number_of_char).ok_or_else(|| bad("malformed character constant"))
            }
            Kind::Complex => complex(&text).map(number_of_complex).ok_or_else(|| bad("bad complex number")),
            _ => number(&text).map_err(bad),
        }
    }
}

/// The bytes of a quoted text without its quotes; `None`: an escape that Go does not know.
fn unescape(inner: &[u8], quote: u8) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let [b, after @ ..] = rest {
        rest = after;
        if *b != b'\\' {
            out.push(*b);
            continue;
        }
        let [escape, after @ ..] = rest else { return None };
        rest = after;
        match escape {
            b'a' => out.push(7),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'v' => out.push(11),
            b'\\' => out.push(b'\\'),
            b'\'' | b'"' if *escape == quote => out.push(quote),
            b'x' => out.push(u8::try_from(digits(&mut rest, 2, 16)?).ok()?),
            b'u' | b'U' => {
                let c = char::from_u32(digits(&mut rest, if *escape == b'u' { 4 } else { 8 }, 16)?)?;
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            b'0'..=b'7' => {
                let high = u32::from(escape - b'0') * 64;
                out.push(u8::try_from(high + digits(&mut rest, 2, 8)?).ok()?);
            }
            _ => return None,
        }
    }
    Some(out)
}

fn digits(rest: &mut &[u8], count: usize, radix: u32) -> Option<u32> {
    let (head, after) = rest.split_at_checked(count)?;
    *rest = after;
    if !head.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(head).ok()?, radix).ok()
}

/// One character between quotes; `'\x41'` is a byte's number.
fn char_constant(inner: &[u8]) -> Option<u32> {
    if let [b'\\', b'x' | b'0'..=b'7', ..] = inner {
        return match unescape(inner, b'\'')?.as_slice() {
            [byte] => Some(u32::from(*byte)),
            _ => None,
        };
    }
    if inner == b"'" {
        return None;
    }
    let bytes = unescape(inner, b'\'')?;
    let mut chars = std::str::from_utf8(&bytes).ok()?.chars();
    let c = chars.next()?;
    chars.next().is_none().then_some(u32::from(c))
}

fn number_of_char(c: u32) -> Number {
    Number {
        int: Some(i64::from(c)),
        uint: Some(u64::from(c)),
        float: Some(f64::from(c)),
        complex: None,
        is_float: false,
    }
}

/// A complex number without imaginary part is any other number too.
fn number_of_complex((re, im): (f64, f64)) -> Number {
    let float = (im == 0.0).then_some(re);
    let int = float.and_then(exact_int);
    let uint = int.and_then(|n| u64::try_from(n).ok());
    Number { int, uint, float, complex: Some((re, im)), is_float: true }
}

fn complex(text: &str) -> Option<(f64, f64)> {
    let body = text.strip_suffix('i')?;
    let split = body.rfind(['+', '-']).filter(|at| *at > 0)?;
    Some((parse_float(body.get(..split)?)?, parse_float(body.get(split..)?)?))
}

fn number(text: &str) -> Result<Number, &'static str> {
    let mut found = Number { int: None, uint: None, float: None, complex: None, is_float: false };
    if let Some(imaginary) = text.strip_suffix('i')
        && let Some(im) = parse_float(imaginary)
    {
        return Ok(number_of_complex((0.0, im)));
    }
    let (negative, magnitude) = parse_integer(text).map_or((false, None), |(neg, n)| (neg, Some(n)));
    if let Some(n) = magnitude {
        let signed = if negative { 0i128 - i128::from(n) } else { i128::from(n) };
        found.int = i64::try_from(signed).ok();
        let unsigned = !text.starts_with(['+', '-']) || found.int == Some(0);
        found.uint = unsigned.then_some(n);
    }
    if let Some(n) = found.int {
        found.float = Some(int_as_float(n));
    } else if let Some(n) = found.uint {
        found.float = Some(uint_as_float(n));
    } else if let Some(f) = parse_float(text) {
        if !text.contains(['.', 'e', 'E', 'p', 'P']) {
            return Err("integer overflow");
        }
        found.float = Some(f);
        found.int = exact_int(f);
        found.uint = found.int.and_then(|n| u64::try_from(n).ok());
    }
    if found.float.is_none() {
        return Err("illegal number syntax");
    }
    let hex = text.starts_with("0x") || text.starts_with("0X");
    found.is_float = if hex { text.contains(['p', 'P']) } else { text.contains(['.', 'e', 'E', 'p', 'P']) };
    Ok(found)
}

#[allow(clippy::cast_precision_loss, reason = "Go's float64(int64) rounds the same way")]
fn int_as_float(n: i64) -> f64 {
    n as f64
}

#[allow(clippy::cast_precision_loss, reason = "Go's float64(uint64) rounds the same way")]
fn uint_as_float(n: u64) -> f64 {
    n as f64
}

fn exact_int(f: f64) -> Option<i64> {
    let limit = 9_223_372_036_854_775_808.0;
    if f.trunc() != f || f < -limit || f >= limit {
        return None;
    }
    #[allow(clippy::cast_possible_truncation, reason = "whole and within range")]
    Some(f as i64)
}

/// Go's `ParseInt(s, 0, 64)` as sign and magnitude: prefixes 0x 0o 0b 0, and underscores between digits.
pub(crate) fn parse_integer(text: &str) -> Option<(bool, u64)> {
    let (negative, body) = match text.strip_prefix('-') {
        Some(body) => (true, body),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = body.to_ascii_lowercase();
    let (radix, digits, prefixed) = if let Some(hex) = lower.strip_prefix("0x") {
        (16, hex, true)
    } else if let Some(binary) = lower.strip_prefix("0b") {
        (2, binary, true)
    } else if let Some(octal) = lower.strip_prefix("0o") {
        (8, octal, true)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, lower.get(1..)?, true)
    } else {
        (10, lower.as_str(), false)
    };
    let plain = without_underscores(digits, prefixed)?;
    if plain.is_empty() || !plain.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    u64::from_str_radix(&plain, radix).ok().map(|n| (negative, n))
}

/// An underscore stands between two digits, or between the prefix and a digit.
fn without_underscores(digits: &str, prefixed: bool) -> Option<String> {
    if !digits.contains('_') {
        return Some(digits.to_owned());
    }
    let ok = !digits.ends_with('_') && !digits.contains("__") && (prefixed || !digits.starts_with('_'));
    ok.then(|| digits.replace('_', ""))
}

/// Go's `ParseFloat` for literals: decimal, or hexadecimal with a `p` exponent.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    let (sign, body) = match text.strip_prefix('-') {
        Some(body) => (-1.0, body),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if let Some(hex) = body.strip_prefix("0x").or_else(|| body.strip_prefix("0X")) {
        return hex_float(hex).map(|f| sign * f);
    }
    if !body.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let plain = without_underscores(body, false)?;
    plain.parse::<f64>().ok().filter(|f| f.is_finite()).map(|f| sign * f)
}

fn hex_float(hex: &str) -> Option<f64> {
    let (mantissa, exponent) = hex.split_once(['p', 'P'])?;
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{part}").replace('_', "");
    if digits.is_empty() || digits.len() > 15 {
        return None;
    }
    let n = u64::from_str_radix(&digits, 16).ok()?;
    let shift = exponent.parse::<i32>().ok()? - 4 * i32::try_from(part.len()).ok()?;
    let f = uint_as_float(n) * 2f64.powi(shift.clamp(-2000, 2000));
    f.is_finite().then_some(f)
}
