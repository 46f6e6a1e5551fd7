//! The text functions of sprig 3.3, by topic, and the table that all functions are looked up in.

mod arguments;
mod crypto;
mod dates;
mod decimal;
mod dicts;
mod encoding;
mod equal;
mod json;
mod lists;
mod math;
mod moments;
mod numbers;
mod paths;
mod random;
mod re2;
mod regexp;
mod secrets;
mod semver;
mod strings;
mod urls;
mod values;
mod version;
mod words;

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::builtin;
use crate::context::Context;
use crate::error::Failure;
use crate::host::{Param, Signature};
use crate::value::Value;

/// A function of Go or sprig.
#[derive(Debug)]
pub struct Native {
    pub name: &'static str,
    pub signature: Signature,
    /// Called with arguments that fit the signature.
    pub run: fn(&[Value], &Context<'_>) -> Answer,
}

impl Native {
    /// Whether the first argument is a regular expression.
    pub(crate) fn takes_pattern(&self) -> bool {
        regexp::TABLE.iter().any(|native| native.name == self.name && native.signature.params.len() > 1)
    }
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
const TABLES: &[&[Native]] = &[
    builtin::TABLE,
    crypto::TABLE,
    dates::TABLE,
    dicts::TABLE,
    encoding::TABLE,
    json::TABLE,
    lists::TABLE,
    math::TABLE,
    paths::TABLE,
    random::TABLE,
    regexp::TABLE,
    semver::TABLE,
    strings::TABLE,
    urls::TABLE,
    values::TABLE,
];

static BY_NAME: LazyLock<HashMap<&'static str, &'static Native>> =
    LazyLock::new(|| TABLES.iter().flat_map(|table| table.iter()).map(|native| (native.name, native)).collect());

pub(crate) fn find(name: &str) -> Option<&'static Native> {
    BY_NAME.get(name).copied()
}

pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    TABLES.iter().flat_map(|table| table.iter()).map(|native| native.name)
}

pub(crate) use dates::{time_source, time_text};
pub(crate) use moments::{method_of_time, named_number, shown_as_method};
pub(crate) use re2::Re2;
