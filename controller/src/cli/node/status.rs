//! `wwctl node status`: asks the daemon what it gave each node, and when it saw it.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use model::hostlist;
use serde::Deserialize;

use crate::cli::say;
use crate::site::Site;

/// An answer longer than this is no status document.
const LONGEST: u64 = 256 << 20;
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub struct Arguments {
    /// Names, as hostlist; none: all
    #[arg(value_name = "NODE")]
    nodes: Vec<String>,
    /// Show it again and again
    #[arg(long, short)]
    watch: bool,
    /// Milliseconds between two looks
    #[arg(long, short = 'U', default_value_t = 500, value_name = "MS")]
    update: u64,
    /// Only nodes that were last seen so many seconds ago or earlier
    #[arg(long, short, default_value_t = 0, value_name = "SECONDS")]
    time: u64,
    /// The newest first
    #[arg(long, short)]
    last: bool,
    /// The other way round
    #[arg(long, short)]
    reverse: bool,
    /// Only nodes that were never seen
    #[arg(long, short)]
    unknown: bool,
    /// The daemon's document instead of the table
    #[arg(long, short, value_name = "FORM")]
    output: Option<Form>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    Json,
}

#[derive(Debug, Deserialize)]
struct Document {
    #[serde(default)]
    nodes: std::collections::BTreeMap<String, Seen>,
    #[serde(default)]
    problems: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Seen {
    stage: String,
    sent: String,
    #[serde(rename = "last seen")]
    last_seen: u64,
}

/// Prints the table once, or until it is interrupted.
pub fn run(site: &Site, arguments: &Arguments) -> anyhow::Result<()> {
    let server = SocketAddr::new(address(site), site.conf.warewulf.port);
    loop {
        let body = ask(server).with_context(|| format!("ask the daemon at {server}; is `wwctl server` running?"))?;
        if arguments.output.is_some() {
            return say::answer(&format!("{}\n", String::from_utf8_lossy(&body).trim_end()));
        }
        let document: Document =
            serde_json::from_slice(&body).with_context(|| format!("{server} did not answer with a status document"))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let look = Look { now, interval: site.conf.warewulf.update_interval, colours: std::io::stdout().is_terminal() };
        let text = table(&document, arguments, &look);
        // Below the table, where a person looks, and apart from it for those who read tables.
        let problems = || document.problems.iter().for_each(say::warn);
        if !arguments.watch {
            say::answer(&text)?;
            problems();
            return Ok(());
        }
        say::answer(&format!("\x1b[H\x1b[2J{text}"))?;
        problems();
        std::thread::sleep(Duration::from_millis(arguments.update.max(50)));
    }
}

fn address(site: &Site) -> IpAddr {
    let conf = &site.conf;
    conf.ipaddr.map(IpAddr::from).or(conf.ipaddr6.map(IpAddr::from)).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// `GET /status`: one request, one connection, as little HTTP as that takes.
fn ask(server: SocketAddr) -> anyhow::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // 1.0: no chunks, and the end of the answer is the end of the connection.
    write!(stream, "GET /status HTTP/1.0\r\nHost: {server}\r\nAccept: application/json\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer)?;
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = head.parse(&answer)? else { bail!("the answer ends in its head") };
    match head.code {
        Some(200) => Ok(answer.split_off(length)),
        Some(code) => bail!("the answer is {code} {}", head.reason.unwrap_or_default()),
        None => bail!("the answer has no status"),
    }
}

/// What the table depends on, besides the document.
struct Look {
    now: u64,
    interval: u64,
    colours: bool,
}

fn table(document: &Document, arguments: &Arguments, look: &Look) -> String {
    let wanted: BTreeSet<String> = hostlist::expand(&arguments.nodes).into_iter().collect();
    let mut rows: Vec<(&String, &Seen)> = document
        .nodes
        .iter()
        .filter(|(name, _)| arguments.nodes.is_empty() || wanted.contains(*name))
        .filter(|(_, seen)| !arguments.unknown || seen.last_seen == 0)
        .filter(|(_, seen)| arguments.time == 0 || long_unseen(seen, arguments.time, look.now))
        .collect();
    if arguments.last {
        rows.sort_by_key(|(_, seen)| std::cmp::Reverse(seen.last_seen));
    }
    if arguments.reverse {
        rows.reverse();
    }
    let mut out = line("NODENAME", "STAGE", "SENT", "LASTSEEN (s)");
    out.push_str(&"=".repeat(80));
    out.push('\n');
    for (name, seen) in rows {
        let (text, colour) = row(name, seen, look);
        match colour.filter(|_| look.colours) {
            Some(colour) => out.push_str(&format!("\x1b[{colour}m{}\x1b[0m\n", text.trim_end())),
            None => out.push_str(&text),
        }
    }
    out
}

/// Not seen for so many seconds; who was never seen is another matter (`-u`).
fn long_unseen(seen: &Seen, time: u64, now: u64) -> bool {
    seen.last_seen > 0 && now.saturating_sub(seen.last_seen) >= time
}

/// The text, and the colour as a terminal names it.
fn row(name: &str, seen: &Seen, look: &Look) -> (String, Option<u8>) {
    if seen.last_seen == 0 {
        return (line(name, "--", "--", "--"), Some(2));
    }
    let age = look.now.saturating_sub(seen.last_seen);
    let colour = match age {
        _ if age >= 2 * look.interval => Some(31),
        _ if age > look.interval + 5 => Some(33),
        _ => None,
    };
    (line(name, &stage(&seen.stage), &seen.sent, &age.to_string()), colour)
}

fn line(name: &str, stage: &str, sent: &str, age: &str) -> String {
    format!("{}\n", format!("{name:<20} {stage:<20} {sent:<25} {age:<10}").trim_end())
}

/// Stages as people know them.
fn stage(word: &str) -> String {
    match word {
        "system" => "SYSTEM_OVERLAY".into(),
        "runtime" => "RUNTIME_OVERLAY".into(),
        "efiboot" => "EFI".into(),
        "" => "--".into(),
        other => other.to_uppercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(words: &[&str]) -> String {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            arguments: Arguments,
        }
        let line = <Line as clap::Parser>::try_parse_from([&["x"], words].concat()).unwrap();
        let document = r#"{"nodes": {
            "c001": {"stage": "runtime", "sent": "__RUNTIME__.img.gz", "last seen": 990},
            "c002": {"stage": "system", "sent": "__SYSTEM__.img.gz", "last seen": 600},
            "c003": {"stage": "", "sent": "", "last seen": 0}}}"#;
        let look = Look { now: 1000, interval: 60, colours: false };
        table(&serde_json::from_str(document).unwrap(), &line.arguments, &look)
    }

    #[test]
    fn stages_of_overlays_are_written_with_an_underscore() {
        let rule = "=".repeat(80);
        let text = format!(
            "NODENAME             STAGE                SENT                      LASTSEEN (s)\n{rule}\n\
             c001                 RUNTIME_OVERLAY      __RUNTIME__.img.gz        10\n\
             c002                 SYSTEM_OVERLAY       __SYSTEM__.img.gz         400\n\
             c003                 --                   --                        --\n"
        );
        assert_eq!(shown(&[]), text);
    }

    #[test]
    fn time_shows_those_that_were_not_seen_for_so_long() {
        let names = |text: String| -> Vec<String> {
            text.lines().skip(2).filter_map(|line| line.split(' ').next().map(String::from)).collect()
        };
        assert_eq!(names(shown(&["-t", "300"])), ["c002"]);
        assert_eq!(names(shown(&["-l", "-r"])), ["c003", "c002", "c001"]);
    }
}
