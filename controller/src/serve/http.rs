//! HTTP: accepts connections, keeps their number in bounds, and lets each be served to its end.
//!
//! One head is parsed once, by `head`; `answer` has `boot::http` decide and fetches what that comes to; `connection`
//! sends files with sendfile(2) and short texts itself. What people and programs ask for goes to axum, in `web`.

mod answer;
mod connection;
mod discover;
mod files;
mod head;
mod inside;
mod reply;
mod script;
mod web;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::cluster::Shared;
use crate::serve::Shutdown;

/// Connections served at the same time, where open files are not scarcer: each agent of a large site keeps one.
const MOST: usize = 65_536;

/// Descriptors for everything that is no connection.
const RESERVE: u64 = 256;

/// Connections of one peer served at the same time: more than any node needs, and too few to shut the others out.
const MOST_OF_ONE: usize = 64;

/// How long running transfers may go on after the daemon was told to stop.
const LAST_CALL: Duration = Duration::from_secs(10);

/// Serves until shutdown; what is being sent then may end.
///
/// # Errors
/// Only when the socket itself is unusable.
pub async fn run(listener: TcpListener, shared: Shared, shutdown: Shutdown) -> io::Result<()> {
    let guests = Guests::new(places(descriptors()), MOST_OF_ONE);
    let mut serving = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.requested() => break,
        };
        while serving.try_join_next().is_some() {}
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: without a pause this loop would burn a core until one comes free.
                tracing::warn!("accept: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Some(place) = guests.admit(peer.ip()) else {
            tracing::warn!(%peer, "503: too many connections");
            turn_away(&stream);
            continue;
        };
        let (shared, shutdown) = (shared.clone(), shutdown.clone());
        serving.spawn(async move {
            connection::serve(stream, peer, shared, shutdown).await;
            drop(place);
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(LAST_CALL, async { while serving.join_next().await.is_some() {} }).await;
    Ok(())
}

/// How many files may be open.
fn descriptors() -> u64 {
    use nix::sys::resource::{Resource, getrlimit};
    getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft)
}

/// Connections that so many descriptors allow: one for the socket, one for the file that it is sent.
fn places(descriptors: u64) -> usize {
    let pairs = descriptors.saturating_sub(RESERVE) / 2;
    usize::try_from(pairs).unwrap_or(MOST).clamp(MOST_OF_ONE, MOST)
}

/// One try to say why, without waiting: whoever is turned away must cost nothing.
fn turn_away(stream: &TcpStream) {
    let mut refusal = reply::Reply::line(503, "too many connections; come back in a second");
    refusal.headers.push(("Retry-After", "1".into()));
    let _ = stream.try_write(&refusal.encode(false, 0));
}

/// Who is here, counted by address.
#[derive(Debug)]
struct Guests {
    most: usize,
    most_of_one: usize,
    here: Mutex<Here>,
}

#[derive(Debug, Default)]
struct Here {
    all: usize,
    by_peer: HashMap<IpAddr, usize>,
}

/// The right to one connection; given back when dropped.
#[derive(Debug)]
struct Place {
    guests: Arc<Guests>,
    peer: IpAddr,
}

impl Guests {
    fn new(most: usize, most_of_one: usize) -> Arc<Guests> {
        Arc::new(Guests { most, most_of_one, here: Mutex::default() })
    }

    fn admit(self: &Arc<Guests>, peer: IpAddr) -> Option<Place> {
        let mut here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        let of_peer = here.by_peer.get(&peer).copied().unwrap_or(0);
        if here.all >= self.most || of_peer >= self.most_of_one {
            return None;
        }
        here.by_peer.insert(peer, of_peer + 1);
        here.all += 1;
        Some(Place { guests: self.clone(), peer })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut here = self.guests.here.lock().unwrap_or_else(PoisonError::into_inner);
        here.all = here.all.saturating_sub(1);
        if let Some(of_peer) = here.by_peer.get_mut(&self.peer) {
            *of_peer = of_peer.saturating_sub(1);
            if *of_peer == 0 {
                here.by_peer.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_agent_of_a_large_site_may_keep_a_connection_while_descriptors_last() {
        assert_eq!(places(u64::MAX), 65_536);
        assert_eq!(places(524_288), 65_536);
        assert_eq!(places(20_256), 10_000);
        assert_eq!(places(1_024), 384);
        assert_eq!(places(10), 64);
    }

    #[test]
    fn one_peer_cannot_shut_the_others_out() {
        let guests = Guests::new(3, 2);
        let (one, two): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let first = guests.admit(one).unwrap();
        let _second = guests.admit(one).unwrap();
        assert!(guests.admit(one).is_none(), "two are enough for one");
        let _third = guests.admit(two).unwrap();
        assert!(guests.admit(two).is_none(), "three are enough for all");
        drop(first);
        assert!(guests.admit(two).is_some());
    }
}
