//! nodes.conf of older releases to the present form: old keys find their new places, old words their new forms.
//!
//! It works on the tree of the file, before anything is typed: afterwards the present reader must understand it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::error::ConfError;
use crate::node::{Any, NetDev, Node, Profile};
use crate::nodes::NodesConf;
use crate::yaml::{self, Body, Entry, Tree};

/// What `upgrade nodes` is asked to do besides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Give the profile `default` what a new installation has, and put nodes without profiles into it.
    pub add_defaults: bool,
    /// Exchange the overlays of old by those that they were split into.
    pub replace_overlays: bool,
}

/// A mount that an old warewulf.conf told all nodes to make: path and options.
pub type Mount = (String, String);

const SYSTEM: [&str; 14] = [
    "wwinit",
    "wwclient",
    "fstab",
    "hostname",
    "ssh.host_keys",
    "issue",
    "resolv",
    "udev.netname",
    "systemd.netname",
    "ifcfg",
    "ifupdown",
    "NetworkManager",
    "wicked",
    "ignition",
];
const RUNTIME: [&str; 3] = ["hosts", "ssh.authorized_keys", "syncuser"];
const IPMI: [&str; 10] =
    ["username", "password", "ipaddr", "netmask", "port", "gateway", "interface", "escapechar", "write", "template"];

/// Reads an old file. `has_kernel(image, version)`: whether the image holds that kernel.
///
/// Answers what it now says, and notes for a person: what was changed in meaning, or dropped.
///
/// # Errors
/// When the file is no YAML, or still not understood after all that.
pub fn nodes(
    text: &str,
    options: Options,
    mounts: &[Mount],
    has_kernel: &dyn Fn(&str, &str) -> bool,
) -> Result<(NodesConf, Vec<String>), ConfError> {
    let mut tree = yaml::parse(text)?;
    let mut notes = Vec::new();
    for section in ["nodeprofiles", "nodes"] {
        for entry in entries_of(&mut tree, section) {
            let mut work = Upgrade { name: entry.key.clone(), notes: &mut notes, has_kernel };
            if let Body::Map(entries) = &mut entry.value.body {
                work.entry(entries);
            }
        }
    }
    let mut conf = NodesConf::from_tree(&tree)?;
    notes.extend(conf.unknown().iter().map(|warning| format!("{warning} (dropped)")));
    let entries = conf.nodes.values_mut().map(|node| &mut node.profile).chain(conf.profiles.values_mut());
    for profile in entries {
        profile.network_devices.retain(|_, device| *device != NetDev::default());
    }
    if options.replace_overlays {
        let nodes = conf.nodes.values_mut().map(|node| &mut node.profile);
        for profile in conf.profiles.values_mut().chain(nodes) {
            replace(&mut profile.runtime_overlay, "generic", &RUNTIME);
            replace(&mut profile.system_overlay, "wwinit", &SYSTEM);
        }
    }
    for (path, options) in mounts {
        let line = mount(&format!("warewulf:{path}"), path, options);
        let profile = conf.profiles.entry("default".into()).or_default();
        match profile.resources.entry("fstab".into()).or_insert_with(|| Any::List(Vec::new())) {
            Any::List(lines) if !lines.contains(&line) => lines.push(line),
            _ => {}
        }
    }
    if options.add_defaults {
        notes.extend(add_defaults(&mut conf));
    }
    Ok((conf, notes))
}

fn entries_of<'a>(tree: &'a mut Tree, key: &str) -> impl Iterator<Item = &'a mut Entry> {
    let section = match &mut tree.body {
        Body::Map(entries) => entries.iter_mut().find(|entry| entry.key == key),
        _ => None,
    };
    section
        .and_then(|entry| match &mut entry.value.body {
            Body::Map(entries) => Some(entries.iter_mut()),
            _ => None,
        })
        .into_iter()
        .flatten()
}

/// One entry of the file.
struct Upgrade<'a> {
    name: String,
    notes: &'a mut Vec<String>,
    has_kernel: &'a dyn Fn(&str, &str) -> bool,
}

impl Upgrade<'_> {
    fn note(&mut self, text: impl std::fmt::Display) {
        self.notes.push(format!("{}: {text}", self.name));
    }

    fn entry(&mut self, entries: &mut Vec<Entry>) {
        if take(entries, "disabled").is_some() {
            self.note("disabled: nodes know this no more; dropped");
        }
        rename(entries, "container name", "image name");
        self.truth(entries, "discoverable");
        for key in ["runtime overlay", "system overlay"] {
            split(entries, key, |letter| letter == ',');
        }
        self.kernel(entries);
        self.ipmi(entries);
        tags(entries, true);
        self.networks(entries);
        self.disks(entries);
        for system in inner(entries, "filesystems") {
            if let Body::Map(entries) = &mut system.value.body {
                self.bool(entries, "wipe_filesystem");
                join(entries, "mount_options");
            }
        }
        self.two_stage(entries);
    }

    /// `kernel args` and `kernel override` of very old files, and `kernel: override` of the less old.
    fn kernel(&mut self, entries: &mut Vec<Entry>) {
        for (old, new) in [("kernel args", "args"), ("kernel override", "override"), ("kernel version", "version")] {
            move_into(entries, old, "kernel", new);
        }
        let image = text_of(entries, "image name").unwrap_or_default();
        let Some(kernel) = section(entries, "kernel", false) else { return };
        split(kernel, "args", char::is_whitespace);
        let Some(version) = take(kernel, "override").and_then(|tree| scalar(&tree)) else { return };
        if text_of(kernel, "version").is_none() && (self.has_kernel)(&image, &version) {
            kernel.push(text_entry("version", &version));
        } else {
            self.note(format_args!("kernel override {version:?}: no kernel of that version in the image; dropped"));
        }
    }

    fn ipmi(&mut self, entries: &mut Vec<Entry>) {
        for key in IPMI {
            move_into(entries, &format!("ipmi {key}"), "ipmi", key);
        }
        if let Some(ipmi) = section(entries, "ipmi", false) {
            self.truth(ipmi, "write");
            tags(ipmi, false);
        }
    }

    fn networks(&mut self, entries: &mut Vec<Entry>) {
        let mut primary = None;
        for network in inner(entries, "network devices") {
            let Body::Map(device) = &mut network.value.body else { continue };
            let says_primary = |tree: Tree| truth(&scalar(&tree).unwrap_or_default()) == Some(true);
            for key in ["default", "primary"] {
                if take(device, key).is_some_and(says_primary) {
                    primary = Some(network.key.clone());
                }
            }
            self.truth(device, "onboot");
            if rename(device, "ip6addr", "ipaddr6") {
                self.note(format_args!("ip6addr of network {} is now ipaddr6", network.key));
            }
            tags(device, false);
            take(device, "prefix");
            if let Some(cidr) = take(device, "ipcidr").and_then(|tree| scalar(&tree)) {
                match cidr_of(&cidr) {
                    Some((ip, mask)) => {
                        put_text(device, "ipaddr", &ip.to_string());
                        put_text(device, "netmask", &mask.to_string());
                    }
                    None => self.note(format_args!("ipcidr {cidr:?} of network {}: no address; dropped", network.key)),
                }
            }
        }
        if let Some(primary) = primary.filter(|_| text_of(entries, "primary network").is_none()) {
            entries.push(text_entry("primary network", &primary));
        }
    }

    fn disks(&mut self, entries: &mut Vec<Entry>) {
        for disk in inner(entries, "disks") {
            let Body::Map(disk) = &mut disk.value.body else { continue };
            self.bool(disk, "wipe_table");
            for partition in inner(disk, "partitions") {
                if let Body::Map(partition) = &mut partition.value.body {
                    for key in ["wipe_partition_entry", "should_exist", "resize"] {
                        self.bool(partition, key);
                    }
                }
            }
        }
    }

    /// The template `dracut` became a menu entry of the template `default`.
    fn two_stage(&mut self, entries: &mut Vec<Entry>) {
        const TAG: &str = "IPXEMenuEntry";
        if text_of(entries, "ipxe template").as_deref() != Some("dracut") {
            return;
        }
        let Some(tags) = section(entries, "tags", true) else { return };
        if text_of(tags, TAG).is_some() {
            self.note("ipxe template dracut: the tag IPXEMenuEntry says something else; both stay as they are");
            return;
        }
        tags.push(text_entry(TAG, "dracut"));
        put_text(entries, "ipxe template", "default");
        self.note("ipxe template dracut is now template default with the tag IPXEMenuEntry");
    }

    /// A truth word, as the text that is written today; another word goes.
    fn truth(&mut self, entries: &mut Vec<Entry>, key: &str) {
        let Some(word) = take(entries, key).and_then(|tree| scalar(&tree)).filter(|word| !word.is_empty()) else {
            return;
        };
        match truth(&word) {
            Some(truth) => entries.push(text_entry(key, &truth.to_string())),
            None => self.note(format_args!("{key}: {word:?} is neither true nor false; dropped")),
        }
    }

    /// A truth of disks, plain today; only `true` and `false` and their short forms count, as in stock.
    fn bool(&mut self, entries: &mut Vec<Entry>, key: &str) {
        let Some(word) = take(entries, key).and_then(|tree| scalar(&tree)).filter(|word| !word.is_empty()) else {
            return;
        };
        match word.to_ascii_lowercase().as_str() {
            "true" | "t" | "1" => entries.push(plain_entry(key, "true")),
            "false" | "f" | "0" => entries.push(plain_entry(key, "false")),
            _ => self.note(format_args!("{key}: {word:?} is neither true nor false; dropped")),
        }
    }
}

fn truth(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "true" | "t" | "1" | "yes" | "y" | "on" => Some(true),
        "false" | "f" | "0" | "no" | "n" | "off" => Some(false),
        _ => None,
    }
}

fn cidr_of(text: &str) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let (ip, length) = text.split_once('/')?;
    let length: u32 = length.parse().ok().filter(|length| *length <= 32)?;
    let mask = Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - length).unwrap_or(0));
    Some((ip.parse().ok()?, mask))
}

/// `keys` are the tags of old (`keys: true`); `tagsdel` names those that go.
fn tags(entries: &mut Vec<Entry>, keys: bool) {
    let mut sum: BTreeMap<String, Entry> = BTreeMap::new();
    for key in if keys { &["keys", "tags"][..] } else { &["tags"] } {
        if let Some(Tree { body: Body::Map(tags), .. }) = take(entries, key) {
            sum.extend(tags.into_iter().map(|entry| (entry.key.clone(), entry)));
        }
    }
    if let Some(Tree { body: Body::List(gone), .. }) = take(entries, "tagsdel") {
        for key in gone.iter().filter_map(scalar) {
            sum.remove(&key);
        }
    }
    if !sum.is_empty() {
        entries.push(entry("tags", Body::Map(sum.into_values().collect())));
    }
}

fn take(entries: &mut Vec<Entry>, key: &str) -> Option<Tree> {
    let at = entries.iter().position(|entry| entry.key == key)?;
    Some(entries.remove(at).value)
}

/// Whether there was something to rename.
fn rename(entries: &mut Vec<Entry>, old: &str, new: &str) -> bool {
    let Some(value) = take(entries, old) else { return false };
    if !entries.iter().any(|entry| entry.key == new) {
        entries.push(Entry { key: new.into(), pos: value.pos, merged: false, value });
    }
    true
}

fn move_into(entries: &mut Vec<Entry>, old: &str, into: &str, new: &str) {
    let Some(value) = take(entries, old) else { return };
    if let Some(inner) = section(entries, into, true)
        && !inner.iter().any(|entry| entry.key == new)
    {
        inner.push(Entry { key: new.into(), pos: value.pos, merged: false, value });
    }
}

/// The entries of a section, made when it is missing and `make` says so.
fn section<'a>(entries: &'a mut Vec<Entry>, key: &str, make: bool) -> Option<&'a mut Vec<Entry>> {
    if make && !entries.iter().any(|entry| entry.key == key && !entry.value.is_null()) {
        take(entries, key);
        entries.push(entry(key, Body::Map(Vec::new())));
    }
    entries.iter_mut().find(|entry| entry.key == key).and_then(|entry| match &mut entry.value.body {
        Body::Map(entries) => Some(entries),
        _ => None,
    })
}

fn inner<'a>(entries: &'a mut Vec<Entry>, key: &str) -> impl Iterator<Item = &'a mut Entry> {
    section(entries, key, false).into_iter().flatten()
}

fn scalar(tree: &Tree) -> Option<String> {
    match &tree.body {
        Body::Scalar { text, .. } if !tree.is_null() => Some(text.clone()),
        _ => None,
    }
}

fn text_of(entries: &[Entry], key: &str) -> Option<String> {
    entries.iter().find(|entry| entry.key == key).and_then(|entry| scalar(&entry.value))
}

fn entry(key: &str, body: Body) -> Entry {
    let tree = yaml::parse("").map(|tree| tree.pos).unwrap_or_default();
    let value = Tree { pos: tree, end: tree, block: false, anchored: false, body };
    Entry { key: key.into(), pos: tree, merged: false, value }
}

fn text_entry(key: &str, text: &str) -> Entry {
    entry(key, Body::Scalar { text: text.into(), plain: false })
}

fn plain_entry(key: &str, word: &str) -> Entry {
    entry(key, Body::Scalar { text: word.into(), plain: true })
}

fn put_text(entries: &mut Vec<Entry>, key: &str, text: &str) {
    take(entries, key);
    entries.push(text_entry(key, text));
}

/// A list that was one text.
fn split(entries: &mut Vec<Entry>, key: &str, at: impl Fn(char) -> bool) {
    let Some(text) = text_of(entries, key) else { return };
    let items = text.split(at).map(str::trim).filter(|item| !item.is_empty());
    let items = items.map(|item| text_entry("", item).value).collect();
    take(entries, key);
    entries.push(entry(key, Body::List(items)));
}

/// A text that was a list.
fn join(entries: &mut Vec<Entry>, key: &str) {
    let Some(Tree { body: Body::List(items), .. }) =
        entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    else {
        return;
    };
    let text = items.iter().filter_map(scalar).collect::<Vec<_>>().join(" ");
    put_text(entries, key, &text);
}

/// Puts `new` where `old` stands, unless the rest of `new` is there already.
fn replace(list: &mut Vec<String>, old: &str, new: &[&str]) {
    let done = new.iter().filter(|name| **name != old).any(|name| list.iter().any(|known| known == name));
    if let Some(at) = list.iter().position(|name| name == old).filter(|_| !done) {
        list.splice(at..=at, new.iter().map(ToString::to_string));
    }
}

fn mount(spec: &str, file: &str, options: &str) -> Any {
    let entries = [("spec", spec), ("file", file), ("vfstype", "nfs"), ("mntops", options)];
    Any::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), Any::Text(value.to_owned()))).collect())
}

/// What a new installation's nodes.conf has. Answers what it says about itself.
fn add_defaults(conf: &mut NodesConf) -> Vec<String> {
    let before = conf.clone();
    let profile: &mut Profile = conf.profiles.entry("default".into()).or_default();
    let set = |field: &mut String, value: &str| {
        if field.is_empty() {
            value.clone_into(field);
        }
    };
    let fill = |list: &mut Vec<String>, values: &[&str]| {
        if list.is_empty() {
            list.extend(values.iter().map(ToString::to_string));
        }
    };
    set(&mut profile.ipxe_template, "default");
    set(&mut profile.init, "/sbin/init");
    set(&mut profile.root, "initramfs");
    set(&mut profile.ipmi.template, "ipmitool.tmpl");
    fill(&mut profile.runtime_overlay, &RUNTIME);
    fill(&mut profile.system_overlay, &SYSTEM);
    fill(&mut profile.kernel.args, &["quiet", "crashkernel=no", "net.ifnames=1"]);
    profile.resources.entry("fstab".into()).or_insert_with(|| {
        Any::List(vec![
            mount("warewulf:/home", "/home", "defaults,nofail"),
            mount("warewulf:/opt", "/opt", "defaults,noauto,nofail,ro"),
        ])
    });
    let lonely = |node: &&mut Node| node.profile.profiles.is_empty();
    for node in conf.nodes.values_mut().filter(lonely) {
        node.profile.profiles.push("default".into());
    }
    if *conf == before { Vec::new() } else { vec!["the profile default got what was missing in it".into()] }
}
