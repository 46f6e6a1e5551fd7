//! nodes.conf on disk: read whole, and changed only under a lock, by temp, fsync and rename.

use std::path::Path;

use anyhow::Context;
use model::NodesConf;

use crate::site::Site;

/// Reads nodes.conf.
///
/// # Errors
/// When it is not there or cannot be understood; the message names file, line, column and field.
pub fn load(site: &Site) -> anyhow::Result<NodesConf> {
    let path = site.conf.paths.nodes_conf();
    parse(&path, &read(&path)?)
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}

fn parse(path: &Path, text: &str) -> anyhow::Result<NodesConf> {
    NodesConf::parse(text).with_context(|| path.display().to_string())
}
