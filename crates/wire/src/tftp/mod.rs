//! TFTP (RFC 1350) with options (RFC 2347, 2348, 2349) and windows (RFC 7440): packets, and the transfer of one file.

mod packet;
mod transfer;

pub use packet::{Code, Fault, Mode, Packet, ReadRequest, netascii};
pub use transfer::{Limits, Outcome, Send, Step, Transfer};

#[cfg(test)]
mod tests;
