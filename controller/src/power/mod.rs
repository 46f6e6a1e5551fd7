//! BMC commands: a template becomes a line for the shell, and the line is run, many nodes at a time.
//!
//! Templates lie in `<datadir>/warewulf/bmc`. What the line needs comes in by its environment too (`WWIPMI_*`, and
//! `IPMI_PASSWORD` for `ipmitool -E`), so that a template can keep passwords off the list of processes.

use std::fmt;
use std::net::IpAddr;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};

use model::Node;
use model::node::Ipmi;
use template::{NoFunctions, Options, Record, Template, Value};

/// The template of nodes that name none.
const DEFAULT: &str = "ipmitool.tmpl";

/// What a BMC is asked to do; the word is what templates compare `.Cmd` with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    On,
    Off,
    Cycle,
    Reset,
    Soft,
    Status,
    Sensors,
    AllSensors,
    Console,
}

impl Action {
    fn word(self) -> &'static str {
        match self {
            Action::On => "PowerOn",
            Action::Off => "PowerOff",
            Action::Cycle => "PowerCycle",
            Action::Reset => "PowerReset",
            Action::Soft => "PowerSoft",
            Action::Status => "PowerStatus",
            Action::Sensors => "SDRList",
            Action::AllSensors => "SensorList",
            Action::Console => "Console",
        }
    }
}

/// A line to be run for one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub node: String,
    pub ipaddr: IpAddr,
    pub text: String,
    env: Vec<(&'static str, String)>,
}

/// Why a node's BMC cannot be asked.
#[derive(Debug)]
#[must_use]
pub enum Refusal {
    NoBmc(String),
    BadTemplateName { node: String, name: String },
    NoTemplate { node: String, path: PathBuf, error: std::io::Error },
    BrokenTemplate { path: PathBuf, error: template::Error },
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NoBmc(node) => {
                write!(out, "node {node} has no BMC address; give it one with `wwctl node set {node} --ipmiaddr`")
            }
            Refusal::BadTemplateName { node, name } => {
                write!(out, "node {node}: {name:?} is no name of a template; it must be a file's name alone")
            }
            Refusal::NoTemplate { node, path, error } => {
                write!(out, "node {node}: template {}: {error}; correct --ipmitemplate", path.display())
            }
            Refusal::BrokenTemplate { path, error } => write!(out, "template {}: {error}", path.display()),
        }
    }
}

impl std::error::Error for Refusal {}

/// The line that does `action` for `node`, by the templates in `folder`.
///
/// # Errors
/// When the node has no BMC, or its template cannot be used.
pub fn line(folder: &Path, node: &Node, action: Action) -> Result<Line, Refusal> {
    let ipmi = &node.profile.ipmi;
    let ipaddr = ipmi.ipaddr.filter(|ip| !ip.is_unspecified()).ok_or_else(|| Refusal::NoBmc(node.id.clone()))?;
    let name = if ipmi.template.is_empty() { DEFAULT } else { &ipmi.template };
    let mut parts = Path::new(name).components();
    if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) {
        return Err(Refusal::BadTemplateName { node: node.id.clone(), name: name.into() });
    }
    let path = folder.join(name);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => return Err(Refusal::NoTemplate { node: node.id.clone(), path, error }),
    };
    let rendered = Template::parse(name, &text, &NoFunctions)
        .and_then(|template| template.render(&data(ipmi, ipaddr, action), &Options::default()));
    let text = match rendered {
        Ok(text) => String::from_utf8_lossy(&text).trim().to_owned(),
        Err(error) => return Err(Refusal::BrokenTemplate { path, error }),
    };
    Ok(Line { node: node.id.clone(), ipaddr, text, env: environment(ipmi, ipaddr) })
}

fn ip(ip: Option<IpAddr>) -> String {
    ip.map_or_else(|| "<nil>".into(), |ip| ip.to_string())
}

fn data(ipmi: &Ipmi, ipaddr: IpAddr, action: Action) -> Value {
    let tags = ipmi.tags.iter().map(|(key, value)| (key.clone(), Value::text(value)));
    let record = Record::new("BMC")
        .with("Cmd", Value::text(action.word()))
        .with("Ipaddr", Value::text(ipaddr.to_string()))
        .with("Gateway", Value::text(ip(ipmi.gateway)))
        .with("Netmask", Value::text(ip(ipmi.netmask)))
        .with("Port", Value::text(&ipmi.port))
        .with("UserName", Value::text(&ipmi.username))
        .with("Password", Value::text(&ipmi.password))
        .with("Interface", Value::text(&ipmi.interface))
        .with("EscapeChar", Value::text(&ipmi.escapechar))
        .with("Write", Value::text(&ipmi.write.0))
        .with("Template", Value::text(&ipmi.template))
        .with("Tags", Value::dict(tags));
    Value::object(record)
}

fn environment(ipmi: &Ipmi, ipaddr: IpAddr) -> Vec<(&'static str, String)> {
    let all = [
        ("WWIPMI_IPADDR", ipaddr.to_string()),
        ("WWIPMI_PORT", ipmi.port.clone()),
        ("WWIPMI_USER", ipmi.username.clone()),
        ("WWIPMI_INTERFACE", ipmi.interface.clone()),
        ("WWIPMI_ESCAPECHAR", ipmi.escapechar.clone()),
        ("IPMI_PASSWORD", ipmi.password.clone()),
        ("IPMITOOL_PASSWORD", ipmi.password.clone()),
    ];
    all.into_iter().filter(|(_, value)| !value.is_empty() && !value.contains('\0')).collect()
}

/// Runs the lines, `fanout` at a time, and tells `each` what came of them as they end.
pub fn run(lines: Vec<Line>, fanout: usize, each: impl Fn(&Line, std::io::Result<Ran>) + Sync) {
    let queue = Mutex::new(lines.into_iter());
    std::thread::scope(|scope| {
        for _ in 0..fanout.clamp(1, 1024) {
            scope.spawn(|| {
                loop {
                    let Some(line) = queue.lock().unwrap_or_else(PoisonError::into_inner).next() else { return };
                    each(&line, one(&line));
                }
            });
        }
    });
}

/// What came of a line.
#[derive(Clone, Debug)]
pub struct Ran {
    pub status: ExitStatus,
    /// Both streams.
    pub output: String,
}

fn one(line: &Line) -> std::io::Result<Ran> {
    let done = shell(line).stdin(Stdio::null()).output()?;
    let mut output = String::from_utf8_lossy(&done.stdout).into_owned();
    output.push_str(&String::from_utf8_lossy(&done.stderr));
    Ok(Ran { status: done.status, output: output.trim_end().to_owned() })
}

/// The line with the terminal it was called from, as a console needs it.
///
/// # Errors
/// When the shell cannot be started.
pub fn attended(line: &Line) -> std::io::Result<ExitStatus> {
    shell(line).status()
}

fn shell(line: &Line) -> Command {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(&line.text).envs(line.env.iter().map(|(key, value)| (key, value)));
    command
}
