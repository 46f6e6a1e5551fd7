//! How a node is put together from its profiles, and who said what.
//!
//! Profiles in the node's order, each one's own profiles first, each once; `~name` anywhere takes a profile out. A set
//! scalar replaces, maps merge by key, lists append; the node's own comes last. Only then lists lose what is negated.

use std::collections::{BTreeMap, BTreeSet};

use crate::fields::{self, DISK, FILESYSTEM, Field, Leaf, Lens, NETWORK, PARTITION, Part, Value};
use crate::node::{Any, Disk, NetDev, Node, Profile};
use crate::nodes::NodesConf;

/// A node with everything its profiles say, before negations are carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// Lists still hold `~entry` and what it will take out.
    pub node: Node,
    /// Profiles that the node or its profiles name, and that are not there.
    pub missing: Vec<String>,
    /// Name of the field -> the profiles that gave it, the last one last.
    given: BTreeMap<String, Vec<String>>,
    /// Names of the fields that the node itself says.
    own: BTreeSet<String>,
}

/// Who gave a field its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The node alone.
    Own,
    /// The node, over what a profile said.
    Superseded,
    /// These; for a list also the node's own name at the end.
    From(Vec<String>),
}

impl Explained {
    /// The node as everything else sees it: negations carried out, the primary network filled in.
    pub fn finish(self) -> Node {
        let mut node = self.node;
        let profile = &mut node.profile;
        for list in
            [&mut profile.profiles, &mut profile.runtime_overlay, &mut profile.system_overlay, &mut profile.kernel.args]
        {
            negate(list);
        }
        if !node.profile.network_devices.is_empty() {
            node.profile.primary_network = node.primary().to_owned();
        }
        node
    }

    /// Every field that is set, and who gave it.
    pub fn leaves(&self) -> Vec<(Leaf, Source)> {
        let set = fields::node_leaves(&self.node).into_iter().filter(|leaf| leaf.value.is_set());
        set.map(|leaf| {
            let source = self.source(&leaf);
            (leaf, source)
        })
        .collect()
    }

    fn source(&self, leaf: &Leaf) -> Source {
        let given = self.given.get(&leaf.name).cloned().unwrap_or_default();
        let list = matches!(leaf.value, Value::List(_) | Value::Any(Any::List(_)));
        match (self.own.contains(&leaf.name), given.is_empty()) {
            (true, true) => Source::Own,
            (true, false) if list => Source::From(given.into_iter().chain([self.node.id.clone()]).collect()),
            (true, false) => Source::Superseded,
            (false, _) => Source::From(given),
        }
    }
}

impl NodesConf {
    /// The node `id`, merged and finished.
    pub fn merged(&self, id: &str) -> Option<Node> {
        self.nodes.get(id).map(|own| self.merge(own, None).finish())
    }

    /// All nodes, merged and finished, by name.
    pub fn all_merged(&self) -> Vec<Node> {
        self.nodes.values().map(|own| self.merge(own, None).finish()).collect()
    }

    /// The node `id` with who said what.
    pub fn explained(&self, id: &str) -> Option<Explained> {
        self.nodes.get(id).map(|own| self.merge(own, Some(BTreeMap::new())))
    }

    fn merge(&self, own: &Node, mut given: Option<BTreeMap<String, Vec<String>>>) -> Explained {
        let (chain, missing) = self.chain(&own.profile.profiles);
        let mut sum = Profile::default();
        for name in chain {
            let Some(profile) = self.profiles.get(name) else { continue };
            if let Some(given) = given.as_mut() {
                note(given, &sum, profile, name);
            }
            overlay(&mut sum, profile);
        }
        overlay(&mut sum, &own.profile);
        sum.profiles.clone_from(&own.profile.profiles);
        sum.comment.clone_from(&own.profile.comment);
        let said = |own: &Node| -> BTreeSet<String> {
            fields::node_leaves(own).into_iter().filter(|leaf| leaf.value.is_set()).map(|leaf| leaf.name).collect()
        };
        let own_names = if given.is_some() { said(own) } else { BTreeSet::new() };
        let node = Node { profile: sum, ..own.clone() };
        Explained { node, missing, given: given.unwrap_or_default(), own: own_names }
    }

    /// The profiles that `wanted` comes to, in the order in which they are merged; and those that are missing.
    fn chain<'a>(&'a self, wanted: &'a [String]) -> (Vec<&'a str>, Vec<String>) {
        let (mut order, mut missing) = (Vec::new(), Vec::new());
        let (mut seen, mut removed) = (BTreeSet::new(), BTreeSet::new());
        // What is left of each list on the way down; a profile is done when its own list is.
        let mut stack: Vec<(Option<&str>, std::slice::Iter<'a, String>)> = vec![(None, wanted.iter())];
        while let Some((of, rest)) = stack.last_mut() {
            let Some(name) = rest.next() else {
                order.extend(*of);
                stack.pop();
                continue;
            };
            if let Some(name) = name.strip_prefix('~') {
                removed.insert(name);
            } else if seen.insert(name.as_str()) {
                match self.profiles.get(name) {
                    Some(profile) => stack.push((Some(name), profile.profiles.iter())),
                    None => missing.push(name.clone()),
                }
            }
        }
        order.retain(|name| !removed.contains(name));
        (order, missing)
    }
}

/// Writes down what `profile` gives, on top of `sum`.
fn note(given: &mut BTreeMap<String, Vec<String>>, sum: &Profile, profile: &Profile, name: &str) {
    for leaf in fields::profile_leaves(profile).into_iter().filter(|leaf| leaf.value.is_set()) {
        if leaf.name == "Profiles" || leaf.name == "Comment" {
            continue;
        }
        let appends = match &leaf.value {
            Value::List(_) => true,
            Value::Any(Any::List(_)) => leaf
                .name
                .strip_prefix("Resources[")
                .and_then(|rest| rest.strip_suffix(']'))
                .is_some_and(|key| matches!(sum.resources.get(key), Some(Any::List(_)))),
            _ => false,
        };
        let names = given.entry(leaf.name).or_default();
        if !appends {
            names.clear();
        }
        names.push(name.to_owned());
    }
}

/// Lays `from` over `into`.
fn overlay(into: &mut Profile, from: &Profile) {
    into.ipmi.given |= from.ipmi.given;
    for part in fields::PROFILE {
        match part {
            Part::Field(field) => over(field, into, from),
            Part::IpmiTags => tags(&mut into.ipmi.tags, &from.ipmi.tags),
            Part::Tags => tags(&mut into.tags, &from.tags),
            Part::Networks => each(&mut into.network_devices, &from.network_devices, network),
            Part::Disks => each(&mut into.disks, &from.disks, disk),
            Part::FileSystems => each(&mut into.filesystems, &from.filesystems, |a, b| all(FILESYSTEM, a, b)),
            Part::Resources => each_any(&mut into.resources, &from.resources),
        }
    }
}

fn network(into: &mut NetDev, from: &NetDev) {
    all(NETWORK, into, from);
    tags(&mut into.tags, &from.tags);
}

fn disk(into: &mut Disk, from: &Disk) {
    all(DISK, into, from);
    each(&mut into.partitions, &from.partitions, |a, b| all(PARTITION, a, b));
}

fn all<T>(fields: &[Field<T>], into: &mut T, from: &T) {
    for field in fields {
        over(field, into, from);
    }
}

fn over<T>(field: &Field<T>, into: &mut T, from: &T) {
    match &field.lens {
        Lens::Text(read, place) if !read(from).is_empty() => place(into).clone_from(read(from)),
        Lens::Truth(read, place) if !read(from).is_unset() => place(into).clone_from(read(from)),
        Lens::List(read, place) => place(into).extend(read(from).iter().cloned()),
        Lens::Ip(read, place) if read(from).is_some() => *place(into) = *read(from),
        Lens::Bool(read, place) if read(from).is_some() => *place(into) = *read(from),
        _ => {}
    }
}

fn tags(into: &mut BTreeMap<String, String>, from: &BTreeMap<String, String>) {
    for (key, value) in from {
        if !value.is_empty() || !into.contains_key(key) {
            into.insert(key.clone(), value.clone());
        }
    }
}

fn each<T: Default>(into: &mut BTreeMap<String, T>, from: &BTreeMap<String, T>, lay: impl Fn(&mut T, &T)) {
    for (key, value) in from {
        lay(into.entry(key.clone()).or_default(), value);
    }
}

fn each_any(into: &mut BTreeMap<String, Any>, from: &BTreeMap<String, Any>) {
    for (key, value) in from {
        match into.get_mut(key) {
            Some(place) => any(place, value),
            None => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Maps by key, lists append, another kind replaces.
fn any(into: &mut Any, from: &Any) {
    match (into, from) {
        (Any::Map(into), Any::Map(from)) => each_any(into, from),
        (Any::List(into), Any::List(from)) => into.extend(from.iter().cloned()),
        (_, Any::Null) => {}
        (into, from) => *into = from.clone(),
    }
}

/// What `node import` does with an entry that is there: what the new one names replaces, also lists and whole networks,
/// disks and file systems; tags are added.
pub fn import(into: &mut Node, from: &Node) {
    fn replaced<T>(field: &Field<T>, into: &mut T, from: &T) {
        match &field.lens {
            Lens::List(read, place) if !read(from).is_empty() => place(into).clone_from(read(from)),
            Lens::List(..) => {}
            _ => over(field, into, from),
        }
    }
    fn whole<T: Clone>(into: &mut BTreeMap<String, T>, from: &BTreeMap<String, T>) {
        into.extend(from.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    for field in fields::NODE {
        replaced(field, into, from);
    }
    let (into, from) = (&mut into.profile, &from.profile);
    into.ipmi.given |= from.ipmi.given;
    for part in fields::PROFILE {
        match part {
            Part::Field(field) => replaced(field, into, from),
            Part::IpmiTags => whole(&mut into.ipmi.tags, &from.ipmi.tags),
            Part::Tags => whole(&mut into.tags, &from.tags),
            Part::Networks => whole(&mut into.network_devices, &from.network_devices),
            Part::Disks => whole(&mut into.disks, &from.disks),
            Part::FileSystems => whole(&mut into.filesystems, &from.filesystems),
            Part::Resources => whole(&mut into.resources, &from.resources),
        }
    }
}

/// Takes out every `~entry`, and every entry that is named so.
fn negate(list: &mut Vec<String>) {
    let named: BTreeSet<String> = list.iter().filter_map(|entry| entry.strip_prefix('~')).map(String::from).collect();
    list.retain(|entry| !entry.starts_with('~') && !named.contains(entry));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf(text: &str) -> NodesConf {
        NodesConf::parse(text).unwrap()
    }

    fn shown(text: &str) -> Vec<String> {
        let line = |(leaf, source): (Leaf, Source)| format!("{} {:?} {:?}", leaf.name, source, leaf.value);
        conf(text).explained("n").unwrap().leaves().into_iter().map(line).collect()
    }

    #[test]
    fn a_nested_profile_comes_before_the_one_that_names_it_and_each_counts_once() {
        let text = "
nodeprofiles:
  base: {runtime overlay: [b], init: /b}
  x: {profiles: [base], runtime overlay: [x]}
  y: {profiles: [base, x], runtime overlay: [y], init: /y}
nodes:
  n: {profiles: [x, y, base]}
";
        let node = conf(text).merged("n").unwrap();
        assert_eq!(node.profile.runtime_overlay, ["b", "x", "y"]);
        assert_eq!(node.profile.init, "/y");
    }

    #[test]
    fn a_ring_of_profiles_ends() {
        let text =
            "{nodeprofiles: {x: {profiles: [y], init: x}, y: {profiles: [x], init: y}}, nodes: {n: {profiles: [x]}}}";
        assert_eq!(conf(text).merged("n").unwrap().profile.init, "x");
    }

    #[test]
    fn the_node_takes_a_nested_profile_away() {
        let text =
            "{nodeprofiles: {base: {init: b}, x: {profiles: [base], root: r}}, nodes: {n: {profiles: [x, ~base]}}}";
        let node = conf(text).merged("n").unwrap();
        assert_eq!((node.profile.init.as_str(), node.profile.root.as_str()), ("", "r"));
        assert_eq!(node.profile.profiles, ["x"]);
    }

    #[test]
    fn a_missing_profile_is_named_and_passed_over() {
        let explained = conf("{nodes: {n: {profiles: [ghost], init: i}}}").explained("n").unwrap();
        assert_eq!(explained.missing, ["ghost"]);
        assert_eq!(explained.node.profile.init, "i");
    }

    #[test]
    fn every_field_knows_who_said_it() {
        let text = "
nodeprofiles:
  p: {init: /p, root: r, runtime overlay: [a], tags: {k: v}}
  q: {runtime overlay: [b], init: /q}
nodes:
  n: {profiles: [p, q], root: own, runtime overlay: [c], comment: me}
";
        assert_eq!(
            shown(text),
            [
                "Profiles Own List([\"p\", \"q\"])",
                "Comment Own Text(\"me\")",
                "RuntimeOverlay From([\"p\", \"q\", \"n\"]) List([\"a\", \"b\", \"c\"])",
                "Init From([\"q\"]) Text(\"/q\")",
                "Root Superseded Text(\"own\")",
                "Tags[k] From([\"p\"]) Text(\"v\")",
            ]
        );
    }

    #[test]
    fn zero_addresses_and_false_hide_and_empty_text_does_not() {
        let text = "
nodeprofiles:
  p: {init: /p, network devices: {d: {gateway: 10.0.0.1, onboot: true}}, disks: {/dev/vda: {wipe_table: true}}}
nodes:
  n: {profiles: [p], init: '', network devices: {d: {gateway: 0.0.0.0, onboot: false}}, disks: {/dev/vda: {wipe_table: false}}}
";
        let node = conf(text).merged("n").unwrap();
        assert_eq!(node.profile.init, "/p");
        assert_eq!(node.profile.network_devices["d"].gateway, Some("0.0.0.0".parse().unwrap()));
        assert_eq!(node.profile.network_devices["d"].onboot.0, "false");
        assert_eq!(node.profile.disks["/dev/vda"].wipe_table, Some(false));
    }

    #[test]
    fn a_thousand_profiles_in_one_another_do_not_exhaust_the_stack() {
        let mut text = String::from("nodeprofiles:\n");
        for index in 0..20_000 {
            text.push_str(&format!("  p{index}: {{profiles: [p{}]}}\n", index + 1));
        }
        text.push_str("nodes: {n: {profiles: [p0]}}\n");
        assert_eq!(conf(&text).explained("n").unwrap().missing, ["p20000"]);
    }
}
