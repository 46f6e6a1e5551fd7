//! Distribution overlays for real: nodes.conf goes in, our own commands build the archives, and the programs that a node
//! would read the files with say what they think of them, and what they made of them.
//!
//! The nodes are those of the golden files (controller/tests/overlays). Wicked's reader is not here: Debian has none, so
//! its documents are held against a list of what it knows.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod disks;
mod networks;
mod site;
mod system;
