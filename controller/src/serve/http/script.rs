//! iPXE and GRUB scripts: a template of the site and the facts of one node become a text.

use std::path::Path;

use boot::http::Refusal;
use model::Node;

use crate::cluster::Cluster;

/// Renders the template at `path`. Without a node only the address is filled in.
///
/// # Errors
/// [`Refusal::NoScript`] when there is no such template, [`Refusal::ScriptFailed`] when it cannot be rendered.
pub fn render(_cluster: &Cluster, _node: Option<&Node>, _wwid: &str, path: &Path) -> Result<Vec<u8>, Refusal> {
    let name = path.display().to_string();
    let _source = std::fs::read(path).map_err(|_| Refusal::NoScript(name.clone()))?;
    Err(Refusal::ScriptFailed(format!("{name}: this build has no templates")))
}
