//! The system calls that no safe wrapper offers; the one file of this crate with `unsafe`.
#![allow(unsafe_code, reason = "addresses of packet sockets are made by hand; each block says why it holds")]

use std::io;

use socket2::{SockAddr, Socket};
use tokio::io::unix::AsyncFd;

/// The address of a packet socket (packet(7)): interface, EtherType, and the hardware address that a frame goes to.
///
/// # Errors
/// Never in practice: building the address does not fail.
pub fn packet_address(interface: u32, ether_type: u16, mac: [u8; 6]) -> io::Result<SockAddr> {
    // SAFETY: sockaddr_ll is no larger than sockaddr_storage and of no stricter alignment; the storage comes zeroed, every
    // bit pattern of sockaddr_ll is valid, and `length` is set to the size of what was written.
    let ((), address) = unsafe {
        SockAddr::try_init(|storage, length| {
            let link = &mut *storage.cast::<libc::sockaddr_ll>();
            link.sll_family = AF_PACKET;
            link.sll_protocol = ether_type.to_be();
            link.sll_ifindex = i32::try_from(interface).map_err(io::Error::other)?;
            link.sll_halen = 6;
            let [a, b, c, d, e, f] = mac;
            link.sll_addr = [a, b, c, d, e, f, 0, 0];
            *length = SIZE;
            Ok(())
        })?
    };
    Ok(address)
}

#[allow(clippy::cast_possible_truncation, reason = "both are small constants of the platform")]
const AF_PACKET: libc::sa_family_t = libc::AF_PACKET as libc::sa_family_t;
#[allow(clippy::cast_possible_truncation, reason = "both are small constants of the platform")]
const SIZE: libc::socklen_t = size_of::<libc::sockaddr_ll>() as libc::socklen_t;

/// A socket that tokio waits for.
///
/// # Errors
/// When the kernel cannot watch it.
pub fn awaited(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    // SAFETY: the socket is owned by the AsyncFd and never taken out or closed before it is dropped, so that the descriptor
    // that was registered stays this socket's.
    let registered = unsafe { AsyncFd::register(socket) };
    Ok(registered?)
}

/// Whether the file itself, not what it links to, has this extended attribute.
pub fn has_xattr(path: &std::path::Path, name: &std::ffi::CStr) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let Ok(path) = std::ffi::CString::new(path.as_os_str().as_bytes()) else { return false };
    // SAFETY: both texts end in a NUL and live through the call; with a size of 0 nothing is written to the buffer.
    unsafe { libc::lgetxattr(path.as_ptr(), name.as_ptr(), std::ptr::null_mut(), 0) >= 0 }
}

/// The extended attributes of the file itself, not of what it links to.
///
/// # Errors
/// Those of llistxattr(2) and lgetxattr(2).
pub fn xattrs(path: &std::path::Path) -> io::Result<Vec<(std::ffi::CString, Vec<u8>)>> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    let names = grown(|buffer, size| {
        // SAFETY: the path ends in a NUL; the kernel writes at most `size` bytes, which is what the buffer has.
        unsafe { libc::llistxattr(path.as_ptr(), buffer.cast(), size) }
    })?;
    let mut found = Vec::new();
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let name = std::ffi::CString::new(name)?;
        let value = grown(|buffer, size| {
            // SAFETY: path and name end in a NUL; the kernel writes at most `size` bytes, which is what the buffer has.
            unsafe { libc::lgetxattr(path.as_ptr(), name.as_ptr(), buffer.cast(), size) }
        });
        match value {
            Ok(value) => found.push((name, value)),
            // Taken away since it was listed.
            Err(error) if error.raw_os_error() == Some(libc::ENODATA) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Asks for the size, then for the bytes, again while they grow. Zero bytes need one question only.
fn grown(ask: impl Fn(*mut u8, usize) -> libc::ssize_t) -> io::Result<Vec<u8>> {
    loop {
        let Ok(size) = usize::try_from(ask(std::ptr::null_mut(), 0)) else { return Err(io::Error::last_os_error()) };
        if size == 0 {
            return Ok(Vec::new());
        }
        let mut buffer = vec![0; size];
        match usize::try_from(ask(buffer.as_mut_ptr(), size)) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.raw_os_error() != Some(libc::ERANGE) {
                    return Err(error);
                }
            }
        }
    }
}

/// Sets an extended attribute of the file itself, not of what it links to.
///
/// # Errors
/// Those of lsetxattr(2).
pub fn set_xattr(path: &std::path::Path, name: &std::ffi::CStr, value: &[u8]) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: path and name end in a NUL, and the kernel reads exactly the bytes of `value`.
    let done = unsafe { libc::lsetxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
