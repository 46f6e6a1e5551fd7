//! The command line: what can be said, and which noun answers. One file a noun.

pub mod image;
pub mod node;
pub mod overlay;
pub mod server;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::site::Site;

/// Every failure, usage errors too, leaves with this code: scripts written for stock expect it.
const FAILED: u8 = 255;

/// Boots and looks after the nodes of a compute cluster.
#[derive(Debug, Parser)]
#[command(name = "wwctl", disable_version_flag = true)]
struct Line {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What may stand anywhere on the line.
#[derive(Debug, Args)]
pub struct Global {
    /// Say more about what is done, and why
    #[arg(long, short = 'd', global = true)]
    pub debug: bool,
    /// Say more about what is done
    #[arg(long, short = 'v', global = true)]
    pub verbose: bool,
    /// The configuration to work with
    #[arg(long, global = true, env = "WAREWULFCONF", value_name = "FILE")]
    pub warewulfconf: Option<PathBuf>,
    /// Log level as a number: 30 warnings only, 20 notes, 15 verbose, 10 debug
    #[arg(long, global = true, hide = true, default_value_t = 20)]
    pub loglevel: i32,
    /// Work without a configuration
    #[arg(long, global = true, hide = true)]
    pub emptyconf: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Images: what nodes boot
    #[command(visible_aliases = ["vnfs", "container"])]
    Image(image::Verbs),
    /// Nodes: add, change, list, status
    #[command(visible_alias = "nodes")]
    Node(node::Verbs),
    /// Overlays: files and templates that make each node what it is
    Overlay(overlay::Verbs),
    /// Run the daemon in front
    Server(server::Arguments),
}

/// The whole program: arguments to exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let line = match Line::try_parse_from(arguments) {
        Ok(line) => line,
        Err(error) if error.use_stderr() => {
            eprintln!("ERROR: {}", first_line(&error.to_string()));
            return ExitCode::from(FAILED);
        }
        Err(help) => {
            print!("{help}");
            return ExitCode::SUCCESS;
        }
    };
    match run(line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ERROR: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

fn run(line: Line) -> anyhow::Result<()> {
    let site = Site::load(&line.global)?;
    match line.command {
        Command::Image(verbs) => image::run(&site, verbs),
        Command::Node(verbs) => node::run(&site, verbs),
        Command::Overlay(verbs) => overlay::run(&site, verbs),
        Command::Server(arguments) => server::run(site, arguments),
    }
}

fn first_line(text: &str) -> &str {
    let text = text.trim_start_matches("error: ");
    text.lines().next().unwrap_or(text)
}
