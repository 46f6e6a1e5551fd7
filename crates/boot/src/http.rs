//! HTTP: who asks gets what. The request line and a few headers come in as text, an answer with a name goes out.
//!
//! [`target::read`] says what is asked for, [`decide::stage`] and [`decide::files`] who gets what, in the one order of
//! checks that there is; [`conditions`] and [`range`] which bytes of a file go out. Opening files, building overlays and
//! rendering scripts is the caller's work.

pub mod conditions;
pub mod date;
pub mod decide;
pub mod directory;
pub mod discovery;
pub mod loader;
pub mod range;
pub mod refusal;
pub mod target;

pub use decide::{Answer, Caller, Decision, OverlayKind};
pub use directory::Directory;
pub use refusal::Refusal;
pub use target::{Compress, Files, Stage, StageAsk, Target};
