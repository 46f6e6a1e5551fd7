//! The interfaces that are served: those that hold an address of ipaddr's network. And word of their changes.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;

use crate::sys;
use model::Conf;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{NetlinkAddr, bind};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::unix::AsyncFd;

/// An interface that is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub name: String,
    pub index: u32,
    /// Ethernet's address; other networks have none that fits.
    pub mac: Option<[u8; 6]>,
    /// Our address there: ipaddr when it is this interface's, else its first one of the network.
    pub address: Ipv4Addr,
    pub prefix: u8,
}

/// What the machine has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    pub served: Vec<Link>,
    /// Every IPv4 address of the machine.
    pub own: Vec<Ipv4Addr>,
}

impl Links {
    /// Looks at the interfaces as they are now.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn look(conf: &Conf) -> io::Result<Links> {
        let mut links = Links::default();
        let mut found: BTreeMap<String, Link> = BTreeMap::new();
        let mut macs: BTreeMap<String, [u8; 6]> = BTreeMap::new();
        for entry in getifaddrs()? {
            let Some(address) = entry.address else { continue };
            if let Some(mac) = address.as_link_addr().filter(|link| link.hatype() == libc::ARPHRD_ETHER) {
                macs.extend(mac.addr().map(|mac| (entry.interface_name.clone(), mac)));
            }
            let Some(own) = address.as_sockaddr_in().map(|address| address.ip()) else { continue };
            links.own.push(own);
            if !is_of_site(own, conf) {
                continue;
            }
            let mask = entry.netmask.and_then(|mask| mask.as_sockaddr_in().map(|mask| mask.ip()));
            let prefix = mask.map_or(32, |mask| u8::try_from(mask.to_bits().leading_ones()).unwrap_or(32));
            // It may have gone since; word of that comes on its own.
            let Ok(index) = if_nametoindex(entry.interface_name.as_str()) else { continue };
            let link = Link { name: entry.interface_name.clone(), index, mac: None, address: own, prefix };
            match found.get(&entry.interface_name) {
                Some(_) if conf.ipaddr != Some(own) => {}
                _ => drop(found.insert(entry.interface_name, link)),
            }
        }
        links.served = found.into_values().map(|link| Link { mac: macs.get(&link.name).copied(), ..link }).collect();
        Ok(links)
    }
}

fn is_of_site(address: Ipv4Addr, conf: &Conf) -> bool {
    let Some(ipaddr) = conf.ipaddr else { return false };
    let mask = conf.netmask.unwrap_or(Ipv4Addr::BROADCAST).to_bits();
    address.to_bits() & mask == ipaddr.to_bits() & mask
}

/// Tells when an interface or an address came or went (rtnetlink(7)).
#[derive(Debug)]
pub struct Changes(AsyncFd<Socket>);

impl Changes {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the kernel has no such socket.
    pub fn listen() -> io::Result<Changes> {
        let socket = Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW, Some(Protocol::from(libc::NETLINK_ROUTE)))?;
        let groups = libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups.cast_unsigned()))?;
        socket.set_nonblocking(true)?;
        Ok(Changes(sys::awaited(socket)?))
    }

    /// Returns after the next change. One change of an interface is a dozen messages: they count as one.
    ///
    /// # Errors
    /// When the socket breaks.
    pub async fn next(&self) -> io::Result<()> {
        let mut heard = false;
        let mut buffer = [0; 8192];
        loop {
            let mut ready = self.0.readable().await?;
            match ready.try_io(|socket| {
                let mut socket = socket.get_ref();
                socket.read(&mut buffer)
            }) {
                // ENOBUFS: messages were lost, so something has changed all the same.
                Ok(Err(error)) if error.raw_os_error() == Some(libc::ENOBUFS) => heard = true,
                Ok(Err(error)) => return Err(error),
                Ok(Ok(_)) => heard = true,
                Err(_would_block) if heard => return Ok(()),
                Err(_would_block) => {}
            }
        }
    }
}
