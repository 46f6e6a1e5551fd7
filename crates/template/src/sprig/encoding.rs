//! Base 64 and 32, and check sums. Decoders never fail: what is no code gives the error's text.

use data_encoding::{BASE32, BASE64};
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
    native("b32dec", &[Text], |args, _| Ok(decoded(decode(&ALPHABET32, bytes(args, 0))))),
    native("sha1sum", &[Text], |args, _| Ok(Value::from(hex(&Sha1::digest(bytes(args, 0)))))),
    native("sha256sum", &[Text], |args, _| Ok(Value::from(hex(&Sha256::digest(bytes(args, 0)))))),
    native("sha512sum", &[Text], |args, _| Ok(Value::from(hex(&Sha512::digest(bytes(args, 0)))))),
    native("adler32sum", &[Text], |args, _| Ok(Value::from(adler32(bytes(args, 0)).to_string()))),
];

/// How many characters make a whole number of bytes, and what bits each stands for.
struct Alphabet {
    name: &'static str,
    group: usize,
    bits: u32,
    letters: &'static [u8],
}

const ALPHABET64: Alphabet = Alphabet {
    name: "base64",
    group: 4,
    bits: 6,
    letters: b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
};
const ALPHABET32: Alphabet =
    Alphabet { name: "base32", group: 8, bits: 5, letters: b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567" };

/// Standard base 64 as Go reads it: line ends are passed over, bits behind the last whole byte are not looked at.
///
/// # Errors
/// `illegal base64 data at input byte N`.
pub(super) fn decode64(text: &str) -> Result<Vec<u8>, String> {
    decode(&ALPHABET64, text.as_bytes())
}

/// RFC 4648, with Go's places of errors: those of base 32 count without line ends.
fn decode(alphabet: &Alphabet, text: &[u8]) -> Result<Vec<u8>, String> {
    let counts_ends = alphabet.group == 4;
    let letters = text.iter().enumerate().filter(|(_, b)| !matches!(b, b'\r' | b'\n'));
    let letters: Vec<(usize, u8)> =
        letters.enumerate().map(|(plain, (at, b))| (if counts_ends { at } else { plain }, *b)).collect();
    let end = if counts_ends { text.len() } else { letters.len() };
    let illegal = |at: usize| Err(format!("illegal {} data at input byte {at}", alphabet.name));
    let mut out = Vec::with_capacity(letters.len() / alphabet.group * 6);
    for (begin, group) in letters.chunks(alphabet.group).enumerate().map(|(n, group)| (n * alphabet.group, group)) {
        let mut value = 0u64;
        let mut length = group.len();
        for (i, (at, byte)) in group.iter().enumerate() {
            if *byte == b'=' && i >= 2 {
                let after = letters.get(begin + i + 1..).unwrap_or_default();
                if let Some(at) = bad_padding(alphabet, i, *at, end, after) {
                    return illegal(at);
                }
                length = i;
                break;
            }
            match alphabet.letters.iter().position(|letter| letter == byte) {
                Some(bits) => value = value << alphabet.bits | bits as u64,
                None => return illegal(*at),
            }
        }
        if length == group.len() && length < alphabet.group {
            return illegal(end - length);
        }
        let bits = alphabet.bits * u32::try_from(length).unwrap_or(0);
        let bytes = (value << (64 - bits)).to_be_bytes();
        out.extend_from_slice(bytes.get(..bits as usize / 8).unwrap_or_default());
        if length < alphabet.group {
            break;
        }
    }
    Ok(out)
}

/// Where the padding is wrong that begins at `at`, as number `i` of its group; `after` is all that follows.
fn bad_padding(alphabet: &Alphabet, i: usize, at: usize, end: usize, after: &[(usize, u8)]) -> Option<usize> {
    let wanted = alphabet.group - 1 - i;
    if alphabet.group == 8 {
        return match after.len() {
            8.. => Some(at),
            len if len < wanted => Some(end),
            _ => match after.iter().take(wanted).position(|(_, b)| *b != b'=') {
                Some(k) => Some(at + k),
                None => matches!(i, 3 | 6).then_some(at),
            },
        };
    }
    match (wanted, after) {
        (1, []) => Some(end),
        (1, [(at, b), ..]) if *b != b'=' => Some(at - 1),
        (1, [_, rest @ ..]) | (_, rest) => rest.first().map(|(at, _)| *at),
    }
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
