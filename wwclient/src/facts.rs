//! What this machine is, read once from /proc, /sys and the image. Below a root, so that a test can build a machine.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cmdline::Wwid;

/// What the boot's plan follows from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub numa_nodes: usize,
    /// What the image says about SELinux; `None` when it says nothing.
    pub selinux: Option<Selinux>,
    /// The running kernel has SELinux switched on.
    pub kernel_selinux: bool,
    pub root: RootKind,
}

/// The image's SELinux configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selinux {
    pub mode: SelinuxMode,
    /// Name of the folder below /etc/selinux.
    pub policy: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelinuxMode {
    Disabled,
    Permissive,
    Enforcing,
}

/// What `/` is before the boot changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootKind {
    /// rootfs, ramfs or tmpfs: what is copied from there may be freed there.
    Memory,
    /// Anything else is somebody's disk.
    Other,
}

/// Who this node is to the controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// SMBIOS chassis asset tag, blanks as `_`.
    pub asset: String,
    /// SMBIOS system UUID.
    pub uuid: String,
}

const NO_UUID: &str = "00000000-0000-0000-0000-000000000000";

/// Reads the facts of the machine whose root is `root` (`/`, but in tests).
pub fn machine(root: &Path, kind: RootKind) -> Facts {
    Facts {
        numa_nodes: numa_nodes(root),
        selinux: selinux(root),
        kernel_selinux: read(&root.join("proc/filesystems")).lines().any(|line| line.trim_end().ends_with("selinuxfs")),
        root: kind,
    }
}

/// Reads the identity of that machine.
pub fn identity(root: &Path) -> Identity {
    let dmi = root.join("sys/class/dmi/id");
    if dmi.is_dir() {
        let asset = read(&dmi.join("chassis_asset_tag")).trim_end_matches('\n').replace(' ', "_");
        // The kernel leaves the file out when the firmware set no UUID (drivers/firmware/dmi_scan.c, dmi_save_uuid).
        let uuid = fs::read_to_string(dmi.join("product_uuid")).unwrap_or_else(|_| NO_UUID.to_owned());
        return Identity { asset, uuid: uuid.trim().to_ascii_lowercase() };
    }
    let serial = fs::read(root.join("sys/firmware/devicetree/base/serial-number")).unwrap_or_default();
    let uuid = if serial.is_empty() { String::new() } else { serial_uuid(&serial) };
    Identity { asset: "Unknown".to_owned(), uuid }
}

/// The interface that names the node is not there, or not yet.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("wwid=[{name}]: {why}")]
pub struct NoInterface {
    name: String,
    why: String,
}

/// The node's address as the controller knows it.
pub fn wwid(root: &Path, named: &Wwid) -> Result<String, NoInterface> {
    match named {
        Wwid::Address(address) => Ok(address.clone()),
        Wwid::Interface(name) => {
            let path = root.join("sys/class/net").join(name).join("address");
            match fs::read_to_string(&path) {
                Ok(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
                Ok(_) => {
                    Err(NoInterface { name: name.clone(), why: "the interface has no hardware address".to_owned() })
                }
                Err(e) => Err(NoInterface { name: name.clone(), why: format!("{}: {e}", path.display()) }),
            }
        }
    }
}

fn numa_nodes(root: &Path) -> usize {
    let Ok(folder) = fs::read_dir(root.join("sys/devices/system/node")) else { return 1 };
    let is_node =
        |name: &str| name.strip_prefix("node").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    folder.flatten().filter(|entry| entry.file_name().to_str().is_some_and(is_node)).count().max(1)
}

/// Red Hat's older place is a link to the newer; Debian has the newer only.
fn selinux(root: &Path) -> Option<Selinux> {
    let places: [PathBuf; 2] = [root.join("etc/selinux/config"), root.join("etc/sysconfig/selinux")];
    let text = places.iter().find_map(|path| fs::read_to_string(path).ok())?;
    let value = |key: &str| {
        text.lines().filter_map(|line| line.trim().strip_prefix(key)?.trim_start().strip_prefix('=')).next_back()
    };
    let mode = match value("SELINUX").map(|v| v.trim().to_ascii_lowercase()).as_deref() {
        Some("enforcing") => SelinuxMode::Enforcing,
        Some("permissive") => SelinuxMode::Permissive,
        _ => SelinuxMode::Disabled,
    };
    let policy = value("SELINUXTYPE").map_or("targeted", str::trim).to_owned();
    Some(Selinux { mode, policy })
}

/// The name-based UUID (RFC 9562, 5.5) of the URL that names a board by its serial number, as stock forms it.
fn serial_uuid(serial: &[u8]) -> String {
    const NAMESPACE_URL: [u8; 16] =
        [0x6b, 0xa7, 0xb8, 0x11, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8];
    let mut hash = sha1_smol::Sha1::new();
    hash.update(&NAMESPACE_URL);
    hash.update(b"http://raspberrypi.com/serial-number/");
    hash.update(serial);
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = hash.digest().bytes();
    let bytes = [a, b, c, d, e, f, g & 0x0f | 0x50, h, i & 0x3f | 0x80, j, k, l, m, n, o, p];
    let mut text = String::with_capacity(36);
    for (place, byte) in bytes.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new(files: &[(&str, &str)]) -> Machine {
            let folder = tempfile::tempdir().unwrap();
            for (path, text) in files {
                let path = folder.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            Machine(folder)
        }

        fn facts(&self) -> Facts {
            machine(self.0.path(), RootKind::Memory)
        }
    }

    #[test]
    fn smbios_says_who_the_node_is() {
        let machine = Machine::new(&[
            ("sys/class/dmi/id/product_uuid", "4C4C4544-0051-3010-8051-B7C04F4D3732\n"),
            ("sys/class/dmi/id/chassis_asset_tag", "rack 7 u3\n"),
        ]);
        let want = Identity { asset: "rack_7_u3".into(), uuid: "4c4c4544-0051-3010-8051-b7c04f4d3732".into() };
        assert_eq!(identity(machine.0.path()), want);
    }

    #[test]
    fn firmware_without_a_uuid_still_has_its_asset_tag() {
        let machine = Machine::new(&[("sys/class/dmi/id/chassis_asset_tag", "rack_7\n")]);
        let want = Identity { asset: "rack_7".into(), uuid: "00000000-0000-0000-0000-000000000000".into() };
        assert_eq!(identity(machine.0.path()), want);
    }

    #[test]
    fn without_smbios_the_board_s_serial_number_is_the_uuid() {
        let machine = Machine::new(&[("sys/firmware/devicetree/base/serial-number", "10000000abcdef01")]);
        let found = identity(machine.0.path());
        assert_eq!(found.asset, "Unknown");
        assert_eq!(found.uuid, "61bf4e59-5ea9-57b6-a34b-360d2a7a31af");
        assert_eq!(identity(Machine::new(&[]).0.path()), Identity { asset: "Unknown".into(), uuid: String::new() });
    }

    #[test]
    fn the_name_based_uuid_has_its_version_and_variant() {
        let text = serial_uuid(b"10000000abcdef01");
        assert_eq!((text.len(), text.get(14..15)), (36, Some("5")));
        assert!(matches!(text.get(19..20), Some("8" | "9" | "a" | "b")), "{text}");
    }

    #[test]
    fn memory_nodes_are_counted_and_never_none() {
        let two = Machine::new(&[
            ("sys/devices/system/node/node0/x", ""),
            ("sys/devices/system/node/node1/x", ""),
            ("sys/devices/system/node/online", "0-1"),
        ]);
        assert_eq!(two.facts().numa_nodes, 2);
        assert_eq!(Machine::new(&[]).facts().numa_nodes, 1);
    }

    #[test]
    fn the_image_says_what_it_wants_of_selinux() {
        let config = "# SELINUX=disabled in a comment\nSELINUX=enforcing\nSELINUXTYPE=default\n";
        let debian = Machine::new(&[("etc/selinux/config", config), ("proc/filesystems", "nodev\tselinuxfs\n")]);
        let facts = debian.facts();
        assert_eq!(facts.selinux, Some(Selinux { mode: SelinuxMode::Enforcing, policy: "default".into() }));
        assert!(facts.kernel_selinux);
        let old = Machine::new(&[("etc/sysconfig/selinux", "SELINUX=disabled\n")]).facts();
        assert_eq!(old.selinux, Some(Selinux { mode: SelinuxMode::Disabled, policy: "targeted".into() }));
        assert_eq!(Machine::new(&[]).facts().selinux, None);
    }

    #[test]
    fn an_interface_names_the_node_by_its_address() {
        let machine = Machine::new(&[("sys/class/net/eth0/address", "52:54:00:10:00:01\n")]);
        let root = machine.0.path();
        assert_eq!(wwid(root, &Wwid::Interface("eth0".into())), Ok("52:54:00:10:00:01".into()));
        assert!(wwid(root, &Wwid::Interface("ib0".into())).unwrap_err().to_string().starts_with("wwid=[ib0]: "));
        assert_eq!(wwid(root, &Wwid::Address("a".into())), Ok("a".into()));
    }
}
