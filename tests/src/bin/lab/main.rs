//! `lab`: what `cargo xtask demo` and `cargo xtask bench` become once everything is built.

mod bench;
mod bench_boots;
mod bench_dhcp;
mod bench_heartbeat;
mod bench_image;
mod bench_overlays;
mod bench_storm;
mod bench_tftp;
mod clock;
mod demo;
mod figures;
mod load;
mod plain;
mod rival;
mod site;
mod wire;

use std::process::ExitCode;

use tests::vm::Firmware;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = tests::undo::on_stop().and_then(|()| match words.as_slice() {
        ["demo"] => demo::run(Firmware::Bios),
        ["demo", "--uefi"] => demo::run(Firmware::Uefi),
        ["bench-boot"] => bench::run(),
        ["bench-boots", words @ ..] => bench_boots::run(words),
        ["bench-dhcp"] => bench_dhcp::run(),
        ["bench-heartbeat"] => bench_heartbeat::run(),
        ["bench-image"] => bench_image::run(),
        ["bench-overlays", rest @ ..] => bench_overlays::run(rest),
        ["bench-storm", rest @ ..] => bench_storm::run(rest),
        ["bench-tftp"] => bench_tftp::run(),
        ["rival", kind, port, file] => rival::serve(kind, port, file),
        ["image"] => tests::place::cache()
            .and_then(|cache| tests::image::rootfs(&cache))
            .map(|root| println!("{}", root.display())),
        _ => {
            Err(anyhow::anyhow!("usage: lab demo|image|bench-{{boot,boots,dhcp,heartbeat,image,overlays,storm,tftp}}"))
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}
