//! A reply as a value: code, headers, body. Encoded here, sent by `connection`.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;

use boot::http::conditions::{self, Identity, Weighed};
use boot::http::date;
use boot::http::range::{self, Piece, Ranges};

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
    /// Pieces of an open file, with the text that goes before each, and what comes after the last.
    File {
        file: File,
        parts: Vec<(Vec<u8>, Piece)>,
        end: Vec<u8>,
    },
}

impl Body {
    fn length(&self) -> u64 {
        let size = |bytes: &[u8]| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        match self {
            Body::Text(text) => size(text),
            Body::File { parts, end, .. } => {
                parts.iter().map(|(before, piece)| size(before) + piece.len).sum::<u64>() + size(end)
            }
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

    /// A file, as far as the conditions and ranges of the request want it. The descriptor is what is sent: a file that
    /// is put in its place meanwhile changes nothing.
    ///
    /// # Errors
    /// When the open file cannot be looked at.
    pub fn file(head: &Head, file: File, kind: &str) -> io::Result<Reply> {
        let data = file.metadata()?;
        let size = data.len();
        let identity = Identity { etag: etag(&data), modified: data.mtime() };
        let mut headers = vec![("Last-Modified", date::write(identity.modified)), ("ETag", identity.etag.clone())];
        let ranges = match conditions::weigh(&head.conditions, &identity) {
            Weighed::NotModified => return Ok(Reply { code: 304, headers, body: Body::Text(vec![]) }),
            Weighed::Failed => return Ok(Reply { code: 412, headers, body: Body::Text(vec![]) }),
            Weighed::Send { ranges: true } => range::read(head.range.as_deref(), size),
            Weighed::Send { ranges: false } => Ranges::Whole,
        };
        headers.push(("Accept-Ranges", "bytes".into()));
        let (code, kind, parts, end) = match ranges {
            Ranges::None => {
                let mut refused = Reply::line(416, "the range is not in the file");
                refused.headers.push(("Content-Range", format!("bytes */{size}")));
                return Ok(refused);
            }
            Ranges::Whole => {
                let whole = Piece { start: 0, len: size };
                (200, kind.to_string(), vec![(vec![], whole)], vec![])
            }
            Ranges::One(piece) => {
                headers.push(("Content-Range", piece.content_range(size)));
                (206, kind.to_string(), vec![(vec![], piece)], vec![])
            }
            Ranges::Many(pieces) => {
                let border = border();
                let parts = pieces.into_iter().enumerate().map(|(at, piece)| {
                    let line = if at == 0 { "" } else { "\r\n" };
                    let range = piece.content_range(size);
                    let before = format!("{line}--{border}\r\nContent-Type: {kind}\r\nContent-Range: {range}\r\n\r\n");
                    (before.into_bytes(), piece)
                });
                let end = format!("\r\n--{border}--\r\n").into_bytes();
                (206, format!("multipart/byteranges; boundary={border}"), parts.collect(), end)
            }
        };
        headers.push(("Content-Type", kind));
        Ok(Reply { code, headers, body: Body::File { file, parts, end } })
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
        let Body::File { parts, end, .. } = &reply.body else { panic!() };
        let text: Vec<_> = parts.iter().map(|(before, piece)| (String::from_utf8_lossy(before), piece.len)).collect();
        assert_eq!(
            text,
            [
                (format!("--{border}\r\nContent-Type: x/y\r\nContent-Range: bytes 0-0/10\r\n\r\n").into(), 1),
                (format!("\r\n--{border}\r\nContent-Type: x/y\r\nContent-Range: bytes 8-9/10\r\n\r\n").into(), 2),
            ]
        );
        assert_eq!(String::from_utf8_lossy(end), format!("\r\n--{border}--\r\n"));
    }

    #[test]
    fn another_content_has_another_tag() {
        let (one, two) = (file(b"a"), file(b"a"));
        assert_ne!(etag(&one.metadata().unwrap()), etag(&two.metadata().unwrap()));
    }
}
