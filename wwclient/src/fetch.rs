//! Asks the controller for the runtime overlay: conditional, bounded in time and size, and whole or not at all.
//!
//! Where the controller wants a port below 1024 (`secure: true`) the connection is our own, because reqwest cannot
//! choose one; elsewhere reqwest asks.

use std::future::poll_fn;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use archive::Entry;
use hyper::body::{Body, Bytes};
use hyper::client::conn::http1;
use hyper::header::{
    CONNECTION, ETAG, HOST, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, RETRY_AFTER,
    USER_AGENT,
};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::manifest::Validators;
use crate::settings::Settings;

/// Until the server has taken the connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Between two pieces of an answer. The controller may build the overlay before it answers.
const SILENCE: Duration = Duration::from_secs(60);
/// A runtime overlay is kilobytes; what is larger than this is a mistake.
const BODY_LIMIT: usize = 256 << 20;
/// Unpacked.
const UNPACKED_LIMIT: u64 = 1 << 30;
/// RFC 1700 leaves 512 to 1023 to Unix services; NFS clients use 665 and up.
const PRIVILEGED: std::ops::RangeInclusive<u16> = 512..=664;
const AGENT: &str = concat!("wwclient/", env!("CARGO_PKG_VERSION"));

/// What the server said.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Answer {
    /// 304.
    Unchanged,
    Overlay {
        body: Vec<u8>,
        validators: Validators,
    },
    /// Anything else, and when to come again if it said so.
    Refused {
        status: u16,
        after: Option<Duration>,
    },
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("{0}")]
    Connect(String),
    #[error("no port from 512 to 664 is free to ask from: {0}")]
    NoPort(io::Error),
    #[error("port {0} (wwclient: port) cannot be asked from: {1}")]
    Port(u16, io::Error),
    #[error("the answer broke off: {0}")]
    Broken(String),
    #[error("no answer for {} s", SILENCE.as_secs())]
    Silent,
    #[error("an answer of more than {} MB is no runtime overlay", BODY_LIMIT >> 20)]
    TooLarge,
}

/// Why a body is no overlay.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the body is not gzip, or cut short: {0}")]
    Gzip(io::Error),
    #[error("unpacked it has more than {} MB", UNPACKED_LIMIT >> 20)]
    TooLarge,
    #[error("the archive cannot be read: {0}")]
    Archive(String),
}

/// Asks; keeps nothing open between two requests.
#[derive(Debug)]
pub struct Client {
    plain: reqwest::Client,
    /// Where the search for a free port begins, so that two requests in a row do not meet.
    turn: u16,
}

impl Client {
    pub fn new(turn: u16) -> reqwest::Result<Client> {
        let plain = reqwest::Client::builder()
            .user_agent(AGENT)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .pool_max_idle_per_host(0)
            .build()?;
        Ok(Client { plain, turn })
    }

    /// The overlay, unless `known` is what the server has.
    pub async fn runtime(&mut self, settings: &Settings, known: &Validators) -> Result<Answer, FetchError> {
        let mut conditions = HeaderMap::new();
        let mut condition = |name: HeaderName, value: &Option<String>| {
            if let Some(value) = value.as_ref().and_then(|value| value.parse().ok()) {
                conditions.insert(name, value);
            }
        };
        condition(IF_NONE_MATCH, &known.etag);
        condition(IF_MODIFIED_SINCE, &known.last_modified);
        if settings.secure {
            self.turn = self.turn.wrapping_add(1);
            privileged(settings, conditions, self.turn).await
        } else {
            self.plain(settings, conditions).await
        }
    }

    async fn plain(&self, settings: &Settings, conditions: HeaderMap) -> Result<Answer, FetchError> {
        let asked = self.plain.get(settings.url()).headers(conditions).header(CONNECTION, "close").send();
        let mut response = asked.await.map_err(|e| said(settings, &e))?;
        if let Some(answer) = without_body(response.status(), response.headers()) {
            return Ok(answer);
        }
        let validators = validators(response.headers());
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|e| said(settings, &e))? {
            take(&mut body, &piece)?;
        }
        Ok(Answer::Overlay { body, validators })
    }
}

fn said(settings: &Settings, e: &reqwest::Error) -> FetchError {
    if e.is_connect() {
        return FetchError::Connect(format!("{} cannot be reached: {}", settings.authority(), innermost(e)));
    }
    if e.is_timeout() { FetchError::Silent } else { FetchError::Broken(innermost(e)) }
}

/// reqwest's own text repeats the URL; the cause is what a person wants.
fn innermost(e: &dyn std::error::Error) -> String {
    let mut deepest = e;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

async fn privileged(settings: &Settings, conditions: HeaderMap, turn: u16) -> Result<Answer, FetchError> {
    let stream = connect(settings, turn).await?;
    let broken = |e: hyper::Error| FetchError::Broken(innermost(&e));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let mut request = Request::get(settings.path.as_str())
        .header(HOST, settings.authority())
        .header(USER_AGENT, AGENT)
        .header(CONNECTION, "close")
        .body(String::new())
        .map_err(|e| FetchError::Broken(e.to_string()))?;
    request.headers_mut().extend(conditions);

    let connection = tokio::spawn(connection);
    let answer = async {
        let response = timeout(SILENCE, sender.send_request(request)).await.map_err(|_| FetchError::Silent)?;
        let (head, mut body) = response.map_err(broken)?.into_parts();
        if let Some(answer) = without_body(head.status, &head.headers) {
            return Ok(answer);
        }
        let mut bytes = Vec::new();
        loop {
            let next = timeout(SILENCE, poll_fn(|context| Pin::new(&mut body).poll_frame(context)));
            match next.await.map_err(|_| FetchError::Silent)? {
                None => return Ok(Answer::Overlay { body: bytes, validators: validators(&head.headers) }),
                Some(Err(e)) => return Err(broken(e)),
                Some(Ok(frame)) => take(&mut bytes, &frame.into_data().unwrap_or_else(|_| Bytes::new()))?,
            }
        }
    }
    .await;
    connection.abort();
    answer
}

async fn connect(settings: &Settings, turn: u16) -> Result<TcpStream, FetchError> {
    let unreachable =
        |e: &dyn std::fmt::Display| FetchError::Connect(format!("{} cannot be reached: {e}", settings.authority()));
    let server = match settings.server.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, settings.port),
        Err(_) => tokio::net::lookup_host((settings.server.as_str(), settings.port))
            .await
            .map_err(|e| unreachable(&e))?
            .next()
            .ok_or_else(|| unreachable(&"the name has no address"))?,
    };
    let mut failed = io::Error::from(io::ErrorKind::AddrInUse);
    for port in ports(settings.source_port, turn) {
        let taken = match from_port(server, port).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(e)) => e,
            Err(_) => return Err(unreachable(&format_args!("no answer in {} s", CONNECT.as_secs()))),
        };
        match taken.raw_os_error() {
            Some(libc::EADDRINUSE | libc::EADDRNOTAVAIL) => failed = taken,
            Some(libc::EACCES | libc::EPERM) => return Err(no_port(settings, taken)),
            _ => return Err(unreachable(&taken)),
        }
    }
    Err(no_port(settings, failed))
}

fn no_port(settings: &Settings, e: io::Error) -> FetchError {
    match settings.source_port {
        Some(port) => FetchError::Port(port, e),
        None => FetchError::NoPort(e),
    }
}

async fn from_port(server: SocketAddr, port: u16) -> Result<io::Result<TcpStream>, tokio::time::error::Elapsed> {
    let prepare = || -> io::Result<TcpSocket> {
        let (socket, any) = match server {
            SocketAddr::V4(_) => (TcpSocket::new_v4()?, IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            SocketAddr::V6(_) => (TcpSocket::new_v6()?, IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        };
        socket.set_reuseaddr(true)?;
        // Closed for good at once: a privileged port must not lie in TIME_WAIT where NFS looks for one.
        socket.set_zero_linger()?;
        socket.bind(SocketAddr::new(any, port))?;
        Ok(socket)
    };
    match prepare() {
        Ok(socket) => timeout(CONNECT, socket.connect(server)).await,
        Err(e) => Ok(Err(e)),
    }
}

/// The port that was set, or all privileged ones from the turn's on.
fn ports(set: Option<u16>, turn: u16) -> Vec<u16> {
    if let Some(port) = set {
        return vec![port];
    }
    let count = PRIVILEGED.end() - PRIVILEGED.start() + 1;
    (0..count).map(|step| PRIVILEGED.start() + (turn % count + step) % count).collect()
}

fn without_body(status: StatusCode, headers: &HeaderMap) -> Option<Answer> {
    match status {
        StatusCode::OK => None,
        StatusCode::NOT_MODIFIED => Some(Answer::Unchanged),
        _ => {
            let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
            Some(Answer::Refused { status: status.as_u16(), after: seconds.map(Duration::from_secs) })
        }
    }
}

fn validators(headers: &HeaderMap) -> Validators {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Validators { etag: text(ETAG), last_modified: text(LAST_MODIFIED) }
}

fn take(body: &mut Vec<u8>, piece: &[u8]) -> Result<(), FetchError> {
    if body.len() + piece.len() > BODY_LIMIT {
        return Err(FetchError::TooLarge);
    }
    body.extend_from_slice(piece);
    Ok(())
}

/// Gunzips and reads the archive; nothing of it is believed before all of it was read.
pub fn unpack(body: &[u8]) -> Result<Vec<Entry>, BodyError> {
    let mut unpacked = Vec::new();
    let mut gunzip = flate2::read::MultiGzDecoder::new(body).take(UNPACKED_LIMIT + 1);
    gunzip.read_to_end(&mut unpacked).map_err(BodyError::Gzip)?;
    if unpacked.len() as u64 > UNPACKED_LIMIT {
        return Err(BodyError::TooLarge);
    }
    archive::newc::read(&unpacked).map_err(|e| BodyError::Archive(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_privileged_port_is_tried_once_from_another_one_each_turn() {
        let first = ports(None, 0);
        assert_eq!((first.len(), first.first(), first.last()), (153, Some(&512), Some(&664)));
        let later = ports(None, 154);
        assert_eq!((later.first(), later.last()), (Some(&513), Some(&512)));
        assert_eq!(ports(None, u16::MAX).len(), 153);
        assert_eq!(ports(Some(987), 5), [987]);
    }

    #[test]
    fn a_body_that_is_no_overlay_is_refused_with_the_reason() {
        assert!(matches!(unpack(b"not gzip at all"), Err(BodyError::Gzip(_))));
        assert!(matches!(unpack(b""), Err(BodyError::Gzip(_))));
    }
}
