//! An unknown address becomes a discoverable node: the change to nodes.conf, as a change to the value.

use std::sync::Arc;

use model::node::Truth;
use model::{Conf, NodesConf};

use crate::http::decide::{self, Answer, Caller};
use crate::http::directory::Directory;
use crate::http::target::StageAsk;

/// Gives the caller's address to the node that it may take by this state of the file, and says which one that is.
/// `None`, and nothing changed, when there is none, or somebody has the address by now.
///
/// To be called with the file locked: what was decided on before may be out of date.
pub fn claim(ask: &StageAsk, caller: &Caller, conf: &Conf, nodes: &mut NodesConf) -> Option<String> {
    let merged: Vec<_> = nodes.all_merged().into_iter().map(Arc::new).collect();
    let directory = Directory::new(&merged);
    let decision = decide::stage(ask, caller, conf, Some((&merged, &directory)));
    let Ok(Answer::Claim { node }) = decision.verdict else { return None };
    let entry = nodes.nodes.get_mut(&node.id)?;
    let device = entry.profile.network_devices.entry(node.primary().to_string()).or_default();
    device.hwaddr = caller.wwid.clone()?;
    entry.discoverable = Truth::default();
    Some(node.id.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::target::{self, Target};

    fn claimed(nodes: &str, target: &str) -> (Option<String>, String) {
        let Ok(Target::Stage(ask)) = target::read(target) else { panic!("{target}") };
        let caller = Caller { wwid: ask.wwid.clone(), source_port: 40000, tls: false };
        let mut nodes = NodesConf::parse(nodes).unwrap();
        let who = claim(&ask, &caller, &Conf::default(), &mut nodes);
        (who, nodes.text())
    }

    #[test]
    fn the_address_goes_to_the_primary_network_and_the_node_is_no_more_discoverable() {
        let nodes = concat!(
            "nodes:\n  d2:\n    discoverable: \"true\"\n    primary network: mgmt\n    network devices:\n",
            "      default: {device: eth0}\n      mgmt: {device: eth1}\n"
        );
        let want = concat!(
            "nodes:\n  d2:\n    primary network: mgmt\n    network devices:\n",
            "      default: {device: eth0}\n      mgmt: {device: eth1, hwaddr: 02:00:00:00:0d:02}\n"
        );
        let (who, text) = claimed(nodes, "/ipxe/02-00-00-00-0D-02");
        assert_eq!((who.as_deref(), text), (Some("d2"), NodesConf::parse(want).unwrap().text()));
    }

    #[test]
    fn a_device_that_a_profile_gives_gets_its_address_in_the_node() {
        let nodes = concat!(
            "nodeprofiles:\n  p: {network devices: {default: {device: eth0}}}\n",
            "nodes:\n  d1: {profiles: [p], discoverable: yes}\n"
        );
        let want = concat!(
            "nodeprofiles:\n  p: {network devices: {default: {device: eth0}}}\n",
            "nodes:\n  d1: {profiles: [p], network devices: {default: {hwaddr: 02:00:00:00:0d:01}}}\n"
        );
        let (who, text) = claimed(nodes, "/ipxe/02:00:00:00:0d:01");
        assert_eq!((who.as_deref(), text), (Some("d1"), NodesConf::parse(want).unwrap().text()));
    }

    #[test]
    fn who_has_a_node_by_now_takes_no_second_one() {
        let nodes = concat!(
            "nodes:\n  a: {network devices: {default: {hwaddr: 02:00:00:00:0d:01}}}\n",
            "  d1: {discoverable: yes, network devices: {default: {device: eth0}}}\n"
        );
        let before = NodesConf::parse(nodes).unwrap().text();
        assert_eq!(claimed(nodes, "/ipxe/02:00:00:00:0d:01"), (None, before));
    }
}
