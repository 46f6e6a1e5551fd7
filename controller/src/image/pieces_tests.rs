//! Cuts and keys, on real trees.

use std::fs;

use super::super::excludes::Excludes;
use super::super::tree::walk;
use super::*;

/// 300 small files, one of 3.5 MiB, two names of one, and links.
fn sample() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for index in 0_u32..300 {
        let sub = root.join(format!("d{}", index % 7));
        fs::create_dir_all(&sub).unwrap();
        let length = usize::try_from(index.wrapping_mul(2_654_435_761) % 40_000).unwrap();
        fs::write(sub.join(format!("f{index}")), format!("{index} ").repeat(length / 4)).unwrap();
    }
    fs::write(root.join("large"), vec![7; 3 * PIECE + PIECE / 2 + 1]).unwrap();
    fs::hard_link(root.join("large"), root.join("same")).unwrap();
    std::os::unix::fs::symlink("target", root.join("link")).unwrap();
    folder
}

fn keys(tree: &Tree) -> Vec<[u8; 32]> {
    Cutter::new(tree).unwrap().map(|piece| piece.unwrap().key).collect()
}

fn bytes(root: &Path, tree: &Tree) -> Vec<u8> {
    let mut reader = Reader::new(root, tree);
    let mut all = Vec::new();
    for piece in Cutter::new(tree).unwrap() {
        let piece = piece.unwrap();
        let bytes = reader.read(&piece).unwrap();
        assert_eq!(bytes.len() as u64, piece.length);
        assert!(bytes.len() <= PIECE + 1024);
        all.extend(bytes);
    }
    all
}

#[test]
fn pieces_one_after_another_are_the_archive_of_the_tree() {
    let folder = sample();
    let tree = walk(folder.path(), &Excludes::default()).unwrap();
    let archive = bytes(folder.path(), &tree);
    let entries = archive::newc::read(&archive).unwrap();
    assert_eq!(entries.len(), tree.items.len());
    for (entry, item) in entries.iter().zip(&tree.items) {
        assert_eq!(entry.path, item.path);
        if let archive::Kind::File(body) = &entry.kind {
            assert!(fs::read(folder.path().join(OsStr::from_bytes(&item.path))).unwrap() == body[..], "{entry:?}");
        }
    }
    assert!(archive == archive::newc::write(&entries).unwrap(), "the same bytes as from memory");
}

#[test]
fn one_changed_file_leaves_most_keys_as_they_are() {
    let folder = sample();
    let before = keys(&walk(folder.path(), &Excludes::default()).unwrap());
    fs::write(folder.path().join("d3/f101"), "changed").unwrap();
    fs::write(folder.path().join("d3/new"), "new").unwrap();
    let after = keys(&walk(folder.path(), &Excludes::default()).unwrap());
    let new = after.iter().filter(|key| !before.contains(key)).count();
    assert!((1..=4).contains(&new), "{new} of {} pieces are new", after.len());
}

#[test]
fn a_file_that_changes_under_the_reader_is_noticed() {
    let folder = sample();
    let tree = walk(folder.path(), &Excludes::default()).unwrap();
    let read = |tree| {
        let mut reader = Reader::new(folder.path(), tree);
        Cutter::new(tree).unwrap().map(|piece| reader.read(&piece.unwrap())).find_map(Result::err)
    };
    assert!(read(&tree).is_none());
    let changed = folder.path().join("d1/f1");
    fs::write(&changed, "other").unwrap();
    assert!(matches!(read(&tree), Some(ReadError::Changed(path)) if path == changed));
    fs::remove_file(&changed).unwrap();
    assert!(matches!(read(&tree), Some(ReadError::Changed(path)) if path == changed));
    nix::unistd::mkfifo(&changed, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(matches!(read(&tree), Some(ReadError::Changed(path)) if path == changed));
}
