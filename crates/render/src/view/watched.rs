//! Values that were made at once, and whose reads are noted field by field: the configuration of the controller.

use std::borrow::Cow;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use template::{Context, Failure, Fuel, Limits, Nowhere, Object, Value};

use super::Cx;
use crate::reads::{Place, Reads};

/// An object whose fields are noted; all below a field counts as one.
pub(crate) struct Watched {
    inner: Arc<dyn Object>,
    place: Place,
    reads: Arc<Reads>,
}

impl Watched {
    /// A value of that name below `place`: noted at once, or when something of it is read.
    pub(crate) fn value(value: Value, name: &str, place: Place, reads: &Arc<Reads>) -> Value {
        match value {
            Value::Object(inner) if inner.is_pointer() => {
                Value::object(Watched { inner, place: reads.below(place, name), reads: Arc::clone(reads) })
            }
            other => {
                reads.mark_below(place, name);
                other
            }
        }
    }
}

impl Object for Watched {
    fn type_name(&self) -> Cow<'_, str> {
        self.inner.type_name()
    }

    fn field(&self, name: &str) -> Option<Value> {
        let value = self.inner.field(name)?;
        self.reads.mark_below(self.place, name);
        Some(value)
    }

    fn fields(&self) -> Vec<Cow<'_, str>> {
        self.inner.fields()
    }

    fn method(&self, name: &str, args: &[Value], cx: &Cx<'_>) -> Option<Result<Value, Failure>> {
        let value = self.inner.method(name, args, cx)?;
        self.reads.mark_below(self.place, name);
        Some(value)
    }

    fn methods(&self) -> Vec<Cow<'_, str>> {
        self.inner.methods()
    }
}

/// The field or the method of that name.
pub(crate) fn member(value: &Value, name: &str) -> Option<Value> {
    let Value::Object(object) = value else { return None };
    let (fuel, world) = (Fuel::new(Limits::default()), &Nowhere);
    match object.method(name, &[], &Context { fuel: &fuel, world }) {
        Some(answer) => answer.ok(),
        None => object.field(name),
    }
}

/// Puts all of a value into a digest.
pub(crate) fn state(value: Option<Value>, digest: &mut Sha256) {
    let mut put = |kind: u8, bytes: &[u8]| {
        digest.update([kind]);
        digest.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
        digest.update(bytes);
    };
    match value {
        None | Some(Value::Missing | Value::Nil) => put(0, &[]),
        Some(Value::Text(text) | Value::Bytes(text)) => put(1, text.as_bytes()),
        Some(Value::List(list)) => {
            put(2, &list.len().to_le_bytes());
            list.iter().for_each(|item| state(Some(item), digest));
        }
        Some(Value::Map(map)) => {
            let keys = map.keys();
            put(3, &keys.len().to_le_bytes());
            for key in keys {
                state(Some(map.key_value(&key)), digest);
                state(map.entry(&key), digest);
            }
        }
        Some(Value::Object(object)) => {
            let fields = object.fields();
            put(4, &fields.len().to_le_bytes());
            fields.iter().for_each(|field| state(object.field(field), digest));
        }
        Some(scalar) => put(5, format!("{scalar:?}").as_bytes()),
    }
}
