//! The flags of `set`, `add` and `unset`, made from the one table of fields in the model.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use model::fields::{self, DISK, FILESYSTEM, Field, Lens, NETWORK, NODE, PARTITION};
use model::flags::Given;

use super::say;

/// Old names of flags, and what they are called now.
const OLD: [(&str, Option<char>, &str); 3] =
    [("container", Some('C'), "image"), ("wwinit", None, "system-overlays"), ("runtime", None, "runtime-overlays")];

/// Names of things, not values: which network, disk, partition, file system.
const NAMES: [(&str, &str); 4] = [
    ("netname", "Which network (default: default)"),
    ("diskname", "Which disk, by its device"),
    ("partname", "Which partition, by its label"),
    ("fsname", "Which file system, by its device or partition"),
];

const ADDS: [(&str, &str); 3] = [
    ("tagadd", "Add tags (KEY=VALUE,...)"),
    ("nettagadd", "Add tags to the network (KEY=VALUE,...)"),
    ("ipmitagadd", "Add tags to the BMC (KEY=VALUE,...)"),
];

const DELS: [(&str, &str); 7] = [
    ("tagdel", "Remove tags"),
    ("nettagdel", "Remove tags of the network"),
    ("ipmitagdel", "Remove tags of the BMC"),
    ("netdel", "Remove a network"),
    ("diskdel", "Remove a disk"),
    ("partdel", "Remove a partition"),
    ("fsdel", "Remove a file system"),
];

const TAGS: [(&str, &str); 3] =
    [("tag", "Tags to take away"), ("nettag", "Tags of the network"), ("ipmitag", "Tags of the BMC")];

/// The flags of `add`, and with `DELS` those of `set`; with `NODE` those that only nodes have, too.
#[derive(Clone, Debug)]
pub struct SetFlags<const OF_NODE: bool, const WITH_DELS: bool>(pub Given);

/// The flags of `unset`.
#[derive(Clone, Debug)]
pub struct UnsetFlags<const OF_NODE: bool>(pub Given);

/// What a flag takes.
#[derive(Clone, Copy, PartialEq)]
enum Takes {
    Word,
    Words,
    Truth,
    Nothing,
}

fn arg(flag: &'static str, short: Option<char>, help: &'static str, takes: Takes) -> Arg {
    let arg = Arg::new(flag).long(flag).help(help);
    let arg = match short {
        Some(short) => arg.short(short),
        None => arg,
    };
    match takes {
        Takes::Word => arg.action(ArgAction::Set).allow_hyphen_values(true).value_name("TEXT"),
        Takes::Words => arg.action(ArgAction::Append).allow_hyphen_values(true).value_name("TEXT,..."),
        Takes::Truth => arg
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .value_name("TRUE"),
        Takes::Nothing => arg.action(ArgAction::SetTrue),
    }
}

fn takes<T>(field: &Field<T>) -> Takes {
    match field.lens {
        Lens::Text(..) | Lens::Ip(..) => Takes::Word,
        Lens::List(..) => Takes::Words,
        Lens::Truth(..) | Lens::Bool(..) => Takes::Truth,
    }
}

/// Every field that has a flag: its name, short name, help, kind.
fn all(of_node: bool) -> Vec<(&'static str, Option<char>, &'static str, Takes)> {
    fn some<T>(fields: &'static [Field<T>]) -> impl Iterator<Item = (&'static str, Option<char>, &'static str, Takes)> {
        fields.iter().filter(|field| !field.flag.is_empty()).map(row)
    }
    fn row<T>(field: &'static Field<T>) -> (&'static str, Option<char>, &'static str, Takes) {
        (field.flag, field.short, field.help, takes(field))
    }
    let mut rows: Vec<_> = if of_node { some(NODE).collect() } else { Vec::new() };
    rows.extend(fields::profile_fields().map(row));
    rows.extend(some(NETWORK));
    rows.extend(some(DISK));
    rows.extend(some(PARTITION));
    rows.extend(some(FILESYSTEM));
    rows
}

/// The flags that were given, by their names.
fn given(matches: &ArgMatches, names: impl Iterator<Item = &'static str>) -> Given {
    let mut given = Given::new();
    for name in names {
        if matches.value_source(name) == Some(clap::parser::ValueSource::CommandLine) {
            let words = matches.try_get_many::<String>(name).ok().flatten();
            given.insert(name.to_owned(), words.into_iter().flatten().cloned().collect());
        }
    }
    given
}

impl<const OF_NODE: bool, const WITH_DELS: bool> SetFlags<OF_NODE, WITH_DELS> {
    fn names() -> impl Iterator<Item = &'static str> {
        let dels = if WITH_DELS { DELS.as_slice() } else { &[] };
        let named = NAMES.iter().chain(&ADDS).chain(dels).map(|(name, _)| *name);
        all(OF_NODE).into_iter().map(|(name, ..)| name).chain(named).chain(OLD.iter().map(|(name, ..)| *name))
    }
}

impl<const OF_NODE: bool, const WITH_DELS: bool> Args for SetFlags<OF_NODE, WITH_DELS> {
    fn augment_args(command: Command) -> Command {
        let mut command = command;
        for (name, short, help, takes) in all(OF_NODE) {
            command = command.arg(arg(name, short, help, takes));
        }
        for (name, help) in NAMES {
            command = command.arg(arg(name, None, help, Takes::Word));
        }
        for (name, help) in ADDS {
            command = command.arg(arg(name, None, help, Takes::Words));
        }
        for (name, help) in DELS.iter().filter(|_| WITH_DELS) {
            command = command.arg(arg(name, None, help, Takes::Words));
        }
        for (name, short, _) in OLD {
            command = command.arg(arg(name, short, "Old name of another flag", Takes::Words).hide(true));
        }
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<const OF_NODE: bool, const WITH_DELS: bool> FromArgMatches for SetFlags<OF_NODE, WITH_DELS> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut given = given(matches, Self::names());
        for (old, _, new) in OLD {
            if let Some(words) = given.remove(old) {
                say::warn(format_args!("--{old} is an old name; use --{new}"));
                given.entry(new.to_owned()).or_insert(words);
            }
        }
        Ok(SetFlags(given))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl<const OF_NODE: bool> Args for UnsetFlags<OF_NODE> {
    fn augment_args(command: Command) -> Command {
        let mut command = command;
        for (name, short, help, _) in all(OF_NODE) {
            command = command.arg(arg(name, short, help, Takes::Nothing));
        }
        for (name, help) in NAMES {
            command = command.arg(arg(name, None, help, Takes::Word));
        }
        for (name, help) in TAGS {
            command = command.arg(arg(name, None, help, Takes::Words));
        }
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<const OF_NODE: bool> FromArgMatches for UnsetFlags<OF_NODE> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let named = NAMES.iter().chain(&TAGS).map(|(name, _)| *name);
        let switches = all(OF_NODE).into_iter().map(|(name, ..)| name);
        Ok(UnsetFlags(given(matches, switches.chain(named))))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
