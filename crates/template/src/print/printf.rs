//! `printf`: reads the format, picks the arguments, and says in the output what does not fit, as Go does.

use super::flags::Flags;
use super::show::Printer;
use crate::context::Context;
use crate::error::Failure;
use crate::value::Value;

/// Widths and precisions above this are refused, as in Go.
const MAX_NUMBER: usize = 1_000_000;

pub(crate) fn printf(format: &[u8], args: &[Value], cx: &Context<'_>) -> Result<Vec<u8>, Failure> {
    let mut out = Vec::with_capacity(format.len() + 16);
    let mut reader = Reader { format, pos: 0, args, next: 0, reordered: false, good_index: true };
    while let Some(offset) = reader.rest().iter().position(|b| *b == b'%') {
        out.extend_from_slice(reader.rest().get(..offset).unwrap_or_default());
        reader.pos += offset + 1;
        reader.directive(&mut out, cx)?;
    }
    out.extend_from_slice(reader.rest());
    reader.extra(&mut out, cx)?;
    Ok(out)
}

struct Reader<'a> {
    format: &'a [u8],
    pos: usize,
    args: &'a [Value],
    next: usize,
    reordered: bool,
    good_index: bool,
}

impl Reader<'_> {
    fn rest(&self) -> &[u8] {
        self.format.get(self.pos..).unwrap_or_default()
    }

    fn take(&mut self, byte: u8) -> bool {
        let yes = self.rest().first() == Some(&byte);
        self.pos += usize::from(yes);
        yes
    }

    /// One directive, after its `%`.
    fn directive(&mut self, out: &mut Vec<u8>, cx: &Context<'_>) -> Result<(), Failure> {
        let mut flags = Flags::default();
        self.good_index = true;
        loop {
            match self.rest().first() {
                Some(b'#') => flags.sharp = true,
                Some(b'0') => flags.zero = true,
                Some(b'+') => flags.plus = true,
                Some(b'-') => flags.minus = true,
                Some(b' ') => flags.space = true,
                _ => break,
            }
            self.pos += 1;
        }
        let mut after_index = self.index();
        if self.take(b'*') {
            match self.number_argument() {
                Some(width) => {
                    if width < 0 {
                        (flags.minus, flags.zero) = (true, false);
                    }
                    flags.width = usize::try_from(width.unsigned_abs()).ok();
                }
                None => out.extend_from_slice(b"%!(BADWIDTH)"),
            }
            after_index = false;
        } else {
            flags.width = self.number();
            if after_index && flags.width.is_some() {
                self.good_index = false;
            }
        }
        if self.take(b'.') {
            if after_index {
                self.good_index = false;
            }
            after_index = self.index();
            if self.take(b'*') {
                let precision = self.number_argument();
                flags.precision = precision.and_then(|p| usize::try_from(p).ok());
                if flags.precision.is_none() {
                    out.extend_from_slice(b"%!(BADPREC)");
                }
                after_index = false;
            } else {
                flags.precision = Some(self.number().unwrap_or(0));
            }
        }
        if !after_index {
            self.index();
        }
        cx.fuel.bytes(flags.width.unwrap_or(0) + flags.precision.unwrap_or(0))?;
        self.verb(flags, out, cx)
    }

    fn verb(&mut self, mut flags: Flags, out: &mut Vec<u8>, cx: &Context<'_>) -> Result<(), Failure> {
        let rest = self.rest();
        let head = rest.get(..rest.len().min(4)).unwrap_or_default();
        let Some(chunk) = head.utf8_chunks().next() else {
            out.extend_from_slice(b"%!(NOVERB)");
            return Ok(());
        };
        let verb = chunk.valid().chars().next();
        self.pos += verb.map_or(1, char::len_utf8);
        let verb = verb.unwrap_or(char::REPLACEMENT_CHARACTER);
        if verb == '%' {
            out.push(b'%');
        } else if !self.good_index {
            out.extend_from_slice(format!("%!{verb}(BADINDEX)").as_bytes());
        } else if let Some(arg) = self.args.get(self.next) {
            self.next += 1;
            // `%w` is for errors alone, and reads its flags as `%v` does.
            if matches!(verb, 'v' | 'w') {
                (flags.sharp_v, flags.sharp) = (flags.sharp, false);
                (flags.plus_v, flags.plus) = (flags.plus, false);
            }
            let mut printer = Printer::new(out, cx);
            printer.flags = flags;
            printer.arg(arg, verb)?;
        } else {
            out.extend_from_slice(format!("%!{verb}(MISSING)").as_bytes());
        }
        Ok(())
    }

    /// `[n]`: the next argument to use. Gives whether there was one.
    fn index(&mut self) -> bool {
        if self.rest().first() != Some(&b'[') {
            return false;
        }
        self.reordered = true;
        let Some(close) = self.rest().iter().position(|b| *b == b']') else {
            self.good_index = false;
            self.pos += 1;
            return false;
        };
        let digits = self.rest().get(1..close).unwrap_or_default();
        let number = std::str::from_utf8(digits).ok().filter(|d| d.bytes().all(|b| b.is_ascii_digit()));
        let number = number.and_then(|d| d.parse::<usize>().ok()).filter(|n| *n <= MAX_NUMBER);
        self.pos += close + 1;
        match number.and_then(|n| n.checked_sub(1)) {
            Some(index) if index < self.args.len() => {
                self.next = index;
                true
            }
            Some(_) => {
                self.good_index = false;
                true
            }
            None => {
                self.good_index = false;
                number.is_some()
            }
        }
    }

    fn number(&mut self) -> Option<usize> {
        let count = self.rest().iter().take_while(|b| b.is_ascii_digit()).count();
        let digits = self.rest().get(..count).unwrap_or_default();
        let number = std::str::from_utf8(digits).ok()?.parse::<usize>().ok().filter(|n| *n <= MAX_NUMBER);
        if number.is_some() || count > 0 {
            self.pos += count;
        }
        number
    }

    /// `*`: an integer among the arguments.
    fn number_argument(&mut self) -> Option<i64> {
        let arg = self.args.get(self.next)?;
        self.next += 1;
        let number = match arg.underlying().as_ref() {
            Value::Int(_, n) => Some(*n),
            Value::Uint(_, n) => i64::try_from(*n).ok(),
            _ => None,
        };
        number.filter(|n| n.unsigned_abs() <= MAX_NUMBER as u64)
    }

    /// `%!(EXTRA int=1, string=b)`
    fn extra(&self, out: &mut Vec<u8>, cx: &Context<'_>) -> Result<(), Failure> {
        let left = self.args.get(self.next..).unwrap_or_default();
        if self.reordered || left.is_empty() {
            return Ok(());
        }
        out.extend_from_slice(b"%!(EXTRA ");
        for (i, arg) in left.iter().enumerate() {
            if i > 0 {
                out.extend_from_slice(b", ");
            }
            if arg.is_some() {
                out.extend_from_slice(arg.type_name().as_bytes());
                out.push(b'=');
            }
            Printer::new(out, cx).arg(arg, 'v')?;
        }
        out.push(b')');
        Ok(())
    }
}
