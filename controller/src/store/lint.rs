//! Warnings about entries that were just written: what the model finds doubled, and names of images, profiles and
//! overlays that are not on this controller. Warnings only: nodes.conf may be written before the image is imported.

use std::collections::BTreeSet;

use model::lint::doubles;
use model::{NodesConf, Profile};

use crate::site::Site;

/// One line for each thing that is probably wrong with the entries `names`.
pub fn warnings(site: &Site, conf: &NodesConf, of_profiles: bool, names: &[String]) -> Vec<String> {
    let mut lines = BTreeSet::new();
    let word = if of_profiles { "profile" } else { "node" };
    for name in names {
        let entry = if of_profiles { conf.profiles.get(name) } else { conf.nodes.get(name).map(|node| &node.profile) };
        if let Some(entry) = entry {
            lines.extend(missing(site, conf, entry).into_iter().map(|what| format!("{word} {name}: {what}")));
        }
    }
    let mut lines: Vec<String> = lines.into_iter().collect();
    if !of_profiles {
        lines.extend(doubles(&site.conf, &conf.all_merged(), names));
    }
    lines
}

/// What the entry names, and what is not there.
fn missing(site: &Site, conf: &NodesConf, entry: &Profile) -> Vec<String> {
    let paths = &site.conf.paths;
    let mut lines = Vec::new();
    for name in entry.profiles.iter().filter(|name| !name.starts_with('~') && !conf.profiles.contains_key(*name)) {
        lines.push(format!("there is no profile {name:?}"));
    }
    if !entry.image_name.is_empty() && !paths.image_root(&entry.image_name).is_dir() {
        lines.push(format!("there is no image {:?}", entry.image_name));
    }
    for name in entry.runtime_overlay.iter().chain(&entry.system_overlay) {
        let there = paths.wwoverlaydir.join(name).is_dir() || paths.distribution_overlays().join(name).is_dir();
        if !name.starts_with('~') && !there {
            lines.push(format!("there is no overlay {name:?}"));
        }
    }
    lines
}
