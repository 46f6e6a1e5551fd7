//! A node as a tree of named parts, as templates name them: the same names lead to a value for a template, and to the
//! state that tells whether what was read is still what it was.

use std::collections::BTreeMap;
use std::net::IpAddr;

use model::Node;
use model::node::{Any, Disk, FileSystem, Ipmi, Kernel, NetDev, Partition, Truth};
use sha2::{Digest, Sha256};

use crate::reads::{Path, What};

/// A part of a node: a leaf, a struct or a map.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    Text(&'a str),
    Truth(&'a Truth),
    Address(Option<IpAddr>),
    Flag(bool),
    Texts(&'a [String]),
    Any(&'a Any),
    Node(&'a Node),
    Kernel(&'a Kernel),
    Ipmi(&'a Ipmi),
    NetDev(&'a NetDev),
    Disk(&'a Disk),
    Partition(&'a Partition),
    FileSystem(&'a FileSystem),
    Tags(&'a BTreeMap<String, String>),
    NetDevs(&'a BTreeMap<String, NetDev>),
    Disks(&'a BTreeMap<String, Disk>),
    Partitions(&'a BTreeMap<String, Partition>),
    FileSystems(&'a BTreeMap<String, FileSystem>),
    Resources(&'a BTreeMap<String, Any>),
}

/// The node's fields in the order in which they are printed.
pub const NODE: &[&str] = &[
    "Comment",
    "ClusterName",
    "ImageName",
    "Ipxe",
    "RuntimeOverlay",
    "SystemOverlay",
    "Kernel",
    "Ipmi",
    "Init",
    "Root",
    "NetDevs",
    "Tags",
    "PrimaryNetDev",
    "Disks",
    "FileSystems",
    "Resources",
    "Profiles",
    "Discoverable",
    "AssetKey",
];
pub const KERNEL: &[&str] = &["Version", "Args"];
pub const IPMI: &[&str] = &[
    "UserName",
    "Password",
    "Ipaddr",
    "Gateway",
    "Netmask",
    "Port",
    "Interface",
    "EscapeChar",
    "Write",
    "Template",
    "Tags",
];
pub const NETDEV: &[&str] = &[
    "Type",
    "OnBoot",
    "Device",
    "Hwaddr",
    "Ipaddr",
    "Ipaddr6",
    "PrefixLen6",
    "Netmask",
    "Gateway",
    "Gateway6",
    "MTU",
    "Tags",
];
pub const DISK: &[&str] = &["WipeTable", "Partitions"];
pub const PARTITION: &[&str] =
    &["Number", "SizeMiB", "StartMiB", "TypeGuid", "Guid", "WipePartitionEntry", "ShouldExist", "Resize"];
pub const FILESYSTEM: &[&str] = &["Format", "Path", "WipeFileSystem", "Label", "Uuid", "Options", "MountOptions"];

impl<'a> Part<'a> {
    /// What has this name: the field of a struct, the entry of a map. `None`: there is no such thing.
    pub fn get(self, name: &str) -> Option<Part<'a>> {
        match self {
            Part::Node(node) => of_node(node, name),
            Part::Kernel(kernel) => Some(match name {
                "Version" => Part::Text(&kernel.version),
                "Args" => Part::Texts(&kernel.args),
                _ => return None,
            }),
            Part::Ipmi(ipmi) => of_ipmi(ipmi, name),
            Part::NetDev(dev) => of_device(dev, name),
            Part::Disk(disk) => Some(match name {
                "WipeTable" => Part::Flag(disk.wipe_table == Some(true)),
                "Partitions" => Part::Partitions(&disk.partitions),
                _ => return None,
            }),
            Part::Partition(partition) => Some(match name {
                "Number" => Part::Text(&partition.number),
                "SizeMiB" => Part::Text(&partition.size_mib),
                "StartMiB" => Part::Text(&partition.start_mib),
                "TypeGuid" => Part::Text(&partition.type_guid),
                "Guid" => Part::Text(&partition.guid),
                "WipePartitionEntry" => Part::Flag(partition.wipe_partition_entry == Some(true)),
                "ShouldExist" => Part::Flag(partition.should_exist == Some(true)),
                "Resize" => Part::Flag(partition.resize == Some(true)),
                _ => return None,
            }),
            Part::FileSystem(system) => Some(match name {
                "Format" => Part::Text(&system.format),
                "Path" => Part::Text(&system.path),
                "WipeFileSystem" => Part::Flag(system.wipe_filesystem == Some(true)),
                "Label" => Part::Text(&system.label),
                "Uuid" => Part::Text(&system.uuid),
                "Options" => Part::Texts(&system.options),
                "MountOptions" => Part::Text(&system.mount_options),
                _ => return None,
            }),
            Part::Tags(tags) => tags.get(name).map(|text| Part::Text(text)),
            Part::NetDevs(all) => all.get(name).map(Part::NetDev),
            Part::Disks(all) => all.get(name).map(Part::Disk),
            Part::Partitions(all) => all.get(name).map(Part::Partition),
            Part::FileSystems(all) => all.get(name).map(Part::FileSystem),
            Part::Resources(all) | Part::Any(Any::Map(all)) => all.get(name).map(Part::Any),
            Part::Text(_) | Part::Truth(_) | Part::Address(_) | Part::Flag(_) | Part::Texts(_) | Part::Any(_) => None,
        }
    }

    /// The keys of a map, sorted; `None` for what is no map.
    pub fn keys(self) -> Option<Vec<&'a str>> {
        fn of<V>(map: &BTreeMap<String, V>) -> Vec<&str> {
            map.keys().map(String::as_str).collect()
        }
        Some(match self {
            Part::Tags(map) => of(map),
            Part::NetDevs(map) => of(map),
            Part::Disks(map) => of(map),
            Part::Partitions(map) => of(map),
            Part::FileSystems(map) => of(map),
            Part::Resources(map) | Part::Any(Any::Map(map)) => of(map),
            _ => return None,
        })
    }

    /// How many entries a map has; 0 for what is no map.
    pub fn len(self) -> usize {
        match self {
            Part::Tags(map) => map.len(),
            Part::NetDevs(map) => map.len(),
            Part::Disks(map) => map.len(),
            Part::Partitions(map) => map.len(),
            Part::FileSystems(map) => map.len(),
            Part::Resources(map) | Part::Any(Any::Map(map)) => map.len(),
            _ => 0,
        }
    }

    /// Whether it is a map without entries, or no map.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The fields of a struct in declared order.
    pub fn fields(self) -> &'static [&'static str] {
        match self {
            Part::Node(_) => NODE,
            Part::Kernel(_) => KERNEL,
            Part::Ipmi(_) => IPMI,
            Part::NetDev(_) => NETDEV,
            Part::Disk(_) => DISK,
            Part::Partition(_) => PARTITION,
            Part::FileSystem(_) => FILESYSTEM,
            _ => &[],
        }
    }

    /// Where a struct lies in memory, as long as its node lives; 0 for all else.
    pub fn address(self) -> usize {
        match self {
            Part::Node(part) => std::ptr::from_ref(part).addr(),
            Part::Kernel(part) => std::ptr::from_ref(part).addr(),
            Part::Ipmi(part) => std::ptr::from_ref(part).addr(),
            Part::NetDev(part) => std::ptr::from_ref(part).addr(),
            Part::Disk(part) => std::ptr::from_ref(part).addr(),
            Part::Partition(part) => std::ptr::from_ref(part).addr(),
            Part::FileSystem(part) => std::ptr::from_ref(part).addr(),
            _ => 0,
        }
    }

    /// Puts the present state of what a path names into a digest, in a form that no other state has.
    pub fn state(self, path: &Path, digest: &mut Sha256) {
        state(Some(self), path.names(), path.what(), digest);
    }
}

fn of_node<'a>(node: &'a Node, name: &str) -> Option<Part<'a>> {
    let profile = &node.profile;
    Some(match name {
        "Id" => Part::Text(&node.id),
        "Comment" => Part::Text(&profile.comment),
        "ClusterName" => Part::Text(&profile.cluster_name),
        "ImageName" => Part::Text(&profile.image_name),
        "Ipxe" => Part::Text(&profile.ipxe_template),
        "RuntimeOverlay" => Part::Texts(&profile.runtime_overlay),
        "SystemOverlay" => Part::Texts(&profile.system_overlay),
        "Kernel" => Part::Kernel(&profile.kernel),
        "Ipmi" => Part::Ipmi(&profile.ipmi),
        "Init" => Part::Text(&profile.init),
        "Root" => Part::Text(&profile.root),
        "NetDevs" => Part::NetDevs(&profile.network_devices),
        "Tags" => Part::Tags(&profile.tags),
        "PrimaryNetDev" => Part::Text(node.primary()),
        "Disks" => Part::Disks(&profile.disks),
        "FileSystems" => Part::FileSystems(&profile.filesystems),
        "Resources" => Part::Resources(&profile.resources),
        "Profiles" => Part::Texts(&profile.profiles),
        "Discoverable" => Part::Truth(&node.discoverable),
        "AssetKey" => Part::Text(&node.asset_key),
        _ => return None,
    })
}

fn of_ipmi<'a>(ipmi: &'a Ipmi, name: &str) -> Option<Part<'a>> {
    Some(match name {
        "UserName" => Part::Text(&ipmi.username),
        "Password" => Part::Text(&ipmi.password),
        "Ipaddr" => Part::Address(ipmi.ipaddr),
        "Gateway" => Part::Address(ipmi.gateway),
        "Netmask" => Part::Address(ipmi.netmask),
        "Port" => Part::Text(&ipmi.port),
        "Interface" => Part::Text(&ipmi.interface),
        "EscapeChar" => Part::Text(&ipmi.escapechar),
        "Write" => Part::Truth(&ipmi.write),
        "Template" => Part::Text(&ipmi.template),
        "Tags" => Part::Tags(&ipmi.tags),
        _ => return None,
    })
}

fn of_device<'a>(dev: &'a NetDev, name: &str) -> Option<Part<'a>> {
    Some(match name {
        "Type" => Part::Text(&dev.kind),
        "OnBoot" => Part::Truth(&dev.onboot),
        "Device" => Part::Text(&dev.device),
        "Hwaddr" => Part::Text(&dev.hwaddr),
        "Ipaddr" => Part::Address(dev.ipaddr),
        "Ipaddr6" => Part::Address(dev.ipaddr6),
        "PrefixLen6" => Part::Text(&dev.prefixlen6),
        "Netmask" => Part::Address(dev.netmask),
        "Gateway" => Part::Address(dev.gateway),
        "Gateway6" => Part::Address(dev.gateway6),
        "MTU" => Part::Text(&dev.mtu),
        "Tags" => Part::Tags(&dev.tags),
        _ => return None,
    })
}

fn state(part: Option<Part<'_>>, names: &[crate::reads::Name], what: What, digest: &mut Sha256) {
    let Some(part) = part else {
        digest.update([0]);
        return;
    };
    match names.split_first() {
        Some((Some(name), rest)) => state(part.get(name), rest, what, digest),
        Some((None, rest)) => {
            let keys = part.keys().unwrap_or_default();
            count(keys.len(), digest);
            for key in keys {
                text(key, digest);
                state(part.get(key), rest, what, digest);
            }
        }
        None => match what {
            What::Value => whole(part, digest),
            What::Exists => digest.update([1, kind(part)]),
            What::Count => count(part.len(), digest),
            What::Some => digest.update([2 + u8::from(part.is_empty())]),
            What::Keys => {
                let keys = part.keys().unwrap_or_default();
                count(keys.len(), digest);
                keys.into_iter().for_each(|key| text(key, digest));
            }
        },
    }
}

/// Everything in a part.
fn whole(part: Part<'_>, digest: &mut Sha256) {
    digest.update([1, kind(part)]);
    match part {
        Part::Text(word) => text(word, digest),
        Part::Truth(word) => text(&word.0, digest),
        Part::Address(None) => digest.update([0]),
        Part::Address(Some(IpAddr::V4(address))) => digest.update(address.octets()),
        Part::Address(Some(IpAddr::V6(address))) => digest.update(address.octets()),
        Part::Flag(flag) => digest.update([u8::from(flag)]),
        Part::Texts(words) => {
            count(words.len(), digest);
            words.iter().for_each(|word| text(word, digest));
        }
        Part::Any(any) if !matches!(any, Any::Map(_)) => text(&format!("{any:?}"), digest),
        struct_or_map => match struct_or_map.keys() {
            Some(keys) => {
                count(keys.len(), digest);
                for key in keys {
                    text(key, digest);
                    struct_or_map.get(key).into_iter().for_each(|inner| whole(inner, digest));
                }
            }
            None => {
                let fields = struct_or_map.fields().iter();
                fields.filter_map(|name| struct_or_map.get(name)).for_each(|inner| whole(inner, digest));
            }
        },
    }
}

/// What a template tells apart without looking into it.
fn kind(part: Part<'_>) -> u8 {
    match part {
        Part::Any(Any::Null) => 1,
        Part::Any(Any::Bool(_)) => 2,
        Part::Any(Any::Int(_)) => 3,
        Part::Any(Any::Uint(_)) => 4,
        Part::Any(Any::Float(_)) => 5,
        Part::Any(Any::Text(_)) => 6,
        Part::Any(Any::List(_)) => 7,
        Part::Any(Any::Map(_)) => 8,
        Part::Address(None) => 9,
        Part::Address(Some(IpAddr::V4(_))) => 10,
        Part::Address(Some(IpAddr::V6(_))) => 11,
        _ => 0,
    }
}

fn count(count: usize, digest: &mut Sha256) {
    digest.update(u64::try_from(count).unwrap_or(u64::MAX).to_le_bytes());
}

fn text(text: &str, digest: &mut Sha256) {
    count(text.len(), digest);
    digest.update(text);
}
