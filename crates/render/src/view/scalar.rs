//! Texts and bytes with a type of their own: truth words and addresses.

use std::borrow::Cow;
use std::net::IpAddr;

use model::node::Truth;
use template::Failure;
use template::{Object, Text, Value};

use super::{Cx, niladic};

/// A truth word: its text, and what it comes to. Functions that want text refuse it.
pub(crate) fn truth(word: &Truth) -> Value {
    Value::object(Word(word.clone()))
}

struct Word(Truth);

impl Object for Word {
    fn type_name(&self) -> Cow<'_, str> {
        "wwtype.WWbool".into()
    }

    fn is_pointer(&self) -> bool {
        false
    }

    fn method(&self, name: &str, args: &[Value], _: &Cx<'_>) -> Option<Result<Value, Failure>> {
        match name {
            "Bool" => niladic(args, || self.0.is_true().into()),
            "BoolDefaultTrue" => niladic(args, || self.0.is_true_by_default().into()),
            _ => None,
        }
    }

    fn methods(&self) -> Vec<Cow<'_, str>> {
        vec!["Bool".into(), "BoolDefaultTrue".into()]
    }

    fn underlying(&self) -> Option<Value> {
        Some(self.0.0.as_str().into())
    }
}

/// An address as Go's `net.IP`: nil prints `<nil>` and is false; otherwise 16 bytes.
pub(crate) fn ip(address: Option<IpAddr>) -> Value {
    Value::object(Ip { address, short: false })
}

struct Ip {
    address: Option<IpAddr>,
    /// Four bytes instead of sixteen, as `To4` gives it.
    short: bool,
}

impl Ip {
    fn bytes(&self) -> Vec<u8> {
        match self.address {
            None => Vec::new(),
            Some(IpAddr::V4(v4)) if self.short => v4.octets().to_vec(),
            Some(IpAddr::V4(v4)) => v4.to_ipv6_mapped().octets().to_vec(),
            Some(IpAddr::V6(v6)) => v6.octets().to_vec(),
        }
    }

    fn shown(&self) -> String {
        self.address.map_or_else(|| "<nil>".to_owned(), |address| address.to_string())
    }

    fn is(&self, question: impl FnOnce(IpAddr) -> bool) -> Value {
        self.address.is_some_and(question).into()
    }
}

impl Object for Ip {
    fn type_name(&self) -> Cow<'_, str> {
        "net.IP".into()
    }

    fn is_pointer(&self) -> bool {
        false
    }

    fn method(&self, name: &str, args: &[Value], _: &Cx<'_>) -> Option<Result<Value, Failure>> {
        let v4 = matches!(self.address, Some(IpAddr::V4(_)));
        match name {
            "String" => niladic(args, || self.shown().into()),
            "To4" => niladic(args, || Value::object(Ip { address: self.address.filter(|_| v4), short: true })),
            "To16" => niladic(args, || Value::object(Ip { address: self.address, short: false })),
            "IsUnspecified" => niladic(args, || self.is(|ip| ip.is_unspecified())),
            "IsLoopback" => niladic(args, || self.is(|ip| ip.is_loopback())),
            "IsMulticast" => niladic(args, || self.is(|ip| ip.is_multicast())),
            "IsPrivate" => niladic(args, || {
                self.is(|ip| match ip {
                    IpAddr::V4(v4) => v4.is_private(),
                    IpAddr::V6(v6) => v6.is_unique_local(),
                })
            }),
            "IsLinkLocalUnicast" => niladic(args, || {
                self.is(|ip| match ip {
                    IpAddr::V4(v4) => v4.is_link_local(),
                    IpAddr::V6(v6) => v6.is_unicast_link_local(),
                })
            }),
            "Equal" => Some(match args {
                [Value::Object(other)] => {
                    let other = other.text().map(|text| text.to_str().into_owned());
                    Ok((other.as_deref() == Some(self.shown().as_str())).into())
                }
                [_] => Err("Equal compares with another address".into()),
                _ => Err(Failure::arguments(1, args.len())),
            }),
            _ => None,
        }
    }

    fn methods(&self) -> Vec<Cow<'_, str>> {
        let names = [
            "String",
            "To4",
            "To16",
            "Equal",
            "IsUnspecified",
            "IsLoopback",
            "IsMulticast",
            "IsPrivate",
            "IsLinkLocalUnicast",
        ];
        names.map(Cow::Borrowed).to_vec()
    }

    fn text(&self) -> Option<Text> {
        Some(self.shown().into())
    }

    fn underlying(&self) -> Option<Value> {
        Some(Value::Bytes(self.bytes().into()))
    }

    fn length(&self) -> Option<usize> {
        Some(self.bytes().len())
    }
}
