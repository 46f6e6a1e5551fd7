//! Images: trees under `<wwchrootdir>/NAME/rootfs`, and the archives that nodes boot, made from them.
//!
//! [`shelf`] knows where they lie; [`kernels`] what boots in them; [`build`] makes archives: a walk ([`tree`], without what
//! [`excludes`] names) is cut into [`pieces`], packed by [`pack`], remembered in a [`record`] for the next time. Trees come from
//! other trees ([`copy`]) or from archives ([`untar`]), both through [`plant`]. What a node gets of an image is decided
//! elsewhere.

pub mod build;
pub mod chroot;
pub mod copy;
pub mod excludes;
pub mod import;
pub mod inside;
pub mod kernels;
pub mod pack;
mod pieces;
pub mod plant;
pub mod predict;
mod record;
pub mod shelf;
pub mod tree;
pub mod unpack;
pub mod untar;
