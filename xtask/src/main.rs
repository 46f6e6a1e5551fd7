//! The recipes of the project: demo, test, dist, bench.

fn main() -> std::process::ExitCode {
    eprintln!("usage: cargo xtask demo|test|dist|bench");
    std::process::ExitCode::FAILURE
}
