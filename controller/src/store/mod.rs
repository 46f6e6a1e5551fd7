//! What lies on the controller's disk, and the only way to write it.

pub mod clean;
pub mod leases;
pub mod lint;
pub mod nodes;
pub mod publish;
