//! The rings of tests that need the whole house; nothing depends on this crate.
