//! `semver` and `semverCompare`.

use std::borrow::Cow;

use super::arguments::text;
use super::version::{Constraint, Place, Version};
use super::{Answer, Native, native};
use crate::context::Context;
use crate::error::Failure;
use crate::host::Param;
use crate::value::{Object, Text, UintKind, Value};

pub(crate) const TABLE: &[Native] = &[
    native("semver", &[Param::Text], |args, _| Ok(Value::object(Version::parse(&text(args, 0))?))),
    native("semverCompare", &[Param::Text, Param::Text], |args, _| {
        let constraint = Constraint::parse(&text(args, 0))?;
        Ok(Value::Bool(constraint.allows(&Version::parse(&text(args, 1))?)))
    }),
];

const METHODS: [&str; 13] = [
    "Compare",
    "Equal",
    "GreaterThan",
    "IncMajor",
    "IncMinor",
    "IncPatch",
    "LessThan",
    "Major",
    "Metadata",
    "Minor",
    "Original",
    "Patch",
    "Prerelease",
];

/// Seen by `%#v`, read by nobody.
const FIELDS: [&str; 6] = ["major", "minor", "patch", "pre", "metadata", "original"];

impl Object for Version {
    fn type_name(&self) -> Cow<'_, str> {
        "semver.Version".into()
    }

    fn is_pointer(&self) -> bool {
        !self.increased
    }

    fn method(&self, name: &str, args: &[Value], _: &Context<'_>) -> Option<Answer> {
        let number = |n: u64| Value::Uint(UintKind::U64, n);
        let value = match name {
            "Major" => number(self.major),
            "Minor" => number(self.minor),
            "Patch" => number(self.patch),
            "Prerelease" => Value::from(&self.prerelease),
            "Metadata" => Value::from(&self.metadata),
            "Original" => Value::from(&self.original),
            "String" => Value::from(self.to_string()),
            "IncMajor" => Value::object(self.increase(Place::Major)),
            "IncMinor" => Value::object(self.increase(Place::Minor)),
            "IncPatch" => Value::object(self.increase(Place::Patch)),
            "Compare" | "Equal" | "LessThan" | "GreaterThan" => return Some(self.against(name, args)),
            _ => return None,
        };
        Some(if args.is_empty() { Ok(value) } else { Err(Failure::arguments(0, args.len())) })
    }

    fn field(&self, name: &str) -> Option<Value> {
        let number = |n: u64| Value::Uint(UintKind::U64, n);
        Some(match name {
            "major" => number(self.major),
            "minor" => number(self.minor),
            "patch" => number(self.patch),
            "pre" => Value::from(&self.prerelease),
            "metadata" => Value::from(&self.metadata),
            "original" => Value::from(&self.original),
            _ => return None,
        })
    }

    fn fields(&self) -> Vec<Cow<'_, str>> {
        FIELDS.iter().map(|name| Cow::Borrowed(*name)).collect()
    }

    fn is_unexported(&self, name: &str) -> bool {
        FIELDS.contains(&name)
    }

    fn methods(&self) -> Vec<Cow<'_, str>> {
        METHODS.iter().map(|name| Cow::Borrowed(*name)).collect()
    }

    fn text(&self) -> Option<Text> {
        Some(self.to_string().into())
    }
}

impl Version {
    fn against(&self, method: &str, args: &[Value]) -> Answer {
        let [other] = args else { return Err(Failure::arguments(1, args.len())) };
        let other = match other {
            Value::Object(object) if object.type_name() == "semver.Version" => object.text(),
            _ => None,
        };
        let other = other.ok_or("wrong type for value; expected *semver.Version")?;
        let order = self.compare(&Version::parse(&other.to_str())?);
        Ok(match method {
            "Equal" => Value::Bool(order.is_eq()),
            "LessThan" => Value::Bool(order.is_lt()),
            "GreaterThan" => Value::Bool(order.is_gt()),
            _ => Value::int(order as i64),
        })
    }
}
