//! `urlParse` and `urlJoin`, by the rules of Go's net/url (RFC 3986 with its leniencies).

use super::arguments::{mark, marked, unmark, value};
use super::{Answer, Native, native};
use crate::error::Failure;
use crate::host::Param;
use crate::value::{Key, Value};

pub(crate) const TABLE: &[Native] = &[
    native("urlParse", &[Param::Text], |args, _| {
        let text = marked(args, 0);
        let text = text.text();
        let url = Url::parse(text).map_err(|why| format!("unable to parse url: parse {text:?}: {why}"))?;
        Ok(Value::dict([
            ("fragment", Value::text(unmark(&url.fragment))),
            ("host", Value::text(unmark(&url.host))),
            ("hostname", Value::text(unmark(url.hostname()))),
            ("opaque", Value::text(unmark(&url.opaque))),
            ("path", Value::text(unmark(&url.path))),
            ("query", Value::text(unmark(&url.query))),
            ("scheme", Value::text(unmark(&url.scheme))),
            ("userinfo", Value::text(unmark(&url.user.unwrap_or_default()))),
        ]))
    }),
    native("urlJoin", &[Param::Dict], |args, _| join(value(args, 0))),
];

/// A URL in its parts; escapes are read in host, path and fragment, and kept in query and opaque.
#[derive(Debug, Default)]
struct Url {
    scheme: String,
    opaque: String,
    /// `name:password`, escaped as it is written.
    user: Option<String>,
    host: String,
    path: String,
    query: String,
    fragment: String,
}

fn join(dict: &Value) -> Answer {
    let part = |key: &str| -> Result<String, Failure> {
        let found = match dict {
            Value::Dict(dict) => dict.entry(key.as_bytes()),
            Value::Map(map) => map.entry(&Key::from(key)),
            _ => None,
        };
        match found.as_ref().map(Value::underlying).as_deref() {
            None => Ok(String::new()),
            Some(Value::Text(text)) => Ok(mark(text.as_bytes()).into_owned()),
            Some(other) => {
                let kind = other.kind_name();
                Err(format!("unable to parse {key} key, must be of type string, but {kind} found").into())
            }
        }
    };
    let userinfo = part("userinfo")?;
    let user = if userinfo.is_empty() {
        None
    } else {
        let parsed = Url::parse(&format!("proto://{userinfo}@host"));
        parsed.map_err(|why| format!("unable to parse userinfo in dict: {why}"))?.user
    };
    let url = Url {
        scheme: part("scheme")?,
        opaque: part("opaque")?,
        host: part("host")?,
        path: part("path")?,
        query: part("query")?,
        fragment: part("fragment")?,
        user,
    };
    Ok(Value::text(unmark(&url.to_string())))
}

impl Url {
    fn parse(text: &str) -> Result<Url, String> {
        if text.bytes().any(|b| b < b' ' || b == 0x7f) {
            return Err("net/url: invalid control character in URL".into());
        }
        let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (scheme, rest) = scheme(text)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut url = Url {
            scheme: scheme.to_ascii_lowercase(),
            query: query.into(),
            fragment: unescape(fragment)?,
            ..Url::default()
        };
        if !rest.starts_with('/') {
            if !url.scheme.is_empty() {
                url.opaque = rest.into();
                return Ok(url);
            }
            if rest.split('/').next().is_some_and(|segment| segment.contains(':')) {
                return Err("first path segment in URL cannot contain colon".into());
            }
        }
        let authority = rest.strip_prefix("//").filter(|_| !url.scheme.is_empty() || !rest.starts_with("///"));
        let path = match authority {
            Some(authority) => {
                let (authority, path) = authority.split_at(authority.find('/').unwrap_or(authority.len()));
                url.authority(authority)?;
                path
            }
            None => rest,
        };
        url.path = unescape(path)?;
        Ok(url)
    }

    fn authority(&mut self, text: &str) -> Result<(), String> {
        let (user, host) = match text.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, text),
        };
        let port = match host.strip_prefix('[') {
            Some(_) => {
                let end = host.rfind(']').ok_or("missing ']' in host")?;
                literal(host.get(1..end).unwrap_or(""))?;
                host.get(end + 1..).unwrap_or("")
            }
            None => host.rfind(':').and_then(|at| host.get(at..)).unwrap_or(""),
        };
        let digits = port.strip_prefix(':').unwrap_or(port);
        if !port.is_empty() && (!port.starts_with(':') || digits.bytes().any(|b| !b.is_ascii_digit())) {
            return Err(format!("invalid port {port:?} after host"));
        }
        if let Some(bad) = host.chars().find(|c| c.is_ascii() && !is_plain(*c) && !"%!$&'()*+,;=:[]<>\"@".contains(*c))
        {
            return Err(format!("invalid character {:?} in host name", bad.to_string()));
        }
        // In a host, only bytes beyond ASCII may be escaped.
        let plain_host = host.split('[').next().unwrap_or("");
        if let Some(at) = plain_host.find('%')
            && let Some(escape) = plain_host.as_bytes().get(at..at + 3)
            && escape.get(1).is_some_and(|digit| (b'0'..b'8').contains(digit))
            && escape != b"%25"
        {
            return Err(format!("invalid URL escape {:?}", String::from_utf8_lossy(escape)));
        }
        self.host = unescape(host)?;
        if let Some(user) = user {
            if user.chars().any(|c| !c.is_ascii_alphanumeric() && !"-._:~!$&'()*+,;=%@".contains(c)) {
                return Err("net/url: invalid userinfo".into());
            }
            let part = |text: &str| unescape(text).map(|plain| escape(&plain, "$&+,;="));
            self.user = Some(match user.split_once(':') {
                Some((name, password)) => format!("{}:{}", part(name)?, part(password)?),
                None => part(user)?,
            });
        }
        Ok(())
    }

    /// The host without port and brackets.
    fn hostname(&self) -> &str {
        let host = match self.host.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
            _ => self.host.as_str(),
        };
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.scheme.is_empty() {
            write!(f, "{}:", self.scheme)?;
        }
        if self.opaque.is_empty() {
            let named = !self.scheme.is_empty() || !self.host.is_empty() || self.user.is_some();
            if named && (!self.host.is_empty() || !self.path.is_empty() || self.user.is_some()) {
                f.write_str("//")?;
                if let Some(user) = &self.user {
                    write!(f, "{user}@")?;
                }
                f.write_str(&escape(&self.host, "!$&'()*+,;=:[]<>\""))?;
            }
            let path = if self.path == "*" { "*".into() } else { escape(&self.path, "$&+,/:;=@") };
            if !path.is_empty() && !path.starts_with('/') && !self.host.is_empty() {
                f.write_str("/")?;
            }
            // A first segment with a colon would read as a scheme.
            if !named && path.split('/').next().is_some_and(|segment| segment.contains(':')) {
                f.write_str("./")?;
            }
            f.write_str(&path)?;
        } else {
            f.write_str(&self.opaque)?;
        }
        if !self.query.is_empty() {
            write!(f, "?{}", self.query)?;
        }
        if !self.fragment.is_empty() {
            write!(f, "#{}", escape(&self.fragment, "$&+,/:;=?@!()*"))?;
        }
        Ok(())
    }
}

/// What stands in brackets is an IPv6 address (RFC 3986, section 3.2.2), which may have a zone (RFC 6874).
fn literal(text: &str) -> Result<(), String> {
    let (address, zone) = text.split_once("%25").map_or((text, None), |(address, zone)| (address, Some(zone)));
    let sound = address.parse::<std::net::Ipv6Addr>().is_ok() && zone != Some("");
    if sound { Ok(()) } else { Err("invalid IP-literal".into()) }
}

/// The scheme and what follows its colon; no scheme is "".
fn scheme(text: &str) -> Result<(&str, &str), String> {
    for (at, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if at > 0 => {}
            ':' if at == 0 => return Err("missing protocol scheme".into()),
            ':' => return Ok((text.get(..at).unwrap_or(""), text.get(at + 1..).unwrap_or(""))),
            _ => break,
        }
    }
    Ok(("", text))
}

/// RFC 3986, section 2.3.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.~".contains(c)
}

fn escape(text: &str, also_plain: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in unmark(text) {
        let c = char::from(byte);
        if byte.is_ascii() && (is_plain(c) || also_plain.contains(c)) {
            out.push(c);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn unescape(text: &str) -> Result<String, String> {
    let mut out = Vec::with_capacity(text.len());
    let bytes = unmark(text);
    let mut rest = bytes.as_slice();
    while let Some((byte, after)) = rest.split_first() {
        if *byte != b'%' {
            out.push(*byte);
            rest = after;
            continue;
        }
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let digits = digits.filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) else {
            let bad = rest.get(..3).unwrap_or(rest);
            return Err(format!("invalid URL escape {:?}", String::from_utf8_lossy(bad)));
        };
        out.push(byte);
        rest = after.get(2..).unwrap_or_default();
    }
    Ok(mark(&out).into_owned())
}
