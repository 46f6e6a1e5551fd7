//! The recorded answers of stock to `wwctl image`, asked of ours, and our own answers where stock is wrong.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod world;

use serde_json::json;
use world::World;
use world::recorded::topic;

#[test]
fn image() {
    topic("image");
}

/// A world with the image `oak`, which nobody uses.
fn small() -> World {
    let world = World::with_nodes("nodes: {n1: {image name: elm}}\n");
    for image in ["oak", "elm"] {
        world.put(&format!("var/chroots/{image}/rootfs/bin/sh"), &json!({"text": "#!/bin/false\n", "mode": "0755"}));
    }
    world
}

#[test]
fn an_image_that_was_never_built_is_deleted_without_complaint() {
    let world = small();
    let ran = world.run(&["image", "delete", "-y", "oak"]);
    assert_eq!((ran.exit, ran.stderr.as_str()), (0, ""));
    assert!(!world.path("var/chroots/oak").exists());
}

#[test]
fn of_several_images_none_is_deleted_when_one_is_in_use() {
    let world = small();
    let ran = world.run(&["image", "delete", "-y", "oak", "elm"]);
    assert_eq!(ran.exit, 255);
    assert_eq!(ran.stderr, "ERROR: image elm: in use by n1; give these nodes another image first\n");
    assert!(world.path("var/chroots/oak/rootfs").exists());
}

#[test]
fn a_renamed_image_keeps_what_was_built_and_stays_current() {
    let world = small();
    assert_eq!(world.run(&["image", "build", "elm"]).exit, 0);
    assert_eq!(world.run(&["image", "rename", "elm", "ash"]).exit, 0);
    assert!(world.path("var/provision/images/ash.img.gz").exists());
    assert!(!world.path("var/provision/images/elm.img").exists());
    assert_eq!(world.run(&["image", "build", "ash"]).stdout, "image ash: current\n");
    assert_eq!(world.read(world::NODES), "nodeprofiles: {}\nnodes:\n  n1:\n    image name: ash\n");
}

#[test]
fn a_set_uid_bit_and_hard_links_go_into_the_archive() {
    let world = small();
    world.put("var/chroots/oak/rootfs/bin/su", &json!({"text": "su", "mode": "4755"}));
    let bin = world.path("var/chroots/oak/rootfs/bin");
    std::fs::hard_link(bin.join("su"), bin.join("zu")).unwrap();
    assert_eq!(world.run(&["image", "build", "oak"]).exit, 0);
    let entries = archive::newc::read(&std::fs::read(world.path("var/provision/images/oak.img")).unwrap()).unwrap();
    let of = |path: &str| entries.iter().find(|entry| entry.path == path.as_bytes()).unwrap();
    assert_eq!(of("bin/su").mode, 0o4755);
    assert_eq!(of("bin/zu").kind, archive::Kind::HardLink(b"bin/su".to_vec()));
}

#[test]
fn what_will_not_boot_is_said_at_the_build() {
    let ran = small().run(&["image", "build", "oak"]);
    assert_eq!(ran.exit, 0);
    let said: Vec<&str> = ran.stderr.lines().collect();
    let wanted = [
        "WARN   : image oak: no kernel in /boot or /lib/modules: nodes of this image cannot boot from the network until one is installed",
        "WARN   : image oak: none of /sbin/init, /etc/init, /bin/init: nodes need `--init` to say what to start",
    ];
    assert_eq!(said, wanted);
}

#[test]
fn an_archive_is_imported_built_and_listed() {
    let world = small();
    let mut tar = std::process::Command::new("tar");
    tar.args(["-C", "var/chroots/oak/rootfs", "-czf", "birch.tar.gz", "."]);

    assert!(tar.current_dir(world.root()).status().unwrap().success());
    let ran = world.run(&["image", "import", "-b", "@ROOT@/birch.tar.gz"]);
    assert_eq!(ran.exit, 0, "{}", ran.stderr);
    assert!(world.path("var/provision/images/birch.img.gz").exists());
    assert_eq!(world.run(&["image", "list", "birch"]).stdout, "IMAGE NAME\n----------\nbirch\n\n");
    let again = world.run(&["image", "import", "@ROOT@/birch.tar.gz"]);
    assert_eq!(again.stderr, "ERROR: image birch: is there already; --force replaces it, --update unpacks over it\n");
    let remote = world.run(&["image", "import", "docker://x/y"]);
    assert_eq!(remote.exit, 255);
}

#[test]
fn one_image_that_cannot_be_built_keeps_no_other_from_it() {
    let world = small();
    world.put("var/chroots/elm/rootfs/huge", &json!({"size": 4_294_967_296_u64}));
    let ran = world.run(&["image", "build", "--all"]);
    assert_eq!(ran.exit, 255);
    assert!(ran.stderr.contains("build image elm: huge: the file has 4294967296 bytes"), "{}", ran.stderr);
    assert!(world.path("var/provision/images/oak.img").exists());
}

/// Programs of this machine with the libraries that they need, laid into the image.
fn furnish(world: &World, programs: &[&str]) {
    let root = world.path("var/chroots/oak/rootfs");
    for program in programs {
        let listed = std::process::Command::new("ldd").arg(program).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        let libraries = listed.split_whitespace().filter(|word| word.starts_with('/'));
        for file in libraries.chain([*program]) {
            let to = root.join(&file[1..]);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(file, to).unwrap();
        }
    }
    for folder in ["proc", "dev", "sys", "run", "etc", "mnt"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
}

#[test]
fn a_command_runs_inside_the_image_and_what_it_changes_is_built() {
    if !nix::unistd::geteuid().is_root() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "a mount namespace needs root");
        eprintln!("skipped: a mount namespace needs root");
        return;
    }
    let world = small();
    furnish(&world, &["/bin/sh", "/bin/cat"]);
    world.put("shared/text", &json!("from outside\n"));
    let inside = "cat /mnt/text; echo new > /etc/made; echo lost > /run/x; echo no > /mnt/text; pwd";
    let ran = world.run(&["image", "exec", "-b", "@ROOT@/shared:/mnt:ro", "oak", "/bin/sh", "-c", inside]);
    assert_eq!(ran.exit, 0, "{}", ran.stderr);
    assert!(ran.stdout.starts_with("from outside\n/\nimage oak: built in "), "{}", ran.stdout);
    assert_eq!(world.read("shared/text"), "from outside\n");
    let entries = archive::newc::read(&std::fs::read(world.path("var/provision/images/oak.img")).unwrap()).unwrap();
    assert!(entries.iter().any(|entry| entry.path == b"etc/made"));
    assert!(!world.path("var/chroots/oak/rootfs/run/x").exists());
    assert!(!std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(world.root().to_str().unwrap()));
    let failed = world.run(&["image", "exec", "oak", "/bin/sh", "-c", "exit 3"]);
    assert_eq!(failed.exit, 255);
    assert!(failed.stderr.contains("exit status: 3; the image is not built"), "{}", failed.stderr);
    let missing = world.run(&["image", "exec", "--build=false", "oak", "/bin/nothing"]);
    assert!(missing.stderr.contains("/bin/nothing in image oak: No such file"), "{}", missing.stderr);
}

/// The three forms of the image, all whole.
fn forms(world: &World) -> [Vec<u8>; 3] {
    let read = |name: &str| std::fs::read(world.path("var/provision/images").join(name)).unwrap();
    let forms = [read("oak.img"), read("oak.img.gz"), read(".oak.img.zst")];
    archive::newc::read(&forms[0]).unwrap();
    let mut gz = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(forms[1].as_slice()), &mut gz).unwrap();
    assert!(gz == forms[0]);
    assert!(zstd::decode_all(forms[2].as_slice()).unwrap() == forms[0]);
    forms
}

#[test]
fn a_build_that_is_killed_leaves_the_last_image_whole() {
    let world = small();
    let noise: String = (0..400_000_u32)
        .map(|index| {
            char::from(b"abcdefghijklmnopqrstuvwxyz012345"[(index.wrapping_mul(2_654_435_761) >> 27) as usize])
        })
        .collect();
    for index in 0..12 {
        world.put(&format!("var/chroots/oak/rootfs/file-{index}"), &json!(noise));
    }
    assert_eq!(world.run(&["image", "build", "oak"]).exit, 0);
    let before = forms(&world);
    for round in 0..20 {
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_wwctl"))
            .arg("--warewulfconf")
            .arg(world.path("etc/warewulf/warewulf.conf"))
            .args(["image", "build", "-f", "oak"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(round * 17));
        child.kill().unwrap();
        child.wait().unwrap();
        // The tree is the same, so whatever was published is, too.
        assert!(forms(&world) == before, "killed after {} ms", round * 17);
    }
    assert_eq!(world.run(&["image", "build", "-f", "oak"]).exit, 0);
    let names = std::fs::read_dir(world.path("var/provision/images")).unwrap();
    let unfinished = names.filter(|name| name.as_ref().unwrap().file_name().to_string_lossy().contains("tmp-")).count();
    assert_eq!(unfinished, 0);
}

#[test]
fn a_full_disk_is_said_and_the_last_image_stays() {
    if !nix::unistd::geteuid().is_root() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "a small disk needs root");
        eprintln!("skipped: a small disk needs root");
        return;
    }
    let world = small();
    world.put("var/provision/images/x", &json!(""));
    let script = "mount -t tmpfs -o size=2m none var/provision || exit 1
        build() { \"$0\" --warewulfconf etc/warewulf/warewulf.conf image build oak; }
        build && before=$(sha256sum var/provision/images/oak.img*) || exit 2
        head -c 8000000 /dev/urandom > var/chroots/oak/rootfs/large
        build 2> said && exit 3
        [ \"$before\" = \"$(sha256sum var/provision/images/oak.img*)\" ] || exit 4
        ls -A var/provision/images | grep tmp && exit 5
        rm var/chroots/oak/rootfs/large && build || exit 6";
    let mut unshare = std::process::Command::new("unshare");
    unshare.args(["--mount", "sh", "-c", script, env!("CARGO_BIN_EXE_wwctl")]).current_dir(world.root());
    let output = unshare.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let said = world.read("said");
    let last = said.lines().last().unwrap();
    assert!(last.starts_with("ERROR: build image oak: write ") && last.contains("No space left on device"), "{said}");
}
