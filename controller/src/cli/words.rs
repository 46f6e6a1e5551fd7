//! The words of a command line held against the tree of commands: which verb, which flag, what belongs to whom.
//!
//! Two readers: [`plain`] brings switches that are written with a value (`--yes=false`) into the form that clap knows, and
//! completion learns where on the line it stands. Nothing is decided about what the words mean.

use std::ffi::{OsStr, OsString};

use clap::{Arg, ArgAction, Command};

/// Where on a line somebody stands who has said some words.
#[derive(Debug)]
pub struct Place<'a> {
    /// The noun or verb so far.
    pub command: &'a Command,
    /// Their own names from the top, without aliases: `["node", "set"]`.
    pub path: Vec<&'a str>,
    /// What stood there that was no flag.
    pub said: Vec<String>,
    /// Values of flags: id of the flag, value.
    pub values: Vec<(&'a str, String)>,
    /// The flag whose value comes next.
    pub waiting: Option<&'a Arg>,
    /// No flags any more: `--` was said, or a foreign command began.
    pub literal: bool,
}

impl<'a> Place<'a> {
    /// At the beginning. `root` must be built ([`Command::build`]), so that flags of the top are known below.
    pub fn before_all(root: &'a Command) -> Place<'a> {
        Place { command: root, path: Vec::new(), said: Vec::new(), values: Vec::new(), waiting: None, literal: false }
    }

    /// One word further.
    pub fn step(&mut self, word: &str) {
        if let Some(flag) = self.waiting.take() {
            self.values.push((flag.get_id().as_str(), word.to_owned()));
        } else if self.literal || word == "-" || !word.starts_with('-') {
            self.plain_word(word);
        } else if word == "--" {
            self.literal = true;
        } else if let Some(long) = word.strip_prefix("--") {
            match long.split_once('=') {
                Some((name, value)) => {
                    let flag = self.long(name);
                    self.values.extend(flag.map(|flag| (flag.get_id().as_str(), value.to_owned())));
                }
                None => self.waiting = self.long(long).filter(|flag| takes_next(flag)),
            }
        } else {
            let letters = word.get(1..).unwrap_or_default();
            for (at, letter) in letters.char_indices() {
                let Some(flag) = self.short(letter) else { return };
                let rest = letters.get(at + letter.len_utf8()..).unwrap_or_default();
                if rest.starts_with('=') || (takes_next(flag) && !rest.is_empty()) {
                    let value = rest.strip_prefix('=').unwrap_or(rest);
                    self.values.push((flag.get_id().as_str(), value.to_owned()));
                    return;
                }
                self.waiting = Some(flag).filter(|flag| takes_next(flag));
            }
        }
    }

    fn plain_word(&mut self, word: &str) {
        let verb = self.command.find_subcommand(word).filter(|_| self.said.is_empty() && !self.literal);
        if let Some(verb) = verb {
            self.command = verb;
            self.path.push(verb.get_name());
            return;
        }
        self.said.push(word.to_owned());
        let takes_rest = |arg: &&Arg| arg.is_trailing_var_arg_set();
        let begins = self.command.get_positionals().find(takes_rest).and_then(Arg::get_index);
        if begins.is_some_and(|index| self.said.len() >= index) {
            self.literal = true;
        }
    }

    /// The flag of that long name.
    pub fn long(&self, name: &str) -> Option<&'a Arg> {
        self.command.get_arguments().find(|arg| arg.get_long() == Some(name))
    }

    fn short(&self, letter: char) -> Option<&'a Arg> {
        self.command.get_arguments().find(|arg| arg.get_short() == Some(letter))
    }
}

/// Whether the next word is the flag's value, when none is stuck to it.
fn takes_next(flag: &Arg) -> bool {
    flag.get_action().takes_values() && !flag.is_require_equals_set()
}

/// The line as clap understands it: of switches with a value, `--yes=true` is `--yes`, and `--yes=false` is not said.
pub fn plain(root: &Command, line: &[OsString]) -> Vec<OsString> {
    let mut place = Place::before_all(root);
    let mut out: Vec<OsString> = line.iter().take(1).cloned().collect();
    for word in line.iter().skip(1) {
        let Some(text) = word.to_str() else {
            place.step(&word.to_string_lossy());
            out.push(word.clone());
            continue;
        };
        if place.waiting.is_some() || place.literal {
            out.push(word.clone());
        } else {
            out.extend(without_value(&place, text).unwrap_or_else(|| Some(word.clone())));
        }
        place.step(text);
    }
    out
}

/// What stands for a switch with a value; None: this is none, or its value is no truth.
fn without_value(place: &Place<'_>, word: &str) -> Option<Option<OsString>> {
    let (flags, value) = word.split_once('=')?;
    let truth = truth(value)?;
    let is_switch = |arg: Option<&Arg>| arg.is_some_and(|arg| matches!(arg.get_action(), ArgAction::SetTrue));
    if let Some(name) = flags.strip_prefix("--") {
        return is_switch(place.long(name)).then(|| truth.then(|| OsStr::new(flags).to_owned()));
    }
    let letters = flags.strip_prefix('-').filter(|letters| !letters.is_empty())?;
    if !letters.chars().all(|letter| is_switch(place.short(letter))) {
        return None;
    }
    // The value is the last letter's; those before it are said.
    let kept = if truth { flags } else { flags.get(..flags.len() - letters.chars().next_back()?.len_utf8())? };
    Some((kept.len() > 1).then(|| OsStr::new(kept).to_owned()))
}

/// A switch's value, in the words that stock takes for one.
pub fn truth(word: &str) -> Option<bool> {
    match word {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Some(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// As clap asks for it.
///
/// # Errors
/// When it is neither.
pub fn truth_value(word: &str) -> Result<bool, String> {
    truth(word).ok_or_else(|| "write true or false".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Command {
        let switch = |name: &'static str, short| Arg::new(name).long(name).short(short).action(ArgAction::SetTrue);
        let list = Command::new("list")
            .visible_alias("ls")
            .arg(switch("all", 'a'))
            .arg(switch("yes", 'y'))
            .arg(Arg::new("image").long("image").short('i'))
            .arg(Arg::new("onboot").long("onboot").require_equals(true).num_args(0..=1))
            .arg(Arg::new("names").num_args(0..));
        let ssh = Command::new("ssh")
            .arg(switch("dry", 'n'))
            .arg(Arg::new("node"))
            .arg(Arg::new("command").num_args(1..).trailing_var_arg(true).allow_hyphen_values(true));
        let mut tree = Command::new("x").subcommand(Command::new("node").subcommand(list)).subcommand(ssh);
        tree.build();
        tree
    }

    fn plained(line: &str) -> String {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        plain(&tree(), &words).join(OsStr::new(" ")).into_string().unwrap()
    }

    #[test]
    fn switches_with_a_value_are_said_or_not() {
        for (line, plain) in [
            ("x node list --all=true n1", "x node list --all n1"),
            ("x node ls --all=false n1", "x node ls n1"),
            ("x node list -y=1 -a=F", "x node list -y"),
            ("x node list -ay=false", "x node list -a"),
            ("x node list --all=maybe", "x node list --all=maybe"),
            ("x node list --onboot=false --image=true", "x node list --onboot=false --image=true"),
            ("x node list --image --all=true", "x node list --image --all=true"),
            ("x node list -- --all=true", "x node list -- --all=true"),
            ("x ssh -n=true n1 ls --all=true -n=false", "x ssh -n n1 ls --all=true -n=false"),
        ] {
            assert_eq!(plained(line), plain);
        }
    }

    #[test]
    fn a_place_knows_verb_words_and_whose_value_comes_next() {
        let tree = tree();
        let mut place = Place::before_all(&tree);
        for word in ["node", "ls", "-ai", "oak", "n1", "--image=elm", "--onboot", "n2", "--image"] {
            place.step(word);
        }
        assert_eq!(place.path, ["node", "list"]);
        assert_eq!(place.said, ["n1", "n2"]);
        assert_eq!(place.values, [("image", "oak".to_owned()), ("image", "elm".to_owned())]);
        assert_eq!(place.waiting.map(|flag| flag.get_id().as_str()), Some("image"));
    }
}
