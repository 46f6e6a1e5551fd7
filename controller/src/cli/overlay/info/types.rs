//! What templates see, as types: which fields each has, of which type, and which flag of `wwctl node set` gives them. Types
//! have the names that stock's Go gives them.

/// Name, type, flag, what it is; words and flags for what stands in nodes.conf, as in stock.
pub type Row = (&'static str, &'static str, &'static str, &'static str);

/// The type at the top.
pub const TOP: &str = "overlay.TemplateStruct";

/// The fields of a type, or of what a pointer of that type points to.
fn fields(of: &str) -> &'static [&'static [Row]] {
    match of.strip_prefix('*').unwrap_or(of) {
        TOP => &[ROOT, NODE, PROFILE],
        "node.Node" => &[NODE, PROFILE],
        "node.Profile" => &[PROFILE],
        "node.KernelConf" => &[KERNEL],
        "node.IpmiConf" => &[IPMI],
        "node.NetDev" => &[NET_DEV],
        "node.Disk" => &[DISK],
        "node.Partition" => &[PARTITION],
        "node.FileSystem" => &[FILE_SYSTEM],
        "config.DHCPConf" => &[DHCP],
        "config.NFSConf" => &[NFS],
        "config.NFSExportConf" => &[EXPORT],
        "config.SSHConf" => &[SSH],
        "config.WarewulfConf" => &[WAREWULF],
        "config.TFTPConf" => &[TFTP],
        "config.BuildConfig" => &[PATHS],
        _ => &[],
    }
}

/// Whether a type has fields.
pub fn has_fields(of: &str) -> bool {
    !fields(of).is_empty()
}

/// The elements of a list or map.
pub fn element(of: &str) -> Option<&str> {
    of.strip_prefix("[]").or_else(|| of.strip_prefix("map[string]"))
}

/// What a path of fields leads to, from a value of type `of`; of a map any name is a key, and what stands behind it is not
/// looked at.
pub fn resolve(of: &'static str, path: &[impl AsRef<str>]) -> Option<Row> {
    let (name, rest) = path.split_first()?;
    let row = *fields(of).iter().copied().flatten().find(|row| row.0 == name.as_ref())?;
    match (rest, row.1.strip_prefix("map[string]")) {
        ([], _) => Some(row),
        (_, Some(value)) => Some(("", value, "", "")),
        _ => resolve(row.1, rest),
    }
}

/// What stands at the top, beside the fields of the node.
const ROOT: &[Row] = &[
    ("Id", "string", "", ""),
    ("Hostname", "string", "", ""),
    ("BuildHost", "string", "", ""),
    ("BuildTime", "string", "", ""),
    ("BuildTimeUnix", "string", "", ""),
    ("BuildSource", "string", "", ""),
    ("Ipaddr", "string", "", ""),
    ("IpCIDR", "string", "", ""),
    ("Netmask", "string", "", ""),
    ("Network", "string", "", ""),
    ("NetworkCIDR", "string", "", ""),
    ("Overlay", "string", "", ""),
    ("Ipaddr6", "string", "", ""),
    ("PrefixLen6", "string", "", ""),
    ("IpCIDR6", "string", "", ""),
    ("Network6", "string", "", ""),
    ("NetworkCIDR6", "string", "", ""),
    ("Ipv6", "bool", "", ""),
    ("Dhcp", "config.DHCPConf", "", ""),
    ("Nfs", "config.NFSConf", "", ""),
    ("Ssh", "config.SSHConf", "", ""),
    ("Warewulf", "config.WarewulfConf", "", ""),
    ("Tftp", "config.TFTPConf", "", ""),
    ("Paths", "config.BuildConfig", "", ""),
    ("AllNodes", "[]node.Node", "", ""),
    ("Node", "node.Node", "", ""),
    ("Container", "string", "", ""),
    ("ContainerName", "string", "", ""),
    ("ThisNode", "*node.Node", "", ""),
];

/// Fields and methods that only nodes have.
const NODE: &[Row] = &[
    ("Discoverable", "wwtype.WWbool", "--discoverable", "Whether an unknown machine may become this node"),
    ("AssetKey", "string", "--asset", "What the node must say to get anything"),
    ("Profile", "node.Profile", "", ""),
    ("Valid", "bool", "", ""),
    ("DiskList", "[]*node.Disk", "", ""),
    ("FileSystemList", "[]*node.FileSystem", "", ""),
];

/// Fields and methods that nodes and profiles have.
const PROFILE: &[Row] = &[
    ("Profiles", "[]string", "--profile", "The profiles of the node"),
    ("Comment", "string", "--comment", "A comment"),
    ("ClusterName", "string", "--cluster", "The cluster that the node is part of"),
    ("ImageName", "string", "--image", "The image that the node boots"),
    ("Ipxe", "string", "--ipxe", "The template of the boot script"),
    ("RuntimeOverlay", "[]string", "--runtime-overlays", "The overlays that the agent keeps fresh"),
    ("SystemOverlay", "[]string", "--system-overlays", "The overlays of the boot"),
    ("Kernel", "*node.KernelConf", "", ""),
    ("Ipmi", "*node.IpmiConf", "", ""),
    ("Init", "string", "--init", "The program that the boot ends in"),
    ("Root", "string", "--root", "What the root file system is"),
    ("NetDevs", "map[string]*node.NetDev", "", ""),
    ("Tags", "map[string]string", "", ""),
    ("PrimaryNetDev", "string", "--primarynet", "The primary network"),
    ("Disks", "map[string]*node.Disk", "", ""),
    ("FileSystems", "map[string]*node.FileSystem", "", ""),
    ("Resources", "map[string]node.Resource", "", ""),
    ("Id", "string", "", ""),
    ("ContainerName", "string", "", ""),
];

/// The kernel's.
const KERNEL: &[Row] = &[
    ("Version", "string", "--kernelversion", "The version of the kernel"),
    ("Args", "[]string", "--kernelargs", "The arguments of the kernel"),
];

/// The BMC's.
const IPMI: &[Row] = &[
    ("UserName", "string", "--ipmiuser", "The user of the BMC"),
    ("Password", "string", "--ipmipass", "The password of the BMC"),
    ("Ipaddr", "IP", "--ipmiaddr", "The address of the BMC"),
    ("Gateway", "IP", "--ipmigateway", "The gateway of the BMC"),
    ("Netmask", "IP", "--ipminetmask", "The netmask of the BMC"),
    ("Port", "string", "--ipmiport", "The port of the BMC"),
    ("Interface", "string", "--ipmiinterface", "The interface that the BMC is reached by"),
    ("EscapeChar", "string", "--ipmiescapechar", "The escape character of the BMC's console"),
    ("Write", "wwtype.WWbool", "--ipmiwrite", "Whether the node sets its BMC up"),
    ("Template", "string", "--ipmitemplate", "The template of the BMC's commands"),
    ("Tags", "map[string]string", "", ""),
];

/// A network's.
const NET_DEV: &[Row] = &[
    ("Type", "string", "--type", "The type of the device"),
    ("OnBoot", "wwtype.WWbool", "--onboot", "Whether the network comes up with the boot"),
    ("Device", "string", "--netdev", "The device of the network"),
    ("Hwaddr", "MAC", "--hwaddr", "The MAC address of the device"),
    ("Ipaddr", "IP", "--ipaddr", "The address of the node on the network"),
    ("Netmask", "IP", "--netmask", "The netmask of the network"),
    ("Gateway", "IP", "--gateway", "The gateway of the network"),
    ("Ipaddr6", "IP", "--ipaddr6", "The IPv6 address of the node on the network"),
    ("PrefixLen6", "uint", "--prefixlen6", "The prefix of the IPv6 address"),
    ("Gateway6", "IP", "--gateway6", "The IPv6 gateway of the network"),
    ("MTU", "uint", "--mtu", "The largest packet on the network"),
    ("Tags", "map[string]string", "", ""),
    ("Primary", "bool", "", ""),
    ("IpCIDR", "string", "", ""),
    ("IpCIDR6", "string", "", ""),
];

/// A disk's.
const DISK: &[Row] = &[
    ("WipeTable", "bool", "--diskwipe", "Whether the partition table is made anew"),
    ("Partitions", "map[string]*node.Partition", "", ""),
    ("Id", "string", "", ""),
    ("PartitionList", "[]*node.Partition", "", ""),
];

/// A partition's.
const PARTITION: &[Row] = &[
    ("Id", "string", "", ""),
    ("Number", "uint", "--partnumber", "The number of the partition"),
    ("SizeMiB", "uint", "--partsize", "The size of the partition in MiB"),
    ("StartMiB", "uint", "", "Where the partition begins, in MiB"),
    ("TypeGuid", "string", "--parttype", "The type of the partition"),
    ("Guid", "string", "", "The GUID of the partition"),
    ("WipePartitionEntry", "bool", "--partwipe", "Whether a partition that does not fit is replaced"),
    ("ShouldExist", "bool", "--partcreate", "Whether the partition is made"),
    ("Resize", "bool", "", "Whether the partition is resized"),
];

/// A file system's.
const FILE_SYSTEM: &[Row] = &[
    ("Id", "string", "", ""),
    ("Format", "string", "--fsformat", "The format of the file system"),
    ("Path", "string", "--fspath", "Where the file system is mounted"),
    ("WipeFileSystem", "bool", "--fswipe", "Whether the file system is made anew"),
    ("Label", "string", "", "The label of the file system"),
    ("Uuid", "string", "", "The UUID of the file system"),
    ("Options", "[]string", "", "Options of the program that makes the file system"),
    ("MountOptions", "string", "", "Options of the mount"),
];

/// The DHCP server's.
const DHCP: &[Row] = &[
    ("Enabled", "bool", "", ""),
    ("Template", "string", "", ""),
    ("RangeStart", "string", "", ""),
    ("RangeEnd", "string", "", ""),
    ("Range6Start", "string", "", ""),
    ("Range6End", "string", "", ""),
    ("SystemdName", "string", "", ""),
];

/// The NFS server's.
const NFS: &[Row] = &[
    ("Enabled", "bool", "", ""),
    ("ExportsExtended", "[]*config.NFSExportConf", "", ""),
    ("SystemdName", "string", "", ""),
];

/// An export's.
const EXPORT: &[Row] = &[("Path", "string", "", ""), ("ExportOptions", "string", "", "")];

/// SSH's.
const SSH: &[Row] = &[("KeyTypes", "[]string", "", "")];

/// The daemon's.
const WAREWULF: &[Row] = &[
    ("Port", "int", "", ""),
    ("TLSPort", "int", "", ""),
    ("Secure", "bool", "", ""),
    ("SecureFiles", "bool", "", ""),
    ("TLSEnabled", "bool", "", ""),
    ("UpdateInterval", "int", "", ""),
    ("AutobuildOverlays", "bool", "", ""),
    ("EnableHostOverlay", "bool", "", ""),
    ("GrubBoot", "bool", "", ""),
    ("SystemdName", "string", "", ""),
];

/// The TFTP server's.
const TFTP: &[Row] = &[
    ("Enabled", "bool", "", ""),
    ("TftpRoot", "string", "", ""),
    ("SystemdName", "string", "", ""),
    ("IpxeBinaries", "map[string]string", "", ""),
];

/// The controller's folders.
const PATHS: &[Row] = &[
    ("Bindir", "string", "", ""),
    ("Sysconfdir", "string", "", ""),
    ("Localstatedir", "string", "", ""),
    ("Cachedir", "string", "", ""),
    ("Ipxesource", "string", "", ""),
    ("Srvdir", "string", "", ""),
    ("Firewallddir", "string", "", ""),
    ("Systemddir", "string", "", ""),
    ("Datadir", "string", "", ""),
    ("WWOverlaydir", "string", "", ""),
    ("WWChrootdir", "string", "", ""),
    ("WWProvisiondir", "string", "", ""),
    ("WWClientdir", "string", "", ""),
    ("WWFilesdir", "string", "", ""),
    ("NodesConf", "string", "", ""),
    ("AuthenticationConf", "string", "", ""),
    ("OciBlobCachedir", "string", "", ""),
    ("SiteOverlaydir", "string", "", ""),
    ("DistributionOverlaydir", "string", "", ""),
    ("OverlayProvisiondir", "string", "", ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_that_is_named_is_known_or_has_no_fields() {
        let plain = ["string", "bool", "int", "uint", "IP", "MAC", "wwtype.WWbool", "node.Resource"];
        for of in [TOP, "node.Disk", "node.NetDev", "config.NFSConf", "config.TFTPConf", "node.IpmiConf"] {
            for row in fields(of).iter().copied().flatten() {
                let of = element(row.1).unwrap_or(row.1);
                assert!(has_fields(of) || plain.contains(&of), "{row:?}");
            }
        }
    }

    #[test]
    fn paths_lead_through_types_and_end_in_maps() {
        assert_eq!(resolve(TOP, &["Kernel", "Version"]).unwrap().2, "--kernelversion");
        assert_eq!(resolve(TOP, &["Ipmi", "Ipaddr"]).unwrap().1, "IP");
        assert_eq!(resolve(TOP, &["Node", "Tags", "bar"]).unwrap().1, "string");
        assert_eq!(resolve(TOP, &["NetDevs", "default", "Ipaddr"]).unwrap().1, "*node.NetDev");
        assert_eq!(resolve("node.NetDev", &["OnBoot", "BoolDefaultTrue"]), None);
        assert_eq!(resolve("[]node.Node", &["Id"]), None);
        assert_eq!(resolve(TOP, &[] as &[&str]), None);
    }
}
