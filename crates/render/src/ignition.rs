//! A node's disks and file systems as an Ignition configuration, version 3.1.0.
//!
//! The rules by which a document is refused are Ignition's own for that version
//! (<https://coreos.github.io/ignition/configuration-v3_1/>; what it checks before it touches a disk); a refused document
//! becomes a reason, never half a document.

use std::ops::RangeInclusive;

use model::Node;
use model::node::{Disk, FileSystem, Partition};
use thiserror::Error;

/// Why a node's disks make no valid configuration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Invalid {
    #[error("partition {partition} of {disk}: {field} `{text}` is not a whole number")]
    NotANumber { disk: String, partition: String, field: &'static str, text: String },
    #[error("disk {disk}: partitions {first} and {second} both have number {number}")]
    SameNumber { disk: String, first: String, second: String, number: i64 },
    #[error("partition {partition} of {disk}: {field} `{text}` is not a GUID")]
    NotAGuid { disk: String, partition: String, field: &'static str, text: String },
    #[error("disk {disk}: partitions {first} and {second} overlap")]
    Overlap { disk: String, first: String, second: String },
    #[error("partition {partition} of {disk}: the label is longer than 36 bytes, or has a colon")]
    Label { disk: String, partition: String },
    #[error("partition {partition} of {disk}: {why}")]
    Partition { disk: String, partition: String, why: &'static str },
    #[error("disk {0}: the device must be an absolute path without . or .. or needless slashes")]
    DiskPath(String),
    #[error("file system {device}: {why}")]
    FileSystem { device: String, why: String },
}

/// The document on one line; `None` when the node has neither disks nor file systems.
///
/// # Errors
/// [`Invalid`] with the first thing that Ignition would refuse.
pub fn document(node: &Node) -> Result<Option<String>, Invalid> {
    let (disks, filesystems) = (&node.profile.disks, &node.profile.filesystems);
    if disks.is_empty() && filesystems.is_empty() {
        return Ok(None);
    }
    let disks = disks.iter().map(|(device, disk)| disk_json(device, disk)).collect::<Result<Vec<_>, _>>()?;
    let filesystems =
        filesystems.iter().map(|(device, fs)| filesystem_json(device, fs)).collect::<Result<Vec<_>, _>>()?;
    let mut storage = Object::default();
    storage.list("disks", disks);
    storage.list("filesystems", filesystems);
    Ok(Some(format!("{{\"ignition\":{{\"version\":\"3.1.0\"}},\"storage\":{}}}", storage.end())))
}

/// A partition, with its numbers read.
struct Read<'a> {
    number: i64,
    size: Option<i64>,
    start: Option<i64>,
    label: &'a str,
    partition: &'a Partition,
}

impl Read<'_> {
    /// Its place in MiB; `None` where the tools choose it. As Ignition has it: one that fills what is free is there where
    /// it begins.
    fn place(&self) -> Option<RangeInclusive<i64>> {
        let (start, size) = self.start.zip(self.size).filter(|(start, _)| *start != 0)?;
        Some(start..=start.saturating_add(size.saturating_sub(1).max(0)))
    }
}

fn disk_json(device: &str, disk: &Disk) -> Result<String, Invalid> {
    if !is_clean(device) {
        return Err(Invalid::DiskPath(device.into()));
    }
    let mut all = Vec::new();
    for (label, partition) in &disk.partitions {
        let whole = |field, text: &str| whole(device, label, field, text);
        let number = whole("number", &partition.number)?.unwrap_or(0);
        let (size, start) = (whole("size_mib", &partition.size_mib)?, whole("start_mib", &partition.start_mib)?);
        all.push(Read { number, size, start, label, partition });
    }
    // As stock writes them. A partition without a number gets the next free one, after all the others.
    all.sort_by_key(|read| (read.number, read.size.is_none(), read.size));
    for (at, one) in all.iter().enumerate() {
        for other in all.iter().skip(at + 1) {
            let (disk, first, second) = (device.to_owned(), one.label.to_owned(), other.label.to_owned());
            if one.number != 0 && one.number == other.number {
                return Err(Invalid::SameNumber { disk, first, second, number: one.number });
            }
            if let Some((a, b)) = one.place().zip(other.place())
                && a.start() <= b.end()
                && b.start() <= a.end()
            {
                return Err(Invalid::Overlap { disk, first, second });
            }
        }
    }
    let partitions = all.iter().map(|read| partition_json(device, read)).collect::<Result<_, _>>()?;
    let mut out = Object::default();
    out.text("device", device);
    out.list("partitions", partitions);
    out.truth("wipeTable", disk.wipe_table);
    Ok(out.end())
}

fn partition_json(disk: &str, read: &Read<'_>) -> Result<String, Invalid> {
    let Read { number, size, start, label, partition } = *read;
    // Ignition's own limit, and `:` separates the fields of an sgdisk argument.
    if label.len() > 36 || label.contains(':') {
        return Err(Invalid::Label { disk: disk.into(), partition: label.into() });
    }
    guid(disk, label, "type_guid", &partition.type_guid)?;
    guid(disk, label, "guid", &partition.guid)?;
    let refuse = |why| Err(Invalid::Partition { disk: disk.into(), partition: label.into(), why });
    if number < 0 {
        return refuse("the number is negative");
    }
    if partition.should_exist == Some(false) {
        // Its name here is its label.
        return refuse(
            "should_exist is false, and Ignition removes partitions without a label only: \
             name it by its number in the resource ignition",
        );
    }
    let mut out = Object::default();
    out.text("guid", &partition.guid);
    out.text("label", label);
    if number != 0 {
        out.number("number", Some(number));
    }
    out.truth("resize", partition.resize);
    out.truth("shouldExist", partition.should_exist);
    out.number("sizeMiB", size);
    out.number("startMiB", start);
    out.text("typeGuid", &partition.type_guid);
    out.truth("wipePartitionEntry", partition.wipe_partition_entry);
    Ok(out.end())
}

fn filesystem_json(device: &str, fs: &FileSystem) -> Result<String, Invalid> {
    let refuse = |why: String| Err(Invalid::FileSystem { device: device.into(), why });
    if !is_clean(device) {
        return refuse("the device must be an absolute path without . or .. or needless slashes".into());
    }
    let longest = match fs.format.as_str() {
        "ext4" => 16,
        "btrfs" => 256,
        "xfs" => 12,
        "vfat" => 11,
        "swap" => 15,
        "" if *fs
            == (FileSystem { wipe_filesystem: fs.wipe_filesystem.filter(|wipe| !wipe), ..Default::default() }) =>
        {
            0
        }
        "" => return refuse("no format is given".into()),
        other => return refuse(format!("Ignition knows no format `{other}`")),
    };
    if fs.label.len() > longest {
        return refuse(format!("a label on {} has at most {longest} characters", fs.format));
    }
    // Of a swap area the customary path is `swap`; the overlay takes it out.
    if !fs.path.is_empty() && fs.format != "swap" && !is_clean(&fs.path) {
        return refuse(format!("the path `{}` is not absolute, or has . or .. or needless slashes", fs.path));
    }
    let mount_options: Vec<String> =
        fs.mount_options.split(',').map(str::trim).filter(|option| !option.is_empty()).map(quoted).collect();
    let mut out = Object::default();
    out.text("device", device);
    out.text("format", &fs.format);
    out.text("label", &fs.label);
    out.list("mountOptions", mount_options);
    out.list("options", fs.options.iter().map(|option| quoted(option)).collect());
    out.word("path", &fs.path);
    out.text("uuid", &fs.uuid);
    out.truth("wipeFilesystem", fs.wipe_filesystem);
    Ok(out.end())
}

fn whole(disk: &str, partition: &str, field: &'static str, text: &str) -> Result<Option<i64>, Invalid> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| Invalid::NotANumber {
        disk: disk.into(),
        partition: partition.into(),
        field,
        text: text.into(),
    })
}

fn guid(disk: &str, partition: &str, field: &'static str, text: &str) -> Result<(), Invalid> {
    let parts: Vec<&str> = text.split('-').collect();
    let right = parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && parts.iter().all(|part| part.bytes().all(|b| b.is_ascii_hexdigit()));
    if text.is_empty() || right {
        return Ok(());
    }
    Err(Invalid::NotAGuid { disk: disk.into(), partition: partition.into(), field, text: text.into() })
}

/// Whether Ignition takes it for a path: from the root, and as short as it can be written.
fn is_clean(path: &str) -> bool {
    path == "/"
        || path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(|part| !matches!(part, "" | "." | "..")))
}

/// A JSON object in the making; what is not given is left out.
#[derive(Default)]
struct Object(Vec<String>);

impl Object {
    fn text(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.word(key, value);
        }
    }

    /// Also an empty one.
    fn word(&mut self, key: &str, value: &str) {
        self.0.push(format!("{}:{}", quoted(key), quoted(value)));
    }

    fn number(&mut self, key: &str, value: Option<i64>) {
        if let Some(value) = value {
            self.0.push(format!("{}:{value}", quoted(key)));
        }
    }

    fn truth(&mut self, key: &str, value: Option<bool>) {
        if let Some(value) = value {
            self.0.push(format!("{}:{value}", quoted(key)));
        }
    }

    fn list(&mut self, key: &str, values: Vec<String>) {
        if !values.is_empty() {
            self.0.push(format!("{}:[{}]", quoted(key), values.join(",")));
        }
    }

    fn end(self) -> String {
        format!("{{{}}}", self.0.join(","))
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Go's writer escapes these so that the text may stand in HTML.
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c if u32::from(c) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(partitions: &[(&str, Partition)], filesystems: &[(&str, FileSystem)]) -> Node {
        let mut node = Node { id: "ign".into(), ..Node::default() };
        if !partitions.is_empty() {
            let partitions = partitions.iter().map(|(label, p)| (label.to_string(), p.clone())).collect();
            node.profile.disks.insert("/dev/vda".into(), Disk { wipe_table: Some(true), partitions });
        }
        node.profile.filesystems = filesystems.iter().map(|(device, fs)| (device.to_string(), fs.clone())).collect();
        node
    }

    fn numbered(number: &str) -> Partition {
        Partition { number: number.into(), ..Partition::default() }
    }

    #[test]
    fn nothing_to_say_is_no_document() {
        assert_eq!(document(&node(&[], &[])), Ok(None));
    }

    #[test]
    fn disks_and_partitions_stand_in_order() {
        let got = document(&node(&[("b", numbered("2")), ("c", numbered("1"))], &[])).unwrap().unwrap();
        assert_eq!(
            got,
            r#"{"ignition":{"version":"3.1.0"},"storage":{"disks":[{"device":"/dev/vda","partitions":[{"label":"c","number":1},{"label":"b","number":2}],"wipeTable":true}]}}"#
        );
    }

    #[test]
    fn partitions_without_number_stand_beside_numbered_ones() {
        let sized = |mib: &str| Partition { size_mib: mib.into(), ..Partition::default() };
        let partitions = [("a", numbered("1")), ("b", numbered("")), ("c", sized("20")), ("d", sized("9"))];
        assert_eq!(
            document(&node(&partitions, &[])).unwrap().unwrap(),
            r#"{"ignition":{"version":"3.1.0"},"storage":{"disks":[{"device":"/dev/vda","partitions":[{"label":"d","sizeMiB":9},{"label":"c","sizeMiB":20},{"label":"b"},{"label":"a","number":1}],"wipeTable":true}]}}"#
        );
    }

    #[test]
    fn what_is_said_to_be_false_is_written_down() {
        let partition = Partition { resize: Some(false), wipe_partition_entry: Some(false), ..numbered("1") };
        let fs = FileSystem { format: "xfs".into(), wipe_filesystem: Some(false), ..FileSystem::default() };
        let mut node = node(&[("a", partition)], &[("/dev/vdb", fs)]);
        node.profile.disks.get_mut("/dev/vda").unwrap().wipe_table = Some(false);
        assert_eq!(
            document(&node).unwrap().unwrap(),
            r#"{"ignition":{"version":"3.1.0"},"storage":{"disks":[{"device":"/dev/vda","partitions":[{"label":"a","number":1,"resize":false,"wipePartitionEntry":false}],"wipeTable":false}],"filesystems":[{"device":"/dev/vdb","format":"xfs","path":"","wipeFilesystem":false}]}}"#
        );
    }

    #[test]
    fn mount_options_and_starts_are_what_nodes_conf_says() {
        let partition = Partition { start_mib: "7".into(), size_mib: "9".into(), ..Partition::default() };
        let fs = FileSystem { format: "xfs".into(), mount_options: "noatime,, ro".into(), ..FileSystem::default() };
        let got = document(&node(&[("a", partition)], &[("/dev/vdb", fs)])).unwrap().unwrap();
        assert!(got.contains(r#"{"label":"a","sizeMiB":9,"startMiB":7}"#), "{got}");
        assert!(got.contains(r#""mountOptions":["noatime","ro"],"path":"""#), "{got}");
    }

    #[test]
    fn partitions_that_overlap_are_refused_and_those_that_touch_are_not() {
        let at = |start: &str, size: &str| Partition {
            start_mib: start.into(),
            size_mib: size.into(),
            ..Partition::default()
        };
        let judged = |b: Partition| document(&node(&[("a", at("10", "5")), ("b", b)], &[])).map(drop);
        let refused = Invalid::Overlap { disk: "/dev/vda".into(), first: "a".into(), second: "b".into() };
        for inside in [at("14", "5"), at("9", "7"), at("14", "9223372036854775807")] {
            assert_eq!(judged(inside), Err(refused.clone()));
        }
        let other_way_round = Invalid::Overlap { disk: "/dev/vda".into(), first: "b".into(), second: "a".into() };
        assert_eq!(judged(at("12", "0")), Err(other_way_round), "the rest of the disk begins where it begins");
        for beside in [at("15", "5"), at("5", "5"), at("0", "5"), at("", "5"), at("11", "")] {
            assert_eq!(judged(beside), Ok(()));
        }
    }

    #[test]
    fn a_partition_that_shall_not_be_there_is_refused_because_it_has_a_label() {
        let gone = Partition { should_exist: Some(false), ..numbered("3") };
        let refused = document(&node(&[("old", gone)], &[])).unwrap_err().to_string();
        assert!(refused.starts_with("partition old of /dev/vda: should_exist is false, and Ignition"), "{refused}");
    }

    #[test]
    fn a_file_system_without_a_format_has_nothing_else_either() {
        let judged = |fs: FileSystem| document(&node(&[], &[("/dev/vdb", fs)])).map_err(|error| error.to_string());
        assert!(judged(FileSystem { wipe_filesystem: Some(false), ..FileSystem::default() }).is_ok());
        for fs in [
            FileSystem { wipe_filesystem: Some(true), ..FileSystem::default() },
            FileSystem { path: "/x".into(), ..FileSystem::default() },
            FileSystem { uuid: "1".into(), ..FileSystem::default() },
        ] {
            assert_eq!(judged(fs), Err("file system /dev/vdb: no format is given".into()));
        }
        let dirty = FileSystem { format: "xfs".into(), path: "/x/".into(), ..FileSystem::default() };
        let why = "the path `/x/` is not absolute, or has . or .. or needless slashes";
        assert_eq!(judged(dirty), Err(format!("file system /dev/vdb: {why}")));
    }

    #[test]
    fn a_type_that_is_no_guid_is_refused() {
        let swap = Partition { type_guid: "swap".into(), ..numbered("1") };
        let refused = document(&node(&[("swap", swap)], &[])).unwrap_err();
        assert_eq!(refused.to_string(), "partition swap of /dev/vda: type_guid `swap` is not a GUID");
    }

    #[test]
    fn a_format_that_ignition_does_not_know_is_refused() {
        let fs = FileSystem { format: "zfs".into(), ..FileSystem::default() };
        let refused = document(&node(&[], &[("/dev/vdb", fs)])).unwrap_err();
        assert_eq!(refused.to_string(), "file system /dev/vdb: Ignition knows no format `zfs`");
    }
}
