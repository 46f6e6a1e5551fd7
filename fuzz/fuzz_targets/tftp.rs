//! Any datagram on port 69 is a packet or a fault, and a packet that was read can be written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::tftp::Packet;

fuzz_target!(|bytes: &[u8]| {
    let Ok(packet) = Packet::decode(bytes) else { return };
    let written = packet.encode();
    // Texts are read leniently: what is not UTF-8 and what nobody closed does not come back as it was. What follows the
    // number of an ACK is passed over.
    match packet {
        Packet::Data { .. } => assert_eq!(written, bytes),
        Packet::Ack { .. } => assert!(bytes.starts_with(&written)),
        _ => {}
    }
});
