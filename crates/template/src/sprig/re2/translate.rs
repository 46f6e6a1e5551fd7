//! A pattern of Go's, read sign by sign and written as the crate `regex` wants it; what Go refuses is refused here.

/// RE2's own limit for a counted repetition.
const MOST_REPEATS: u32 = 1000;
/// The names between `[:` and `:]`.
const ASCII_CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
    "xdigit",
];
/// Nesting that Go's parser accepts.
const DEEPEST: usize = 1000;

/// What an operator `*` would repeat: where it stands in what has been written.
#[derive(Clone, Copy)]
struct Atom {
    start: usize,
    /// Flags may follow, which no operator can repeat.
    end: usize,
    repeated: bool,
    /// Of the pattern up to here, without this one.
    before: usize,
}

pub(super) struct Translation<'p> {
    pattern: &'p str,
    rest: std::iter::Peekable<std::str::CharIndices<'p>>,
    /// The pattern for the crate.
    pub out: String,
    /// The names of its groups.
    pub names: Vec<Option<String>>,
    /// How many signs it has, what is repeated counted as often, properties as several.
    pub weight: usize,
    atom: Option<Atom>,
    /// Where in the pattern the operator began that stands right before: Go refuses another one behind it.
    operator: Option<usize>,
    /// Where in what has been written the open groups began, and the weight before them.
    groups: Vec<(usize, usize)>,
}

impl<'p> Translation<'p> {
    pub(super) fn of(pattern: &'p str) -> Result<Self, String> {
        let mut this = Translation {
            pattern,
            rest: pattern.char_indices().peekable(),
            out: String::with_capacity(pattern.len() + 16),
            names: Vec::new(),
            weight: 0,
            atom: None,
            operator: None,
            groups: Vec::new(),
        };
        while let Some((at, c)) = this.rest.next() {
            let operator = this.operator.take();
            this.one(at, c, operator)?;
        }
        if !this.groups.is_empty() {
            return Err(format!("error parsing regexp: missing closing ): `{pattern}`"));
        }
        Ok(this)
    }

    fn one(&mut self, at: usize, c: char, operator: Option<usize>) -> Result<(), String> {
        let start = self.out.len();
        match c {
            '\\' if self.rest.next_if(|(_, c)| *c == 'Q').is_some() => {
                self.quoted();
                return Ok(());
            }
            '\\' => self.escape(at)?,
            '[' => self.class(at)?,
            '(' => return self.open(at),
            ')' => {
                let group = self.groups.pop();
                let (start, before) =
                    group.ok_or_else(|| format!("error parsing regexp: unexpected ): `{}`", self.pattern))?;
                self.out.push(')');
                self.atom = Some(Atom { start, end: self.out.len(), repeated: false, before });
                return Ok(());
            }
            '|' => {
                self.out.push('|');
                self.atom = None;
                return Ok(());
            }
            '*' | '+' | '?' => return self.repeat(at, &c.to_string(), operator),
            '{' => match self.counted(at)? {
                Some(counted) => return self.repeat(at, &counted, operator),
                None => self.out.push_str("\\{"),
            },
            '}' | ']' => {
                self.out.push('\\');
                self.out.push(c);
            }
            _ => self.out.push(c),
        }
        self.written(start);
        Ok(())
    }

    /// What has been written from `start` on is what an operator would repeat.
    fn written(&mut self, start: usize) {
        let end = self.out.len();
        self.atom = Some(Atom { start, end, repeated: false, before: self.weight });
        // A class by property has some hundred ranges.
        let property = self.out.get(start..).is_some_and(|atom| atom.contains("\\p") || atom.contains("\\P"));
        self.weight = self.weight.saturating_add(if property { 8 } else { 1 });
    }

    fn repeat(&mut self, at: usize, sign: &str, operator: Option<usize>) -> Result<(), String> {
        let greedy = self.rest.next_if(|(_, c)| *c == '?').is_none();
        let Some(mut atom) = self.atom else {
            return Err(format!("error parsing regexp: missing argument to repetition operator: `{sign}`"));
        };
        if let Some(before) = operator {
            let end = self.rest.peek().map_or(self.pattern.len(), |(end, _)| *end);
            let both = self.pattern.get(before..end).unwrap_or("");
            return Err(format!("error parsing regexp: invalid nested repetition operator: `{both}`"));
        }
        if atom.repeated {
            // Flags stood between: Go repeats the repetition.
            self.out.insert(atom.end, ')');
            self.out.insert_str(atom.start, "(?:");
            atom.end += 4;
        }
        // `{2,5}`: five times at most; the other operators are loops.
        let times = sign.trim_matches(['{', '}', ',']).rsplit(',').next().and_then(|most| most.parse::<usize>().ok());
        let own = self.weight.saturating_sub(atom.before);
        self.weight = atom.before.saturating_add(own.saturating_mul(times.unwrap_or(1).max(1)));
        let sign = if greedy { sign.to_owned() } else { format!("{sign}?") };
        self.out.insert_str(atom.end, &sign);
        self.atom = Some(Atom { end: atom.end + sign.len(), repeated: true, ..atom });
        self.operator = Some(at);
        Ok(())
    }

    /// `{2}`, `{2,}`, `{2,5}` behind the brace; anything else is plain text for Go.
    fn counted(&mut self, at: usize) -> Result<Option<String>, String> {
        let body = self.pattern.get(at + 1..).unwrap_or("");
        let Some((inside, _)) = body.split_once('}') else { return Ok(None) };
        let (least, most) = inside.split_once(',').map_or((inside, None), |(least, most)| (least, Some(most)));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(least) || most.is_some_and(|most| !most.is_empty() && !digits(most)) {
            return Ok(None);
        }
        // Too many digits for a number is too large as well.
        let number = |text: &str| text.parse::<u32>().unwrap_or(u32::MAX);
        let last = most.filter(|most| !most.is_empty()).map(number);
        if number(least) > MOST_REPEATS || last.is_some_and(|last| last > MOST_REPEATS || last < number(least)) {
            return Err(format!("error parsing regexp: invalid repeat count: `{{{inside}}}`"));
        }
        for _ in 0..=inside.chars().count() {
            self.rest.next();
        }
        Ok(Some(format!("{{{inside}}}")))
    }

    fn open(&mut self, at: usize) -> Result<(), String> {
        if self.groups.len() >= DEEPEST {
            return Err(format!("error parsing regexp: expression nests too deeply: `{}`", self.pattern));
        }
        let start = self.out.len();
        self.out.push('(');
        if self.rest.next_if(|(_, c)| *c == '?').is_none() {
            self.names.push(None);
            self.groups.push((start, self.weight));
            self.atom = None;
            return Ok(());
        }
        let head = self.pattern.get(at + 2..).unwrap_or("");
        let end = head.find([':', ')', '>']).unwrap_or(head.len());
        let (inside, closed) = (head.get(..end).unwrap_or(""), head.get(end..end + 1).unwrap_or(""));
        let named = inside.strip_prefix("P<").or_else(|| inside.strip_prefix('<'));
        let good = match (named, closed) {
            (Some(name), ">") => !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'),
            // Flags that Go knows; the crate's own x, u and R are nothing to a template.
            (None, ":" | ")") => inside.chars().all(|c| "imsU-".contains(c)),
            _ => false,
        };
        if !good {
            let upto = head.get(..end + closed.len()).unwrap_or("");
            return Err(format!("error parsing regexp: invalid or unsupported Perl syntax: `(?{upto}`"));
        }
        if closed != ")" {
            self.groups.push((start, self.weight));
            self.atom = None;
        }
        if let Some(name) = named {
            self.names.push(Some(name.to_owned()));
        } else {
            self.out.push('?');
            self.out.push_str(inside);
            self.out.push_str(closed);
        }
        for _ in 0..inside.chars().count() + 1 {
            self.rest.next();
        }
        Ok(())
    }

    fn escape(&mut self, at: usize) -> Result<(), String> {
        let Some((_, c)) = self.rest.next() else {
            return Err("error parsing regexp: trailing backslash at end of expression: ``".into());
        };
        match c {
            'd' => self.out.push_str("[0-9]"),
            'D' => self.out.push_str("[^0-9]"),
            'w' => self.out.push_str("[0-9A-Za-z_]"),
            'W' => self.out.push_str("[^0-9A-Za-z_]"),
            's' => self.out.push_str(r"[\t\n\x0C\r ]"),
            'S' => self.out.push_str(r"[^\t\n\x0C\r ]"),
            'b' => self.out.push_str(r"(?-u:\b)"),
            'B' => self.out.push_str(r"(?-u:\B)"),
            'A' | 'z' => self.out.extend(['\\', c]),
            'p' | 'P' => {
                let property = self.property(at, c)?;
                self.out.push_str(&property);
            }
            _ => {
                let literal = self.literal(at, c)?;
                self.out.push_str(&hex(literal));
            }
        }
        Ok(())
    }

    /// `\Q...\E`: text as it stands.
    fn quoted(&mut self) {
        while let Some((at, c)) = self.rest.next() {
            if self.pattern.get(at..).is_some_and(|rest| rest.starts_with("\\E")) {
                self.rest.next();
                return;
            }
            let start = self.out.len();
            self.out.push_str(&hex(c));
            self.written(start);
        }
    }

    /// `\pL`, `\p{Greek}` or, which is the same as `\P{Greek}`, `\p{^Greek}`; `p` is the letter behind the backslash.
    fn property(&mut self, at: usize, p: char) -> Result<String, String> {
        let text = self.pattern.get(at + 2..).unwrap_or("");
        let name = match text.strip_prefix('{') {
            Some(body) => body.split_once('}').map(|(name, _)| format!("{{{name}}}")),
            None => text.chars().next().map(|c| c.to_string()),
        };
        let name = name.ok_or_else(|| format!("error parsing regexp: invalid character class range: `{text}`"))?;
        for _ in name.chars() {
            self.rest.next();
        }
        Ok(match (p, name.strip_prefix("{^")) {
            ('p', Some(positive)) => format!("\\P{{{positive}"),
            (_, Some(positive)) => format!("\\p{{{positive}"),
            (p, None) => format!("\\{p}{name}"),
        })
    }

    /// An escape that stands for one character; `c` is the letter behind the backslash at `at`.
    fn literal(&mut self, at: usize, c: char) -> Result<char, String> {
        let invalid = |upto: &str| format!("error parsing regexp: invalid escape sequence: `\\{upto}`");
        Ok(match c {
            'a' => '\u{7}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            'x' => self.hexadecimal().ok_or_else(|| invalid("x"))?,
            '0'..='7' => {
                let digits: String = self
                    .pattern
                    .get(at + 1..)
                    .unwrap_or("")
                    .chars()
                    .take(3)
                    .take_while(|c| ('0'..='7').contains(c))
                    .collect();
                // A single digit but 0 would be a back reference, which RE2 does not have.
                if c != '0' && digits.len() < 2 {
                    return Err(invalid(&digits));
                }
                for _ in 1..digits.len() {
                    self.rest.next();
                }
                u32::from_str_radix(&digits, 8).ok().and_then(char::from_u32).ok_or_else(|| invalid(&digits))?
            }
            _ if c.is_ascii() && !c.is_ascii_alphanumeric() => c,
            _ => return Err(invalid(&c.to_string())),
        })
    }

    fn hexadecimal(&mut self) -> Option<char> {
        let digits: String = if self.rest.next_if(|(_, c)| *c == '{').is_some() {
            let mut digits = String::new();
            loop {
                match self.rest.next()?.1 {
                    '}' => break digits,
                    c => digits.push(c),
                }
            }
        } else {
            [self.rest.next()?.1, self.rest.next()?.1].iter().collect()
        };
        let sound = digits.bytes().all(|b| b.is_ascii_hexdigit());
        u32::from_str_radix(&digits, 16).ok().filter(|_| sound).and_then(char::from_u32)
    }

    /// A bracketed class. The crate knows set operations and nesting inside brackets; Go does not.
    fn class(&mut self, at: usize) -> Result<(), String> {
        let missing = || format!("error parsing regexp: missing closing ]: `{}`", self.pattern.get(at..).unwrap_or(""));
        let missing = missing();
        self.out.push('[');
        if self.rest.next_if(|(_, c)| *c == '^').is_some() {
            self.out.push('^');
        }
        let mut first = true;
        loop {
            let (at, c) = self.rest.next().ok_or_else(|| missing.clone())?;
            let low = match c {
                ']' if !first => break,
                '[' if self.pattern.get(at..).is_some_and(|rest| rest.starts_with("[:")) => {
                    let name =
                        self.pattern.get(at..).and_then(|rest| rest.find(":]").and_then(|end| rest.get(..end + 2)));
                    let name = name.ok_or_else(|| missing.clone())?;
                    if !ASCII_CLASSES.contains(&name.trim_matches(['[', ':', '^', ']'])) {
                        return Err(format!("error parsing regexp: invalid character class range: `{name}`"));
                    }
                    self.out.push_str(name);
                    for _ in 1..name.chars().count() {
                        self.rest.next();
                    }
                    None
                }
                '\\' => self.class_escape(at)?,
                c => Some(c),
            };
            first = false;
            if let Some(low) = low {
                self.range_from(at, low, &missing)?;
            }
        }
        self.out.push(']');
        Ok(())
    }

    /// A character of a class, or the range that it begins.
    fn range_from(&mut self, at: usize, low: char, missing: &str) -> Result<(), String> {
        self.out.push_str(&hex(low));
        let mut ahead = self.rest.clone();
        let is_range = ahead.next().is_some_and(|(_, c)| c == '-') && ahead.next().is_some_and(|(_, c)| c != ']');
        if !is_range {
            return Ok(());
        }
        self.rest.next();
        let (next, c) = self.rest.next().ok_or(missing)?;
        let high = if c == '\\' {
            let (_, c) = self.rest.next().ok_or("error parsing regexp: trailing backslash at end of expression: ``")?;
            self.literal(next, c)?
        } else {
            c
        };
        if high < low {
            let end = self.rest.peek().map_or(self.pattern.len(), |(end, _)| *end);
            let range = self.pattern.get(at..end).unwrap_or("");
            return Err(format!("error parsing regexp: invalid character class range: `{range}`"));
        }
        self.out.push('-');
        self.out.push_str(&hex(high));
        Ok(())
    }

    /// A class of characters, or the one character that is given back.
    fn class_escape(&mut self, at: usize) -> Result<Option<char>, String> {
        let Some((_, c)) = self.rest.next() else {
            return Err("error parsing regexp: trailing backslash at end of expression: ``".into());
        };
        match c {
            'd' => self.out.push_str("0-9"),
            'w' => self.out.push_str("0-9A-Za-z_"),
            's' => self.out.push_str(r"\t\n\x0C\r\x20"),
            'D' => self.out.push_str("[^0-9]"),
            'W' => self.out.push_str("[^0-9A-Za-z_]"),
            'S' => self.out.push_str(r"[^\t\n\x0C\r\x20]"),
            'p' | 'P' => {
                let property = self.property(at, c)?;
                self.out.push_str(&property);
            }
            _ => return self.literal(at, c).map(Some),
        }
        Ok(None)
    }
}

/// A character that means nothing but itself, inside a class and outside.
fn hex(c: char) -> String {
    if c.is_alphanumeric() { c.to_string() } else { format!("\\x{{{:X}}}", u32::from(c)) }
}
