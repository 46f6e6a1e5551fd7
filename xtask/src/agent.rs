//! wwclient as one static file: musl, size first. Two ways to a musl standard library, one result.
//!
//! rustup adds the target where it can reach its server. Elsewhere Debian's own compiler and library sources (packages
//! rustc-web and rust-web-src) build it: unpacked in the cache, never installed, as they conflict with rustup.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};

use crate::place::Place;
use crate::shell::{self, say};
use crate::{elf, packages};

const TARGET: &str = "x86_64-unknown-linux-musl";

/// Where the musl standard library comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// rustup if it can, else Debian.
    Any,
    Rustup,
    Debian,
}

/// Takes `--agent-by WAY` out of the words.
///
/// # Errors
/// When the way has no such name.
pub fn route(words: &[String]) -> anyhow::Result<(Route, Vec<String>)> {
    let Some(at) = words.iter().position(|word| word == "--agent-by") else {
        return Ok((Route::Any, words.to_vec()));
    };
    let route = match words.get(at + 1).map(String::as_str) {
        Some("rustup") => Route::Rustup,
        Some("debian") => Route::Debian,
        other => bail!("--agent-by wants rustup or debian, not {}", other.unwrap_or("nothing")),
    };
    let rest = words.iter().enumerate().filter(|(index, _)| *index != at && *index != at + 1);
    Ok((route, rest.map(|(_, word)| word.clone()).collect()))
}

/// Builds the agent and gives the path of the static file.
///
/// # Errors
/// When neither way leads to a musl standard library, the build fails, or what it made is not static.
pub fn build(place: &Place, route: Route) -> anyhow::Result<PathBuf> {
    ensure!(
        std::env::consts::ARCH == "x86_64",
        "the agent is built on x86_64 only, this is {}",
        std::env::consts::ARCH
    );
    let built = match route {
        Route::Rustup => {
            ensure!(has_target() || add_target(), "rustup has no {TARGET} and cannot fetch it; try --agent-by debian");
            with_rustup(place)?
        }
        Route::Any if has_target() || add_target() => with_rustup(place)?,
        Route::Any | Route::Debian => with_debian(place)?,
    };
    let bytes = std::fs::read(&built).with_context(|| format!("cannot read {}", built.display()))?;
    match elf::is_static(&bytes) {
        Some(true) => Ok(built),
        Some(false) => bail!("{} wants a dynamic linker; a node has none when it starts", built.display()),
        None => bail!("{} is no ELF program", built.display()),
    }
}

fn has_target() -> bool {
    let sysroot = shell::answer(Command::new("rustc").args(["--print", "sysroot"])).unwrap_or_default();
    Path::new(sysroot.trim()).join("lib/rustlib").join(TARGET).join("lib").is_dir()
}

/// A minute and a half is enough for 40 MB, or to learn that no server answers.
fn add_target() -> bool {
    if !shell::works(Command::new("rustup").arg("--version")) {
        return false;
    }
    say(format!("the agent is static: rustup target add {TARGET}"));
    let added =
        shell::run(Command::new("timeout").args(["90", "rustup", "target", "add", TARGET])).is_ok() && has_target();
    if !added {
        say("rustup cannot fetch it here; Debian's own packages can build it");
    }
    added
}

fn with_rustup(place: &Place) -> anyhow::Result<PathBuf> {
    say("build wwclient (static, musl by rustup)");
    let mut cargo = shell::cargo();
    cargo
        .args(["build", "--locked", "--profile", "agent", "--package", "wwclient", "--target", TARGET])
        .current_dir(&place.root);
    shell::run(&mut cargo)?;
    Ok(place.target.join(TARGET).join("agent/wwclient"))
}

fn with_debian(place: &Place) -> anyhow::Result<PathBuf> {
    packages::ensure(packages::MUSL)?;
    let musl = place.cache.join("musl");
    let tree = debian_tree(&musl)?;
    say("build wwclient (static, musl and the standard library by Debian; the first time takes about two minutes)");
    let lib = tree.join("usr/lib");
    let target = musl.join("target");
    let flags = format!(
        "-C link-self-contained=no -C target-feature=+crt-static -C relocation-model=static -L native={}",
        // gcc's libgcc_eh.a wants glibc's _dl_find_object, so the unwinder is LLVM's. The folder holds that one archive:
        // LLVM's own would offer more libraries than are wanted.
        unwinder(&musl)?.display()
    );
    let mut cargo = shell::cargo();
    cargo
        .args(["build", "--locked", "--profile", "agent", "--package", "wwclient", "--target", TARGET])
        .arg("-Zbuild-std=std,panic_abort")
        .env("RUSTC", tree.join("usr/bin/rustc"))
        // -Zbuild-std is asked of a compiler that is not a nightly.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("LD_LIBRARY_PATH", format!("{}:{}", lib.join("x86_64-linux-gnu").display(), lib.display()))
        .env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_LINKER", "musl-gcc")
        .env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_RUSTFLAGS", flags)
        .env("CARGO_TARGET_DIR", &target)
        .env_remove("CARGO_BUILD_BUILD_DIR")
        .current_dir(&place.root);
    shell::run(&mut cargo)?;
    Ok(target.join(TARGET).join("agent/wwclient"))
}

fn unwinder(musl: &Path) -> anyhow::Result<PathBuf> {
    let folder = musl.join("unwind");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let from = Path::new("/usr/lib/llvm-14/lib/libunwind.a");
    std::fs::copy(from, folder.join("libunwind.a"))
        .with_context(|| format!("package libunwind-14-dev has no {}", from.display()))?;
    Ok(folder)
}

/// Debian's compiler, its libraries and its library sources, unpacked below the cache.
fn debian_tree(musl: &Path) -> anyhow::Result<PathBuf> {
    let tree = musl.join("debian");
    let done = musl.join("debian.done");
    if !done.exists() {
        let fresh = musl.join("debian.new");
        let archives = musl.join("archives");
        for folder in [&fresh, &archives, &tree] {
            if folder.exists() {
                std::fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
            }
        }
        std::fs::create_dir_all(&fresh).with_context(|| format!("cannot make {}", fresh.display()))?;
        std::fs::create_dir_all(&archives).with_context(|| format!("cannot make {}", archives.display()))?;
        packages::refresh()?;
        let library = dependency("libstd-rust-web-dev", "libstd-rust-web-")?;
        say(format!(
            "fetch and unpack Debian's compiler with library sources (140 MB, 850 MB unpacked) below {}",
            musl.display()
        ));
        let mut apt = Command::new("apt-get");
        apt.args(["download", "-q", "rustc-web", "rust-web-src", "libstd-rust-web-dev", &library])
            .current_dir(&archives);
        shell::run(&mut apt)?;
        for entry in std::fs::read_dir(&archives)? {
            shell::run(Command::new("dpkg").arg("-x").arg(entry?.path()).arg(&fresh))?;
        }
        std::fs::remove_dir_all(&archives)?;
        std::fs::rename(&fresh, &tree)?;
        std::fs::write(&done, "")?;
    }
    // Installed rather than unpacked: it brings the libraries that it needs itself.
    let library = dependency("libstd-rust-web-dev", "libstd-rust-web-")?;
    packages::install(&[dependency(&library, "libllvm")?])?;
    Ok(tree)
}

/// The package that `of` depends on whose name begins so: versions stand in Debian's names.
fn dependency(of: &str, beginning: &str) -> anyhow::Result<String> {
    let list = shell::answer(Command::new("apt-cache").args(["depends", "--important", of]))?;
    let names = list.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    names.map(str::to_owned).find(|name| name.starts_with(beginning)).with_context(|| {
        format!("Debian's {of} names no package {beginning}*: is bookworm-security among apt's sources?")
    })
}

#[cfg(test)]
mod tests {
    use super::{Route, route};

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_way_to_the_agent_is_taken_out_of_the_words() {
        assert_eq!(route(&words("dist --agent-by debian")).unwrap(), (Route::Debian, words("dist")));
        assert_eq!(route(&words("--agent-by rustup demo --keep")).unwrap(), (Route::Rustup, words("demo --keep")));
        assert_eq!(route(&words("demo")).unwrap(), (Route::Any, words("demo")));
    }

    #[test]
    fn an_unknown_way_is_refused_by_name() {
        assert_eq!(
            route(&words("--agent-by nix")).unwrap_err().to_string(),
            "--agent-by wants rustup or debian, not nix"
        );
        assert_eq!(
            route(&words("--agent-by")).unwrap_err().to_string(),
            "--agent-by wants rustup or debian, not nothing"
        );
    }
}
