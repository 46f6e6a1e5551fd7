//! `range` over lists, maps by sorted key, bytes and whole numbers.

use std::sync::Arc;

use super::{Exec, Flow, Run};
use crate::ast::Branch;
use crate::print;
use crate::value::{UintKind, Value};

impl<'a> Exec<'a> {
    pub(super) fn range(&mut self, branch: &'a Branch, dot: &Value) -> Run<Flow> {
        let outer = self.variables.len();
        self.deeper(branch.span)?;
        let value = self.pipe(&branch.pipe, dot)?;
        let ran = self.each(branch, &value)?;
        let flow = match &branch.otherwise {
            Some(otherwise) if !ran => self.list(otherwise, dot)?,
            _ => Flow::Next,
        };
        self.depth -= 1;
        self.variables.truncate(outer);
        Ok(flow)
    }

    /// Whether there was anything to iterate over.
    fn each(&mut self, branch: &'a Branch, value: &Value) -> Run<bool> {
        match value {
            Value::List(list) => {
                let len = list.len();
                for i in 0..len {
                    let Some(item) = list.item(i) else { break };
                    if !self.iteration(branch, i.into(), item)? {
                        break;
                    }
                }
                Ok(len > 0)
            }
            Value::Map(map) => {
                let keys = map.keys();
                for key in &keys {
                    let Some(item) = map.entry(key) else { continue };
                    if !self.iteration(branch, map.key_value(key), item)? {
                        break;
                    }
                }
                Ok(!keys.is_empty())
            }
            Value::Dict(dict) => {
                let entries = dict.entries();
                let any = !entries.is_empty();
                for (key, item) in entries {
                    if !self.iteration(branch, Value::Text(key), item)? {
                        break;
                    }
                }
                Ok(any)
            }
            Value::Bytes(bytes) => {
                for (i, byte) in bytes.as_bytes().iter().enumerate() {
                    if !self.iteration(branch, i.into(), Value::Uint(UintKind::U8, u64::from(*byte)))? {
                        break;
                    }
                }
                Ok(!bytes.is_empty())
            }
            Value::Int(kind, n) => {
                self.one_variable(branch, value)?;
                for i in 0..*n {
                    if !self.iteration(branch, Value::Missing, Value::Int(*kind, i))? {
                        break;
                    }
                }
                Ok(*n > 0)
            }
            Value::Uint(kind, n) => {
                self.one_variable(branch, value)?;
                for i in 0..*n {
                    if !self.iteration(branch, Value::Missing, Value::Uint(*kind, i))? {
                        break;
                    }
                }
                Ok(*n > 0)
            }
            Value::Missing | Value::Nil => Ok(false),
            Value::Object(object) if !object.is_pointer() && object.underlying().is_some() => {
                let inner = value.underlying().into_owned();
                self.each(branch, &inner)
            }
            _ => {
                let shown = print::to_text(value, self.cx).map_err(|f| self.failed(branch.pipe.span, f))?;
                Err(self.wrong(branch.pipe.span, format!("range can't iterate over {shown}")))
            }
        }
    }

    fn one_variable(&self, branch: &Branch, value: &Value) -> Run<()> {
        if branch.pipe.variables.len() < 2 {
            return Ok(());
        }
        let shown = print::to_text(value, self.cx).map_err(|f| self.failed(branch.pipe.span, f))?;
        Err(self.wrong(branch.pipe.span, format!("can't use {shown} to iterate over more than one variable")))
    }

    /// Whether to go on.
    fn iteration(&mut self, branch: &'a Branch, index: Value, item: Value) -> Run<bool> {
        self.step(branch.span)?;
        let mark = self.variables.len();
        match branch.pipe.variables.as_slice() {
            [] => {}
            [one] if branch.pipe.assigns => self.assign(one, item.clone(), branch.pipe.span)?,
            [first, second, ..] if branch.pipe.assigns => {
                self.assign(first, index, branch.pipe.span)?;
                self.assign(second, item.clone(), branch.pipe.span)?;
            }
            [one] => self.variables.push((Arc::clone(one), item.clone())),
            [first, second, ..] => {
                self.variables.push((Arc::clone(first), index));
                self.variables.push((Arc::clone(second), item.clone()));
            }
        }
        let flow = self.list(&branch.then, &item)?;
        self.variables.truncate(mark);
        Ok(flow != Flow::Break)
    }
}
