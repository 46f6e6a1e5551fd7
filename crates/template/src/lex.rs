//! Text into tokens, as Go's `text/template/parse` cuts it. Never fails: what is wrong becomes a token of its own.

use crate::ast::Span;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    LeftDelim,
    RightDelim,
    Space,
    Assign,
    Declare,
    Pipe,
    LeftParen,
    RightParen,
    /// Any other printable character.
    Char,
    Quoted,
    Raw,
    CharConstant,
    Number,
    Complex,
    Variable,
    Dot,
    Field,
    Identifier,
    Bool,
    Nil,
    Keyword(Keyword),
    End,
    /// What follows cannot be cut into tokens.
    Fault,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keyword {
    Block,
    Break,
    Continue,
    Define,
    Else,
    End,
    If,
    Range,
    Template,
    With,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Token {
    pub kind: Kind,
    pub span: Span,
}

/// All tokens of a text, the last one `End` or `Fault`, and what the fault is.
pub(crate) fn lex(input: &[u8]) -> (Vec<Token>, Option<String>) {
    let mut lexer = Lexer { input, start: 0, pos: 0, parens: 0, tokens: Vec::new(), fault: None };
    lexer.run();
    (lexer.tokens, lexer.fault)
}

struct Lexer<'a> {
    input: &'a [u8],
    start: usize,
    pos: usize,
    parens: usize,
    tokens: Vec<Token>,
    fault: Option<String>,
}

type Lexed = Result<(), String>;

impl Lexer<'_> {
    fn run(&mut self) {
        if let Err(fault) = self.text() {
            self.fault = Some(fault);
            self.emit(Kind::Fault);
        }
    }

    /// Text and actions in turn, to the end.
    fn text(&mut self) -> Lexed {
        loop {
            let Some(at) = find(self.rest(), b"{{") else {
                self.pos = self.input.len();
                if self.pos > self.start {
                    self.emit(Kind::Text);
                }
                self.emit(Kind::End);
                return Ok(());
            };
            let delim = self.pos + at;
            let trims = has_left_marker(self.from(delim + 2));
            let text = self.input.get(self.start..delim).unwrap_or_default();
            self.pos = if trims { self.start + text.len() - trailing_space(text) } else { delim };
            if self.pos > self.start {
                self.emit(Kind::Text);
            }
            self.pos = delim;
            self.start = delim;
            let marker = if trims { 2 } else { 0 };
            if self.from(delim + 2 + marker).starts_with(b"/*") {
                self.pos = delim + 2 + marker;
                self.comment()?;
            } else {
                self.pos = delim + 2;
                self.emit(Kind::LeftDelim);
                self.pos += marker;
                self.start = self.pos;
                self.parens = 0;
                self.action()?;
            }
        }
    }

    fn comment(&mut self) -> Lexed {
        let end = find(self.from(self.pos + 2), b"*/").ok_or("unclosed comment")?;
        self.pos += 2 + end + 2;
        match self.at_right_delim() {
            None => return Err("comment ends before closing delimiter".into()),
            Some(trims) => self.pass_right_delim(trims),
        }
        self.start = self.pos;
        Ok(())
    }

    fn pass_right_delim(&mut self, trims: bool) {
        self.pos += if trims { 4 } else { 2 };
        if trims {
            self.pos += self.rest().iter().take_while(|b| is_space(**b)).count();
        }
    }

    /// Everything up to and with the right delimiter.
    fn action(&mut self) -> Lexed {
        loop {
            if let Some(trims) = self.at_right_delim() {
                if self.parens > 0 {
                    return Err("unclosed left paren".into());
                }
                if trims {
                    self.pos += 2;
                    self.start = self.pos;
                }
                self.pos += 2;
                self.emit(Kind::RightDelim);
                if trims {
                    self.pos += self.rest().iter().take_while(|b| is_space(**b)).count();
                    self.start = self.pos;
                }
                return Ok(());
            }
            self.token()?;
        }
    }

    fn token(&mut self) -> Lexed {
        let Some(c) = self.peek() else { return Err("unclosed action".into()) };
        match c {
            ' ' | '\t' | '\r' | '\n' => self.space(),
            '=' => self.single(Kind::Assign),
            '|' => self.single(Kind::Pipe),
            ':' => {
                self.pos += 1;
                if !self.accept(b"=") {
                    return Err("expected :=".into());
                }
                self.emit(Kind::Declare);
            }
            '"' => self.quoted(b'"', Kind::Quoted, "unterminated quoted string")?,
            '\'' => self.quoted(b'\'', Kind::CharConstant, "unterminated character constant")?,
            '`' => {
                let end = find(self.from(self.pos + 1), b"`").ok_or("unterminated raw quoted string")?;
                self.pos += end + 2;
                self.emit(Kind::Raw);
            }
            '$' => self.name(Kind::Variable, Kind::Variable)?,
            '.' if !self.from(self.pos + 1).first().is_some_and(u8::is_ascii_digit) => {
                self.name(Kind::Field, Kind::Dot)?;
            }
            '.' | '+' | '-' | '0'..='9' => self.number()?,
            '(' => {
                self.parens += 1;
                self.single(Kind::LeftParen);
            }
            ')' => {
                self.parens = self.parens.checked_sub(1).ok_or("unexpected right paren")?;
                self.single(Kind::RightParen);
            }
            c if is_alphanumeric(c) => self.identifier()?,
            ' '..='~' => self.single(Kind::Char),
            c => return Err(format!("unrecognized character in action: U+{:04X} {c:?}", u32::from(c))),
        }
        Ok(())
    }

    fn space(&mut self) {
        while self.rest().first().is_some_and(|b| is_space(*b)) {
            // The space before `-}}` belongs to the delimiter.
            if self.at_right_delim() == Some(true) {
                break;
            }
            self.pos += 1;
        }
        if self.pos > self.start {
            self.emit(Kind::Space);
        }
    }

    fn quoted(&mut self, quote: u8, kind: Kind, unterminated: &str) -> Lexed {
        self.pos += 1;
        loop {
            match self.rest() {
                [] | [b'\n', ..] | [b'\\'] | [b'\\', b'\n', ..] => return Err(unterminated.into()),
                [b'\\', ..] => self.pos += 2,
                [b, ..] => {
                    let ends = *b == quote;
                    self.pos += 1;
                    if ends {
                        self.emit(kind);
                        return Ok(());
                    }
                }
            }
        }
    }

    /// `.name` or `$name`; `bare` where there is no name.
    fn name(&mut self, kind: Kind, bare: Kind) -> Lexed {
        self.pos += 1;
        if self.at_terminator() {
            self.emit(bare);
            return Ok(());
        }
        self.word()?;
        self.emit(kind);
        Ok(())
    }

    fn word(&mut self) -> Lexed {
        while let Some(c) = self.peek().filter(|c| is_alphanumeric(*c)) {
            self.pos += c.len_utf8();
        }
        if self.at_terminator() {
            return Ok(());
        }
        let c = self.peek().unwrap_or(char::REPLACEMENT_CHARACTER);
        Err(format!("bad character U+{:04X} {c:?}", u32::from(c)))
    }

    fn identifier(&mut self) -> Lexed {
        self.word()?;
        let kind = match self.input.get(self.start..self.pos).unwrap_or_default() {
            b"true" | b"false" => Kind::Bool,
            b"nil" => Kind::Nil,
            b"block" => Kind::Keyword(Keyword::Block),
            b"break" => Kind::Keyword(Keyword::Break),
            b"continue" => Kind::Keyword(Keyword::Continue),
            b"define" => Kind::Keyword(Keyword::Define),
            b"else" => Kind::Keyword(Keyword::Else),
            b"end" => Kind::Keyword(Keyword::End),
            b"if" => Kind::Keyword(Keyword::If),
            b"range" => Kind::Keyword(Keyword::Range),
            b"template" => Kind::Keyword(Keyword::Template),
            b"with" => Kind::Keyword(Keyword::With),
            _ => Kind::Identifier,
        };
        self.emit(kind);
        Ok(())
    }

    fn number(&mut self) -> Lexed {
        let mut ok = self.scan_number();
        let mut kind = Kind::Number;
        if ok && self.rest().first().is_some_and(|b| b"+-".contains(b)) {
            kind = Kind::Complex;
            ok = self.scan_number() && self.input.get(self.pos - 1) == Some(&b'i');
        }
        if !ok {
            let bad = self.input.get(self.start..self.pos).unwrap_or_default();
            return Err(format!("bad number syntax: {:?}", String::from_utf8_lossy(bad)));
        }
        self.emit(kind);
        Ok(())
    }

    fn scan_number(&mut self) -> bool {
        self.accept(b"+-");
        let mut digits: &[u8] = b"0123456789_";
        let mut exponent: &[u8] = b"eE";
        if self.accept(b"0") {
            if self.accept(b"xX") {
                (digits, exponent) = (b"0123456789abcdefABCDEF_", b"pP");
            } else if self.accept(b"oO") {
                (digits, exponent) = (b"01234567_", b"");
            } else if self.accept(b"bB") {
                (digits, exponent) = (b"01_", b"");
            }
        }
        self.accept_run(digits);
        if self.accept(b".") {
            self.accept_run(digits);
        }
        if self.accept(exponent) {
            self.accept(b"+-");
            self.accept_run(b"0123456789_");
        }
        self.accept(b"i");
        match self.peek().filter(|c| is_alphanumeric(*c)) {
            Some(c) => {
                self.pos += c.len_utf8();
                false
            }
            None => true,
        }
    }

    fn accept(&mut self, valid: &[u8]) -> bool {
        let yes = self.rest().first().is_some_and(|b| valid.contains(b));
        self.pos += usize::from(yes);
        yes
    }

    fn accept_run(&mut self, valid: &[u8]) {
        while self.accept(valid) {}
    }

    /// Whether `}}` is next, and whether it trims.
    fn at_right_delim(&self) -> Option<bool> {
        match self.rest() {
            [space, b'-', b'}', b'}', ..] if is_space(*space) => Some(true),
            [b'}', b'}', ..] => Some(false),
            _ => None,
        }
    }

    fn at_terminator(&self) -> bool {
        match self.rest() {
            [] => true,
            [b, ..] if is_space(*b) || b".,|:()".contains(b) => true,
            rest => rest.starts_with(b"}}"),
        }
    }

    fn single(&mut self, kind: Kind) {
        self.pos += 1;
        self.emit(kind);
    }

    fn emit(&mut self, kind: Kind) {
        let end = self.pos.min(self.input.len());
        self.tokens.push(Token { kind, span: Span { start: self.start.min(end), end } });
        self.start = self.pos;
    }

    fn rest(&self) -> &[u8] {
        self.from(self.pos)
    }

    fn from(&self, pos: usize) -> &[u8] {
        self.input.get(pos..).unwrap_or_default()
    }

    /// The next character; a byte that is not UTF-8 is U+FFFD.
    fn peek(&self) -> Option<char> {
        let rest = self.rest();
        let head = rest.get(..rest.len().min(4)).unwrap_or_default();
        head.first()?;
        let chunk = head.utf8_chunks().next()?;
        Some(chunk.valid().chars().next().unwrap_or(char::REPLACEMENT_CHARACTER))
    }
}

pub(crate) fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\r' | b'\n')
}

fn is_alphanumeric(c: char) -> bool {
    c == '_' || c.is_alphabetic() || c.is_numeric()
}

fn has_left_marker(rest: &[u8]) -> bool {
    matches!(rest, [b'-', space, ..] if is_space(*space))
}

fn trailing_space(text: &[u8]) -> usize {
    text.iter().rev().take_while(|b| is_space(**b)).count()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(haystack, needle)
}
