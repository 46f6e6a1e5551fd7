//! The system calls that need `unsafe`: extended attributes, and what a child does between fork and exec.
#![allow(unsafe_code, reason = "neither std nor nix has these calls; each one states why it is sound")]

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::SigSet;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::net::Socket;

/// The extended attributes of a file itself, not of what a link points to. A file system without any has none.
pub fn xattrs(path: &Path) -> io::Result<Vec<(CString, Vec<u8>)>> {
    let path = c_path(path)?;
    let names = sized(|buffer| {
        // SAFETY: path ends in NUL; the buffer is writable for the length that is passed.
        unsafe { libc::llistxattr(path.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) }
    });
    let names = match names {
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOTSUP | libc::ENODATA)) => return Ok(Vec::new()),
        other => other?,
    };
    let mut found = Vec::new();
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let Ok(name) = CString::new(name) else { continue };
        if let Some(value) = xattr(&path, &name)? {
            found.push((name, value));
        }
    }
    Ok(found)
}

/// One attribute of a file; `None` when it has none of that name.
pub fn xattr_of(path: &Path, name: &CStr) -> io::Result<Option<Vec<u8>>> {
    xattr(&c_path(path)?, name)
}

fn xattr(path: &CStr, name: &CStr) -> io::Result<Option<Vec<u8>>> {
    let value = sized(|buffer| {
        // SAFETY: both names end in NUL; the buffer is writable for the length that is passed.
        unsafe { libc::lgetxattr(path.as_ptr(), name.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) }
    });
    match value {
        Ok(value) => Ok(Some(value)),
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENODATA | libc::ENOTSUP | libc::EACCES)) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Sets one attribute of a file itself.
pub fn set_xattr(path: &Path, name: &CStr, value: &[u8]) -> io::Result<()> {
    let path = c_path(path)?;
    // SAFETY: both names end in NUL; the value is readable for the length that is passed.
    let done = unsafe { libc::lsetxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Asks for the size, then for the value, and again when it grew between the two.
fn sized(call: impl Fn(&mut [u8]) -> isize) -> io::Result<Vec<u8>> {
    loop {
        let size = usize::try_from(call(&mut [])).map_err(|_| io::Error::last_os_error())?;
        if size == 0 {
            return Ok(Vec::new());
        }
        let mut buffer = vec![0; size];
        match usize::try_from(call(&mut buffer)) {
            Ok(size) => {
                buffer.truncate(size);
                return Ok(buffer);
            }
            Err(_) if io::Error::last_os_error().raw_os_error() == Some(libc::ERANGE) => {}
            Err(_) => return Err(io::Error::last_os_error()),
        }
    }
}

/// The command will lead a session of its own, with no signal blocked: it can be ended with all that it started.
pub fn in_own_session(command: &mut Command) -> &mut Command {
    // SAFETY: between fork and exec only setsid and sigprocmask are called; both are async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            nix::unistd::setsid()?;
            SigSet::empty().thread_set_mask()?;
            Ok(())
        })
    }
}

/// A socket that wakes its waiters when something can be read from it.
pub fn readable(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    // SAFETY: Socket owns its descriptor, hands out the same one each time, and closes it only when it is dropped.
    let registered = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
    registered.map_err(|e| io::Error::other(e.to_string()))
}

/// Splits this program in two and says in which of them this is. Only while it has a single thread.
pub fn fork() -> io::Result<nix::unistd::ForkResult> {
    // SAFETY: the caller has started no thread, so no lock can be held by one that is gone in the child.
    Ok(unsafe { nix::unistd::fork() }?)
}

fn c_path(path: &Path) -> io::Result<CString> {
    let bytes: &OsStr = path.as_os_str();
    CString::new(bytes.as_bytes()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}
