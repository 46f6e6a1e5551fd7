//! The text functions that templates have beyond Go's and sprig's: escaping for systemd, one line of each name, the
//! last part of a path, the lines before a mark.

/// What `systemd-escape TEXT` prints (systemd.unit(5), "String Escaping for Inclusion in Unit Names").
pub fn systemd_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'/' => out.push('-'),
            b'.' if at == 0 => out.push_str("\\x2e"),
            b':' | b'_' | b'.' => out.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out
}

/// What `systemd-escape --path TEXT` prints: slashes at the ends and doubled ones go, the root is `-`.
pub fn systemd_escape_path(text: &str) -> String {
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.is_empty() { "-".into() } else { systemd_escape(&parts.join("/")) }
}

/// Of the lines whose field number `index` (from 0) is the same and not empty, the first. Lines without that field stay.
pub fn unique_field(separator: &str, index: i64, text: &str) -> String {
    let mut seen = std::collections::HashSet::new();
    let kept: Vec<&str> = text
        .split('\n')
        .filter(|line| {
            let field = usize::try_from(index).ok().and_then(|index| {
                if separator.is_empty() {
                    // Go's strings.Split cuts between characters then.
                    line.char_indices().nth(index).map(|(at, c)| line.get(at..at + c.len_utf8()).unwrap_or_default())
                } else {
                    line.split(separator).nth(index)
                }
            });
            field.is_none_or(|field| field.is_empty() || seen.insert(field))
        })
        .collect();
    kept.join("\n")
}

/// The last part of a path, as Go's `path.Base`.
pub fn basename(path: &str) -> &str {
    if path.is_empty() {
        return ".";
    }
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() { "/" } else { trimmed.rsplit('/').next().unwrap_or(trimmed) }
}

/// The lines of `text` before the first that contains `stop`, then `stop` itself.
pub fn block(text: &str, stop: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        if line.contains(stop) {
            break;
        }
        out.push_str(line);
        out.push('\n');
    }
    out.push_str(stop);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_those_of_systemd_escape() {
        assert_eq!(systemd_escape("a//b/"), "a--b-");
        assert_eq!(systemd_escape("a b\\c@d%e~f"), "a\\x20b\\x5cc\\x40d\\x25e\\x7ef");
        assert_eq!(systemd_escape(".hidden.d"), "\\x2ehidden.d");
        assert_eq!(systemd_escape_path("//var///log//"), "var-log");
        assert_eq!(systemd_escape_path("/a/.b"), "a-.b");
        assert_eq!(systemd_escape_path("/"), "-");
    }

    #[test]
    fn the_first_line_of_each_name_stays_and_lines_without_the_field_too() {
        assert_eq!(unique_field(":", 0, "a:1\n\n\na:2\nb:1\n"), "a:1\n\n\nb:1\n");
        assert_eq!(unique_field(":", 1, "a\nb:1\nc\nd:1\na"), "a\nb:1\nc\na");
        assert_eq!(unique_field(":", -1, "a\na"), "a\na");
    }

    #[test]
    fn the_last_part_of_a_path_is_gos() {
        assert_eq!([basename(""), basename("/"), basename("/a/b/"), basename("c.txt")], [".", "/", "b", "c.txt"]);
    }

    #[test]
    fn a_block_ends_before_the_line_with_the_mark() {
        assert_eq!(
            block("one\ntwo\n# Do not edit after this line\nthree\n", "# Do not edit"),
            "one\ntwo\n# Do not edit"
        );
        assert_eq!(block("", "STOP"), "STOP");
    }
}
