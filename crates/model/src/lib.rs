//! The nouns of a cluster: warewulf.conf, nodes.conf, how a node is put together from its profiles, hostlists.
//!
//! Values in, values out. This crate opens no file, asks no clock and knows no other room.
#![forbid(unsafe_code)]

pub mod change;
pub mod conf;
mod conf_read;
pub mod conf_write;
pub mod edit;
pub mod error;
pub mod fields;
pub mod flags;
pub mod hostlist;
pub mod lint;
pub mod merge;
pub mod node;
pub mod nodes;
mod read;
pub mod upgrade;
pub mod yaml;

pub use conf::Conf;
pub use error::{ConfError, Warning};
pub use node::{NetDev, Node, Profile};
pub use nodes::NodesConf;
pub use read::text_of;
