//! The command line: what can be said, and which noun answers. One file a noun.

mod change;
mod completion;
mod fields;
mod files;
mod genconfig;
pub mod image;
mod initrd;
mod manual;
pub mod node;
mod node_list;
pub mod overlay;
mod power;
pub mod profile;
pub mod say;
pub mod server;
mod ssh;
pub mod table;
mod upgrade;
mod words;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::site::Site;

/// Every failure, usage errors too, leaves with this code: scripts written for stock expect it.
const FAILED: u8 = 255;

/// Boots and looks after the nodes of a compute cluster.
#[derive(Debug, Parser)]
#[command(name = "wwctl", disable_version_flag = true, args_override_self = true)]
struct Line {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What may stand anywhere on the line.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Say more about what is done, and why
    #[arg(long, short = 'd', global = true)]
    pub debug: bool,
    /// Say more about what is done
    #[arg(long, short = 'v', global = true)]
    pub verbose: bool,
    /// The configuration to work with
    #[arg(long, global = true, env = "WAREWULFCONF", value_name = "FILE",
        value_parser = OsStringValueParser::new().map(PathBuf::from))]
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
    /// Look into what kernels unpack: initramfs files, images, overlay archives
    Initrd(initrd::Verbs),
    /// Nodes: add, change, list, status
    #[command(visible_alias = "nodes")]
    Node(node::Verbs),
    /// Profiles: what nodes have in common
    Profile(profile::Verbs),
    /// Overlays: files and templates that make each node what it is
    Overlay(overlay::Verbs),
    /// Switch nodes on and off by their BMCs
    Power(power::Verbs),
    /// Run the daemon in front
    Server(server::Arguments),
    /// Run a command on nodes
    Ssh(ssh::Arguments),
    /// Drop what nobody needs: fetched images, built overlays of nodes that are gone
    Clean,
    /// The configuration as it is in effect, and the manual
    #[command(hide = true, alias = "cnf")]
    Genconfig(genconfig::Verbs),
    /// The script by which a shell completes what is typed
    #[command(hide = true)]
    Completion(completion::Arguments),
    /// What a shell asks
    #[command(name = "__complete", hide = true)]
    Complete(completion::Words),
    /// Bring files of older releases into the present form
    Upgrade(upgrade::Verbs),
    /// Say which release this is
    #[command(visible_alias = "vers")]
    Version {
        /// With the places that it works with
        #[arg(long, short)]
        full: bool,
    },
}

/// The whole program: arguments to exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let mut tree = Line::command();
    tree.build();
    let mut arguments = words::plain(&tree, &arguments);
    let mut parsed = Line::try_parse_from(&arguments);
    if parsed.as_ref().is_err_and(|error| error.kind() == ErrorKind::MissingSubcommand) {
        // A noun without a verb is answered with what can be said about it.
        arguments.push("--help".into());
        parsed = Line::try_parse_from(&arguments);
    }
    let line = match parsed {
        Ok(line) => line,
        Err(error) if is_help(&error) => {
            // A reader of help that went away is no failure.
            let _ = say::answer(&error.to_string());
            return ExitCode::SUCCESS;
        }
        Err(error) => return failed(&first_line(&error.to_string())),
    };
    match run(line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if reader_is_gone(&error) => ExitCode::from(FAILED),
        Err(error) => {
            let code = error.downcast_ref::<Exit>().map_or(FAILED, |exit| exit.code);
            let _ = failed(&format!("{error:#}"));
            ExitCode::from(code)
        }
    }
}

/// A failure with a code of its own.
#[derive(Debug)]
pub struct Exit {
    pub code: u8,
    pub message: String,
}

impl std::fmt::Display for Exit {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for Exit {}

fn run(line: Line) -> anyhow::Result<()> {
    let site = match &line.command {
        Command::Version { full } => return version(&line.global, *full),
        // The file that is to be upgraded need not be one that this release understands.
        Command::Upgrade(verbs) if upgrade::is_about_configuration(verbs) => Site::unread(&line.global)?,
        // A file is looked into anywhere, also where no site is.
        Command::Initrd(_) => Site::unread(&line.global)?,
        Command::Completion(arguments) => return completion::script(arguments),
        Command::Complete(words) => return completion::complete(&mut Line::command(), &line.global, words),
        Command::Genconfig(verbs) if genconfig::is_about_the_program(verbs) => Site::unread(&line.global)?,
        _ => Site::load(&line.global)?,
    };
    if line.global.verbose || line.global.debug || line.global.loglevel < 20 {
        say::verbose(format_args!("configuration: {}", site.conf_path.display()));
        say::verbose(format_args!("nodes: {}", site.conf.paths.nodes_conf().display()));
    }
    for warning in &site.conf.unknown {
        say::warn(format_args!("{}: {warning}", site.conf_path.display()));
    }
    match line.command {
        Command::Image(verbs) => image::run(&site, verbs),
        Command::Initrd(verbs) => initrd::run(verbs),
        Command::Node(verbs) => node::run(&site, verbs),
        Command::Overlay(verbs) => overlay::run(&site, verbs),
        Command::Profile(verbs) => profile::run(&site, verbs),
        Command::Power(verbs) => power::run(&site, verbs),
        Command::Server(arguments) => server::run(site, !line.global.emptyconf, arguments),
        Command::Ssh(arguments) => ssh::run(&site, &arguments),
        Command::Clean => clean(&site),
        Command::Genconfig(verbs) => genconfig::run(&site, verbs, Line::command()),
        Command::Upgrade(verbs) => upgrade::run(&site, verbs),
        Command::Completion(_) | Command::Complete(_) | Command::Version { .. } => Ok(()),
    }
}

fn clean(site: &Site) -> anyhow::Result<()> {
    let conf = crate::store::nodes::load(site)?;
    let gone = crate::store::clean::clean(site, &conf)?;
    say::answer(&gone.iter().map(|path| format!("removed {}\n", path.display())).collect::<String>())
}

fn version(global: &Global, full: bool) -> anyhow::Result<()> {
    say::answer(concat!("wwctl version:\t", env!("CARGO_PKG_VERSION"), "\n"))?;
    if full {
        let paths = Site::load(global)?.conf.paths;
        say::answer(&format!(
            "configuration:\t{}\nnodes:\t\t{}\noverlays:\t{}\nimages:\t\t{}\n",
            paths.etc().display(),
            paths.nodes_conf().display(),
            paths.wwoverlaydir.display(),
            paths.wwchrootdir.display()
        ))?;
    }
    Ok(())
}

/// Help that was asked for, or that is the answer to a noun without a verb.
fn is_help(error: &clap::Error) -> bool {
    matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand)
}

fn failed(message: &str) -> ExitCode {
    // Nobody is left to tell when stderr is gone.
    let _ = writeln!(std::io::stderr(), "ERROR: {message}");
    ExitCode::from(FAILED)
}

/// `wwctl node list | head` is no fault of ours.
fn reader_is_gone(error: &anyhow::Error) -> bool {
    let broken = |error: &std::io::Error| error.kind() == std::io::ErrorKind::BrokenPipe;
    error.downcast_ref::<std::io::Error>().is_some_and(broken)
}

/// What clap says, without its usage text, on one line: the first paragraph, and its tips.
fn first_line(text: &str) -> String {
    let text = text.trim_start_matches("error: ");
    let paragraph: Vec<&str> = text.lines().take_while(|line| !line.trim().is_empty()).map(str::trim).collect();
    let tips = text.lines().filter_map(|line| line.trim().strip_prefix("tip: "));
    [paragraph.join(" ")].into_iter().chain(tips.map(String::from)).collect::<Vec<_>>().join("; ")
}
