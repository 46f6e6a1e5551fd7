//! The text functions of sprig 3.3, by topic, and the table that all functions are looked up in.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::builtin;
use crate::context::Context;
use crate::error::Failure;
use crate::host::{Param, Signature};
use crate::time::Time;
use crate::value::Value;

/// A function of Go or sprig.
#[derive(Debug)]
pub struct Native {
    pub name: &'static str,
    pub signature: Signature,
    /// Called with arguments that fit the signature.
    pub run: fn(&[Value], &Context<'_>) -> Answer,
}

pub(crate) type Answer = Result<Value, Failure>;

pub(crate) const fn native(
    name: &'static str,
    params: &'static [Param],
    run: fn(&[Value], &Context<'_>) -> Answer,
) -> Native {
    Native { name, signature: Signature::new(params), run }
}

pub(crate) const fn variadic(
    name: &'static str,
    params: &'static [Param],
    rest: Param,
    run: fn(&[Value], &Context<'_>) -> Answer,
) -> Native {
    Native { name, signature: Signature::variadic(params, rest), run }
}

/// Later tables hide earlier ones: sprig's `slice` is not Go's.
const TABLES: &[&[Native]] = &[builtin::TABLE];

static BY_NAME: LazyLock<HashMap<&'static str, &'static Native>> =
    LazyLock::new(|| TABLES.iter().flat_map(|table| table.iter()).map(|native| (native.name, native)).collect());

pub(crate) fn find(name: &str) -> Option<&'static Native> {
    BY_NAME.get(name).copied()
}

pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    TABLES.iter().flat_map(|table| table.iter()).map(|native| native.name)
}

pub(crate) fn time_text(time: &Time) -> String {
    time.civil().to_string()
}

pub(crate) fn time_method(_: &Time, _: &str, _: &[Value]) -> Option<Answer> {
    None
}
