//! Go text/template and sprig as a language of its own; knows nothing of Warewulf.
//!
//! ```
//! use template::{Options, Template, Value, NoFunctions};
//!
//! let motd = Template::parse("motd", "Welcome to {{ .name | upper }}!", &NoFunctions)?;
//! let data = Value::dict([("name", "c1")].map(|(k, v)| (k, Value::from(v))));
//! assert_eq!(motd.render(&data, &Options::default())?, b"Welcome to C1!");
//! # Ok::<(), template::Error>(())
//! ```
//!
//! Parse once ([`Template::parse`]), execute often ([`Template::execute`]). Data is a [`Value`]; structs of the host
//! implement [`Object`] and are asked only for what a template reads; [`Mapping`] and [`Sequence`] do the same for
//! maps and lists. Functions of the host are known while parsing ([`Functions`]) and answered while running
//! ([`Host`]), which takes the output too and may switch files in mid-render ([`Buffers`]). Clock, randomness,
//! environment, look-ups and key making come in through [`World`]. [`Limits`] bound what a template may do.
#![forbid(unsafe_code)]

pub mod ast;
mod builtin;
mod context;
mod error;
mod exec;
mod host;
mod keys;
mod lex;
mod parse;
mod patterns;
mod print;
mod source;
mod sprig;
mod template;
mod time;
mod value;

pub use context::{CertificateRequest, Context, Fuel, KeyMaker, KeyPair, KeyType, Limits, Nowhere, World};
pub use error::{Error, ErrorKind, Failure, nearest};
pub use host::{Buffers, Functions, Host, NoFunctions, Param, Signature};
pub use keys::Maker;
pub use sprig::Native;
pub use template::{Ending, MissingKey, Options, Template, render};
pub use time::{Civil, Time, Zone, ZoneTable};
pub use value::{
    Callable, Dict, FloatKind, IntKind, Key, List, Map, MapType, Mapping, Named, NilPointer, Object, ObjectType,
    Record, Sequence, Text, Type, UintKind, Value,
};
