//! `wwctl`: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    controller::cli::main(std::env::args_os())
}
