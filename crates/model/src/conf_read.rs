//! warewulf.conf: text to [`Conf`]. Keys that are absent get their defaults; what is there must be sound.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use crate::conf::{
    Api, Conf, Dhcp, DhcpMode, ImageMount, Nfs, OverlayMerge, Overlays, Paths, Ssh, Tftp, TftpMode, Warewulf,
};
use crate::error::ConfError;
use crate::read::{Section, wrong};
use crate::yaml;

impl Conf {
    /// Reads the text of warewulf.conf; an empty one gives all defaults.
    ///
    /// # Errors
    /// When it is no YAML, a key is doubled, or a value is of the wrong kind; with line, column and field.
    pub fn parse(text: &str) -> Result<Conf, ConfError> {
        let tree = yaml::parse(text)?;
        let mut top = Section::of(&tree, "")?;
        let mut conf = Conf { comment: top.text("comment")?, ..Conf::default() };
        addresses(&mut top, &mut conf)?;
        conf.fqdn = top.text("fqdn")?;
        conf.warewulf = section(&mut top, "warewulf", warewulf)?;
        conf.api = section(&mut top, "api", api)?;
        conf.dhcp = section(&mut top, "dhcp", dhcp)?;
        conf.tftp = section(&mut top, "tftp", tftp)?;
        conf.nfs = section(&mut top, "nfs", nfs)?;
        conf.ssh = section(&mut top, "ssh", ssh)?;
        conf.image_mounts = image_mounts(&mut top)?;
        conf.overlays = section(&mut top, "overlays", overlays)?;
        conf.paths = section(&mut top, "paths", paths)?;
        conf.wwclient_port = section(&mut top, "wwclient", |section| section.number("port"))?;
        // The version of the file's form in older releases.
        top.ignore("WW_INTERNAL");
        conf.unknown = top.finish().all();
        Ok(conf)
    }
}

/// Reads a section; one that is absent reads as an empty one, so that defaults have one home.
fn section<T>(
    top: &mut Section<'_>,
    key: &str,
    read: impl FnOnce(&mut Section<'_>) -> Result<T, ConfError>,
) -> Result<T, ConfError> {
    match top.section(key)? {
        Some(mut section) => {
            let value = read(&mut section)?;
            top.absorb(section);
            Ok(value)
        }
        None => read(&mut Section::empty(key)),
    }
}

fn addresses(top: &mut Section<'_>, conf: &mut Conf) -> Result<(), ConfError> {
    let (ipaddr, prefix) = with_prefix::<Ipv4Addr>(top, "ipaddr", 32, "an IPv4 address like 10.0.0.1 or 10.0.0.1/22")?;
    conf.ipaddr = ipaddr;
    conf.netmask = top.ip("netmask")?;
    if conf.netmask.is_some_and(|mask| mask.to_bits().leading_ones() != mask.to_bits().count_ones()) {
        top.doubt("netmask", "its ones do not stand in a row, so this is no netmask; write one like 255.255.255.0");
    }
    conf.network = top.ip("network")?;
    if let Some(prefix) = prefix {
        conf.netmask = conf.netmask.or(Some(mask(prefix)));
    }
    if let (Some(ipaddr), Some(netmask), None) = (conf.ipaddr, conf.netmask, conf.network) {
        conf.network = Some(Ipv4Addr::from_bits(ipaddr.to_bits() & netmask.to_bits()));
    }
    let (ipaddr6, prefix6) =
        with_prefix::<Ipv6Addr>(top, "ipaddr6", 128, "an IPv6 address like fd00::1 or fd00::1/64")?;
    conf.ipaddr6 = ipaddr6;
    conf.prefixlen6 = top.text("prefixlen6")?;
    if let (true, Some(prefix)) = (conf.prefixlen6.is_empty(), prefix6) {
        conf.prefixlen6 = prefix.to_string();
    }
    Ok(())
}

fn mask(prefix: u8) -> Ipv4Addr {
    let zeros = 32u32.saturating_sub(prefix.into());
    Ipv4Addr::from_bits(u32::MAX.checked_shl(zeros).unwrap_or(0))
}

/// An address, alone or with `/length`.
fn with_prefix<A: std::str::FromStr>(
    top: &mut Section<'_>,
    key: &str,
    longest: u8,
    what: &str,
) -> Result<(Option<A>, Option<u8>), ConfError> {
    let text = top.text(key)?;
    let Some(tree) = top.value(key).filter(|_| !text.is_empty()) else { return Ok((None, None)) };
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length.parse().ok().filter(|length| *length <= longest))),
        None => (text.as_str(), None),
    };
    match (address.parse(), length) {
        (Ok(address), None) => Ok((Some(address), None)),
        (Ok(address), Some(Some(length))) => Ok((Some(address), Some(length))),
        _ => Err(ConfError::new(tree.pos, key, format!("{text:?} is not {what}; correct it"))),
    }
}

fn warewulf(section: &mut Section<'_>) -> Result<Warewulf, ConfError> {
    let or = Warewulf::default();
    let secure = section.truth("secure")?.unwrap_or(or.secure);
    Ok(Warewulf {
        port: section.number("port")?.unwrap_or(or.port),
        tls_port: section.number("tls port")?.unwrap_or(or.tls_port),
        secure,
        secure_files: section.truth("secure files")?.unwrap_or(secure),
        tls: section.truth("tls")?.unwrap_or(or.tls),
        update_interval: section.number("update interval")?.unwrap_or(or.update_interval),
        autobuild_overlays: section.truth("autobuild overlays")?.unwrap_or(or.autobuild_overlays),
        host_overlay: section.truth("host overlay")?.unwrap_or(or.host_overlay),
        grubboot: section.truth("grubboot")?.unwrap_or(or.grubboot),
        systemd_name: text_or(section, "systemd name", or.systemd_name)?,
    })
}

fn api(section: &mut Section<'_>) -> Result<Api, ConfError> {
    let path = section.path("allowed subnets");
    let given = section.value("allowed subnets").is_some();
    let mut allowed_subnets = Vec::new();
    for item in section.items("allowed subnets")? {
        let text = match item.any() {
            crate::node::Any::Text(text) => text,
            _ => String::new(),
        };
        let net = text.split_once('/').and_then(|(address, length)| {
            let address: IpAddr = address.parse().ok()?;
            let longest = if address.is_ipv4() { 32 } else { 128 };
            Some((address, length.parse().ok().filter(|length: &u8| *length <= longest)?))
        });
        allowed_subnets.push(net.ok_or_else(|| wrong(item, &path, "a network like 10.0.0.0/8"))?);
    }
    if !given {
        allowed_subnets = vec![(IpAddr::from([127, 0, 0, 0]), 8), (IpAddr::V6(Ipv6Addr::LOCALHOST), 128)];
    }
    let (enabled, tls) = (section.truth("enabled")?.unwrap_or(false), section.truth("tls")?.unwrap_or(false));
    Ok(Api { enabled, tls, allowed_subnets })
}

fn dhcp(section: &mut Section<'_>) -> Result<Dhcp, ConfError> {
    let or = Dhcp::default();
    let modes = [("internal", DhcpMode::Internal), ("proxy", DhcpMode::Proxy), ("external", DhcpMode::External)];
    let mode = choice(section, "mode", &modes)?.unwrap_or(or.mode);
    match (section.ip::<Ipv4Addr>("range start")?, section.ip::<Ipv4Addr>("range end")?) {
        (Some(start), Some(end)) if start > end => {
            section.doubt("range start", format!("the range begins behind its end, {end}: it is empty; turn it round"));
        }
        (Some(_), None) => section.doubt("range start", "the range has no end; add `range end`"),
        (None, Some(_)) => section.doubt("range end", "the range has no beginning; add `range start`"),
        _ => {}
    }
    Ok(Dhcp {
        enabled: section.truth("enabled")?.unwrap_or(or.enabled),
        mode,
        quiet_ra: section.truth("quiet ra")?.unwrap_or(mode != DhcpMode::External),
        template: text_or(section, "template", or.template)?,
        range_start: section.ip("range start")?,
        range_end: section.ip("range end")?,
        range6_start: section.text("range6 start")?,
        range6_end: section.text("range6 end")?,
        systemd_name: text_or(section, "systemd name", or.systemd_name)?,
    })
}

fn tftp(section: &mut Section<'_>) -> Result<Tftp, ConfError> {
    let or = Tftp::default();
    let modes = [("internal", TftpMode::Internal), ("external", TftpMode::External)];
    let mode = choice(section, "mode", &modes)?.unwrap_or(or.mode);
    let mut ipxe = section.texts("ipxe")?;
    if ipxe.is_empty() {
        ipxe = or.ipxe;
    }
    Ok(Tftp {
        enabled: section.truth("enabled")?.unwrap_or(or.enabled),
        mode,
        tftproot: path_or(section, "tftproot", or.tftproot)?,
        systemd_name: text_or(section, "systemd name", or.systemd_name)?,
        ipxe,
    })
}

fn overlays(section: &mut Section<'_>) -> Result<Overlays, ConfError> {
    let or = Overlays::default();
    let merges = [("whole", OverlayMerge::Whole), ("files", OverlayMerge::Files)];
    Ok(Overlays {
        materialize: section.truth("materialize")?.unwrap_or(or.materialize),
        merge: choice(section, "merge", &merges)?.unwrap_or(or.merge),
    })
}

fn nfs(section: &mut Section<'_>) -> Result<Nfs, ConfError> {
    let or = Nfs::default();
    let path = section.path("export paths");
    let mut export_paths = Vec::new();
    for item in section.items("export paths")? {
        let mut export = Section::of(item, &path)?;
        export_paths.push((export.text("path")?, export.text("export options")?));
        section.absorb(export);
    }
    Ok(Nfs {
        enabled: section.truth("enabled")?.unwrap_or(or.enabled),
        export_paths,
        systemd_name: text_or(section, "systemd name", or.systemd_name)?,
    })
}

fn ssh(section: &mut Section<'_>) -> Result<Ssh, ConfError> {
    let key_types = section.list("key types")?;
    Ok(if key_types.is_empty() { Ssh::default() } else { Ssh { key_types } })
}

fn image_mounts(top: &mut Section<'_>) -> Result<Vec<ImageMount>, ConfError> {
    let resolv = || "/etc/resolv.conf".to_owned();
    if top.value("image mounts").is_none() {
        return Ok(vec![ImageMount { source: resolv(), dest: resolv(), dest_given: true, ..ImageMount::default() }]);
    }
    let mut mounts = Vec::new();
    for item in top.items("image mounts")? {
        let mut mount = Section::of(item, "image mounts")?;
        let source = mount.text("source")?;
        let dest_given = mount.value("dest").is_some();
        let dest = text_or(&mut mount, "dest", source.clone())?;
        let (readonly, copy) = (mount.truth("readonly")?.unwrap_or(false), mount.truth("copy")?.unwrap_or(false));
        mounts.push(ImageMount { source, dest, dest_given, readonly, copy });
        top.absorb(mount);
    }
    Ok(mounts)
}

fn paths(section: &mut Section<'_>) -> Result<Paths, ConfError> {
    let or = Paths::default();
    Ok(Paths {
        bindir: path_or(section, "bindir", or.bindir)?,
        sysconfdir: path_or(section, "sysconfdir", or.sysconfdir)?,
        localstatedir: path_or(section, "localstatedir", or.localstatedir)?,
        cachedir: path_or(section, "cachedir", or.cachedir)?,
        ipxesource: path_or(section, "ipxesource", or.ipxesource)?,
        srvdir: path_or(section, "srvdir", or.srvdir)?,
        firewallddir: path_or(section, "firewallddir", or.firewallddir)?,
        systemddir: path_or(section, "systemddir", or.systemddir)?,
        datadir_given: section.value("datadir").is_some(),
        datadir: path_or(section, "datadir", or.datadir)?,
        wwoverlaydir: path_or(section, "wwoverlaydir", or.wwoverlaydir)?,
        wwchrootdir: path_or(section, "wwchrootdir", or.wwchrootdir)?,
        wwprovisiondir: path_or(section, "wwprovisiondir", or.wwprovisiondir)?,
        wwclientdir: path_or(section, "wwclientdir", or.wwclientdir)?,
        wwfilesdir: path_or(section, "wwfilesdir", or.wwfilesdir)?,
    })
}

fn text_or(section: &mut Section<'_>, key: &str, or: String) -> Result<String, ConfError> {
    let text = section.text(key)?;
    Ok(if text.is_empty() { or } else { text })
}

fn path_or(section: &mut Section<'_>, key: &str, or: PathBuf) -> Result<PathBuf, ConfError> {
    let text = section.text(key)?;
    Ok(if text.is_empty() { or } else { text.into() })
}

fn choice<T: Copy>(section: &mut Section<'_>, key: &str, of: &[(&str, T)]) -> Result<Option<T>, ConfError> {
    let path = section.path(key);
    let text = section.text(key)?;
    let Some(tree) = section.value(key).filter(|_| !text.is_empty()) else { return Ok(None) };
    let found = of.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
    let words: Vec<&str> = of.iter().map(|(word, _)| *word).collect();
    found.map(Some).ok_or_else(|| wrong(tree, &path, &format!("one of {}", words.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_overlay_keys_mean_what_stock_does() {
        assert_eq!(Conf::parse("").unwrap().overlays, Overlays { materialize: true, merge: OverlayMerge::Whole });
        let conf = Conf::parse("overlays:\n  materialize: false\n  merge: files\n").unwrap();
        assert_eq!(conf.overlays, Overlays { materialize: false, merge: OverlayMerge::Files });
        assert!(conf.unknown.is_empty());
        let error = Conf::parse("overlays:\n  merge: some\n").unwrap_err().to_string();
        assert!(error.starts_with("line 2, column 10: overlays.merge: "), "{error}");
    }

    #[test]
    fn an_empty_file_gives_the_defaults() {
        let conf = Conf::parse("").unwrap();
        assert_eq!(conf.warewulf, Warewulf::default());
        assert_eq!(conf.dhcp, Dhcp::default());
        assert_eq!(conf.tftp, Tftp::default());
        assert_eq!(conf.nfs, Nfs::default());
        assert_eq!(conf.paths, Paths::default());
        assert_eq!(conf.image_mounts.len(), 1);
        assert_eq!(conf.api.allowed_subnets.len(), 2);
    }

    #[test]
    fn sections_without_a_value_read_as_empty_ones() {
        let text = "warewulf:\ndhcp:\ntftp:\nnfs:\nssh:\napi:\npaths:\nimage mounts:\nwwclient:\nipaddr:\n";
        assert_eq!(Conf::parse(text).unwrap(), Conf::parse("").unwrap());
    }

    #[test]
    fn an_address_with_length_gives_mask_and_network() {
        let conf = Conf::parse("ipaddr: 10.20.30.40/20\nipaddr6: fd00::1/64\n").unwrap();
        assert_eq!(conf.ipaddr, Some([10, 20, 30, 40].into()));
        assert_eq!(conf.netmask, Some([255, 255, 240, 0].into()));
        assert_eq!(conf.network, Some([10, 20, 16, 0].into()));
        assert_eq!((conf.ipaddr6, conf.prefixlen6.as_str()), (Some("fd00::1".parse().unwrap()), "64"));
    }

    #[test]
    fn the_new_modes_are_external_when_absent_and_quiet_ra_follows() {
        let external = Conf::parse("").unwrap();
        assert_eq!((external.dhcp.mode, external.dhcp.quiet_ra), (DhcpMode::External, false));
        let internal = Conf::parse("dhcp: {mode: internal}\ntftp: {mode: internal}").unwrap();
        assert_eq!((internal.dhcp.mode, internal.dhcp.quiet_ra), (DhcpMode::Internal, true));
        assert_eq!(internal.tftp.mode, TftpMode::Internal);
        let loud = Conf::parse("dhcp: {mode: proxy, quiet ra: no}").unwrap();
        assert_eq!((loud.dhcp.mode, loud.dhcp.quiet_ra), (DhcpMode::Proxy, false));
    }

    #[test]
    fn secure_files_inherits_secure() {
        let of = |text: &str| Conf::parse(text).unwrap().warewulf;
        assert_eq!((of("").secure, of("").secure_files), (true, true));
        assert!(!of("warewulf: {secure: false}").secure_files);
        assert!(of("warewulf: {secure: false, secure files: true}").secure_files);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place_and_what_to_do() {
        let table = [
            (
                "ipaddr: 10.0.0.999\n",
                "line 1, column 9: ipaddr: \"10.0.0.999\" is not an IPv4 address like 10.0.0.1 or 10.0.0.1/22; correct it",
            ),
            (
                "dhcp:\n  mode: inside\n",
                "line 2, column 9: dhcp.mode: found \"inside\", but this must be one of internal, proxy, external; correct it",
            ),
            (
                "warewulf: {port: 99999}",
                "line 1, column 18: warewulf.port: found \"99999\", but this must be a whole number from 0 to 65535, without quotes; correct it",
            ),
            (
                "warewulf: {secure: maybe}",
                "line 1, column 20: warewulf.secure: found \"maybe\", but this must be true or false, without quotes; correct it",
            ),
            (
                "ipaddr: 10.0.0.1\nipaddr: 10.0.0.2\n",
                "line 2, column 1: ipaddr: stands here for the second time, first in line 1; remove one of them",
            ),
            ("- a\n", "line 1, column 1: found a list, but this must be a section (key: value); correct it"),
        ];
        for (text, message) in table {
            assert_eq!(Conf::parse(text).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn what_can_be_taken_and_is_not_meant_is_a_warning_with_its_place() {
        let table = [
            (
                "netmask: 255.0.255.0\n",
                "line 1, column 10: netmask: its ones do not stand in a row, so this is no netmask; write one like 255.255.255.0",
            ),
            (
                "dhcp: {range start: 10.0.0.9, range end: 10.0.0.1}",
                "line 1, column 21: dhcp.range start: the range begins behind its end, 10.0.0.1: it is empty; turn it round",
            ),
            (
                "dhcp: {range start: 10.0.0.9}",
                "line 1, column 21: dhcp.range start: the range has no end; add `range end`",
            ),
            (
                "dhcp: {range end: 10.0.0.9}",
                "line 1, column 19: dhcp.range end: the range has no beginning; add `range start`",
            ),
        ];
        for (text, message) in table {
            let warnings: Vec<String> = Conf::parse(text).unwrap().unknown.iter().map(ToString::to_string).collect();
            assert_eq!(warnings, [message]);
        }
        let sound = "ipaddr: 10.0.0.1/22\nnetmask: 0.0.0.0\ndhcp: {range start: 10.0.0.9, range end: 10.0.0.9}";
        assert_eq!(Conf::parse(sound).unwrap().unknown, []);
    }

    #[test]
    fn an_unknown_key_is_a_warning() {
        let unknown = Conf::parse("colour: red\nwarewulf: {pot: 1}\n").unwrap().unknown;
        let fields: Vec<&str> = unknown.iter().map(|warning| warning.field.as_str()).collect();
        assert_eq!(fields, ["colour", "warewulf.pot"]);
    }
}
