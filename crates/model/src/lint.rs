//! What is allowed and probably wrong: addresses that two nodes have, static addresses inside the range of leases.
//! Never an error: sites live with such files, and a minor release must not stop them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use crate::conf::Conf;
use crate::node::{Node, mac};

/// How many owners of one address are named.
const SHOWN: usize = 4;

/// One line for each address (hardware, network, BMC) that several devices have, where a node of `about` is among them;
/// and for each of their addresses inside the DHCP range.
pub fn doubles(conf: &Conf, nodes: &[Node], about: &[String]) -> Vec<String> {
    let mut owners: BTreeMap<(&str, String), Vec<String>> = BTreeMap::new();
    let mut lines = Vec::new();
    let about: BTreeSet<&str> = about.iter().map(String::as_str).collect();
    for node in nodes {
        for (name, device) in &node.profile.network_devices {
            let owner = || format!("{}/{name}", node.id);
            if !device.hwaddr.is_empty() {
                owners.entry(("hardware address", mac(&device.hwaddr))).or_default().push(owner());
            }
            for ip in [device.ipaddr, device.ipaddr6].into_iter().flatten().filter(|ip| !ip.is_unspecified()) {
                owners.entry(("address", ip.to_string())).or_default().push(owner());
                if about.contains(node.id.as_str()) && leased(conf, ip) {
                    lines.push(format!("{}: {ip} is inside the DHCP range of warewulf.conf", owner()));
                }
            }
        }
        if let Some(ip) = node.profile.ipmi.ipaddr.filter(|ip| !ip.is_unspecified()) {
            owners.entry(("address", ip.to_string())).or_default().push(format!("{}/ipmi", node.id));
        }
    }
    for ((what, value), owners) in owners.iter().filter(|(_, owners)| owners.len() > 1) {
        if owners.iter().any(|owner| about.contains(node_of(owner))) {
            let more = owners.len().saturating_sub(SHOWN);
            let mut names = owners.iter().take(SHOWN).cloned().collect::<Vec<_>>();
            names.extend((more > 0).then(|| format!("{more} more")));
            lines.push(format!("{what} {value} is that of {}", names.join(" and ")));
        }
    }
    lines
}

fn node_of(owner: &str) -> &str {
    owner.rsplit_once('/').map_or("", |(node, _)| node)
}

fn leased(conf: &Conf, ip: IpAddr) -> bool {
    let number = |ip: Ipv4Addr| ip.to_bits();
    match (ip, conf.dhcp.range_start, conf.dhcp.range_end) {
        (IpAddr::V4(ip), Some(start), Some(end)) => (number(start)..=number(end)).contains(&number(ip)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NodesConf;

    #[test]
    fn doubles_and_leased_addresses_are_named_for_the_nodes_in_question() {
        let conf = Conf::parse("dhcp: {range start: 10.0.0.100, range end: 10.0.0.200}").unwrap();
        let text = "
nodes:
  a: {network devices: {d: {hwaddr: AA:BB:CC:00:00:01, ipaddr: 10.0.0.1}}}
  b: {network devices: {d: {hwaddr: aa-bb-cc-00-00-01, ipaddr: 10.0.0.150}}}
  c: {ipmi: {ipaddr: 10.0.0.1}}
  e: {network devices: {d: {ipaddr: 0.0.0.0}}}
  f: {network devices: {d: {ipaddr: 0.0.0.0}}}
";
        let nodes = NodesConf::parse(text).unwrap().all_merged();
        let of = |name: &str| doubles(&conf, &nodes, &[name.to_owned()]);
        assert_eq!(of("c"), ["address 10.0.0.1 is that of a/d and c/ipmi"]);
        assert_eq!(
            of("b"),
            [
                "b/d: 10.0.0.150 is inside the DHCP range of warewulf.conf",
                "hardware address aa:bb:cc:00:00:01 is that of a/d and b/d"
            ]
        );
        assert!(of("e").is_empty());
    }
}
