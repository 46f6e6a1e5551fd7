//! `wwctl node list`: tables and documents over the merged nodes.

use std::collections::BTreeSet;
use std::net::IpAddr;

use clap::Args;
use model::merge::{Explained, Source};
use model::nodes::node_doc;
use model::yaml::{Doc, json, yaml};
use model::{Node, hostlist};

use crate::cli::change::odd;
use crate::cli::node_list::{json_names, shown};
use crate::cli::say;
use crate::cli::table::table;
use crate::site::Site;
use crate::store::nodes;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Names, as hostlist; none: all
    #[arg(value_name = "NODE")]
    nodes: Vec<String>,
    /// All fields, and which profile gave them
    #[arg(long, short)]
    all: bool,
    /// The BMCs
    #[arg(long, short)]
    ipmi: bool,
    /// As JSON
    #[arg(long, short)]
    json: bool,
    /// Kernel, image and overlays
    #[arg(long, short)]
    long: bool,
    /// The networks
    #[arg(long, short)]
    net: bool,
    /// As YAML
    #[arg(long, short)]
    yaml: bool,
}

/// Prints one form: JSON before YAML before all before ipmi before net before long.
pub fn run(site: &Site, arguments: &Arguments) -> anyhow::Result<()> {
    let conf = nodes::load(site)?;
    odd(site, &conf);
    let wanted: BTreeSet<String> = hostlist::expand(&arguments.nodes).into_iter().collect();
    let named = |id: &String| arguments.nodes.is_empty() || wanted.contains(id);
    let all: Vec<Explained> = conf.nodes.keys().filter(|id| named(id)).filter_map(|id| conf.explained(id)).collect();
    for explained in &all {
        for name in &explained.missing {
            say::warn(format_args!("node {}: there is no profile {name:?}", explained.node.id));
        }
    }
    say::answer(&text(all, arguments))
}

fn text(all: Vec<Explained>, arguments: &Arguments) -> String {
    if arguments.all && !arguments.json && !arguments.yaml {
        return fields(&all);
    }
    let merged: Vec<Node> = all.into_iter().map(Explained::finish).collect();
    if arguments.json {
        format!("{}\n", json(&json_names(document(&merged)), true))
    } else if arguments.yaml {
        yaml(&document(&merged), 4, 0)
    } else if arguments.ipmi {
        ipmi(&merged)
    } else if arguments.net {
        networks(&merged)
    } else if arguments.long {
        long(&merged)
    } else {
        plain(&merged)
    }
}

/// Name -> merged node.
pub fn document(nodes: &[Node]) -> Doc {
    Doc::named(nodes.iter().map(|node| (node.id.clone(), node_doc(node))))
}

fn plain(nodes: &[Node]) -> String {
    let row = |node: &Node| {
        let networks: Vec<&str> = node.profile.network_devices.keys().map(String::as_str).collect();
        vec![node.id.clone(), node.profile.profiles.join(","), networks.join(", ")]
    };
    table(&["NODE NAME", "PROFILES", "NETWORK"], &nodes.iter().map(row).collect::<Vec<_>>())
}

fn networks(nodes: &[Node]) -> String {
    let mut rows = Vec::new();
    for node in nodes {
        for (name, device) in &node.profile.network_devices {
            rows.push(vec![
                node.id.clone(),
                name.clone(),
                device.hwaddr.clone(),
                address(device.ipaddr),
                address(device.gateway),
                device.device.clone(),
            ]);
        }
        if node.profile.network_devices.is_empty() {
            rows.push([node.id.as_str(), "", "", "", "", ""].map(String::from).to_vec());
        }
    }
    table(&["NODE", "NETWORK", "HWADDR", "IPADDR", "GATEWAY", "DEVICE"], &rows)
}

fn ipmi(nodes: &[Node]) -> String {
    let row = |node: &Node| {
        let ipmi = &node.profile.ipmi;
        let ipaddr = if ipmi.given { address(ipmi.ipaddr) } else { String::new() };
        vec![node.id.clone(), ipaddr, ipmi.port.clone(), ipmi.username.clone(), ipmi.interface.clone()]
    };
    let header = ["NODE", "IPMI IPADDR", "IPMI PORT", "IPMI USERNAME", "IPMI INTERFACE"];
    table(&header, &nodes.iter().map(row).collect::<Vec<_>>())
}

fn long(nodes: &[Node]) -> String {
    let row = |node: &Node| {
        let profile = &node.profile;
        let overlays = format!("{}/{}", profile.system_overlay.join(","), profile.runtime_overlay.join(","));
        vec![node.id.clone(), profile.kernel.version.clone(), profile.image_name.clone(), overlays]
    };
    let header = ["NODE NAME", "KERNEL VERSION", "IMAGE", "OVERLAYS (S/R)"];
    table(&header, &nodes.iter().map(row).collect::<Vec<_>>())
}

fn fields(nodes: &[Explained]) -> String {
    let mut rows = Vec::new();
    for explained in nodes {
        for (leaf, source) in explained.leaves() {
            let from = match source {
                Source::Own => String::new(),
                Source::Superseded => "SUPERSEDED".into(),
                Source::From(names) => names.join(","),
            };
            rows.push(vec![explained.node.id.clone(), leaf.name, from, shown(&leaf.value)]);
        }
    }
    table(&["NODE", "FIELD", "PROFILE", "VALUE"], &rows)
}

/// As Go prints an address that is not there.
fn address(ip: Option<IpAddr>) -> String {
    ip.map_or_else(|| "<nil>".into(), |ip| ip.to_string())
}
