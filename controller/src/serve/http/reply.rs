//! A reply as a value: code, headers, body. Encoded here, sent by `connection`.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use boot::http::conditions::{self, Identity, Weighed};
use boot::http::date;
use boot::http::range::{self, Piece, Ranges};

use crate::build::span::Span;
use crate::serve::http::head::{Head, Method};

/// What goes back to the caller.
#[derive(Debug)]
pub struct Reply {
    pub code: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Body,
}

/// What follows the head.
#[derive(Debug)]
pub enum Body {
    Text(Vec<u8>),
    /// One after another. What is open is what is sent, whatever is put in its place meanwhile.
    Spans(Vec<Span>),
}

impl Body {
    fn length(&self) -> u64 {
        let size = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        match self {
            Body::Text(text) => size(text),
            Body::Spans(spans) => spans.iter().map(Span::length).sum(),
        }
    }
}

impl Reply {
    /// A text of this type.
    pub fn text(code: u16, kind: &str, text: impl Into<Vec<u8>>) -> Reply {
        Reply { code, headers: vec![("Content-Type", kind.to_string())], body: Body::Text(text.into()) }
    }

    /// A code and one line for a person.
    pub fn line(code: u16, line: &str) -> Reply {
        let mut reply = Reply::text(code, "text/plain; charset=utf-8", format!("{line}\n"));
        reply.headers.push(("X-Content-Type-Options", "nosniff".into()));
        reply
    }

    /// A code and nothing else.
    pub fn empty(code: u16) -> Reply {
        Reply { code, headers: vec![], body: Body::Text(vec![]) }
    }

    /// To another place.
    pub fn redirect(code: u16, to: String) -> Reply {
        let mut reply = Reply::line(code, &format!("see {to}"));
        reply.headers.push(("Location", to));
        reply
    }

    /// A file, as far as the conditions and ranges of the request want it.
    ///
    /// # Errors
    /// When the open file cannot be looked at.
    pub fn file(head: &Head, file: File, kind: &str) -> io::Result<Reply> {
        let data = file.metadata()?;
        let identity = Identity { etag: etag(&data), modified: data.mtime() };
        let whole = Span::File { file: Arc::new(file), at: 0, length: data.len() };
        Ok(Reply::spans(head, &[whole], &identity, kind))
    }

    /// Something in spans, as far as the conditions and ranges of the request want it.
    pub fn spans(head: &Head, spans: &[Span], identity: &Identity, kind: &str) -> Reply {
        let size = spans.iter().map(Span::length).sum();
        let mut headers = vec![("Last-Modified", date::write(identity.modified)), ("ETag", identity.etag.clone())];
        let ranges = match conditions::weigh(&head.conditions, identity) {
            Weighed::NotModified => return Reply { code: 304, headers, body: Body::Text(vec![]) },
            Weighed::Failed => return Reply { code: 412, headers, body: Body::Text(vec![]) },
            Weighed::Send { ranges: true } => range::read(head.range.as_deref(), size),
            Weighed::Send { ranges: false } => Ranges::Whole,
        };
        headers.push(("Accept-Ranges", "bytes".into()));
        let (code, kind, body) = match ranges {
            Ranges::None => {
                let mut refused = Reply::line(416, "the range is not in the file");
                refused.headers.push(("Content-Range", format!("bytes */{size}")));
                return refused;
            }
            Ranges::Whole => (200, kind.to_string(), spans.to_vec()),
            Ranges::One(piece) => {
                headers.push(("Content-Range", piece.content_range(size)));
                (206, kind.to_string(), cut(spans, piece))
            }
            Ranges::Many(pieces) => {
                let border = border();
                let mut body = Vec::new();
                for (at, piece) in pieces.into_iter().enumerate() {
                    let line = if at == 0 { "" } else { "\r\n" };
                    let range = piece.content_range(size);
                    let before = format!("{line}--{border}\r\nContent-Type: {kind}\r\nContent-Range: {range}\r\n\r\n");
                    body.push(Span::from(before.into_bytes()));
                    body.extend(cut(spans, piece));
                }
                body.push(Span::from(format!("\r\n--{border}--\r\n").into_bytes()));
                (206, format!("multipart/byteranges; boundary={border}"), body)
            }
        };
        headers.push(("Content-Type", kind));
        Reply { code, headers, body: Body::Spans(body) }
    }

    /// The head as it goes out. `now` in seconds since 1970.
    pub fn encode(&self, keep: bool, now: i64) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} {}\r\nDate: {}\r\n", self.code, reason(self.code), date::write(now));
        for (name, value) in &self.headers {
            head.push_str(name);
            head.push_str(": ");
            // A name from a file must not become a header of its own.
            head.extend(value.chars().map(|c| if c.is_control() { ' ' } else { c }));
            head.push_str("\r\n");
        }
        if self.code != 304 {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.length()));
        }
        if !keep {
            head.push_str("Connection: close\r\n");
        }
        head.push_str("\r\n");
        head.into_bytes()
    }

    /// Whether a body follows the head for this caller.
    pub fn has_body(&self, method: Method) -> bool {
        method != Method::Head && self.code != 304
    }
}

/// The part of the spans that a range names.
fn cut(spans: &[Span], piece: Piece) -> Vec<Span> {
    let (mut skip, mut left) = (piece.start, piece.len);
    let mut parts = Vec::new();
    for span in spans {
        let length = span.length();
        let taken = length.saturating_sub(skip).min(left);
        if taken > 0 {
            parts.push(span.part(skip, taken));
        }
        skip = skip.saturating_sub(length);
        left -= taken;
    }
    parts
}

/// Strong: a content has its own inode (files are published by rename), and a write in place moves size or change time.
fn etag(data: &std::fs::Metadata) -> String {
    format!("\"{:x}-{:x}-{:x}.{:x}\"", data.ino(), data.size(), data.ctime(), data.ctime_nsec())
}

/// A line that is in no file but by a chance of one in 2^128.
fn border() -> String {
    use std::hash::{BuildHasher, RandomState};
    let number = || RandomState::new().hash_one(std::process::id());
    format!("{:016x}{:016x}", number(), number())
}

fn reason(code: u16) -> &'static str {
    match code {
        200 => "OK",
        206 => "Partial Content",
        301 => "Moved Permanently",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        412 => "Precondition Failed",
        416 => "Range Not Satisfiable",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Other",
    }
}

/// The type that a file is sent with, by its name. UEFI's HTTP Boot wants its own for loaders.
pub fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map_or("", |(_, suffix)| suffix) {
        "efi" => "application/efi",
        "gz" => "application/gzip",
        "img" => "application/x-raw-disk-image",
        "txt" | "conf" | "cfg" | "sh" | "log" => "text/plain; charset=utf-8",
        "html" => "text/html; charset=utf-8",
        "json" => "application/json",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::FileExt;

    fn head(method: Method, range: Option<&str>) -> Head {
        Head {
            method,
            target: "/".into(),
            keep_alive: true,
            has_body: false,
            range: range.map(String::from),
            conditions: conditions::Conditions::default(),
            user_agent: String::new(),
        }
    }

    fn file(content: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        file
    }

    #[test]
    fn a_head_is_written_whole() {
        let mut reply = Reply::text(200, "text", "abc");
        reply.headers.push(("Location", "a\r\nX: y".into()));
        assert_eq!(
            String::from_utf8(reply.encode(false, 1_767_323_045)).unwrap(),
            concat!(
                "HTTP/1.1 200 OK\r\nDate: Fri, 02 Jan 2026 03:04:05 GMT\r\nContent-Type: text\r\n",
                "Location: a  X: y\r\nContent-Length: 3\r\nConnection: close\r\n\r\n"
            )
        );
    }

    #[test]
    fn a_range_names_its_place_and_the_length_of_the_piece() {
        let reply = Reply::file(&head(Method::Get, Some("bytes=2-3")), file(b"0123456789"), "x").unwrap();
        let text = String::from_utf8(reply.encode(true, 0)).unwrap();
        assert!(text.starts_with("HTTP/1.1 206 "), "{text}");
        assert!(text.contains("Content-Range: bytes 2-3/10\r\n") && text.contains("Content-Length: 2\r\n"), "{text}");
    }

    #[test]
    fn several_ranges_are_parts_between_borders() {
        let reply = Reply::file(&head(Method::Get, Some("bytes=0-0,8-9")), file(b"0123456789"), "x/y").unwrap();
        let kind = reply.headers.iter().find(|(name, _)| *name == "Content-Type").unwrap().1.clone();
        let border = kind.strip_prefix("multipart/byteranges; boundary=").unwrap();
        assert_eq!(
            whole(&reply.body),
            format!(
                "--{border}\r\nContent-Type: x/y\r\nContent-Range: bytes 0-0/10\r\n\r\n0\
                 \r\n--{border}\r\nContent-Type: x/y\r\nContent-Range: bytes 8-9/10\r\n\r\n89\
                 \r\n--{border}--\r\n"
            )
        );
    }

    /// The bytes of a body.
    fn whole(body: &Body) -> String {
        let Body::Spans(spans) = body else { panic!() };
        let mut bytes = Vec::new();
        for span in spans {
            match span {
                Span::Memory { bytes: all, .. } => bytes.extend_from_slice(&all[span.memory()]),
                Span::File { file, at, length } => {
                    let mut part = vec![0; usize::try_from(*length).unwrap()];
                    file.read_exact_at(&mut part, *at).unwrap();
                    bytes.extend(part);
                }
            }
        }
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_range_over_several_spans_is_their_bytes() {
        let identity = Identity { etag: "\"x\"".into(), modified: 0 };
        let second = Span::File { file: Arc::new(file(b"..3456..")), at: 2, length: 4 };
        let spans = [Span::from(b"012".to_vec()), second, Span::from(b"789".to_vec())];
        for start in 0..10 {
            for end in start..10 {
                let asked = format!("bytes={start}-{end}");
                let reply = Reply::spans(&head(Method::Get, Some(&asked)), &spans, &identity, "x");
                assert_eq!(reply.code, 206);
                assert_eq!(whole(&reply.body), "0123456789"[start..=end], "{asked}");
                assert_eq!(reply.body.length(), (end - start + 1) as u64);
            }
        }
        assert_eq!(whole(&Reply::spans(&head(Method::Get, None), &spans, &identity, "x").body), "0123456789");
    }

    #[test]
    fn another_content_has_another_tag() {
        let (one, two) = (file(b"a"), file(b"a"));
        assert_ne!(etag(&one.metadata().unwrap()), etag(&two.metadata().unwrap()));
    }
}
