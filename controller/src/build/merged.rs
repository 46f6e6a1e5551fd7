//! A site overlay over the distribution overlay of its name, where it hides only the files that it holds.
//!
//! A file hides what becomes the same file on a node: `etc/hosts` of the site hides `etc/hosts.ww` of the distribution. A
//! file or a link hides a folder of its name with all that is below it. Of a folder that both hold the site's owner
//! counts, and its mode as far as the distribution's permits: a folder made on the way to a site's file opens nothing.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use archive::{Entry, Kind};

use super::trees::{Found, SUFFIX};

/// What of two trees a node gets, folders before what they hold, each entry with the layer that it came with.
pub(super) fn merge<L: Copy>(behind: Vec<(L, Entry)>, own: Vec<(L, Entry)>) -> Vec<(L, Entry)> {
    let mut folders = HashMap::new();
    let mut files = HashSet::new();
    for (_, entry) in &own {
        match entry.kind {
            Kind::Directory => {
                folders.insert(entry.path.clone(), None);
            }
            _ => {
                files.insert(target(&entry.path).to_vec());
            }
        }
    }
    // A hard link whose first name is hidden becomes a file, and the next ones links to that.
    let mut contents: HashMap<Vec<u8>, Kind> = HashMap::new();
    let mut first_names: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
    let mut all = Vec::new();
    for (layer, mut entry) in behind {
        let name = if matches!(entry.kind, Kind::Directory) { &entry.path } else { target(&entry.path) };
        let hidden = files.contains(name)
            || above(name).any(|folder| files.contains(folder))
            || (folders.contains_key(name) && !matches!(entry.kind, Kind::Directory));
        if hidden {
            contents.insert(entry.path, entry.kind);
            continue;
        }
        if let Kind::HardLink(first) = &entry.kind
            && let Some(content) = contents.get(first)
        {
            entry.kind = match first_names.get(first) {
                Some(name) => Kind::HardLink(name.clone()),
                None => {
                    first_names.insert(first.clone(), entry.path.clone());
                    content.clone()
                }
            };
        }
        match folders.get_mut(&entry.path) {
            Some(mode) => *mode = Some(entry.mode),
            None => all.push((layer, entry)),
        }
    }
    for (layer, mut entry) in own {
        if let Some(Some(mode)) = folders.get(&entry.path) {
            entry.mode &= mode;
        }
        all.push((layer, entry));
    }
    // As a walk of one tree gives them: by name, folder by folder.
    all.sort_by(|(_, a), (_, b)| a.path.split(|byte| *byte == b'/').cmp(b.path.split(|byte| *byte == b'/')));
    all
}

/// The path on a node.
fn target(path: &[u8]) -> &[u8] {
    path.strip_suffix(SUFFIX.as_bytes()).filter(|name| !name.is_empty() && !name.ends_with(b"/")).unwrap_or(path)
}

/// The folders above a path, the nearest first.
fn above(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = path;
    std::iter::from_fn(move || {
        let slash = rest.iter().rposition(|byte| *byte == b'/')?;
        rest = rest.get(..slash)?;
        Some(rest)
    })
}

/// The layer of an overlay that holds a path of it, `None` when none does or when the site's hides it.
pub fn holder<'a>(found: &'a Found, path: &Path) -> Option<&'a Found> {
    let there = |root: &Path, path: &Path| root.join(path).symlink_metadata().ok();
    if there(&found.root, path).is_some() {
        return Some(found);
    }
    let behind = found.behind.as_deref()?;
    there(&behind.root, path)?;
    let file = |path: &Path| there(&found.root, path).is_some_and(|data| !data.is_dir());
    let twin = match path.to_str().and_then(|text| text.strip_suffix(SUFFIX)) {
        Some(stem) => there(&found.root, Path::new(stem)).is_some(),
        None => {
            let mut template = path.as_os_str().to_owned();
            template.push(SUFFIX);
            file(&PathBuf::from(template))
        }
    };
    let covered = path.ancestors().skip(1).any(|folder| !folder.as_os_str().is_empty() && file(folder));
    (!twin && !covered).then_some(behind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn entry(path: &str, mode: u32, kind: Kind) -> (char, Entry) {
        ('?', Entry { path: path.into(), mode, uid: 0, gid: 0, mtime: 0, kind, xattrs: BTreeMap::new() })
    }

    fn file(path: &str, text: &str) -> (char, Entry) {
        entry(path, 0o644, Kind::File(text.as_bytes().into()))
    }

    fn folder(path: &str, mode: u32) -> (char, Entry) {
        entry(path, mode, Kind::Directory)
    }

    fn merged(behind: Vec<(char, Entry)>, own: Vec<(char, Entry)>) -> Vec<String> {
        let mark = |layer, list: Vec<(char, Entry)>| list.into_iter().map(|(_, entry)| (layer, entry)).collect();
        merge(mark('d', behind), mark('s', own))
            .into_iter()
            .map(|(layer, entry)| {
                let kind = match entry.kind {
                    Kind::Directory => "/".to_owned(),
                    Kind::File(content) => format!("={}", String::from_utf8_lossy(&content)),
                    Kind::HardLink(first) => format!("=>{}", String::from_utf8_lossy(&first)),
                    other => format!("{other:?}"),
                };
                format!("{layer} {}{kind} {:o}", String::from_utf8_lossy(&entry.path), entry.mode)
            })
            .collect()
    }

    #[test]
    fn a_file_hides_what_becomes_the_same_file_and_nothing_else() {
        let behind = vec![folder("etc", 0o755), file("etc/a.ww", "1"), file("etc/b", "2"), file("etc/c.ww", "3")];
        let own = vec![folder("etc", 0o755), file("etc/a", "4"), file("etc/b.ww", "5"), file("etc/d", "6")];
        assert_eq!(
            merged(behind, own),
            ["s etc/ 755", "s etc/a=4 644", "s etc/b.ww=5 644", "d etc/c.ww=3 644", "s etc/d=6 644"]
        );
    }

    #[test]
    fn a_file_hides_a_folder_with_all_below_it_and_a_folder_hides_a_file() {
        let behind = vec![folder("a", 0o755), folder("a/b", 0o755), file("a/b/c", "1"), file("x.ww", "2")];
        let own = vec![folder("a", 0o755), file("a/b", "3"), folder("x", 0o755)];
        assert_eq!(merged(behind, own), ["s a/ 755", "s a/b=3 644", "s x/ 755"]);
    }

    #[test]
    fn a_folder_on_the_way_to_a_sites_file_opens_nothing() {
        let behind = vec![folder("root", 0o700), folder("root/.ssh", 0o700), file("root/.ssh/k.ww", "1")];
        let own = vec![folder("root", 0o755), folder("root/.ssh", 0o500), file("root/.ssh/config", "2")];
        assert_eq!(
            merged(behind, own),
            ["s root/ 700", "s root/.ssh/ 500", "s root/.ssh/config=2 644", "d root/.ssh/k.ww=1 644"]
        );
    }

    #[test]
    fn a_hard_link_outlives_a_first_name_that_is_hidden() {
        let link = |path: &str| entry(path, 0o644, Kind::HardLink(b"a".to_vec()));
        let behind = vec![file("a", "1"), link("b"), link("c")];
        assert_eq!(merged(behind, vec![file("a", "2")]), ["s a=2 644", "d b=1 644", "d c=>b 644"]);
    }

    #[test]
    fn entries_stand_in_the_order_of_a_walk() {
        let behind = vec![folder("a", 0o755), file("a/z", ""), file("a-b", "")];
        let own = vec![file("a.c", "")];
        assert_eq!(merged(behind, own), ["d a/ 755", "d a/z= 644", "d a-b= 644", "s a.c= 644"]);
    }
}
