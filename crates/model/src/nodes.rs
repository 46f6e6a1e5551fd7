//! nodes.conf: text to [`NodesConf`], and back as a document to be written.
//!
//! Unknown keys are no error: they are named in [`NodesConf::warnings`], and whoever edits the file leaves them in it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::error::{ConfError, Warning};
use crate::fields::{self, DISK, FILESYSTEM, Field, Lens, NETWORK, PARTITION, Part};
use crate::node::{Any, Disk, FileSystem, NetDev, Node, Partition, Profile};
use crate::read::{Section, Told};
use crate::yaml::{self, Doc, Entry, Tree};

/// The file as it stands: nothing merged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodesConf {
    pub profiles: BTreeMap<String, Profile>,
    pub nodes: BTreeMap<String, Node>,
    unknown: Vec<Warning>,
    doubts: Vec<Warning>,
}

impl NodesConf {
    /// Reads the text of nodes.conf. An entry without a value is an empty one.
    ///
    /// # Errors
    /// When it is no YAML, a key is doubled, or a value is of the wrong kind; with line, column and field.
    pub fn parse(text: &str) -> Result<NodesConf, ConfError> {
        NodesConf::from_tree(&yaml::parse(text)?)
    }

    /// As [`NodesConf::parse`], from a tree that is at hand.
    ///
    /// # Errors
    /// As [`NodesConf::parse`].
    pub fn from_tree(tree: &Tree) -> Result<NodesConf, ConfError> {
        let mut top = Section::of(tree, "")?;
        let mut conf = NodesConf::default();
        for entry in top.named("nodeprofiles")? {
            let profile = profile_entry(entry, "nodeprofiles.", &mut conf)?;
            conf.profiles.insert(entry.key.clone(), profile);
        }
        for entry in top.named("nodes")? {
            let node = node_entry(entry, "nodes.", &mut conf)?;
            conf.nodes.insert(entry.key.clone(), node);
        }
        // WW_INTERNAL stood in the files of older releases; it says nothing, and nobody needs to hear of it.
        top.ignore("WW_INTERNAL");
        conf.hear(top.finish());
        Ok(conf)
    }

    /// Reads a text that holds only entries, name -> node or name -> profile, as `node export` prints them.
    ///
    /// # Errors
    /// As [`NodesConf::parse`].
    pub fn parse_entries(text: &str, of_profiles: bool) -> Result<NodesConf, ConfError> {
        let tree = yaml::parse(text)?;
        let mut conf = NodesConf::default();
        for entry in Section::of(&tree, "")?.entries() {
            if of_profiles {
                let profile = profile_entry(entry, "", &mut conf)?;
                conf.profiles.insert(entry.key.clone(), profile);
            } else {
                let node = node_entry(entry, "", &mut conf)?;
                conf.nodes.insert(entry.key.clone(), node);
            }
        }
        Ok(conf)
    }

    fn hear(&mut self, told: Told) {
        self.unknown.extend(told.unknown);
        self.doubts.extend(told.doubts);
    }

    /// What a person should know about the file: unknown keys, doubtful values, profiles that are missing.
    pub fn warnings(&self) -> Vec<Warning> {
        let mut warnings: Vec<Warning> = self.oddities().cloned().collect();
        let missing = |field: String, wanted: &[String], warnings: &mut Vec<Warning>| {
            for name in wanted.iter().filter(|name| !name.starts_with('~') && !self.profiles.contains_key(*name)) {
                let message = format!("there is no profile {name:?}; add it, or take the name away");
                warnings.push(ConfError { line: 0, column: 0, field: field.clone(), message });
            }
        };
        for (name, profile) in &self.profiles {
            missing(format!("nodeprofiles.{name}.profiles"), &profile.profiles, &mut warnings);
        }
        for (name, node) in &self.nodes {
            missing(format!("nodes.{name}.profiles"), &node.profile.profiles, &mut warnings);
        }
        warnings
    }

    /// The keys that nobody knows, with their places.
    pub fn unknown(&self) -> &[Warning] {
        &self.unknown
    }

    /// Unknown keys and doubtful values, with their places.
    pub fn oddities(&self) -> impl Iterator<Item = &Warning> {
        self.unknown.iter().chain(&self.doubts)
    }

    /// As a document, in the fixed order; unknown keys are not in it.
    pub fn doc(&self) -> Doc {
        let profiles = self.profiles.iter().map(|(name, profile)| (name.clone(), profile_doc(profile)));
        let nodes = self.nodes.iter().map(|(name, node)| (name.clone(), node_doc(node)));
        Doc::Map(vec![("nodeprofiles".into(), Doc::named(profiles)), ("nodes".into(), Doc::named(nodes))])
    }

    /// The text that a file without comments and unknown keys has.
    pub fn text(&self) -> String {
        yaml::yaml(&self.doc(), 2, 0)
    }
}

fn profile_entry(entry: &Entry, under: &str, conf: &mut NodesConf) -> Result<Profile, ConfError> {
    let mut section = Section::of(&entry.value, &format!("{under}{}", entry.key))?;
    let profile = profile(&mut section)?;
    conf.hear(section.finish());
    Ok(profile)
}

fn node_entry(entry: &Entry, under: &str, conf: &mut NodesConf) -> Result<Node, ConfError> {
    let mut section = Section::of(&entry.value, &format!("{under}{}", entry.key))?;
    let mut node = Node { id: entry.key.clone(), ..Node::default() };
    read(&mut section, fields::NODE, &mut node)?;
    node.profile = profile(&mut section)?;
    conf.hear(section.finish());
    Ok(node)
}

/// The shared part of an entry.
fn profile(section: &mut Section<'_>) -> Result<Profile, ConfError> {
    let mut profile = Profile::default();
    let mut kernel = section.section("kernel")?;
    let mut ipmi = section.section("ipmi")?;
    profile.ipmi.given = ipmi.is_some();
    for part in fields::PROFILE {
        match part {
            Part::Field(field) => match field.key.split_once('.') {
                None => read_field(section, field.key, field, &mut profile)?,
                Some((of, key)) => {
                    let place = if of == "kernel" { kernel.as_mut() } else { ipmi.as_mut() };
                    if let Some(place) = place {
                        read_field(place, key, field, &mut profile)?;
                    }
                }
            },
            Part::IpmiTags => {
                if let Some(ipmi) = ipmi.as_mut() {
                    profile.ipmi.tags = ipmi.texts("tags")?;
                }
            }
            Part::Tags => profile.tags = section.texts("tags")?,
            Part::Networks => {
                profile.network_devices = section.each("network devices", |section| {
                    let mut device = NetDev::default();
                    read(section, NETWORK, &mut device)?;
                    device.tags = section.texts("tags")?;
                    Ok(device)
                })?;
            }
            Part::Disks => {
                profile.disks = section.each("disks", |section| {
                    let mut disk = Disk::default();
                    read(section, DISK, &mut disk)?;
                    disk.partitions = section.each("partitions", |section| {
                        let mut partition = Partition::default();
                        read(section, PARTITION, &mut partition)?;
                        Ok(partition)
                    })?;
                    Ok(disk)
                })?;
            }
            Part::FileSystems => {
                profile.filesystems = section.each("filesystems", |section| {
                    let mut system = FileSystem::default();
                    read(section, FILESYSTEM, &mut system)?;
                    Ok(system)
                })?;
            }
            Part::Resources => {
                let named = section.named("resources")?;
                profile.resources = named.iter().map(|entry| (entry.key.clone(), entry.value.any())).collect();
            }
        }
    }
    for part in [kernel, ipmi].into_iter().flatten() {
        section.absorb(part);
    }
    Ok(profile)
}

fn read<T>(section: &mut Section<'_>, fields: &[Field<T>], into: &mut T) -> Result<(), ConfError> {
    fields.iter().try_for_each(|field| read_field(section, field.key, field, into))
}

fn read_field<T>(section: &mut Section<'_>, key: &str, field: &Field<T>, into: &mut T) -> Result<(), ConfError> {
    match &field.lens {
        Lens::Text(_, place) => *place(into) = section.text(key)?,
        Lens::Truth(_, place) => {
            let text = section.text(key)?;
            if !text.is_empty() && !is_truth_word(&text) {
                section
                    .doubt(key, format!("{text:?} is neither true nor false and counts as false; write one of them"));
            }
            place(into).0 = text;
        }
        Lens::List(_, place) => *place(into) = section.list(key)?,
        Lens::Ip(_, place) => *place(into) = section.ip::<IpAddr>(key)?,
        Lens::Bool(_, place) => *place(into) = section.truth(key)?,
    }
    Ok(())
}

fn is_truth_word(text: &str) -> bool {
    let words = ["0", "1", "t", "f", "true", "false", "yes", "no", "y", "n", "on", "off"];
    words.contains(&text.to_ascii_lowercase().as_str())
}

/// A node as it is written.
pub fn node_doc(node: &Node) -> Doc {
    let mut entries = Vec::new();
    write(&mut entries, fields::NODE, node);
    if let Doc::Map(rest) = profile_doc(&node.profile) {
        entries.extend(rest);
    }
    Doc::Map(entries)
}

/// A profile as it is written: fields that say nothing are left out.
pub fn profile_doc(profile: &Profile) -> Doc {
    let mut entries = Vec::new();
    for part in fields::PROFILE {
        match part {
            Part::Field(field) => put(&mut entries, field.key, value_doc(field, profile)),
            Part::IpmiTags => put(&mut entries, "ipmi.tags", tags_doc(&profile.ipmi.tags)),
            Part::Tags => put(&mut entries, "tags", tags_doc(&profile.tags)),
            Part::Networks => put(&mut entries, "network devices", map_doc(&profile.network_devices, network_doc)),
            Part::Disks => put(&mut entries, "disks", map_doc(&profile.disks, disk_doc)),
            Part::FileSystems => {
                put(&mut entries, "filesystems", map_doc(&profile.filesystems, |system| plain_doc(FILESYSTEM, system)));
            }
            Part::Resources => put(&mut entries, "resources", map_doc(&profile.resources, |any: &Any| any.into())),
        }
    }
    Doc::Map(entries)
}

fn network_doc(device: &NetDev) -> Doc {
    let mut entries = Vec::new();
    write(&mut entries, NETWORK, device);
    put(&mut entries, "tags", tags_doc(&device.tags));
    Doc::Map(entries)
}

fn disk_doc(disk: &Disk) -> Doc {
    let mut entries = Vec::new();
    write(&mut entries, DISK, disk);
    put(&mut entries, "partitions", map_doc(&disk.partitions, |partition| plain_doc(PARTITION, partition)));
    Doc::Map(entries)
}

fn plain_doc<T>(fields: &[Field<T>], of: &T) -> Doc {
    let mut entries = Vec::new();
    write(&mut entries, fields, of);
    Doc::Map(entries)
}

fn write<T>(entries: &mut Vec<(String, Doc)>, fields: &[Field<T>], of: &T) {
    for field in fields {
        put(entries, field.key, value_doc(field, of));
    }
}

fn value_doc<T>(field: &Field<T>, of: &T) -> Option<Doc> {
    let text = |text: &String| (!text.is_empty()).then(|| Doc::Text(text.clone()));
    match &field.lens {
        Lens::Text(read, _) => text(read(of)),
        Lens::Truth(read, _) => text(&read(of).0),
        Lens::List(read, _) => {
            let list = read(of);
            (!list.is_empty()).then(|| Doc::List(list.iter().cloned().map(Doc::Text).collect()))
        }
        Lens::Ip(read, _) => read(of).map(|ip| Doc::Text(ip.to_string())),
        Lens::Bool(read, _) => read(of).map(|truth| Doc::Word(truth.to_string())),
    }
}

fn tags_doc(tags: &BTreeMap<String, String>) -> Option<Doc> {
    map_doc(tags, |text| Doc::Text(text.clone()))
}

fn map_doc<V>(map: &BTreeMap<String, V>, doc: impl Fn(&V) -> Doc) -> Option<Doc> {
    (!map.is_empty()).then(|| Doc::named(map.iter().map(|(key, value)| (key.clone(), doc(value)))))
}

/// Adds an entry, inside a section where the key has a dot; the section stands where its first entry does.
fn put(entries: &mut Vec<(String, Doc)>, key: &str, doc: Option<Doc>) {
    let Some(doc) = doc else { return };
    let Some((section, key)) = key.split_once('.') else {
        entries.push((key.to_owned(), doc));
        return;
    };
    if let Some((name, Doc::Map(inner))) = entries.last_mut()
        && name == section
    {
        inner.push((key.to_owned(), doc));
        return;
    }
    entries.push((section.to_owned(), Doc::Map(vec![(key.to_owned(), doc)])));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(text: &str) -> Node {
        NodesConf::parse(&format!("nodes:\n  n1:\n{text}")).unwrap().nodes["n1"].clone()
    }

    #[test]
    fn an_item_without_a_value_is_none() {
        assert_eq!(node("    profiles:\n      - a\n      - ~\n      -\n      - b\n").profile.profiles, ["a", "b"]);
        assert_eq!(node("    profiles: ['', null]\n").profile.profiles, [""]);
    }

    #[test]
    fn a_truth_may_be_quoted_where_the_word_is_an_old_one() {
        let wipe = |word: &str| {
            let text = format!("nodes:\n  n1:\n    disks:\n      /dev/sda:\n        wipe_table: {word}\n");
            NodesConf::parse(&text).ok().map(|conf| conf.nodes["n1"].profile.disks["/dev/sda"].wipe_table)
        };
        assert_eq!(wipe("\"yes\""), Some(Some(true)));
        assert_eq!(wipe("'OFF'"), Some(Some(false)));
        assert_eq!(wipe("\"true\""), None);
        assert_eq!(wipe("1"), None);
    }

    #[test]
    fn a_word_that_is_no_truth_is_named_with_its_place_and_stays() {
        let text =
            "nodes:\n  n1:\n    discoverable: on\n    network devices: {d: {onboot: maybe}}\n    ipmi: {write: no}\n";
        let conf = NodesConf::parse(text).unwrap();
        let warnings: Vec<String> = conf.warnings().iter().map(ToString::to_string).collect();
        let message = "line 4, column 35: nodes.n1.network devices.d.onboot: \"maybe\" is neither true nor false and counts \
                       as false; write one of them";
        assert_eq!(warnings, [message]);
        assert_eq!(conf.nodes["n1"].profile.network_devices["d"].onboot.0, "maybe");
    }

    #[test]
    fn what_is_no_utf_8_is_refused_with_its_place() {
        let error = crate::text_of(b"nodes:\n  n\xc3\xa41: {comment: \xff}\n".to_vec()).unwrap_err();
        assert_eq!(error.to_string(), "line 2, column 18: this is no text in UTF-8; write it anew in that encoding");
    }
}
