//! warewulf.conf as a document: with all defaults filled in, and old files in the present form.

use crate::conf::{Conf, DhcpMode, OverlayMerge, TftpMode};
use crate::error::ConfError;
use crate::read::{Section, wrong};
use crate::upgrade::Mount;
use crate::yaml::{self, Body, Doc, Tree, truth_of_plain};

type Entries = Vec<(String, Doc)>;

fn text(entries: &mut Entries, key: &str, value: impl ToString) {
    let value = value.to_string();
    if !value.is_empty() {
        entries.push((key.into(), Doc::Text(value)));
    }
}

fn word(entries: &mut Entries, key: &str, value: impl ToString) {
    entries.push((key.into(), Doc::Word(value.to_string())));
}

fn when(entries: &mut Entries, key: &str, said: bool, value: impl ToString) {
    if said {
        word(entries, key, value);
    }
}

fn section(entries: &mut Entries, key: &str, inner: Entries) {
    if !inner.is_empty() {
        entries.push((key.into(), Doc::Map(inner)));
    }
}

impl Conf {
    /// The configuration as it is in effect, in the order of the file.
    pub fn doc(&self) -> Doc {
        let mut top = Entries::new();
        text(&mut top, "comment", &self.comment);
        for (key, ip) in [("ipaddr", self.ipaddr), ("netmask", self.netmask), ("network", self.network)] {
            text(&mut top, key, ip.map_or(String::new(), |ip| ip.to_string()));
        }
        text(&mut top, "ipaddr6", self.ipaddr6.map_or(String::new(), |ip| ip.to_string()));
        text(&mut top, "prefixlen6", &self.prefixlen6);
        text(&mut top, "fqdn", &self.fqdn);
        section(&mut top, "warewulf", self.warewulf_doc());
        section(&mut top, "api", self.api_doc());
        section(&mut top, "dhcp", self.dhcp_doc());
        section(&mut top, "tftp", self.tftp_doc());
        section(&mut top, "nfs", self.nfs_doc());
        let types = self.ssh.key_types.iter().cloned().map(Doc::Text).collect();
        section(&mut top, "ssh", vec![("key types".into(), Doc::List(types))]);
        let mounts: Vec<Doc> = self
            .image_mounts
            .iter()
            .map(|mount| {
                let mut entries = Entries::new();
                text(&mut entries, "source", &mount.source);
                text(&mut entries, "dest", if mount.dest_given { mount.dest.as_str() } else { "" });
                when(&mut entries, "readonly", mount.readonly, true);
                when(&mut entries, "copy", mount.copy, true);
                Doc::Map(entries)
            })
            .collect();
        if !mounts.is_empty() {
            top.push(("image mounts".into(), Doc::List(mounts)));
        }
        section(&mut top, "overlays", self.overlays_doc());
        section(&mut top, "paths", self.paths_doc());
        if let Some(port) = self.wwclient_port {
            section(&mut top, "wwclient", vec![("port".into(), Doc::Word(port.to_string()))]);
        }
        Doc::Map(top)
    }

    fn warewulf_doc(&self) -> Entries {
        let (w, mut entries) = (&self.warewulf, Entries::new());
        word(&mut entries, "port", w.port);
        word(&mut entries, "tls port", w.tls_port);
        word(&mut entries, "secure", w.secure);
        when(&mut entries, "secure files", w.secure_files != w.secure, w.secure_files);
        when(&mut entries, "tls", w.tls, true);
        word(&mut entries, "update interval", w.update_interval);
        word(&mut entries, "autobuild overlays", w.autobuild_overlays);
        word(&mut entries, "host overlay", w.host_overlay);
        word(&mut entries, "grubboot", w.grubboot);
        text(&mut entries, "systemd name", &w.systemd_name);
        entries
    }

    fn api_doc(&self) -> Entries {
        let mut entries = Entries::new();
        word(&mut entries, "enabled", self.api.enabled);
        when(&mut entries, "tls", self.api.tls, true);
        let nets = self.api.allowed_subnets.iter().map(|(ip, length)| Doc::Text(format!("{ip}/{length}"))).collect();
        entries.push(("allowed subnets".into(), Doc::List(nets)));
        entries
    }

    fn dhcp_doc(&self) -> Entries {
        let (dhcp, mut entries) = (&self.dhcp, Entries::new());
        word(&mut entries, "enabled", dhcp.enabled);
        let mode = match dhcp.mode {
            DhcpMode::Internal => "internal",
            DhcpMode::Proxy => "proxy",
            DhcpMode::External => "",
        };
        text(&mut entries, "mode", mode);
        when(&mut entries, "quiet ra", dhcp.quiet_ra != (dhcp.mode != DhcpMode::External), dhcp.quiet_ra);
        text(&mut entries, "template", &dhcp.template);
        for (key, ip) in [("range start", dhcp.range_start), ("range end", dhcp.range_end)] {
            text(&mut entries, key, ip.map_or(String::new(), |ip| ip.to_string()));
        }
        text(&mut entries, "range6 start", &dhcp.range6_start);
        text(&mut entries, "range6 end", &dhcp.range6_end);
        text(&mut entries, "systemd name", &dhcp.systemd_name);
        entries
    }

    /// Only what differs from stock's ways: stock knows no such section.
    fn overlays_doc(&self) -> Entries {
        let mut entries = Entries::new();
        when(&mut entries, "materialize", !self.overlays.materialize, false);
        when(&mut entries, "merge", self.overlays.merge == OverlayMerge::Files, "files");
        entries
    }

    fn tftp_doc(&self) -> Entries {
        let (tftp, mut entries) = (&self.tftp, Entries::new());
        word(&mut entries, "enabled", tftp.enabled);
        text(&mut entries, "mode", if tftp.mode == TftpMode::Internal { "internal" } else { "" });
        text(&mut entries, "tftproot", tftp.tftproot.display());
        text(&mut entries, "systemd name", &tftp.systemd_name);
        let map = tftp.ipxe.iter().map(|(arch, file)| (arch.clone(), Doc::Text(file.clone())));
        entries.push(("ipxe".into(), Doc::named(map)));
        entries
    }

    fn nfs_doc(&self) -> Entries {
        let mut entries = Entries::new();
        word(&mut entries, "enabled", self.nfs.enabled);
        let exports: Vec<Doc> = self
            .nfs
            .export_paths
            .iter()
            .map(|(path, options)| {
                let mut entries = Entries::new();
                text(&mut entries, "path", path);
                text(&mut entries, "export options", options);
                Doc::Map(entries)
            })
            .collect();
        if !exports.is_empty() {
            entries.push(("export paths".into(), Doc::List(exports)));
        }
        text(&mut entries, "systemd name", &self.nfs.systemd_name);
        entries
    }

    fn paths_doc(&self) -> Entries {
        let paths = &self.paths;
        let mut entries = Entries::new();
        for (key, path) in [
            ("bindir", &paths.bindir),
            ("sysconfdir", &paths.sysconfdir),
            ("localstatedir", &paths.localstatedir),
            ("cachedir", &paths.cachedir),
            ("ipxesource", &paths.ipxesource),
            ("srvdir", &paths.srvdir),
            ("firewallddir", &paths.firewallddir),
            ("systemddir", &paths.systemddir),
            ("datadir", &paths.datadir),
            ("wwoverlaydir", &paths.wwoverlaydir),
            ("wwchrootdir", &paths.wwchrootdir),
            ("wwprovisiondir", &paths.wwprovisiondir),
            ("wwclientdir", &paths.wwclientdir),
            ("wwfilesdir", &paths.wwfilesdir),
        ] {
            text(&mut entries, key, path.display());
        }
        entries
    }
}

/// What a key of warewulf.conf holds.
#[derive(Clone, Copy)]
enum Holds {
    Text,
    Truth,
    Number,
    Texts,
    Named,
    Items(&'static [(&'static str, Holds)]),
    Section(&'static [(&'static str, Holds)]),
}

use Holds::{Items, Named, Number, Section as Part, Text, Texts, Truth};

/// Every key of the file, in order.
const KEYS: &[(&str, Holds)] = &[
    ("comment", Text),
    ("ipaddr", Text),
    ("netmask", Text),
    ("network", Text),
    ("ipaddr6", Text),
    ("prefixlen6", Text),
    ("fqdn", Text),
    (
        "warewulf",
        Part(&[
            ("port", Number),
            ("tls port", Number),
            ("secure", Truth),
            ("secure files", Truth),
            ("tls", Truth),
            ("update interval", Number),
            ("autobuild overlays", Truth),
            ("host overlay", Truth),
            ("grubboot", Truth),
            ("systemd name", Text),
        ]),
    ),
    ("api", Part(&[("enabled", Truth), ("tls", Truth), ("allowed subnets", Texts)])),
    (
        "dhcp",
        Part(&[
            ("enabled", Truth),
            ("mode", Text),
            ("quiet ra", Truth),
            ("template", Text),
            ("range start", Text),
            ("range end", Text),
            ("range6 start", Text),
            ("range6 end", Text),
            ("systemd name", Text),
        ]),
    ),
    ("tftp", Part(&[("enabled", Truth), ("mode", Text), ("tftproot", Text), ("systemd name", Text), ("ipxe", Named)])),
    (
        "nfs",
        Part(&[
            ("enabled", Truth),
            ("export paths", Items(&[("path", Text), ("export options", Text)])),
            ("systemd name", Text),
        ]),
    ),
    ("ssh", Part(&[("key types", Texts)])),
    ("image mounts", Items(&[("source", Text), ("dest", Text), ("readonly", Truth), ("copy", Truth)])),
    ("overlays", Part(&[("materialize", Truth), ("merge", Text)])),
    (
        "paths",
        Part(&[
            ("bindir", Text),
            ("sysconfdir", Text),
            ("localstatedir", Text),
            ("cachedir", Text),
            ("ipxesource", Text),
            ("srvdir", Text),
            ("firewallddir", Text),
            ("systemddir", Text),
            ("datadir", Text),
            ("wwoverlaydir", Text),
            ("wwchrootdir", Text),
            ("wwprovisiondir", Text),
            ("wwclientdir", Text),
            ("wwfilesdir", Text),
        ]),
    ),
    ("wwclient", Part(&[("port", Number)])),
];

/// An old warewulf.conf in the present form: what it says, and no defaults. With notes on what was dropped.
///
/// # Errors
/// When it is no YAML, or a value is of the wrong kind.
pub fn upgraded(text: &str) -> Result<(Doc, Vec<String>), ConfError> {
    let tree = yaml::parse(text)?;
    let mut top = Section::of(&tree, "")?;
    let mut entries = shaped(&mut top, KEYS)?;
    if let Some(items) = some_items(&mut top, "container mounts", "image mounts")?
        && !entries.iter().any(|(key, _)| key == "image mounts")
    {
        place(&mut entries, KEYS, "image mounts", items);
    }
    old_exports(&tree, &mut entries)?;
    old_datastore(&tree, &mut entries)?;
    top.ignore("WW_INTERNAL");
    let mut unknown = top.finish().unknown;
    let moved = ["warewulf.datastore", "nfs.exports"];
    unknown.retain(|warning| !moved.contains(&warning.field.as_str()));
    Ok((Doc::Map(entries), unknown.iter().map(|note| format!("{}: dropped", note.field)).collect()))
}

/// The mounts that an old warewulf.conf told all nodes to make.
///
/// # Errors
/// When it is no YAML.
pub fn old_mounts(text: &str) -> Result<Vec<Mount>, ConfError> {
    let tree = yaml::parse(text)?;
    let mut top = Section::of(&tree, "")?;
    let mut mounts = Vec::new();
    for item in top.section("nfs")?.map_or(Ok(&[][..]), |mut nfs| nfs.items("export paths"))? {
        let mut export = Section::of(item, "nfs.export paths")?;
        let (path, mut options) = (export.text("path")?, export.text("mount options")?);
        if options.is_empty() {
            options = "defaults".into();
        }
        if export.truth("mount")? == Some(true) {
            mounts.push((path, options));
        }
    }
    Ok(mounts)
}

fn shaped(section: &mut Section<'_>, keys: &[(&str, Holds)]) -> Result<Entries, ConfError> {
    let mut entries = Entries::new();
    for (key, holds) in keys {
        let path = section.path(key);
        let Some(tree) = section.value(key) else { continue };
        let doc = match holds {
            Holds::Text => Doc::Text(section.text(key)?),
            Holds::Truth => {
                let truth = match &tree.body {
                    Body::Scalar { text, .. } => truth_of_plain(text),
                    _ => None,
                };
                Doc::Word(truth.ok_or_else(|| wrong(tree, &path, "true or false"))?.to_string())
            }
            Holds::Number => {
                let letters = section.text(key)?;
                let number: Result<u32, _> = letters.parse();
                Doc::Word(number.map_err(|_| wrong(tree, &path, "a whole number"))?.to_string())
            }
            Holds::Texts => Doc::List(section.list(key)?.into_iter().map(Doc::Text).collect()),
            Holds::Named => Doc::named(section.texts(key)?.into_iter().map(|(key, text)| (key, Doc::Text(text)))),
            Holds::Items(keys) => Doc::List(items(section.items(key)?, &path, keys, section)?),
            Holds::Section(keys) => {
                let Some(mut inner) = section.section(key)? else { continue };
                let entries = shaped(&mut inner, keys)?;
                section.absorb(inner);
                Doc::Map(entries)
            }
        };
        entries.push(((*key).to_owned(), doc));
    }
    Ok(entries)
}

fn items(trees: &[Tree], path: &str, keys: &[(&str, Holds)], section: &mut Section<'_>) -> Result<Vec<Doc>, ConfError> {
    let mut docs = Vec::new();
    for tree in trees {
        let mut inner = Section::of(tree, path)?;
        docs.push(Doc::Map(shaped(&mut inner, keys)?));
        section.absorb(inner);
    }
    Ok(docs)
}

fn some_items(top: &mut Section<'_>, old: &str, new: &str) -> Result<Option<Doc>, ConfError> {
    let trees = top.items(old)?;
    let keys = KEYS.iter().find_map(|(key, holds)| match holds {
        Holds::Items(keys) if *key == new => Some(*keys),
        _ => None,
    });
    match (trees.is_empty(), keys) {
        (false, Some(keys)) => Ok(Some(Doc::List(items(trees, old, keys, top)?))),
        _ => Ok(None),
    }
}

/// `nfs: exports: [/home]` of very old files.
fn old_exports(tree: &Tree, entries: &mut Entries) -> Result<(), ConfError> {
    let Some(mut nfs) = Section::of(tree, "")?.section("nfs")? else { return Ok(()) };
    let exports = nfs.list("exports")?;
    let Some((_, Doc::Map(inner))) = entries.iter_mut().find(|(key, _)| key == "nfs") else { return Ok(()) };
    if !exports.is_empty() && !inner.iter().any(|(key, _)| key == "export paths") {
        let list = exports.into_iter().map(|path| Doc::Map(vec![("path".into(), Doc::Text(path))])).collect();
        if let Some(keys) = part("nfs") {
            place(inner, keys, "export paths", Doc::List(list));
        }
    }
    Ok(())
}

/// `warewulf: datastore:` is `paths: datadir:` today.
fn old_datastore(tree: &Tree, entries: &mut Entries) -> Result<(), ConfError> {
    let Some(mut warewulf) = Section::of(tree, "")?.section("warewulf")? else { return Ok(()) };
    let store = warewulf.text("datastore")?;
    let Some(keys) = part("paths").filter(|_| !store.is_empty()) else { return Ok(()) };
    if !entries.iter().any(|(key, _)| key == "paths") {
        place(entries, KEYS, "paths", Doc::empty());
    }
    if let Some((_, Doc::Map(inner))) = entries.iter_mut().find(|(key, _)| key == "paths")
        && !inner.iter().any(|(key, _)| key == "datadir")
    {
        place(inner, keys, "datadir", Doc::Text(store));
    }
    Ok(())
}

fn part(key: &str) -> Option<&'static [(&'static str, Holds)]> {
    KEYS.iter().find_map(|(name, holds)| match holds {
        Holds::Section(keys) if *name == key => Some(*keys),
        _ => None,
    })
}

/// Adds an entry where the order of the file has it.
fn place(entries: &mut Entries, order: &[(&str, Holds)], key: &str, doc: Doc) {
    let rank = |key: &str| order.iter().position(|(name, _)| *name == key).unwrap_or(order.len());
    let at = entries.iter().position(|(other, _)| rank(other) > rank(key)).unwrap_or(entries.len());
    entries.insert(at, (key.to_owned(), doc));
}
