//! `wwctl completion`: what a shell may offer for the next word. The shells' scripts only ask `wwctl __complete WORDS` and
//! show the answer: a candidate a line, a tab before its help, and last `:4` (nothing else) or `:0` (files as well).

use std::ffi::OsString;

use clap::{Args, Command, ValueEnum};

use super::words::Place;
use super::{Global, say};
use crate::build::trees;
use crate::image::{kernels, shelf};
use crate::site::Site;
use crate::store::nodes;

#[derive(Debug, Args)]
pub struct Arguments {
    /// The shell that asks
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    Powershell,
}

#[derive(Debug, Args)]
pub struct Words {
    /// The words behind `wwctl`, the unfinished one last
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

/// Prints the script for a shell.
///
/// # Errors
/// When stdout does not take it.
pub fn script(arguments: &Arguments) -> anyhow::Result<()> {
    say::answer(match arguments.shell {
        Shell::Bash => include_str!("completion/wwctl.bash"),
        Shell::Zsh => include_str!("completion/wwctl.zsh"),
        Shell::Fish => include_str!("completion/wwctl.fish"),
        Shell::Powershell => include_str!("completion/wwctl.ps1"),
    })
}

/// Prints the candidates. A site that cannot be read has none: a shell is no place for errors.
///
/// # Errors
/// When stdout does not take it.
pub fn complete(root: &mut Command, global: &Global, words: &Words) -> anyhow::Result<()> {
    root.build();
    let words: Vec<String> = words.words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let (last, before) = words.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let mut place = Place::before_all(root);
    for word in before {
        place.step(word);
    }
    let conf = place.values.iter().rev().find(|(flag, _)| *flag == "warewulfconf").map(|(_, file)| file.into());
    let conf = conf.or_else(|| global.warewulfconf.clone());
    let site = Site::load(&Global { warewulfconf: conf, ..global.clone() }).ok();
    let (lines, files) = candidates(&place, last, site.as_ref());
    let mut text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    text.push_str(if files { ":0\n" } else { ":4\n" });
    say::answer(&text)
}

/// What may come next, and whether files may.
fn candidates(place: &Place<'_>, last: &str, site: Option<&Site>) -> (Vec<String>, bool) {
    let of = |what: What| (site.map_or(Vec::new(), |site| known(site, place, &what)), false);
    if let Some(flag) = place.waiting {
        return match of_flag(flag.get_id().as_str()) {
            Some(what) => (after_a_comma(last, flag.get_id().as_str(), of(what).0), false),
            None => (possible(flag), flag.get_possible_values().is_empty()),
        };
    }
    if !place.literal
        && let Some((name, value)) = last.strip_prefix("--").and_then(|flag| flag.split_once('='))
        && let Some(flag) = place.long(name)
    {
        let Some(what) = of_flag(flag.get_id().as_str()) else { return (possible(flag), false) };
        return (after_a_comma(value, name, of(what).0), false);
    }
    if !place.literal && last.starts_with('-') {
        return (flags(place.command, last), false);
    }
    if place.command.has_subcommands() {
        let verbs = place.command.get_subcommands().filter(|verb| !verb.is_hide_set());
        let fitting = verbs.filter(|verb| verb.get_name().starts_with(last));
        let line = |verb: &Command| {
            format!("{}\t{}", verb.get_name(), verb.get_about().map_or_else(String::new, ToString::to_string))
        };
        return (fitting.map(line).collect(), false);
    }
    match next(&place.path, place.said.len()) {
        Next::Files => (Vec::new(), true),
        Next::Nothing => (Vec::new(), false),
        Next::Known(what) => of(what),
    }
}

/// What is on this controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Nodes,
    Profiles,
    Images,
    Overlays,
    /// Of the overlay that was named first.
    OverlayFiles,
    Kernels,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Known(What),
    Files,
    Nothing,
}

/// What the word `at` (from 0) of a verb is.
fn next(path: &[&str], at: usize) -> Next {
    match (path, at) {
        (["node", "import"], 0) | (["image", "import"], 0) | (["overlay", "import"], 1) => Next::Files,
        (["node", "add" | "import"] | ["profile", "add"] | ["image", "import"] | ["overlay", "create"], _) => {
            Next::Nothing
        }
        (["node" | "power", _] | ["overlay", "build"], _) | (["ssh"], 0) => Next::Known(What::Nodes),
        (["profile", _], _) => Next::Known(What::Profiles),
        (["image", "build" | "delete" | "kernels" | "list"], _) | (["image", _], 0) => Next::Known(What::Images),
        (["overlay", "list"], _) | (["overlay", _], 0) => Next::Known(What::Overlays),
        (["overlay", _], 1) => Next::Known(What::OverlayFiles),
        _ => Next::Nothing,
    }
}

fn of_flag(id: &str) -> Option<What> {
    match id {
        "profile" => Some(What::Profiles),
        "image" => Some(What::Images),
        "runtime-overlays" | "system-overlays" => Some(What::Overlays),
        "kernelversion" => Some(What::Kernels),
        "render" => Some(What::Nodes),
        _ => None,
    }
}

/// Of a list, the words before the last comma stay in front of each candidate.
fn after_a_comma(last: &str, flag: &str, candidates: Vec<String>) -> Vec<String> {
    match last.rsplit_once(',') {
        Some((before, _)) if matches!(flag, "runtime-overlays" | "system-overlays" | "profile") => {
            candidates.into_iter().map(|each| format!("{before},{each}")).collect()
        }
        _ => candidates,
    }
}

fn possible(flag: &clap::Arg) -> Vec<String> {
    flag.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect()
}

fn flags(command: &Command, begun: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for flag in command.get_arguments().filter(|flag| !flag.is_hide_set()) {
        let help = flag.get_help().map_or_else(String::new, ToString::to_string);
        let names = [flag.get_long().map(|name| format!("--{name}")), flag.get_short().map(|name| format!("-{name}"))];
        let fitting = names.into_iter().flatten().filter(|name| name.starts_with(begun));
        lines.extend(fitting.map(|name| format!("{name}\t{help}")));
    }
    lines.sort();
    lines
}

/// The names, sorted; those that cannot be read are not there.
fn known(site: &Site, place: &Place<'_>, what: &What) -> Vec<String> {
    let conf = || nodes::load(site).unwrap_or_default();
    match what {
        What::Nodes => conf().nodes.into_keys().collect(),
        What::Profiles => conf().profiles.into_keys().collect(),
        What::Images => shelf::all(site).unwrap_or_default().into_iter().map(|image| image.name).collect(),
        What::Overlays => {
            let mut names: Vec<String> = trees::all(&site.conf).into_iter().map(|overlay| overlay.name).collect();
            names.sort();
            names.dedup();
            names
        }
        What::OverlayFiles => {
            let overlay = place.said.first().and_then(|name| trees::find(&site.conf, name));
            let entries = overlay.and_then(|overlay| trees::read(&overlay).ok()).unwrap_or_default();
            entries.iter().map(super::overlay::shown).collect()
        }
        What::Kernels => {
            let conf = conf();
            let named: Vec<String> = if place.path.first() == Some(&"profile") {
                place.said.iter().filter_map(|name| conf.profiles.get(name)).map(|p| p.image_name.clone()).collect()
            } else {
                let ids = model::hostlist::expand(&place.said);
                ids.iter().filter_map(|id| conf.merged(id)).map(|node| node.profile.image_name).collect()
            };
            // An image that the same line names is the one that counts.
            let said = place.values.iter().rev().find(|(flag, _)| *flag == "image").map(|(_, name)| name.clone());
            let mut lines: Vec<String> = Vec::new();
            for image in said.map_or(named, |name| vec![name]).iter().filter_map(|name| shelf::image(site, name).ok()) {
                for kernel in kernels::list(&image.rootfs) {
                    lines.extend([kernel.release.clone(), kernel.inside.display().to_string()]);
                }
            }
            lines.retain(|line| !line.is_empty());
            lines.sort();
            lines.dedup();
            lines
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verb_says_what_its_words_are() {
        for (path, at, wanted) in [
            (&["node", "set"][..], 3, Next::Known(What::Nodes)),
            (&["node", "add"], 0, Next::Nothing),
            (&["node", "import"], 0, Next::Files),
            (&["power", "on"], 1, Next::Known(What::Nodes)),
            (&["overlay", "build"], 1, Next::Known(What::Nodes)),
            (&["overlay", "show"], 0, Next::Known(What::Overlays)),
            (&["overlay", "show"], 1, Next::Known(What::OverlayFiles)),
            (&["overlay", "import"], 1, Next::Files),
            (&["overlay", "create"], 0, Next::Nothing),
            (&["image", "copy"], 0, Next::Known(What::Images)),
            (&["image", "copy"], 1, Next::Nothing),
            (&["image", "import"], 0, Next::Files),
            (&["profile", "delete"], 1, Next::Known(What::Profiles)),
            (&["ssh"], 0, Next::Known(What::Nodes)),
            (&["ssh"], 1, Next::Nothing),
        ] {
            assert_eq!(next(path, at), wanted, "{path:?} {at}");
        }
    }
}
