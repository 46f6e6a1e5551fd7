//! Just enough of ELF to tell whether a program needs anything from the machine that runs it.

/// Whether the program is complete in itself: an ELF executable that names no interpreter (PT_INTERP, ELF-64 object
/// file format, program header). None when these bytes are no 64-bit little-endian ELF file at all.
pub fn is_static(bytes: &[u8]) -> Option<bool> {
    if bytes.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let table = usize::try_from(u64::from_le_bytes(bytes.get(32..40)?.try_into().ok()?)).ok()?;
    let size = usize::from(u16::from_le_bytes(bytes.get(54..56)?.try_into().ok()?));
    let count = usize::from(u16::from_le_bytes(bytes.get(56..58)?.try_into().ok()?));
    const INTERPRETER: u32 = 3;
    for index in 0..count {
        let header = table.checked_add(index.checked_mul(size)?)?;
        let kind = u32::from_le_bytes(bytes.get(header..header.checked_add(4)?)?.try_into().ok()?);
        if kind == INTERPRETER {
            return Some(false);
        }
    }
    Some(true)
}

#[cfg(test)]
mod tests {
    use super::is_static;

    fn program(kinds: &[u32]) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01".to_vec();
        bytes.resize(64, 0);
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = u8::try_from(kinds.len()).unwrap();
        for kind in kinds {
            bytes.extend(kind.to_le_bytes());
            bytes.extend([0; 52]);
        }
        bytes
    }

    #[test]
    fn a_program_that_names_an_interpreter_is_not_static() {
        assert_eq!(is_static(&program(&[6, 3, 1])), Some(false));
        assert_eq!(is_static(&program(&[6, 1])), Some(true));
    }

    #[test]
    fn the_running_test_is_dynamic_and_text_is_no_program() {
        assert_eq!(is_static(&std::fs::read("/proc/self/exe").unwrap()), Some(false));
        assert_eq!(is_static(b"#!/bin/sh\n"), None);
        assert_eq!(is_static(&program(&[1, 1])[..70]), None);
    }
}
