//! Kernels of images as distributions lay them out.

use std::os::unix::fs::symlink;

use super::*;

/// A tree with these files, each holding its own path.
fn image(files: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for file in files {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
    root
}

fn found(root: &tempfile::TempDir, version: &str) -> String {
    match find(root.path(), version) {
        Ok(kernel) => fs::read_to_string(kernel.path).unwrap(),
        Err(error) => error.to_string().replace(&root.path().display().to_string(), "ROOT"),
    }
}

const MANY: [&str; 6] = [
    "boot/vmlinuz-5.14.0-70.13.1.el9.x86_64",
    "boot/vmlinuz-5.14.0-427.16.1.el9.x86_64",
    "boot/vmlinuz-6.1.0-13-amd64",
    "boot/vmlinuz-6.1.0-13-amd64.gz",
    "boot/vmlinuz-6.9.0+debug",
    "etc/os-release",
];

#[test]
fn the_newest_is_taken_that_is_neither_rescue_nor_debug() {
    assert_eq!(found(&image(&MANY), ""), "boot/vmlinuz-6.1.0-13-amd64");
    let no_kernel = "ROOT: no kernel in /boot (vmlinuz-*, Image-*) or /lib/modules/*/vmlinuz that is not for rescue or debugging; install one";
    assert_eq!(found(&image(&["boot/vmlinuz-0-rescue-0123456789abcdef"]), ""), no_kernel);
    assert_eq!(found(&image(&["etc/os-release"]), ""), no_kernel);
    let modules = image(&["lib/modules/5.10.0-8.el9/vmlinuz", "lib/modules/5.9.0/vmlinuz.gz"]);
    assert_eq!(found(&modules, ""), "lib/modules/5.10.0-8.el9/vmlinuz");
    assert_eq!(found(&image(&["boot/vmlinuz-linux", "boot/vmlinuz-linux-6.8.1"]), ""), "boot/vmlinuz-linux-6.8.1");
    assert_eq!(found(&image(&["boot/vmlinuz-generic"]), ""), "boot/vmlinuz-generic");
    assert_eq!(found(&image(&["boot/Image-6.4.0-150600.21-default"]), ""), "boot/Image-6.4.0-150600.21-default");
}

#[test]
fn a_version_is_a_release_or_its_number_or_its_beginning() {
    let many = image(&MANY);
    assert_eq!(found(&many, "5.14.0-70"), "boot/vmlinuz-5.14.0-70.13.1.el9.x86_64");
    assert_eq!(found(&many, "5.14"), "boot/vmlinuz-5.14.0-427.16.1.el9.x86_64");
    assert_eq!(found(&many, "6.9.0+debug"), "boot/vmlinuz-6.9.0+debug");
    assert_eq!(found(&many, "7.7.7"), "ROOT: no kernel 7.7.7; `wwctl image kernels` lists what there is");
    let close = image(&["boot/vmlinuz-6.1.0-13-amd64", "boot/vmlinuz-6.1.0-1-amd64"]);
    assert_eq!(found(&close, "6.1.0-1"), "boot/vmlinuz-6.1.0-1-amd64");
    assert_eq!(found(&close, "6.1.0"), "boot/vmlinuz-6.1.0-13-amd64");
}

#[test]
fn a_version_with_a_slash_is_a_file_of_the_image() {
    let many = image(&MANY);
    for version in ["/boot/vmlinuz-6.1.0-13-amd64", "boot/vmlinuz-6.1.0-13-amd64"] {
        let kernel = find(many.path(), version).unwrap();
        assert_eq!(kernel.release, "6.1.0-13-amd64");
        assert_eq!(kernel.path, many.path().join("boot/vmlinuz-6.1.0-13-amd64"));
    }
    assert_eq!(found(&many, "/etc/os-release"), "etc/os-release");
    assert_eq!(found(&many, "../../../../etc/os-release"), "etc/os-release");
    assert_eq!(found(&many, "/etc/gone"), "ROOT: no kernel /etc/gone; `wwctl image kernels` lists what there is");
    assert_eq!(found(&many, "/boot"), "ROOT: /boot is no plain file");
}

#[test]
fn links_stay_inside_the_image() {
    let outside = tempfile::NamedTempFile::new().unwrap();
    let root = image(&["usr/lib/modules/6.6.0/vmlinuz", "boot/x"]);
    symlink("../usr/lib/modules/6.6.0/vmlinuz", root.path().join("boot/vmlinuz-6.6.0")).unwrap();
    assert_eq!(found(&root, ""), "usr/lib/modules/6.6.0/vmlinuz");
    symlink(outside.path(), root.path().join("boot/vmlinuz-7.0.0")).unwrap();
    assert_eq!(found(&root, ""), "ROOT: /boot/vmlinuz-7.0.0 is a link to nothing inside the image");
    assert_eq!(find(&root.path().join("gone"), ""), Err(KernelError::NoImage { rootfs: root.path().join("gone") }));
    let usr_merged = image(&["usr/lib/modules/6.6.0/vmlinuz"]);
    symlink("/usr/lib", usr_merged.path().join("lib")).unwrap();
    assert_eq!(found(&usr_merged, ""), "usr/lib/modules/6.6.0/vmlinuz");
}

#[test]
fn kernel_and_initramfs_go_together_by_the_whole_release() {
    let root = image(&[
        "boot/initrd.img-6.1.0-13-amd64",
        "boot/initramfs-5.14.0-70.13.1.el9.x86_64.img",
        "boot/initramfs-5.14.0-70.13.1.el9.x86_64kdump.img",
        "boot/initrd-6.4.0-150600.21-default",
        "boot/initramfs-linux.img",
    ]);
    let of = |release| initramfs(root.path(), release).map(|path| fs::read_to_string(path).unwrap());
    assert_eq!(of("6.1.0-13-amd64").unwrap(), "boot/initrd.img-6.1.0-13-amd64");
    assert_eq!(of("6.1.0-13-cloud-amd64"), None);
    assert_eq!(of("5.14.0-70.13.1.el9.x86_64").unwrap(), "boot/initramfs-5.14.0-70.13.1.el9.x86_64.img");
    assert_eq!(of("6.4.0-150600.21-default").unwrap(), "boot/initrd-6.4.0-150600.21-default");
    assert_eq!(of("linux"), None);
    assert_eq!(of(""), None);
}

#[test]
fn an_initrd_without_a_flavour_goes_with_every_flavour_of_its_version() {
    let root = image(&["boot/initrd.img-6.1.0-13-amd64", "boot/initrd-6.1.0-13"]);
    assert_eq!(initramfs(root.path(), "6.1.0-13-amd64").unwrap(), root.path().join("boot/initrd-6.1.0-13"));
}

#[test]
fn versions_compare_as_packagers_do() {
    let older_first = [
        "generic",
        "5.9.0",
        "5.14.0-70.el9.x86_64",
        "5.14.0-427.el9_3.x86_64",
        "5.14.0-427.el9_4.x86_64",
        "5.14.0-427.16.1.el9.x86_64",
        "6.1.0-9-amd64",
        "6.1.0-13-cloud-amd64",
        "6.1.0-13-amd64",
        "6.8.0-rc1",
        "6.8.0-rc10",
        "6.8.0",
        "6.8.0-99999999999999999999999",
    ];
    for pair in older_first.windows(2) {
        assert_eq!(compare(pair[0], pair[1]), Ordering::Less, "{pair:?}");
    }
    assert_eq!(compare("6.1.0", "6.01.0"), Ordering::Equal);
}

#[test]
fn the_default_version_is_the_number_in_the_newest_release() {
    let version = |name: &str| default_version(image(&[name]).path());
    assert_eq!(version("boot/vmlinuz-5.14.0-70.13.1.el9.x86_64").unwrap(), "5.14.0-70.13.1");
    assert_eq!(version("lib/modules/6.1.0-9-amd64/vmlinuz").unwrap(), "6.1.0-9");
    assert_eq!(version("boot/vmlinuz-6.6.1").unwrap(), "6.6.1");
    assert_eq!(version("boot/vmlinuz-6.6.1-generic").unwrap(), "6.6.1");
    assert_eq!(version("boot/vmlinuz-generic"), None);
    assert_eq!(number("0-rescue-abc"), None);
}
