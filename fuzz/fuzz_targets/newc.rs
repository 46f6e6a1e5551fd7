//! Any bytes are an archive or a fault; an archive that was read can be written and says the same.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(entries) = archive::newc::read(bytes) else { return };
    if let Ok(written) = archive::newc::write(&entries) {
        assert!(archive::newc::read(&written).is_ok());
    }
});
