//! The head of a request: bytes to values, once. What it means is for `boot::http` to say.

use boot::http::conditions::Conditions;

/// More than this is no request of a node.
pub const LONGEST: usize = 16 * 1024;

const MOST_HEADERS: usize = 100;

/// GET and HEAD are all that is served; the others are told so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Other,
}

/// What a request says before its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub method: Method,
    pub target: String,
    /// Whether the caller wants to send another request on this connection, and can.
    pub keep_alive: bool,
    /// Whether bytes follow that are not the next request.
    pub has_body: bool,
    pub range: Option<String>,
    pub conditions: Conditions,
    pub user_agent: String,
}

/// How far the bytes got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// More bytes are needed.
    Partial,
    /// A head, and how many bytes it took.
    Whole(Box<Head>, usize),
    /// No request, and why; 400, or 431 when it is only too long.
    Bad(u16, &'static str),
}

/// Parses what has arrived so far.
pub fn parse(bytes: &[u8]) -> Parsed {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() >= LONGEST => return Parsed::Bad(431, "the head is too long"),
        Ok(httparse::Status::Partial) => return Parsed::Partial,
        Err(httparse::Error::TooManyHeaders) => return Parsed::Bad(431, "too many headers"),
        Err(httparse::Error::Version) => return Parsed::Bad(400, "only HTTP/1.0 and HTTP/1.1 are spoken here"),
        Err(_) => return Parsed::Bad(400, "the request is not HTTP"),
    };
    if length > LONGEST {
        return Parsed::Bad(431, "the head is too long");
    }
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return Parsed::Bad(400, "the request is not HTTP");
    };
    let method = match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        _ => Method::Other,
    };
    let mut head = Head {
        method,
        target: target.to_string(),
        keep_alive: version == 1,
        has_body: false,
        range: None,
        conditions: Conditions::default(),
        user_agent: String::new(),
    };
    let mut hosts = 0;
    for header in request.headers.iter() {
        let value = String::from_utf8_lossy(header.value).trim().to_string();
        let conditions = &mut head.conditions;
        match header.name.to_ascii_lowercase().as_str() {
            "host" => hosts += 1,
            "connection" => {
                for word in value.split(',').map(str::trim) {
                    if word.eq_ignore_ascii_case("close") {
                        head.keep_alive = false;
                    } else if word.eq_ignore_ascii_case("keep-alive") && version == 0 {
                        head.keep_alive = true;
                    }
                }
            }
            "content-length" => match value.parse::<u64>() {
                Ok(0) => {}
                Ok(_) => head.has_body = true,
                Err(_) => return Parsed::Bad(400, "Content-Length is not a number"),
            },
            "transfer-encoding" => head.has_body = true,
            "range" => head.range = Some(value),
            "if-match" => conditions.if_match = Some(value),
            "if-none-match" => conditions.if_none_match = Some(value),
            "if-modified-since" => conditions.if_modified_since = Some(value),
            "if-unmodified-since" => conditions.if_unmodified_since = Some(value),
            "if-range" => conditions.if_range = Some(value),
            "user-agent" => head.user_agent = value,
            _ => {}
        }
    }
    // RFC 9112, 3.2: exactly one Host in HTTP/1.1. HTTP/1.0 had none.
    if hosts > 1 || hosts == 0 && version == 1 {
        return Parsed::Bad(400, "a request needs exactly one Host header");
    }
    // Nobody here reads bodies; the next head could not be told from the rest of one.
    head.keep_alive &= !head.has_body;
    Parsed::Whole(Box::new(head), length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> Head {
        match parse(text.as_bytes()) {
            Parsed::Whole(head, length) => {
                assert_eq!(length, text.len());
                *head
            }
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn a_head_is_read_to_values() {
        let head = whole(concat!(
            "GET /runtime/a?compress=gz HTTP/1.1\r\nHost: x\r\nUser-Agent: wwclient/1\r\nRange: bytes=0-1\r\n",
            "If-None-Match: \"a\"\r\n\r\n"
        ));
        assert_eq!(head.method, Method::Get);
        assert_eq!(head.target, "/runtime/a?compress=gz");
        assert_eq!(head.range.as_deref(), Some("bytes=0-1"));
        assert_eq!(head.conditions.if_none_match.as_deref(), Some("\"a\""));
        assert_eq!((head.user_agent.as_str(), head.keep_alive, head.has_body), ("wwclient/1", true, false));
    }

    #[test]
    fn a_connection_is_kept_by_version_and_word() {
        assert!(whole("GET / HTTP/1.1\r\nHost: x\r\n\r\n").keep_alive);
        assert!(!whole("GET / HTTP/1.1\r\nHost: x\r\nConnection: Close\r\n\r\n").keep_alive);
        assert!(!whole("GET / HTTP/1.0\r\n\r\n").keep_alive);
        assert!(whole("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").keep_alive);
        assert!(!whole("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n").keep_alive);
        assert!(!whole("GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").keep_alive);
    }

    #[test]
    fn what_is_no_request_is_refused_with_a_reason() {
        for (text, code) in [
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400),
            ("\u{16}\u{3}\u{1}\u{2}\r\n\r\n", 400),
            ("GET /\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        ] {
            let Parsed::Bad(got, _) = parse(text.as_bytes()) else { panic!("{text:?}") };
            assert_eq!(got, code, "{text:?}");
        }
    }

    #[test]
    fn a_head_without_end_is_cut_off() {
        let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(LONGEST));
        assert!(matches!(parse(long.as_bytes()), Parsed::Bad(431, _)));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(MOST_HEADERS + 1));
        assert!(matches!(parse(many.as_bytes()), Parsed::Bad(431, _)));
        assert_eq!(parse(b"GET / HT"), Parsed::Partial);
        assert_eq!(parse(b""), Parsed::Partial);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_parsed_without_harm(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn anything_that_looks_like_a_request_is_parsed_without_harm(
            method in "[A-Z]{0,8}", target in "[ -~]{0,40}", name in "[A-Za-z-]{0,20}", value in "[ -~]{0,40}",
        ) {
            let text = format!("{method} {target} HTTP/1.1\r\nHost: x\r\n{name}: {value}\r\n\r\n");
            if let Parsed::Whole(head, length) = parse(text.as_bytes()) {
                proptest::prop_assert_eq!(length, text.len());
                let _ = boot::http::target::read(&head.target);
            }
        }

        #[test]
        fn a_head_that_comes_in_two_pieces_is_the_same_head(cut in 0usize..70) {
            let text = "GET /image/02:00:00:00:00:01 HTTP/1.1\r\nHost: x\r\nRange: bytes=0-\r\n\r\n";
            let cut = cut.min(text.len() - 1);
            proptest::prop_assert_eq!(parse(&text.as_bytes()[..cut]), Parsed::Partial);
        }
    }
}
