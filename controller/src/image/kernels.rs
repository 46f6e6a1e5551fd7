//! The kernels of an image: which there are, which one a node gets, and the initramfs that belongs to it.
//!
//! A kernel's release is the whole text of `uname -r`, taken from its name. An initramfs goes with a kernel by that text,
//! not by the number in it: two flavours of one version are two kernels.

use std::cmp::{Ordering, Reverse};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::inside;

/// A kernel as it lies in an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Path inside the image (`/boot/vmlinuz-6.1.0-13-amd64`).
    pub inside: PathBuf,
    /// `6.1.0-13-amd64`; empty when the name tells none.
    pub release: String,
}

/// The kernel for a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundKernel {
    /// The file on the controller, links followed.
    pub path: PathBuf,
    /// Path inside the image as it was found, before links were followed.
    pub inside: PathBuf,
    /// `6.1.0-13-amd64`; empty when the name tells none.
    pub release: String,
}

/// Why a node gets no kernel.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KernelError {
    #[error("{}: there is no such image", rootfs.display())]
    NoImage { rootfs: PathBuf },
    #[error(
        "{}: no kernel in /boot (vmlinuz-*, Image-*) or /lib/modules/*/vmlinuz that is not for rescue or debugging; install one",
        rootfs.display()
    )]
    NoKernel { rootfs: PathBuf },
    #[error("{}: no kernel {version}; `wwctl image kernels` lists what there is", rootfs.display())]
    NoSuchVersion { rootfs: PathBuf, version: String },
    #[error("{}: {} is a link to nothing inside the image", rootfs.display(), inside.display())]
    DeadLink { rootfs: PathBuf, inside: PathBuf },
    #[error("{}: {} is no plain file", rootfs.display(), inside.display())]
    NoFile { rootfs: PathBuf, inside: PathBuf },
}

/// The kernel that `version` means; empty: the newest that is neither for rescue nor for debugging.
///
/// A version with a slash names a file of the image. Else it is a whole release, or the number in one, or the beginning of
/// one; of several the newest.
///
/// # Errors
/// When there is none, or it cannot be sent.
pub fn find(rootfs: &Path, version: &str) -> Result<FoundKernel, KernelError> {
    if !rootfs.is_dir() {
        return Err(KernelError::NoImage { rootfs: rootfs.to_path_buf() });
    }
    let kernel = if version.contains('/') {
        let inside = Path::new("/").join(version);
        if inside::resolve(rootfs, &inside).is_err()
            && fs::symlink_metadata(rootfs.join(version.trim_start_matches('/'))).is_err()
        {
            return Err(KernelError::NoSuchVersion { rootfs: rootfs.to_path_buf(), version: version.to_string() });
        }
        Kernel { release: release_of(&inside).unwrap_or_default(), inside }
    } else if version.is_empty() {
        newest(rootfs).ok_or_else(|| KernelError::NoKernel { rootfs: rootfs.to_path_buf() })?
    } else {
        named(list(rootfs), version)
            .ok_or_else(|| KernelError::NoSuchVersion { rootfs: rootfs.to_path_buf(), version: version.to_string() })?
    };
    let dead = |_| KernelError::DeadLink { rootfs: rootfs.to_path_buf(), inside: kernel.inside.clone() };
    let path = inside::resolve(rootfs, &kernel.inside).map_err(dead)?;
    if !path.is_file() {
        return Err(KernelError::NoFile { rootfs: rootfs.to_path_buf(), inside: kernel.inside });
    }
    Ok(FoundKernel { path, inside: kernel.inside, release: kernel.release })
}

/// The initramfs for the kernel of this release: `/boot/initramfs-R`, `/boot/initrd-R` or `/boot/initrd.img-R`, `.img` at the
/// end or not, where R is the release or the number in it without any flavour.
pub fn initramfs(rootfs: &Path, release: &str) -> Option<PathBuf> {
    let number = number(release)?;
    let file =
        |name: String| inside::resolve(rootfs, &Path::new("/boot").join(name)).ok().filter(|path| path.is_file());
    ["initramfs-", "initrd-", "initrd.img-"]
        .iter()
        .flat_map(|prefix| [release, number.as_str()].map(|text| format!("{prefix}{text}")))
        .find_map(|name| file(name.clone()).or_else(|| file(format!("{name}.img"))))
}

/// The number in the newest kernel's release (`5.14.0-427.16.1`): what a node has as kernel version that names none itself.
pub fn default_version(rootfs: &Path) -> Option<String> {
    newest(rootfs).and_then(|kernel| kernel.number())
}

/// The newest kernel that is neither for rescue nor for debugging.
pub fn newest(rootfs: &Path) -> Option<Kernel> {
    first_newest(list(rootfs).into_iter().filter(Kernel::is_for_nodes))
}

/// All kernels: `/boot/Image-*`, `/boot/vmlinuz-*`, `/lib/modules/*/vmlinuz` and `vmlinuz.gz`, each group by name.
pub fn list(rootfs: &Path) -> Vec<Kernel> {
    let boot = inside::names(rootfs, Path::new("/boot"));
    let mut kernels: Vec<Kernel> = Vec::new();
    for prefix in ["Image-", "vmlinuz-"] {
        let here = boot.iter().filter(|name| name.as_bytes().starts_with(prefix.as_bytes()));
        // A packed copy beside its kernel is the same kernel.
        let here = here.filter(|name| !is_packed_copy(name, &boot));
        let paths = here.map(|name| Path::new("/boot").join(name));
        kernels.extend(paths.filter(|path| may_be_file(rootfs, path)).filter_map(kernel));
    }
    let modules = Path::new("/lib/modules");
    for release in inside::names(rootfs, modules) {
        let paths = ["vmlinuz", "vmlinuz.gz"].map(|name| modules.join(&release).join(name));
        kernels.extend(
            paths
                .into_iter()
                .filter(|path| inside::resolve(rootfs, path).is_ok_and(|path| path.is_file()))
                .filter_map(kernel),
        );
    }
    kernels
}

impl Kernel {
    /// The number in the release: `6.1.0-13` of `6.1.0-13-amd64`.
    pub fn number(&self) -> Option<String> {
        number(&self.release)
    }

    fn is_for_nodes(&self) -> bool {
        !self.release.contains("-rescue") && !self.release.contains("+debug")
    }
}

fn kernel(inside: PathBuf) -> Option<Kernel> {
    let release = release_of(&inside)?;
    Some(Kernel { inside, release })
}

/// A folder is no kernel; a dead link was meant as one.
fn may_be_file(rootfs: &Path, inside: &Path) -> bool {
    inside::resolve(rootfs, inside).map_or(true, |path| path.is_file())
}

fn is_packed_copy(name: &OsString, all: &[OsString]) -> bool {
    name.as_bytes().strip_suffix(b".gz").is_some_and(|plain| all.iter().any(|other| other.as_bytes() == plain))
}

/// The release that a kernel's path tells; none when this is no kernel's name.
fn release_of(inside: &Path) -> Option<String> {
    let name = inside.file_name()?.to_string_lossy();
    let plain = name.strip_suffix(".gz").unwrap_or(&name);
    if plain == "vmlinuz" {
        return Some(inside.parent()?.file_name()?.to_string_lossy().into_owned());
    }
    let release = plain.strip_prefix("vmlinuz-").or_else(|| plain.strip_prefix("Image-"))?;
    // Rolling distributions write the package's name before the release.
    let after_package =
        release.strip_prefix("linux-").filter(|rest| rest.starts_with(|first: char| first.is_ascii_digit()));
    Some(after_package.unwrap_or(release).to_string())
}

/// The kernel of a version that has no slash.
fn named(kernels: Vec<Kernel>, version: &str) -> Option<Kernel> {
    let whole = |kernel: &Kernel| kernel.release == version || "vmlinuz-".to_string() + &kernel.release == version;
    let number = |kernel: &Kernel| kernel.number().as_deref() == Some(version);
    let next_part = |kernel: &Kernel| {
        kernel.release.strip_prefix(version).is_some_and(|rest| rest.starts_with(['.', '-', '+', '_']))
    };
    let beginning = |kernel: &Kernel| kernel.release.starts_with(version);
    let for_nodes = |wanted: &dyn Fn(&Kernel) -> bool| {
        let fitting = || kernels.iter().filter(|kernel| wanted(kernel)).cloned();
        first_newest(fitting().filter(Kernel::is_for_nodes)).or_else(|| first_newest(fitting()))
    };
    for_nodes(&whole).or_else(|| for_nodes(&number)).or_else(|| for_nodes(&next_part)).or_else(|| for_nodes(&beginning))
}

/// Of equals the first, so that the order of [`list`] decides.
fn first_newest(kernels: impl Iterator<Item = Kernel>) -> Option<Kernel> {
    kernels.fold(None, |best: Option<Kernel>, kernel| match best {
        Some(best) if compare(&kernel.release, &best.release) != Ordering::Greater => Some(best),
        _ => Some(kernel),
    })
}

/// The first `\d+\.\d+\.\d+(-[\d.]+)?` in a release, without a dot at its end.
fn number(release: &str) -> Option<String> {
    let bytes = release.as_bytes();
    let digits = |at: usize| bytes.iter().skip(at).take_while(|byte| byte.is_ascii_digit()).count();
    let starts = (0..bytes.len()).find_map(|start| {
        let one = digits(start);
        let two_at = start + one + 1;
        let two = digits(two_at);
        let three_at = two_at + two + 1;
        let three = digits(three_at);
        let dots = bytes.get(two_at - 1) == Some(&b'.') && bytes.get(three_at - 1) == Some(&b'.');
        (one > 0 && two > 0 && three > 0 && dots).then_some((start, three_at + three))
    });
    let (start, mut end) = starts?;
    if bytes.get(end) == Some(&b'-') {
        let more = bytes.iter().skip(end + 1).take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
        end += if more > 0 { 1 + more } else { 0 };
    }
    Some(release.get(start..end)?.trim_end_matches('.').to_string())
}

/// Older or newer, as packagers compare: numbers as numbers, `-rc1` before the release itself. What differs only in a word
/// (`amd64`, `cloud-amd64`) is another flavour: the first in the alphabet counts as the newer.
fn compare(one: &str, other: &str) -> Ordering {
    key(one).cmp(&key(other))
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Candidate,
    End,
    /// Without zeros in front; the longer is the larger, so that no size overflows.
    Number(usize, String),
}

fn key(release: &str) -> (Vec<Part>, Reverse<Vec<String>>, Vec<Part>) {
    let (mut leading, mut words, mut trailing) = (Vec::new(), Vec::new(), Vec::new());
    let mut rest = release;
    while let Some(first) = rest.chars().next() {
        let same = |each: char| {
            each.is_ascii_digit() == first.is_ascii_digit() && each.is_alphanumeric() == first.is_alphanumeric()
        };
        let (part, after) = rest.split_at(rest.find(|each| !same(each)).unwrap_or(rest.len()));
        rest = after;
        if first.is_ascii_digit() {
            let digits = part.trim_start_matches('0');
            let number = Part::Number(digits.len(), digits.to_string());
            if words.is_empty() { leading.push(number) } else { trailing.push(number) }
        } else if part == "rc" && words.is_empty() {
            leading.push(Part::Candidate);
        } else if first.is_alphanumeric() {
            words.push(part.to_string());
        }
    }
    leading.push(Part::End);
    (leading, Reverse(words), trailing)
}

#[cfg(test)]
#[path = "kernels_tests.rs"]
mod tests;
