//! Warnings about entries that were just written: what the model finds doubled, and names of images, profiles and
//! overlays that are not on this controller. Warnings only: nodes.conf may be written before the image is imported. And about
//! files of overlays that all may read though they hold a secret.

use std::collections::{BTreeMap, BTreeSet};

use archive::{Entry, Kind};
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

/// What a file gives away on the node: it holds a secret, and everybody may read it.
pub fn open_secret(entry: &Entry) -> Option<&'static str> {
    let Kind::File(content) = &entry.kind else { return None };
    if entry.mode & 0o004 == 0 {
        return None;
    }
    let name = entry.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    match name {
        b"shadow" | b"gshadow" | b"shadow.ww" | b"gshadow.ww" if !content.is_empty() => Some("passwords"),
        b"munge.key" | b"krb5.keytab" if !content.is_empty() => Some("a secret key"),
        _ if has_private_key(content) => Some("a private key"),
        _ => None,
    }
}

/// Whether a line begins a private key as PEM (RFC 7468) has it, OpenSSH's own form among them.
fn has_private_key(content: &[u8]) -> bool {
    const BEGIN: &[u8] = b"-----BEGIN ";
    const END: &[u8] = b"PRIVATE KEY-----";
    content
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .any(|line| line.starts_with(BEGIN) && line.ends_with(END))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(path: &str, mode: u32, text: &str) -> Option<&'static str> {
        let kind = Kind::File(text.as_bytes().into());
        open_secret(&Entry { path: path.into(), mode, uid: 0, gid: 0, mtime: 0, kind, xattrs: Default::default() })
    }

    #[test]
    fn a_private_key_that_all_may_read_is_found_wherever_it_stands_in_the_file() {
        let key = "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n";
        assert_eq!(secret("k", 0o644, key), Some("a private key"));
        assert_eq!(secret("k", 0o604, &format!("# by hand\n  {key}")), Some("a private key"));
        assert_eq!(secret("k", 0o640, key), None);
        assert_eq!(secret("k", 0o644, "-----BEGIN CERTIFICATE-----\n"), None);
        assert_eq!(secret("k", 0o644, "say -----BEGIN PRIVATE KEY----- to begin\n"), None);
    }

    #[test]
    fn shadows_and_keys_of_services_are_known_by_their_names() {
        assert_eq!(secret("etc/shadow", 0o644, "root:!::"), Some("passwords"));
        assert_eq!(secret("etc/shadow", 0o600, "root:!::"), None);
        assert_eq!(secret("etc/munge/munge.key", 0o444, "\0\u{1}"), Some("a secret key"));
        assert_eq!(secret("etc/krb5.keytab", 0o644, ""), None);
    }
}
