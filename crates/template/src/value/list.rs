//! Go slices: typed lists, fixed, shared or made on demand.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use super::{Type, Value, bury};

/// Elements that are made when they are asked for. Implementors may record what was asked.
pub trait Sequence: Send + Sync {
    fn len(&self) -> usize;
    fn item(&self, index: usize) -> Option<Value>;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A list whose elements have one static type; cloning copies a pointer.
#[derive(Clone)]
pub struct List {
    elem: Type,
    items: Items,
}

#[derive(Clone)]
enum Items {
    Nil,
    /// Data of the host: a function that changes a list copies this first.
    Fixed(Arc<Block>),
    /// Like a Go slice: `sortAlpha` sorts it in place.
    Shared(Arc<Block>),
    Lazy(Arc<dyn Sequence>),
}

struct Block(RwLock<Vec<Value>>);

impl List {
    pub fn of(elem: Type, items: Vec<Value>) -> Self {
        Self { elem, items: Items::Fixed(Arc::new(Block(RwLock::new(items)))) }
    }

    /// A list of anything, `[]interface {}`.
    pub fn any(items: Vec<Value>) -> Self {
        Self::of(Type::Any, items)
    }

    /// A list that functions may change in place, as they do in Go.
    pub fn shared(elem: Type, items: Vec<Value>) -> Self {
        Self { elem, items: Items::Shared(Arc::new(Block(RwLock::new(items)))) }
    }

    pub fn lazy(elem: Type, items: Arc<dyn Sequence>) -> Self {
        Self { elem, items: Items::Lazy(items) }
    }

    pub fn nil(elem: Type) -> Self {
        Self { elem, items: Items::Nil }
    }

    pub fn elem(&self) -> &Type {
        &self.elem
    }

    pub fn is_nil(&self) -> bool {
        matches!(self.items, Items::Nil)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn len(&self) -> usize {
        match &self.items {
            Items::Nil => 0,
            Items::Fixed(block) | Items::Shared(block) => block.read(Vec::len),
            Items::Lazy(items) => items.len(),
        }
    }

    /// The element; Nil stands for a nil interface.
    pub fn item(&self, index: usize) -> Option<Value> {
        match &self.items {
            Items::Nil => None,
            Items::Fixed(block) | Items::Shared(block) => block.read(|items| items.get(index).cloned()),
            Items::Lazy(items) => items.item(index),
        }
    }

    pub fn to_vec(&self) -> Vec<Value> {
        match &self.items {
            Items::Nil => Vec::new(),
            Items::Fixed(block) | Items::Shared(block) => block.read(Vec::clone),
            Items::Lazy(items) => (0..items.len()).filter_map(|i| items.item(i)).collect(),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = Value> + '_ {
        (0..self.len()).filter_map(|i| self.item(i))
    }

    /// Puts new elements into the same list where it is shared; answers whether it was.
    pub(crate) fn replace_shared(&self, items: Vec<Value>) -> bool {
        let Items::Shared(block) = &self.items else { return false };
        *block.0.write().unwrap_or_else(PoisonError::into_inner) = items;
        true
    }

    pub(super) fn take_items(self) -> Vec<Value> {
        let (Items::Fixed(block) | Items::Shared(block)) = self.items else { return Vec::new() };
        Arc::into_inner(block).map(|mut block| block.take()).unwrap_or_default()
    }
}

impl Block {
    fn read<T>(&self, look: impl FnOnce(&Vec<Value>) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn take(&mut self) -> Vec<Value> {
        std::mem::take(self.0.get_mut().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let items = self.take();
        bury(items);
    }
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "List([]{}; {})", self.elem.name(), self.len())
    }
}
