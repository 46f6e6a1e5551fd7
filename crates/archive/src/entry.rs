//! One entry of a tree: what it is called, what it is, and whose.

use std::collections::BTreeMap;
use std::sync::Arc;

/// One entry of a file tree as it will lie on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Path from the root without a leading slash, as bytes of the file system (`etc/hosts`).
    pub path: Vec<u8>,
    /// Permission bits with set-uid, set-gid and sticky (`0o7777`), without the file type.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds since 1970.
    pub mtime: u64,
    pub kind: Kind,
    /// Extended attributes by name (`security.capability`). newc cannot carry them.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    File(Arc<[u8]>),
    Directory,
    /// Target as written in the link.
    Symlink(Vec<u8>),
    /// Another name of the file at this path, which is an entry of the same tree.
    HardLink(Vec<u8>),
    Fifo,
    Socket,
    CharDevice {
        major: u32,
        minor: u32,
    },
    BlockDevice {
        major: u32,
        minor: u32,
    },
}
