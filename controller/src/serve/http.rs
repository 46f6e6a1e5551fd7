//! HTTP: accepts connections, keeps their number in bounds, and lets each be served to its end.

mod web;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::cluster::Shared;
use crate::serve::Shutdown;

/// Connections served at the same time; more are told to come back.
const MOST_CONNECTIONS: usize = 8192;

/// How long running transfers may go on after the daemon was told to stop.
const LAST_CALL: Duration = Duration::from_secs(10);

/// Serves until shutdown; what is being sent then may end.
///
/// # Errors
/// Only when the socket itself is unusable.
pub async fn run(listener: TcpListener, shared: Shared, shutdown: Shutdown) -> std::io::Result<()> {
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut guests = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.requested() => break,
        };
        while guests.try_join_next().is_some() {}
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: without a pause this loop would burn a core until one comes free.
                tracing::warn!("accept: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Ok(place) = room.clone().try_acquire_owned() else {
            drop(stream);
            continue;
        };
        let (shared, shutdown) = (shared.clone(), shutdown.clone());
        guests.spawn(async move {
            web::serve(stream, peer, shared, shutdown).await;
            drop(place);
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(LAST_CALL, async { while guests.join_next().await.is_some() {} }).await;
    Ok(())
}
