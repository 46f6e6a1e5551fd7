//! The words of a command line to a [`Change`]: what `--ipaddr`, `--tagadd` and the rest mean together.
//!
//! It knows no parser of command lines: flags come as names with the words given for them, in order.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::change::{Change, Edit, Place, Tags};
use crate::fields::{self, DISK, FILESYSTEM, Field, Lens, NETWORK, NODE, PARTITION, Value};

/// Flags that were given: long name -> its words. A switch has none.
pub type Given = BTreeMap<String, Vec<String>>;

/// What the flags are for: the rules differ a little.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Add,
    Set,
}

/// A flag whose value cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadFlag {
    /// Its long name; empty when it is about all of them.
    pub flag: String,
    pub message: String,
}

impl std::fmt::Display for BadFlag {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.flag.is_empty() {
            return out.write_str(&self.message);
        }
        write!(out, "--{}: {}", self.flag, self.message)
    }
}

impl std::error::Error for BadFlag {}

fn bad<T>(flag: &str, message: impl Into<String>) -> Result<T, BadFlag> {
    Err(BadFlag { flag: flag.into(), message: message.into() })
}

/// Words that take a value away.
fn is_unset_word(word: &str) -> bool {
    matches!(word, "UNSET" | "UNDEF")
}

/// The change that `set` or `add` is asked for.
///
/// # Errors
/// When a value is not of the flag's kind, or flags that belong together are not together.
pub fn change(given: &Given, verb: Verb) -> Result<Change, BadFlag> {
    let mut edits = Vec::new();
    let one = |flag: &str| given.get(flag).and_then(|words| words.last()).filter(|word| !word.is_empty());
    removals(given, &mut edits)?;
    for field in NODE {
        edits.extend(set(given, field, &Place::Entry)?);
    }
    for field in fields::profile_fields() {
        edits.extend(set(given, field, &Place::Entry)?);
    }
    tags(given, &mut edits)?;
    network(given, &mut edits)?;
    disk(given, verb, &mut edits)?;
    if let Some(name) = one("fsname") {
        let place = Place::FileSystem(file_system(name, one("partname").map(String::as_str))?);
        for field in FILESYSTEM {
            edits.extend(set(given, field, &place)?);
        }
    }
    Ok(Change { edits })
}

/// `--netdel`, `--diskdel`, `--partdel`, `--fsdel`: what is named must be there.
fn removals(given: &Given, edits: &mut Vec<Edit>) -> Result<(), BadFlag> {
    let words = |flag: &str| given.get(flag).into_iter().flatten().filter(|word| !word.is_empty()).cloned();
    let strict = |place| Edit::Remove { place, strict: true };
    edits.extend(words("netdel").map(Place::Network).map(strict));
    edits.extend(words("diskdel").map(Place::Disk).map(strict));
    let disk = words("diskname").next_back();
    edits.extend(words("partdel").map(|label| match &disk {
        Some(disk) => strict(Place::Partition { disk: disk.clone(), label }),
        None => Edit::RemovePartition { label },
    }));
    edits.extend(words("fsdel").map(Place::FileSystem).map(strict));
    Ok(())
}

/// Tags of the entry go first and come then; those of the BMC the other way round, as in stock.
fn tags(given: &Given, edits: &mut Vec<Edit>) -> Result<(), BadFlag> {
    let network = Tags::Network(network_name(given));
    for (flag, of, add) in [
        ("tagdel", Tags::Entry, false),
        ("tagadd", Tags::Entry, true),
        ("ipmitagadd", Tags::Ipmi, true),
        ("ipmitagdel", Tags::Ipmi, false),
        ("nettagdel", network.clone(), false),
        ("nettagadd", network, true),
    ] {
        let words = list(flag, given.get(flag).map_or(&[], Vec::as_slice))?;
        for word in words {
            edits.push(match (add, word.split_once('=')) {
                (false, _) => Edit::ClearTag { of: of.clone(), key: word },
                (true, Some((key, value))) => {
                    Edit::SetTag { of: of.clone(), key: key.to_owned(), value: value.to_owned() }
                }
                (true, None) => return bad(flag, format!("{word:?} has no value; write {word}=VALUE")),
            });
        }
    }
    Ok(())
}

fn network_name(given: &Given) -> String {
    given
        .get("netname")
        .and_then(|words| words.last())
        .filter(|name| !name.is_empty())
        .map_or("default", |name| name)
        .to_owned()
}

fn network(given: &Given, edits: &mut Vec<Edit>) -> Result<(), BadFlag> {
    let place = Place::Network(network_name(given));
    let mut all = Vec::new();
    for field in NETWORK {
        all.extend(set(given, field, &place)?);
    }
    // Of flags that say `::` alone nothing comes, as in stock: the network counts as not given.
    let nothing =
        |edit: &Edit| matches!(edit, Edit::Set { value: Value::Ip(Some(IpAddr::V6(ip))), .. } if ip.is_unspecified());
    if !all.iter().all(nothing) {
        edits.extend(all);
    }
    Ok(())
}

fn disk(given: &Given, verb: Verb, edits: &mut Vec<Edit>) -> Result<(), BadFlag> {
    let one = |flag: &str| given.get(flag).and_then(|words| words.last()).filter(|word| !word.is_empty());
    let (disk, label) = match (one("diskname"), one("partname")) {
        (Some(disk), Some(label)) => (disk.clone(), label.clone()),
        (Some(_), None) if given.contains_key("partdel") && verb == Verb::Set => return Ok(()),
        (Some(_), None) => return bad("diskname", "a disk needs a partition; name one with --partname"),
        (None, Some(_)) if one("fsname").is_none() => {
            return bad("partname", "a partition needs a disk; name one with --diskname");
        }
        _ => return Ok(()),
    };
    let place = Place::Disk(disk.clone());
    for field in DISK {
        edits.extend(set(given, field, &place)?);
    }
    let place = Place::Partition { disk, label };
    for field in PARTITION {
        edits.extend(set(given, field, &place)?);
    }
    Ok(())
}

/// The device of a file system: its path, or the partition that the same command names.
fn file_system(name: &str, partition: Option<&str>) -> Result<String, BadFlag> {
    if name.starts_with("/dev/") {
        return Ok(name.to_owned());
    }
    if partition == Some(name) {
        return Ok(format!("/dev/disk/by-partlabel/{name}"));
    }
    bad("fsname", format!("{name:?} is neither a path below /dev nor the --partname of this command"))
}

/// The step for one field, when its flag was given.
fn set<T>(given: &Given, field: &Field<T>, place: &Place) -> Result<Option<Edit>, BadFlag> {
    let Some(words) = given.get(field.flag).filter(|_| !field.flag.is_empty()) else { return Ok(None) };
    let word = words.last().map_or("", String::as_str);
    let said = if is_unset_word(word) { "" } else { word };
    let value = match &field.lens {
        Lens::Text(..) => {
            check(field.flag, said)?;
            Value::Text(said.to_owned())
        }
        Lens::Truth(..) => Value::Truth(truth(field.flag, word)?.map_or(String::new(), |truth| truth.to_string())),
        Lens::List(..) => {
            let list = list(field.flag, words)?;
            Value::List(if list.iter().any(|word| is_unset_word(word)) { Vec::new() } else { list })
        }
        Lens::Ip(..) if said.is_empty() => Value::Ip(None),
        Lens::Ip(..) => match said.parse() {
            Ok(ip) => Value::Ip(Some(ip)),
            Err(_) => return bad(field.flag, format!("{said:?} is no address; write one like 10.0.0.1, or UNSET")),
        },
        // A word that is neither is dropped here, as in stock.
        Lens::Bool(..) => match truth(field.flag, word) {
            Ok(truth) => Value::Bool(truth),
            Err(_) => return Ok(None),
        },
    };
    Ok(Some(Edit::Set { place: place.clone(), key: field.key, value }))
}

/// What a hardware address and an MTU must look like; everything else is free text.
fn check(flag: &str, word: &str) -> Result<(), BadFlag> {
    match flag {
        _ if word.is_empty() => Ok(()),
        "hwaddr" if !is_hardware_address(word) => {
            bad(flag, format!("{word:?} is no hardware address; write one like 52:54:00:12:34:56"))
        }
        "mtu" if word.parse::<u32>().is_err() => bad(flag, format!("{word:?} is no MTU; write a number")),
        _ => Ok(()),
    }
}

/// 6, 8 or 20 bytes (Ethernet, EUI-64, InfiniBand), with colons or dashes, or `0123.4567.89ab`.
fn is_hardware_address(word: &str) -> bool {
    let bytes = |separator: char, digits: usize, counts: &[usize]| {
        let parts: Vec<&str> = word.split(separator).collect();
        let sound = |part: &&str| part.len() == digits && part.chars().all(|digit| digit.is_ascii_hexdigit());
        counts.contains(&parts.len()) && parts.iter().all(sound)
    };
    bytes(':', 2, &[6, 8, 20]) || bytes('-', 2, &[6, 8, 20]) || bytes('.', 4, &[3, 4, 10])
}

/// A truth word; None takes the value away. A switch without a word is true.
fn truth(flag: &str, word: &str) -> Result<Option<bool>, BadFlag> {
    match word.to_ascii_lowercase().as_str() {
        "true" | "t" | "1" | "yes" | "y" => Ok(Some(true)),
        "false" | "f" | "0" | "no" | "n" => Ok(Some(false)),
        _ if matches!(word, "" | "UNSET" | "UNDEF" | "DELETE" | "--" | "nil") => Ok(None),
        _ => bad(flag, format!("{word:?} is neither true nor false")),
    }
}

/// Words that are split at commas, with the quotes of CSV: `"a,b",c`.
fn list(flag: &str, words: &[String]) -> Result<Vec<String>, BadFlag> {
    let mut items = Vec::new();
    for word in words.iter().filter(|word| !word.is_empty()) {
        items.extend(csv(word).ok_or(()).or_else(|()| bad(flag, format!("{word:?} has a quote that does not end")))?);
    }
    Ok(items)
}

fn csv(line: &str) -> Option<Vec<String>> {
    let mut items = Vec::new();
    let mut rest = line;
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut item = String::new();
            let mut from = quoted;
            loop {
                let (head, tail) = from.split_once('"')?;
                item.push_str(head);
                match tail.strip_prefix('"') {
                    Some(more) => {
                        item.push('"');
                        from = more;
                    }
                    None => {
                        from = tail;
                        break;
                    }
                }
            }
            items.push(item);
            match from.strip_prefix(',') {
                Some(more) => rest = more,
                None if from.is_empty() => return Some(items),
                None => return None,
            }
        } else {
            match rest.split_once(',') {
                Some((item, more)) => {
                    items.push(item.to_owned());
                    rest = more;
                }
                None => {
                    items.push(rest.to_owned());
                    return Some(items);
                }
            }
        }
    }
}

/// The change that `unset` is asked for.
///
/// # Errors
/// When nothing is named, or a field without the disk, partition or file system that it belongs to.
pub fn unset(given: &Given) -> Result<Change, BadFlag> {
    let one = |flag: &str| given.get(flag).and_then(|words| words.last()).filter(|word| !word.is_empty()).cloned();
    let mut edits = Vec::new();
    for field in NODE {
        edits.extend(clear(given, field, &Place::Entry));
    }
    for field in fields::profile_fields() {
        edits.extend(clear(given, field, &Place::Entry));
    }
    for (flag, of) in [("tag", Tags::Entry), ("ipmitag", Tags::Ipmi), ("nettag", Tags::Network(network_name(given)))] {
        for key in list(flag, given.get(flag).map_or(&[], Vec::as_slice))? {
            edits.push(Edit::ClearTag { of: of.clone(), key });
        }
    }
    let network = Place::Network(network_name(given));
    let mut fields: Vec<Edit> = NETWORK.iter().filter_map(|field| clear(given, field, &network)).collect();
    match one("netname") {
        Some(_) if fields.is_empty() && !given.contains_key("nettag") => {
            edits.push(Edit::Remove { place: network, strict: false });
        }
        _ if fields.is_empty() && !given.contains_key("nettag") => {}
        _ => {
            edits.append(&mut fields);
            edits.push(Edit::TidyNetwork(network_name(given)));
        }
    }
    unset_disk(given, one("diskname"), one("partname"), &mut edits)?;
    let system = one("fsname").map(Place::FileSystem);
    let fields = |place: &Place| FILESYSTEM.iter().filter_map(|field| clear(given, field, place)).collect::<Vec<_>>();
    match system {
        Some(place) if fields(&place).is_empty() => edits.push(Edit::Remove { place, strict: true }),
        Some(place) => edits.append(&mut fields(&place)),
        None if !fields(&Place::Entry).is_empty() => return bad("fsname", "name the file system that the field is of"),
        None => {}
    }
    if edits.is_empty() {
        return bad("", "name at least one field to unset, as --image or --netname eth0 --ipaddr");
    }
    Ok(Change { edits })
}

fn unset_disk(
    given: &Given,
    disk: Option<String>,
    label: Option<String>,
    edits: &mut Vec<Edit>,
) -> Result<(), BadFlag> {
    let of_disk = |place: &Place| DISK.iter().filter_map(|field| clear(given, field, place)).collect::<Vec<_>>();
    let of_part = |place: &Place| PARTITION.iter().filter_map(|field| clear(given, field, place)).collect::<Vec<_>>();
    let wants_disk = !of_disk(&Place::Entry).is_empty();
    let wants_part = !of_part(&Place::Entry).is_empty();
    if wants_disk {
        let Some(disk) = &disk else { return bad("diskname", "name the disk that the field is of") };
        edits.append(&mut of_disk(&Place::Disk(disk.clone())));
    }
    match (disk, label) {
        (disk, Some(label)) if wants_part => {
            edits.append(&mut of_part(&Place::Partition { disk: disk.unwrap_or_default(), label }));
        }
        (_, None) if wants_part => return bad("partname", "name the partition that the field is of"),
        (Some(disk), Some(label)) if !wants_disk => {
            edits.push(Edit::Remove { place: Place::Partition { disk, label }, strict: true });
        }
        (None, Some(label)) => edits.push(Edit::RemovePartition { label }),
        (Some(disk), None) if !wants_disk => edits.push(Edit::Remove { place: Place::Disk(disk), strict: true }),
        _ => {}
    }
    Ok(())
}

fn clear<T>(given: &Given, field: &Field<T>, place: &Place) -> Option<Edit> {
    let named = !field.flag.is_empty() && given.contains_key(field.flag);
    named.then(|| Edit::Clear { place: place.clone(), key: field.key })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Node;

    fn given(flags: &[(&str, &str)]) -> Given {
        let mut given = Given::new();
        for (flag, word) in flags {
            given.entry((*flag).to_owned()).or_default().push((*word).to_owned());
        }
        given
    }

    fn applied(flags: &[(&str, &str)]) -> Node {
        let mut node = Node::default();
        change(&given(flags), Verb::Set).unwrap().apply(&mut node).unwrap();
        node
    }

    #[test]
    fn commas_split_and_quotes_keep_them() {
        let table: [(&str, &[&str]); 4] = [
            ("a,b", &["a", "b"]),
            ("\"console=ttyS0,115200\",quiet", &["console=ttyS0,115200", "quiet"]),
            ("\"a\"\"b\"", &["a\"b"]),
            ("a,", &["a", ""]),
        ];
        for (line, items) in table {
            assert_eq!(csv(line).unwrap(), items, "{line}");
        }
        assert_eq!(csv("\"open"), None);
    }

    #[test]
    fn an_address_of_zero_alone_is_written() {
        let node = applied(&[("ipaddr", "0.0.0.0")]);
        assert_eq!(node.profile.network_devices["default"].ipaddr, Some("0.0.0.0".parse().unwrap()));
    }

    #[test]
    fn an_unset_word_takes_an_address_away() {
        let mut node = applied(&[("ipaddr", "10.0.0.1"), ("mtu", "1500")]);
        change(&given(&[("ipaddr", "UNSET")]), Verb::Set).unwrap().apply(&mut node).unwrap();
        assert_eq!(node.profile.network_devices["default"].ipaddr, None);
    }

    #[test]
    fn add_stores_all_three_kinds_of_tags() {
        let flags = given(&[("tagadd", "a=1,b=two"), ("ipmitagadd", "vlan=7"), ("nettagadd", "k=v")]);
        let mut node = Node::default();
        change(&flags, Verb::Add).unwrap().apply(&mut node).unwrap();
        assert_eq!(node.profile.tags["b"], "two");
        assert_eq!(node.profile.ipmi.tags["vlan"], "7");
        assert_eq!(node.profile.network_devices["default"].tags["k"], "v");
    }

    #[test]
    fn a_hardware_address_or_mtu_that_is_none_is_refused() {
        for (flag, word) in [("hwaddr", "hello"), ("hwaddr", "52:54:00:00:01"), ("mtu", "lots"), ("mtu", "-1")] {
            assert!(change(&given(&[(flag, word)]), Verb::Set).is_err(), "{flag} {word}");
        }
        for word in ["52:54:00:00:00:01", "AA-BB-CC-DD-EE-FF", "0123.4567.89ab", "UNSET", ""] {
            assert!(change(&given(&[("hwaddr", word)]), Verb::Set).is_ok(), "{word}");
        }
    }

    #[test]
    fn a_disk_without_a_partition_is_refused_by_set_as_by_add() {
        for verb in [Verb::Set, Verb::Add] {
            assert!(change(&given(&[("diskname", "/dev/sdz"), ("diskwipe", "true")]), verb).is_err());
        }
    }

    #[test]
    fn addresses_count_up_over_byte_borders_and_wrap() {
        let change = change(&given(&[("ipaddr", "10.20.3.255"), ("gateway", "10.20.0.1")]), Verb::Add).unwrap();
        let mut node = Node::default();
        change.counted_up(1).apply(&mut node).unwrap();
        let device = &node.profile.network_devices["default"];
        assert_eq!(device.ipaddr, Some("10.20.4.0".parse().unwrap()));
        assert_eq!(device.gateway, Some("10.20.0.1".parse().unwrap()));
    }
}
