//! Overlay sources and a view of a node become archive entries; files come in through `trait Source` only.
//!
//! [`Job::run`] takes a node, the world around it and its overlays, renders what is a template ([`host`] has the
//! functions that Warewulf adds, [`view`] the data), and lays the overlays over one another ([`layer`]). It opens no
//! file, asks no clock, and notes what was read ([`reads`]), so that who stores the result knows when it is stale.
#![forbid(unsafe_code)]

pub mod host;
pub mod ignition;
pub mod kept;
pub mod layer;
pub mod overlay;
pub mod part;
pub mod reads;
pub mod source;
pub mod text;
pub mod view;
pub mod whose;

mod former;
mod job;

/// The language itself, for who gives it a clock and randomness.
pub use template;

pub use job::{Broken, Job, Outcome, Problem, Rendered};
pub use overlay::Overlay;
pub use source::Source;
pub use view::World;
