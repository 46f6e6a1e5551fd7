//! The sockets of one interface for DHCP: UDP bound to the device, and packet sockets for clients without an address and
//! for ARP.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd;

use anyhow::Context;
use boot::dhcp::To;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, sendmsg, setsockopt, sockopt,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use wire::dhcp::Hardware;
use wire::frame;

use crate::serve::link::Link;
use crate::sys;

/// Where servers listen.
pub const SERVER_PORT: u16 = 67;
/// Where clients listen.
pub const CLIENT_PORT: u16 = 68;
/// Where clients ask a proxy once they have an address (PXE 2.1, 2.2.2).
pub const BOOT_PORT: u16 = 4011;

/// Bytes that may wait to be received: some 30,000 questions, as the kernel counts them.
const BURST: usize = 16 << 20;

/// IPv4 in Ethernet.
const IP: u16 = 0x0800;
const ARP: u16 = 0x0806;

/// A datagram as it came in.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Index of the interface.
    pub interface: u32,
    pub from: SocketAddrV4,
    /// The port of ours that it came to.
    pub port: u16,
    /// Sent to our address and not to everybody.
    pub unicast: bool,
    pub bytes: Vec<u8>,
}

/// A UDP port on one interface.
#[derive(Debug)]
pub struct Port {
    link: Link,
    port: u16,
    socket: AsyncFd<Socket>,
}

impl Port {
    /// Binds the port on that interface alone, so that another interface may have another server.
    ///
    /// # Errors
    /// When the port is taken or the right is missing; the message says what to do.
    pub fn bind(link: &Link, port: u16) -> anyhow::Result<Port> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.bind_device(Some(link.name.as_bytes())).with_context(|| format!("bind to interface {}", link.name))?;
        socket.set_broadcast(true)?;
        // A hall that is switched on at once asks within one second, and who is not heard asks again after seconds only.
        // Beyond net.core.rmem_max with CAP_NET_ADMIN, else as far as that goes.
        if setsockopt(&socket, sockopt::RcvBufForce, &BURST).is_err() {
            let _ = socket.set_recv_buffer_size(BURST);
        }
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port).into()).map_err(|error| {
            anyhow::anyhow!(
                "UDP port {port} on {}: {error}. Another DHCP server runs here (`ss -lunp 'sport = {port}'` names it): \
                 stop it, or write `mode: external` under `dhcp:` in warewulf.conf",
                link.name
            )
        })?;
        socket.set_nonblocking(true)?;
        Ok(Port { link: link.clone(), port, socket: sys::awaited(socket)? })
    }

    /// The next datagram.
    ///
    /// # Errors
    /// When the socket breaks; a network that is down for a while is none.
    pub async fn receive(&self) -> io::Result<Incoming> {
        loop {
            let received = self.socket.async_io(Interest::READABLE, |socket| self.take(socket)).await;
            match received {
                Ok(Some(incoming)) => return Ok(incoming),
                Ok(None) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn take(&self, socket: &Socket) -> io::Result<Option<Incoming>> {
        let mut buffer = [0; 2048];
        let mut control = nix::cmsg_space!(libc::in_pktinfo);
        let (length, from, to) = {
            let mut parts = [IoSliceMut::new(&mut buffer)];
            let message = recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty())?;
            let mut to = None;
            for part in message.cmsgs()? {
                if let ControlMessageOwned::Ipv4PacketInfo(info) = part {
                    to = Some(Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes()));
                }
            }
            (message.bytes, message.address, to)
        };
        let Some(from) = from else { return Ok(None) };
        Ok(Some(Incoming {
            interface: self.link.index,
            from: SocketAddrV4::new(from.ip(), from.port()),
            port: self.port,
            unicast: to == Some(self.link.address),
            bytes: buffer.get(..length).unwrap_or_default().to_vec(),
        }))
    }

    /// Sends from our address on this interface, which need not be its first.
    ///
    /// # Errors
    /// As the kernel says.
    pub fn send(&self, bytes: &[u8], to: SocketAddrV4) -> io::Result<()> {
        let info = libc::in_pktinfo {
            ipi_ifindex: 0,
            ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(self.link.address.octets()) },
            ipi_addr: libc::in_addr { s_addr: 0 },
        };
        let control = [ControlMessage::Ipv4PacketInfo(&info)];
        let address = SockaddrIn::from(to);
        let parts = [IoSlice::new(bytes)];
        sendmsg(self.socket.get_ref().as_raw_fd(), &parts, &control, MsgFlags::empty(), Some(&address))?;
        Ok(())
    }
}

/// Frames of one Ethernet interface.
#[derive(Debug)]
pub struct Frames {
    index: u32,
    mac: [u8; 6],
    socket: AsyncFd<Socket>,
}

impl Frames {
    /// Opens the interface for frames; `None` when it is not Ethernet. ARP is heard when `hears_arp`.
    ///
    /// # Errors
    /// When the right is missing (CAP_NET_RAW).
    pub fn open(link: &Link, hears_arp: bool) -> anyhow::Result<Option<Frames>> {
        let Some(mac) = link.mac else { return Ok(None) };
        // Bound to no protocol it hears nothing and still sends.
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, None)
            .context("open a packet socket: the daemon must run as root or have CAP_NET_RAW")?;
        let protocol = if hears_arp { ARP } else { 0 };
        socket.bind(&sys::packet_address(link.index, protocol, [0; 6])?)?;
        socket.set_nonblocking(true)?;
        Ok(Some(Frames { index: link.index, mac, socket: sys::awaited(socket)? }))
    }

    /// The next claim of an address by ARP.
    ///
    /// # Errors
    /// When the socket breaks.
    pub async fn hear(&self) -> io::Result<frame::ArpSender> {
        loop {
            let mut buffer = [0; 128];
            let heard =
                self.socket.async_io(Interest::READABLE, |mut socket| io::Read::read(&mut socket, &mut buffer)).await;
            match heard {
                Ok(length) => {
                    if let Some(sender) = frame::arp_sender(buffer.get(..length).unwrap_or_default()) {
                        return Ok(sender);
                    }
                }
                Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Asks the link who has that address.
    ///
    /// # Errors
    /// As the kernel says.
    pub fn probe(&self, address: Ipv4Addr) -> io::Result<()> {
        self.send(&frame::arp_probe(self.mac, address), ARP, [0xff; 6])
    }

    /// Sends UDP to a hardware address, whatever the neighbour table says.
    ///
    /// # Errors
    /// As the kernel says, and for a payload that IPv4 cannot carry.
    pub fn udp(&self, payload: &[u8], from: Ipv4Addr, to: Ipv4Addr, mac: [u8; 6]) -> io::Result<()> {
        let packet = frame::udp((from, SERVER_PORT), (to, CLIENT_PORT), payload)
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        self.send(&packet, IP, mac)
    }

    fn send(&self, bytes: &[u8], ether_type: u16, mac: [u8; 6]) -> io::Result<()> {
        let address = sys::packet_address(self.index, ether_type, mac)?;
        self.socket.get_ref().send_to(bytes, &address).map(drop)
    }
}

/// Puts an answer on its way. Where there is no Ethernet a client without address is reached by broadcast.
///
/// # Errors
/// As the kernel says.
pub fn deliver(
    link: &Link,
    port: &Port,
    frames: Option<&Frames>,
    bytes: &[u8],
    to: To,
    hardware: Hardware,
    sender: SocketAddrV4,
) -> io::Result<()> {
    let everybody = SocketAddrV4::new(Ipv4Addr::BROADCAST, CLIENT_PORT);
    match (to, frames, hardware.mac()) {
        (To::Relay(relay), ..) => port.send(bytes, SocketAddrV4::new(relay, SERVER_PORT)),
        (To::Client(address), ..) => port.send(bytes, SocketAddrV4::new(address, CLIENT_PORT)),
        (To::Sender, ..) => port.send(bytes, sender),
        (To::Hardware(address), Some(frames), Some(mac)) => frames.udp(bytes, link.address, address, mac),
        (To::Everybody, Some(frames), _) => frames.udp(bytes, link.address, Ipv4Addr::BROADCAST, [0xff; 6]),
        (To::Hardware(_) | To::Everybody, ..) => port.send(bytes, everybody),
    }
}
