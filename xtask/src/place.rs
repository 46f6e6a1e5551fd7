//! Where things lie: the project's root, cargo's target folder, and the cache that outlives both.
//!
//! The cache holds what is slow to get and never changes by itself (a musl standard library, a node image). It stands
//! outside the checkout, so that a second checkout finds it, and nothing in it is ever needed: it is made again.

use std::path::PathBuf;

use anyhow::Context;

#[derive(Debug)]
pub struct Place {
    pub root: PathBuf,
    pub target: PathBuf,
    pub cache: PathBuf,
}

impl Place {
    /// # Errors
    /// When cargo cannot describe the workspace, or there is no home folder to keep a cache in.
    pub fn find() -> anyhow::Result<Place> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask stands at the root of a disk")?
            .to_owned();
        let mut cargo = crate::shell::cargo();
        let described =
            crate::shell::answer(cargo.args(["metadata", "--format-version=1", "--no-deps"]).current_dir(&root))?;
        let described: serde_json::Value =
            serde_json::from_str(&described).context("cargo metadata does not speak JSON")?;
        let target = described
            .get("target_directory")
            .and_then(|folder| folder.as_str())
            .context("cargo metadata names no target_directory")?;
        Ok(Place { root, target: PathBuf::from(target), cache: cache()? })
    }

    /// The release as it is installed.
    pub fn dist(&self) -> PathBuf {
        self.target.join("dist")
    }
}

fn cache() -> anyhow::Result<PathBuf> {
    if let Some(named) = std::env::var_os("WW_BUILD_CACHE") {
        return Ok(PathBuf::from(named));
    }
    let caches = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .context("neither WW_BUILD_CACHE, XDG_CACHE_HOME nor HOME says where a cache may stand")?;
    Ok(caches.join("warewulf-build"))
}
