//! Images: trees under `<wwchrootdir>/NAME/rootfs`, and the archives that nodes boot, made from them.
//!
//! What a node gets of an image is decided elsewhere; here is what lies in one ([`kernels`]) and how bytes are packed
//! ([`pack`]).

pub mod inside;
pub mod kernels;
pub mod pack;
