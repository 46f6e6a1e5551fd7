//! One value under one verb: scalars, and lists, maps and structs by their elements.

use std::sync::Arc;

use super::flags::Flags;
use super::quote::{can_backquote, quote, quote_ascii, quote_char};
use crate::context::Context;
use crate::error::Failure;
use crate::sprig;
use crate::value::{FloatKind, NilPointer, Object, Text, Time, UintKind, Value};

/// Lists in lists deeper than this are an error.
const DEPTH: usize = 64;

pub(super) struct Printer<'a> {
    out: &'a mut Vec<u8>,
    cx: &'a Context<'a>,
    pub flags: Flags,
    /// Inside of an error text methods are not called any more.
    erroring: bool,
    /// The name of the scalar type that is being printed, where it has one of its own.
    named: Option<String>,
}

type Shown = Result<(), Failure>;

impl<'a> Printer<'a> {
    pub fn new(out: &'a mut Vec<u8>, cx: &'a Context<'a>) -> Self {
        Self { out, cx, flags: Flags::default(), erroring: false, named: None }
    }

    /// As `{{ }}` prints: `%v` of what a pointer points to.
    pub fn shown(&mut self, value: &Value) -> Shown {
        match value {
            Value::Object(object) if object.is_pointer() && !object.is_nil() && object.text().is_none() => {
                self.fields(object, 'v', 0)
            }
            value => self.arg(value, 'v'),
        }
    }

    pub fn arg(&mut self, value: &Value, verb: char) -> Shown {
        match (value, verb) {
            (Value::Missing | Value::Nil, 'T' | 'v') => self.pad(b"<nil>"),
            (Value::Missing | Value::Nil, _) => self.raw(format!("%!{verb}(<nil>)").as_bytes()),
            (_, 'T') => {
                let name = value.type_name();
                self.text(name.as_bytes(), 's', value)
            }
            (_, 'p') => self.pointer(value, verb),
            _ => self.value(value, verb, 0),
        }
    }

    fn value(&mut self, value: &Value, verb: char, depth: usize) -> Shown {
        if depth > DEPTH {
            return Err(Failure::Exhausted(format!("a value nests more than {DEPTH} deep")));
        }
        self.cx.fuel.steps(1)?;
        if verb == 'w' && !self.erroring && value.is_some() && !matches!(value, Value::Bytes(_)) {
            return self.bad_verb(value, verb);
        }
        let before = self.out.len();
        match value {
            Value::Missing | Value::Nil if self.flags.sharp_v => self.raw(b"interface {}(nil)"),
            Value::Missing | Value::Nil => self.raw(b"<nil>"),
            Value::Bool(b) => match verb {
                't' | 'v' => self.pad(if *b { b"true" } else { b"false" }),
                _ => self.bad_verb(value, verb),
            },
            Value::Int(_, n) => self.integer(*n < 0, n.unsigned_abs(), true, verb, value),
            Value::Uint(_, n) => self.integer(false, *n, false, verb, value),
            Value::Float(kind, f) => self.float(*f, *kind, verb, value),
            Value::Complex(re, im) => self.complex(*re, *im, verb, value),
            Value::Text(text) => self.text(text.as_bytes(), verb, value),
            Value::Bytes(bytes) => self.bytes(bytes, verb, value, depth),
            Value::Time(time) => self.time(time, verb, value, depth),
            Value::List(list) => self.list(list, verb, depth, value),
            Value::Map(_) | Value::Dict(_) => self.map(value, verb, depth),
            Value::Object(object) => self.object(object, verb, depth, value),
            Value::Func(_) => self.pointer(value, verb),
        }?;
        self.cx.fuel.bytes(self.out.len().saturating_sub(before))
    }

    fn integer(&mut self, negative: bool, magnitude: u64, signed: bool, verb: char, value: &Value) -> Shown {
        let base = match verb {
            'v' if self.flags.sharp_v && !signed => return self.hex_number(magnitude, true),
            'v' | 'd' => 10,
            'b' => 2,
            'o' | 'O' => 8,
            'x' | 'X' => 16,
            'c' | 'q' | 'U' if negative => {
                return match verb {
                    'U' => {
                        self.flags.unicode(self.out, magnitude.wrapping_neg());
                        Ok(())
                    }
                    _ => self.character(char::REPLACEMENT_CHARACTER, verb),
                };
            }
            'c' | 'q' => {
                let c = u32::try_from(magnitude).ok().and_then(char::from_u32);
                return self.character(c.unwrap_or(char::REPLACEMENT_CHARACTER), verb);
            }
            'U' => {
                self.flags.unicode(self.out, magnitude);
                return Ok(());
            }
            _ => return self.bad_verb(value, verb),
        };
        self.flags.integer(self.out, negative, magnitude, base, verb);
        Ok(())
    }

    fn character(&mut self, c: char, verb: char) -> Shown {
        let text = if verb == 'q' { quote_char(c, self.flags.plus) } else { c.to_string() };
        self.pad(text.as_bytes())
    }

    fn hex_number(&mut self, n: u64, leading: bool) -> Shown {
        Flags { sharp: leading, ..self.flags }.integer(self.out, false, n, 16, 'v');
        Ok(())
    }

    fn float(&mut self, f: f64, kind: FloatKind, verb: char, value: &Value) -> Shown {
        let (verb, precision) = match verb {
            'v' => ('g', None),
            'b' | 'g' | 'G' | 'x' | 'X' => (verb, None),
            'f' | 'e' | 'E' => (verb, Some(6)),
            'F' => ('f', Some(6)),
            _ => return self.bad_verb(value, verb),
        };
        self.flags.float(self.out, f, kind, verb, precision);
        Ok(())
    }

    fn complex(&mut self, re: f64, im: f64, verb: char, value: &Value) -> Shown {
        if !"vbgGxXfFeE".contains(verb) {
            return self.bad_verb(value, verb);
        }
        let plus = self.flags.plus;
        self.out.push(b'(');
        self.float(re, FloatKind::F64, verb, value)?;
        self.flags.plus = true;
        self.float(im, FloatKind::F64, verb, value)?;
        self.flags.plus = plus;
        self.raw(b"i)")
    }

    fn text(&mut self, bytes: &[u8], verb: char, value: &Value) -> Shown {
        match verb {
            'v' if self.flags.sharp_v => self.quoted(bytes),
            'v' | 's' => {
                let cut = self.flags.cut(bytes);
                self.pad(cut)
            }
            'x' | 'X' => {
                self.cx.fuel.bytes(bytes.len().saturating_mul(5))?;
                self.flags.hex(self.out, bytes, verb == 'X');
                Ok(())
            }
            'q' => self.quoted(bytes),
            _ => self.bad_verb(value, verb),
        }
    }

    fn quoted(&mut self, bytes: &[u8]) -> Shown {
        let cut = self.flags.cut(bytes);
        self.cx.fuel.bytes(cut.len().saturating_mul(4))?;
        let text = if self.flags.sharp && can_backquote(cut) {
            format!("`{}`", String::from_utf8_lossy(cut))
        } else if self.flags.plus {
            quote_ascii(cut)
        } else {
            quote(cut)
        };
        self.pad(text.as_bytes())
    }

    fn bytes(&mut self, bytes: &Text, verb: char, value: &Value, depth: usize) -> Shown {
        // The bytes themselves are told by their own type.
        let named = self.named.take();
        match verb {
            's' | 'x' | 'X' | 'q' => self.text(bytes.as_bytes(), verb, value),
            _ => {
                if let (true, Some(name)) = (self.flags.sharp_v, named) {
                    self.raw(name.as_bytes())?;
                    self.out.push(b'{');
                } else if self.flags.sharp_v {
                    self.raw(if depth == 0 && verb == 'v' { b"[]byte{".as_slice() } else { b"[]uint8{" })?;
                } else {
                    self.out.push(b'[');
                }
                for (i, byte) in bytes.as_bytes().iter().enumerate() {
                    self.separate(i)?;
                    if verb == 'v' && !self.flags.sharp_v {
                        self.flags.integer(self.out, false, u64::from(*byte), 10, verb);
                    } else {
                        self.value(&Value::Uint(UintKind::U8, u64::from(*byte)), verb, depth + 1)?;
                    }
                }
                self.raw(if self.flags.sharp_v { b"}" } else { b"]" })
            }
        }
    }

    fn time(&mut self, time: &Time, verb: char, value: &Value, depth: usize) -> Shown {
        if self.takes_text(verb) {
            return self.text(sprig::time_text(time).as_bytes(), verb, value);
        }
        if self.flags.sharp_v && !self.erroring {
            let source = sprig::time_source(time);
            let cut = self.flags.cut(source.as_bytes());
            return self.pad(cut);
        }
        // Go's struct: nanoseconds, seconds since the year 1, and a pointer to the zone that is nil for UTC.
        let seconds = time.seconds.wrapping_sub(Time::ZERO.seconds);
        let zone = NilPointer { type_name: "time.Location".into(), fields: &[] };
        let fields = [Value::Uint(UintKind::U64, time.nanos.into()), Value::int64(seconds), Value::object(zone)];
        self.raw(if self.flags.sharp_v { b"time.Time{".as_slice() } else { b"{" })?;
        for (i, (name, field)) in ["wall:", "ext:", "loc:"].iter().zip(&fields).enumerate() {
            self.separate(i)?;
            if self.flags.plus_v || self.flags.sharp_v {
                self.raw(name.as_bytes())?;
            }
            self.value(field, verb, depth + 1)?;
        }
        self.raw(b"}")
    }

    fn list(&mut self, list: &crate::value::List, verb: char, depth: usize, value: &Value) -> Shown {
        if self.flags.sharp_v {
            self.raw(value.type_name().as_bytes())?;
            if list.is_nil() {
                return self.raw(b"(nil)");
            }
        }
        self.out.push(if self.flags.sharp_v { b'{' } else { b'[' });
        for (i, item) in list.iter().enumerate() {
            self.separate(i)?;
            self.value(&item, verb, depth + 1)?;
        }
        self.out.push(if self.flags.sharp_v { b'}' } else { b']' });
        Ok(())
    }

    fn map(&mut self, value: &Value, verb: char, depth: usize) -> Shown {
        let entries: Vec<(Value, Value)> = match value {
            Value::Map(map) => {
                let keys = map.keys();
                keys.iter().filter_map(|key| Some((map.key_value(key), map.entry(key)?))).collect()
            }
            Value::Dict(dict) => dict.entries().into_iter().map(|(k, v)| (Value::Text(k), v)).collect(),
            _ => Vec::new(),
        };
        if self.flags.sharp_v {
            self.raw(value.type_name().as_bytes())?;
            if matches!(value, Value::Map(map) if map.is_nil()) {
                return self.raw(b"(nil)");
            }
            self.out.push(b'{');
        } else {
            self.raw(b"map[")?;
        }
        for (i, (key, item)) in entries.iter().enumerate() {
            self.separate(i)?;
            self.value(key, verb, depth + 1)?;
            self.out.push(b':');
            self.value(item, verb, depth + 1)?;
        }
        self.out.push(if self.flags.sharp_v { b'}' } else { b']' });
        Ok(())
    }

    fn object(&mut self, object: &Arc<dyn Object>, verb: char, depth: usize, value: &Value) -> Shown {
        if self.takes_text(verb)
            && !object.is_nil()
            && let Some(text) = object.text()
        {
            return self.text(text.as_bytes(), verb, value);
        }
        if !object.is_pointer() {
            return match object.underlying() {
                Some(inner) => {
                    self.named = Some(object.type_name().into_owned());
                    let done = self.value(&inner, verb, depth + 1);
                    self.named = None;
                    done
                }
                None => self.fields(object, verb, depth),
            };
        }
        if depth == 0 && !object.is_nil() {
            self.out.push(b'&');
            return self.fields(object, verb, depth);
        }
        self.pointer(value, verb)
    }

    fn fields(&mut self, object: &Arc<dyn Object>, verb: char, depth: usize) -> Shown {
        if self.flags.sharp_v {
            self.raw(object.type_name().as_bytes())?;
        }
        self.out.push(b'{');
        for (i, name) in object.fields().iter().enumerate() {
            self.separate(i)?;
            if self.flags.plus_v || self.flags.sharp_v {
                self.raw(name.as_bytes())?;
                self.out.push(b':');
            }
            let field = object.field(name).unwrap_or_default();
            self.value(&field, verb, depth + 1)?;
        }
        self.raw(b"}")
    }

    /// An address: the same for the same render, never that of this machine.
    fn pointer(&mut self, value: &Value, verb: char) -> Shown {
        let address: u64 = match value {
            Value::Object(object) if !object.is_pointer() => return self.bad_verb(value, verb),
            Value::Object(object) if object.is_nil() => 0,
            Value::Map(map) if map.is_nil() => 0,
            Value::List(list) if list.is_nil() => 0,
            Value::Object(_) | Value::Func(_) | Value::Map(_) | Value::Dict(_) => 0xc0_0001_2000,
            Value::List(_) | Value::Bytes(_) => 0xc0_0001_4000,
            _ => return self.bad_verb(value, verb),
        };
        match verb {
            'v' if self.flags.sharp_v => {
                let target = if address == 0 { "nil".to_owned() } else { format!("{address:#x}") };
                self.raw(format!("({})({target})", value.type_name()).as_bytes())
            }
            'v' if address == 0 => self.pad(b"<nil>"),
            'v' | 'p' => self.hex_number(address, !self.flags.sharp),
            'b' | 'o' | 'd' | 'x' | 'X' => self.integer(false, address, false, verb, value),
            _ => self.bad_verb(value, verb),
        }
    }

    /// `%!d(string=text)`
    fn bad_verb(&mut self, value: &Value, verb: char) -> Shown {
        let outer = std::mem::replace(&mut self.erroring, true);
        let name = self.named.take().unwrap_or_else(|| value.type_name().into_owned());
        self.raw(format!("%!{verb}({name}=").as_bytes())?;
        self.value(value, 'v', 0)?;
        self.erroring = outer;
        self.raw(b")")
    }

    fn takes_text(&self, verb: char) -> bool {
        !self.erroring && !self.flags.sharp_v && matches!(verb, 'v' | 's' | 'x' | 'X' | 'q')
    }

    fn separate(&mut self, i: usize) -> Shown {
        match (i, self.flags.sharp_v) {
            (0, _) => Ok(()),
            (_, true) => self.raw(b", "),
            (_, false) => self.raw(b" "),
        }
    }

    fn pad(&mut self, bytes: &[u8]) -> Shown {
        self.flags.pad(self.out, bytes);
        Ok(())
    }

    fn raw(&mut self, bytes: &[u8]) -> Shown {
        self.out.extend_from_slice(bytes);
        Ok(())
    }
}
