//! Random texts, bytes and numbers, out of the world's random bytes.

use super::arguments::{int, text};
use super::{Answer, Native, native};
use crate::context::Context;
use crate::error::Failure;
use crate::host::Param;
use crate::value::Value;

pub(crate) const TABLE: &[Native] = &[
    native("randAlpha", &[Param::Int], |args, cx| letters(args, cx, ALPHA)),
    native("randAlphaNum", &[Param::Int], |args, cx| letters(args, cx, ALPHANUM)),
    native("randNumeric", &[Param::Int], |args, cx| letters(args, cx, b"0123456789")),
    native("randAscii", &[Param::Int], |args, cx| {
        let printable: Vec<u8> = (b' '..=b'~').collect();
        letters(args, cx, &printable)
    }),
    native("randBytes", &[Param::Int], |args, cx| {
        let mut bytes = vec![0; count(args, cx, 3)?];
        cx.world.random(&mut bytes)?;
        Ok(Value::from(data_encoding::BASE64.encode(&bytes)))
    }),
    native("randInt", &[Param::Int, Param::Int], |args, cx| {
        let (least, limit) = (int(args, 0), int(args, 1));
        let range = limit.checked_sub(least).and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0);
        let picked = below(cx, range.ok_or("invalid argument to Intn")?)?;
        Ok(Value::int(least.wrapping_add_unsigned(picked)))
    }),
    native("shuffle", &[Param::Text], |args, cx| {
        let mut letters: Vec<char> = text(args, 0).chars().collect();
        cx.fuel.steps(letters.len() as u64)?;
        for last in (1..letters.len()).rev() {
            let other = below(cx, last as u64 + 1)?;
            letters.swap(last, usize::try_from(other).unwrap_or(0));
        }
        Ok(Value::from(letters.into_iter().collect::<String>()))
    }),
    native("uuidv4", &[], |_, cx| {
        let mut bytes = [0; 16];
        cx.world.random(&mut bytes)?;
        // RFC 9562, section 5.4: version 4, variant 10.
        let number = u128::from_be_bytes(bytes) & !(0xf << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62;
        let hex = format!("{number:032x}");
        let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or("");
        Ok(Value::from([part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")))
    }),
];

const ALPHA: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const ALPHANUM: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// The first argument as a count that is paid for; less than nothing is nothing.
fn count(args: &[Value], cx: &Context<'_>, bytes_each: usize) -> Result<usize, Failure> {
    let count = usize::try_from(int(args, 0)).unwrap_or(0);
    cx.fuel.bytes(count.saturating_mul(bytes_each))?;
    Ok(count)
}

fn letters(args: &[Value], cx: &Context<'_>, among: &[u8]) -> Answer {
    let mut picked = Vec::with_capacity(count(args, cx, 2)?);
    while picked.len() < picked.capacity() {
        let index = usize::try_from(below(cx, among.len() as u64)?).unwrap_or(0);
        picked.push(among.get(index).copied().unwrap_or(b'0'));
    }
    Ok(Value::text(picked))
}

/// A number below `limit`, all of them as likely.
fn below(cx: &Context<'_>, limit: u64) -> Result<u64, Failure> {
    // What lies above the last whole multiple would make the small ones likelier.
    let fair = u64::MAX - u64::MAX % limit;
    loop {
        cx.fuel.steps(1)?;
        let mut bytes = [0; 8];
        cx.world.random(&mut bytes)?;
        let number = u64::from_le_bytes(bytes);
        if number < fair {
            return Ok(number % limit);
        }
    }
}
