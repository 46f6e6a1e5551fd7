//! The one table of what a node can say: key in nodes.conf, name in templates and `list -a`, flag of `set` and `add`.
//!
//! Reading, writing, merging, listing, the flags and the summary of a change all walk these tables, in the order in
//! which nodes.conf is written.

use std::net::IpAddr;

use crate::node::{Disk, FileSystem, NetDev, Node, Partition, Profile, Truth};

/// How to reach a field of `T`, and of which kind it is.
pub enum Lens<T> {
    Text(fn(&T) -> &String, fn(&mut T) -> &mut String),
    Truth(fn(&T) -> &Truth, fn(&mut T) -> &mut Truth),
    List(fn(&T) -> &Vec<String>, fn(&mut T) -> &mut Vec<String>),
    Ip(fn(&T) -> &Option<IpAddr>, fn(&mut T) -> &mut Option<IpAddr>),
    Bool(fn(&T) -> &Option<bool>, fn(&mut T) -> &mut Option<bool>),
}

/// One field.
pub struct Field<T> {
    /// In the file; a dot stands for a section (`kernel.version`).
    pub key: &'static str,
    /// In templates and in `list -a`.
    pub name: &'static str,
    /// The long flag; empty when no flag sets it.
    pub flag: &'static str,
    pub short: Option<char>,
    pub help: &'static str,
    pub lens: Lens<T>,
}

impl<T> std::fmt::Debug for Lens<T> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Lens::Text(..) => "Text",
            Lens::Truth(..) => "Truth",
            Lens::List(..) => "List",
            Lens::Ip(..) => "Ip",
            Lens::Bool(..) => "Bool",
        })
    }
}

impl<T> std::fmt::Debug for Field<T> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Field").field("key", &self.key).finish_non_exhaustive()
    }
}

impl<T> Field<T> {
    /// As the summary of a change names it: the section, and the flag.
    pub fn path(&self) -> String {
        let word = if self.flag.is_empty() { self.key.rsplit('.').next().unwrap_or(self.key) } else { self.flag };
        match self.key.split_once('.') {
            Some((section, _)) => format!("{section}.{word}"),
            None => word.to_owned(),
        }
    }

    /// Its value.
    pub fn value(&self, of: &T) -> Value {
        match &self.lens {
            Lens::Text(read, _) => Value::Text(read(of).clone()),
            Lens::Truth(read, _) => Value::Truth(read(of).0.clone()),
            Lens::List(read, _) => Value::List(read(of).clone()),
            Lens::Ip(read, _) => Value::Ip(*read(of)),
            Lens::Bool(read, _) => Value::Bool(*read(of)),
        }
    }

    /// Gives it a value of its own kind; one of another kind changes nothing.
    pub fn set(&self, of: &mut T, value: Value) {
        match (&self.lens, value) {
            (Lens::Text(_, place), Value::Text(text)) => *place(of) = text,
            (Lens::Truth(_, place), Value::Truth(text)) => place(of).0 = text,
            (Lens::List(_, place), Value::List(list)) => *place(of) = list,
            (Lens::Ip(_, place), Value::Ip(ip)) => *place(of) = ip,
            (Lens::Bool(_, place), Value::Bool(truth)) => *place(of) = truth,
            _ => {}
        }
    }

    /// Takes its value away.
    pub fn clear(&self, of: &mut T) {
        match &self.lens {
            Lens::Text(_, place) => place(of).clear(),
            Lens::Truth(_, place) => place(of).0.clear(),
            Lens::List(_, place) => place(of).clear(),
            Lens::Ip(_, place) => *place(of) = None,
            Lens::Bool(_, place) => *place(of) = None,
        }
    }
}

/// What a field holds; empty text, an empty list and `None` are "not said".
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(String),
    Truth(String),
    List(Vec<String>),
    Ip(Option<IpAddr>),
    Bool(Option<bool>),
    Any(crate::node::Any),
}

impl Value {
    /// Whether anything was said.
    pub fn is_set(&self) -> bool {
        match self {
            Value::Text(text) | Value::Truth(text) => !text.is_empty(),
            Value::List(list) => !list.is_empty(),
            Value::Ip(ip) => ip.is_some(),
            Value::Bool(truth) => truth.is_some(),
            Value::Any(_) => true,
        }
    }
}

/// What a profile consists of, in the order of the file.
#[derive(Debug)]
pub enum Part {
    Field(Field<Profile>),
    IpmiTags,
    Networks,
    Tags,
    Disks,
    FileSystems,
    Resources,
}

macro_rules! field {
    ($kind:ident $($place:ident).+, $key:literal, $name:literal, $flag:literal, $short:expr, $help:literal) => {
        Field {
            key: $key,
            name: $name,
            flag: $flag,
            short: $short,
            help: $help,
            lens: Lens::$kind(|of| &of.$($place).+, |of| &mut of.$($place).+),
        }
    };
}

/// What only a node has; stands before the rest.
pub static NODE: &[Field<Node>] = &[
    field!(Truth discoverable, "discoverable", "Discoverable", "discoverable", Some('e'), "May an unknown machine take this node (true or false)"),
    field!(Text asset_key, "asset key", "AssetKey", "asset", None, "What the machine must name to get anything"),
];

/// What nodes and profiles have in common.
pub static PROFILE: &[Part] = &[
    Part::Field(field!(List profiles, "profiles", "Profiles", "profile", Some('P'), "Profiles, in order")),
    Part::Field(field!(Text comment, "comment", "Comment", "comment", None, "A word of explanation")),
    Part::Field(
        field!(Text cluster_name, "cluster name", "ClusterName", "cluster", Some('c'), "The cluster it belongs to"),
    ),
    Part::Field(field!(Text image_name, "image name", "ImageName", "image", None, "The image that it boots")),
    Part::Field(field!(Text ipxe_template, "ipxe template", "Ipxe", "ipxe", None, "Template of its iPXE script")),
    Part::Field(
        field!(List runtime_overlay, "runtime overlay", "RuntimeOverlay", "runtime-overlays", Some('R'), "Overlays that are applied while it runs"),
    ),
    Part::Field(
        field!(List system_overlay, "system overlay", "SystemOverlay", "system-overlays", Some('O'), "Overlays that are applied at boot"),
    ),
    Part::Field(
        field!(Text kernel.version, "kernel.version", "Kernel.Version", "kernelversion", None, "Kernel version, or path in the image"),
    ),
    Part::Field(field!(List kernel.args, "kernel.args", "Kernel.Args", "kernelargs", Some('A'), "Kernel arguments")),
    Part::Field(field!(Text ipmi.username, "ipmi.username", "Ipmi.UserName", "ipmiuser", None, "BMC user")),
    Part::Field(field!(Text ipmi.password, "ipmi.password", "Ipmi.Password", "ipmipass", None, "BMC password")),
    Part::Field(field!(Ip ipmi.ipaddr, "ipmi.ipaddr", "Ipmi.Ipaddr", "ipmiaddr", None, "BMC address")),
    Part::Field(field!(Ip ipmi.gateway, "ipmi.gateway", "Ipmi.Gateway", "ipmigateway", None, "BMC gateway")),
    Part::Field(field!(Ip ipmi.netmask, "ipmi.netmask", "Ipmi.Netmask", "ipminetmask", None, "BMC netmask")),
    Part::Field(field!(Text ipmi.port, "ipmi.port", "Ipmi.Port", "ipmiport", None, "BMC port")),
    Part::Field(
        field!(Text ipmi.interface, "ipmi.interface", "Ipmi.Interface", "ipmiinterface", None, "BMC interface (lan, lanplus)"),
    ),
    Part::Field(
        field!(Text ipmi.escapechar, "ipmi.escapechar", "Ipmi.EscapeChar", "ipmiescapechar", None, "Escape character of the BMC console"),
    ),
    Part::Field(
        field!(Truth ipmi.write, "ipmi.write", "Ipmi.Write", "ipmiwrite", None, "Write the BMC settings at boot (true or false)"),
    ),
    Part::Field(
        field!(Text ipmi.template, "ipmi.template", "Ipmi.Template", "ipmitemplate", None, "Template of the BMC command"),
    ),
    Part::IpmiTags,
    Part::Field(field!(Text init, "init", "Init", "init", Some('i'), "The program that starts the system")),
    Part::Field(field!(Text root, "root", "Root", "root", None, "Root file system (initramfs, tmpfs, a device)")),
    Part::Networks,
    Part::Tags,
    Part::Field(
        field!(Text primary_network, "primary network", "PrimaryNetDev", "primarynet", Some('p'), "The primary network"),
    ),
    Part::Disks,
    Part::FileSystems,
    Part::Resources,
];

/// A network device; its tags follow.
pub static NETWORK: &[Field<NetDev>] = &[
    field!(Text kind, "type", "Type", "type", Some('T'), "Type of the device (ethernet, infiniband, ...)"),
    field!(Truth onboot, "onboot", "OnBoot", "onboot", None, "Bring the device up at boot (true or false)"),
    field!(Text device, "device", "Device", "netdev", Some('N'), "Name of the device"),
    field!(Text hwaddr, "hwaddr", "Hwaddr", "hwaddr", Some('H'), "Hardware address"),
    field!(Ip ipaddr, "ipaddr", "Ipaddr", "ipaddr", Some('I'), "IPv4 address"),
    field!(Ip netmask, "netmask", "Netmask", "netmask", Some('M'), "Netmask"),
    field!(Ip gateway, "gateway", "Gateway", "gateway", Some('G'), "Gateway"),
    field!(Ip ipaddr6, "ipaddr6", "Ipaddr6", "ipaddr6", None, "IPv6 address"),
    field!(Text prefixlen6, "prefixlen6", "PrefixLen6", "prefixlen6", None, "IPv6 prefix length"),
    field!(Ip gateway6, "gateway6", "Gateway6", "gateway6", None, "IPv6 gateway"),
    field!(Text mtu, "mtu", "MTU", "mtu", None, "MTU"),
];

/// A disk; its partitions follow.
pub static DISK: &[Field<Disk>] =
    &[field!(Bool wipe_table, "wipe_table", "WipeTable", "diskwipe", None, "Wipe the partition table at boot")];

/// A partition.
pub static PARTITION: &[Field<Partition>] = &[
    field!(Text number, "number", "Number", "partnumber", None, "Partition number"),
    field!(Text size_mib, "size_mib", "SizeMiB", "partsize", None, "Partition size in MiB"),
    field!(Text start_mib, "start_mib", "StartMiB", "", None, "Partition start in MiB"),
    field!(Text type_guid, "type_guid", "TypeGuid", "parttype", None, "Partition type, a GUID"),
    field!(Text guid, "guid", "Guid", "", None, "Partition GUID"),
    field!(Bool wipe_partition_entry, "wipe_partition_entry", "WipePartitionEntry", "partwipe", None, "Wipe the partition at boot"),
    field!(Bool should_exist, "should_exist", "ShouldExist", "partcreate", None, "Create the partition at boot"),
    field!(Bool resize, "resize", "Resize", "", None, "Grow the partition at boot"),
];

/// A file system.
pub static FILESYSTEM: &[Field<FileSystem>] = &[
    field!(Text format, "format", "Format", "fsformat", None, "Format of the file system"),
    field!(Text path, "path", "Path", "fspath", None, "Where the file system is mounted"),
    field!(Bool wipe_filesystem, "wipe_filesystem", "WipeFileSystem", "fswipe", None, "Wipe the file system at boot"),
    field!(Text label, "label", "Label", "", None, "Label of the file system"),
    field!(Text uuid, "uuid", "Uuid", "", None, "UUID of the file system"),
    field!(List options, "options", "Options", "", None, "Options to make the file system with"),
    field!(Text mount_options, "mount_options", "MountOptions", "", None, "Options to mount the file system with"),
];

/// The fields of [`PROFILE`] without the maps between them.
pub fn profile_fields() -> impl Iterator<Item = &'static Field<Profile>> {
    PROFILE.iter().filter_map(|part| match part {
        Part::Field(field) => Some(field),
        _ => None,
    })
}

/// One place of an entry with what it holds: `NetDevs[default].Ipaddr`, also known as `netdevs[default].ipaddr`.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaf {
    pub name: String,
    pub path: String,
    pub value: Value,
}

/// All places of a node in order, also the empty ones of sections that are there.
pub fn node_leaves(node: &Node) -> Vec<Leaf> {
    let mut leaves = Vec::new();
    push(&mut leaves, NODE, node, "", "");
    leaves.extend(profile_leaves(&node.profile));
    leaves
}

/// All places of a profile in order, also the empty ones of sections that are there.
pub fn profile_leaves(profile: &Profile) -> Vec<Leaf> {
    let mut leaves = Vec::new();
    let kernel = !profile.kernel.version.is_empty() || !profile.kernel.args.is_empty();
    let ipmi = profile.ipmi.given || profile.ipmi != crate::node::Ipmi::default();
    for part in PROFILE {
        match part {
            Part::Field(field) if field.key.starts_with("kernel.") && !kernel => {}
            Part::Field(field) if field.key.starts_with("ipmi.") && !ipmi => {}
            Part::Field(field) => {
                leaves.push(Leaf { name: field.name.into(), path: field.path(), value: field.value(profile) })
            }
            Part::IpmiTags => tags(&mut leaves, &profile.ipmi.tags, "Ipmi.", "ipmi."),
            Part::Tags => tags(&mut leaves, &profile.tags, "", ""),
            Part::Networks => {
                for (name, device) in &profile.network_devices {
                    let (upper, lower) = (format!("NetDevs[{name}]."), format!("netdevs[{name}]."));
                    push(&mut leaves, NETWORK, device, &upper, &lower);
                    tags(&mut leaves, &device.tags, &upper, &lower);
                }
            }
            Part::Disks => {
                for (name, disk) in &profile.disks {
                    let (upper, lower) = (format!("Disks[{name}]."), format!("disks[{name}]."));
                    push(&mut leaves, DISK, disk, &upper, &lower);
                    for (label, partition) in &disk.partitions {
                        let (upper, lower) =
                            (format!("{upper}Partitions[{label}]."), format!("{lower}partitions[{label}]."));
                        push(&mut leaves, PARTITION, partition, &upper, &lower);
                    }
                }
            }
            Part::FileSystems => {
                for (name, system) in &profile.filesystems {
                    push(
                        &mut leaves,
                        FILESYSTEM,
                        system,
                        &format!("FileSystems[{name}]."),
                        &format!("filesystems[{name}]."),
                    );
                }
            }
            Part::Resources => leaves.extend(profile.resources.iter().map(|(name, any)| Leaf {
                name: format!("Resources[{name}]"),
                path: format!("resources[{name}]"),
                value: Value::Any(any.clone()),
            })),
        }
    }
    leaves
}

fn push<T>(leaves: &mut Vec<Leaf>, fields: &[Field<T>], of: &T, upper: &str, lower: &str) {
    leaves.extend(fields.iter().map(|field| Leaf {
        name: format!("{upper}{}", field.name),
        path: format!("{lower}{}", field.path()),
        value: field.value(of),
    }));
}

fn tags(leaves: &mut Vec<Leaf>, tags: &std::collections::BTreeMap<String, String>, upper: &str, lower: &str) {
    leaves.extend(tags.iter().map(|(key, value)| Leaf {
        name: format!("{upper}Tags[{key}]"),
        path: format!("{lower}tags[{key}]"),
        value: Value::Text(value.clone()),
    }));
}
