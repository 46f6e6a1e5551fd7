//! The part of HTTP that speaks with people and programs, not with booting nodes: axum on a connection handed over.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;

use crate::cluster::Shared;
use crate::serve::Shutdown;

/// Time for a whole head to arrive.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// Serves one connection to its end.
pub async fn serve(stream: TcpStream, peer: SocketAddr, shared: Shared, shutdown: Shutdown) {
    let service = TowerToHyperService::new(router(shared));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.requested() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, "connection: {error}");
    }
}

fn router(shared: Shared) -> Router {
    Router::new().route("/status", get(status)).with_state(shared)
}

/// The status book. Stock sends it as text, and scripts that look at the type expect that.
async fn status(State(shared): State<Shared>) -> impl IntoResponse {
    let document = shared.status().document(shared.problems());
    let text = serde_json::to_string(&document).unwrap_or_default();
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text)
}
