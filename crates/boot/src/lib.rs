//! Who asks decides what they get: DHCP, TFTP and HTTP answers as values.
#![forbid(unsafe_code)]

pub mod dhcp;
pub mod http;
pub mod tftp;
