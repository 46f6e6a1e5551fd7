//! Archives made by tar, and by nobody honest.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::super::excludes::Excludes;
use super::super::tree::walk;
use super::*;

fn tar(folder: &Path, archive: &Path, arguments: &[&str]) {
    let output =
        Command::new("tar").arg("-C").arg(folder).args(arguments).arg("-cf").arg(archive).arg(".").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn sample(root: &Path) {
    fs::create_dir_all(root.join("usr/lib")).unwrap();
    symlink("usr/lib", root.join("lib")).unwrap();
    fs::write(root.join("usr/su"), "x").unwrap();
    fs::set_permissions(root.join("usr/su"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::hard_link(root.join("usr/su"), root.join("usr/zwei")).unwrap();
    fs::write(root.join(OsStr::from_bytes(b"odd\n\xff:")), "odd").unwrap();
    let long = "long-name-".repeat(20);
    fs::write(root.join("usr/lib").join(&long), "long").unwrap();
    symlink(format!("/{}", "x/".repeat(150)), root.join("far")).unwrap();
    nix::unistd::mkfifo(&root.join("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
}

fn seen(root: &Path, fine: bool) -> Vec<impl PartialEq + std::fmt::Debug + use<>> {
    let items = walk(root, &Excludes::default()).unwrap().items.into_iter();
    let time = move |(seconds, nanoseconds)| if fine { (seconds, nanoseconds) } else { (seconds, 0) };
    items.map(|item| (item.path, item.mode, item.uid, item.gid, time(item.stamp.mtime), item.kind)).collect()
}

#[test]
fn what_tar_packs_comes_out_as_it_was_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("from");
    sample(&from);
    let formats: [(&[&str], bool); 6] = [
        (&["--format=gnu"], false),
        (&["--format=pax"], true),
        (&["--format=gnu", "-z"], false),
        (&["--format=pax", "--zstd"], true),
        (&["--format=pax", "-J"], true),
        (&["--format=gnu", "-S"], false),
    ];
    for (arguments, fine) in formats {
        let (archive, to) = (folder.path().join("x.tar"), folder.path().join("to"));
        tar(&from, &archive, arguments);
        fs::create_dir(&to).unwrap();
        assert_eq!(unpack(&archive, Plot::open(&to).unwrap()).unwrap(), Vec::<String>::new(), "{arguments:?}");
        assert_eq!(seen(&to, fine), seen(&from, fine), "{arguments:?}");
        assert_eq!(fs::metadata(to.join("usr/su")).unwrap().nlink(), 2);
        fs::remove_dir_all(to).unwrap();
    }
}

/// An archive with one member of this kind, name and link.
fn evil(kind: EntryType, name: &[u8], link: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link);
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    header.set_cksum();
    header.as_bytes().to_vec()
}

#[test]
fn an_archive_cannot_write_outside() {
    let folder = tempfile::tempdir().unwrap();
    let (root, outside) = (folder.path().join("root"), folder.path().join("outside"));
    fs::create_dir_all(&outside).unwrap();
    fs::create_dir_all(&root).unwrap();
    fs::write(outside.join("file"), "untouched").unwrap();
    let target = outside.as_os_str().as_bytes();
    let attempts = [
        vec![evil(EntryType::Symlink, b"a", target), evil(EntryType::Regular, b"a/evil", b"")],
        vec![evil(EntryType::Symlink, b"b", b"../outside"), evil(EntryType::Directory, b"b/evil", b"")],
        vec![evil(EntryType::Regular, b"../outside/evil", b"")],
        vec![evil(EntryType::Regular, &[target, b"/evil"].concat(), b"")],
        vec![evil(EntryType::Link, b"stolen", b"../outside/file")],
        vec![evil(EntryType::Link, b"stolen", &[target, b"/file"].concat())],
        vec![evil(EntryType::Symlink, b"c", &[target, b"/file"].concat()), evil(EntryType::Regular, b"c", b"")],
    ];
    for (index, attempt) in attempts.iter().enumerate() {
        let archive = folder.path().join("evil.tar");
        fs::write(&archive, [attempt.concat(), vec![0; 1024]].concat()).unwrap();
        // Refused, or made inside: both are fine.
        let _ = unpack(&archive, Plot::open(&root).unwrap());
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "attempt {index}");
        assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "untouched", "attempt {index}");
        assert_eq!(fs::metadata(outside.join("file")).unwrap().nlink(), 1, "attempt {index}");
    }
}

#[test]
fn what_is_no_archive_or_is_cut_off_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (root, file) = (folder.path().join("root"), folder.path().join("x.tar"));
    fs::create_dir_all(&root).unwrap();
    let error = |bytes: &[u8]| {
        fs::write(&file, bytes).unwrap();
        format!("{:#}", unpack(&file, Plot::open(&root).unwrap()).unwrap_err())
            .replace(&file.display().to_string(), "FILE")
    };
    assert_eq!(error(b""), "unpack FILE: the archive is empty");
    assert!(error(b"hello, world").starts_with("unpack FILE: this is no tar archive"));
    assert!(error(&[7; 2000]).starts_with("unpack FILE: this is no tar archive"));
    let mut packed = crate::image::pack::gzip(&[evil(EntryType::Regular, b"a", b""), vec![0; 1024]].concat()).unwrap();
    packed.truncate(packed.len() - 6);
    assert!(error(&packed).starts_with("unpack FILE: "));
    assert!(error(b"\xfd7zXZ\0 and no more").contains("xz"));
    let layout = [evil(EntryType::Regular, b"oci-layout", b""), vec![0; 1024]].concat();
    assert!(error(&layout).contains("this is an archive of a container image"));
}

#[test]
fn pax_records_may_hold_line_breaks_and_nonsense() {
    let mut said = Said::default();
    let value = b"a\nb\0=c";
    let line = [b" SCHILY.xattr.user.x=".as_slice(), value, b"\n"].concat();
    let line = [(line.len() + 2).to_string().as_bytes(), &line].concat();
    said.records(&line).unwrap();
    said.records(b"24 mtime=1600000000.0000025\n".get(..0).unwrap()).unwrap();
    assert_eq!(said.xattrs, [(c"user.x".to_owned(), value.to_vec())]);
    for broken in
        [b"".as_slice(), b"x", b"5", b"0 a=b\n", b"99 a=b\n", b"6 ab\n", b"18446744073709551616 a=b\n", b"3 =\n"]
    {
        let _ = Said::default().records(broken);
    }
    assert_eq!(time("1600000000.5"), Some((1_600_000_000, 500_000_000)));
    assert_eq!(time("-1.25"), Some((-2, 750_000_000)));
    assert_eq!(time("7"), Some((7, 0)));
    assert_eq!(time("x.\u{e4}"), None);
}
