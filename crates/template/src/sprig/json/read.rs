//! JSON into values: numbers are floats, objects are dicts.

use crate::context::Context;
use crate::error::Failure;
use crate::sprig::lists::new_list;
use crate::value::{Dict, Value};

const DEPTH: usize = 64;

pub(super) fn parse(text: &str, cx: &Context<'_>) -> Result<Value, Failure> {
    cx.fuel.bytes(text.len().saturating_mul(4))?;
    cx.fuel.steps(text.len() as u64 / 8)?;
    let mut reader = Reader { rest: text };
    let value = reader.value(0)?;
    match reader.peek() {
        None => Ok(value),
        Some(c) => Err(format!("invalid character {c:?} after top-level value").into()),
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    /// The next character after white space.
    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        self.rest.chars().next()
    }

    fn take(&mut self, c: char) -> bool {
        let taken = self.peek() == Some(c);
        if taken {
            self.rest = self.rest.get(c.len_utf8()..).unwrap_or_default();
        }
        taken
    }

    fn expected(&mut self, what: &str) -> Failure {
        match self.peek() {
            Some(c) => format!("invalid character {c:?} {what}").into(),
            None => "unexpected end of JSON input".into(),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, Failure> {
        if depth > DEPTH {
            return Err(format!("JSON nests more than {DEPTH} deep").into());
        }
        match self.peek() {
            Some('{') => self.object(depth),
            Some('[') => self.list(depth),
            Some('"') => self.text().map(Value::from),
            Some('-' | '0'..='9') => self.number(),
            _ => {
                for (word, value) in [("true", true.into()), ("false", false.into()), ("null", Value::Nil)] {
                    if let Some(rest) = self.rest.strip_prefix(word) {
                        self.rest = rest;
                        return Ok(value);
                    }
                }
                Err(self.expected("looking for beginning of value"))
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, Failure> {
        self.take('{');
        let made = Dict::default();
        if self.take('}') {
            return Ok(made.into());
        }
        loop {
            if self.peek() != Some('"') {
                return Err(self.expected("looking for beginning of object key string"));
            }
            let key = self.text()?;
            if !self.take(':') {
                return Err(self.expected("after object key"));
            }
            made.insert(key, self.value(depth + 1)?);
            if self.take('}') {
                return Ok(made.into());
            }
            if !self.take(',') {
                return Err(self.expected("after object key:value pair"));
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, Failure> {
        self.take('[');
        let mut items = Vec::new();
        if self.take(']') {
            return Ok(new_list(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.take(']') {
                return Ok(new_list(items));
            }
            if !self.take(',') {
                return Err(self.expected("after array element"));
            }
        }
    }

    fn number(&mut self) -> Result<Value, Failure> {
        let end = self.rest.find(|c: char| !c.is_ascii_digit() && !"+-.eE".contains(c)).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, part) = digits.split_at(digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len()));
        let leading_zero = whole.len() > 1 && whole.starts_with('0');
        let good = !whole.is_empty() && !leading_zero && part != "." && !part.starts_with(".e") && !part.ends_with('.');
        let number = text.parse::<f64>().ok().filter(|f| good && f.is_finite());
        self.rest = rest;
        number.map(Value::float).ok_or_else(|| format!("invalid number {text:?}").into())
    }

    /// A quoted text; halves of surrogate pairs that stand alone become U+FFFD.
    fn text(&mut self) -> Result<String, Failure> {
        let bad = || Failure::new("invalid escape in JSON string");
        self.take('"');
        let mut out = String::new();
        let mut chars = self.rest.chars();
        loop {
            match chars.next() {
                None => return Err("unexpected end of JSON input".into()),
                Some('"') => break,
                Some('\\') => match chars.next().ok_or("unexpected end of JSON input")? {
                    c @ ('"' | '\\' | '/') => out.push(c),
                    'b' => out.push('\u{8}'),
                    'f' => out.push('\u{c}'),
                    'n' => out.push('\n'),
                    'r' => out.push('\r'),
                    't' => out.push('\t'),
                    'u' => {
                        let high = code_unit(&mut chars).ok_or_else(bad)?;
                        let mut ahead = chars.clone();
                        let low = match (ahead.next(), ahead.next()) {
                            (Some('\\'), Some('u')) if (0xd800..0xdc00).contains(&high) => code_unit(&mut ahead),
                            _ => None,
                        };
                        let pair = low.and_then(|low| char::decode_utf16([high, low]).next()).and_then(Result::ok);
                        if let Some(c) = pair.filter(|c| u32::from(*c) > 0xffff) {
                            out.push(c);
                            chars = ahead;
                        } else {
                            out.push(char::from_u32(u32::from(high)).unwrap_or(char::REPLACEMENT_CHARACTER));
                        }
                    }
                    _ => return Err(bad()),
                },
                Some(c) if c < ' ' => return Err(format!("invalid character {c:?} in string literal").into()),
                Some(c) => out.push(c),
            }
        }
        self.rest = chars.as_str();
        Ok(out)
    }
}

fn code_unit(chars: &mut std::str::Chars<'_>) -> Option<u16> {
    let digits = chars.as_str().get(..4).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
    let unit = u16::from_str_radix(digits, 16).ok()?;
    *chars = chars.as_str().get(4..)?.chars();
    Some(unit)
}
