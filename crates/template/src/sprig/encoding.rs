//! Base 64 and 32, and check sums. Decoders never fail: what is no code gives the error's text.

use std::sync::LazyLock;

use data_encoding::{BASE32, BASE64, DecodeKind, Encoding, Specification};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

use super::arguments::{bytes, text};
use super::{Native, native};
use crate::host::Param::Text;
use crate::value::Value;

pub(crate) const TABLE: &[Native] = &[
    native("b64enc", &[Text], |args, cx| {
        cx.fuel.bytes(bytes(args, 0).len() / 3 * 4 + 4)?;
        Ok(Value::from(BASE64.encode(bytes(args, 0))))
    }),
    native("b64dec", &[Text], |args, _| Ok(decoded(decode64(&text(args, 0))))),
    native("b32enc", &[Text], |args, cx| {
        cx.fuel.bytes(bytes(args, 0).len() / 5 * 8 + 8)?;
        Ok(Value::from(BASE32.encode(bytes(args, 0))))
    }),
    native("b32dec", &[Text], |args, _| Ok(decoded(decode(&LENIENT32, &text(args, 0), "base32")))),
    native("sha1sum", &[Text], |args, _| Ok(Value::from(hex(&Sha1::digest(bytes(args, 0)))))),
    native("sha256sum", &[Text], |args, _| Ok(Value::from(hex(&Sha256::digest(bytes(args, 0)))))),
    native("sha512sum", &[Text], |args, _| Ok(Value::from(hex(&Sha512::digest(bytes(args, 0)))))),
    native("adler32sum", &[Text], |args, _| Ok(Value::from(adler32(bytes(args, 0)).to_string()))),
];

/// Go takes any bits behind the last whole byte, and passes over line ends.
static LENIENT64: LazyLock<Encoding> = LazyLock::new(|| lenient(&BASE64));
static LENIENT32: LazyLock<Encoding> = LazyLock::new(|| lenient(&BASE32));

fn lenient(strict: &Encoding) -> Encoding {
    let mut specification: Specification = strict.specification();
    specification.check_trailing_bits = false;
    specification.ignore.push_str("\r\n");
    specification.encoding().unwrap_or_else(|_| strict.clone())
}

/// Standard base 64 as Go reads it.
///
/// # Errors
/// `illegal base64 data at input byte N`.
pub(super) fn decode64(text: &str) -> Result<Vec<u8>, String> {
    decode(&LENIENT64, text, "base64")
}

fn decode(encoding: &Encoding, text: &str, name: &str) -> Result<Vec<u8>, String> {
    encoding.decode(text.as_bytes()).map_err(|error| {
        // An incomplete group is told by where it begins.
        let at = match error.kind {
            DecodeKind::Symbol => error.position,
            _ => error.position / 4 * 4,
        };
        format!("illegal {name} data at input byte {at}")
    })
}

fn decoded(result: Result<Vec<u8>, String>) -> Value {
    result.map_or_else(Value::from, Value::text)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// RFC 1950, section 9.
fn adler32(bytes: &[u8]) -> u32 {
    const LARGEST_PRIME: u32 = 65_521;
    let (a, b) = bytes.iter().fold((1, 0), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % LARGEST_PRIME;
        (a, (b + a) % LARGEST_PRIME)
    });
    b << 16 | a
}
