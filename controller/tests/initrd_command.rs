//! `wwctl initrd`: what kernels unpack, listed, printed and unpacked, where no site is.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use archive::{Entry, Kind, newc};

fn wwctl(words: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wwctl")).arg("initrd").args(words).current_dir(folder).output().unwrap()
}

fn answer(words: &[&str], folder: &Path) -> String {
    let output = wwctl(words, folder);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn archive(entries: &[(&str, Kind)]) -> Vec<u8> {
    let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    let entry = |(path, kind): &(&str, Kind)| Entry {
        path: path.as_bytes().to_vec(),
        mode: if *kind == Kind::Directory { 0o755 } else { 0o4711 },
        uid,
        gid,
        mtime: 1_700_000_000,
        kind: kind.clone(),
        xattrs: Default::default(),
    };
    newc::write(&entries.iter().map(entry).collect::<Vec<_>>()).unwrap()
}

fn file(text: &str) -> Kind {
    Kind::File(text.as_bytes().into())
}

/// As a firmware's update, an initramfs and an overlay lie behind one another: plain, gzip, zstd, and xz at the end.
fn sample() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = archive(&[("early", file("ucode"))]);
    bytes.extend([0; 100]);
    bytes.extend(
        controller::image::pack::gzip(&archive(&[("etc", Kind::Directory), ("etc/motd", file("old"))])).unwrap(),
    );
    bytes.extend(
        zstd::encode_all(archive(&[("a", file("same")), ("b", Kind::HardLink(b"a".to_vec()))]).as_slice(), 3).unwrap(),
    );
    let mut xz =
        Command::new("xz").args(["-c", "--check=crc32"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let last = archive(&[("etc/motd", file("new")), ("link", Kind::Symlink(b"/etc/motd".to_vec()))]);
    xz.stdin.take().unwrap().write_all(&last).unwrap();
    bytes.extend(xz.wait_with_output().unwrap().stdout);
    std::fs::write(folder.path().join("initrd.img"), bytes).unwrap();
    folder
}

#[test]
fn ls_shows_all_parts_however_they_are_packed() {
    let folder = sample();
    assert_eq!(answer(&["ls", "initrd.img"], folder.path()), "early\netc\netc/motd\na\nb\netc/motd\nlink\n");
    let long = answer(&["ls", "-l", "initrd.img"], folder.path());
    let last = long.lines().last().unwrap();
    assert!(last.starts_with("lrws--x--x ") && last.ends_with("         9 1700000000 link -> /etc/motd"), "{last}");
}

#[test]
fn cat_prints_what_a_node_would_have() {
    let folder = sample();
    assert_eq!(answer(&["cat", "initrd.img", "/etc/motd"], folder.path()), "new");
    assert_eq!(answer(&["cat", "initrd.img", "b"], folder.path()), "same");
    let missing = wwctl(&["cat", "initrd.img", "gone"], folder.path());
    assert_eq!(missing.status.code(), Some(255));
    let said = String::from_utf8(missing.stderr).unwrap();
    assert_eq!(said, "ERROR: gone: not in initrd.img; `wwctl initrd ls` lists what is\n");
}

#[test]
fn unpack_makes_the_tree() {
    let folder = sample();
    answer(&["unpack", "initrd.img", "tree"], folder.path());
    let tree = folder.path().join("tree");
    assert_eq!(std::fs::read_to_string(tree.join("etc/motd")).unwrap(), "new");
    assert_eq!(std::fs::metadata(tree.join("a")).unwrap().permissions().mode() & 0o7777, 0o4711);
    assert_eq!(std::os::unix::fs::MetadataExt::nlink(&std::fs::metadata(tree.join("b")).unwrap()), 2);
    let again = wwctl(&["unpack", "initrd.img", "tree"], folder.path());
    let said = String::from_utf8(again.stderr).unwrap();
    assert_eq!(said, "ERROR: tree: holds something already; name an empty folder\n");
}

#[test]
fn a_file_that_no_kernel_would_unpack_is_refused_with_the_place() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("x"), "\0\0\0\0hello").unwrap();
    let said = String::from_utf8(wwctl(&["ls", "x"], folder.path()).stderr).unwrap();
    assert_eq!(said, "ERROR: x: offset 4: neither an archive nor packed in a way that a kernel knows\n");
}
