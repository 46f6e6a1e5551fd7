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
