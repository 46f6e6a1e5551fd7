//! One connection to its end: read a head, have it answered, send, write down what became of it, again.
//!
//! Files go from their descriptor to the socket by sendfile(2). Every wait has an end: for the next request, for the rest
//! of a head, for a caller that takes no more bytes.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use boot::http::range::Piece;
use nix::sys::sendfile::sendfile64;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::build::span::Span;
use crate::cluster::Shared;
use crate::serve::Shutdown;
use crate::serve::http::answer::{self, Noted};
use crate::serve::http::head::{self, Head, Method, Parsed};
use crate::serve::http::reply::{Body, Reply};
use crate::serve::http::web;
use crate::status::Event;

/// Time for a whole head to arrive, from its first byte.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// Time without a single byte taken, after which a caller is given up. Firmware that unpacks an image between two reads
/// can be silent for long.
const STALL: Duration = Duration::from_secs(120);

/// Time that a refused body may still come in, so that the refusal is read and not lost to a reset.
const LINGER: Duration = Duration::from_secs(1);

/// As much as one call sends at most, so that other connections have their turn.
const TURN: u64 = 8 << 20;

/// Serves one connection until the caller, an error or the daemon ends it.
pub async fn serve(mut stream: TcpStream, peer: SocketAddr, shared: Shared, shutdown: Shutdown) {
    // A head and the beginning of a small file go out without waiting for one another.
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::new();
    loop {
        let parsed = tokio::select! {
            parsed = next_head(&mut stream, &mut buffer, idle_time(&shared)) => parsed,
            () = shutdown.requested(), if buffer.is_empty() => return,
        };
        let (head, length) = match parsed {
            Next::Head(head, length) => (head, length),
            Next::Bad(code, why) => {
                tracing::info!(%peer, "{code}: {why}");
                let _ = send_text(&stream, &Reply::line(code, why), false, Method::Get).await;
                return linger(stream).await;
            }
            Next::End => return,
        };
        if web::wants(&head.target) {
            // Rare and large: kept connections must not carry the room for it.
            return Box::pin(web::serve(web::Rewound::new(buffer, stream), peer, shared, shutdown)).await;
        }
        let began = Instant::now();
        let answered = answer::answer(&head, peer, false, &shared).await;
        let keep = head.keep_alive && !shutdown.is_requested();
        // What does not wait for the last byte is written down first: who has the answer finds it in the status.
        let due = write_down(&shared, peer, &head, &answered.reply, answered.noted);
        let sent = send(&stream, &answered.reply, keep, head.method).await;
        if let (Some(done), Ok(_)) = (due, &sent) {
            note(&shared, peer, &done.node, Event::Done { stage: done.stage, sent: done.sent });
        }
        log(peer, &head, &answered.reply, &sent, began);
        if sent.is_err() {
            return;
        }
        if !keep {
            return linger(stream).await;
        }
        drain(&mut buffer, length);
    }
}

enum Next {
    /// A head and how many bytes it took.
    Head(Box<Head>, usize),
    Bad(u16, &'static str),
    End,
}

/// Reads until a head is whole; its bytes stay in `buffer` until the caller has it answered.
async fn next_head(stream: &mut TcpStream, buffer: &mut Vec<u8>, idle: Duration) -> Next {
    let mut patience = idle;
    let mut since = Instant::now();
    loop {
        if !buffer.is_empty() {
            match head::parse(buffer) {
                Parsed::Whole(head, length) => return Next::Head(head, length),
                Parsed::Bad(code, why) => return Next::Bad(code, why),
                Parsed::Partial if patience == idle => (patience, since) = (HEAD_TIME, Instant::now()),
                Parsed::Partial => {}
            }
        }
        if buffer.capacity() - buffer.len() < 512 {
            buffer.reserve(2048);
        }
        let left = patience.saturating_sub(since.elapsed());
        match timeout(left, stream.read_buf(buffer)).await {
            Ok(Ok(0) | Err(_)) => return Next::End,
            Ok(Ok(_)) => {}
            // Who said nothing is let go without a word; who began is told.
            Err(_) if buffer.is_empty() => return Next::End,
            Err(_) => return Next::Bad(408, "the head took too long"),
        }
    }
}

/// Takes the head that was just answered out of the buffer; a pipelined one stays.
fn drain(buffer: &mut Vec<u8>, length: usize) {
    buffer.drain(..length.min(buffer.len()));
    if buffer.is_empty() {
        // Kept connections are many and mostly idle.
        buffer.shrink_to(0);
    }
}

/// A kept connection of an agent stays over two heartbeats, as in stock.
fn idle_time(shared: &Shared) -> Duration {
    let interval = shared.current().site.conf.warewulf.update_interval;
    Duration::from_secs((2 * interval).clamp(30, 900))
}

async fn send(stream: &TcpStream, reply: &Reply, keep: bool, method: Method) -> io::Result<u64> {
    let Body::Spans(spans) = &reply.body else { return send_text(stream, reply, keep, method).await };
    if !reply.has_body(method) {
        return send_text(stream, reply, keep, method).await;
    }
    // What is in memory goes out together with what is before it.
    let mut waiting = reply.encode(keep, now());
    let mut sent = 0;
    for span in spans {
        match span {
            Span::Memory { bytes, .. } => waiting.extend_from_slice(bytes.get(span.memory()).unwrap_or_default()),
            // A head alone must not wait for more.
            Span::File { length: 0, .. } => {}
            Span::File { file, at, length } => {
                write(stream, &std::mem::take(&mut waiting), More::Comes).await?;
                send_piece(stream, file, Piece { start: *at, len: *length }).await?;
            }
        }
        sent += span.length();
    }
    write(stream, &waiting, More::No).await?;
    Ok(sent)
}

/// A head, and a body that is at hand.
async fn send_text(stream: &TcpStream, reply: &Reply, keep: bool, method: Method) -> io::Result<u64> {
    let mut bytes = reply.encode(keep, now());
    let mut sent = 0;
    if let (Body::Text(text), true) = (&reply.body, reply.has_body(method)) {
        bytes.extend_from_slice(text);
        sent = u64::try_from(text.len()).unwrap_or(u64::MAX);
    }
    write(stream, &bytes, More::No).await?;
    Ok(sent)
}

#[derive(Clone, Copy, PartialEq)]
enum More {
    No,
    /// More follows at once: the kernel may wait for it and fill the segment.
    Comes,
}

async fn write(stream: &TcpStream, mut bytes: &[u8], more: More) -> io::Result<()> {
    use nix::sys::socket::{MsgFlags, send};
    use std::os::fd::AsRawFd;
    let mut flags = MsgFlags::MSG_NOSIGNAL;
    if more == More::Comes {
        flags |= MsgFlags::from_bits_retain(libc::MSG_MORE);
    }
    while !bytes.is_empty() {
        let wrote = when_writable(stream, || Ok(send(stream.as_raw_fd(), bytes, flags)?)).await?;
        bytes = bytes.get(wrote..).unwrap_or_default();
    }
    Ok(())
}

async fn send_piece(stream: &TcpStream, file: &File, piece: Piece) -> io::Result<()> {
    let end = piece.start + piece.len;
    let mut at = i64::try_from(piece.start).map_err(io::Error::other)?;
    loop {
        let left = end.saturating_sub(u64::try_from(at).unwrap_or(end));
        if left == 0 {
            return Ok(());
        }
        let turn = usize::try_from(left.min(TURN)).map_err(io::Error::other)?;
        let sent = when_writable(stream, || Ok(sendfile64(stream.as_fd(), file, Some(&mut at), turn)?)).await?;
        if sent == 0 {
            // Somebody cut the file in place. The promised length cannot be kept; better no end than a wrong one.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Does one send as soon as the socket takes bytes.
async fn when_writable(stream: &TcpStream, mut send: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match timeout(STALL, stream.writable()).await {
            Ok(ready) => ready?,
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        }
        match stream.try_io(Interest::WRITABLE, &mut send) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            done => return done,
        }
    }
}

/// Ends a connection whose caller may still be talking: a close with unread bytes would reset it and take the reply with
/// it.
async fn linger(mut stream: TcpStream) {
    let _ = stream.shutdown().await;
    let mut rest = [0; 2048];
    let _ = timeout(LINGER, async { while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {} }).await;
}

/// The book learns of refusals and of who was there. What is to go out whole is handed back, to be written down when it has.
fn write_down(shared: &Shared, peer: SocketAddr, head: &Head, reply: &Reply, noted: Option<Noted>) -> Option<Noted> {
    let noted = noted?;
    let told = head.method == Method::Get;
    if told && noted.refused {
        note(shared, peer, &noted.node, Event::Done { stage: noted.stage, sent: noted.sent });
        return None;
    }
    note(shared, peer, &noted.node, Event::Seen);
    (told && matches!(reply.code, 200 | 206 | 304)).then_some(noted)
}

fn note(shared: &Shared, peer: SocketAddr, node: &str, event: Event) {
    shared.status().note(node, peer.ip(), u64::try_from(now()).unwrap_or(0), event);
}

/// One line a request. The query stays out: asset keys are in it.
fn log(peer: SocketAddr, head: &Head, reply: &Reply, sent: &io::Result<u64>, began: Instant) {
    let path = head.target.split('?').next().unwrap_or("");
    let agent = &head.user_agent;
    let took = began.elapsed().as_millis();
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    match sent {
        Ok(bytes) => tracing::info!(%peer, "{} {path}: {bytes} bytes in {took} ms, {agent:?}", reply.code),
        Err(error) => tracing::warn!(%peer, "{} {path}: broke after {took} ms: {error}, {agent:?}", reply.code),
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(0)
}
