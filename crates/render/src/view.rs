//! What a template sees: the node, its neighbours and the controller as objects whose fields are made when asked for.
//!
//! Everything that is read is noted in [`Reads`], at the place where it is read: from that the builder knows whether
//! a change concerns what was rendered.

mod controller;
mod net;
mod node;
mod plain;
mod scalar;
mod watched;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use model::{Conf, Node};
use sha2::{Digest, Sha256};
use template::{Context, Failure, List, Object, ObjectType, Sequence, Type, Value, World as _};

use crate::kept::Frozen;
use crate::part::Part;
use crate::reads::{Path, Read, ReadSet, Reads, Root, What};
use crate::source::Source;
use watched::Watched;

pub use node::kernel_version;

/// A digest over the state of something.
type State = [u8; 32];

/// So many sets of reads are remembered.
const UNIONS: usize = 1024;

/// What is the same for all nodes of one state of the cluster.
#[derive(Debug)]
pub struct World {
    conf: Conf,
    /// Of parts of all nodes, and of the configuration, each computed once.
    digests: Mutex<HashMap<(Root, Path), State>>,
    /// Of what was read of a node and its world, by the place of the node and the set of reads.
    states: Mutex<HashMap<(usize, [u8; 32]), State>>,
    /// What archives were made of, by the reads of their templates.
    unions: Mutex<HashMap<State, Arc<ReadSet>>>,
    /// By cluster name, the empty one first, then by name.
    nodes: Vec<Arc<Node>>,
    by_name: HashMap<String, usize>,
    /// The controller's host name.
    pub build_host: String,
}

impl World {
    /// A world of `nodes`, merged, in any order.
    pub fn new(conf: Conf, nodes: &[Node], build_host: String) -> World {
        World::sharing(conf, nodes.iter().cloned().map(Arc::new).collect(), build_host)
    }

    /// A world of nodes that others hold, too: ten thousand are 80 MB.
    pub fn sharing(conf: Conf, mut nodes: Vec<Arc<Node>>, build_host: String) -> World {
        nodes.sort_by(|a, b| (&a.profile.cluster_name, &a.id).cmp(&(&b.profile.cluster_name, &b.id)));
        let by_name = nodes.iter().enumerate().map(|(at, node)| (node.id.clone(), at)).collect();
        World {
            by_name,
            conf,
            digests: Mutex::default(),
            states: Mutex::default(),
            unions: Mutex::default(),
            nodes,
            build_host,
        }
    }

    /// The node of that name.
    pub fn node(&self, id: &str) -> Option<&Arc<Node>> {
        self.nodes.get(*self.by_name.get(id)?)
    }

    /// A digest over the state of what was read of `node` and of everything around it, but for files. Computed once for
    /// each set of reads, as long as the node is one of this world.
    pub fn state(&self, node: &Arc<Node>, reads: &ReadSet, outside: &dyn template::World) -> [u8; 32] {
        let lock = || self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = self.node(&node.id).is_some_and(|known| Arc::ptr_eq(known, node));
        let key = (Arc::as_ptr(node).addr(), reads.id());
        if mine && let Some(known) = lock().get(&key) {
            return *known;
        }
        let state = self.compute(node, reads, outside);
        if mine {
            lock().insert(key, state);
        }
        state
    }

    /// All that several renders and a look at an image read together. Many nodes read the same.
    pub fn union(&self, sets: &[Arc<ReadSet>], image: &str, links: &BTreeSet<Vec<u8>>) -> Arc<ReadSet> {
        let mut digest = Sha256::new();
        sets.iter().for_each(|set| digest.update(set.id()));
        for path in links {
            digest.update([0]);
            digest.update(path);
        }
        digest.update([0, 0]);
        digest.update(image);
        let key: State = digest.finalize().into();
        let lock = || self.unions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(&key) {
            return Arc::clone(known);
        }
        let link = |path: &Vec<u8>| Read::ImageLink {
            image: image.to_owned(),
            path: String::from_utf8_lossy(path).into_owned(),
        };
        let reads = sets.iter().flat_map(|set| set.iter().cloned()).chain(links.iter().map(link)).collect();
        let union = Arc::new(ReadSet::new(reads));
        let mut unions = lock();
        // Nodes that all read something else share nothing: then this is no memory worth having.
        if unions.len() >= UNIONS {
            unions.clear();
        }
        unions.insert(key, Arc::clone(&union));
        union
    }

    /// As [`World::state`], for what will not be asked again.
    pub fn compute(&self, node: &Node, reads: &ReadSet, outside: &dyn template::World) -> [u8; 32] {
        let mut digest = Sha256::new();
        for read in reads.iter() {
            match read {
                Read::Own(path) => Part::Node(node).state(path, &mut digest),
                Read::World(path) => digest.update(self.digest(Root::World, path)),
                Read::Conf(path) => digest.update(self.digest(Root::Conf, path)),
                Read::Environment(name) => match outside.environment(name) {
                    Some(text) => digest.update(Sha256::digest(text.as_bytes())),
                    None => digest.update([0]),
                },
                _ => {}
            }
        }
        digest.finalize().into()
    }

    /// A digest over one part of all nodes or of the configuration, computed once.
    fn digest(&self, root: Root, path: &Path) -> [u8; 32] {
        let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = digests.get(&(root, path.clone())) {
            return *known;
        }
        let mut digest = Sha256::new();
        match root {
            Root::Own => {}
            Root::World => {
                digest.update(u64::try_from(self.nodes.len()).unwrap_or(u64::MAX).to_le_bytes());
                // Without a name it is the number of nodes alone.
                let nodes = self.nodes.iter().filter(|_| !path.names().is_empty());
                nodes.for_each(|node| Part::Node(node).state(path, &mut digest));
            }
            Root::Conf => watched::state(self.conf_field(path), &mut digest),
        }
        let digest = digest.finalize().into();
        digests.insert((root, path.clone()), digest);
        digest
    }

    /// What templates see below a name of the configuration.
    fn conf_field(&self, path: &Path) -> Option<Value> {
        let mut names = path.names().iter().flatten();
        let value = match &**names.next()? {
            "BuildHost" => self.build_host.as_str().into(),
            name => controller::field(&self.conf, name)?,
        };
        names.try_fold(value, |value, name| watched::member(&value, name))
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
    pub(crate) clock: Arc<Frozen>,
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
            "BuildHost" => {
                frame.reads.mark_below(frame.reads.root(Root::Conf), name);
                world.build_host.as_str().into()
            }
            "BuildTime" => build_time(&frame.clock.now()).into(),
            "BuildTimeUnix" => frame.clock.now().seconds.to_string().into(),
            "BuildSource" => Value::from(&*frame.build_source),
            "Overlay" => Value::from(&*frame.overlay),
            "ThisNode" => self.seen(Scope::ThisNode).into_value(),
            "AllNodes" => self.all_nodes(),
            "Id" | "Hostname" => self.seen(Scope::Top).id(),
            "Container" | "ContainerName" => self.seen(Scope::Top).read("ImageName")?,
            _ => match controller::field(&world.conf, name) {
                Some(value) => Watched::value(value, name, frame.reads.root(Root::Conf), &frame.reads),
                None => self.seen(Scope::Top).read(name)?,
            },
        })
    }

    fn fields(&self) -> Vec<Cow<'_, str>> {
        let extra = ["Id", "Hostname", "Container", "ContainerName"];
        extra.iter().chain(crate::part::NODE).chain(CONTROLLER).map(|name| Cow::Borrowed(*name)).collect()
    }
}

impl Top {
    fn seen(&self, scope: Scope) -> node::Seen {
        let frame = &self.frame;
        node::Seen::new(Arc::clone(&frame.node), scope, Arc::clone(&frame.reads), Arc::clone(&frame.source))
    }

    fn all_nodes(&self) -> Value {
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
        self.frame.reads.mark(self.frame.reads.root(Root::World), What::Count);
        self.frame.world.nodes.len()
    }

    fn item(&self, index: usize) -> Option<Value> {
        let frame = &self.frame;
        let node = Arc::clone(frame.world.nodes.get(index)?);
        Some(node::Seen::new(node, Scope::World, Arc::clone(&frame.reads), Arc::clone(&frame.source)).into_value())
    }
}

/// As "01-02-2006 15:04:05 MST" in Go's notation.
fn build_time(now: &template::Time) -> String {
    let c = now.civil();
    let zone = now.zone_name();
    format!("{:02}-{:02}-{:04} {:02}:{:02}:{:02} {zone}", c.month, c.day, c.year, c.hour, c.minute, c.second)
}

/// Through what a node is seen: that decides whose reading it is, and whether a device knows that it is primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The fields at the top.
    Top,
    ThisNode,
    World,
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
