//! What an initramfs holds: looks into one, and picks kernel modules in load order.
#![forbid(unsafe_code)]
