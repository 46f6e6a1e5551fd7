//! What a template sees: the node, its neighbours and the controller as objects whose fields are made when asked for.
//!
//! Everything that is read is noted in [`Reads`], at the place where it is read: from that the builder knows whether
//! a change concerns what was rendered.

mod controller;
mod net;
mod node;
mod plain;
mod scalar;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use model::{Conf, Node};
use sha2::{Digest, Sha256};
use template::{Context, Failure, List, Object, ObjectType, Sequence, Type, Value};

use crate::reads::{Facet, Read, Reads};
use crate::source::Source;

pub use node::kernel_version;

/// What is the same for all nodes of one state of the cluster.
#[derive(Debug)]
pub struct World {
    conf: Conf,
    conf_digest: [u8; 32],
    digests: Mutex<BTreeMap<Facet, [u8; 32]>>,
    /// By cluster name, the empty one first, then by name.
    nodes: Vec<Arc<Node>>,
    by_name: HashMap<String, usize>,
    /// The controller's host name.
    pub build_host: String,
}

/// When a build happens. It is no part of what makes a result stale.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildTime {
    /// As "01-02-2006 15:04:05 MST" in Go's notation.
    pub text: String,
    /// Seconds since 1970.
    pub unix: u64,
}

impl World {
    /// A world of `nodes`, merged, in any order.
    pub fn new(conf: Conf, nodes: &[Node], build_host: String) -> World {
        let mut nodes: Vec<Arc<Node>> = nodes.iter().cloned().map(Arc::new).collect();
        nodes.sort_by(|a, b| (&a.profile.cluster_name, &a.id).cmp(&(&b.profile.cluster_name, &b.id)));
        let conf_digest = Sha256::digest(format!("{conf:?} {build_host}")).into();
        let by_name = nodes.iter().enumerate().map(|(at, node)| (node.id.clone(), at)).collect();
        World { by_name, conf, conf_digest, digests: Mutex::default(), nodes, build_host }
    }

    /// The node of that name.
    pub fn node(&self, id: &str) -> Option<&Arc<Node>> {
        self.nodes.get(*self.by_name.get(id)?)
    }

    /// A digest over the configuration of the controller.
    pub fn conf_digest(&self) -> [u8; 32] {
        self.conf_digest
    }

    /// A digest over one part of all nodes, computed once.
    pub fn digest(&self, facet: Facet) -> [u8; 32] {
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        *digests.entry(facet).or_insert_with(|| {
            let mut digest = Sha256::new();
            for node in &self.nodes {
                let part = facet.of(node);
                digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
                digest.update(part);
            }
            digest.finalize().into()
        })
    }

    /// The configuration of the controller.
    pub fn conf(&self) -> &Conf {
        &self.conf
    }

    /// All nodes, in the order in which templates see them.
    pub fn nodes(&self) -> &[Arc<Node>] {
        &self.nodes
    }
}

/// All that one render works with, and the notes that it leaves.
#[derive(Clone)]
pub struct Frame {
    pub world: Arc<World>,
    pub node: Arc<Node>,
    pub source: Arc<dyn Source>,
    pub reads: Arc<Reads>,
    /// Name of the overlay that the template is part of.
    pub overlay: Arc<str>,
    /// Path of the template on the controller.
    pub build_source: Arc<str>,
    pub build_time: BuildTime,
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frame").field("node", &self.node.id).field("overlay", &self.overlay).finish_non_exhaustive()
    }
}

/// The data of a template: `.` at its top.
pub fn data(frame: &Frame) -> Value {
    Value::object(Top { frame: frame.clone() })
}

struct Top {
    frame: Frame,
}

/// The fields at the top that are not the node's.
const CONTROLLER: &[&str] = &[
    "BuildHost",
    "BuildTime",
    "BuildTimeUnix",
    "BuildSource",
    "Overlay",
    "Ipaddr",
    "IpCIDR",
    "Netmask",
    "Network",
    "NetworkCIDR",
    "Ipaddr6",
    "PrefixLen6",
    "IpCIDR6",
    "Network6",
    "NetworkCIDR6",
    "Ipv6",
    "Warewulf",
    "Dhcp",
    "Tftp",
    "Nfs",
    "Ssh",
    "Paths",
    "ThisNode",
    "AllNodes",
];

impl Object for Top {
    fn type_name(&self) -> Cow<'_, str> {
        "overlay.TemplateStruct".into()
    }

    fn is_pointer(&self) -> bool {
        false
    }

    fn field(&self, name: &str) -> Option<Value> {
        let frame = &self.frame;
        let world = &frame.world;
        Some(match name {
            "BuildHost" => world.build_host.as_str().into(),
            "BuildTime" => frame.build_time.text.as_str().into(),
            "BuildTimeUnix" => frame.build_time.unix.to_string().into(),
            "BuildSource" => Value::from(&*frame.build_source),
            "Overlay" => Value::from(&*frame.overlay),
            "ThisNode" => self.seen(Arc::clone(&frame.node), Scope::ThisNode).into_value(),
            "AllNodes" => self.all_nodes(),
            "Id" | "Hostname" => {
                frame.reads.note(Read::Own(Facet::Id));
                frame.node.id.as_str().into()
            }
            "Container" | "ContainerName" => self.seen(Arc::clone(&frame.node), Scope::Top).read("ImageName")?,
            _ => match controller::field(&world.conf, name) {
                Some(value) => value,
                None => self.seen(Arc::clone(&frame.node), Scope::Top).read(name)?,
            },
        })
    }

    fn fields(&self) -> Vec<Cow<'_, str>> {
        let extra = ["Id", "Hostname", "Container", "ContainerName"];
        extra.iter().chain(node::FIELDS).chain(CONTROLLER).map(|name| Cow::Borrowed(*name)).collect()
    }
}

impl Top {
    fn seen(&self, node: Arc<Node>, scope: Scope) -> node::Seen {
        node::Seen { node, scope, reads: Arc::clone(&self.frame.reads), source: Arc::clone(&self.frame.source) }
    }

    fn all_nodes(&self) -> Value {
        self.frame.reads.note(Read::World(Facet::Id));
        let zero = node::nil();
        let elem = Type::Object(Arc::new(ObjectType { name: "*node.Node".into(), zero }));
        Value::List(List::lazy(elem, Arc::new(Everybody { frame: self.frame.clone() })))
    }
}

/// AllNodes: objects are made one by one, when they are looked at.
struct Everybody {
    frame: Frame,
}

impl Sequence for Everybody {
    fn len(&self) -> usize {
        self.frame.world.nodes.len()
    }

    fn item(&self, index: usize) -> Option<Value> {
        let node = Arc::clone(self.frame.world.nodes.get(index)?);
        let seen = node::Seen {
            node,
            scope: Scope::World,
            reads: Arc::clone(&self.frame.reads),
            source: Arc::clone(&self.frame.source),
        };
        Some(seen.into_value())
    }
}

/// Through what a node is seen: that decides whose reading it is, and whether a device knows that it is primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The fields at the top.
    Top,
    ThisNode,
    World,
}

impl Scope {
    pub(crate) fn note(self, reads: &Reads, facet: Facet) {
        reads.note(if self == Scope::World { Read::World(facet) } else { Read::Own(facet) });
    }
}

/// A list of text; empty is a nil list, as Go leaves it.
pub(crate) fn texts(items: &[String]) -> Value {
    if items.is_empty() { Value::List(List::nil(Type::Text)) } else { Value::texts(items) }
}

/// A method without arguments.
pub(crate) fn niladic(args: &[Value], value: impl FnOnce() -> Value) -> Option<Result<Value, Failure>> {
    Some(if args.is_empty() { Ok(value()) } else { Err(Failure::arguments(0, args.len())) })
}

/// Keeps the signature of [`Object::method`] in one place for the objects that ask for nothing of it.
pub(crate) type Cx<'a> = Context<'a>;
