//! Machines that boot: each boot is made once and recorded, and many sentences are asserted over the record.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod configured;
mod empty;
mod faults;
mod first_light;
mod killed;
mod proxy;
mod refused;
mod restarted;
mod roots;
mod scenario;
mod site;
mod stacks;
mod uefi;
