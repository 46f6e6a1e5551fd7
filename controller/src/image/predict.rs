//! What will not boot, said when an image is built rather than on a node's console.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::build::Facts;
use super::tree::{ItemKind, Tree};
use super::{inside, kernels};

/// BIOS firmware and what it loads share the memory below 4 GiB with devices; about 3 GiB are left.
const BIOS_ROOM: u64 = 3 << 30;
const INITS: [&str; 3] = ["/sbin/init", "/etc/init", "/bin/init"];

/// A line for each thing that a node will stumble over.
pub fn warnings(rootfs: &Path, tree: &Tree, facts: &Facts) -> Vec<String> {
    let mut said = Vec::new();
    match kernels::newest(rootfs) {
        None => said.push(
            "no kernel in /boot or /lib/modules: nodes of this image cannot boot from the network until one is installed".to_string(),
        ),
        Some(kernel) => said.extend(modules(rootfs, tree, &kernel.release)),
    }
    if !INITS.iter().any(|init| inside::resolve(rootfs, Path::new(init)).is_ok()) {
        said.push(format!("none of {}: nodes need `--init` to say what to start", INITS.join(", ")));
    }
    if facts.gzip > BIOS_ROOM {
        said.push(format!(
            "{} packed: too much for the memory below 4 GiB that BIOS machines load into; UEFI machines can, or leave more out by /etc/warewulf/excludes",
            shown(facts.gzip)
        ));
    } else if facts.plain > BIOS_ROOM {
        said.push(format!(
            "{} unpacked: BIOS machines must be given the packed form, and a node needs {} of memory while it unpacks",
            shown(facts.plain),
            shown(facts.plain + facts.gzip)
        ));
    }
    for mount in &tree.mounts {
        said.push(format!("{} is a mount point: what is mounted there is not in the image", mount.display()));
    }
    said.extend(capabilities(rootfs, tree));
    said
}

/// Modules come with the image: a kernel without its own finds no disk and no network card.
fn modules(rootfs: &Path, tree: &Tree, release: &str) -> Option<String> {
    if !release.starts_with(|first: char| first.is_ascii_digit()) {
        return Some(format!(
            "kernel {release}: its name tells no release, so that no initramfs and no modules can be matched with it"
        ));
    }
    let folder = Path::new("/lib/modules").join(release);
    let Ok(found) = inside::resolve(rootfs, &folder) else {
        return Some(format!("kernel {release} has no modules ({} is missing)", folder.display()));
    };
    let left_out = found.strip_prefix(rootfs).is_ok_and(|path| {
        let path = path.as_os_str().as_bytes();
        tree.items.binary_search_by(|item| item.path.as_slice().cmp(path)).is_err()
    });
    if left_out {
        return Some(format!("kernel {release}: /etc/warewulf/excludes leaves its modules out"));
    }
    (!found.join("modules.dep").is_file()).then(|| {
        format!("kernel {release}: no modules.dep; run `depmod {release}` in the image, or no module is found")
    })
}

/// newc has no place for them, so `ping` and its kind lose what set-uid once was for.
fn capabilities(rootfs: &Path, tree: &Tree) -> Option<String> {
    let files = tree.items.iter().filter(|item| matches!(item.kind, ItemKind::File { .. }) && item.mode & 0o111 != 0);
    let mut lost = files
        .filter(|item| {
            let path = rootfs.join(std::ffi::OsStr::from_bytes(&item.path));
            crate::sys::has_xattr(&path, c"security.capability")
        })
        .map(|item| String::from_utf8_lossy(&item.path).escape_debug().to_string());
    let first = lost.next()?;
    let more = match lost.count() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "/{first}{more}: file capabilities do not fit into a cpio archive and are lost; set-uid bits are kept"
    ))
}

/// As in the tables: `512 B`, `10.0 KiB`.
pub fn shown(size: u64) -> String {
    if size < 1024 {
        return format!("{size} B");
    }
    // Tenths of a unit; beyond 2^53 bytes nobody counts tenths.
    let mut tenths = u128::from(size) * 10 / 1024;
    for unit in ["KiB", "MiB", "GiB", "TiB", "PiB"] {
        if tenths < 10 * 1024 {
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
        tenths /= 1024;
    }
    format!("{}.{} EiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::super::excludes::Excludes;
    use super::super::tree::walk;
    use super::*;
    use std::fs;

    fn said(files: &[&str], excludes: &str, gzip: u64, plain: u64) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let tree = walk(root.path(), &Excludes::parse(excludes.as_bytes())).unwrap();
        warnings(root.path(), &tree, &Facts { gzip, plain, ..Facts::default() })
    }

    const KERNEL: &str = "boot/vmlinuz-6.1.0-13-amd64";
    const MODULES: &str = "lib/modules/6.1.0-13-amd64/modules.dep";

    #[test]
    fn an_image_that_boots_gets_no_warning() {
        assert_eq!(said(&[KERNEL, MODULES, "sbin/init"], "/boot/", 100, 300), Vec::<String>::new());
    }

    #[test]
    fn what_is_missing_is_said() {
        let no_kernel = "no kernel in /boot or /lib/modules: nodes of this image cannot boot from the network until one is installed";
        let no_init = "none of /sbin/init, /etc/init, /bin/init: nodes need `--init` to say what to start";
        assert_eq!(said(&["etc/passwd"], "", 0, 0), [no_kernel, no_init]);
        let one = |files: &[&str], excludes: &str, said_of_it: &str| {
            assert_eq!(said(&[files, &["sbin/init"]].concat(), excludes, 0, 0), [said_of_it]);
        };
        one(&[KERNEL], "", "kernel 6.1.0-13-amd64 has no modules (/lib/modules/6.1.0-13-amd64 is missing)");
        one(
            &[KERNEL, MODULES],
            "/lib/modules/*",
            "kernel 6.1.0-13-amd64: /etc/warewulf/excludes leaves its modules out",
        );
        one(
            &[KERNEL, "lib/modules/6.1.0-13-amd64/kernel/x.ko"],
            "",
            "kernel 6.1.0-13-amd64: no modules.dep; run `depmod 6.1.0-13-amd64` in the image, or no module is found",
        );
    }

    #[test]
    fn sizes_that_bios_machines_cannot_load_are_said() {
        let whole = [KERNEL, MODULES, "sbin/init"];
        let wide = said(&whole, "", 4 << 30, 9 << 30);
        assert!(wide[0].starts_with("4.0 GiB packed: too much for the memory below 4 GiB"), "{wide:?}");
        let middle = said(&whole, "", 1 << 30, 4 << 30);
        assert!(middle[0].ends_with("a node needs 5.0 GiB of memory while it unpacks"), "{middle:?}");
    }

    #[test]
    fn sizes_are_shown_as_in_the_tables() {
        let sizes = [0, 512, 1023, 1024, 10_240, 1_048_575, 1 << 20, 617_600_000, u64::MAX];
        let wanted =
            ["0 B", "512 B", "1023 B", "1.0 KiB", "10.0 KiB", "1023.9 KiB", "1.0 MiB", "588.9 MiB", "15.9 EiB"];
        assert_eq!(sizes.map(shown), wanted);
    }
}
