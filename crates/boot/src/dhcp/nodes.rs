//! The nodes as DHCP sees them: who has which hardware address, and which addresses belong to nodes.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};

use model::{NetDev, Node};
use wire::dhcp::{Hardware, Question};

/// A device of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The node's name; also its host name.
    pub node: String,
    pub address: Option<Ipv4Addr>,
    pub netmask: Option<Ipv4Addr>,
    pub gateway: Option<Ipv4Addr>,
    /// Tags `DNS`, `DNS1`, ... of the device, by name.
    pub name_servers: Vec<Ipv4Addr>,
}

/// An index over all nodes. Built once for each state of nodes.conf.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nodes {
    devices: HashMap<Key, Known>,
    addresses: HashSet<Ipv4Addr>,
    discoverable: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Mac([u8; 6]),
    /// The port's GUID, the last 8 bytes of an InfiniBand address; the others change with the fabric (RFC 4391, 9.1.1).
    Guid([u8; 8]),
}

impl Nodes {
    /// Of merged nodes. Of two nodes with one hardware address the later by cluster name, then name, has it.
    pub fn new<N: Borrow<Node>>(merged: &[N]) -> Nodes {
        let mut nodes = Nodes::default();
        let mut order: Vec<&Node> = merged.iter().map(N::borrow).collect();
        order.sort_by_key(|node| (&node.profile.cluster_name, &node.id));
        for node in order {
            nodes.discoverable |= node.discoverable.is_true() && !node.profile.network_devices.is_empty();
            nodes.addresses.extend(v4(node.profile.ipmi.ipaddr));
            for device in node.profile.network_devices.values() {
                nodes.addresses.extend(v4(device.ipaddr));
                if let Some(key) = key(&device.hwaddr) {
                    nodes.devices.insert(key, known(&node.id, device));
                }
            }
        }
        nodes
    }

    /// The device that asks.
    pub fn asking(&self, question: &Question) -> Option<&Known> {
        if let Some(mac) = question.hardware.mac() {
            return self.devices.get(&Key::Mac(mac));
        }
        // RFC 4390: the address is in the client identifier.
        let guid = question.client_id.as_deref().filter(|_| question.is_infiniband())?.last_chunk::<8>()?;
        self.devices.get(&Key::Guid(*guid))
    }

    /// Whether the address is a node's, or its management controller's.
    pub fn own(&self, address: Ipv4Addr) -> bool {
        self.addresses.contains(&address)
    }

    /// Whether some node waits for a machine to take it.
    pub fn any_discoverable(&self) -> bool {
        self.discoverable
    }
}

fn known(node: &str, device: &NetDev) -> Known {
    let name_servers = device.tags.iter().filter(|(name, _)| {
        name.strip_prefix("DNS").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
    });
    Known {
        node: node.into(),
        address: v4(device.ipaddr),
        netmask: v4(device.netmask),
        gateway: v4(device.gateway),
        name_servers: name_servers.filter_map(|(_, value)| value.trim().parse().ok()).collect(),
    }
}

fn key(hwaddr: &str) -> Option<Key> {
    let bytes: Option<Vec<u8>> = model::node::mac(hwaddr)
        .split(':')
        .map(|part| if part.len() == 2 { u8::from_str_radix(part, 16).ok() } else { None })
        .collect();
    let bytes = bytes?;
    match bytes.len() {
        6 => Some(Key::Mac(Hardware::new(wire::dhcp::ETHERNET, &bytes)?.mac()?)),
        8 | 20 => Some(Key::Guid(*bytes.last_chunk()?)),
        _ => None,
    }
}

/// 0.0.0.0 is how nodes.conf hides an address of a profile.
fn v4(address: Option<IpAddr>) -> Option<Ipv4Addr> {
    match address {
        Some(IpAddr::V4(address)) if !address.is_unspecified() => Some(address),
        _ => None,
    }
}
