//! What a bare Debian lacks, each package with the reason why it is wanted; installed with apt-get when absent.

use std::process::Command;

use anyhow::bail;

use crate::shell;

#[derive(Clone, Copy, Debug)]
pub struct Need {
    pub package: &'static str,
    pub why: &'static str,
}

const fn need(package: &'static str, why: &'static str) -> Need {
    Need { package, why }
}

/// Switching on a machine that boots over a network of its own.
pub const BOOT: &[Need] = &[
    need("qemu-system-x86", "the node: a machine that is switched on with an empty disk"),
    need("seabios", "its BIOS"),
    need("ovmf", "its UEFI firmware"),
    need("ipxe-qemu", "the ROM of its network card"),
    need("ipxe", "the boot loaders that our TFTP server hands out"),
    need("iproute2", "the network between node and controller, in a namespace of its own"),
    need("debootstrap", "the image that the node boots: a small Debian"),
    need("kmod", "the module index of that image's kernel"),
    need("e2fsprogs", "the file system on a node's disk"),
];

/// Measuring the daemon without switching on machines.
pub const BENCH: &[Need] = &[
    need("iproute2", "the network between server and clients, in namespaces of their own"),
    need("dnsmasq-base", "a TFTP server to compare with"),
];

/// Foreign programs that the tests hold us against.
pub const INTEROP: &[Need] = &[
    need("atftp", "a foreign TFTP client"),
    need("isc-dhcp-client", "a foreign DHCP client: dhclient"),
    need("dhcping", "another, for requests of single kinds"),
    need("dnsmasq-base", "a foreign DHCP server, and a relay"),
    need("netbase", "the names of ports, which atftp and dhcping look up"),
    need("curl", "a foreign HTTP and TFTP client"),
    need("cpio", "reads the archives that we write"),
    need("zstd", "packs and unpacks what we unpack and pack"),
    need("xz-utils", "the same"),
    need("iproute2", "networks for tests, in namespaces of their own"),
    need("kmod", "module indexes to compare with"),
];

/// The static agent where rustup cannot give a musl standard library.
pub const MUSL: &[Need] = &[
    need("musl-tools", "the C library that the static agent is linked with"),
    need("libunwind-14-dev", "the unwinder for the static agent (gcc's own wants glibc)"),
];

/// Installs what is absent, and says so before.
///
/// # Errors
/// When something is absent that cannot be installed here.
pub fn ensure(needs: &[Need]) -> anyhow::Result<()> {
    let absent: Vec<Need> = needs.iter().copied().filter(|need| !installed(need.package)).collect();
    if absent.is_empty() {
        return Ok(());
    }
    shell::say("packages that are not here yet:");
    for need in &absent {
        println!("      {:<18} {}", need.package, need.why);
    }
    install(&absent.iter().map(|need| need.package.to_owned()).collect::<Vec<_>>())
}

/// Installs by name, whatever the reason.
///
/// # Errors
/// When there is no apt-get, or it fails.
pub fn install(names: &[String]) -> anyhow::Result<()> {
    let absent: Vec<&String> = names.iter().filter(|name| !installed(name)).collect();
    if absent.is_empty() {
        return Ok(());
    }
    if !shell::works(Command::new("apt-get").arg("--version")) {
        let names: Vec<&str> = absent.iter().map(|name| name.as_str()).collect();
        bail!("this is no Debian (no apt-get): install the counterparts of {} by hand", names.join(" "));
    }
    refresh()?;
    let mut apt = shell::as_root("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive").args([
        "install",
        "-y",
        "-q",
        "--no-install-recommends",
        "-o",
        "Dpkg::Use-Pty=0",
    ]);
    shell::run(apt.args(absent))
}

/// Brings apt's lists up to date, once in a run.
///
/// # Errors
/// When apt-get update fails.
pub fn refresh() -> anyhow::Result<()> {
    static ONCE: std::sync::Once = std::sync::Once::new();
    let mut result = Ok(());
    ONCE.call_once(|| result = shell::run(shell::as_root("apt-get").args(["update", "-q"])));
    result
}

fn installed(package: &str) -> bool {
    let status = shell::answer(Command::new("dpkg-query").args(["-W", "-f=${db:Status-Status} ", package]));
    status.is_ok_and(|status| status.split_whitespace().any(|word| word == "installed"))
}
