//! warewulf.conf after reading: every key has its type and its default.
//!
//! Whether a key was there matters in places (`ipaddr`, the new `mode` keys): those are `Option`s or enums that say so.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use crate::error::Warning;

/// The whole of warewulf.conf.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conf {
    pub comment: String,
    /// The controller's address; `ipaddr: 10.0.0.1/22` in the file gives netmask and network as well.
    pub ipaddr: Option<Ipv4Addr>,
    pub netmask: Option<Ipv4Addr>,
    pub network: Option<Ipv4Addr>,
    pub ipaddr6: Option<Ipv6Addr>,
    /// As written, for templates.
    pub prefixlen6: String,
    pub fqdn: String,
    pub warewulf: Warewulf,
    pub api: Api,
    pub dhcp: Dhcp,
    pub tftp: Tftp,
    pub nfs: Nfs,
    pub ssh: Ssh,
    pub image_mounts: Vec<ImageMount>,
    pub overlays: Overlays,
    pub paths: Paths,
    /// `wwclient: port`, the agent's source port.
    pub wwclient_port: Option<u16>,
    /// Keys that nobody knows, and values that are probably not meant.
    pub unknown: Vec<Warning>,
}

/// `warewulf:`, the daemon itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warewulf {
    pub port: u16,
    pub tls_port: u16,
    pub secure: bool,
    pub secure_files: bool,
    pub tls: bool,
    /// Seconds between heartbeats; 0 is kept (the agent reads it as 300).
    pub update_interval: u64,
    pub autobuild_overlays: bool,
    pub host_overlay: bool,
    pub grubboot: bool,
    pub systemd_name: String,
}

impl Default for Warewulf {
    fn default() -> Self {
        Warewulf {
            port: 9873,
            tls_port: 9874,
            secure: true,
            secure_files: true,
            tls: false,
            update_interval: 60,
            autobuild_overlays: true,
            host_overlay: true,
            grubboot: false,
            systemd_name: String::new(),
        }
    }
}

/// What a site overlay does to the distribution overlay of its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OverlayMerge {
    /// Hides it, as stock.
    #[default]
    Whole,
    /// Hides only the files that it holds itself.
    Files,
}

/// `overlays:`, how overlays are found and kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overlays {
    /// Whether a build of all nodes writes whole archives, as stock does, or keeps recipes of shared pieces.
    pub materialize: bool,
    pub merge: OverlayMerge,
}

impl Default for Overlays {
    fn default() -> Self {
        Overlays { materialize: true, merge: OverlayMerge::Whole }
    }
}

/// `api:`, the REST service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Api {
    pub enabled: bool,
    pub tls: bool,
    /// Address and prefix length.
    pub allowed_subnets: Vec<(IpAddr, u8)>,
}

/// Who answers DHCP. Absent in the file: [`DhcpMode::External`], as stock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DhcpMode {
    Internal,
    Proxy,
    #[default]
    External,
}

/// `dhcp:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dhcp {
    pub enabled: bool,
    pub mode: DhcpMode,
    /// Answer router solicitations with an advertisement of lifetime 0; absent: true when mode is internal or proxy.
    pub quiet_ra: bool,
    pub template: String,
    pub range_start: Option<Ipv4Addr>,
    pub range_end: Option<Ipv4Addr>,
    pub range6_start: String,
    pub range6_end: String,
    pub systemd_name: String,
}

impl Default for Dhcp {
    fn default() -> Self {
        Dhcp {
            enabled: true,
            mode: DhcpMode::External,
            quiet_ra: false,
            template: "default".into(),
            range_start: None,
            range_end: None,
            range6_start: String::new(),
            range6_end: String::new(),
            systemd_name: "dhcpd".into(),
        }
    }
}

/// Who answers TFTP. Absent in the file: [`TftpMode::External`], as stock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TftpMode {
    Internal,
    #[default]
    External,
}

/// `tftp:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tftp {
    pub enabled: bool,
    pub mode: TftpMode,
    pub tftproot: PathBuf,
    pub systemd_name: String,
    /// DHCP option 93 as the file writes it (`00:07`) -> file relative to ipxesource.
    pub ipxe: std::collections::BTreeMap<String, String>,
}

impl Default for Tftp {
    fn default() -> Self {
        let map = [
            ("00:00", "undionly.kpxe"),
            ("00:07", "ipxe-snponly-x86_64.efi"),
            ("00:09", "ipxe-snponly-x86_64.efi"),
            ("00:0B", "arm64-efi/snponly.efi"),
        ];
        Tftp {
            enabled: true,
            mode: TftpMode::External,
            tftproot: "/srv/tftp".into(),
            systemd_name: "tftp".into(),
            ipxe: map.into_iter().map(|(k, v)| (k.into(), v.into())).collect(),
        }
    }
}

/// `nfs:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nfs {
    pub enabled: bool,
    /// Path and its export options.
    pub export_paths: Vec<(String, String)>,
    pub systemd_name: String,
}

impl Default for Nfs {
    fn default() -> Self {
        Nfs { enabled: true, export_paths: Vec::new(), systemd_name: "nfsd".into() }
    }
}

/// `ssh:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ssh {
    pub key_types: Vec<String>,
}

impl Default for Ssh {
    fn default() -> Self {
        Ssh { key_types: ["ed25519", "ecdsa", "rsa"].map(String::from).to_vec() }
    }
}

/// One of `image mounts:`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageMount {
    pub source: String,
    /// As `source` when the file names none.
    pub dest: String,
    /// Whether the file names `dest`.
    pub dest_given: bool,
    pub readonly: bool,
    pub copy: bool,
}

/// `paths:`; defaults are those of the Debian package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    pub bindir: PathBuf,
    pub sysconfdir: PathBuf,
    pub localstatedir: PathBuf,
    pub cachedir: PathBuf,
    pub ipxesource: PathBuf,
    pub srvdir: PathBuf,
    pub firewallddir: PathBuf,
    pub systemddir: PathBuf,
    pub datadir: PathBuf,
    /// Whether the file names datadir; if not, wwctl looks beside itself first.
    pub datadir_given: bool,
    pub wwoverlaydir: PathBuf,
    pub wwchrootdir: PathBuf,
    pub wwprovisiondir: PathBuf,
    pub wwclientdir: PathBuf,
    pub wwfilesdir: PathBuf,
}

impl Default for Paths {
    fn default() -> Self {
        Paths {
            bindir: "/usr/bin".into(),
            sysconfdir: "/etc".into(),
            localstatedir: "/var/lib".into(),
            cachedir: "/var/cache".into(),
            ipxesource: "/usr/lib/ipxe".into(),
            srvdir: "/srv".into(),
            firewallddir: "/usr/lib/firewalld/services".into(),
            systemddir: "/lib/systemd/system".into(),
            datadir: "/usr/share".into(),
            datadir_given: false,
            wwoverlaydir: "/var/lib/warewulf/overlays".into(),
            wwchrootdir: "/var/lib/warewulf/chroots".into(),
            wwprovisiondir: "/var/lib/warewulf/provision".into(),
            wwclientdir: "/warewulf".into(),
            wwfilesdir: "/var/lib/warewulf/files".into(),
        }
    }
}

impl Paths {
    /// `<sysconfdir>/warewulf`.
    pub fn etc(&self) -> PathBuf {
        self.sysconfdir.join("warewulf")
    }

    /// `<sysconfdir>/warewulf/nodes.conf`.
    pub fn nodes_conf(&self) -> PathBuf {
        self.etc().join("nodes.conf")
    }

    /// `<datadir>/warewulf/overlays`.
    pub fn distribution_overlays(&self) -> PathBuf {
        self.datadir.join("warewulf/overlays")
    }

    /// The unpacked tree of an image.
    pub fn image_root(&self, image: &str) -> PathBuf {
        self.wwchrootdir.join(image).join("rootfs")
    }

    /// The built image; its packed forms lie beside it.
    pub fn image_file(&self, image: &str) -> PathBuf {
        self.wwprovisiondir.join("images").join(format!("{image}.img"))
    }

    /// Where the built overlays of a node lie.
    pub fn built_overlays(&self, node: &str) -> PathBuf {
        self.wwprovisiondir.join("overlays").join(node)
    }
}
