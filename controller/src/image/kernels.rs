//! The kernels of an image, which of them a node boots, and the initramfs that belongs to it.
//!
//! Choosing is pure: it works on names. Only [`list`] and [`initramfs`] look into folders, and they follow no links.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

/// A kernel of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Path inside the image, from its root: `/boot/vmlinuz-6.1.0-13-amd64`.
    pub path: PathBuf,
    /// The whole release, as the folder of its modules is called: `6.1.0-13-amd64`. Empty when the name says none.
    pub release: String,
    /// The part of it that is numbers, as listings and templates show it: `6.1.0-13`.
    pub version: String,
}

/// Why a node has no kernel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoKernel {
    #[error("the image {0} has no folder: import it, or mend `image name`")]
    NoImage(PathBuf),
    #[error("the image has no kernel in /boot or /lib/modules: install one in it")]
    None,
    #[error("the image has no kernel {wanted:?}: it has {have}")]
    NoSuchVersion { wanted: String, have: String },
}

/// The kernels of the image at `rootfs`, in the order in which they are looked for; none when it has none.
pub fn list(rootfs: &Path) -> Vec<Kernel> {
    let boot = names(&rootfs.join("boot"));
    let in_boot = |prefix: &'static str| {
        let matching = boot.iter().filter(move |name| name.starts_with(prefix));
        matching.map(|name| kernel(Path::new("/boot").join(name), release_of_file(name)))
    };
    let mut kernels: Vec<Kernel> = in_boot("Image-").chain(in_boot("vmlinuz-linux")).collect();
    for kernel in in_boot("vmlinuz-") {
        if !kernels.contains(&kernel) {
            kernels.push(kernel);
        }
    }
    kernels.retain(|kernel| is_file_or_link(rootfs, &kernel.path));
    for modules in ["lib/modules", "usr/lib/modules"] {
        for release in names(&rootfs.join(modules)) {
            // Where /lib is a link to usr/lib both are one: it is listed once, by the name everybody uses.
            let path = Path::new("/lib/modules").join(&release);
            for file in ["vmlinuz", "vmlinuz.gz"] {
                let kernel = kernel(path.join(file), release.clone());
                let there = is_file_or_link(rootfs, &Path::new("/").join(modules).join(&release).join(file));
                if there && !kernels.contains(&kernel) {
                    kernels.push(kernel);
                }
            }
        }
    }
    kernels
}

/// The kernel that is booted when nobody names one: the highest version; never a rescue or a debug kernel.
pub fn default(kernels: &[Kernel]) -> Option<&Kernel> {
    let mut best: Option<&Kernel> = None;
    for kernel in kernels {
        let name = kernel.path.to_string_lossy();
        if name.contains("-rescue") || name.contains("+debug") {
            continue;
        }
        // Of equal ones the first stays: the plain flavour comes before its variants.
        if best.is_none_or(|best| compare_versions(&kernel.version, &best.version) == Ordering::Greater) {
            best = Some(kernel);
        }
    }
    best
}

/// The version that templates and listings show for an image: that of its default kernel.
pub fn default_version(rootfs: &Path) -> Option<String> {
    let kernels = list(rootfs);
    default(&kernels).map(|kernel| kernel.version.clone()).filter(|version| !version.is_empty())
}

/// The kernel for `wanted`: a path inside the image, the beginning of a version, or "" for the default one.
///
/// A path is taken as it is, whether or not something lies there: opening it will tell.
///
/// # Errors
/// [`NoKernel`] names what is there instead.
pub fn find(rootfs: &Path, wanted: &str) -> Result<Kernel, NoKernel> {
    if !rootfs.is_dir() {
        return Err(NoKernel::NoImage(rootfs.to_path_buf()));
    }
    let kernels = list(rootfs);
    if wanted.is_empty() {
        return default(&kernels).cloned().ok_or(NoKernel::None);
    }
    let path = Path::new("/").join(wanted.trim_start_matches('/'));
    if wanted.contains('/') || is_file_or_link(rootfs, &path) {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let known = kernels.iter().find(|kernel| kernel.path == path).cloned();
        return Ok(known.unwrap_or_else(|| kernel(path, release_of_file(&file))));
    }
    let begins = |kernel: &&Kernel| kernel.version.starts_with(wanted) || kernel.release == wanted;
    kernels.iter().find(begins).cloned().ok_or_else(|| NoKernel::NoSuchVersion {
        wanted: wanted.into(),
        have: match kernels.iter().map(|kernel| kernel.release.as_str()).collect::<Vec<_>>().join(", ") {
            have if have.is_empty() => "none".into(),
            have => have,
        },
    })
}

/// The initramfs of that kernel, as a path inside the image.
///
/// Its name carries the kernel's whole release, or only the numbers of it; another flavour's is never taken.
pub fn initramfs(rootfs: &Path, kernel: &Kernel) -> Option<PathBuf> {
    if kernel.version.is_empty() {
        return None;
    }
    let boot = names(&rootfs.join("boot"));
    for prefix in ["initramfs-", "initrd-", "initrd.img-"] {
        for name in boot.iter().filter(|name| name.starts_with(prefix)) {
            let release = name.trim_start_matches(prefix).trim_end_matches(".img");
            if release == kernel.release || release == kernel.version {
                return Some(Path::new("/boot").join(name));
            }
        }
    }
    None
}

fn kernel(path: PathBuf, release: String) -> Kernel {
    let version = version_in(&release);
    Kernel { path, release, version }
}

/// What follows the first part of a kernel's file name: `vmlinuz-6.1.0-13-amd64` is of `6.1.0-13-amd64`.
fn release_of_file(name: &str) -> String {
    let rest = ["vmlinuz-linux-", "vmlinuz-", "Image-"].iter().find_map(|prefix| name.strip_prefix(prefix));
    let rest = rest.unwrap_or(name).trim_end_matches(".gz");
    if version_in(rest).is_empty() { String::new() } else { rest.to_string() }
}

/// The first `\d+\.\d+\.\d+(-[\d.]+)?`, without a dot at its end.
fn version_in(text: &str) -> String {
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes.get(from..).unwrap_or_default().iter().take_while(|b| b.is_ascii_digit()).count();
    let mut start = 0;
    while start < bytes.len() {
        let mut end = start;
        let mut parts = 0;
        loop {
            let count = digits(end);
            if count == 0 {
                break;
            }
            end += count;
            parts += 1;
            if parts == 3 || bytes.get(end) != Some(&b'.') {
                break;
            }
            end += 1;
        }
        if parts == 3 {
            let tail = bytes.get(end + 1..).unwrap_or_default();
            let more = tail.iter().take_while(|b| b.is_ascii_digit() || **b == b'.').count();
            if bytes.get(end) == Some(&b'-') && more > 0 {
                end += 1 + more;
            }
            return text.get(start..end).unwrap_or("").trim_end_matches('.').to_string();
        }
        start += digits(start).max(1);
    }
    String::new()
}

/// Compares as packagers do: runs of digits as numbers, other runs as text, piece by piece; more pieces is newer.
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (pieces(a), pieces(b));
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(x), Some(y)) => match (is_number(x), is_number(y)) {
                (true, true) => {
                    let (x, y) = (x.trim_start_matches('0'), y.trim_start_matches('0'));
                    x.len().cmp(&y.len()).then_with(|| x.cmp(y))
                }
                // A number is newer than a word, as in rpm.
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) => x.cmp(y),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

fn is_number(piece: &str) -> bool {
    piece.starts_with(|c: char| c.is_ascii_digit())
}

fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric()).flat_map(|word| {
        let mut cuts = vec![0];
        let kinds: Vec<bool> = word.bytes().map(|b| b.is_ascii_digit()).collect();
        cuts.extend(kinds.windows(2).enumerate().filter(|(_, pair)| pair.first() != pair.last()).map(|(i, _)| i + 1));
        cuts.push(word.len());
        let ends = cuts.clone().into_iter().skip(1);
        cuts.into_iter().zip(ends).filter_map(|(from, to)| word.get(from..to)).filter(|piece| !piece.is_empty())
    })
}

/// The names in a folder, sorted; none when it is no folder. Names that are no UTF-8 cannot be a kernel's.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

fn is_file_or_link(rootfs: &Path, path: &Path) -> bool {
    let path = rootfs.join(path.strip_prefix("/").unwrap_or(path));
    path.symlink_metadata().is_ok_and(|data| data.is_file() || data.is_symlink())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, file).unwrap();
        }
        folder
    }

    fn found(image: &tempfile::TempDir, wanted: &str) -> String {
        find(image.path(), wanted).map_or_else(|e| e.to_string(), |kernel| kernel.path.display().to_string())
    }

    const MANY: [&str; 5] = [
        "boot/vmlinuz-5.14.0-70.13.1.el9.x86_64",
        "boot/vmlinuz-5.14.0-427.16.1.el9.x86_64",
        "boot/vmlinuz-6.1.0-13-amd64",
        "boot/vmlinuz-6.1.0-13-amd64.gz",
        "boot/vmlinuz-6.9.0+debug",
    ];

    #[test]
    fn the_newest_kernel_is_taken_and_never_a_debug_one() {
        let many = image(&MANY);
        assert_eq!(found(&many, ""), "/boot/vmlinuz-6.1.0-13-amd64");
        assert_eq!(default_version(many.path()).as_deref(), Some("6.1.0-13"));
    }

    #[test]
    fn a_version_may_be_named_by_its_beginning() {
        let many = image(&MANY);
        assert_eq!(found(&many, "5.14.0-70"), "/boot/vmlinuz-5.14.0-70.13.1.el9.x86_64");
        assert_eq!(found(&many, "5.14"), "/boot/vmlinuz-5.14.0-427.16.1.el9.x86_64");
        assert_eq!(found(&many, "6.1.0-13-amd64"), "/boot/vmlinuz-6.1.0-13-amd64");
        assert!(found(&many, "7.7.7").starts_with("the image has no kernel \"7.7.7\": it has 5.14.0-427"));
    }

    #[test]
    fn any_file_may_be_named_by_its_path() {
        let many = image(&MANY);
        assert_eq!(found(&many, "boot/vmlinuz-6.1.0-13-amd64"), "/boot/vmlinuz-6.1.0-13-amd64");
        assert_eq!(found(&many, "/etc/os-release"), "/etc/os-release");
    }

    #[test]
    fn a_rescue_kernel_alone_is_no_kernel() {
        assert_eq!(find(image(&["boot/vmlinuz-0-rescue-abc"]).path(), ""), Err(NoKernel::None));
    }

    #[test]
    fn a_kernel_without_a_version_in_its_name_will_do() {
        assert_eq!(found(&image(&["boot/vmlinuz-generic"]), ""), "/boot/vmlinuz-generic");
        let rolling = image(&["boot/vmlinuz-linux", "boot/vmlinuz-linux-6.8.1"]);
        assert_eq!(found(&rolling, ""), "/boot/vmlinuz-linux-6.8.1");
        assert_eq!(list(rolling.path()).len(), 2);
    }

    #[test]
    fn kernels_beside_their_modules_count_too() {
        let modules = image(&["lib/modules/5.10.0-8.el9/vmlinuz", "lib/modules/5.9.0/vmlinuz.gz"]);
        assert_eq!(found(&modules, ""), "/lib/modules/5.10.0-8.el9/vmlinuz");
        assert_eq!(list(modules.path())[0].version, "5.10.0-8");
        let merged = image(&["usr/lib/modules/6.6.0/vmlinuz"]);
        std::os::unix::fs::symlink("usr/lib", merged.path().join("lib")).unwrap();
        assert_eq!(list(merged.path()).len(), 1);
    }

    #[test]
    fn an_initramfs_is_paired_by_the_whole_release() {
        let pair = |files: &[&str]| {
            let image = image(files);
            initramfs(image.path(), &find(image.path(), "").unwrap()).map(|path| path.display().to_string())
        };
        let kernel = "boot/vmlinuz-6.1.0-13-amd64";
        assert_eq!(pair(&[kernel, "boot/initrd.img-6.1.0-13-cloud-amd64"]), None);
        assert_eq!(
            pair(&[kernel, "boot/initrd.img-6.1.0-13-amd64"]).as_deref(),
            Some("/boot/initrd.img-6.1.0-13-amd64")
        );
        assert_eq!(
            pair(&[kernel, "boot/initrd-6.1.0-13", "boot/initrd.img-6.1.0-13-amd64"]).as_deref(),
            Some("/boot/initrd-6.1.0-13")
        );
        let el = "boot/vmlinuz-5.14.0-70.13.1.el9.x86_64";
        assert_eq!(
            pair(&[el, "boot/initramfs-5.14.0-70.13.1.el9.x86_64.img"]).as_deref(),
            Some("/boot/initramfs-5.14.0-70.13.1.el9.x86_64.img")
        );
        assert_eq!(pair(&["boot/vmlinuz-generic", "boot/initrd-generic"]), None);
    }

    #[test]
    fn versions_compare_as_numbers() {
        for (less, more) in
            [("6.1.0-9", "6.1.0-13"), ("5.14.0-70", "5.14.0-427.16.1"), ("6.1", "6.1.1"), ("1.rc1", "1.1"), ("", "0")]
        {
            assert_eq!(compare_versions(less, more), Ordering::Less, "{less} {more}");
            assert_eq!(compare_versions(more, less), Ordering::Greater, "{less} {more}");
        }
        assert_eq!(compare_versions("6.01", "6.1"), Ordering::Equal);
    }

    #[test]
    fn the_version_is_the_first_three_numbers_and_what_belongs_to_them() {
        for (text, version) in [
            ("5.14.0-427.16.1.el9.x86_64", "5.14.0-427.16.1"),
            ("5.10.0-8.el9", "5.10.0-8"),
            ("0-rescue-abc", ""),
            ("linux-6.8.1", "6.8.1"),
            ("10.6.8.1.2", "10.6.8"),
            ("6.9.0+debug", "6.9.0"),
            ("1.2-3.4.5-", "3.4.5"),
        ] {
            assert_eq!(version_in(text), version, "{text}");
        }
    }
}
