//! wwclient: the process id says whether this is the boot or the agent.

use std::process::ExitCode;

use clap::Parser;
use wwclient::role::{Role, role};
use wwclient::settings::Options;
use wwclient::{init, start};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args_os().map(|a| a.to_string_lossy().into_owned()).collect();
    match role(std::process::id(), &arguments) {
        Role::Init(words) => init::boot(&words),
        Role::AfterRoot(words) => init::after_root(&words),
        Role::NotInit => {
            eprintln!("wwclient: init is process 1 only; `wwclient --dry-run` shows what it would do here");
            ExitCode::FAILURE
        }
        Role::Agent => match Options::parse() {
            options if options.dry_run => {
                print!("{}", init::dry_run());
                ExitCode::SUCCESS
            }
            options => start::run(&options),
        },
    }
}
