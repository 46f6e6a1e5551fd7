//! A node's disks and file systems as an Ignition configuration, version 3.1.0.
//!
//! The rules by which a document is refused are Ignition's own for that version
//! (<https://coreos.github.io/ignition/configuration-v3_1/>); a refused document becomes a reason, never half a document.

use model::Node;
use model::node::{Disk, FileSystem, Partition};
use thiserror::Error;

/// Why a node's disks make no valid configuration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Invalid {
    #[error("partition {partition} of {disk}: {field} `{text}` is not a whole number")]
    NotANumber { disk: String, partition: String, field: &'static str, text: String },
    #[error("disk {disk}: partition {partition} has no number, but others have: number all of them, or none")]
    MixedNumbers { disk: String, partition: String },
    #[error("disk {disk}: partitions {first} and {second} both have number {number}")]
    SameNumber { disk: String, first: String, second: String, number: i64 },
    #[error("partition {partition} of {disk}: {field} `{text}` is not a GUID")]
    NotAGuid { disk: String, partition: String, field: &'static str, text: String },
    #[error("partition {partition} of {disk}: the label is longer than 36 characters, or has a colon")]
    Label { disk: String, partition: String },
    #[error("partition {partition} of {disk}: {why}")]
    Partition { disk: String, partition: String, why: &'static str },
    #[error("disk {0}: the device must be an absolute path")]
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

fn disk_json(device: &str, disk: &Disk) -> Result<String, Invalid> {
    if !device.starts_with('/') {
        return Err(Invalid::DiskPath(device.into()));
    }
    let mut numbered = Vec::new();
    for (label, partition) in &disk.partitions {
        numbered.push((whole(device, label, "number", &partition.number)?.unwrap_or(0), label, partition));
    }
    numbered.sort_by(|a, b| (a.0 == 0, a.0, a.1).cmp(&(b.0 == 0, b.0, b.1)));
    let mut previous: Option<(i64, &str)> = None;
    let mut partitions = Vec::new();
    for (number, label, partition) in &numbered {
        match previous {
            Some((first, _)) if *number == 0 && first != 0 => {
                return Err(Invalid::MixedNumbers { disk: device.into(), partition: (*label).clone() });
            }
            Some((same, first)) if same == *number && same != 0 => {
                return Err(Invalid::SameNumber {
                    disk: device.into(),
                    first: first.into(),
                    second: (*label).clone(),
                    number: same,
                });
            }
            _ => {}
        }
        previous = Some((*number, label));
        partitions.push(partition_json(device, label, *number, partition)?);
    }
    let mut out = Object::default();
    out.text("device", device);
    out.list("partitions", partitions);
    out.truth("wipeTable", disk.wipe_table);
    Ok(out.end())
}

fn partition_json(disk: &str, label: &str, number: i64, partition: &Partition) -> Result<String, Invalid> {
    // Ignition's own limit, and `:` separates the fields of an sgdisk argument.
    if label.chars().count() > 36 || label.contains(':') {
        return Err(Invalid::Label { disk: disk.into(), partition: label.into() });
    }
    let size = whole(disk, label, "size_mib", &partition.size_mib)?;
    let start = whole(disk, label, "start_mib", &partition.start_mib)?;
    guid(disk, label, "type_guid", &partition.type_guid)?;
    guid(disk, label, "guid", &partition.guid)?;
    let refuse = |why| Err(Invalid::Partition { disk: disk.into(), partition: label.into(), why });
    if number < 0 {
        return refuse("the number is negative");
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
    if !device.starts_with('/') {
        return refuse("the device must be an absolute path".into());
    }
    let longest = match fs.format.as_str() {
        "ext4" => 16,
        "btrfs" => 256,
        "xfs" => 12,
        "vfat" => 11,
        "swap" => 15,
        "" => return refuse("no format is given".into()),
        other => return refuse(format!("Ignition knows no format `{other}`")),
    };
    if fs.label.len() > longest {
        return refuse(format!("a label on {} has at most {longest} characters", fs.format));
    }
    if !fs.path.is_empty() && fs.format != "swap" && !fs.path.starts_with('/') {
        return refuse(format!("the path `{}` is not absolute", fs.path));
    }
    let mount_options: Vec<String> =
        fs.mount_options.split(',').filter(|option| !option.is_empty()).map(quoted).collect();
    let mut out = Object::default();
    out.text("device", device);
    out.text("format", &fs.format);
    out.text("label", &fs.label);
    out.list("mountOptions", mount_options);
    out.list("options", fs.options.iter().map(|option| quoted(option)).collect());
    out.text("path", &fs.path);
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

/// A JSON object in the making; what is empty or false is left out, as Ignition's own writer does.
#[derive(Default)]
struct Object(Vec<String>);

impl Object {
    fn text(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.0.push(format!("{}:{}", quoted(key), quoted(value)));
        }
    }

    fn number(&mut self, key: &str, value: Option<i64>) {
        if let Some(value) = value {
            self.0.push(format!("{}:{value}", quoted(key)));
        }
    }

    fn truth(&mut self, key: &str, value: Option<bool>) {
        if value == Some(true) {
            self.0.push(format!("{}:true", quoted(key)));
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
    fn partitions_without_number_beside_numbered_ones_are_refused() {
        let refused = document(&node(&[("a", numbered("1")), ("b", numbered(""))], &[])).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "disk /dev/vda: partition b has no number, but others have: number all of them, or none"
        );
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
