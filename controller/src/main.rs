//! `wwctl`: parse, run, exit code.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Templates make many small values on all processors at once, which it is quicker at than the C library.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    controller::cli::main(std::env::args_os())
}
