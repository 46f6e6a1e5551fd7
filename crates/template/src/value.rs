//! The value model: Go's values as far as templates can see them. Cloning any value copies at most a pointer.

mod list;
mod map;
mod object;
mod text;
mod types;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

pub use list::{List, Sequence};
pub use map::{Dict, Key, Map, Mapping};
pub use object::{Callable, Named, NilPointer, Object, Record};
pub use text::Text;
pub use types::{FloatKind, IntKind, MapType, ObjectType, Type, UintKind};

pub use crate::time::Time;

/// Anything that a template can hold.
#[derive(Debug, Clone, Default)]
pub enum Value {
    /// No value at all, as a missing map key gives: printed `<no value>`, its fields are missing too.
    #[default]
    Missing,
    /// A nil interface: something that is there and is nil.
    Nil,
    Bool(bool),
    Int(IntKind, i64),
    Uint(UintKind, u64),
    Float(FloatKind, f64),
    Complex(f64, f64),
    Text(Text),
    /// `[]byte`
    Bytes(Text),
    Time(Time),
    List(List),
    Map(Map),
    Dict(Dict),
    Object(Arc<dyn Object>),
    Func(Arc<dyn Callable>),
}

impl Value {
    /// A Go `int`.
    pub fn int(n: i64) -> Self {
        Self::Int(IntKind::Int, n)
    }

    /// A Go `int64`, which is what sprig's arithmetic gives.
    pub fn int64(n: i64) -> Self {
        Self::Int(IntKind::I64, n)
    }

    pub fn float(f: f64) -> Self {
        Self::Float(FloatKind::F64, f)
    }

    pub fn text(bytes: impl AsRef<[u8]>) -> Self {
        Self::Text(Text::new(bytes))
    }

    pub fn object(object: impl Object + 'static) -> Self {
        Self::Object(Arc::new(object))
    }

    /// `[]interface {}`
    pub fn list(items: Vec<Value>) -> Self {
        Self::List(List::any(items))
    }

    /// `[]string`
    pub fn texts<T: Into<Text>>(items: impl IntoIterator<Item = T>) -> Self {
        Self::List(List::of(Type::Text, items.into_iter().map(|t| Value::Text(t.into())).collect()))
    }

    /// A dict that this render may change; see [`Dict`].
    pub fn dict<K: Into<Text>>(entries: impl IntoIterator<Item = (K, Value)>) -> Self {
        Self::Dict(Dict::new(entries))
    }

    /// Neither missing nor a nil interface.
    pub fn is_some(&self) -> bool {
        !matches!(self, Self::Missing | Self::Nil)
    }

    /// A nil interface for a missing value, as it becomes when it is handed to a function.
    pub fn or_nil(self) -> Self {
        if matches!(self, Self::Missing) { Self::Nil } else { self }
    }

    /// The text of a `string`, and of nothing else: not of types that are strings by another name.
    pub fn as_text(&self) -> Option<&Text> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// What lies beneath a scalar type of the host; anything else as it is.
    pub fn underlying(&self) -> Cow<'_, Value> {
        match self {
            Self::Object(o) => o.underlying().map_or(Cow::Borrowed(self), Cow::Owned),
            _ => Cow::Borrowed(self),
        }
    }

    /// The type's name as Go's `%T` writes it.
    pub fn type_name(&self) -> Cow<'_, str> {
        match self {
            Self::Missing | Self::Nil => Cow::Borrowed("<nil>"),
            Self::Bool(_) => Cow::Borrowed("bool"),
            Self::Int(k, _) => Cow::Borrowed(k.name()),
            Self::Uint(k, _) => Cow::Borrowed(k.name()),
            Self::Float(k, _) => Cow::Borrowed(k.name()),
            Self::Complex(..) => Cow::Borrowed("complex128"),
            Self::Text(_) => Cow::Borrowed("string"),
            Self::Bytes(_) => Cow::Borrowed("[]uint8"),
            Self::Time(_) => Cow::Borrowed("time.Time"),
            Self::List(l) => Cow::Owned(format!("[]{}", l.elem().name())),
            Self::Map(m) => Cow::Owned(format!("map[{}]{}", m.ty().key.name(), m.ty().elem.name())),
            Self::Dict(_) => Cow::Borrowed("map[string]interface {}"),
            Self::Object(o) if o.is_pointer() => Cow::Owned(format!("*{}", o.type_name())),
            Self::Object(o) => o.type_name(),
            Self::Func(f) => f.type_name(),
        }
    }

    /// Go's `reflect.Kind` of it, as `kindOf` says.
    pub fn kind_name(&self) -> Cow<'_, str> {
        match self {
            Self::Missing | Self::Nil => Cow::Borrowed("invalid"),
            Self::List(_) | Self::Bytes(_) => Cow::Borrowed("slice"),
            Self::Map(_) | Self::Dict(_) => Cow::Borrowed("map"),
            Self::Time(_) => Cow::Borrowed("struct"),
            Self::Func(_) => Cow::Borrowed("func"),
            Self::Object(o) if o.is_pointer() => Cow::Borrowed("ptr"),
            Self::Object(o) => match o.underlying() {
                Some(value) => Cow::Owned(value.kind_name().into_owned()),
                None => Cow::Borrowed("struct"),
            },
            scalar => scalar.type_name(),
        }
    }

    /// What `if` asks: false, 0, empty and nil are not true; structs are, and pointers that are not nil.
    pub fn is_true(&self) -> bool {
        match self {
            Self::Missing | Self::Nil => false,
            Self::Bool(b) => *b,
            Self::Int(_, n) => *n != 0,
            Self::Uint(_, n) => *n != 0,
            Self::Float(_, f) => *f != 0.0,
            Self::Complex(re, im) => *re != 0.0 || *im != 0.0,
            Self::Text(t) | Self::Bytes(t) => !t.is_empty(),
            Self::Time(_) | Self::Func(_) => true,
            Self::List(l) => !l.is_empty(),
            Self::Map(m) => !m.is_empty(),
            Self::Dict(d) => !d.is_empty(),
            Self::Object(o) if o.is_pointer() => !o.is_nil(),
            Self::Object(o) => match o.underlying() {
                Some(_) if o.length().is_some() => o.length() != Some(0),
                Some(value) => value.is_true(),
                None => true,
            },
        }
    }
}

/// Frees nested values without recursion: templates can nest lists deeper than any stack.
fn bury(mut stack: Vec<Value>) {
    while let Some(value) = stack.pop() {
        match value {
            Value::List(list) => stack.append(&mut list.take_items()),
            Value::Dict(dict) => stack.append(&mut dict.take_items()),
            _ => {}
        }
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}

/// Go's `int`.
impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Self::int(n)
    }
}

/// Go's `int`.
impl From<i32> for Value {
    fn from(n: i32) -> Self {
        Self::int(n.into())
    }
}

/// Go's `int`.
impl From<u16> for Value {
    fn from(n: u16) -> Self {
        Self::int(n.into())
    }
}

/// Go's `int`.
impl From<u32> for Value {
    fn from(n: u32) -> Self {
        Self::int(n.into())
    }
}

/// Go's `int`; what does not fit becomes the largest one.
impl From<usize> for Value {
    fn from(n: usize) -> Self {
        Self::int(i64::try_from(n).unwrap_or(i64::MAX))
    }
}

impl From<f64> for Value {
    fn from(f: f64) -> Self {
        Self::float(f)
    }
}

impl From<&str> for Value {
    fn from(s: &str) -> Self {
        Self::Text(s.into())
    }
}

impl From<String> for Value {
    fn from(s: String) -> Self {
        Self::Text(s.into())
    }
}

impl From<&String> for Value {
    fn from(s: &String) -> Self {
        Self::Text(s.into())
    }
}

impl From<Text> for Value {
    fn from(t: Text) -> Self {
        Self::Text(t)
    }
}

impl From<Time> for Value {
    fn from(t: Time) -> Self {
        Self::Time(t)
    }
}

impl From<List> for Value {
    fn from(l: List) -> Self {
        Self::List(l)
    }
}

impl From<Map> for Value {
    fn from(m: Map) -> Self {
        Self::Map(m)
    }
}

impl From<Dict> for Value {
    fn from(d: Dict) -> Self {
        Self::Dict(d)
    }
}

impl From<Arc<dyn Object>> for Value {
    fn from(o: Arc<dyn Object>) -> Self {
        Self::Object(o)
    }
}

impl From<Record> for Value {
    fn from(r: Record) -> Self {
        Self::object(r)
    }
}

/// `[]interface {}`
impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Self {
        Self::list(items)
    }
}

/// `[]string`
impl From<Vec<String>> for Value {
    fn from(items: Vec<String>) -> Self {
        Self::texts(items)
    }
}

/// `[]string`
impl From<&[String]> for Value {
    fn from(items: &[String]) -> Self {
        Self::texts(items)
    }
}

/// `map[string]string`
impl From<&BTreeMap<String, String>> for Value {
    fn from(entries: &BTreeMap<String, String>) -> Self {
        Self::Map(Map::by_text(Type::Text, entries.iter().map(|(k, v)| (k, Value::from(v)))))
    }
}

/// `map[string]string`
impl From<BTreeMap<String, String>> for Value {
    fn from(entries: BTreeMap<String, String>) -> Self {
        Self::from(&entries)
    }
}

/// A fixed `map[string]interface {}`: `set` copies it before it changes the copy.
impl From<BTreeMap<String, Value>> for Value {
    fn from(entries: BTreeMap<String, Value>) -> Self {
        Self::Map(Map::by_text(Type::Any, entries))
    }
}

/// `None` is a nil interface.
impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Nil, Into::into)
    }
}
