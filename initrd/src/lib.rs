//! What an initramfs holds: [`parts`] looks into one, [`modules`] picks kernel modules in load order. No files are opened here.
#![forbid(unsafe_code)]

pub mod modules;
pub mod parts;
