//! wwclient: the process id says whether this is the boot or the agent.

use std::process::ExitCode;

use wwclient::role::{Role, role};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args_os().map(|a| a.to_string_lossy().into_owned()).collect();
    match role(std::process::id(), &arguments) {
        Role::Init(words) => wwclient::init::boot(&words),
        Role::AfterRoot(words) => wwclient::init::after_root(&words),
        Role::NotInit => {
            eprintln!("wwclient: init is process 1 only; `wwclient --dry-run` shows what it would do here");
            ExitCode::FAILURE
        }
        Role::Agent if arguments.iter().any(|a| a == "--dry-run") => {
            print!("{}", wwclient::init::dry_run());
            ExitCode::SUCCESS
        }
        Role::Agent => {
            eprintln!("wwclient: the agent is not built yet");
            ExitCode::FAILURE
        }
    }
}
