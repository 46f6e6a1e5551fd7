//! newc both ways, on whole archives.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::{Entry, Kind};

fn entry(path: &str, kind: Kind) -> Entry {
    let mode = if kind == Kind::Directory { 0o755 } else { 0o644 };
    Entry { path: path.into(), mode, uid: 0, gid: 0, mtime: 1_700_000_000, kind, xattrs: Default::default() }
}

fn file(path: &str, body: &str) -> Entry {
    entry(path, Kind::File(Arc::from(body.as_bytes())))
}

#[test]
fn one_file_is_these_bytes() {
    let mut hosts = file("etc/hosts", "a host\n");
    hosts.mode = 0o4755;
    hosts.uid = 1000;
    let bytes = write(&[hosts]).unwrap();
    let ino = format!("{:08X}", Numbers::default().of(b"etc/hosts").unwrap());
    let wanted = format!(
        "070701{ino}000089ED000003E80000000000000001\
         6553F1000000000700000000000000000000000000000000\
         0000000A00000000etc/hosts\0a host\n\0\
         07070100000000000000000000000000000000000000010000000000000000\
         000000000000000000000000000000000000000B00000000TRAILER!!!\0\0\0\0"
    );
    assert_eq!(String::from_utf8_lossy(&bytes), wanted);
}

#[test]
fn the_order_of_the_entries_does_not_matter() {
    let forth = [file("a-b", "1"), entry("a", Kind::Directory), file("a/b", "2")];
    let mut back = forth.clone();
    back.reverse();
    let bytes = write(&forth).unwrap();
    assert_eq!(bytes, write(&back).unwrap());
    let paths: Vec<_> = read(&bytes).unwrap().into_iter().map(|entry| String::from_utf8(entry.path).unwrap()).collect();
    assert_eq!(paths, ["a", "a-b", "a/b"]);
}

#[test]
fn every_kind_comes_back() {
    let tree = [
        entry("dev", Kind::Directory),
        entry("dev/console", Kind::CharDevice { major: 5, minor: 1 }),
        entry("dev/vda", Kind::BlockDevice { major: 254, minor: 70_000 }),
        entry("etc", Kind::Symlink(b"/usr/etc".to_vec())),
        entry("run.fifo", Kind::Fifo),
        entry("run.sock", Kind::Socket),
        file("with\nnewline:colon", ""),
    ];
    assert_eq!(read(&write(&tree).unwrap()).unwrap(), tree);
}

#[test]
fn a_hard_linked_file_has_its_body_once_and_says_how_many_names_it_has() {
    let mut other = entry("a", Kind::HardLink(b"m".to_vec()));
    // A kernel sets mode and owner at each name: a link's own must not win.
    other.mode = 0o777;
    let tree = [other, file("m", "body"), entry("z", Kind::HardLink(b"a".to_vec()))];
    let bytes = write(&tree).unwrap();
    let members: Vec<_> = Members::new(&bytes).map(|member| member.unwrap()).collect();
    let seen: Vec<_> = members.iter().map(|m| (m.name, m.body, m.nlink, m.mode, m.ino == members[0].ino)).collect();
    assert_eq!(
        seen,
        [
            (b"a".as_slice(), b"body".as_slice(), 3, 0o100_644, true),
            (b"m", b"", 3, 0o100_644, true),
            (b"z", b"", 3, 0o100_644, true),
        ]
    );
    let back = read(&bytes).unwrap();
    assert_eq!(back[0], Entry { path: b"a".to_vec(), ..file("m", "body") });
    assert_eq!(back[2].kind, Kind::HardLink(b"a".to_vec()));
}

#[test]
fn a_body_that_comes_with_the_last_name_is_the_files() {
    // As GNU cpio writes hard links.
    let head = |path: &'static [u8], size| Head {
        path,
        mode: 0o600,
        uid: 1,
        gid: 2,
        mtime: 3,
        ino: 77,
        nlink: 2,
        kind: HeadKind::File { size },
    };
    let mut bytes = head(b"one", 0).encode().unwrap();
    bytes.extend(head(b"two", 4).encode().unwrap());
    bytes.extend(b"body");
    bytes.extend(trailer());
    let back = read(&bytes).unwrap();
    assert_eq!(back[0].kind, Kind::File(Arc::from(b"body".as_slice())));
    assert_eq!(back[1].kind, Kind::HardLink(b"one".to_vec()));
}

#[test]
fn archives_one_after_another_are_read_in_their_order() {
    let mut bytes = write(&[file("a", "old")]).unwrap();
    bytes.extend([0; 512]);
    bytes.extend(write(&[file("a", "new"), entry("b", Kind::HardLink(b"a".to_vec()))]).unwrap());
    bytes.extend([0; 3]);
    assert_eq!(
        read(&bytes).unwrap(),
        [
            file("a", "old"),
            file("a", "new"),
            Entry { path: b"b".to_vec(), kind: Kind::HardLink(b"a".to_vec()), ..file("a", "new") }
        ]
    );
    assert_eq!(read(b"").unwrap(), []);
}

#[test]
fn what_follows_an_archive_and_is_none_is_refused_with_its_place() {
    let mut bytes = write(&[]).unwrap();
    let at = bytes.len();
    bytes.extend(b"\x1f\x8bpacked");
    assert_eq!(read(&bytes), Err(ReadError::NoHeader { at }));
    assert_eq!(read_one(&bytes), Ok((Vec::new(), at)));
}

#[test]
fn a_cut_is_noticed_wherever_it_is() {
    let bytes = write(&[entry("a", Kind::Directory), file("a/b", "body")]).unwrap();
    for length in 1..bytes.len() - 3 {
        assert!(read(&bytes[..length]).is_err(), "cut after {length}");
    }
}

#[test]
fn names_that_lead_out_are_refused() {
    let mut bytes = write(&[file("ab/c", "")]).unwrap();
    let name = bytes.windows(4).position(|window| window == b"ab/c").unwrap();
    bytes[name..name + 2].copy_from_slice(b"..");
    assert_eq!(read(&bytes), Err(ReadError::Escapes { at: 0, path: b"../c".to_vec() }));
}

#[test]
fn names_are_cleaned_and_the_root_is_left_out() {
    let mut bytes = write(&[file("xx/c", ""), file("y", "")]).unwrap();
    let name = bytes.windows(4).position(|window| window == b"xx/c").unwrap();
    bytes[name..name + 2].copy_from_slice(b"./");
    let name = bytes.windows(2).position(|window| window == b"y\0").unwrap();
    bytes[name] = b'.';
    assert_eq!(read(&bytes).unwrap(), [file("c", "")]);
}

#[test]
fn what_newc_cannot_hold_is_refused_by_name() {
    let head =
        |path, size| Head { path, mode: 0, uid: 0, gid: 0, mtime: 0, ino: 1, nlink: 1, kind: HeadKind::File { size } };
    let most = u64::from(u32::MAX);
    assert!(head(b"big", most).encode().is_ok());
    let error = head(b"big", most + 1).encode().unwrap_err();
    assert_eq!(
        error.to_string(),
        "big: the file has 4294967296 bytes, and newc cannot hold 4 GiB or more; exclude it or store it compressed"
    );
    let long = [b"xx".to_vec(), b"/x".repeat(PATH_MAX / 2 - 1)].concat();
    assert!(head(&long[1..], 0).encode().is_ok());
    assert_eq!(head(&long, 0).encode(), Err(WriteError::NameTooLong { path: long.clone() }));
    let target = entry("link", Kind::Symlink(long.clone()));
    assert_eq!(write(&[target]), Err(WriteError::TargetTooLong { path: b"link".to_vec(), size: 4096 }));
    for bad in ["", "/etc", "a//b", "a/", "./a", "a/../b", "a\0b"] {
        assert_eq!(write(&[file(bad, "")]), Err(WriteError::BadPath { path: bad.into() }), "{bad:?}");
    }
    assert_eq!(write(&[file("TRAILER!!!", "")]), Err(WriteError::NamedTrailer));
    let part = format!("a/{}/b", "x".repeat(256));
    assert_eq!(write(&[file(&part, "")]), Err(WriteError::PartTooLong { path: part.into_bytes(), size: 256 }));
    assert!(write(&[file(&"x".repeat(255), "")]).is_ok());
    for target in [b"".to_vec(), b"a\0b".to_vec()] {
        assert_eq!(write(&[entry("l", Kind::Symlink(target))]), Err(WriteError::BadTarget { path: b"l".to_vec() }));
    }
    assert!(write(&[file("a/TRAILER!!!", "")]).is_ok());
    assert_eq!(write(&[file("a", ""), file("a", "")]), Err(WriteError::Double { path: b"a".to_vec() }));
}

#[test]
fn hard_links_to_nothing_are_refused() {
    let nothing = |target: &str| Err(WriteError::LinkToNothing { path: b"l".to_vec(), target: target.into() });
    assert_eq!(write(&[entry("l", Kind::HardLink(b"gone".to_vec()))]), nothing("gone"));
    assert_eq!(write(&[entry("l", Kind::HardLink(b"l".to_vec()))]), nothing("l"));
    assert_eq!(write(&[entry("d", Kind::Directory), entry("l", Kind::HardLink(b"d".to_vec()))]), nothing("d"));
}

#[test]
fn a_checksum_that_is_there_is_checked() {
    let mut bytes = write(&[file("a", "ab")]).unwrap();
    bytes[5] = b'2';
    assert_eq!(read(&bytes), Err(ReadError::Checksum { at: 0, path: b"a".to_vec() }));
    bytes[102..110].copy_from_slice(b"000000c3");
    assert_eq!(read(&bytes).unwrap(), [file("a", "ab")]);
}

#[test]
fn inode_numbers_differ_and_one_file_more_changes_no_others() {
    let numbers = |paths: &[String]| {
        let mut numbers = Numbers::default();
        paths.iter().map(|path| (path.clone(), numbers.of(path.as_bytes()).unwrap())).collect::<Vec<_>>()
    };
    let paths: Vec<_> = (0..5000).map(|index| format!("usr/lib/{index:05}")).collect();
    let all = numbers(&paths);
    let less = numbers(&paths[1..]);
    assert_eq!(all[1..], less);
    let distinct: std::collections::HashSet<_> = all.iter().map(|(_, number)| number).collect();
    assert_eq!(distinct.len(), 5000);
    let mut twice = Numbers::default();
    assert_ne!(twice.of(b"same").unwrap(), twice.of(b"same").unwrap());
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let _ = read(&bytes);
    }

    #[test]
    fn a_damaged_archive_is_read_without_a_panic(at in 0_usize..400, byte in any::<u8>(), cut in 0_usize..400) {
        let tree = [entry("d", Kind::Directory), file("d/f", "some text"), entry("d/h", Kind::HardLink(b"d/f".to_vec()))];
        let mut bytes = write(&tree).unwrap();
        let length = bytes.len();
        bytes[at % length] = byte;
        bytes.truncate(length - cut % length);
        let _ = read(&bytes);
    }

    #[test]
    fn trees_come_back_as_they_were(
        tree in proptest::collection::btree_map("[a-z\n :]{1,8}(/[A-Z\u{e9}]{1,8}){0,3}", (any::<u32>(), any::<Vec<u8>>(), 0_u8..5), 0..20)
    ) {
        let entries: Vec<_> = tree.into_iter().map(|(path, (number, body, kind))| Entry {
            path: path.into_bytes(),
            mode: number & 0o7777,
            uid: number,
            gid: number >> 7,
            mtime: u64::from(number),
            kind: match kind {
                0 => Kind::Directory,
                1 => Kind::Symlink([b"->".to_vec(), body].concat().into_iter().filter(|byte| *byte != 0).collect()),
                2 => Kind::CharDevice { major: number >> 20, minor: number & 0xfffff },
                _ => Kind::File(Arc::from(body)),
            },
            xattrs: Default::default(),
        }).collect();
        prop_assert_eq!(read(&write(&entries).unwrap()).unwrap(), entries);
    }
}

#[test]
fn members_laid_in_another_order_have_the_same_numbers_and_the_first_name_has_the_body() {
    let tree = [
        entry("a", Kind::Directory),
        file("a/one", "1"),
        entry("a/two", Kind::HardLink(b"a/one".to_vec())),
        entry("z", Kind::Symlink(b"a".to_vec())),
    ];
    let told = |order: &[&Entry]| -> Vec<(String, u32, u32, Vec<u8>)> {
        let member = |laid: &Laid<'_>| {
            let name = String::from_utf8(laid.head.path.to_vec()).unwrap();
            (name, laid.head.ino, laid.head.nlink, laid.body.bytes().to_vec())
        };
        lay(order).unwrap().iter().map(member).collect()
    };
    let forth = told(&tree.iter().collect::<Vec<_>>());
    let back = told(&tree.iter().rev().collect::<Vec<_>>());
    let bodies = |told: &[(String, u32, u32, Vec<u8>)]| -> Vec<(String, String)> {
        told.iter().map(|(name, _, _, body)| (name.clone(), String::from_utf8(body.clone()).unwrap())).collect()
    };
    let want = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(name, body)| (name.to_string(), body.to_string())).collect()
    };
    assert_eq!(bodies(&forth), want(&[("a", ""), ("a/one", "1"), ("a/two", ""), ("z", "a")]));
    assert_eq!(bodies(&back), want(&[("z", "a"), ("a/two", "1"), ("a/one", ""), ("a", "")]));
    for (name, ino, nlink, _) in &forth {
        assert!(back.iter().any(|other| (&other.0, &other.1, &other.2) == (name, ino, nlink)), "{name}");
    }
}
