//! iPXE and GRUB scripts: a template of the site and the facts of one node become a text.
//!
//! The values go in as they stand in nodes.conf; that none of them becomes a command is the template's work, and the
//! shipped ones do it.

mod device;

use std::path::PathBuf;

use boot::http::Refusal;
use model::{Conf, Node};
use template::{Limits, NoFunctions, Options, Record, Template, Value};

use crate::build::outside::Here;
use crate::cluster::Cluster;
use crate::image::kernels;

/// Far more than a script needs, far less than hurts.
const LIMITS: Limits = Limits { steps: 2_000_000, bytes: 16 << 20 };

/// What a script is rendered for.
#[derive(Clone, Copy, Debug)]
pub struct Audience<'a> {
    /// `None`: nobody's address; only the address is filled in.
    pub node: Option<&'a Node>,
    /// The address that was asked with.
    pub wwid: &'a str,
    /// The caller came over IPv6.
    pub over_ipv6: bool,
}

/// Renders the template of this name below the site's folder `kind` (`ipxe`, `grub`), else below the distribution's.
///
/// # Errors
/// [`Refusal::NoScript`] when there is no such template, [`Refusal::ScriptFailed`] when it cannot be rendered.
pub fn render(cluster: &Cluster, kind: &str, name: &str, audience: Audience<'_>) -> Result<Vec<u8>, Refusal> {
    let conf = &cluster.site.conf;
    let (path, source) = read(conf, kind, name).ok_or_else(|| Refusal::NoScript(format!("{kind}/{name}")))?;
    let failed = |error: template::Error| Refusal::ScriptFailed(error.to_string());
    let template = Template::parse(&path.display().to_string(), source, &NoFunctions).map_err(failed)?;
    let options = Options { limits: LIMITS, ..Options::default() };
    let mut text = Vec::new();
    // How it ended is in the text: a script has no function that stops it half way.
    let _ending = template.execute(&variables(conf, audience), &mut text, &Here::new(), &options).map_err(failed)?;
    Ok(text)
}

fn read(conf: &Conf, kind: &str, name: &str) -> Option<(PathBuf, Vec<u8>)> {
    [conf.paths.etc(), conf.paths.datadir.join("warewulf")].into_iter().find_map(|folder| {
        let path = folder.join(kind).join(name);
        std::fs::read(&path).ok().map(|source| (path, source))
    })
}

/// What stands behind the dot. The names are stock's; `Message` and `WaitTime` are there for old templates.
fn variables(conf: &Conf, audience: Audience<'_>) -> Value {
    let nobody = Node::default();
    let (node, controller) = match audience.node {
        Some(node) => (node, controller(conf, audience.over_ipv6)),
        None => (&nobody, Controller::default()),
    };
    let profile = &node.profile;
    Value::object(
        Record::new("warewulfd.templateVars")
            .with("Message", "")
            .with("WaitTime", "")
            .with("Hostname", node.id.as_str())
            .with("Fqdn", node.id.as_str())
            .with("Id", node.id.as_str())
            .with("Cluster", profile.cluster_name.as_str())
            .with("ImageName", profile.image_name.as_str())
            .with("Ipxe", profile.ipxe_template.as_str())
            .with("Hwaddr", audience.wwid)
            .with("Ipaddr", controller.ipaddr)
            .with("Ipaddr6", controller.ipaddr6)
            .with("Port", controller.port)
            .with("Authority", controller.authority)
            .with("KernelArgs", profile.kernel.args.join(" "))
            .with("KernelVersion", kernel_version(conf, node))
            .with("Root", profile.root.as_str())
            .with("TLS", audience.node.is_some() && conf.warewulf.tls)
            .with("Tags", &profile.tags)
            .with("NetDevs", device::all(node)),
    )
}

/// Where the controller is, as text.
#[derive(Debug, Default, PartialEq, Eq)]
struct Controller {
    ipaddr: String,
    ipaddr6: String,
    port: String,
    /// Host and port as a URL wants them, of the family that the caller came by.
    authority: String,
}

fn controller(conf: &Conf, over_ipv6: bool) -> Controller {
    let ipaddr = conf.ipaddr.map_or_else(String::new, |address| address.to_string());
    let ipaddr6 = conf.ipaddr6.map_or_else(String::new, |address| address.to_string());
    let port = conf.warewulf.port.to_string();
    let authority =
        if over_ipv6 && !ipaddr6.is_empty() { format!("[{ipaddr6}]:{port}") } else { format!("{ipaddr}:{port}") };
    Controller { ipaddr, ipaddr6, port, authority }
}

/// The node's own, else the newest of its image.
fn kernel_version(conf: &Conf, node: &Node) -> String {
    let (version, image) = (&node.profile.kernel.version, &node.profile.image_name);
    if !version.is_empty() || image.is_empty() {
        return version.clone();
    }
    kernels::default_version(&conf.paths.image_root(image)).unwrap_or_default()
}
