//! `lab`: what `cargo xtask demo` and `cargo xtask bench boot` become once everything is built.

mod bench;
mod bench_dhcp;
mod bench_tftp;
mod demo;
mod plain;
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
        ["bench-dhcp"] => bench_dhcp::run(),
        ["bench-tftp"] => bench_tftp::run(),
        ["image"] => tests::place::cache()
            .and_then(|cache| tests::image::rootfs(&cache))
            .map(|root| println!("{}", root.display())),
        _ => Err(anyhow::anyhow!("usage: lab demo|bench-boot|bench-dhcp|bench-tftp|image")),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}
