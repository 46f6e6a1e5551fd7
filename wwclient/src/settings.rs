//! What the agent is told: by its command line, by warewulf.conf on the node, by the kernel's command line, by the
//! machine itself.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Parser;
use model::conf::Conf;

use crate::{cmdline, facts};

/// The agent of a Warewulf node: keeps the runtime overlay as the controller has it.
#[derive(Clone, Debug, Parser)]
#[command(name = "wwclient", version)]
pub struct Options {
    /// Ask once, apply, and leave
    #[arg(long)]
    pub once: bool,
    /// Say more
    #[arg(short, long)]
    pub debug: bool,
    /// Where the process id goes [default: /var/run/wwclient.pid]
    #[arg(short, long, value_name = "FILE")]
    pub pidfile: Option<PathBuf>,
    /// What to read instead of the node's own
    #[arg(long, value_name = "FILE", default_value = "/etc/warewulf/warewulf.conf")]
    pub warewulfconf: PathBuf,
    /// Go on in the background once it is sure to be the only one
    #[arg(long)]
    pub background: bool,
    /// Show what /init would do on this machine, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// All that together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Address or name, without a port.
    pub server: String,
    pub port: u16,
    /// The server wants to be asked from a port below 1024.
    pub secure: bool,
    pub source_port: Option<u16>,
    /// Path and query of the runtime overlay.
    pub path: String,
    pub wwid: String,
    pub interval: Duration,
    /// Where the overlay is laid.
    pub target: PathBuf,
    /// What was placed there.
    pub manifest: PathBuf,
    /// The target is `/`.
    pub live: bool,
}

/// What there is besides files: given, so that a test can give it.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// `WW_IPADDR` of the environment.
    pub ww_ipaddr: Option<String>,
    /// The path of this program.
    pub program: PathBuf,
}

impl Settings {
    /// Reads everything below `root` (`/`, but in tests).
    pub fn load(root: &Path, conf_file: &Path, around: &Surroundings) -> anyhow::Result<Settings> {
        let text = fs::read_to_string(conf_file).with_context(|| format!("{}", conf_file.display()))?;
        let conf = Conf::parse(&text).map_err(|e| anyhow!("{}: {e}", conf_file.display()))?;
        let server = around
            .ww_ipaddr
            .clone()
            .filter(|text| !text.is_empty())
            .or_else(|| conf.ipaddr6.map(|ip| ip.to_string()))
            .or_else(|| conf.ipaddr.map(|ip| ip.to_string()))
            .ok_or_else(|| anyhow!("{}: no ipaddr: the agent must know whom to ask", conf_file.display()))?;
        let cmdline = cmdline::parse(&fs::read_to_string(root.join("proc/cmdline")).unwrap_or_default());
        let named = cmdline.wwid.ok_or_else(|| {
            anyhow!(
                "/proc/cmdline has no wwid=: was this node booted by Warewulf? (kernel args must carry wwid=${{mac}})"
            )
        })?;
        let wwid = facts::wwid(root, &named)?;
        let interval = match conf.warewulf.update_interval {
            0 => 300,
            seconds => seconds,
        };
        let live = is_installed(&around.program, &conf.paths.wwclientdir);
        Ok(Settings {
            server: server.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: conf.warewulf.port,
            secure: conf.warewulf.secure,
            source_port: conf.wwclient_port.filter(|port| *port != 0),
            path: path(&wwid, &facts::identity(root)),
            wwid,
            interval: Duration::from_secs(interval),
            target: if live { "/".into() } else { "/warewulf/wwclient-test".into() },
            manifest: if live { "/warewulf/.wwclient.manifest" } else { "/warewulf/.wwclient-test.manifest" }.into(),
            live,
        })
    }

    /// Host and port as they stand in a URL.
    pub fn authority(&self) -> String {
        match self.server.parse() {
            Ok(IpAddr::V6(ip)) => format!("[{ip}]:{}", self.port),
            _ => format!("{}:{}", self.server, self.port),
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}{}", self.authority(), self.path)
    }
}

fn is_installed(program: &Path, folder: &Path) -> bool {
    let installed = folder.join("wwclient");
    program == installed || fs::canonicalize(&installed).is_ok_and(|path| path == program)
}

fn path(wwid: &str, identity: &facts::Identity) -> String {
    format!(
        "/runtime/{}?assetkey={}&uuid={}&compress=gz",
        percent(wwid, b":"),
        percent(&identity.asset, b""),
        percent(&identity.uuid, b"")
    )
}

/// Percent-encodes all but unreserved characters (RFC 3986, 2.3) and those named.
fn percent(text: &str, also: &[u8]) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || also.contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(conf: &str, cmdline: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("proc")).unwrap();
        fs::create_dir_all(folder.path().join("sys/class/dmi/id")).unwrap();
        fs::write(folder.path().join("proc/cmdline"), cmdline).unwrap();
        fs::write(folder.path().join("sys/class/dmi/id/product_uuid"), "ABC\n").unwrap();
        fs::write(folder.path().join("sys/class/dmi/id/chassis_asset_tag"), "a b&c\n").unwrap();
        let file = folder.path().join("warewulf.conf");
        fs::write(&file, conf).unwrap();
        (folder, file)
    }

    fn load(conf: &str, cmdline: &str, around: &Surroundings) -> anyhow::Result<Settings> {
        let (folder, file) = machine(conf, cmdline);
        Settings::load(folder.path(), &file, around)
    }

    #[test]
    fn the_request_names_node_and_machine() {
        let settings = load("ipaddr: 10.0.0.1\n", "wwid=52:54:00:10:00:01", &Surroundings::default()).unwrap();
        assert_eq!(
            settings.url(),
            "http://10.0.0.1:9873/runtime/52:54:00:10:00:01?assetkey=a_b%26c&uuid=abc&compress=gz"
        );
        assert!(settings.secure, "absent is true");
    }

    #[test]
    fn the_environment_then_ipv6_then_ipv4_name_the_server() {
        let conf = "ipaddr: 10.0.0.1\nipaddr6: fd00::1\n";
        let named = Surroundings { ww_ipaddr: Some("10.9.9.9".into()), ..Surroundings::default() };
        assert_eq!(load(conf, "wwid=a", &named).unwrap().authority(), "10.9.9.9:9873");
        assert_eq!(load(conf, "wwid=a", &Surroundings::default()).unwrap().authority(), "[fd00::1]:9873");
    }

    #[test]
    fn an_interval_of_0_is_five_minutes() {
        let of = |text: &str| {
            let conf = format!("ipaddr: 10.0.0.1\nwarewulf:\n  update interval: {text}\n");
            load(&conf, "wwid=a", &Surroundings::default()).unwrap().interval.as_secs()
        };
        assert_eq!((of("0"), of("60"), of("7")), (300, 60, 7));
    }

    #[test]
    fn called_from_elsewhere_it_works_on_a_folder_of_its_own() {
        let conf = "ipaddr: 10.0.0.1\npaths:\n  wwclientdir: /opt/ww\n";
        let of = |program: &str| {
            let around = Surroundings { program: program.into(), ..Surroundings::default() };
            let settings = load(conf, "wwid=a", &around).unwrap();
            (settings.live, settings.target)
        };
        assert_eq!(of("/opt/ww/wwclient"), (true, "/".into()));
        assert_eq!(of("/root/wwclient"), (false, "/warewulf/wwclient-test".into()));
    }

    #[test]
    fn what_is_missing_is_named() {
        let why = |conf, cmdline| load(conf, cmdline, &Surroundings::default()).unwrap_err().to_string();
        assert!(why("ipaddr: 10.0.0.1\n", "quiet").starts_with("/proc/cmdline has no wwid=: "));
        assert!(why("comment: x\n", "wwid=a").ends_with("no ipaddr: the agent must know whom to ask"));
        assert!(why("ipaddr: [\n", "wwid=a").contains("warewulf.conf: "));
    }
}
