//! warewulf.conf as templates see it.

use model::Conf;
use template::{List, Type, Value};

use super::net;
use super::plain::Plain;
use super::texts;

/// A field of the controller at the top of the data; `None`: there is no such field.
pub(crate) fn field(conf: &Conf, name: &str) -> Option<Value> {
    let ip = |address: Option<std::net::Ipv4Addr>| address.map_or_else(String::new, |a| a.to_string());
    let address = conf.ipaddr.map(Into::into);
    let mask = conf.netmask.map(Into::into);
    let network = conf.network.or_else(|| Some(net::network(conf.ipaddr?, conf.netmask?)));
    let network6 = conf.ipaddr6.and_then(|address| net::network6(address, &conf.prefixlen6));
    Some(match name {
        "Ipaddr" => ip(conf.ipaddr).into(),
        "IpCIDR" => net::cidr(address, mask).into(),
        "Netmask" => ip(conf.netmask).into(),
        "Network" => ip(network).into(),
        "NetworkCIDR" => net::cidr(network.map(Into::into), mask).into(),
        "Ipaddr6" => conf.ipaddr6.map_or_else(String::new, |a| a.to_string()).into(),
        "PrefixLen6" => conf.prefixlen6.as_str().into(),
        "IpCIDR6" => net::cidr6(conf.ipaddr6.map(Into::into), &conf.prefixlen6).into(),
        "Network6" => network6.map_or_else(String::new, |a| a.to_string()).into(),
        "NetworkCIDR6" => net::cidr6(network6.map(Into::into), &conf.prefixlen6).into(),
        "Ipv6" => (conf.ipaddr6.is_some() && !conf.prefixlen6.is_empty()).into(),
        "Warewulf" => warewulf(conf),
        "Dhcp" => dhcp(conf),
        "Tftp" => tftp(conf),
        "Nfs" => nfs(conf),
        "Ssh" => Plain::new("config.SSHConf").field("KeyTypes", texts(&conf.ssh.key_types)).done(),
        "Paths" => paths(conf),
        _ => return None,
    })
}

fn warewulf(conf: &Conf) -> Value {
    let section = &conf.warewulf;
    Plain::new("config.WarewulfConf")
        .field("Port", section.port)
        .field("TLSPort", section.tls_port)
        .field("UpdateInterval", i64::try_from(section.update_interval).unwrap_or(i64::MAX))
        .field("SystemdName", section.systemd_name.as_str())
        .method("Secure", section.secure)
        .method("SecureFiles", section.secure_files)
        .method("TLSEnabled", section.tls)
        .method("AutobuildOverlays", section.autobuild_overlays)
        .method("EnableHostOverlay", section.host_overlay)
        .method("GrubBoot", section.grubboot)
        .done()
}

fn dhcp(conf: &Conf) -> Value {
    let section = &conf.dhcp;
    let ip = |address: Option<std::net::Ipv4Addr>| address.map_or_else(String::new, |a| a.to_string());
    Plain::new("config.DHCPConf")
        .method("Enabled", section.enabled)
        .field("Template", section.template.as_str())
        .field("RangeStart", ip(section.range_start))
        .field("RangeEnd", ip(section.range_end))
        .field("Range6Start", section.range6_start.as_str())
        .field("Range6End", section.range6_end.as_str())
        .field("SystemdName", section.systemd_name.as_str())
        .done()
}

fn tftp(conf: &Conf) -> Value {
    let section = &conf.tftp;
    Plain::new("config.TFTPConf")
        .method("Enabled", section.enabled)
        .field("TftpRoot", section.tftproot.to_string_lossy().as_ref())
        .field("SystemdName", section.systemd_name.as_str())
        .field("IpxeBinaries", &section.ipxe)
        .done()
}

fn nfs(conf: &Conf) -> Value {
    let section = &conf.nfs;
    let exports = section
        .export_paths
        .iter()
        .map(|(path, options)| {
            Plain::new("config.NFSExportConf")
                .field("Path", path.as_str())
                .field("ExportOptions", options.as_str())
                .done()
        })
        .collect();
    let elem = Type::object("*config.NFSExportConf", Value::Nil);
    Plain::new("config.NFSConf")
        .method("Enabled", section.enabled)
        .field("SystemdName", section.systemd_name.as_str())
        .field("ExportsExtended", List::of(elem, exports))
        .done()
}

fn paths(conf: &Conf) -> Value {
    let paths = &conf.paths;
    let text = |path: &std::path::Path| Value::from(path.to_string_lossy().as_ref());
    Plain::new("config.BuildConfig")
        .field("Bindir", text(&paths.bindir))
        .field("Sysconfdir", text(&paths.sysconfdir))
        .field("Localstatedir", text(&paths.localstatedir))
        .field("Cachedir", text(&paths.cachedir))
        .field("Ipxesource", text(&paths.ipxesource))
        .field("Srvdir", text(&paths.srvdir))
        .field("Firewallddir", text(&paths.firewallddir))
        .field("Systemddir", text(&paths.systemddir))
        .field("Datadir", text(&paths.datadir))
        .field("WWOverlaydir", text(&paths.wwoverlaydir))
        .field("WWChrootdir", text(&paths.wwchrootdir))
        .field("WWProvisiondir", text(&paths.wwprovisiondir))
        .field("WWClientdir", text(&paths.wwclientdir))
        .field("WWFilesdir", text(&paths.wwfilesdir))
        .method("NodesConf", text(&paths.nodes_conf()))
        .method("AuthenticationConf", text(&paths.etc().join("auth.conf")))
        .method("OciBlobCachedir", text(&paths.cachedir.join("warewulf")))
        .method("SiteOverlaydir", text(&paths.wwoverlaydir))
        .method("DistributionOverlaydir", text(&paths.distribution_overlays()))
        .method("OverlayProvisiondir", text(&paths.wwprovisiondir.join("overlays")))
        .done()
}
