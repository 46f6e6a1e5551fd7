//! The nouns of a cluster: warewulf.conf, nodes.conf, how a node is put together from its profiles, hostlists.
//!
//! Values in, values out. This crate opens no file, asks no clock and knows no other room.
#![forbid(unsafe_code)]

pub mod conf;
pub mod node;

pub use conf::Conf;
pub use node::{NetDev, Node, Profile};
