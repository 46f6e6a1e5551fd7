//! Flags, width and precision, and the padding that they ask for.

/// What stands between `%` and the verb.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Flags {
    pub width: Option<usize>,
    pub precision: Option<usize>,
    pub minus: bool,
    pub plus: bool,
    pub sharp: bool,
    pub space: bool,
    pub zero: bool,
    /// `%+v`
    pub plus_v: bool,
    /// `%#v`
    pub sharp_v: bool,
}

impl Flags {
    /// Characters, as widths and precisions count them; bytes that are no UTF-8 count one each.
    pub fn pad(&self, out: &mut Vec<u8>, bytes: &[u8]) {
        let missing = self.width.unwrap_or(0).saturating_sub(rune_count(bytes));
        if self.minus {
            out.extend_from_slice(bytes);
            out.extend(std::iter::repeat_n(b' ', missing));
        } else {
            self.padding(out, missing);
            out.extend_from_slice(bytes);
        }
    }

    /// Padding on the left.
    pub fn padding(&self, out: &mut Vec<u8>, count: usize) {
        let byte = if self.zero && !self.minus { b'0' } else { b' ' };
        out.extend(std::iter::repeat_n(byte, count));
    }

    fn pad_plain(&self, out: &mut Vec<u8>, bytes: &[u8]) {
        Self { zero: false, ..*self }.pad(out, bytes);
    }

    /// The first `precision` characters.
    pub fn cut<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        match self.precision {
            Some(count) => bytes.get(..rune_offset(bytes, count)).unwrap_or(bytes),
            None => bytes,
        }
    }

    pub fn integer(&self, out: &mut Vec<u8>, negative: bool, magnitude: u64, base: u32, verb: char) {
        let mut wanted = 0;
        if let Some(precision) = self.precision {
            wanted = precision;
            if precision == 0 && magnitude == 0 {
                out.extend(std::iter::repeat_n(b' ', self.width.unwrap_or(0)));
                return;
            }
        } else if self.zero
            && !self.minus
            && let Some(width) = self.width
        {
            wanted = width.saturating_sub(usize::from(negative || self.plus || self.space));
        }
        let mut digits = match base {
            2 => format!("{magnitude:b}"),
            8 => format!("{magnitude:o}"),
            16 if verb == 'X' => format!("{magnitude:X}"),
            16 => format!("{magnitude:x}"),
            _ => magnitude.to_string(),
        };
        if digits.len() < wanted {
            digits.insert_str(0, &"0".repeat(wanted - digits.len()));
        }
        if self.sharp {
            match base {
                2 => digits.insert_str(0, "0b"),
                8 if !digits.starts_with('0') => digits.insert(0, '0'),
                16 => digits.insert_str(0, if verb == 'X' { "0X" } else { "0x" }),
                _ => {}
            }
        }
        if verb == 'O' {
            digits.insert_str(0, "0o");
        }
        if negative {
            digits.insert(0, '-');
        } else if self.plus {
            digits.insert(0, '+');
        } else if self.space {
            digits.insert(0, ' ');
        }
        self.pad_plain(out, digits.as_bytes());
    }

    /// `%U`
    pub fn unicode(&self, out: &mut Vec<u8>, code: u64) {
        let digits = format!("{code:04X}");
        let zeros = self.precision.unwrap_or(0).saturating_sub(digits.len());
        let mut text = format!("U+{}{digits}", "0".repeat(zeros));
        if self.sharp
            && let Some(c) = u32::try_from(code).ok().and_then(char::from_u32)
            && super::quote::is_print(c)
        {
            text.push_str(&format!(" '{c}'"));
        }
        self.pad_plain(out, text.as_bytes());
    }

    /// `%x` of bytes.
    pub fn hex(&self, out: &mut Vec<u8>, bytes: &[u8], upper: bool) {
        let bytes = bytes.get(..self.precision.unwrap_or(usize::MAX).min(bytes.len())).unwrap_or(bytes);
        if bytes.is_empty() {
            self.padding(out, self.width.unwrap_or(0));
            return;
        }
        let prefix = if upper { "0X" } else { "0x" };
        let mut text = String::with_capacity(bytes.len() * 2);
        if self.sharp {
            text.push_str(prefix);
        }
        for (i, byte) in bytes.iter().enumerate() {
            if self.space && i > 0 {
                text.push(' ');
                if self.sharp {
                    text.push_str(prefix);
                }
            }
            text.push_str(&if upper { format!("{byte:02X}") } else { format!("{byte:02x}") });
        }
        self.pad(out, text.as_bytes());
    }
}

/// Characters in bytes that should be UTF-8; each byte that is not counts one.
pub(crate) fn rune_count(bytes: &[u8]) -> usize {
    if bytes.is_ascii() {
        return bytes.len();
    }
    bytes.utf8_chunks().map(|chunk| chunk.valid().chars().count() + chunk.invalid().len()).sum()
}

/// Where the character number `count` begins.
fn rune_offset(bytes: &[u8], count: usize) -> usize {
    let mut left = count;
    let mut offset = 0;
    for chunk in bytes.utf8_chunks() {
        let steps = chunk.valid().chars().map(char::len_utf8).chain(chunk.invalid().iter().map(|_| 1));
        for step in steps {
            if left == 0 {
                return offset;
            }
            left -= 1;
            offset += step;
        }
    }
    offset
}
