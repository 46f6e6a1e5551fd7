//! Fields, map keys and methods: what stands behind a dot.

use std::sync::Arc;

use super::{Exec, Run, Stop};
use crate::ast::{Expr, Span};
use crate::error::{Failure, nearest};
use crate::sprig;
use crate::template::MissingKey;
use crate::value::{Key, Object, Time, Type, Value};

impl<'a> Exec<'a> {
    /// Follows a path; only its last name may take arguments.
    pub(super) fn path(
        &mut self,
        mut value: Value,
        path: &'a [Arc<str>],
        span: Span,
        args: &'a [Expr],
        last: Option<Value>,
        dot: &Value,
    ) -> Run<Value> {
        let Some((end, way)) = path.split_last() else { return Ok(value) };
        if !way.is_empty() {
            value = self.follow(&value, way, span)?;
        }
        // Only methods take arguments: what has none is said before they are evaluated.
        if !matches!(value, Value::Object(_) | Value::Time(_)) {
            let given = !args.is_empty() || last.is_some();
            return self.field(&value, end, span, if given { &[Value::Nil] } else { &[] });
        }
        if let Value::Time(time) = &value {
            return self.time_method(time, end, span, args, last, dot);
        }
        let mut values = Vec::new();
        let at = self.at;
        for arg in args {
            self.at = arg.place();
            values.push(self.operand(arg, dot)?.or_nil());
        }
        values.extend(last);
        let after = std::mem::replace(&mut self.at, at);
        let found = self.field(&value, end, span, &values)?;
        self.at = after;
        Ok(found)
    }

    /// Follows a path that has no arguments: nothing but what it leads to is cloned.
    pub(super) fn follow(&self, value: &Value, path: &[Arc<str>], span: Span) -> Run<Value> {
        let Some((first, way)) = path.split_first() else { return Ok(value.clone()) };
        let mut value = self.field(value, first, span, &[])?;
        for name in way {
            value = self.field(&value, name, span, &[])?;
        }
        Ok(value)
    }

    fn field(&self, value: &Value, name: &Arc<str>, span: Span, args: &[Value]) -> Run<Value> {
        self.step(span)?;
        match value {
            Value::Missing if self.missing_key == MissingKey::Error => {
                Err(self.wrong(span, format!("nil data; no entry for key {name:?}")))
            }
            Value::Missing => Ok(Value::Missing),
            Value::Nil => Err(self.wrong(span, format!("nil pointer evaluating interface {{}}.{name}"))),
            Value::Dict(dict) => match dict.entry(name.as_bytes()) {
                Some(value) if args.is_empty() => Ok(value),
                found => self.no_entry(value, found, name, span, args),
            },
            Value::Map(map) if map.ty().key == Type::Text => match map.entry(&Key::Text(name.into())) {
                Some(value) if args.is_empty() => Ok(value),
                found => self.no_entry(value, found, name, span, args),
            },
            Value::Object(object) => self.member(object, name, span, args),
            Value::Time(time) => match sprig::method_of_time(name) {
                Some(method) if method.params.is_empty() => {
                    (method.run)(time, &[], self.cx).map_err(|failure| self.method_failed(name, span, failure))
                }
                Some(method) => {
                    let (want, got) = (method.params.len(), 0);
                    Err(self.method_failed(name, span, Failure::Arguments { want, got }))
                }
                None => Err(self.no_field(value, name, span)),
            },
            _ => Err(self.no_field(value, name, span)),
        }
    }

    fn time_method(
        &mut self,
        time: &Time,
        name: &str,
        span: Span,
        args: &'a [Expr],
        last: Option<Value>,
        dot: &Value,
    ) -> Run<Value> {
        self.step(span)?;
        let Some(method) = sprig::method_of_time(name) else {
            return Err(self.no_field(&Value::Time(time.clone()), name, span));
        };
        let (want, got) = (method.params.len(), args.len() + usize::from(last.is_some()));
        if want != got {
            return Err(self.method_failed(name, span, Failure::Arguments { want, got }));
        }
        let at = self.at;
        let mut values = Vec::with_capacity(got);
        for (arg, param) in args.iter().zip(method.params) {
            values.push(self.argument(arg, *param, dot)?);
        }
        if let (Some(last), Some(param)) = (last, method.params.last()) {
            values.push(self.fit(last, *param, span)?);
        }
        (method.run)(time, &values, self.cx).map_err(|failure| {
            self.at = at;
            self.method_failed(name, span, failure)
        })
    }

    fn no_entry(&self, map: &Value, found: Option<Value>, name: &str, span: Span, args: &[Value]) -> Run<Value> {
        if found.is_some() || !args.is_empty() {
            return Err(self.wrong(span, format!("{name} is not a method but has arguments")));
        }
        match self.missing_key {
            MissingKey::NoValue => Ok(Value::Missing),
            MissingKey::Zero => Ok(match map {
                Value::Map(map) => map.ty().elem.zero(),
                _ => Value::Nil,
            }),
            MissingKey::Error => {
                let message = format!("map has no entry for key {name:?}");
                Err(self.near_miss(span, message, name, &keys_of(map)))
            }
        }
    }

    fn member(&self, object: &Arc<dyn Object>, name: &str, span: Span, args: &[Value]) -> Run<Value> {
        if let Some(done) = object.method(name, args, self.cx) {
            return done.map_err(|failure| self.method_failed(name, span, failure));
        }
        if let Some(done) = sprig::shown_as_method(object, name, args) {
            return done.map_err(|failure| self.method_failed(name, span, failure));
        }
        if object.is_nil() {
            let known = object.fields().iter().any(|field| field == name);
            if known || object.fields().is_empty() {
                let message = format!("nil pointer evaluating *{}.{name}", object.type_name());
                return Err(self.wrong(span, message));
            }
            return Err(self.no_field(&Value::Object(Arc::clone(object)), name, span));
        }
        if object.is_unexported(name) {
            let ty = Value::Object(Arc::clone(object)).type_name().into_owned();
            return Err(self.wrong(span, format!("{name} is an unexported field of struct type {ty}")));
        }
        match object.field(name) {
            Some(_) if !args.is_empty() => {
                Err(self.wrong(span, format!("{name} has arguments but cannot be invoked as function")))
            }
            Some(value) => Ok(value),
            None => Err(self.no_field(&Value::Object(Arc::clone(object)), name, span)),
        }
    }

    #[cold]
    fn no_field(&self, value: &Value, name: &str, span: Span) -> Stop {
        let message = format!("can't evaluate field {name} in type {}", value.type_name());
        let names = match value {
            Value::Object(object) => object.fields().iter().chain(&object.methods()).map(ToString::to_string).collect(),
            other => keys_of(other),
        };
        self.near_miss(span, message, name, &names)
    }

    #[cold]
    fn near_miss(&self, span: Span, message: String, name: &str, names: &[String]) -> Stop {
        self.failed(
            span,
            match nearest(name, names.iter().map(String::as_str)) {
                Some(near) => Failure::Nearest { message, nearest: near.to_owned() },
                None => Failure::Message(message),
            },
        )
    }

    #[cold]
    fn method_failed(&self, name: &str, span: Span, failure: Failure) -> Stop {
        self.failed(
            span,
            match failure {
                Failure::Message(message) => Failure::Message(format!("error calling {name}: {message}")),
                Failure::Arguments { want, got } => {
                    Failure::Message(format!("wrong number of args for {name}: want {want} got {got}"))
                }
                other => other,
            },
        )
    }
}

fn keys_of(map: &Value) -> Vec<String> {
    match map {
        Value::Dict(dict) => dict.keys().iter().take(200).map(ToString::to_string).collect(),
        Value::Map(map) => map
            .keys()
            .into_iter()
            .take(200)
            .filter_map(|key| if let Key::Text(text) = key { Some(text.to_string()) } else { None })
            .collect(),
        _ => Vec::new(),
    }
}
