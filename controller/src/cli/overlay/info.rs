//! `wwctl overlay info`: which variables a template uses, what they are, and which flag of `wwctl node set` gives them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail};
use clap::Args;
use render::template::Template;
use render::template::ast::{self, ExprKind};

use super::say;
use super::tree::{existing, overlay};
use crate::build::plain;
use crate::cli::table;
use crate::site::Site;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Name of the overlay
    overlay: String,
    /// The template; its name ends in .ww
    path: String,
}

pub fn run(site: &Site, arguments: &Arguments) -> anyhow::Result<()> {
    let found = overlay(site, &arguments.overlay)?;
    let full = existing(&found, &arguments.path)?;
    if !arguments.path.ends_with(".ww") {
        bail!("overlay {}: {} is no template: its name does not end in .ww", found.name, arguments.path);
    }
    let (content, _) = plain::content(&full, u64::MAX).with_context(|| full.display().to_string())?;
    let template = Template::parse(&full.to_string_lossy(), &content, &render::host::functions())?;
    let (docs, helps) = comments(&String::from_utf8_lossy(&content));
    let rows: Vec<Vec<String>> = variables(&template)
        .into_iter()
        .map(|name| {
            let known = known(&name);
            let help = helps.get(&name).cloned().unwrap_or_else(|| known.help.to_owned());
            vec![name, known.option.to_owned(), known.kind.to_owned(), help]
        })
        .collect();
    let mut text = docs.iter().map(|doc| format!("{doc}\n")).collect::<String>();
    if !docs.is_empty() {
        text.push('\n');
    }
    text.push_str(&table::plain(&["VARIABLE", "OPTION", "TYPE", "HELP"], &rows));
    say(text);
    Ok(())
}

/// All fields that are read, by the name that stands in the template.
fn variables(template: &Template) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for tree in template.trees() {
        ast::walk(&tree.root, &mut |expr| match &expr.kind {
            ExprKind::Field(path) => {
                names.insert(format!(".{}", path.join(".")));
            }
            ExprKind::Variable(name, path) if !path.is_empty() => {
                names.insert(format!("{name}.{}", path.join(".")));
            }
            _ => {}
        });
    }
    names
}

/// What `{{/* wwdoc: TEXT */}}` and `{{/* .Var: HELP */}}` say.
fn comments(text: &str) -> (Vec<String>, BTreeMap<String, String>) {
    let (mut docs, mut helps) = (Vec::new(), BTreeMap::new());
    for piece in text.split("/*").skip(1) {
        let Some((comment, _)) = piece.split_once("*/") else { continue };
        let Some((name, words)) = comment.trim().split_once(':') else { continue };
        let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
        match name.trim() {
            "wwdoc" => docs.push(words),
            name if name.starts_with(['.', '$']) => {
                helps.insert(name.to_owned(), words);
            }
            _ => {}
        }
    }
    (docs, helps)
}

/// What is known of a variable.
#[derive(Clone, Copy, Default)]
struct Known {
    option: &'static str,
    kind: &'static str,
    help: &'static str,
}

fn known(name: &str) -> Known {
    let path = name.strip_prefix("$.").or_else(|| name.strip_prefix('.'));
    if let Some(path) = path {
        if let Some(row) = find(NODE, path) {
            return row;
        }
        if [".Tags.", ".Ipmi.Tags."].iter().any(|tags| name.starts_with(tags)) {
            return Known { kind: "string", ..Known::default() };
        }
    }
    // Of a variable, or of a dot inside a range, the last name tells most.
    let last = name.rsplit('.').next().unwrap_or(name);
    find(PARTS, last).or_else(|| find(NODE, last)).unwrap_or_default()
}

fn find(rows: &[Row], name: &str) -> Option<Known> {
    rows.iter().find(|row| row.0 == name).map(|row| Known { option: row.1, kind: row.2, help: row.3 })
}

/// Name, flag, type, help.
type Row = (&'static str, &'static str, &'static str, &'static str);

/// Fields at the top of the data.
const NODE: &[Row] = &[
    ("Id", "", "string", ""),
    ("Hostname", "", "string", ""),
    ("Comment", "--comment", "string", "A comment"),
    ("ClusterName", "--cluster", "string", "The cluster that the node is part of"),
    ("ImageName", "--image", "string", "The image that the node boots"),
    ("Container", "--image", "string", "The image that the node boots"),
    ("ContainerName", "--image", "string", "The image that the node boots"),
    ("Ipxe", "--ipxe", "string", "The template of the boot script"),
    ("Init", "--init", "string", "The program that the boot ends in"),
    ("Root", "--root", "string", "What the root file system is"),
    ("AssetKey", "--asset", "string", "What the node must say to get anything"),
    ("Discoverable", "--discoverable", "WWbool", "Whether an unknown machine may become this node"),
    ("PrimaryNetDev", "--primarynet", "string", "The primary network"),
    ("Profiles", "--profile", "[]string", "The profiles of the node"),
    ("RuntimeOverlay", "--runtime-overlays", "[]string", "The overlays that the agent keeps fresh"),
    ("SystemOverlay", "--system-overlays", "[]string", "The overlays of the boot"),
    ("Tags", "", "map[string]string", ""),
    ("Kernel", "", "*node.KernelConf", ""),
    ("Kernel.Version", "--kernelversion", "string", "The version of the kernel"),
    ("Kernel.Args", "--kernelargs", "[]string", "The arguments of the kernel"),
    ("Ipmi", "", "*node.IpmiConf", ""),
    ("Ipmi.UserName", "--ipmiuser", "string", "The user of the BMC"),
    ("Ipmi.Password", "--ipmipass", "string", "The password of the BMC"),
    ("Ipmi.Ipaddr", "--ipmiaddr", "IP", "The address of the BMC"),
    ("Ipmi.Gateway", "--ipmigateway", "IP", "The gateway of the BMC"),
    ("Ipmi.Netmask", "--ipminetmask", "IP", "The netmask of the BMC"),
    ("Ipmi.Port", "--ipmiport", "string", "The port of the BMC"),
    ("Ipmi.Interface", "--ipmiinterface", "string", "The interface that the BMC is reached by"),
    ("Ipmi.EscapeChar", "--ipmiescapechar", "string", "The escape character of the BMC's console"),
    ("Ipmi.Template", "--ipmitemplate", "string", "The template of the BMC's commands"),
    ("Ipmi.Write", "--ipmiwrite", "WWbool", "Whether the node sets its BMC up"),
    ("Ipmi.Tags", "", "map[string]string", ""),
    ("NetDevs", "", "map[string]*node.NetDev", ""),
    ("Disks", "", "map[string]*node.Disk", ""),
    ("FileSystems", "", "map[string]*node.FileSystem", ""),
    ("Resources", "", "map[string]interface {}", ""),
    ("ThisNode", "", "*node.Node", "This node as an object"),
    ("AllNodes", "", "[]*node.Node", "All nodes"),
    ("BuildHost", "", "string", "The name of the controller"),
    ("BuildTime", "", "string", "The time of the build"),
    ("BuildTimeUnix", "", "string", "The time of the build in seconds since 1970"),
    ("BuildSource", "", "string", "The path of the template"),
    ("Overlay", "", "string", "The name of the overlay"),
    ("Ipaddr", "", "string", "The address of the controller"),
    ("IpCIDR", "", "string", "The address of the controller with its prefix"),
    ("Netmask", "", "string", "The netmask of the controller"),
    ("Network", "", "string", "The network of the controller"),
    ("NetworkCIDR", "", "string", "The network of the controller with its prefix"),
    ("Ipaddr6", "", "string", "The IPv6 address of the controller"),
    ("PrefixLen6", "", "string", "The prefix of the controller's IPv6 address"),
    ("IpCIDR6", "", "string", "The IPv6 address of the controller with its prefix"),
    ("Network6", "", "string", "The IPv6 network of the controller"),
    ("NetworkCIDR6", "", "string", "The IPv6 network of the controller with its prefix"),
    ("Ipv6", "", "bool", "Whether the controller has IPv6"),
    ("Warewulf", "", "*config.WarewulfConf", ""),
    ("Warewulf.Port", "", "int", "The port of the daemon"),
    ("Warewulf.TLSPort", "", "int", "The port of the daemon for TLS"),
    ("Warewulf.UpdateInterval", "", "int", "Seconds between two calls of the agent"),
    ("Dhcp", "", "*config.DHCPConf", ""),
    ("Tftp", "", "*config.TFTPConf", ""),
    ("Nfs", "", "*config.NFSConf", ""),
    ("Ssh", "", "*config.SSHConf", ""),
    ("Paths", "", "*config.BuildConfig", ""),
];

/// Fields of devices, disks, partitions and file systems.
const PARTS: &[Row] = &[
    ("Type", "--type", "string", "The type of the device"),
    ("OnBoot", "--onboot", "WWbool", "Whether the network comes up with the boot"),
    ("Device", "--netdev", "string", "The device of the network"),
    ("Hwaddr", "--hwaddr", "string", "The MAC address of the device"),
    ("Ipaddr", "--ipaddr", "IP", "The address of the node on the network"),
    ("Netmask", "--netmask", "IP", "The netmask of the network"),
    ("Gateway", "--gateway", "IP", "The gateway of the network"),
    ("Ipaddr6", "--ipaddr6", "IP", "The IPv6 address of the node on the network"),
    ("PrefixLen6", "--prefixlen6", "string", "The prefix of the IPv6 address"),
    ("Gateway6", "--gateway6", "IP", "The IPv6 gateway of the network"),
    ("MTU", "--mtu", "string", "The largest packet on the network"),
    ("IpCIDR", "", "string", "The address with its prefix"),
    ("IpCIDR6", "", "string", "The IPv6 address with its prefix"),
    ("Primary", "", "bool", "Whether this is the primary network"),
    ("WipeTable", "--diskwipe", "bool", "Whether the partition table is made anew"),
    ("Number", "--partnumber", "string", "The number of the partition"),
    ("SizeMiB", "--partsize", "string", "The size of the partition in MiB"),
    ("StartMiB", "", "string", "Where the partition begins, in MiB"),
    ("TypeGuid", "--parttype", "string", "The type of the partition"),
    ("Guid", "", "string", "The GUID of the partition"),
    ("ShouldExist", "--partcreate", "bool", "Whether the partition is made"),
    ("WipePartitionEntry", "--partwipe", "bool", "Whether a partition that does not fit is replaced"),
    ("Resize", "", "bool", "Whether the partition is resized"),
    ("Format", "--fsformat", "string", "The format of the file system"),
    ("Path", "--fspath", "string", "Where the file system is mounted"),
    ("WipeFileSystem", "--fswipe", "bool", "Whether the file system is made anew"),
    ("Label", "", "string", "The label of the file system"),
    ("Uuid", "", "string", "The UUID of the file system"),
    ("Options", "", "[]string", "Options of the program that makes the file system"),
    ("MountOptions", "", "string", "Options of the mount"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_give_help() {
        let (docs, helps) =
            comments("{{/* wwdoc: What this is. */}}{{- /* .Id: name of\n the machine */ -}}{{/* note */}}");
        assert_eq!(docs, ["What this is."]);
        assert_eq!(helps.into_iter().collect::<Vec<_>>(), [(".Id".to_owned(), "name of the machine".to_owned())]);
    }

    #[test]
    fn fields_of_variables_are_known_by_their_last_name() {
        assert_eq!(known("$d.Ipaddr").option, "--ipaddr");
        assert_eq!(known(".Ipaddr").option, "");
        assert_eq!(known("$.ImageName").option, "--image");
        assert_eq!(known(".Tags.site").kind, "string");
        assert_eq!(known(".Nothing").kind, "");
    }
}
