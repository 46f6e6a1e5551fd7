//! What a lab stands on: the release to try, the cache of what is slow to make, and whether machines can run here.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

/// The release that is tried: `WW_DIST`, else target/dist beside the programs of this build.
///
/// # Errors
/// When no release is there.
pub fn dist() -> anyhow::Result<PathBuf> {
    let dist = match std::env::var_os("WW_DIST") {
        Some(named) => PathBuf::from(named),
        None => {
            let program = std::env::current_exe().context("where am I?")?;
            let target = program.ancestors().find(|folder| folder.join("dist").is_dir() || folder.ends_with("target"));
            target.context("no release: run `cargo xtask dist`, or name one in WW_DIST")?.join("dist")
        }
    };
    ensure!(dist.join("wwctl").is_file(), "{} holds no release: run `cargo xtask dist`", dist.display());
    dist.canonicalize().with_context(|| format!("cannot find {}", dist.display()))
}

/// Where things that are slow to make are kept from one run to the next.
///
/// # Errors
/// When there is no home folder to keep them in.
pub fn cache() -> anyhow::Result<PathBuf> {
    if let Some(named) = std::env::var_os("WW_BUILD_CACHE") {
        return Ok(PathBuf::from(named));
    }
    let caches = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .context("neither WW_BUILD_CACHE, XDG_CACHE_HOME nor HOME says where a cache may stand")?;
    Ok(caches.join("warewulf-build"))
}

/// Whether machines can be switched on here.
///
/// # Errors
/// The reason why not, as one line.
pub fn can_boot() -> anyhow::Result<()> {
    ensure!(nix::unistd::geteuid().is_root(), "a network of its own needs root");
    for program in ["qemu-system-x86_64", "ip", "debootstrap", "depmod"] {
        ensure!(find(program).is_some(), "{program} is not installed: `cargo xtask test` installs what it needs");
    }
    ensure!(Path::new("/dev/net/tun").exists(), "there is no /dev/net/tun");
    dist().map(|_| ())
}

/// A program on the PATH, or where programs for root stand.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(more).map(|folder| folder.join(program)).find(|file| file.is_file())
}
