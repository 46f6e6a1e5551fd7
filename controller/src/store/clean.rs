//! Things on disk that nobody needs any more.

use std::io;
use std::path::PathBuf;

use model::NodesConf;

use crate::site::Site;

/// Empties the cache of fetched images and drops built overlays of nodes that are gone; answers what was removed.
///
/// # Errors
/// Of the file system, with the path.
pub fn clean(site: &Site, conf: &NodesConf) -> io::Result<Vec<PathBuf>> {
    let mut gone = vec![site.conf.paths.cachedir.join("warewulf")];
    let overlays = site.conf.paths.wwprovisiondir.join("overlays");
    match std::fs::read_dir(&overlays) {
        Ok(entries) => {
            for entry in entries {
                let entry = entry?;
                let name = entry.file_name();
                let node = name.to_str().is_some_and(|name| conf.nodes.contains_key(name) || name.starts_with('.'));
                if entry.file_type()?.is_dir() && !node {
                    gone.push(entry.path());
                }
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    gone.retain(|path| path.is_dir());
    gone.sort();
    let kept = crate::build::forget_others(site, |node| conf.nodes.contains_key(node))?;
    for path in &gone {
        std::fs::remove_dir_all(path)
            .map_err(|error| io::Error::new(error.kind(), format!("remove {}: {error}", path.display())))?;
    }
    gone.extend(kept);
    Ok(gone)
}
