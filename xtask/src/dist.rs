//! `cargo xtask dist`: the release as it is installed, in target/dist: wwctl, wwclient, and share/ beside them.
//!
//! Laid beside and renamed, so that target/dist is whole or absent. Modes are set here, not taken from the checkout: a
//! checkout has its owner's umask, and what stands in an overlay is on every node. What an overlay declares counts here, too.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::agent::{self, Route};
use crate::place::Place;
use crate::shell::{self, say};

/// The overlays that carry the agent itself.
const CARRIERS: [&str; 2] = ["wwinit", "wwclient"];
/// Where it stands on a node.
const AGENT: &str = "warewulf/wwclient";

/// Makes target/dist and gives its path.
///
/// # Errors
/// When a build fails or a file cannot be laid.
pub fn make(place: &Place, route: Route) -> anyhow::Result<PathBuf> {
    let agent = agent::build(place, route)?;
    say("build wwctl");
    let mut cargo = shell::cargo();
    cargo
        .args(["build", "--locked", "--release", "--package", "controller", "--bin", "wwctl"])
        .current_dir(&place.root);
    shell::run(&mut cargo)?;

    let dist = place.dist();
    let fresh = place.target.join("dist.new");
    let old = place.target.join("dist.old");
    remove(&fresh)?;
    remove(&old)?;
    lay(place, &agent, &fresh)?;
    if dist.exists() {
        fs::rename(&dist, &old).with_context(|| format!("cannot move {}", dist.display()))?;
    }
    fs::rename(&fresh, &dist).with_context(|| format!("cannot publish {}", dist.display()))?;
    remove(&old)?;
    say(format!(
        "{}: wwctl {}, wwclient {} (static), share/",
        dist.display(),
        size(&dist.join("wwctl"))?,
        size(&dist.join("wwclient"))?
    ));
    Ok(dist)
}

fn lay(place: &Place, agent: &Path, fresh: &Path) -> anyhow::Result<()> {
    let share = fresh.join("share/warewulf");
    folder(fresh)?;
    folder(&fresh.join("share"))?;
    copy(&place.root.join("share"), &share)?;
    file(&place.target.join("release/wwctl"), &fresh.join("wwctl"), 0o755)?;
    file(agent, &fresh.join("wwclient"), 0o755)?;
    for overlay in CARRIERS {
        let carried = share.join("overlays").join(overlay).join("rootfs").join(AGENT);
        for parent in [carried.ancestors().nth(2), carried.parent()].into_iter().flatten() {
            fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
            fs::set_permissions(parent, Permissions::from_mode(0o755))?;
        }
        file(agent, &carried, 0o755)?;
    }
    // Sites name the agent of one architecture so; of others there is none here.
    let named = share.join(format!("overlays/wwclient.{}", std::env::consts::ARCH));
    symlink("wwclient", &named).with_context(|| format!("cannot link {}", named.display()))?;
    for overlay in fs::read_dir(share.join("overlays"))? {
        let folder = overlay?.path();
        if !folder.is_symlink() {
            declare(&folder)?;
        }
    }
    Ok(())
}

/// Gives what an overlay declares in its file `modes` (lines of `path mode uid gid`) mode and, as root, owner.
fn declare(overlay: &Path) -> anyhow::Result<()> {
    let file = overlay.join("modes");
    if !file.is_file() {
        return Ok(());
    }
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let wrong = || format!("{}: line {}: expected `path mode uid gid`", file.display(), number + 1);
        let words: Vec<&str> = line.split_whitespace().collect();
        let [path, mode, uid, gid] = words.as_slice() else { bail!(wrong()) };
        let path = overlay.join("rootfs").join(path.trim_start_matches('/'));
        let mode = u32::from_str_radix(mode, 8).with_context(wrong)?;
        let (uid, gid) = (uid.parse().with_context(wrong)?, gid.parse().with_context(wrong)?);
        if nix::unistd::geteuid().is_root() {
            chown(&path, Some(uid), Some(gid)).with_context(|| format!("cannot give away {}", path.display()))?;
        }
        fs::set_permissions(&path, Permissions::from_mode(mode))
            .with_context(|| format!("cannot change {}", path.display()))?;
    }
    Ok(())
}

/// A tree with its links; 0755 for folders and what may be executed, 0644 for the rest.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    folder(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
        let entry = entry?;
        let (source, copied) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy(&source, &copied)?;
        } else if kind.is_symlink() {
            let target = fs::read_link(&source)?;
            symlink(&target, &copied).with_context(|| format!("cannot link {}", copied.display()))?;
        } else if kind.is_file() {
            let mode = if entry.metadata()?.permissions().mode() & 0o100 != 0 { 0o755 } else { 0o644 };
            file(&source, &copied, mode)?;
        } else {
            bail!("{} is neither file, folder nor link", source.display());
        }
    }
    Ok(())
}

fn file(from: &Path, to: &Path, mode: u32) -> anyhow::Result<()> {
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    fs::set_permissions(to, Permissions::from_mode(mode))?;
    // Overlays keep their sources' times, so a copy that is not newer must not look newer.
    let time = fs::metadata(from)?.modified()?;
    fs::File::options()
        .write(true)
        .open(to)?
        .set_modified(time)
        .with_context(|| format!("cannot date {}", to.display()))
}

fn folder(path: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
    fs::set_permissions(path, Permissions::from_mode(0o755))
        .with_context(|| format!("cannot open {} to all", path.display()))
}

fn remove(path: &Path) -> anyhow::Result<()> {
    if path.exists() {
        fs::remove_dir_all(path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

fn size(path: &Path) -> anyhow::Result<String> {
    Ok(format!("{:.1} MB", fs::metadata(path)?.len() as f64 / 1e6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_has_declared_modes_and_the_agent_under_every_name() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let target = std::env::temp_dir().join(format!("warewulf-lay-{}", std::process::id()));
        fs::create_dir_all(target.join("release")).unwrap();
        fs::write(target.join("release/wwctl"), "a program").unwrap();
        let place = Place { root, target: target.clone(), cache: target.clone() };
        let laid = lay(&place, &target.join("release/wwctl"), &target.join("dist"));
        let overlays = target.join("dist/share/warewulf/overlays");
        let mode = |path: &str| fs::metadata(overlays.join(path)).map(|data| data.permissions().mode() & 0o7777).ok();
        let agent = format!("wwclient.{}/rootfs/{AGENT}", std::env::consts::ARCH);
        let modes = [
            mode("wwinit/rootfs/warewulf/config.ww"),
            mode("ssh.authorized_keys/rootfs/root/.ssh"),
            mode("hosts/rootfs/etc/hosts.ww"),
            mode(&agent),
        ];
        fs::remove_dir_all(&target).unwrap();
        laid.unwrap();
        assert_eq!(modes, [Some(0o600), Some(0o700), Some(0o644), Some(0o755)]);
    }

    #[test]
    fn what_an_overlay_declares_is_so_where_it_is_installed() {
        let dir = std::env::temp_dir().join(format!("warewulf-modes-{}", std::process::id()));
        fs::create_dir_all(dir.join("rootfs/root")).unwrap();
        fs::write(dir.join("rootfs/root/key.ww"), "").unwrap();
        let (uid, gid) = (nix::unistd::getuid(), nix::unistd::getgid());
        fs::write(
            dir.join("modes"),
            format!("# path mode uid gid\n/root 0700 {uid} {gid}\nroot/key.ww 0600 {uid} {gid}\n"),
        )
        .unwrap();
        let declared = declare(&dir);
        let mode = |path: &str| fs::metadata(dir.join(path)).unwrap().permissions().mode() & 0o7777;
        let modes = (mode("rootfs/root"), mode("rootfs/root/key.ww"));
        fs::write(dir.join("modes"), "root 0700\n").unwrap();
        let refused = declare(&dir).unwrap_err().to_string();
        fs::remove_dir_all(&dir).unwrap();
        declared.unwrap();
        assert_eq!(modes, (0o700, 0o600));
        assert!(refused.ends_with("modes: line 1: expected `path mode uid gid`"), "{refused}");
    }
}
