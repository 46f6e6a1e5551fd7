//! The types that a value can have, their Go names, and the zero value of each.

use std::borrow::Cow;
use std::sync::Arc;

use super::{List, Map, Text, Time, Value};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntKind {
    Int,
    I8,
    I16,
    I32,
    I64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UintKind {
    Uint,
    U8,
    U16,
    U32,
    U64,
    Uintptr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FloatKind {
    F32,
    F64,
}

impl IntKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::I8 => "int8",
            Self::I16 => "int16",
            Self::I32 => "int32",
            Self::I64 => "int64",
        }
    }
}

impl UintKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Uint => "uint",
            Self::U8 => "uint8",
            Self::U16 => "uint16",
            Self::U32 => "uint32",
            Self::U64 => "uint64",
            Self::Uintptr => "uintptr",
        }
    }
}

impl FloatKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F64 => "float64",
        }
    }
}

/// A static type, as the elements of a list or a map have one. Compared by name.
#[derive(Debug, Clone)]
pub enum Type {
    /// `interface {}`
    Any,
    Bool,
    Int(IntKind),
    Uint(UintKind),
    Float(FloatKind),
    Complex,
    Text,
    Bytes,
    Time,
    Func,
    List(Arc<Type>),
    Map(Arc<MapType>),
    Object(Arc<ObjectType>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct MapType {
    pub key: Type,
    pub elem: Type,
}

/// A type of the host: its name as `%T` prints it (`*node.Node`), and what a missing element is.
#[derive(Debug, Clone)]
pub struct ObjectType {
    pub name: Cow<'static, str>,
    pub zero: Value,
}

impl Type {
    pub fn list(elem: Type) -> Self {
        Self::List(Arc::new(elem))
    }

    pub fn map(key: Type, elem: Type) -> Self {
        Self::Map(Arc::new(MapType { key, elem }))
    }

    pub fn object(name: impl Into<Cow<'static, str>>, zero: Value) -> Self {
        Self::Object(Arc::new(ObjectType { name: name.into(), zero }))
    }

    /// What `index` gives where a typed map has no such key.
    pub fn zero(&self) -> Value {
        match self {
            Self::Any | Self::Func => Value::Nil,
            Self::Bool => Value::Bool(false),
            Self::Int(k) => Value::Int(*k, 0),
            Self::Uint(k) => Value::Uint(*k, 0),
            Self::Float(k) => Value::Float(*k, 0.0),
            Self::Complex => Value::Complex(0.0, 0.0),
            Self::Text => Value::Text(Text::default()),
            Self::Bytes => Value::Bytes(Text::default()),
            Self::Time => Value::Time(Time::ZERO),
            Self::List(elem) => Value::List(List::nil((**elem).clone())),
            Self::Map(ty) => Value::Map(Map::nil(Arc::clone(ty))),
            Self::Object(ty) => ty.zero.clone(),
        }
    }

    /// The name as Go's `%T` writes it.
    pub fn name(&self) -> Cow<'static, str> {
        match self {
            Self::Any => "interface {}".into(),
            Self::Bool => "bool".into(),
            Self::Int(k) => k.name().into(),
            Self::Uint(k) => k.name().into(),
            Self::Float(k) => k.name().into(),
            Self::Complex => "complex128".into(),
            Self::Text => "string".into(),
            Self::Bytes => "[]uint8".into(),
            Self::Time => "time.Time".into(),
            Self::Func => "func()".into(),
            Self::List(elem) => format!("[]{}", elem.name()).into(),
            Self::Map(ty) => format!("map[{}]{}", ty.key.name(), ty.elem.name()).into(),
            Self::Object(ty) => ty.name.clone(),
        }
    }
}

impl PartialEq for Type {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, Self::Any)
            | (Self::Bool, Self::Bool)
            | (Self::Complex, Self::Complex)
            | (Self::Text, Self::Text)
            | (Self::Bytes, Self::Bytes)
            | (Self::Time, Self::Time)
            | (Self::Func, Self::Func) => true,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Uint(a), Self::Uint(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a == b,
            (Self::List(a), Self::List(b)) => a == b,
            (Self::Map(a), Self::Map(b)) => a == b,
            (Self::Object(a), Self::Object(b)) => a.name == b.name,
            _ => false,
        }
    }
}
