//! Calls functions: counts and checks arguments against the signature, reads literals as the parameter wants them.

use super::{Exec, Run, Stop, nil_for};
use crate::ast::{Expr, ExprKind, Function, Span, Target};
use crate::error::Failure;
use crate::host::{Param, Signature};
use crate::sprig;
use crate::value::{Type, Value};

impl<'a> Exec<'a> {
    /// `whole` is the command, `head` the function's name in it.
    pub(super) fn call(
        &mut self,
        function: &'a Function,
        whole: Span,
        head: Span,
        args: &'a [Expr],
        last: Option<Value>,
        dot: &Value,
    ) -> Run<Value> {
        match function.target {
            Target::And => self.short_circuit(false, head, args, last, dot),
            Target::Or => self.short_circuit(true, head, args, last, dot),
            Target::Native(native) => {
                let values = self.arguments(function, &native.signature, head, args, last, dot)?;
                let done = self.pay_for(&values).and_then(|()| (native.run)(&values, self.cx));
                self.answered(function, whole, done)
            }
            Target::Host(signature) => {
                let values = self.arguments(function, &signature, head, args, last, dot)?;
                let done = self.pay_for(&values).and_then(|()| self.host.call(&function.name, &values, self.cx));
                self.answered(function, whole, done)
            }
        }
    }

    /// Any function reads the texts that it is given.
    fn pay_for(&self, args: &[Value]) -> Result<(), Failure> {
        let read: usize = args.iter().filter_map(Value::as_text).map(|text| text.len() / 64).sum();
        self.cx.fuel.steps(read as u64)
    }

    /// Any text that a function gives takes room.
    fn answered(&mut self, function: &Function, whole: Span, done: Result<Value, Failure>) -> Run<Value> {
        let paid = done.and_then(|value| {
            self.cx.fuel.bytes(value.as_text().map_or(0, crate::value::Text::len))?;
            Ok(value)
        });
        paid.map_err(|failure| {
            self.at = whole;
            self.call_failed(function, whole, failure)
        })
    }

    /// `and` and `or`: arguments after the one that decides are not evaluated.
    fn short_circuit(
        &mut self,
        stop_at: bool,
        head: Span,
        args: &'a [Expr],
        last: Option<Value>,
        dot: &Value,
    ) -> Run<Value> {
        let mut value = None;
        for arg in args {
            let next = self.argument(arg, Param::Raw, dot)?;
            if next.is_true() == stop_at {
                return Ok(next);
            }
            value = Some(next);
        }
        match last.or(value) {
            Some(value) => Ok(value),
            None => {
                let name = if stop_at { "or" } else { "and" };
                Err(self.wrong(head, format!("wrong number of args for {name}: want at least 1 got 0")))
            }
        }
    }

    fn arguments(
        &mut self,
        function: &'a Function,
        signature: &Signature,
        head: Span,
        args: &'a [Expr],
        last: Option<Value>,
        dot: &Value,
    ) -> Run<Vec<Value>> {
        let count = args.len() + usize::from(last.is_some());
        let want = signature.params.len();
        if count < want || (count > want && signature.rest.is_none()) {
            return Err(self.wrong_count(&function.name, head, signature, count));
        }
        let mut values = Vec::with_capacity(count);
        for (i, arg) in args.iter().enumerate() {
            let param = signature.param(i).unwrap_or(Param::Any);
            values.push(self.argument(arg, param, dot)?);
        }
        if let Some(last) = last {
            let param = signature.param(args.len()).unwrap_or(Param::Any);
            values.push(self.fit(last, param, head)?);
        }
        Ok(values)
    }

    pub(super) fn argument(&mut self, arg: &'a Expr, param: Param, dot: &Value) -> Run<Value> {
        self.at = arg.place();
        match &arg.kind {
            ExprKind::Nil => match nil_for(param) {
                Some(value) => Ok(value),
                None => Err(self.wrong(arg.span, format!("cannot assign nil to {}", param.name()))),
            },
            ExprKind::Bool(_) | ExprKind::Number(_) | ExprKind::Text(_) => self.literal(arg, param, dot),
            _ => {
                let value = self.operand(arg, dot)?;
                self.fit(value, param, arg.span)
            }
        }
    }

    fn literal(&mut self, arg: &'a Expr, param: Param, dot: &Value) -> Run<Value> {
        let found = match (&arg.kind, param) {
            (_, Param::Any | Param::Raw) => return self.operand(arg, dot),
            (ExprKind::Text(text), Param::Text) => Some(Value::Text(text.clone())),
            (ExprKind::Bool(b), Param::Bool) => Some(Value::Bool(*b)),
            (ExprKind::Number(n), Param::Int) => n.int.map(Value::int),
            (ExprKind::Number(n), Param::Int64) => n.int.map(Value::int64),
            (ExprKind::Number(n), Param::Float) => n.float.map(Value::float),
            (ExprKind::Number(n), Param::Object(name)) => n.int.and_then(|n| sprig::named_number(name, n)),
            _ => None,
        };
        match found {
            Some(value) => Ok(value),
            None => {
                let expected = match param {
                    Param::Int | Param::Int64 => "integer".into(),
                    param => param.name(),
                };
                let found = String::from_utf8_lossy(self.template.source().slice(arg.span)).into_owned();
                Err(self.wrong(arg.span, format!("expected {expected}; found {found}")))
            }
        }
    }

    /// A value as a parameter of that type gets it.
    pub(super) fn fit(&self, value: Value, param: Param, span: Span) -> Run<Value> {
        let fits = match (param, &value) {
            (Param::Raw, _) => true,
            (Param::Any, Value::Missing) => return Ok(Value::Nil),
            (Param::Any, _) => true,
            (_, Value::Missing) => {
                return match nil_for(param) {
                    Some(value) => Ok(value),
                    None => Err(self.wrong(span, format!("invalid value; expected {}", param.name()))),
                };
            }
            (Param::Text, Value::Text(_))
            | (Param::Int, Value::Int(crate::value::IntKind::Int, _))
            | (Param::Int64, Value::Int(crate::value::IntKind::I64, _))
            | (Param::Float, Value::Float(crate::value::FloatKind::F64, _))
            | (Param::Bool, Value::Bool(_))
            | (Param::Dict, Value::Dict(_))
            | (Param::Time, Value::Time(_)) => true,
            (Param::List, Value::List(list)) => *list.elem() == Type::Any,
            (Param::Texts, Value::List(list)) => *list.elem() == Type::Text,
            (Param::Dict, Value::Map(map)) => map.ty().key == Type::Text && map.ty().elem == Type::Any,
            (Param::Object(name), Value::Object(object)) => !object.is_nil() && object.type_name() == name,
            _ => false,
        };
        if fits { Ok(value) } else { Err(self.misfit(&value, param, span)) }
    }

    #[cold]
    fn misfit(&self, value: &Value, param: Param, span: Span) -> Stop {
        let got = if value.is_some() { value.type_name() } else { "interface {}".into() };
        let message = format!("wrong type for value; expected {}; got {got}", param.name());
        self.wrong(span, message)
    }

    #[cold]
    fn wrong_count(&self, name: &str, head: Span, signature: &Signature, got: usize) -> Stop {
        let want = signature.params.len();
        let at_least = if signature.rest.is_some() { "at least " } else { "" };
        self.wrong(head, format!("wrong number of args for {name}: want {at_least}{want} got {got}"))
    }

    #[cold]
    fn call_failed(&self, function: &Function, span: Span, failure: Failure) -> Stop {
        let name = &function.name;
        self.failed(
            span,
            match failure {
                Failure::Message(message) => Failure::Message(format!("error calling {name}: {message}")),
                Failure::Nearest { message, nearest } => {
                    Failure::Nearest { message: format!("error calling {name}: {message}"), nearest }
                }
                Failure::Arguments { want, got } => {
                    Failure::Message(format!("wrong number of args for {name}: want {want} got {got}"))
                }
                other => other,
            },
        )
    }
}

impl Param {
    fn name(self) -> String {
        match self {
            Self::Any => "interface {}".into(),
            Self::Raw => "reflect.Value".into(),
            Self::Text => "string".into(),
            Self::Int => "int".into(),
            Self::Int64 => "int64".into(),
            Self::Float => "float64".into(),
            Self::Bool => "bool".into(),
            Self::List => "[]interface {}".into(),
            Self::Texts => "[]string".into(),
            Self::Dict => "map[string]interface {}".into(),
            Self::Time => "time.Time".into(),
            Self::Object(name) => name.into(),
        }
    }
}
