//! The kernel's command line as this program needs it. Pure: text in, values out.

/// What `/proc/cmdline` says that matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cmdline {
    /// `wwid=`; the last one counts.
    pub wwid: Option<Wwid>,
    /// `selinux=0` or `selinux=1`.
    pub selinux: Option<bool>,
    /// `enforcing=0` or `enforcing=1`.
    pub enforcing: Option<bool>,
}

/// How the command line names this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wwid {
    /// A hardware address, as written.
    Address(String),
    /// `wwid=[eth0]`: the address of that interface.
    Interface(String),
}

/// Reads a command line. Words are separated by blanks; double quotes keep blanks inside a word (Linux,
/// `lib/cmdline.c`, next_arg).
pub fn parse(text: &str) -> Cmdline {
    let mut found = Cmdline::default();
    for word in words(text) {
        let Some((key, value)) = word.split_once('=') else { continue };
        match key {
            "wwid" => found.wwid = wwid(value).or(found.wwid),
            "selinux" => found.selinux = truth(value).or(found.selinux),
            "enforcing" => found.enforcing = truth(value).or(found.enforcing),
            _ => {}
        }
    }
    found
}

fn wwid(value: &str) -> Option<Wwid> {
    match value.strip_prefix('[').map(|rest| rest.strip_suffix(']').unwrap_or(rest)) {
        Some("") => None,
        Some(name) => Some(Wwid::Interface(name.to_owned())),
        None if value.is_empty() => None,
        None => Some(Wwid::Address(value.to_owned())),
    }
}

fn truth(value: &str) -> Option<bool> {
    match value {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_node_is_named_by_address_or_by_interface() {
        let table = [
            ("quiet wwid=52:54:00:10:00:01 net.ifnames=1", Some(Wwid::Address("52:54:00:10:00:01".into()))),
            ("wwid=[ib0]\n", Some(Wwid::Interface("ib0".into()))),
            ("wwid=", None),
            ("wwid=[]", None),
            ("wwid=a wwid=b", Some(Wwid::Address("b".into()))),
            ("xwwid=a", None),
            ("note=\"a wwid=no b\" wwid=yes", Some(Wwid::Address("yes".into()))),
            ("", None),
        ];
        for (text, want) in table {
            assert_eq!(parse(text).wwid, want, "{text}");
        }
    }

    #[test]
    fn selinux_words_count_only_when_they_are_0_or_1() {
        let found = parse("security=selinux selinux=1 enforcing=1");
        assert_eq!((found.selinux, found.enforcing), (Some(true), Some(true)));
        let found = parse("selinux=0 enforcing=maybe");
        assert_eq!((found.selinux, found.enforcing), (Some(false), None));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in any::<String>()) {
            let _ = parse(&text);
        }

        #[test]
        fn a_word_between_any_others_is_found(before in "[ a-z0-9.=/:,_-]{0,40}", mac in "[0-9a-f:]{1,17}", after in "[ a-v0-9.]{0,40}") {
            let text = format!("{before} wwid={mac} {after}");
            prop_assert_eq!(parse(&text).wwid, Some(Wwid::Address(mac)));
        }
    }
}
