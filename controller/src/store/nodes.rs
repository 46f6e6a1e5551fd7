//! nodes.conf on disk: read whole, and changed only under a lock, by temp, fsync and rename.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

use anyhow::Context;
use model::NodesConf;
use model::edit::{Rewritten, rewrite};

use super::publish;
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
    let bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    model::text_of(bytes).with_context(|| path.display().to_string())
}

fn parse(path: &Path, text: &str) -> anyhow::Result<NodesConf> {
    NodesConf::parse(text).with_context(|| path.display().to_string())
}

/// What became of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Written {
    /// It is as it should be; `lost`: comments, unknown keys and anchors could not be kept.
    Yes { lost: bool },
    /// It was so already, to the letter.
    Same,
}

/// Reads nodes.conf, lets `edit` change it, and writes it, all of it under a lock: who comes second sees what the first
/// one wrote. Comments, order and unknown keys stay. Blocks while another process changes the file.
///
/// # Errors
/// When the file cannot be read, understood or written, and what `edit` says. Nothing is written then.
pub fn change<T>(site: &Site, edit: impl FnOnce(&mut NodesConf) -> anyhow::Result<T>) -> anyhow::Result<(T, Written)> {
    // Behind a link lies the file that is meant; a rename over the link would part the two.
    let named = site.conf.paths.nodes_conf();
    let path = std::fs::canonicalize(&named).with_context(|| format!("read {}", named.display()))?;
    let _lock = lock(&path)?;
    let text = read(&path)?;
    let mut conf = parse(&path, &text)?;
    let answer = edit(&mut conf)?;
    let rewritten = rewrite(&text, &conf).with_context(|| path.display().to_string())?;
    let (new, lost) = match rewritten {
        Rewritten::Whole(new) => (new, false),
        Rewritten::Plain(new) => (new, true),
    };
    if new == text {
        return Ok((answer, Written::Same));
    }
    write(&path, &new).with_context(|| format!("write {}", path.display()))?;
    Ok((answer, Written::Yes { lost }))
}

/// Holds the lock beside the file until it is dropped. The file itself is replaced, so it cannot carry a lock.
fn lock(path: &Path) -> anyhow::Result<File> {
    let beside = path.with_file_name(".nodes.conf.lock");
    let open = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&beside);
    let file = open.with_context(|| format!("open {}", beside.display()))?;
    file.lock().with_context(|| format!("lock {}", beside.display()))?;
    Ok(file)
}

/// Keeps mode and owner: passwords may be in the file, and who may read it is the site's choice.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let old = std::fs::metadata(path)?;
    publish::replace(path, old.permissions().mode() & 0o7777, |file| {
        if (old.uid(), old.gid()) != (file.metadata()?.uid(), file.metadata()?.gid()) {
            fchown(&*file, Some(old.uid()), Some(old.gid()))?;
            // Changing the owner may take mode bits away.
            file.set_permissions(old.permissions())?;
        }
        file.write_all(text.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Conf;

    fn site(folder: &Path, nodes: &str) -> Site {
        let mut conf = Conf::default();
        conf.paths.sysconfdir = folder.to_path_buf();
        std::fs::create_dir_all(folder.join("warewulf")).unwrap();
        std::fs::write(conf.paths.nodes_conf(), nodes).unwrap();
        Site { conf_path: folder.join("warewulf/warewulf.conf"), conf }
    }

    #[test]
    fn a_change_keeps_comments_mode_and_leaves_no_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let site = site(folder.path(), "# mine\nnodes:\n  n1: {} # first\n");
        let path = site.conf.paths.nodes_conf();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let (_, written) = change(&site, |conf| {
            conf.nodes.get_mut("n1").unwrap().profile.init = "/i".into();
            Ok(())
        })
        .unwrap();
        assert_eq!(written, Written::Yes { lost: false });
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "# mine\nnodes:\n  n1: # first\n    init: /i\nnodeprofiles: {}\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
        let mut names: Vec<_> = std::fs::read_dir(folder.path().join("warewulf"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, [".nodes.conf.lock", "nodes.conf"]);
    }

    #[test]
    fn a_broken_file_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let site = site(folder.path(), "nodes: [\n");
        let error = change(&site, |_| Ok(())).unwrap_err();
        assert!(format!("{error:#}").contains("line "), "{error:#}");
        assert_eq!(std::fs::read_to_string(site.conf.paths.nodes_conf()).unwrap(), "nodes: [\n");
    }

    #[test]
    fn an_edit_that_refuses_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let site = site(folder.path(), "nodes: {a: {}}\n");
        let refused: anyhow::Result<((), Written)> = change(&site, |conf| {
            conf.nodes.clear();
            anyhow::bail!("no")
        });
        assert_eq!(refused.unwrap_err().to_string(), "no");
        assert_eq!(std::fs::read_to_string(site.conf.paths.nodes_conf()).unwrap(), "nodes: {a: {}}\n");
    }

    #[test]
    fn eight_at_once_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let site = site(folder.path(), "nodes: {}\n");
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let site = &site;
                scope.spawn(move || {
                    for index in 0..5 {
                        let id = format!("n{thread}-{index}");
                        let add = |conf: &mut NodesConf| {
                            conf.nodes.insert(id.clone(), model::Node { id: id.clone(), ..Default::default() });
                            Ok(())
                        };
                        assert_eq!(change(site, add).unwrap().1, Written::Yes { lost: false });
                    }
                });
            }
        });
        assert_eq!(load(&site).unwrap().nodes.len(), 40);
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let site = site(folder.path(), "nodes: {}\n");
        let path = site.conf.paths.nodes_conf();
        let real = folder.path().join("real.conf");
        std::fs::rename(&path, &real).unwrap();
        std::os::unix::fs::symlink(&real, &path).unwrap();
        let _ = change(&site, |conf| {
            conf.profiles.insert("p".into(), model::Profile::default());
            Ok(())
        })
        .unwrap();
        assert!(std::fs::symlink_metadata(&path).unwrap().is_symlink());
        assert_eq!(std::fs::read_to_string(&real).unwrap(), "nodeprofiles:\n  p: {}\nnodes: {}\n");
    }
}
