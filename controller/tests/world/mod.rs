//! A root of its own for one test: files laid out, wwctl run in it, what it left behind.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test support stops at the first surprise; each test file uses a part of it"
)]

pub mod recorded;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

/// warewulf.conf with every path below the root.
pub const CONF: &str = "\
ipaddr: 10.20.0.1
netmask: 255.255.0.0
network: 10.20.0.0
warewulf:
  secure: false
paths:
  bindir: @ROOT@/bin
  sysconfdir: @ROOT@/etc
  localstatedir: @ROOT@/var
  cachedir: @ROOT@/cache
  systemddir: @ROOT@/systemd
  datadir: @ROOT@/share
  wwoverlaydir: @ROOT@/var/overlays
  wwchrootdir: @ROOT@/var/chroots
  wwprovisiondir: @ROOT@/var/provision
";

pub const NODES: &str = "etc/warewulf/nodes.conf";

/// A fresh root, gone when it is dropped.
pub struct World {
    folder: tempfile::TempDir,
    /// The stand-in daemon's, 0 when there is none.
    port: u16,
    pub env: Vec<(String, String)>,
}

/// What one call left.
#[derive(Clone, Debug)]
pub struct Ran {
    pub exit: i32,
    pub stdout: String,
    pub stderr: String,
}

impl World {
    pub fn empty() -> World {
        let folder = tempfile::Builder::new().prefix("ww").tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        World { folder, port: 0, env: Vec::new() }
    }

    /// With a plain warewulf.conf and this nodes.conf.
    pub fn with_nodes(nodes: &str) -> World {
        let world = World::empty();
        world.put("etc/warewulf/warewulf.conf", &Value::String(CONF.into()));
        world.put(NODES, &Value::String(nodes.into()));
        world
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.root().join(below)
    }

    pub fn read(&self, below: &str) -> String {
        std::fs::read_to_string(self.path(below)).unwrap()
    }

    /// Starts a stand-in daemon that answers these pages, until the test's process ends.
    pub fn serve(&mut self, pages: &Value) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        self.port = listener.local_addr().unwrap().port();
        let pages = pages.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let first = lines.next().unwrap().unwrap();
                while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
                let page = first.split(' ').nth(1).and_then(|path| pages.get(path));
                let (code, body) = page.map_or((404, ""), |page| (200, page.as_str().unwrap()));
                let _ = write!(stream, "HTTP/1.0 {code} x\r\n\r\n{}", with_ages(body));
            }
        });
    }

    /// Lays one entry out as the vectors describe it.
    pub fn put(&self, below: &str, what: &Value) {
        let full = self.path(below);
        std::fs::create_dir_all(full.parent().unwrap()).unwrap();
        let mode = what["mode"].as_str().map(|mode| u32::from_str_radix(mode, 8).unwrap());
        if what["dir"] == Value::Bool(true) {
            std::fs::create_dir_all(&full).unwrap();
            std::fs::set_permissions(&full, std::fs::Permissions::from_mode(mode.unwrap_or(0o755))).unwrap();
        } else if let Some(target) = what["link"].as_str() {
            std::os::unix::fs::symlink(self.here(target), &full).unwrap();
        } else if let Some(size) = what["size"].as_u64() {
            std::fs::File::create(&full).unwrap().set_len(size).unwrap();
        } else {
            let text = what.as_str().or(what["text"].as_str()).unwrap();
            std::fs::write(&full, self.here(text)).unwrap();
            std::fs::set_permissions(&full, std::fs::Permissions::from_mode(mode.unwrap_or(0o644))).unwrap();
        }
    }

    /// Text for this root.
    pub fn here(&self, text: &str) -> String {
        text.replace("@ROOT@", self.root().to_str().unwrap()).replace("@PORT@", &self.port.to_string())
    }

    /// Runs wwctl with the root's warewulf.conf.
    pub fn run(&self, words: &[&str]) -> Ran {
        self.run_with(words, "", true)
    }

    pub fn run_with(&self, words: &[&str], stdin: &str, conf: bool) -> Ran {
        let programs = self.path(".programs");
        std::fs::create_dir_all(&programs).unwrap();
        let service = programs.join("service");
        if !service.exists() {
            std::fs::write(&service, "#!/bin/sh\nexit 0\n").unwrap();
            std::fs::set_permissions(&service, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_wwctl"));
        command.env_clear();
        // A reload must never reach a real daemon.
        command.env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", programs.display()));
        command.envs([("TZ", "UTC"), ("LANG", "C.UTF-8"), ("TERM", "dumb")]).env("HOME", self.root());
        command.envs(self.env.iter().map(|(key, value)| (key, self.here(value))));
        if conf {
            command.arg("--warewulfconf").arg(self.path("etc/warewulf/warewulf.conf"));
        }
        command.args(words.iter().map(|word| self.here(word))).current_dir(self.root());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // Who asks nothing may be gone before the answer comes.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(self.root().to_str().unwrap(), "@ROOT@");
        Ran { exit: output.status.code().unwrap_or(-1), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// Path -> content of every file and link (folders: None), but for names that begin with a dot.
    pub fn snapshot(&self) -> BTreeMap<String, Option<Vec<u8>>> {
        let mut all = BTreeMap::new();
        walk(self.root(), self.root(), &mut all);
        all
    }
}

fn walk(root: &Path, folder: &Path, all: &mut BTreeMap<String, Option<Vec<u8>>>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let name = entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            all.insert(name, None);
            walk(root, &entry.path(), all);
        } else if kind.is_symlink() {
            let target = std::fs::read_link(entry.path()).unwrap();
            all.insert(name, Some(target.into_os_string().into_encoded_bytes()));
        } else {
            all.insert(name, Some(std::fs::read(entry.path()).unwrap()));
        }
    }
}

/// `"@AGO:n@"` becomes the time n seconds ago.
fn with_ages(text: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let pattern = regex::Regex::new("\"?@AGO:(\\d+)@\"?").unwrap();
    pattern.replace_all(text, |found: &regex::Captures<'_>| (now - found[1].parse::<u64>().unwrap()).to_string()).into()
}
