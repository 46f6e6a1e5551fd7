//! The manual, made from the one description of the command line: `genconfig man` for man(1), `genconfig reference` as
//! reStructuredText. One page a noun and a verb.

use std::path::Path;

use anyhow::Context;
use clap::{Arg, Command};

use crate::store::publish;

/// In which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// roff, `wwctl-node-set.1`.
    Man,
    /// reStructuredText, `wwctl_node_set.rst`.
    Reference,
}

/// Writes all pages into a folder, which is made.
///
/// # Errors
/// When the folder cannot be written.
pub fn write(root: &mut Command, folder: &Path, form: Form) -> anyhow::Result<()> {
    root.build();
    std::fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    for (name, text) in pages(root, form) {
        let file = folder.join(name);
        publish::replace_for_now(&file, 0o644, text.as_bytes()).with_context(|| format!("write {}", file.display()))?;
    }
    publish::sync_all(folder).with_context(|| format!("write {}", folder.display()))
}

/// File name and text of each page.
fn pages(root: &Command, form: Form) -> Vec<(String, String)> {
    let mut pages = Vec::new();
    collect(root, &[root.get_name()], form, &mut pages);
    pages
}

fn collect<'a>(command: &'a Command, path: &[&'a str], form: Form, pages: &mut Vec<(String, String)>) {
    pages.push(match form {
        Form::Man => (format!("{}.1", path.join("-")), man(command, path)),
        Form::Reference => (format!("{}.rst", path.join("_")), reference(command, path)),
    });
    for verb in verbs(command) {
        collect(verb, &[path, &[verb.get_name()]].concat(), form, pages);
    }
}

fn verbs(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|verb| !verb.is_hide_set() && verb.get_name() != "help")
}

fn about(command: &Command) -> String {
    command.get_about().map_or_else(String::new, ToString::to_string)
}

/// The command with its words, in brackets what may be left out.
fn synopsis(command: &Command, path: &[&str]) -> String {
    let mut text = path.join(" ");
    if command.has_subcommands() {
        text.push_str(" VERB");
    }
    text.push_str(" [FLAG]...");
    for word in command.get_positionals() {
        let names = word
            .get_value_names()
            .map_or_else(String::new, |names| names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
        let more = if word.get_num_args().is_some_and(|count| count.max_values() > 1) { "..." } else { "" };
        let shown = if word.is_required_set() { format!(" {names}{more}") } else { format!(" [{names}]{more}") };
        text.push_str(&shown);
    }
    text
}

/// `-y, --yes`, `--image TEXT`.
fn spelled(flag: &Arg) -> String {
    let short = flag.get_short().map(|letter| format!("-{letter}"));
    let long = flag.get_long().map(|name| format!("--{name}"));
    let mut text = [short, long].into_iter().flatten().collect::<Vec<_>>().join(", ");
    if flag.get_action().takes_values() {
        let name = flag.get_value_names().and_then(|names| names.first()).map_or("VALUE", |name| name.as_str());
        text.push_str(&if flag.is_require_equals_set() { format!("[={name}]") } else { format!(" {name}") });
    }
    text
}

fn flags(command: &Command) -> impl Iterator<Item = (String, String)> + '_ {
    let shown = command.get_arguments().filter(|flag| !flag.is_positional() && !flag.is_hide_set());
    shown.map(|flag| (spelled(flag), flag.get_help().map_or_else(String::new, ToString::to_string)))
}

/// Other names of the command, in a row.
fn aliases(command: &Command) -> String {
    command.get_visible_aliases().collect::<Vec<_>>().join(", ")
}

fn man(command: &Command, path: &[&str]) -> String {
    let name = path.join("-");
    let mut text = format!(
        ".TH \"{}\" 1 \"\" \"wwctl {}\" \"Warewulf\"\n.SH NAME\n{} \\- {}\n.SH SYNOPSIS\n{}\n",
        escaped(&name.to_uppercase()),
        env!("CARGO_PKG_VERSION"),
        escaped(&name),
        escaped(&about(command)),
        escaped(&synopsis(command, path))
    );
    if !aliases(command).is_empty() {
        text.push_str(&format!(".SH ALIASES\n{}\n", escaped(&aliases(command))));
    }
    text.push_str(".SH FLAGS\n");
    for (flag, help) in flags(command) {
        text.push_str(&format!(".TP\n\\fB{}\\fR\n{}\n", escaped(&flag), escaped(&help)));
    }
    let below: Vec<&Command> = verbs(command).collect();
    if !below.is_empty() {
        text.push_str(".SH VERBS\n");
    }
    for verb in below {
        let page = format!("{name}-{}", verb.get_name());
        text.push_str(&format!(".TP\n\\fB{}\\fR(1)\n{}\n", escaped(&page), escaped(&about(verb))));
    }
    if let Some((_, above)) = path.split_last().filter(|(_, above)| !above.is_empty()) {
        text.push_str(&format!(".SH SEE ALSO\n\\fB{}\\fR(1)\n", escaped(&above.join("-"))));
    }
    text
}

/// Text for roff: no dash becomes a hyphen, no line begins with a request.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    match text.chars().next() {
        Some('.' | '\'') => format!("\\&{text}"),
        _ => text,
    }
}

fn reference(command: &Command, path: &[&str]) -> String {
    let title = path.join(" ");
    let mut text = format!(
        ".. _{}:\n\n{title}\n{}\n\n{}\n\n::\n\n  {}\n",
        path.join("_"),
        "-".repeat(title.len()),
        about(command),
        synopsis(command, path)
    );
    if !aliases(command).is_empty() {
        text.push_str(&format!("\nAliases: {}\n", aliases(command)));
    }
    text.push_str("\nFlags\n~~~~~\n\n");
    for (flag, help) in flags(command) {
        text.push_str(&format!("``{flag}``\n  {help}\n\n"));
    }
    let below: Vec<&Command> = verbs(command).collect();
    if !below.is_empty() {
        text.push_str("Verbs\n~~~~~\n\n");
    }
    for verb in below {
        text.push_str(&format!("* :ref:`{}_{}`: {}\n", path.join("_"), verb.get_name(), about(verb)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ArgAction;

    fn tree() -> Command {
        let set = Command::new("set")
            .about("Change nodes")
            .visible_alias("modify")
            .disable_help_flag(true)
            .arg(Arg::new("yes").long("yes").short('y').action(ArgAction::SetTrue).help("Don't ask"))
            .arg(Arg::new("image").long("image").value_name("TEXT").help("The image"))
            .arg(Arg::new("nodes").value_name("NODE").num_args(0..));
        let node = Command::new("node").about("Nodes").subcommand(set).subcommand(Command::new("secret").hide(true));
        let mut tree = Command::new("wwctl").about("All").subcommand(node);
        tree.build();
        tree
    }

    #[test]
    fn a_verb_has_a_page_of_its_own_in_both_forms() {
        let names = |form| pages(&tree(), form).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(Form::Man), ["wwctl.1", "wwctl-node.1", "wwctl-node-set.1"]);
        let man = pages(&tree(), Form::Man).pop().unwrap().1;
        let wanted = ".SH NAME\nwwctl\\-node\\-set \\- Change nodes\n.SH SYNOPSIS\nwwctl node set [FLAG]... [NODE]...\n\
                      .SH ALIASES\nmodify\n.SH FLAGS\n.TP\n\\fB\\-y, \\-\\-yes\\fR\nDon't ask\n\
                      .TP\n\\fB\\-\\-image TEXT\\fR\nThe image\n.SH SEE ALSO\n\\fBwwctl\\-node\\fR(1)\n";
        assert_eq!(man.split_once('\n').unwrap().1, wanted);
        let reference = pages(&tree(), Form::Reference).pop().unwrap();
        assert_eq!(reference.0, "wwctl_node_set.rst");
        let wanted = ".. _wwctl_node_set:\n\nwwctl node set\n--------------\n\nChange nodes\n\n::\n\n  \
                      wwctl node set [FLAG]... [NODE]...\n\nAliases: modify\n\nFlags\n~~~~~\n\n\
                      ``-y, --yes``\n  Don't ask\n\n``--image TEXT``\n  The image\n\n";
        assert_eq!(reference.1, wanted);
    }
}
