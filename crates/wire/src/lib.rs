//! DHCPv4 and TFTP packets both ways, and the TFTP transfer as a state machine with time passed in.
//!
//! Bytes in, values out, and back. Every decoder is total: what a machine on the network sends gives a value or an error
//! that says what is wrong with it. This crate opens no socket and asks no clock; who gets what is for `boot` to say.
#![forbid(unsafe_code)]

pub mod dhcp;
pub mod frame;
pub mod icmp6;
pub mod tftp;
