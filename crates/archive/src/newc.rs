//! The newc cpio format, both ways: what a kernel unpacks into its first root.
//!
//! [`write()`] and [`read()`] work on whole trees in memory (overlays); [`lay`] gives the members of one to who keeps the
//! bytes in pieces. For trees that do not fit, [`Head::encode`],
//! [`padding`] and [`trailer`] give the bytes around bodies that somebody else streams, and [`Numbers`] the inode numbers.
//!
//! Format: Linux `Documentation/driver-api/early-userspace/buffer-format.rst` and cpio(5). A member is 110 bytes of header
//! (`070701`, then 13 numbers of 8 hex digits), the name with its NUL, padding to 4, the body, padding to 4. The last one is
//! called `TRAILER!!!`. newc has 32 bits for a size and knows no extended attributes.

mod head;
mod read;
mod write;

pub use head::{Head, HeadKind, Numbers, WriteError, padding, trailer};
pub use read::{Member, Members, ReadError, entries, read, read_one};
pub use write::{Body, Laid, lay, write};

/// Length of a member's header.
pub const HEADER: usize = 110;
/// The kernel skips longer names and link targets without a word (`init/initramfs.c`); with their NUL.
pub const PATH_MAX: usize = 4096;
/// Linux makes no file whose name is longer (`include/uapi/linux/limits.h`), and skips it as silently.
pub const NAME_MAX: usize = 255;
/// The name that ends an archive.
pub const TRAILER: &[u8] = b"TRAILER!!!";

#[cfg(test)]
mod tests;
