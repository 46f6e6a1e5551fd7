//! YAML as yaml.v3 reads it, with the place of everything: parser events become a tree that remembers lines and columns.
//!
//! It reads the first document, follows aliases and merge keys, and refuses duplicate keys. What a scalar means is asked
//! later (`letters`, `any`), because text fields keep the letters of numbers and truth words.

mod order;
mod scalar;
mod tree;
mod write;

pub use order::by_name;
pub use scalar::{any_of_plain, truth_of_plain};
pub use tree::{Body, Entry, Pos, Tree, parse};
pub use write::{Doc, json, needs_quotes, text, yaml};
