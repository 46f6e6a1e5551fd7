//! `/warewulf/config`: shell assignments, read without a shell. Pure.
//!
//! A node without any shell boots as well, and a value never runs as a command. Quotes, escapes, `export`, comments and
//! references to names assigned before are read as a POSIX shell does (XCU 2.2, 2.3, 2.6.2); what would need a shell
//! (command substitution, arithmetic) is refused for that line, and the rest counts.

use std::iter::Peekable;
use std::str::Chars;

/// The assignments in order, each name once with its last value, and what could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    pub assignments: Vec<(String, String)>,
    pub complaints: Vec<Complaint>,
}

/// A line that is not an assignment this program can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// Counted from 1.
    pub line: usize,
    pub reason: &'static str,
}

impl Config {
    /// The value of a name; absent and empty are the same.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.assignments.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str()).filter(|v| !v.is_empty())
    }

    fn assign(&mut self, name: String, value: String) {
        match self.assignments.iter_mut().find(|(n, _)| *n == name) {
            Some(place) => place.1 = value,
            None => self.assignments.push((name, value)),
        }
    }
}

/// Reads the whole file.
pub fn parse(text: &str) -> Config {
    let mut config = Config::default();
    let mut reader = Reader { rest: text.chars().peekable(), line: 1 };
    while reader.rest.peek().is_some() {
        let line = reader.line;
        if let Err(reason) = reader.command(&mut config) {
            config.complaints.push(Complaint { line, reason });
            reader.skip_line();
        }
    }
    config
}

/// Splits a value such as WWINIT's into a program and its arguments, by the same quoting.
pub fn words(text: &str) -> Vec<String> {
    let mut reader = Reader { rest: text.chars().peekable(), line: 1 };
    let mut words = Vec::new();
    let nothing = Config::default();
    loop {
        while reader.rest.next_if(|c| c.is_whitespace() || *c == ';').is_some() {}
        if reader.rest.peek().is_none() {
            return words;
        }
        match reader.word(&nothing) {
            Ok(word) => words.push(word),
            Err(_) => {
                words.push(reader.rest.by_ref().collect());
                return words;
            }
        }
    }
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    line: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.next();
        self.line += usize::from(c == Some('\n'));
        c
    }

    fn skip_line(&mut self) {
        while let Some(c) = self.next() {
            if c == '\n' {
                return;
            }
        }
    }

    /// One line: assignments, perhaps after `export`, perhaps before a comment.
    fn command(&mut self, config: &mut Config) -> Result<(), &'static str> {
        loop {
            match self.rest.peek() {
                None => return Ok(()),
                Some('\n' | ';') => {
                    self.next();
                    return Ok(());
                }
                Some('#') => {
                    self.skip_line();
                    return Ok(());
                }
                Some(c) if c.is_whitespace() => {
                    self.next();
                }
                Some(_) => self.assignment(config)?,
            }
        }
    }

    fn assignment(&mut self, config: &mut Config) -> Result<(), &'static str> {
        let mut name = String::new();
        while let Some(c) = self.rest.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
            name.push(c);
        }
        if name == "export" && self.rest.peek().is_none_or(|c| c.is_whitespace()) {
            return Ok(());
        }
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err("not an assignment: a name of letters, digits and _ must come first");
        }
        if self.rest.next_if_eq(&'=').is_none() {
            return Err("not an assignment: `=` must follow the name without a blank");
        }
        let value = self.word(config)?;
        config.assign(name, value);
        Ok(())
    }

    fn word(&mut self, known: &Config) -> Result<String, &'static str> {
        let mut word = String::new();
        loop {
            match self.rest.peek() {
                None | Some('\n' | ';') => return Ok(word),
                Some(c) if c.is_whitespace() => return Ok(word),
                Some('&' | '|' | '<' | '>' | '(' | ')') => return Err("a shell's operator: put the value in quotes"),
                Some('`') => return Err("command substitution needs a shell"),
                Some('\'') => {
                    self.next();
                    self.single(&mut word)?;
                }
                Some('"') => {
                    self.next();
                    self.double(&mut word, known)?;
                }
                Some('\\') => {
                    self.next();
                    match self.next() {
                        Some('\n') | None => {}
                        Some(c) => word.push(c),
                    }
                }
                Some('$') => {
                    self.next();
                    self.reference(&mut word, known)?;
                }
                Some(_) => word.extend(self.next()),
            }
        }
    }

    fn single(&mut self, word: &mut String) -> Result<(), &'static str> {
        loop {
            match self.next() {
                None => return Err("a single quote is never closed"),
                Some('\'') => return Ok(()),
                Some(c) => word.push(c),
            }
        }
    }

    fn double(&mut self, word: &mut String, known: &Config) -> Result<(), &'static str> {
        loop {
            match self.next() {
                None => return Err("a double quote is never closed"),
                Some('"') => return Ok(()),
                Some('`') => return Err("command substitution needs a shell"),
                Some('$') => self.reference(word, known)?,
                Some('\\') => match self.next() {
                    None => return Err("a double quote is never closed"),
                    Some('\n') => {}
                    Some(c @ ('"' | '\\' | '$' | '`')) => word.push(c),
                    Some(c) => word.extend(['\\', c]),
                },
                Some(c) => word.push(c),
            }
        }
    }

    fn reference(&mut self, word: &mut String, known: &Config) -> Result<(), &'static str> {
        let braced = self.rest.next_if_eq(&'{').is_some();
        let mut name = String::new();
        while let Some(c) = self.rest.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
            name.push(c);
        }
        if braced && self.rest.next_if_eq(&'}').is_none() {
            return Err("only ${NAME} is known after `$`");
        }
        match (name.is_empty(), self.rest.peek()) {
            (true, Some('(')) => return Err("command substitution needs a shell"),
            (true, _) if braced => return Err("only ${NAME} is known after `$`"),
            (true, _) => word.push('$'),
            (false, _) => word.push_str(known.value(&name).unwrap_or_default()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let config = parse(text);
        assert_eq!(config.complaints, [], "{text}");
        config.assignments
    }

    fn one(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn assignments_are_read_as_a_shell_reads_them() {
        let table = [
            ("A=1\nB='two words'\n", vec![one("A", "1"), one("B", "two words")]),
            ("export A=1", vec![one("A", "1")]),
            ("A=1 B=2 # both\n#C=3", vec![one("A", "1"), one("B", "2")]),
            ("A='it'\\''s'", vec![one("A", "it's")]),
            ("A=\"a \\\"b\\\" \\$c \\x\"", vec![one("A", "a \"b\" $c \\x")]),
            ("A=a\\ b", vec![one("A", "a b")]),
            ("A='one\ntwo'\nB=3", vec![one("A", "one\ntwo"), one("B", "3")]),
            ("A=x#y", vec![one("A", "x#y")]),
            ("A=", vec![one("A", "")]),
            ("A=1;B=2", vec![one("A", "1"), one("B", "2")]),
            ("A=1\nA=2", vec![one("A", "2")]),
            ("H=n1\nF=\"${H}.cluster\"\nG=$H-x", vec![one("H", "n1"), one("F", "n1.cluster"), one("G", "n1-x")]),
            ("P='$(reboot)`x`'", vec![one("P", "$(reboot)`x`")]),
            ("A=5$", vec![one("A", "5$")]),
            ("  \n\n", vec![]),
        ];
        for (text, want) in table {
            assert_eq!(pairs(text), want, "{text}");
        }
    }

    #[test]
    fn what_needs_a_shell_is_refused_with_its_line_and_the_rest_counts() {
        let config = parse("A=1\nB=$(hostname)\nif true\nC=3\nD='open\n");
        assert_eq!(config.assignments, [one("A", "1"), one("C", "3")]);
        let lines: Vec<_> = config.complaints.iter().map(|c| c.line).collect();
        assert_eq!(lines, [2, 3, 5]);
        assert_eq!(config.complaints.first().map(|c| c.reason), Some("command substitution needs a shell"));
    }

    #[test]
    fn init_may_carry_arguments() {
        assert_eq!(words("/sbin/init --log-level=debug 'a b'"), ["/sbin/init", "--log-level=debug", "a b"]);
        assert_eq!(words("  "), Vec::<String>::new());
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in any::<String>()) {
            let _ = parse(&text);
            let _ = words(&text);
        }

        #[test]
        fn what_the_overlay_quotes_comes_back_whole(values in prop::collection::vec("[^\0]{0,30}", 1..6)) {
            // As the template does: in single quotes, each quote of the value as '\''.
            let text: String =
                values.iter().enumerate().map(|(i, v)| format!("WW{i}='{}'\n", v.replace('\'', "'\\''"))).collect();
            let want: Vec<_> = values.iter().enumerate().map(|(i, v)| (format!("WW{i}"), v.clone())).collect();
            prop_assert_eq!(parse(&text), Config { assignments: want, complaints: vec![] });
        }
    }
}
