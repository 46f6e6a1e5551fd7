//! The network as the kernel tells it by rtnetlink: is the server reachable, and an event when that may have changed.
//! Nothing here sleeps and looks again.

pub mod links;
mod socket;
mod watch;

use std::io;
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_REQUEST, NetlinkPayload};
use netlink_packet_route::link::{LinkAttribute, LinkFlags};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

pub use socket::Socket;
pub use watch::{LINKS, Watch};

/// Whether a packet to the server would leave this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Reach {
    /// By this device.
    Ready(String),
    NotYet(Missing),
}

/// What is missing, in the order in which it comes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    #[error("no route to {0}")]
    Route(IpAddr),
    #[error("no address on {0} to ask from")]
    Address(String),
    #[error("{0} has no carrier")]
    Carrier(String),
}

/// Asks the kernel which way a packet to `server` would go (RTM_GETROUTE), and whether that link carries.
pub fn reach(server: IpAddr) -> io::Result<Reach> {
    let mut socket = Socket::open(0)?;
    let Some(route) = route_to(&mut socket, server)? else {
        return Ok(Reach::NotYet(Missing::Route(server)));
    };
    let Some(index) =
        route.attributes.iter().find_map(|a| if let RouteAttribute::Oif(i) = a { Some(*i) } else { None })
    else {
        return Ok(Reach::NotYet(Missing::Route(server)));
    };
    let link = links::by_index(&mut socket, index)?;
    let name = link
        .attributes
        .iter()
        .find_map(|a| if let LinkAttribute::IfName(name) = a { Some(name.clone()) } else { None })
        .unwrap_or_else(|| format!("link {index}"));
    let local = route.header.kind == RouteType::Local;
    let sourced = route.attributes.iter().any(|a| matches!(a, RouteAttribute::PrefSource(_)));
    if !local && !sourced {
        return Ok(Reach::NotYet(Missing::Address(name)));
    }
    // LOWER_UP is the carrier; RUNNING says that the link is operational (Linux, operstates.rst).
    if !link.header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp) {
        return Ok(Reach::NotYet(Missing::Carrier(name)));
    }
    Ok(Reach::Ready(name))
}

fn route_to(socket: &mut Socket, server: IpAddr) -> io::Result<Option<RouteMessage>> {
    let mut ask = RouteMessage::default();
    let (family, prefix, address) = match server {
        IpAddr::V4(v4) => (AddressFamily::Inet, 32, RouteAddress::Inet(v4)),
        IpAddr::V6(v6) => (AddressFamily::Inet6, 128, RouteAddress::Inet6(v6)),
    };
    ask.header.address_family = family;
    ask.header.destination_prefix_length = prefix;
    ask.attributes.push(RouteAttribute::Destination(address));
    match socket.ask(RouteNetlinkMessage::GetRoute(ask), NLM_F_REQUEST) {
        Ok(NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route))) => match route.header.kind {
            RouteType::Unreachable | RouteType::BlackHole | RouteType::Prohibit | RouteType::Throw => Ok(None),
            _ => Ok(Some(route)),
        },
        Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "rtnetlink answered something else than a route")),
        // ENETUNREACH and EHOSTUNREACH are the answer "no".
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENODEV)) => Ok(None),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_reaches_itself_by_loopback() {
        // 127.0.0.1 is there wherever tests run with the loopback up.
        let reach = reach(IpAddr::from([127, 0, 0, 1])).unwrap();
        assert!(matches!(reach, Reach::Ready(ref name) if name == "lo"), "{reach:?}");
    }

    #[test]
    fn what_is_missing_is_said_in_words() {
        let server = IpAddr::from([10, 0, 0, 1]);
        assert_eq!(Missing::Route(server).to_string(), "no route to 10.0.0.1");
        assert_eq!(Missing::Carrier("eth0".into()).to_string(), "eth0 has no carrier");
    }
}
