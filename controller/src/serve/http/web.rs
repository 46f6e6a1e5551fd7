//! The part of HTTP that speaks with people and programs, not with booting nodes: axum, on a connection handed over with
//! the bytes that were read from it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use boot::http::{Target, target};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::cluster::Shared;
use crate::serve::Shutdown;

/// Time for a whole head to arrive.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// Whether a target is for this side.
pub fn wants(target: &str) -> bool {
    target::read(target) == Ok(Target::Status)
}

/// Serves one request that was handed over, then ends the connection: the next one may be for the other side.
pub async fn serve(stream: Rewound, peer: SocketAddr, shared: Shared, shutdown: Shutdown) {
    let service = TowerToHyperService::new(router(shared));
    let connection = http1::Builder::new()
        .keep_alive(false)
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
    Router::new().route("/{*any}", get(status)).with_state(shared)
}

/// The status book. Stock sends it as text, and scripts that look at the type expect that.
async fn status(State(shared): State<Shared>) -> impl IntoResponse {
    let document = shared.status().document(shared.problems());
    let text = serde_json::to_string(&document).unwrap_or_default();
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text)
}

/// A connection whose first bytes were read already, and come again.
#[derive(Debug)]
pub struct Rewound {
    first: Vec<u8>,
    taken: usize,
    stream: TcpStream,
}

impl Rewound {
    pub fn new(first: Vec<u8>, stream: TcpStream) -> Rewound {
        Rewound { first, taken: 0, stream }
    }
}

impl AsyncRead for Rewound {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let first = self.first.get(self.taken..).unwrap_or_default();
        if first.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, into);
        }
        let now = first.get(..into.remaining()).unwrap_or(first);
        into.put_slice(now);
        self.taken += now.len();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
