//! A node and its profile as nodes.conf names them, after reading: every field has its type, empty means "not said".
//!
//! Both the raw entry of the file and the merged node have this shape; what merging does is `merge`'s to say.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// A yes/no field that nodes.conf carries as text (`onboot`, `discoverable`, `write`): unset, yes, no.
///
/// The text is kept as written, because templates and listings show it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Truth(pub String);

impl Truth {
    /// True for what Go's `strconv.ParseBool` takes as true, and for `yes`; everything else, also empty, is false.
    pub fn is_true(&self) -> bool {
        matches!(self.0.to_ascii_lowercase().as_str(), "1" | "t" | "true" | "yes" | "y" | "on")
    }

    /// As [`Truth::is_true`], but true when nothing was said.
    pub fn is_true_by_default(&self) -> bool {
        self.0.is_empty() || self.is_true()
    }

    /// Whether nothing was said.
    pub fn is_unset(&self) -> bool {
        self.0.is_empty()
    }
}

/// A node: a profile with a name, and the two fields that only a node has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    /// The key in nodes.conf; also the host name.
    pub id: String,
    /// May an unknown MAC address take this node?
    pub discoverable: Truth,
    /// What the node must say to get anything.
    pub asset_key: String,
    /// All the rest, the same in a profile.
    pub profile: Profile,
}

/// What nodes and profiles have in common, in the order in which nodes.conf is written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    pub profiles: Vec<String>,
    pub comment: String,
    pub cluster_name: String,
    pub image_name: String,
    pub ipxe_template: String,
    pub runtime_overlay: Vec<String>,
    pub system_overlay: Vec<String>,
    pub kernel: Kernel,
    pub ipmi: Ipmi,
    pub init: String,
    pub root: String,
    /// Name of the network (`default`) -> its device.
    pub network_devices: BTreeMap<String, NetDev>,
    pub tags: BTreeMap<String, String>,
    /// As written; [`Node::primary`] says which one it comes to.
    pub primary_network: String,
    /// Device path -> disk.
    pub disks: BTreeMap<String, Disk>,
    /// Device path -> file system.
    pub filesystems: BTreeMap<String, FileSystem>,
    /// Free YAML under names.
    pub resources: BTreeMap<String, Any>,
}

/// Which kernel, with which arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kernel {
    pub version: String,
    pub args: Vec<String>,
}

/// The baseboard management controller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ipmi {
    /// Whether the section stands in the file at all, be it empty: listings tell an empty one from none.
    pub given: bool,
    pub username: String,
    pub password: String,
    pub ipaddr: Option<IpAddr>,
    pub gateway: Option<IpAddr>,
    pub netmask: Option<IpAddr>,
    pub port: String,
    pub interface: String,
    pub escapechar: String,
    pub write: Truth,
    pub template: String,
    pub tags: BTreeMap<String, String>,
}

/// One network of a node, with the device that is on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetDev {
    pub kind: String,
    pub onboot: Truth,
    pub device: String,
    /// As written; any letters pass in the file. Compare through [`crate::node::mac`].
    pub hwaddr: String,
    pub ipaddr: Option<IpAddr>,
    pub netmask: Option<IpAddr>,
    pub gateway: Option<IpAddr>,
    pub ipaddr6: Option<IpAddr>,
    pub prefixlen6: String,
    pub gateway6: Option<IpAddr>,
    pub mtu: String,
    pub tags: BTreeMap<String, String>,
}

/// A disk and its partitions. `Some(false)` hides a profile's `true`, `None` does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    pub wipe_table: Option<bool>,
    /// Label -> partition.
    pub partitions: BTreeMap<String, Partition>,
}

/// A partition; numbers and sizes are text as in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Partition {
    pub number: String,
    pub size_mib: String,
    pub start_mib: String,
    pub type_guid: String,
    pub guid: String,
    pub wipe_partition_entry: Option<bool>,
    pub should_exist: Option<bool>,
    pub resize: Option<bool>,
}

/// A file system on a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileSystem {
    pub format: String,
    pub path: String,
    pub wipe_filesystem: Option<bool>,
    pub label: String,
    pub uuid: String,
    pub options: Vec<String>,
    pub mount_options: String,
}

/// Any YAML, by the scalar rules of YAML 1.1 as yaml.v3 reads them.
#[derive(Clone, Debug, PartialEq)]
pub enum Any {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Text(String),
    List(Vec<Any>),
    /// Keys are text; a key of another type is shown as it was written.
    Map(BTreeMap<String, Any>),
}

impl Node {
    /// The name of the primary network: `primary network` when such a device exists, else the first by name, else "".
    pub fn primary(&self) -> &str {
        let devices = &self.profile.network_devices;
        if devices.contains_key(&self.profile.primary_network) {
            return &self.profile.primary_network;
        }
        devices.keys().next().map_or("", String::as_str)
    }

    /// The device of the primary network.
    pub fn primary_device(&self) -> Option<&NetDev> {
        self.profile.network_devices.get(self.primary())
    }
}

/// A MAC address in the one form that is compared: lower case, colons. `-` reads as `:`.
///
/// Anything else passes unchanged but for its case: InfiniBand addresses are longer, and a file may hold any text.
pub fn mac(text: &str) -> String {
    text.trim().to_ascii_lowercase().replace('-', ":")
}
