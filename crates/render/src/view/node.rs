//! A node as templates see it: its fields, its devices, disks and file systems.

use std::borrow::Cow;
use std::sync::Arc;

use model::Node;
use model::node::{Any, Disk, FileSystem, NetDev, Partition};
use template::Failure;
use template::{List, Map, NilPointer, Object, Type, Value};

use super::plain::Plain;
use super::scalar::{ip, truth};
use super::{Cx, Scope, net, niladic, texts};
use crate::reads::{Facet, Read, Reads};
use crate::source::Source;

/// The node's fields in the order in which they are printed.
pub(crate) const FIELDS: &[&str] = &[
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

const METHODS: &[&str] = &["Id", "ContainerName", "Valid", "DiskList", "FileSystemList"];

/// A node, seen by a render.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) node: Arc<Node>,
    pub(crate) scope: Scope,
    pub(crate) reads: Arc<Reads>,
    pub(crate) source: Arc<dyn Source>,
}

impl Seen {
    pub(crate) fn into_value(self) -> Value {
        Value::object(self)
    }

    /// A field, noted.
    pub(crate) fn read(&self, name: &str) -> Option<Value> {
        let facet = Facet::named(name).filter(|facet| *facet != Facet::Id)?;
        self.scope.note(&self.reads, facet);
        let (node, profile) = (&*self.node, &self.node.profile);
        Some(match facet {
            Facet::Id => return None,
            Facet::Comment => profile.comment.as_str().into(),
            Facet::ClusterName => profile.cluster_name.as_str().into(),
            Facet::ImageName => profile.image_name.as_str().into(),
            Facet::Ipxe => profile.ipxe_template.as_str().into(),
            Facet::Init => profile.init.as_str().into(),
            Facet::Root => profile.root.as_str().into(),
            Facet::AssetKey => node.asset_key.as_str().into(),
            Facet::PrimaryNetDev => node.primary().into(),
            Facet::Discoverable => truth(&node.discoverable),
            Facet::Profiles => texts(&profile.profiles),
            Facet::RuntimeOverlay => texts(&profile.runtime_overlay),
            Facet::SystemOverlay => texts(&profile.system_overlay),
            Facet::Tags => (&profile.tags).into(),
            Facet::Kernel => self.kernel(),
            Facet::Ipmi => self.ipmi(),
            Facet::NetDevs => self.net_devs(),
            Facet::Disks => by_name("*node.Disk", DISK, profile.disks.iter().map(|(id, d)| (id, disk(id, d)))),
            Facet::FileSystems => {
                let systems = profile.filesystems.iter().map(|(id, fs)| (id, filesystem(id, fs)));
                by_name("*node.FileSystem", FILESYSTEM, systems)
            }
            Facet::Resources => {
                Map::by_text(Type::Any, profile.resources.iter().map(|(name, value)| (name, any(value)))).into()
            }
        })
    }

    fn kernel(&self) -> Value {
        let kernel = &self.node.profile.kernel;
        let image = &self.node.profile.image_name;
        let version = if kernel.version.is_empty() && !image.is_empty() {
            self.scope.note(&self.reads, Facet::ImageName);
            self.reads.note(Read::ImageKernel(image.clone()));
            self.source.newest_kernel(image).map_or_else(String::new, |release| kernel_version(&release).to_owned())
        } else {
            kernel.version.clone()
        };
        Plain::new("node.KernelConf").field("Version", version).field("Args", texts(&kernel.args)).done()
    }

    fn ipmi(&self) -> Value {
        let ipmi = &self.node.profile.ipmi;
        Plain::new("node.IpmiConf")
            .field("UserName", ipmi.username.as_str())
            .field("Password", ipmi.password.as_str())
            .field("Ipaddr", ip(ipmi.ipaddr))
            .field("Gateway", ip(ipmi.gateway))
            .field("Netmask", ip(ipmi.netmask))
            .field("Port", ipmi.port.as_str())
            .field("Interface", ipmi.interface.as_str())
            .field("EscapeChar", ipmi.escapechar.as_str())
            .field("Write", truth(&ipmi.write))
            .field("Template", ipmi.template.as_str())
            .field("Tags", &ipmi.tags)
            .done()
    }

    fn net_devs(&self) -> Value {
        // Only a node that is an object knows which device is its primary one; at the top nobody tells the devices.
        let primary = if self.scope == Scope::Top { None } else { Some(self.node.primary()) };
        if primary.is_some() {
            self.scope.note(&self.reads, Facet::PrimaryNetDev);
        }
        let devices = self.node.profile.network_devices.iter();
        by_name("*node.NetDev", NETDEV, devices.map(|(name, dev)| (name, net_dev(dev, primary == Some(name.as_str())))))
    }

    fn disk_list(&self) -> Value {
        self.scope.note(&self.reads, Facet::Disks);
        let disks = self.node.profile.disks.iter().map(|(id, d)| disk(id, d)).collect();
        List::of(Type::object("*node.Disk", nil_of("node.Disk", DISK)), disks).into()
    }

    fn filesystem_list(&self) -> Value {
        self.scope.note(&self.reads, Facet::FileSystems);
        let systems = self.node.profile.filesystems.iter().map(|(id, fs)| filesystem(id, fs)).collect();
        List::of(Type::object("*node.FileSystem", nil_of("node.FileSystem", FILESYSTEM)), systems).into()
    }
}

impl Object for Seen {
    fn type_name(&self) -> Cow<'_, str> {
        "node.Node".into()
    }

    fn field(&self, name: &str) -> Option<Value> {
        self.read(name)
    }

    fn fields(&self) -> Vec<Cow<'_, str>> {
        FIELDS.iter().map(|name| Cow::Borrowed(*name)).collect()
    }

    fn method(&self, name: &str, args: &[Value], _: &Cx<'_>) -> Option<Result<Value, Failure>> {
        match name {
            "Id" => niladic(args, || {
                self.scope.note(&self.reads, Facet::Id);
                self.node.id.as_str().into()
            }),
            "ContainerName" => niladic(args, || {
                self.scope.note(&self.reads, Facet::ImageName);
                self.node.profile.image_name.as_str().into()
            }),
            "Valid" => niladic(args, || {
                self.scope.note(&self.reads, Facet::Id);
                (!self.node.id.is_empty()).into()
            }),
            "DiskList" => niladic(args, || self.disk_list()),
            "FileSystemList" => niladic(args, || self.filesystem_list()),
            _ => None,
        }
    }

    fn methods(&self) -> Vec<Cow<'_, str>> {
        METHODS.iter().map(|name| Cow::Borrowed(*name)).collect()
    }
}

/// No node at all.
pub(crate) fn nil() -> Value {
    nil_of("node.Node", FIELDS)
}

const NETDEV: &[&str] = &[
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
const DISK: &[&str] = &["WipeTable", "Partitions"];
const PARTITION: &[&str] =
    &["Number", "SizeMiB", "StartMiB", "TypeGuid", "Guid", "WipePartitionEntry", "ShouldExist", "Resize"];
const FILESYSTEM: &[&str] = &["Format", "Path", "WipeFileSystem", "Label", "Uuid", "Options", "MountOptions"];

fn nil_of(name: &'static str, fields: &'static [&'static str]) -> Value {
    Value::object(NilPointer { type_name: name.into(), fields })
}

/// A map of pointers: a name that is not there is a nil pointer to `index` and nothing to a field.
fn by_name<'a>(
    pointer: &'static str,
    fields: &'static [&'static str],
    entries: impl Iterator<Item = (&'a String, Value)>,
) -> Value {
    let zero = nil_of(pointer.trim_start_matches('*'), fields);
    Map::by_text(Type::object(pointer, zero), entries.map(|(name, value)| (name.as_str(), value))).into()
}

fn net_dev(dev: &NetDev, primary: bool) -> Value {
    Plain::new("node.NetDev")
        .field("Type", dev.kind.as_str())
        .field("OnBoot", truth(&dev.onboot))
        .field("Device", dev.device.as_str())
        .field("Hwaddr", dev.hwaddr.as_str())
        .field("Ipaddr", ip(dev.ipaddr))
        .field("Ipaddr6", ip(dev.ipaddr6))
        .field("PrefixLen6", dev.prefixlen6.as_str())
        .field("Netmask", ip(dev.netmask))
        .field("Gateway", ip(dev.gateway))
        .field("Gateway6", ip(dev.gateway6))
        .field("MTU", dev.mtu.as_str())
        .field("Tags", &dev.tags)
        .method("IpCIDR", net::cidr(dev.ipaddr, dev.netmask))
        .method("IpCIDR6", net::cidr6(dev.ipaddr6, &dev.prefixlen6))
        .method("Primary", primary)
        .done()
}

fn disk(id: &str, disk: &Disk) -> Value {
    // By number, those without one last, then by label.
    let mut order: Vec<(&String, &Partition)> = disk.partitions.iter().collect();
    order.sort_by_key(|(label, partition)| {
        let number: Option<i64> = partition.number.parse().ok().filter(|number| *number != 0);
        (number.is_none(), number, *label)
    });
    let elem = Type::object("*node.Partition", nil_of("node.Partition", PARTITION));
    let list = List::of(elem, order.into_iter().map(|(label, p)| partition(label, p)).collect());
    let partitions = disk.partitions.iter().map(|(label, p)| (label, partition(label, p)));
    Plain::new("node.Disk")
        .field("WipeTable", disk.wipe_table == Some(true))
        .field("Partitions", by_name("*node.Partition", PARTITION, partitions))
        .method("Id", id)
        .method("PartitionList", list)
        .done()
}

fn partition(label: &str, partition: &Partition) -> Value {
    Plain::new("node.Partition")
        .field("Number", partition.number.as_str())
        .field("SizeMiB", partition.size_mib.as_str())
        .field("StartMiB", partition.start_mib.as_str())
        .field("TypeGuid", partition.type_guid.as_str())
        .field("Guid", partition.guid.as_str())
        .field("WipePartitionEntry", partition.wipe_partition_entry == Some(true))
        .field("ShouldExist", partition.should_exist == Some(true))
        .field("Resize", partition.resize == Some(true))
        .method("Id", label)
        .done()
}

fn filesystem(id: &str, fs: &FileSystem) -> Value {
    Plain::new("node.FileSystem")
        .field("Format", fs.format.as_str())
        .field("Path", fs.path.as_str())
        .field("WipeFileSystem", fs.wipe_filesystem == Some(true))
        .field("Label", fs.label.as_str())
        .field("Uuid", fs.uuid.as_str())
        .field("Options", texts(&fs.options))
        .field("MountOptions", fs.mount_options.as_str())
        .method("Id", id)
        .done()
}

fn any(value: &Any) -> Value {
    match value {
        Any::Null => Value::Nil,
        Any::Bool(truth) => (*truth).into(),
        Any::Int(number) => Value::int(*number),
        Any::Uint(number) => Value::Uint(template::UintKind::U64, *number),
        Any::Float(number) => (*number).into(),
        Any::Text(text) => text.as_str().into(),
        Any::List(items) => Value::list(items.iter().map(any).collect()),
        Any::Map(entries) => Map::by_text(Type::Any, entries.iter().map(|(key, value)| (key, any(value)))).into(),
    }
}

/// The version in a kernel's release, as `.Kernel.Version` shows it: the first `\d+\.\d+\.\d+(-[\d.]+)?`, without a dot
/// at its end. `5.14.0-427.el9.x86_64` is `5.14.0-427`.
pub fn kernel_version(release: &str) -> &str {
    let starts = release.char_indices().filter(|(_, c)| c.is_ascii_digit()).map(|(at, _)| at);
    for start in starts {
        let text = release.get(start..).unwrap_or_default();
        let Some(length) = three_numbers(text) else { continue };
        let (base, rest) = text.split_at(length);
        let tail = rest.strip_prefix('-').map_or(0, |rest| {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
            if digits == 0 { 0 } else { digits + 1 }
        });
        let whole = text.get(..base.len() + tail).unwrap_or(base);
        return whole.trim_end_matches('.');
    }
    ""
}

/// The length of `\d+\.\d+\.\d+` at the start of a text.
fn three_numbers(text: &str) -> Option<usize> {
    let mut at = 0;
    for number in 0..3 {
        if number > 0 {
            at += text.get(at..)?.starts_with('.').then_some(1)?;
        }
        let rest = text.get(at..)?;
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        at += (digits > 0).then_some(digits)?;
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::kernel_version;

    #[test]
    fn the_version_is_cut_out_of_the_release() {
        assert_eq!(kernel_version("5.14.0-427.el9.x86_64"), "5.14.0-427");
        assert_eq!(kernel_version("6.1.0-28-amd64"), "6.1.0-28");
        assert_eq!(kernel_version("vmlinuz-6.12.3"), "6.12.3");
        assert_eq!(kernel_version("5.14.0-generic"), "5.14.0");
        assert_eq!(kernel_version("linux"), "");
    }
}
