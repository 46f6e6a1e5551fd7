//! Builds of real trees, looked at from outside.

use std::io::Read;
use std::os::unix::fs::MetadataExt;

use super::*;

struct Place {
    folder: tempfile::TempDir,
    site: Site,
    image: Image,
}

/// An image whose files are old enough to be sure of.
fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let mut conf = model::Conf::default();
    conf.paths.wwchrootdir = folder.path().join("chroots");
    conf.paths.wwprovisiondir = folder.path().join("provision");
    let site = Site { conf_path: folder.path().join("warewulf.conf"), conf };
    let rootfs = site.conf.paths.image_root("oak");
    fs::create_dir_all(rootfs.join("etc/warewulf")).unwrap();
    fs::create_dir_all(rootfs.join("tmp/deep")).unwrap();
    fs::write(rootfs.join("etc/warewulf/excludes"), "/tmp/*\n").unwrap();
    fs::write(rootfs.join("tmp/junk"), "junk").unwrap();
    for index in 0..40_u32 {
        fs::write(rootfs.join(format!("file-{index}")), format!("{index}\n").repeat(40_000)).unwrap();
    }
    fs::write(rootfs.join("su"), "x").unwrap();
    fs::set_permissions(rootfs.join("su"), fs::Permissions::from_mode(0o4755)).unwrap();
    let image = shelf::image(&site, "oak").unwrap();
    Place { folder, site, image }
}

impl Place {
    fn build(&self, force: bool) -> Report {
        build(&self.site, &self.image, force, |_| {}).unwrap()
    }

    fn facts(&self, force: bool) -> Facts {
        match self.build(force).outcome {
            Outcome::Built(facts) => facts,
            Outcome::Current => panic!("nothing was built"),
        }
    }

    /// The plain archive, after the packed ones were compared with it.
    fn bytes(&self) -> Vec<u8> {
        let built = shelf::built(&self.site, "oak");
        let plain = fs::read(&built.img).unwrap();
        let mut gz = Vec::new();
        let packed = fs::read(&built.gz).unwrap();
        let mut decoder = flate2::bufread::GzDecoder::new(packed.as_slice());
        decoder.read_to_end(&mut gz).unwrap();
        assert!(decoder.into_inner().is_empty(), "more than one member");
        assert!(gz == plain);
        assert!(zstd::decode_all(File::open(&built.zst).unwrap()).unwrap() == plain);
        plain
    }

    fn packed(&self) -> Vec<u8> {
        fs::read(shelf::built(&self.site, "oak").gz).unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.image.rootfs.join(name)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.folder.path().join("provision/images"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

#[test]
fn an_image_is_its_tree_in_three_forms() {
    let place = place();
    let facts = place.facts(false);
    let entries = archive::newc::read(&place.bytes()).unwrap();
    assert_eq!(entries.len(), facts.entries);
    let of = |path: &str| entries.iter().find(|entry| entry.path == path.as_bytes());
    assert_eq!(of("su").unwrap().mode, 0o4755);
    assert_eq!(of("su").unwrap().mtime, u64::try_from(fs::metadata(place.file("su")).unwrap().mtime()).unwrap());
    assert!(of("tmp").is_some() && of("tmp/junk").is_none() && of("tmp/deep").is_none());
    let mode = fs::metadata(shelf::built(&place.site, "oak").img).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o640);
    assert_eq!(place.names(), [".oak.img.lock", ".oak.img.record", ".oak.img.zst", "oak.img", "oak.img.gz"]);
}

#[test]
fn a_rebuild_takes_what_did_not_change_and_gives_the_same_bytes_as_from_nothing() {
    let place = place();
    let first = place.facts(false);
    assert_eq!(first.kept, 0);
    assert_eq!(place.build(false).outcome, Outcome::Current);
    fs::write(place.file("file-7"), "changed").unwrap();
    fs::remove_file(place.file("file-30")).unwrap();
    let second = place.facts(false);
    assert!(second.kept > 0 && second.kept < second.pieces, "{second:?}");
    let (plain, packed) = (place.bytes(), place.packed());
    let forced = place.facts(true);
    assert_eq!(forced.kept, 0);
    assert!(plain == place.bytes() && packed == place.packed());
}

#[test]
fn a_change_right_after_a_build_is_never_missed() {
    let place = place();
    for round in 0..20 {
        fs::write(place.file("file-1"), format!("{round:02}")).unwrap();
        place.facts(false);
        let text = format!("{round:02}");
        let entries = archive::newc::read(&fs::read(shelf::built(&place.site, "oak").img).unwrap()).unwrap();
        let file = entries.iter().find(|entry| entry.path == b"file-1").unwrap();
        assert_eq!(file.kind, archive::Kind::File(text.as_bytes().into()));
    }
}

#[test]
fn times_that_a_file_system_rounds_are_trusted_later() {
    let settled = Settled { now: Duration::from_secs(1000) };
    assert!(settled.covers((999, 800_000_000)) && !settled.covers((999, 950_000_000)));
    assert!(settled.covers((997, 0)) && !settled.covers((998, 0)));
    assert!(!settled.covers((2000, 5)));
}

#[test]
fn an_archive_of_another_program_is_current_when_nothing_is_newer() {
    let place = place();
    let built = shelf::built(&place.site, "oak");
    fs::create_dir_all(&built.folder).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    fs::write(&built.img, "foreign").unwrap();
    fs::write(&built.gz, "foreign").unwrap();
    assert_eq!(place.build(false).outcome, Outcome::Current);
    std::thread::sleep(Duration::from_millis(20));
    fs::write(place.file("file-1"), "newer").unwrap();
    place.facts(false);
    place.bytes();
}

#[test]
fn what_was_written_into_the_archives_is_noticed() {
    let place = place();
    place.facts(false);
    let built = shelf::built(&place.site, "oak");
    fs::write(&built.gz, "torn").unwrap();
    assert_eq!(place.facts(false).kept, 0);
    place.bytes();
    fs::remove_file(&built.zst).unwrap();
    let again = place.facts(false);
    assert_eq!(again.kept, again.pieces);
    place.bytes();
}

#[test]
fn a_file_that_cannot_be_held_is_refused_by_name_and_the_old_image_stays() {
    let place = place();
    place.facts(false);
    let before = place.bytes();
    File::create(place.file("huge")).unwrap().set_len(1 << 32).unwrap();
    let error = build(&place.site, &place.image, false, |_| {}).unwrap_err();
    let wanted = "build image oak: huge: the file has 4294967296 bytes, and newc cannot hold 4 GiB or more; exclude it or store it compressed";
    assert_eq!(format!("{error:#}"), wanted);
    assert!(place.bytes() == before);
    assert_eq!(place.names().len(), 5);
}

#[test]
fn what_killed_builds_left_is_swept() {
    let place = place();
    let built = shelf::built(&place.site, "oak");
    fs::create_dir_all(&built.folder).unwrap();
    fs::write(built.folder.join(".oak.img.tmp-a1b2c3"), "half").unwrap();
    fs::write(built.folder.join(".oak.img.tmp-x.img.lock"), "another image's").unwrap();
    place.facts(false);
    assert!(!place.names().contains(&".oak.img.tmp-a1b2c3".to_string()));
    assert!(place.names().contains(&".oak.img.tmp-x.img.lock".to_string()));
}

#[test]
fn two_builds_at_once_wait_for_each_other() {
    let place = place();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| place.build(true));
        }
    });
    place.bytes();
    assert_eq!(place.names().len(), 5);
}
