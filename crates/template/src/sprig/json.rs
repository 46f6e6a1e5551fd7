//! JSON as Go's `encoding/json` writes and reads it.

mod read;

use super::arguments::{text, value};
use super::{Answer, Native, native};
use crate::context::Context;
use crate::error::Failure;
use crate::host::Param::{Any, Text as TextParam};
use crate::print::format_float;
use crate::value::{Key, Text, Value};

pub(super) const TABLE: &[Native] = &[
    native("toJson", &[Any], |a, cx| lenient(written(value(a, 0), Style::COMPACT, cx))),
    native("mustToJson", &[Any], |a, cx| written(value(a, 0), Style::COMPACT, cx)),
    native("toPrettyJson", &[Any], |a, cx| lenient(written(value(a, 0), Style::PRETTY, cx))),
    native("mustToPrettyJson", &[Any], |a, cx| written(value(a, 0), Style::PRETTY, cx)),
    native("toRawJson", &[Any], |a, cx| written(value(a, 0), Style::RAW, cx)),
    native("mustToRawJson", &[Any], |a, cx| written(value(a, 0), Style::RAW, cx)),
    native("fromJson", &[TextParam], |a, cx| match read::parse(&text(a, 0), cx) {
        Err(Failure::Message(_)) => Ok(Value::Nil),
        done => done,
    }),
    native("mustFromJson", &[TextParam], |a, cx| read::parse(&text(a, 0), cx)),
];

const DEPTH: usize = 64;

#[derive(Clone, Copy)]
struct Style {
    pretty: bool,
    /// `<`, `>` and `&` as `\u003c` and so on.
    escape_html: bool,
}

impl Style {
    const COMPACT: Self = Self { pretty: false, escape_html: true };
    const PRETTY: Self = Self { pretty: true, escape_html: true };
    const RAW: Self = Self { pretty: false, escape_html: false };
}

/// The functions without `must` give nothing where there is no JSON for a value.
fn lenient(done: Answer) -> Answer {
    match done {
        Err(Failure::Message(_)) => Ok("".into()),
        done => done,
    }
}

fn written(value: &Value, style: Style, cx: &Context<'_>) -> Answer {
    let mut writer = Writer { out: String::new(), style, cx };
    writer.value(value, 0)?;
    Ok(writer.out.into())
}

struct Writer<'a> {
    out: String,
    style: Style,
    cx: &'a Context<'a>,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Failure> {
        self.cx.fuel.steps(1)?;
        if depth > DEPTH {
            return Err(Failure::Exhausted(format!("a value nests more than {DEPTH} deep")));
        }
        let before = self.out.len();
        match value {
            Value::Missing | Value::Nil => self.out.push_str("null"),
            Value::Bool(b) => self.out.push_str(if *b { "true" } else { "false" }),
            Value::Int(_, n) => self.out.push_str(&n.to_string()),
            Value::Uint(_, n) => self.out.push_str(&n.to_string()),
            Value::Float(kind, f) if f.is_finite() => {
                let size = f.abs();
                let verb = if size != 0.0 && !(1e-6..1e21).contains(&size) { 'e' } else { 'f' };
                let text = format_float(*f, verb, None, *kind);
                // JavaScript writes e-7 where Go writes e-07.
                self.out.push_str(&text.replace("e-0", "e-"));
            }
            Value::Float(_, f) => {
                let shown = format_float(*f, 'g', None, crate::value::FloatKind::F64);
                return Err(format!("json: unsupported value: {shown}").into());
            }
            Value::Text(text) => {
                self.cx.fuel.bytes(text.len().saturating_mul(5))?;
                self.text(text.as_bytes());
            }
            Value::Bytes(bytes) => {
                let text = data_encoding::BASE64.encode(bytes.as_bytes());
                self.text(text.as_bytes());
            }
            Value::Time(time) => {
                let text = crate::time::layout::format(time, "2006-01-02T15:04:05.999999999Z07:00");
                self.text(text.as_bytes());
            }
            Value::List(list) if list.is_nil() => self.out.push_str("null"),
            Value::List(list) => {
                let items: Vec<Value> = list.to_vec();
                self.nest('[', ']', items.into_iter().map(|item| (None, item)).collect(), depth)?;
            }
            Value::Map(map) if map.is_nil() => self.out.push_str("null"),
            Value::Map(map) => {
                let mut entries: Vec<(Option<Text>, Value)> = map
                    .keys()
                    .iter()
                    .filter_map(|key| {
                        let name = match key {
                            Key::Int(n) => n.to_string().into(),
                            Key::Text(text) => text.clone(),
                        };
                        Some((Some(name), map.entry(key)?))
                    })
                    .collect();
                entries.sort_by(|a, b| a.0.cmp(&b.0));
                self.nest('{', '}', entries, depth)?;
            }
            Value::Dict(dict) => {
                let entries = dict.entries().into_iter().map(|(k, v)| (Some(k), v)).collect();
                self.nest('{', '}', entries, depth)?;
            }
            Value::Object(object) if object.is_pointer() && object.is_nil() => self.out.push_str("null"),
            Value::Object(object) => match (object.underlying(), object.text()) {
                (Some(Value::Bytes(_)), Some(text)) => self.text(text.as_bytes()),
                (Some(inner), _) => self.value(&inner, depth + 1)?,
                (None, Some(text)) if object.type_name() == "semver.Version" => self.text(text.as_bytes()),
                (None, _) => {
                    let names = object.fields();
                    let field = |name: &str| object.field(name).unwrap_or_default();
                    let fields = names.iter().map(|name| (Some(name.as_ref().into()), field(name))).collect();
                    self.nest('{', '}', fields, depth)?;
                }
            },
            Value::Complex(..) | Value::Func(_) => {
                return Err(format!("json: unsupported type: {}", value.type_name()).into());
            }
        }
        self.cx.fuel.bytes(self.out.len() - before)
    }

    /// A list, or an object where the entries have names.
    fn nest(
        &mut self,
        open: char,
        close: char,
        entries: Vec<(Option<Text>, Value)>,
        depth: usize,
    ) -> Result<(), Failure> {
        let empty = entries.is_empty();
        self.out.push(open);
        for (i, (name, item)) in entries.into_iter().enumerate() {
            if i > 0 {
                self.out.push(',');
            }
            self.line(depth + 1);
            if let Some(name) = name {
                self.text(name.as_bytes());
                self.out.push_str(if self.style.pretty { ": " } else { ":" });
            }
            self.value(&item, depth + 1)?;
        }
        if !empty {
            self.line(depth);
        }
        self.out.push(close);
        Ok(())
    }

    fn line(&mut self, depth: usize) {
        if self.style.pretty {
            self.out.push('\n');
            self.out.push_str(&"  ".repeat(depth));
        }
    }

    fn text(&mut self, bytes: &[u8]) {
        self.out.push('"');
        for chunk in bytes.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '"' => self.out.push_str("\\\""),
                    '\\' => self.out.push_str("\\\\"),
                    '\u{8}' => self.out.push_str("\\b"),
                    '\u{c}' => self.out.push_str("\\f"),
                    '\n' => self.out.push_str("\\n"),
                    '\r' => self.out.push_str("\\r"),
                    '\t' => self.out.push_str("\\t"),
                    '<' | '>' | '&' if !self.style.escape_html => self.out.push(c),
                    '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                        self.out.push_str(&format!("\\u{:04x}", u32::from(c)));
                    }
                    c => self.out.push(c),
                }
            }
            for _ in chunk.invalid() {
                self.out.push_str("\\ufffd");
            }
        }
        self.out.push('"');
    }
}
