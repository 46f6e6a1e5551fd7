//! What a render read: noted where it happens, so that only what it depends on can make its result stale.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use model::Node;

/// A part of a node, as far as reads are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Facet {
    Id,
    Comment,
    ClusterName,
    ImageName,
    Ipxe,
    Init,
    Root,
    AssetKey,
    PrimaryNetDev,
    Discoverable,
    Profiles,
    RuntimeOverlay,
    SystemOverlay,
    Tags,
    Kernel,
    Ipmi,
    NetDevs,
    Disks,
    FileSystems,
    Resources,
}

const FACETS: &[(Facet, &str)] = &[
    (Facet::Id, "Id"),
    (Facet::Comment, "Comment"),
    (Facet::ClusterName, "ClusterName"),
    (Facet::ImageName, "ImageName"),
    (Facet::Ipxe, "Ipxe"),
    (Facet::Init, "Init"),
    (Facet::Root, "Root"),
    (Facet::AssetKey, "AssetKey"),
    (Facet::PrimaryNetDev, "PrimaryNetDev"),
    (Facet::Discoverable, "Discoverable"),
    (Facet::Profiles, "Profiles"),
    (Facet::RuntimeOverlay, "RuntimeOverlay"),
    (Facet::SystemOverlay, "SystemOverlay"),
    (Facet::Tags, "Tags"),
    (Facet::Kernel, "Kernel"),
    (Facet::Ipmi, "Ipmi"),
    (Facet::NetDevs, "NetDevs"),
    (Facet::Disks, "Disks"),
    (Facet::FileSystems, "FileSystems"),
    (Facet::Resources, "Resources"),
];

impl Facet {
    /// The name that templates use.
    pub fn name(self) -> &'static str {
        FACETS.iter().find(|(facet, _)| *facet == self).map_or("", |(_, name)| name)
    }

    /// The facet of that name.
    pub fn named(name: &str) -> Option<Facet> {
        FACETS.iter().find(|(_, known)| *known == name).map(|(facet, _)| *facet)
    }

    /// A text that differs whenever this part of two nodes does; for digests, not for people.
    pub fn of(self, node: &Node) -> String {
        let profile = &node.profile;
        match self {
            Facet::Id => node.id.clone(),
            Facet::Comment => profile.comment.clone(),
            Facet::ClusterName => profile.cluster_name.clone(),
            Facet::ImageName => profile.image_name.clone(),
            Facet::Ipxe => profile.ipxe_template.clone(),
            Facet::Init => profile.init.clone(),
            Facet::Root => profile.root.clone(),
            Facet::AssetKey => node.asset_key.clone(),
            Facet::PrimaryNetDev => node.primary().to_owned(),
            Facet::Discoverable => node.discoverable.0.clone(),
            Facet::Profiles => format!("{:?}", profile.profiles),
            Facet::RuntimeOverlay => format!("{:?}", profile.runtime_overlay),
            Facet::SystemOverlay => format!("{:?}", profile.system_overlay),
            Facet::Tags => format!("{:?}", profile.tags),
            Facet::Kernel => format!("{:?}", profile.kernel),
            Facet::Ipmi => format!("{:?}", profile.ipmi),
            Facet::NetDevs => format!("{:?}", profile.network_devices),
            Facet::Disks => format!("{:?}", profile.disks),
            Facet::FileSystems => format!("{:?}", profile.filesystems),
            Facet::Resources => format!("{:?}", profile.resources),
        }
    }
}

/// One thing that was read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Read {
    /// Of the node that is rendered for.
    Own(Facet),
    /// Of all nodes.
    World(Facet),
    /// A file of the controller, there or not.
    File(String),
    /// Where a path of the controller leads.
    Link(String),
    /// A file of an image, there or not.
    ImageFile { image: String, path: String },
    /// The newest kernel of an image.
    ImageKernel(String),
}

impl Read {
    /// One line, read again by [`Read::parse`].
    pub fn line(&self) -> String {
        match self {
            Read::Own(facet) => format!("own {}", facet.name()),
            Read::World(facet) => format!("world {}", facet.name()),
            Read::File(path) => format!("file {}", escape(path)),
            Read::Link(path) => format!("link {}", escape(path)),
            Read::ImageFile { image, path } => format!("image-file {} {}", escape(image), escape(path)),
            Read::ImageKernel(image) => format!("image-kernel {}", escape(image)),
        }
    }

    /// What [`Read::line`] wrote.
    pub fn parse(line: &str) -> Option<Read> {
        let (kind, rest) = line.split_once(' ')?;
        Some(match kind {
            "own" => Read::Own(Facet::named(rest)?),
            "world" => Read::World(Facet::named(rest)?),
            "file" => Read::File(unescape(rest)),
            "link" => Read::Link(unescape(rest)),
            "image-file" => {
                let (image, path) = rest.split_once(' ')?;
                Read::ImageFile { image: unescape(image), path: unescape(path) }
            }
            "image-kernel" => Read::ImageKernel(unescape(rest)),
            _ => return None,
        })
    }
}

/// Blanks and line breaks would end a word of the line.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '%' | ' ' | '\n' | '\r' => out.push_str(&format!("%{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// What [`escape`] wrote.
pub fn unescape(text: &str) -> String {
    text.replace("%20", " ").replace("%0a", "\n").replace("%0d", "\r").replace("%25", "%")
}

/// The notes of one render.
#[derive(Debug, Default)]
pub struct Reads(Mutex<BTreeSet<Read>>);

impl Reads {
    pub fn note(&self, read: Read) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(read);
    }

    /// All notes, sorted.
    pub fn all(&self) -> BTreeSet<Read> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_note_survives_its_line() {
        let notes = [
            Read::Own(Facet::NetDevs),
            Read::World(Facet::Id),
            Read::File("/a b%20\nc".into()),
            Read::Link("/etc/localtime".into()),
            Read::ImageFile { image: "oak".into(), path: "/etc/pass wd".into() },
            Read::ImageKernel("oak".into()),
        ];
        for note in notes {
            assert_eq!(Read::parse(&note.line()), Some(note));
        }
        assert_eq!(Read::parse("own Nothing"), None);
    }
}
