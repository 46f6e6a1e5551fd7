//! The site whose overlays are tried: built once for all tests of this program.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::Context;
use tests::readers::{self, Given};
use tests::world::Wishes;
use tests::{Net, World, place};

/// All that go together. `ignition` and `systemd.mount` both make mount units: the latter is in the other list.
const SYSTEM: &str = "wwinit,wwclient,hosts,fstab,hostname,ssh.host_keys,issue,resolv,udev.netname,systemd.netname,ifcfg,\
                      ifupdown,NetworkManager,wicked,netplan,systemd.networkd,chrony,mkfs,mkswap,sfdisk,mig,debug,\
                      localtime,ignition";
const RUNTIME: &str = "ssh.authorized_keys,syncuser,systemd.mount,systemd.swap";

/// Which of the two archives.
#[derive(Clone, Copy, Debug)]
pub enum List {
    System,
    Runtime,
}

#[derive(Debug)]
pub struct Site {
    pub world: World,
    programs: PathBuf,
}

static SITE: OnceLock<Result<Site, String>> = OnceLock::new();

/// The site, or `None` where this cannot run: the test was skipped.
pub fn site() -> Option<&'static Site> {
    if let Err(reason) = readers::can_run() {
        tests::skip(&reason.to_string());
        return None;
    }
    let made = SITE.get_or_init(|| {
        tests::undo::on_stop().ok();
        make().map_err(|error| format!("{error:#}"))
    });
    match made {
        Ok(site) => Some(site),
        Err(reason) => panic!("there is no site to try: {reason}"),
    }
}

fn make() -> anyhow::Result<Site> {
    let cache = place::cache()?;
    let programs = readers::programs(&cache)?;
    let world = World::new(&Net::new()?, &Wishes::default())?;
    let nodes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../controller/tests/overlays/nodes.conf");
    fs::copy(&nodes, world.at("etc/warewulf/nodes.conf")).with_context(|| nodes.display().to_string())?;
    // The nodes' image: what is in it beside our files counts for syncuser.
    symlink(tests::image::rootfs(&cache)?.parent().context("an image has a folder")?, world.at("chroots/oak"))?;
    fs::create_dir_all(world.at("etc/warewulf/keys"))?;
    for kind in ["rsa", "ecdsa", "ed25519"] {
        // A key's own text may end a line with `==`.
        let script =
            format!("ssh-keygen -q -t {kind} -N '' -f /tmp/key && cat /tmp/key && echo public: && cat /tmp/key.pub");
        let said = Given::nothing(&programs)?.run(&script)?;
        let (private, public) = said.split_once("public:\n").context("ssh-keygen made no pair")?;
        fs::write(world.at(&format!("etc/warewulf/keys/ssh_host_{kind}_key")), private)?;
        fs::write(world.at(&format!("etc/warewulf/keys/ssh_host_{kind}_key.pub")), public)?;
    }
    world.wwctl(&["profile", "set", "-y", "default", "--system-overlays", SYSTEM, "--runtime-overlays", RUNTIME])?;
    world.wwctl(&["overlay", "build"])?;
    Ok(Site { world, programs })
}

impl Site {
    /// What a node gets.
    pub fn given(&self, node: &str, list: List) -> Given {
        let name = match list {
            List::System => "__SYSTEM__.img",
            List::Runtime => "__RUNTIME__.img",
        };
        Given::unpack(&self.programs, &self.world.at(&format!("provision/overlays/{node}/{name}"))).unwrap()
    }

    /// What a script says on a node that has its system overlays.
    pub fn on(&self, node: &str, script: &str) -> String {
        self.given(node, List::System).run(script).unwrap_or_else(|error| panic!("node {node}: {error:#}"))
    }
}
