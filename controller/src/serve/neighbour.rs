//! Whose hardware address is behind an IP address: the kernel's neighbour table, asked over netlink.

use std::net::IpAddr;

use futures_util::TryStreamExt;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage};

/// The hardware address of a peer on a network of ours, in lower case with colons. `None` for the others, and when the
/// kernel does not say.
pub async fn address_of(peer: IpAddr) -> Option<String> {
    let peer = peer.to_canonical();
    let (connection, handle, _) = rtnetlink::new_connection().ok()?;
    let serving = tokio::spawn(connection);
    let family = if peer.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let mut table = std::pin::pin!(handle.neighbours().get().set_address_family(family).execute());
    let mut found = None;
    while let Ok(Some(entry)) = table.try_next().await {
        if found.is_none() {
            found = hardware_address(&entry, peer);
        }
    }
    serving.abort();
    found
}

fn hardware_address(entry: &NeighbourMessage, peer: IpAddr) -> Option<String> {
    let of_peer = entry.attributes.iter().any(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => peer == *address,
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => peer == *address,
        _ => false,
    });
    let bytes = entry.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::LinkLayerAddress(bytes) => Some(bytes),
        _ => None,
    })?;
    let is_address = bytes.len() >= 6 && bytes.iter().any(|byte| *byte != 0);
    (of_peer && is_address).then(|| {
        let parts: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        parts.join(":")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(address: &str, bytes: &[u8]) -> NeighbourMessage {
        let mut entry = NeighbourMessage::default();
        entry.attributes.push(NeighbourAttribute::Destination(match address.parse().unwrap() {
            IpAddr::V4(address) => NeighbourAddress::Inet(address),
            IpAddr::V6(address) => NeighbourAddress::Inet6(address),
        }));
        entry.attributes.push(NeighbourAttribute::LinkLayerAddress(bytes.to_vec()));
        entry
    }

    #[test]
    fn the_entry_of_the_peer_gives_its_address() {
        let bytes = [2, 0, 0, 0, 0, 0xab];
        for address in ["10.0.0.7", "fd00::7"] {
            let peer: IpAddr = address.parse().unwrap();
            assert_eq!(hardware_address(&entry(address, &bytes), peer).as_deref(), Some("02:00:00:00:00:ab"));
            assert_eq!(hardware_address(&entry("10.0.0.8", &bytes), peer), None);
            assert_eq!(hardware_address(&entry(address, &[0; 6]), peer), None, "loopback has an address of zeros");
        }
    }
}
