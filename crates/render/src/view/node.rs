//! A node as templates see it: objects and maps that lead into it, and note what is read of it leaf by leaf.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use model::Node;
use model::node::Any;
use template::{Failure, Key, List, Map, Mapping, NilPointer, Object, Type, Value};

use super::scalar::{ip, truth};
use super::{Cx, Scope, net, niladic, texts};
use crate::part::{self, Part};
use crate::reads::{Place, Read, Reads, Root, What};
use crate::source::Source;

/// A part of a node, seen by a render.
#[derive(Clone)]
pub(crate) struct Seen {
    node: Arc<Node>,
    trail: Trail,
    /// Where reads of it are noted.
    place: Place,
    scope: Scope,
    reads: Arc<Reads>,
    source: Arc<dyn Source>,
}

/// The way down from the node.
type Trail = Option<Arc<Link>>;

struct Link {
    above: Trail,
    name: Box<str>,
}

fn follow<'a>(node: &'a Node, trail: &Trail) -> Option<Part<'a>> {
    match trail {
        None => Some(Part::Node(node)),
        Some(link) => follow(node, &link.above)?.get(&link.name),
    }
}

impl Seen {
    /// The node itself.
    pub(crate) fn new(node: Arc<Node>, scope: Scope, reads: Arc<Reads>, source: Arc<dyn Source>) -> Seen {
        let place = reads.root(if scope == Scope::World { Root::World } else { Root::Own });
        Seen { node, trail: None, place, scope, reads, source }
    }

    pub(crate) fn into_value(self) -> Value {
        Value::object(self)
    }

    /// A field of the node, noted. The name is no field: it is a method.
    pub(crate) fn read(&self, name: &str) -> Option<Value> {
        (name != "Id").then(|| self.get(name)).flatten()
    }

    /// The name of the node, noted.
    pub(crate) fn id(&self) -> Value {
        self.mark_top("Id");
        self.node.id.as_str().into()
    }

    fn part(&self) -> Option<Part<'_>> {
        follow(&self.node, &self.trail)
    }

    fn below(&self, name: &str) -> Seen {
        let place = self.reads.below(self.place, name);
        let trail = Some(Arc::new(Link { above: self.trail.clone(), name: name.into() }));
        Seen { trail, place, ..self.clone() }
    }

    /// A field or an entry as a value, noted.
    fn get(&self, name: &str) -> Option<Value> {
        match self.part()?.get(name) {
            Some(part) => Some(self.value(name, part)),
            None => {
                if self.is_map() {
                    self.reads.mark(self.reads.below(self.place, name), What::Exists);
                }
                None
            }
        }
    }

    /// `part`, which has that name here, as a value.
    fn value(&self, name: &str, part: Part<'_>) -> Value {
        let leaf = |value: Value| {
            self.reads.mark_below(self.place, name);
            value
        };
        match part {
            Part::Text(text) => leaf(text.into()),
            Part::Truth(word) => leaf(truth(word)),
            Part::Address(address) => leaf(ip(address)),
            Part::Flag(flag) => leaf(flag.into()),
            Part::Texts(words) => leaf(texts(words)),
            Part::Any(Any::Map(_)) => {
                let map = self.below(name);
                self.reads.mark(map.place, What::Exists);
                map.into_map(Type::Any)
            }
            Part::Any(other) => leaf(any(other)),
            Part::Tags(_) => self.below(name).into_map(Type::Text),
            Part::Resources(_) => self.below(name).into_map(Type::Any),
            Part::NetDevs(_) => self.below(name).into_map(NETDEV.clone()),
            Part::Disks(_) => self.below(name).into_map(DISK.clone()),
            Part::Partitions(_) => self.below(name).into_map(PARTITION.clone()),
            Part::FileSystems(_) => self.below(name).into_map(FILESYSTEM.clone()),
            Part::Kernel(_) | Part::Ipmi(_) => self.below(name).into_value(),
            Part::Node(_) | Part::NetDev(_) | Part::Disk(_) | Part::Partition(_) | Part::FileSystem(_) => {
                let entry = self.below(name);
                self.reads.mark(entry.place, What::Exists);
                entry.into_value()
            }
        }
    }

    fn into_map(self, elem: Type) -> Value {
        Map::lazy(Type::Text, elem, Arc::new(self)).into()
    }

    fn is_map(&self) -> bool {
        self.part().is_some_and(|part| part.keys().is_some())
    }

    fn mark(&self, name: &str) {
        self.reads.mark_below(self.place, name);
    }

    /// Notes a field of the node, wherever this is.
    fn mark_top(&self, name: &str) {
        let root = if self.scope == Scope::World { Root::World } else { Root::Own };
        self.reads.mark_below(self.reads.root(root), name);
    }

    /// The version as it stands, or that of the image's newest kernel.
    fn kernel_version(&self) -> Value {
        self.mark("Version");
        let (kernel, image) = (&self.node.profile.kernel, &self.node.profile.image_name);
        if !kernel.version.is_empty() {
            return kernel.version.as_str().into();
        }
        self.mark_top("ImageName");
        if image.is_empty() {
            return "".into();
        }
        self.reads.note(Read::ImageKernel(image.clone()));
        self.source.newest_kernel(image).map_or_else(String::new, |release| kernel_version(&release).to_owned()).into()
    }

    /// The entries of one of the node's maps, by key.
    fn list(&self, field: &str, elem: &Type) -> Value {
        let map = self.below(field);
        List::of(elem.clone(), map.names().iter().filter_map(|name| map.get(name)).collect()).into()
    }

    /// By number, those without one last, then by label.
    fn partitions(&self) -> Value {
        let map = self.below("Partitions");
        let mut order: Vec<(bool, Option<i64>, String)> = map
            .names()
            .into_iter()
            .map(|label| {
                let number = map.part().and_then(|part| part.get(&label)?.get("Number"));
                map.below(&label).mark("Number");
                let number = match number {
                    Some(Part::Text(number)) => number.parse().ok().filter(|number| *number != 0),
                    _ => None,
                };
                (number.is_none(), number, label)
            })
            .collect();
        order.sort();
        List::of(PARTITION.clone(), order.iter().filter_map(|(_, _, label)| map.get(label)).collect()).into()
    }

    /// The keys of this map, noted.
    fn names(&self) -> Vec<String> {
        self.reads.mark(self.place, What::Keys);
        let keys = self.part().and_then(Part::keys).unwrap_or_default();
        keys.into_iter().map(str::to_owned).collect()
    }

    fn name(&self) -> &str {
        self.trail.as_ref().map_or("", |link| &link.name)
    }

    fn device_method(&self, dev: &model::node::NetDev, name: &str) -> Option<Value> {
        Some(match name {
            "IpCIDR" => {
                ["Ipaddr", "Netmask"].iter().for_each(|field| self.mark(field));
                net::cidr(dev.ipaddr, dev.netmask).into()
            }
            "IpCIDR6" => {
                ["Ipaddr6", "PrefixLen6"].iter().for_each(|field| self.mark(field));
                net::cidr6(dev.ipaddr6, &dev.prefixlen6).into()
            }
            // Only a node that is an object knows which device is its primary one; at the top nobody tells the devices.
            "Primary" if self.scope == Scope::Top => false.into(),
            "Primary" => {
                self.mark_top("PrimaryNetDev");
                (self.node.primary() == self.name()).into()
            }
            _ => return None,
        })
    }

    fn node_method(&self, name: &str) -> Option<Value> {
        Some(match name {
            "Id" => self.id(),
            "Valid" => {
                self.mark("Id");
                (!self.node.id.is_empty()).into()
            }
            "ContainerName" => {
                self.mark("ImageName");
                self.node.profile.image_name.as_str().into()
            }
            "DiskList" => self.list("Disks", &DISK),
            "FileSystemList" => self.list("FileSystems", &FILESYSTEM),
            _ => return None,
        })
    }
}

impl Object for Seen {
    fn type_name(&self) -> Cow<'_, str> {
        match self.part() {
            Some(Part::Kernel(_)) => "node.KernelConf",
            Some(Part::Ipmi(_)) => "node.IpmiConf",
            Some(Part::NetDev(_)) => "node.NetDev",
            Some(Part::Disk(_)) => "node.Disk",
            Some(Part::Partition(_)) => "node.Partition",
            Some(Part::FileSystem(_)) => "node.FileSystem",
            _ => "node.Node",
        }
        .into()
    }

    fn field(&self, name: &str) -> Option<Value> {
        match self.part()? {
            Part::Kernel(_) if name == "Version" => Some(self.kernel_version()),
            Part::Node(_) => self.read(name),
            _ => self.get(name),
        }
    }

    fn fields(&self) -> Vec<Cow<'_, str>> {
        self.part().map_or(&[][..], Part::fields).iter().map(|name| Cow::Borrowed(*name)).collect()
    }

    fn method(&self, name: &str, args: &[Value], _: &Cx<'_>) -> Option<Result<Value, Failure>> {
        let part = self.part()?;
        if !methods(part).contains(&name) {
            return None;
        }
        let call = || match part {
            Part::Node(_) => self.node_method(name),
            Part::NetDev(dev) => self.device_method(dev, name),
            Part::Disk(_) if name == "PartitionList" => Some(self.partitions()),
            _ => Some(self.name().into()),
        };
        niladic(args, || call().unwrap_or_default())
    }

    fn methods(&self) -> Vec<Cow<'_, str>> {
        self.part().map_or(&[][..], methods).iter().map(|name| Cow::Borrowed(*name)).collect()
    }

    fn identity(&self) -> usize {
        // The node among all nodes is another copy than this node.
        let copy = usize::from(self.trail.is_none() && self.scope == Scope::World);
        self.part().map_or(0, Part::address).wrapping_add(copy)
    }
}

impl Mapping for Seen {
    fn entry(&self, key: &Key) -> Option<Value> {
        self.get(text_of(key)?)
    }

    fn keys(&self) -> Vec<Key> {
        self.names().into_iter().map(|name| Key::from(name.as_str())).collect()
    }

    fn has(&self, key: &Key) -> bool {
        let Some(name) = text_of(key) else { return false };
        self.reads.mark(self.reads.below(self.place, name), What::Exists);
        self.part().is_some_and(|part| part.get(name).is_some())
    }

    fn len(&self) -> usize {
        self.reads.mark(self.place, What::Count);
        self.part().map_or(0, Part::len)
    }

    fn is_empty(&self) -> bool {
        self.reads.mark(self.place, What::Some);
        self.part().is_none_or(Part::is_empty)
    }
}

/// What is not UTF-8 is no key of a node.
fn text_of(key: &Key) -> Option<&str> {
    match key {
        Key::Text(text) => std::str::from_utf8(text.as_bytes()).ok(),
        Key::Int(_) => None,
    }
}

fn methods(part: Part<'_>) -> &'static [&'static str] {
    match part {
        Part::Node(_) => &["Id", "ContainerName", "Valid", "DiskList", "FileSystemList"],
        Part::NetDev(_) => &["IpCIDR", "IpCIDR6", "Primary"],
        Part::Disk(_) => &["Id", "PartitionList"],
        Part::Partition(_) | Part::FileSystem(_) => &["Id"],
        _ => &[],
    }
}

/// No node at all.
pub(crate) fn nil() -> Value {
    nil_of("node.Node", part::NODE)
}

// A name that is not in a map is a nil pointer to `index`, and nothing to a field.
static NETDEV: LazyLock<Type> = LazyLock::new(|| Type::object("*node.NetDev", nil_of("node.NetDev", part::NETDEV)));
static DISK: LazyLock<Type> = LazyLock::new(|| Type::object("*node.Disk", nil_of("node.Disk", part::DISK)));
static PARTITION: LazyLock<Type> =
    LazyLock::new(|| Type::object("*node.Partition", nil_of("node.Partition", part::PARTITION)));
static FILESYSTEM: LazyLock<Type> =
    LazyLock::new(|| Type::object("*node.FileSystem", nil_of("node.FileSystem", part::FILESYSTEM)));

fn nil_of(name: &'static str, fields: &'static [&'static str]) -> Value {
    Value::object(NilPointer { type_name: name.into(), fields })
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
