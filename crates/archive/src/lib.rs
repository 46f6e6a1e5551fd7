//! Entries of a file tree, and the newc cpio format both ways. No files are opened here.
#![forbid(unsafe_code)]

mod entry;
pub mod newc;

pub use entry::{Entry, Kind};
