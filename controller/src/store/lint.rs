//! Warnings about entries that were just written: what the model finds doubled, and names of images, profiles and
//! overlays that are not on this controller. Warnings only: nodes.conf may be written before the image is imported.

use std::collections::{BTreeMap, BTreeSet};

use model::lint::doubles;
use model::{Node, NodesConf, Profile};

use crate::site::Site;

/// One line for each thing that is probably wrong with the entries `names`, and was not there `before`.
pub fn warnings(
    site: &Site,
    before: &NodesConf,
    after: &NodesConf,
    of_profiles: bool,
    names: &[String],
) -> Vec<String> {
    let word = if of_profiles { "profile" } else { "node" };
    let entry = |conf: &'_ NodesConf, name: &String| -> Option<Profile> {
        match of_profiles {
            true => conf.profiles.get(name).cloned(),
            false => conf.nodes.get(name).map(|node| node.profile.clone()),
        }
    };
    let (mut lines, mut readdressed) = (BTreeSet::new(), Vec::new());
    for name in names {
        let Some(new) = entry(after, name) else { continue };
        let old = entry(before, name).unwrap_or_default();
        let known = missing(site, before, &old);
        lines.extend(missing(site, after, &new).difference(&known).map(|what| format!("{word} {name}: {what}")));
        if (&new.network_devices, new.ipmi.ipaddr, &new.profiles)
            != (&old.network_devices, old.ipmi.ipaddr, &old.profiles)
        {
            readdressed.push(name.clone());
        }
    }
    let mut lines: Vec<String> = lines.into_iter().collect();
    if !readdressed.is_empty() {
        let merged = after.all_merged();
        if of_profiles {
            readdressed = readdressed_nodes(&before.all_merged(), &merged);
        }
        lines.extend(doubles(&site.conf, &merged, &readdressed));
    }
    lines
}

/// The nodes that have other devices now: an address in a profile is that of every node below it.
fn readdressed_nodes(before: &[Node], after: &[Node]) -> Vec<String> {
    let old: BTreeMap<&str, &Node> = before.iter().map(|node| (node.id.as_str(), node)).collect();
    let changed = after.iter().filter(|node| {
        old.get(node.id.as_str()).is_none_or(|old| {
            (&old.profile.network_devices, old.profile.ipmi.ipaddr)
                != (&node.profile.network_devices, node.profile.ipmi.ipaddr)
        })
    });
    changed.map(|node| node.id.clone()).collect()
}

/// What the entry names, and what is not there.
fn missing(site: &Site, conf: &NodesConf, entry: &Profile) -> BTreeSet<String> {
    let paths = &site.conf.paths;
    let mut lines = BTreeSet::new();
    for name in entry.profiles.iter().filter(|name| !name.starts_with('~') && !conf.profiles.contains_key(*name)) {
        lines.insert(format!("there is no profile {name:?}"));
    }
    if !entry.image_name.is_empty() && !paths.image_root(&entry.image_name).is_dir() {
        lines.insert(format!("there is no image {:?}", entry.image_name));
    }
    for name in entry.runtime_overlay.iter().chain(&entry.system_overlay) {
        let there = paths.wwoverlaydir.join(name).is_dir() || paths.distribution_overlays().join(name).is_dir();
        if !name.starts_with('~') && !there {
            lines.insert(format!("there is no overlay {name:?}"));
        }
    }
    lines
}
