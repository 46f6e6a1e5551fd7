//! Conditional requests (RFC 9110, section 13): does the caller have it already, or another one than it thinks?

use crate::http::date;

/// What tells one content of a file from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Strong, with its quotes.
    pub etag: String,
    /// Seconds since 1970.
    pub modified: i64,
}

/// The headers that make a request conditional, as they were sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    pub if_match: Option<String>,
    pub if_none_match: Option<String>,
    pub if_modified_since: Option<String>,
    pub if_unmodified_since: Option<String>,
    pub if_range: Option<String>,
}

/// What the conditions come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Weighed {
    /// Send it; a range counts only when this says so.
    Send { ranges: bool },
    /// 304: the caller has it.
    NotModified,
    /// 412: it is not what the caller thinks.
    Failed,
}

/// Weighs in the order of RFC 9110, 13.2.2.
pub fn weigh(conditions: &Conditions, is: &Identity) -> Weighed {
    let date_of = |text: &Option<String>| text.as_deref().and_then(date::read);
    // A header without a value is as if it was not there.
    let said = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    if let Some(tags) = &said(&conditions.if_match) {
        if !names(tags, &is.etag, Strength::Strong) {
            return Weighed::Failed;
        }
    } else if date_of(&conditions.if_unmodified_since).is_some_and(|since| is.modified > since) {
        return Weighed::Failed;
    }
    if let Some(tags) = &said(&conditions.if_none_match) {
        if names(tags, &is.etag, Strength::Weak) {
            return Weighed::NotModified;
        }
    } else if date_of(&conditions.if_modified_since).is_some_and(|since| is.modified <= since) {
        return Weighed::NotModified;
    }
    let ranges = match conditions.if_range.as_deref() {
        None | Some("") => true,
        // A weak tag never matches here; a date must be the very one.
        Some(text) => match first_tag(text) {
            Some((tag, _)) => tag == is.etag,
            None => date::read(text) == Some(is.modified),
        },
    };
    Weighed::Send { ranges }
}

#[derive(Clone, Copy, PartialEq)]
enum Strength {
    Strong,
    Weak,
}

/// Whether a list of tags has this one, or is `*`. What follows a tag that is none is not read.
fn names(list: &str, etag: &str, strength: Strength) -> bool {
    let mut rest = list;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.starts_with('*') {
            return true;
        }
        let Some((tag, after)) = first_tag(rest) else { return false };
        let weak = tag.strip_prefix("W/").filter(|_| strength == Strength::Weak);
        if weak.unwrap_or(tag) == etag {
            return true;
        }
        rest = after;
    }
}

/// The tag that a text begins with (RFC 9110, 8.8.3), and what follows it.
fn first_tag(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start_matches([' ', '\t']);
    let opaque = text.strip_prefix("W/").unwrap_or(text).strip_prefix('"')?;
    let end = opaque.find('"')?;
    let sound = opaque.bytes().take(end).all(|byte| byte > b' ' && byte != 0x7f);
    let length = text.len() - opaque.len() + end + 1;
    if sound { text.split_at_checked(length) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THEN: &str = "Fri, 02 Jan 2026 03:04:05 GMT";
    const BEFORE: &str = "Fri, 02 Jan 2026 03:04:04 GMT";
    const AFTER: &str = "Fri, 02 Jan 2026 03:04:06 GMT";
    const SEND: Weighed = Weighed::Send { ranges: true };
    const WHOLE: Weighed = Weighed::Send { ranges: false };

    fn on(set: impl Fn(&mut Conditions)) -> Weighed {
        let mut conditions = Conditions::default();
        set(&mut conditions);
        weigh(&conditions, &Identity { etag: "\"a\"".into(), modified: 1_767_323_045 })
    }

    #[test]
    fn without_conditions_it_is_sent() {
        assert_eq!(on(|_| ()), SEND);
    }

    #[test]
    fn if_modified_since_compares_seconds() {
        for (date, want) in [(BEFORE, SEND), (THEN, Weighed::NotModified), (AFTER, Weighed::NotModified), ("x", SEND)] {
            assert_eq!(on(|c| c.if_modified_since = Some(date.into())), want, "{date}");
        }
    }

    #[test]
    fn if_none_match_takes_lists_weak_tags_and_the_star_and_beats_the_date() {
        for (tags, want) in [
            ("\"a\"", Weighed::NotModified),
            ("\"x\", W/\"a\"", Weighed::NotModified),
            ("*", Weighed::NotModified),
            ("\"abc\"", SEND),
            ("\"x,y\" \"a\"", Weighed::NotModified),
            ("\"x\"y, \"a\"", SEND),
            ("x, \"a\"", SEND),
            ("\"x y\", \"a\"", SEND),
            ("", SEND),
        ] {
            assert_eq!(on(|c| c.if_none_match = Some(tags.into())), want, "{tags}");
        }
        let both = on(|c| {
            c.if_none_match = Some("\"x\"".into());
            c.if_modified_since = Some(AFTER.into());
        });
        assert_eq!(both, SEND);
    }

    #[test]
    fn if_match_and_if_unmodified_since_fail_on_another_file() {
        assert_eq!(on(|c| c.if_match = Some("\"x\"".into())), Weighed::Failed);
        assert_eq!(on(|c| c.if_match = Some("W/\"a\"".into())), Weighed::Failed);
        assert_eq!(on(|c| c.if_match = Some("\"a\"".into())), SEND);
        assert_eq!(on(|c| c.if_unmodified_since = Some(BEFORE.into())), Weighed::Failed);
        assert_eq!(on(|c| c.if_unmodified_since = Some(THEN.into())), SEND);
    }

    #[test]
    fn if_range_lets_a_range_count_only_for_the_same_file() {
        for (value, want) in
            [("\"a\"", SEND), ("\"x\"", WHOLE), ("W/\"a\"", WHOLE), (THEN, SEND), (AFTER, WHOLE), ("", SEND)]
        {
            assert_eq!(on(|c| c.if_range = Some(value.into())), want, "{value}");
        }
    }
}
