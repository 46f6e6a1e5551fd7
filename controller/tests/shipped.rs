//! The files that we ship under share/ mean what they should.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at the first surprise")]

use std::path::Path;

use model::conf::{DhcpMode, TftpMode};
use model::{Conf, NodesConf};

fn shipped(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../share").join(name)).unwrap()
}

#[test]
fn the_configuration_is_understood_and_serves_everything_itself() {
    let conf = Conf::parse(&shipped("etc/warewulf.conf")).unwrap();
    assert_eq!((conf.dhcp.mode, conf.tftp.mode), (DhcpMode::Internal, TftpMode::Internal));
    assert!(conf.dhcp.quiet_ra && conf.dhcp.enabled && conf.tftp.enabled && !conf.warewulf.secure);
    assert_eq!(conf.ipaddr.unwrap().to_string(), "10.0.0.1");
    assert_eq!(conf.netmask.unwrap().to_string(), "255.255.252.0");
    // What it writes out is what would hold without it.
    let silent = Conf::default();
    assert_eq!(conf.warewulf.port, silent.warewulf.port);
    assert_eq!(conf.warewulf.update_interval, silent.warewulf.update_interval);
    assert_eq!(conf.tftp.ipxe, silent.tftp.ipxe);
    assert_eq!(conf.ssh.key_types, silent.ssh.key_types);
}

#[test]
fn the_first_profile_names_only_overlays_that_are_shipped() {
    let nodes = NodesConf::parse(&shipped("etc/nodes.conf")).unwrap();
    assert_eq!(nodes.warnings(), []);
    let profile = &nodes.profiles["default"];
    assert_eq!((profile.root.as_str(), profile.init.as_str()), ("tmpfs", "/sbin/init"));
    let overlays = Path::new(env!("CARGO_MANIFEST_DIR")).join("../share/overlays");
    let missing: Vec<_> = profile
        .system_overlay
        .iter()
        .chain(&profile.runtime_overlay)
        .filter(|name| !overlays.join(name).is_dir())
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
