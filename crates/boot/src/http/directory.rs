//! Who has which address: nodes by MAC, and which node a new address may take.

use std::borrow::Borrow;
use std::collections::HashMap;

use model::Node;

/// An index over merged nodes. Holds positions in the list that it was made from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    by_mac: HashMap<String, usize>,
    /// By cluster name, then name: the order in which the daemon picks a node.
    order: Vec<usize>,
}

impl Directory {
    /// Of two nodes with one address the later in the order of picking wins, as in stock.
    pub fn new<N: Borrow<Node>>(nodes: &[N]) -> Directory {
        let node = |at: usize| nodes.get(at).map(N::borrow);
        let mut order: Vec<usize> = (0..nodes.len()).collect();
        order.sort_by_key(|&at| node(at).map(|node| (&node.profile.cluster_name, &node.id)));
        let mut by_mac = HashMap::new();
        for &at in &order {
            let Some(node) = node(at) else { continue };
            for device in node.profile.network_devices.values() {
                if !device.hwaddr.is_empty() {
                    by_mac.insert(model::node::mac(&device.hwaddr), at);
                }
            }
        }
        Directory { by_mac, order }
    }

    /// The node with this address. `nodes` is the list that the directory was made from.
    pub fn find<'a, N: Borrow<Node>>(&self, nodes: &'a [N], wwid: &str) -> Option<&'a Node> {
        nodes.get(*self.by_mac.get(wwid)?).map(N::borrow)
    }

    /// The node that an unknown address may take: the first that is discoverable, has a device to put the address on,
    /// and asks for no asset key or for the one given.
    pub fn claimable<'a, N: Borrow<Node>>(&self, nodes: &'a [N], asset_key: &str) -> Option<&'a Node> {
        self.order.iter().filter_map(|&at| nodes.get(at).map(N::borrow)).find(|node| {
            node.discoverable.is_true()
                && node.primary_device().is_some()
                && (node.asset_key.is_empty() || node.asset_key == asset_key)
        })
    }
}

/// Whether a wwid is a hardware address at all: 6 (Ethernet), 8 or 20 (InfiniBand) bytes in colons.
pub fn is_address(wwid: &str) -> bool {
    let mut parts = 0;
    for part in wwid.split(':') {
        parts += 1;
        if part.len() != 2 || !part.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return false;
        }
    }
    matches!(parts, 6 | 8 | 20)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::NetDev;
    use model::node::Truth;

    fn node(id: &str, cluster: &str, mac: &str) -> Node {
        let mut node = Node { id: id.into(), ..Node::default() };
        node.profile.cluster_name = cluster.into();
        node.profile.network_devices.insert("default".into(), NetDev { hwaddr: mac.into(), ..NetDev::default() });
        node
    }

    fn discoverable(id: &str, cluster: &str, key: &str) -> Node {
        Node { discoverable: Truth("true".into()), asset_key: key.into(), ..node(id, cluster, "") }
    }

    #[test]
    fn of_two_nodes_with_one_address_the_later_wins() {
        let nodes = [node("b", "", "02:00:00:00:00:01"), node("a", "z", "02-00-00-00-00-01")];
        let found = Directory::new(&nodes).find(&nodes, "02:00:00:00:00:01").map(|n| n.id.as_str());
        assert_eq!(found, Some("a"));
    }

    #[test]
    fn an_address_is_the_same_however_the_file_writes_it() {
        let nodes = [node("a", "", "02-00-00-00-00-AB")];
        assert!(Directory::new(&nodes).find(&nodes, "02:00:00:00:00:ab").is_some());
    }

    #[test]
    fn the_first_discoverable_node_by_cluster_and_name_is_claimable() {
        let nodes = [discoverable("a", "zz", ""), node("b", "", ""), discoverable("c", "", "")];
        assert_eq!(Directory::new(&nodes).claimable(&nodes, "").map(|n| n.id.as_str()), Some("c"));
    }

    #[test]
    fn a_node_without_devices_or_with_another_key_is_not_claimable() {
        let bare = Node { id: "a".into(), discoverable: Truth("yes".into()), ..Node::default() };
        let nodes = [bare, discoverable("b", "", "K")];
        let directory = Directory::new(&nodes);
        assert_eq!(directory.claimable(&nodes, "no"), None);
        assert_eq!(directory.claimable(&nodes, "K").map(|n| n.id.as_str()), Some("b"));
    }

    #[test]
    fn addresses_are_told_from_other_text() {
        assert!(is_address("02:00:00:00:00:01"));
        for text in ["", "favicon.ico", "02:00:00:00:00", "02:00:00:00:00:0g", "020000000001", "02:00:00:00:00:01 "] {
            assert!(!is_address(text), "{text:?}");
        }
    }
}
