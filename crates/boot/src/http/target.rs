//! What a request target asks for: routes, their older names, the query.
//!
//! Paths are compared as they were sent, escapes and all, and split afterwards: `%2e%2e` is a name, not a step up.

use crate::http::refusal::Refusal;

/// What a node can be given. [`Stage::name`] is the word in the status document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    Ipxe,
    Kernel,
    Image,
    Initramfs,
    System,
    Runtime,
    Grub,
    Efiboot,
}

impl Stage {
    pub fn name(self) -> &'static str {
        match self {
            Stage::Ipxe => "ipxe",
            Stage::Kernel => "kernel",
            Stage::Image => "image",
            Stage::Initramfs => "initramfs",
            Stage::System => "system",
            Stage::Runtime => "runtime",
            Stage::Grub => "grub",
            Stage::Efiboot => "efiboot",
        }
    }

    /// The names that `/provision?stage=` takes, and but for `provision` the names of routes.
    fn named(name: &str) -> Option<Stage> {
        Some(match name {
            "ipxe" | "provision" => Stage::Ipxe,
            "kernel" => Stage::Kernel,
            "image" | "container" => Stage::Image,
            "initramfs" => Stage::Initramfs,
            "system" | "overlay-system" => Stage::System,
            "runtime" | "overlay-runtime" => Stage::Runtime,
            "grub" => Stage::Grub,
            _ => return None,
        })
    }
}

/// `compress=` of the query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compress {
    No,
    Gz,
    /// Images only; stock has none.
    Zst,
    /// A word that means nothing to us.
    Other(String),
}

/// A request for one stage of a boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageAsk {
    pub stage: Stage,
    /// As [`wwid`] writes it. `None`: to be looked up by the peer's address.
    pub wwid: Option<String>,
    pub asset_key: String,
    pub uuid: String,
    pub compress: Compress,
    /// What `/efiboot` is asked for, `grub.cfg`; empty elsewhere.
    pub file: String,
}

/// A request below `/files/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// Below the folder of files, escapes read; may be anything.
    pub path: String,
    pub wwid: Option<String>,
    pub asset_key: String,
    /// `?render`, or `?render=NODE`: as a template, for the node that asks.
    pub render: Option<String>,
    /// The query as it was sent, for a redirect.
    pub query: Option<String>,
}

/// Where a request wants to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Stage(StageAsk),
    Files(Files),
    /// `/boot/NAME`: a boot loader for firmware that asks by HTTP.
    BootFile(String),
    Status,
    /// To this `Location`, with 307.
    Redirect(String),
    Nowhere,
}

/// Reads the target of a request line: `/path?query`, or `http://host/path?query` as proxies send it.
///
/// # Errors
/// [`Refusal::BadTarget`] when it is neither, or an escape in the path is broken.
pub fn read(target: &str) -> Result<Target, Refusal> {
    let target = origin_form(target).ok_or(Refusal::BadTarget)?;
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    if unescape(path, false).is_none() {
        return Err(Refusal::BadTarget);
    }
    // shim joins its folder and the loader's name with two slashes.
    let path = path.replace("//", "/");
    let clean = clean(&path);
    if clean != path {
        return Ok(Target::Redirect(with_query(clean, query)));
    }
    let (first, rest) = match path.get(1..).unwrap_or("").split_once('/') {
        Some((first, rest)) => (first, Some(rest)),
        None => (path.get(1..).unwrap_or(""), None),
    };
    let first = unescape(first, false).unwrap_or_default();
    let asked = Query::read(query.unwrap_or(""));
    match (first.as_str(), rest) {
        ("status", None) => Ok(Target::Status),
        ("files" | "provision" | "efiboot", None) => Ok(Target::Redirect(with_query(format!("{path}/"), query))),
        ("files", Some(rest)) => Ok(Target::Files(Files {
            path: unescape(rest, false).unwrap_or_default(),
            wwid: asked.wwid(),
            asset_key: asked.first("assetkey"),
            render: asked.get("render").map(String::from),
            query: query.map(String::from),
        })),
        ("boot", Some(rest)) if !rest.is_empty() => Ok(Target::BootFile(unescape(rest, false).unwrap_or_default())),
        ("efiboot", Some(rest)) => {
            let rest = unescape(rest, false).unwrap_or_default();
            let named = rest.split('/').next().unwrap_or("").to_string();
            let file = if named.is_empty() { asked.first("file") } else { named };
            Ok(Target::Stage(asked.ask(Stage::Efiboot, asked.wwid(), file)))
        }
        (name, rest) => {
            let Some(stage) = Stage::named(name) else { return Ok(Target::Nowhere) };
            let Some(rest) = rest else { return Ok(Target::Redirect(with_query(format!("{path}/"), query))) };
            let stage = match asked.get("stage") {
                Some(stage) if name == "provision" => Stage::named(stage).ok_or(Refusal::BadStage)?,
                _ => stage,
            };
            let rest = unescape(rest, false).unwrap_or_default();
            let in_path = wwid(rest.split('/').next().unwrap_or(""));
            Ok(Target::Stage(asked.ask(stage, in_path.or_else(|| asked.wwid()), String::new())))
        }
    }
}

/// A wwid in the form that is compared and shown: lower case, colons. Nothing else is mended: iPXE and the agent write
/// addresses right, and what is no address shall stay visible as what it is. Empty is none.
pub fn wwid(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_lowercase().replace('-', ":"))
}

fn origin_form(target: &str) -> Option<&str> {
    if target.starts_with('/') {
        return Some(target);
    }
    let rest = target.strip_prefix("http://").or_else(|| target.strip_prefix("https://"))?;
    match rest.find(['/', '?']) {
        Some(at) if rest.as_bytes().get(at) == Some(&b'/') => rest.get(at..),
        _ => Some("/"),
    }
}

fn with_query(path: String, query: Option<&str>) -> String {
    match query {
        Some(query) => format!("{path}?{query}"),
        None => path,
    }
}

/// The shortest path that means the same: no `.`, no `..`, no empty step; a slash at the end stays.
fn clean(path: &str) -> String {
    let mut steps: Vec<&str> = Vec::new();
    for step in path.split('/') {
        match step {
            "" | "." => {}
            ".." => {
                steps.pop();
            }
            step => steps.push(step),
        }
    }
    let end = if !steps.is_empty() && path.ends_with('/') { "/" } else { "" };
    format!("/{}{end}", steps.join("/"))
}

/// Reads `%41` (and `+` as a space, in a query). `None` when an escape is broken. Bytes that are not UTF-8 are replaced.
fn unescape(text: &str, plus: bool) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => hex(bytes.next()?)? << 4 | hex(bytes.next()?)?,
            b'+' if plus => b' ',
            byte => byte,
        });
    }
    Some(String::from_utf8(out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Names and values in order. A part with a broken escape or a semicolon is dropped, as in Go's net/url.
struct Query(Vec<(String, String)>);

impl Query {
    fn read(text: &str) -> Query {
        let parts = text.split('&').filter(|part| !part.is_empty() && !part.contains(';'));
        Query(
            parts
                .filter_map(|part| {
                    let (name, value) = part.split_once('=').unwrap_or((part, ""));
                    Some((unescape(name, true)?, unescape(value, true)?))
                })
                .collect(),
        )
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    fn first(&self, name: &str) -> String {
        self.get(name).unwrap_or("").to_string()
    }

    fn wwid(&self) -> Option<String> {
        wwid(self.get("wwid").unwrap_or(""))
    }

    fn ask(&self, stage: Stage, wwid: Option<String>, file: String) -> StageAsk {
        let compress = match self.get("compress") {
            None | Some("") => Compress::No,
            Some("gz") => Compress::Gz,
            Some("zst") => Compress::Zst,
            Some(other) => Compress::Other(other.to_string()),
        };
        StageAsk { stage, wwid, asset_key: self.first("assetkey"), uuid: self.first("uuid"), compress, file }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(target: &str) -> StageAsk {
        match read(target) {
            Ok(Target::Stage(ask)) => ask,
            other => panic!("{target}: {other:?}"),
        }
    }

    fn asks(target: &str, stage: Stage, wwid: Option<&str>) {
        let got = ask(target);
        assert_eq!((got.stage, got.wwid.as_deref()), (stage, wwid), "{target}");
    }

    fn redirects(target: &str, location: &str) {
        assert_eq!(read(target), Ok(Target::Redirect(location.to_string())), "{target}");
    }

    const M: &str = "02:00:00:00:00:01";

    #[test]
    fn every_stage_has_its_route_and_its_older_name() {
        for (name, stage) in [
            ("ipxe", Stage::Ipxe),
            ("provision", Stage::Ipxe),
            ("kernel", Stage::Kernel),
            ("image", Stage::Image),
            ("container", Stage::Image),
            ("initramfs", Stage::Initramfs),
            ("system", Stage::System),
            ("overlay-system", Stage::System),
            ("runtime", Stage::Runtime),
            ("overlay-runtime", Stage::Runtime),
            ("grub", Stage::Grub),
        ] {
            asks(&format!("/{name}/{M}"), stage, Some(M));
            asks(&format!("/{name}/?wwid={M}"), stage, Some(M));
            asks(&format!("/{name}/"), stage, None);
            redirects(&format!("/{name}?wwid=x"), &format!("/{name}/?wwid=x"));
        }
    }

    #[test]
    fn the_wwid_is_read_in_every_spelling() {
        asks("/ipxe/02-00-00-00-00-0A", Stage::Ipxe, Some("02:00:00:00:00:0a"));
        asks("/ipxe/02%3A00%3A00%3A00%3A00%3A01", Stage::Ipxe, Some(M));
        asks("/ipxe/02:00:00:00:00:01/and/more", Stage::Ipxe, Some(M));
        asks("/ipxe/02:00:00:00:00:01%20", Stage::Ipxe, Some("02:00:00:00:00:01 "));
        asks("/ipxe/a?wwid=b", Stage::Ipxe, Some("a"));
        asks("/ipxe/?wwid=a&wwid=b", Stage::Ipxe, Some("a"));
        asks("/ipxe/?WWID=a", Stage::Ipxe, None);
        asks("/ipxe/?x=1;wwid=a", Stage::Ipxe, None);
        asks("/ipxe/?wwid=a%zz", Stage::Ipxe, None);
    }

    #[test]
    fn provision_takes_its_stage_from_the_query() {
        asks("/provision/a?stage=kernel", Stage::Kernel, Some("a"));
        asks("/provision/a?stage=overlay-system", Stage::System, Some("a"));
        asks("/provision/a?stage=provision", Stage::Ipxe, Some("a"));
        asks("/kernel/a?stage=image", Stage::Kernel, Some("a"));
        for stage in ["", "shim", "efiboot"] {
            assert_eq!(read(&format!("/provision/a?stage={stage}")), Err(Refusal::BadStage));
        }
    }

    #[test]
    fn efiboot_names_its_file_in_the_path_or_the_query() {
        assert_eq!(ask("/efiboot/shim.efi?wwid=a").file, "shim.efi");
        assert_eq!(ask("/efiboot//grub.cfg?wwid=a").file, "grub.cfg");
        assert_eq!(ask("/efiboot/?file=grub.cfg&wwid=a").file, "grub.cfg");
        assert_eq!(ask("/efiboot/grub.cfg?file=shim.efi").file, "grub.cfg");
        assert_eq!(ask("/efiboot/?wwid=a").file, "");
    }

    #[test]
    fn unclean_paths_are_redirected_with_their_query() {
        redirects("/ipxe////a", "/ipxe/a");
        redirects("/ipxe/./a", "/ipxe/a");
        redirects("/kernel/../ipxe/a?x=1", "/ipxe/a?x=1");
        redirects("/../../etc/passwd", "/etc/passwd");
        redirects("/files/../secret?wwid=a", "/secret?wwid=a");
        redirects("/files", "/files/");
        asks("//ipxe//a", Stage::Ipxe, Some("a"));
        asks("/ipxe/%2e%2e/kernel/a", Stage::Ipxe, Some(".."));
    }

    #[test]
    fn what_is_no_route_leads_nowhere() {
        for target in ["/", "/shim/a", "/Kernel/a", "/ipxe%2Fa", "/favicon.ico", "/boot/", "/status/x", "/api/nodes"] {
            assert_eq!(read(target), Ok(Target::Nowhere), "{target}");
        }
        assert_eq!(read("/status?x=1"), Ok(Target::Status));
    }

    #[test]
    fn a_target_in_absolute_form_is_read_by_its_path() {
        asks("http://elsewhere.example/kernel/a", Stage::Kernel, Some("a"));
        assert_eq!(read("http://elsewhere.example"), Ok(Target::Nowhere));
    }

    #[test]
    fn what_is_no_target_is_refused() {
        for target in ["", "*", "ipxe/a", "/ipxe/%", "/ipxe/%4", "/ipxe/%zz"] {
            assert_eq!(read(target), Err(Refusal::BadTarget), "{target:?}");
        }
    }

    #[test]
    fn files_keep_their_escapes_read_and_their_query() {
        assert_eq!(
            read("/files/%2e%2e/sp%20ace?wwid=A&assetkey=k&render"),
            Ok(Target::Files(Files {
                path: "../sp ace".into(),
                wwid: Some("a".into()),
                asset_key: "k".into(),
                render: Some(String::new()),
                query: Some("wwid=A&assetkey=k&render".into()),
            }))
        );
    }

    proptest::proptest! {
        #[test]
        fn any_target_is_answered_and_a_redirect_leads_to_a_clean_one(target in "[/a-z.%0-9:?&=;+ -]{0,60}") {
            if let Ok(Target::Redirect(to)) = read(&target) {
                // One step to the clean path, at most one more to the slash behind a stage.
                let again = read(&to);
                if let Ok(Target::Redirect(to)) = again {
                    let is_redirect = matches!(read(&to), Ok(Target::Redirect(_)));
                    proptest::prop_assert!(!is_redirect, "{} -> {}", target, to);
                }
            }
        }
    }
}
