//! Any datagram on port 69 is a packet or a fault; a packet that was read is written as it was meant.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::tftp::Packet;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(packet) = Packet::decode(bytes) {
        assert_eq!(Packet::decode(&packet.encode()).as_ref(), Ok(&packet));
    }
});
