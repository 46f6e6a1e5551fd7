//! Go maps: typed ones that the host gives, fixed or made on demand, and dicts that functions change in place.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use super::{IntKind, MapType, Text, Type, Value, bury};

/// A key; keys of one map are of one kind, and their order is the order of `range`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    Int(i64),
    Text(Text),
}

impl From<&str> for Key {
    fn from(s: &str) -> Self {
        Self::Text(s.into())
    }
}

impl From<Text> for Key {
    fn from(s: Text) -> Self {
        Self::Text(s)
    }
}

/// Entries that are made when they are asked for. Implementors may record what was asked, absent keys too.
pub trait Mapping: Send + Sync {
    fn entry(&self, key: &Key) -> Option<Value>;
    /// All keys, sorted.
    fn keys(&self) -> Vec<Key>;

    fn has(&self, key: &Key) -> bool {
        self.entry(key).is_some()
    }

    fn len(&self) -> usize {
        self.keys().len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A map of the host. A function that changes a map copies this one first; see [`Dict`].
#[derive(Clone)]
pub struct Map {
    ty: Arc<MapType>,
    entries: Option<Arc<dyn Mapping>>,
}

impl Map {
    pub fn of(key: Type, elem: Type, entries: BTreeMap<Key, Value>) -> Self {
        Self { ty: Arc::new(MapType { key, elem }), entries: Some(Arc::new(Fixed(entries))) }
    }

    /// `map[string]ELEM`
    pub fn by_text<K: Into<Text>>(elem: Type, entries: impl IntoIterator<Item = (K, Value)>) -> Self {
        Self::of(Type::Text, elem, entries.into_iter().map(|(k, v)| (Key::Text(k.into()), v)).collect())
    }

    pub fn lazy(key: Type, elem: Type, entries: Arc<dyn Mapping>) -> Self {
        Self { ty: Arc::new(MapType { key, elem }), entries: Some(entries) }
    }

    pub fn nil(ty: Arc<MapType>) -> Self {
        Self { ty, entries: None }
    }

    pub fn ty(&self) -> &MapType {
        &self.ty
    }

    pub fn is_nil(&self) -> bool {
        self.entries.is_none()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.as_ref().is_none_or(|e| e.is_empty())
    }

    pub fn len(&self) -> usize {
        self.entries.as_ref().map_or(0, |e| e.len())
    }

    pub fn entry(&self, key: &Key) -> Option<Value> {
        self.entries.as_ref().and_then(|e| e.entry(key))
    }

    pub fn has(&self, key: &Key) -> bool {
        self.entries.as_ref().is_some_and(|e| e.has(key))
    }

    /// Sorted.
    pub fn keys(&self) -> Vec<Key> {
        self.entries.as_ref().map(|e| e.keys()).unwrap_or_default()
    }

    /// A key as a value of this map's key type.
    pub fn key_value(&self, key: &Key) -> Value {
        match key {
            Key::Int(n) => match self.ty.key {
                Type::Uint(kind) => Value::Uint(kind, n.cast_unsigned()),
                Type::Int(kind) => Value::Int(kind, *n),
                _ => Value::Int(IntKind::Int, *n),
            },
            Key::Text(text) => Value::Text(text.clone()),
        }
    }
}

struct Fixed(BTreeMap<Key, Value>);

impl Mapping for Fixed {
    fn entry(&self, key: &Key) -> Option<Value> {
        self.0.get(key).cloned()
    }

    fn keys(&self) -> Vec<Key> {
        self.0.keys().cloned().collect()
    }

    fn has(&self, key: &Key) -> bool {
        self.0.contains_key(key)
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

impl Drop for Fixed {
    fn drop(&mut self) {
        bury(std::mem::take(&mut self.0).into_values().collect());
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Map(map[{}]{}; {})", self.ty.key.name(), self.ty.elem.name(), self.len())
    }
}

/// A `map[string]interface {}` that functions change in place (`set`, `unset`, `merge`): all clones see the change.
#[derive(Clone, Default)]
pub struct Dict(Arc<Pages>);

#[derive(Default)]
struct Pages(RwLock<BTreeMap<Text, Value>>);

impl Dict {
    pub fn new<K: Into<Text>>(entries: impl IntoIterator<Item = (K, Value)>) -> Self {
        Self(Arc::new(Pages(RwLock::new(entries.into_iter().map(|(k, v)| (k.into(), v)).collect()))))
    }

    pub fn entry(&self, key: &[u8]) -> Option<Value> {
        self.read(|map| map.get(key).cloned())
    }

    pub fn has(&self, key: &[u8]) -> bool {
        self.read(|map| map.contains_key(key))
    }

    pub fn len(&self) -> usize {
        self.read(BTreeMap::len)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sorted.
    pub fn keys(&self) -> Vec<Text> {
        self.read(|map| map.keys().cloned().collect())
    }

    /// Sorted by key.
    pub fn entries(&self) -> Vec<(Text, Value)> {
        self.read(|map| map.iter().map(|(k, v)| (k.clone(), v.clone())).collect())
    }

    /// Whether both names mean the same dict.
    pub fn same(&self, other: &Dict) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub fn insert(&self, key: impl Into<Text>, value: Value) {
        let key = key.into();
        let old = self.0.0.write().unwrap_or_else(PoisonError::into_inner).insert(key, value);
        drop(old);
    }

    pub fn remove(&self, key: &[u8]) {
        let old = self.0.0.write().unwrap_or_else(PoisonError::into_inner).remove(key);
        drop(old);
    }

    fn read<T>(&self, look: impl FnOnce(&BTreeMap<Text, Value>) -> T) -> T {
        look(&self.0.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn take_items(self) -> Vec<Value> {
        Arc::into_inner(self.0).map(|mut pages| pages.take()).unwrap_or_default()
    }
}

impl Pages {
    fn take(&mut self) -> Vec<Value> {
        std::mem::take(self.0.get_mut().unwrap_or_else(PoisonError::into_inner)).into_values().collect()
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        let items = self.take();
        bury(items);
    }
}

impl fmt::Debug for Dict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dict({})", self.len())
    }
}
