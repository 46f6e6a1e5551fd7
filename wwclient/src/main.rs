//! wwclient: PID 1 of the initramfs, then the node's agent. argv[0] and the process id say which.

fn main() -> std::process::ExitCode {
    eprintln!("wwclient: this build has no role yet");
    std::process::ExitCode::FAILURE
}
