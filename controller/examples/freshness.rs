//! What it costs to know that a node's overlays are fresh: after nothing happened, after something else happened, and by
//! looking at every file as without watches. `cargo run --release -p controller --example freshness`
#![allow(clippy::print_stdout, reason = "its answer")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use controller::build::{OverlayKind, Works, fresh_overlay, wait};
use controller::cluster::{Cluster, Shared};
use controller::site::Site;

const ROUNDS: u32 = 500;
const SYSTEM: &str = "wwinit, fstab, hostname, ssh.host_keys, issue, resolv, udev.netname, systemd.netname, ifcfg, \
                      NetworkManager, debian.interfaces, wicked, ignition";
const RUNTIME: &str = "hosts, ssh.authorized_keys, syncuser";

fn main() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path();
    for folder in ["etc/warewulf", "share/warewulf", "site", "chroots"] {
        fs::create_dir_all(root.join(folder))?;
    }
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../share/overlays").canonicalize()?;
    symlink(shipped, root.join("share/warewulf/overlays"))?;
    let place = root.display();
    fs::write(
        root.join("etc/warewulf/warewulf.conf"),
        format!(
            "ipaddr: 10.0.0.1\nnetmask: 255.0.0.0\npaths:\n  sysconfdir: {place}/etc\n  datadir: {place}/share\n  wwoverlaydir: \
             {place}/site\n  wwchrootdir: {place}/chroots\n  wwprovisiondir: {place}/provision\n"
        ),
    )?;
    let node = format!(
        "{{system overlay: [{SYSTEM}], runtime overlay: [{RUNTIME}], network devices: {{default: {{hwaddr: \"02:00:00:00:00:01\", ipaddr: 10.0.0.2}}}}}}"
    );
    fs::write(root.join("etc/warewulf/nodes.conf"), format!("nodes: {{n1: {node}}}\n"))?;
    let shared = Shared::new(Site::read(root.join("etc/warewulf/warewulf.conf"))?);
    let watched = shared.current();
    let looking = Cluster { works: Arc::new(Works::unwatched()), ..(*watched).clone() };
    let runtime = tokio::runtime::Runtime::new()?;
    let node = watched.node("n1").context("the node is there")?;
    for kind in OverlayKind::BOTH {
        fresh_overlay(&watched, "n1", kind)?;
        fresh_overlay(&looking, "n1", kind)?;
        let ask = || runtime.block_on(wait::overlay(&shared, &watched, node, kind)).map(|_| ());
        ask()?;
        let quiet = microseconds(|| Ok(ask()?))?;
        let check = microseconds(|| Ok(fresh_overlay(&watched, "n1", kind).map(|_| ())?))?;
        let look = microseconds(|| Ok(fresh_overlay(&looking, "n1", kind).map(|_| ())?))?;
        println!("{kind}: nothing happened {quiet:.0} us, something else did {check:.0} us, by looking {look:.0} us");
    }
    Ok(())
}

fn microseconds(mut once: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        once()?;
    }
    Ok(begun.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS))
}
