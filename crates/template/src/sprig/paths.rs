//! Paths, the environment, and host names.

use super::arguments::{marked, text};
use super::{Native, native};
use crate::context::Context;
use crate::error::Failure;
use crate::host::Param::Text;
use crate::value::Value;

pub(crate) const TABLE: &[Native] = &[
    native("base", &[Text], |args, _| Ok(Value::text(base(&text(args, 0))))),
    native("dir", &[Text], |args, _| Ok(Value::from(dir(&text(args, 0))))),
    native("clean", &[Text], |args, _| Ok(Value::from(clean(&text(args, 0))))),
    native("ext", &[Text], |args, _| Ok(Value::text(ext(&text(args, 0))))),
    native("isAbs", &[Text], |args, _| Ok(Value::Bool(text(args, 0).starts_with('/')))),
    native("osBase", &[Text], |args, _| Ok(Value::text(base(&text(args, 0))))),
    native("osDir", &[Text], |args, _| Ok(Value::from(dir(&text(args, 0))))),
    native("osClean", &[Text], |args, _| Ok(Value::from(clean(&text(args, 0))))),
    native("osExt", &[Text], |args, _| Ok(Value::text(ext(&text(args, 0))))),
    native("osIsAbs", &[Text], |args, _| Ok(Value::Bool(text(args, 0).starts_with('/')))),
    native("env", &[Text], |args, cx| Ok(Value::Text(cx.world.environment(&text(args, 0)).unwrap_or_default()))),
    native("expandenv", &[Text], |args, cx| {
        let text = marked(args, 0);
        let made = expand(text.text(), cx)?;
        Ok(Value::Text(
            std::str::from_utf8(&made).map(|made| text.back(made)).unwrap_or_else(|_| made.as_slice().into()),
        ))
    }),
    native("getHostByName", &[Text], |args, cx| {
        let name = text(args, 0);
        // An address is its own answer; nobody is asked.
        if name.parse::<std::net::IpAddr>().is_ok() {
            return Ok(Value::text(name.as_bytes()));
        }
        let first = cx.world.addresses(&name).into_iter().next();
        first.map(Value::from).ok_or_else(|| format!("no address is known for {name}").into())
    }),
];

/// The shortest path that means the same (Go's `path.Clean`).
fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        match (part, parts.last()) {
            ("..", Some(last)) if *last != ".." => {
                parts.pop();
            }
            ("..", None) if rooted => {}
            _ => parts.push(part),
        }
    }
    match (rooted, parts.join("/")) {
        (true, path) => format!("/{path}"),
        (false, path) if path.is_empty() => ".".into(),
        (false, path) => path,
    }
}

fn base(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" if path.is_empty() => ".",
        "" => "/",
        path => path.rsplit('/').next().unwrap_or(path),
    }
}

fn dir(path: &str) -> String {
    clean(path.rfind('/').and_then(|at| path.get(..=at)).unwrap_or(""))
}

fn ext(path: &str) -> &str {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.rfind('.').and_then(|at| file.get(at..)).unwrap_or("")
}

/// `$NAME` and `${NAME}` put in, as Go's `os.Expand` finds them.
fn expand(template: &str, cx: &Context<'_>) -> Result<Vec<u8>, Failure> {
    let mut out = Vec::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        out.extend(before.as_bytes());
        let (name, length) = variable(after);
        match name {
            Some("") => {}
            Some(name) => {
                let found = cx.world.environment(name).unwrap_or_default();
                cx.fuel.bytes(found.len())?;
                out.extend(found.as_bytes());
            }
            None => out.push(b'$'),
        }
        rest = after.get(length..).unwrap_or("");
    }
    out.extend(rest.as_bytes());
    Ok(out)
}

/// The name behind a dollar sign and how long it is written; `None`: no name; empty: nonsense that vanishes.
fn variable(text: &str) -> (Option<&str>, usize) {
    let special = |c: char| "*#$@!?-0123456789".contains(c);
    if let Some(braced) = text.strip_prefix('{') {
        if braced.chars().next().is_some_and(special) && braced.get(1..2) == Some("}") {
            return (braced.get(..1), 3);
        }
        return match braced.find('}') {
            Some(end) => (braced.get(..end), end + 2),
            None => (Some(""), 1),
        };
    }
    if text.chars().next().is_some_and(special) {
        return (text.get(..1), 1);
    }
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    (text.get(..end).filter(|name| !name.is_empty()), end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_go_does() {
        for (path, cleaned) in [
            ("", "."),
            ("/", "/"),
            ("/..", "/"),
            ("a//b/./c/..", "a/b"),
            ("../../a/..", "../.."),
            ("a/../../b", "../b"),
        ] {
            assert_eq!(clean(path), cleaned, "{path}");
        }
        assert_eq!((base(""), base("///"), base("a/b/")), (".", "/", "b"));
        assert_eq!((dir("a").as_str(), dir("/a/../b/c").as_str(), dir("/").as_str()), (".", "/b", "/"));
    }
}
