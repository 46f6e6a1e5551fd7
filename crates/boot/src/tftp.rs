//! Which file a name by TFTP (or below HTTP's /boot) stands for: iPXE's programs by their map, everything else below one
//! root. Nothing is opened here.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use model::Conf;

/// Where a named file may lie; the first that is there is it.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    Places(Vec<Place>),
    /// The name leaves the root.
    Escape,
    /// The name is empty, or not one of a file.
    NoName,
}

/// One place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A program of iPXE, by a path that warewulf.conf gives.
    Ipxe(PathBuf),
    /// Below tftproot, wherever links in it lead, but never out of it.
    Root(PathBuf),
}

/// Names of programs in other distributions' packages, and the same program in Debian's package ipxe.
const ALSO_CALLED: [(&str, &str); 2] = [("ipxe-snponly-x86_64.efi", "snponly.efi"), ("ipxe-x86_64.efi", "ipxe.efi")];

/// Finds the places for the name of a read request. `\` reads as `/`: some ROMs mean well.
pub fn look(name: &[u8], conf: &Conf) -> Lookup {
    let name: Vec<u8> = name.iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }).collect();
    let mut parts = Vec::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Lookup::Escape,
            _ if part.contains(&0) => return Lookup::NoName,
            _ => parts.push(part),
        }
    }
    if parts.is_empty() || name.ends_with(b"/") {
        return Lookup::NoName;
    }
    let path = PathBuf::from(OsStr::from_bytes(&parts.join(&b'/')));
    let mut places = Vec::new();
    if let Some(program) = path.strip_prefix("warewulf").ok().and_then(Path::to_str) {
        places.extend(ipxe_program(program, conf).into_iter().map(Place::Ipxe));
    }
    places.push(Place::Root(path));
    Lookup::Places(places)
}

/// Files that may be the program of that name: an entry of `tftp: ipxe:` as written or by its base name, below ipxesource.
pub fn ipxe_program(name: &str, conf: &Conf) -> Vec<PathBuf> {
    let files = || conf.tftp.ipxe.values().filter(|file| !file.is_empty());
    let as_written = files().filter(|file| file.as_str() == name);
    let by_base = files().filter(|file| file.rsplit('/').next() == Some(name));
    let mut found: Vec<PathBuf> = Vec::new();
    for file in as_written.chain(by_base) {
        // join() takes an absolute entry as it is.
        let path = conf.paths.ipxesource.join(file);
        let other = ALSO_CALLED.iter().find(|(known, _)| Some(*known) == file.rsplit('/').next());
        let other = other.map(|(_, debian)| path.with_file_name(debian));
        for candidate in std::iter::once(path).chain(other) {
            if !found.contains(&candidate) {
                found.push(candidate);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(name: &str) -> Vec<Place> {
        match look(name.as_bytes(), &Conf::default()) {
            Lookup::Places(places) => places,
            other => panic!("{name}: {other:?}"),
        }
    }

    fn ipxe(path: &str) -> Place {
        Place::Ipxe(path.into())
    }

    fn root(path: &str) -> Place {
        Place::Root(path.into())
    }

    #[test]
    fn ipxes_programs_come_from_ipxesource_by_the_map() {
        assert_eq!(
            paths("warewulf/undionly.kpxe"),
            [ipxe("/usr/lib/ipxe/undionly.kpxe"), root("warewulf/undionly.kpxe")]
        );
        assert_eq!(
            paths("/warewulf/arm64-efi/snponly.efi"),
            [ipxe("/usr/lib/ipxe/arm64-efi/snponly.efi"), root("warewulf/arm64-efi/snponly.efi")]
        );
    }

    #[test]
    fn the_name_of_other_distributions_finds_debians_program() {
        assert_eq!(
            paths("warewulf/ipxe-snponly-x86_64.efi"),
            [
                ipxe("/usr/lib/ipxe/ipxe-snponly-x86_64.efi"),
                ipxe("/usr/lib/ipxe/snponly.efi"),
                root("warewulf/ipxe-snponly-x86_64.efi")
            ]
        );
    }

    #[test]
    fn an_absolute_entry_of_the_map_is_found_by_its_base_name() {
        let mut conf = Conf::default();
        conf.tftp.ipxe.insert("00:00".into(), "/opt/ipxe/my.kpxe".into());
        assert_eq!(ipxe_program("my.kpxe", &conf), [PathBuf::from("/opt/ipxe/my.kpxe")]);
    }

    #[test]
    fn everything_else_lies_below_the_root_however_it_is_written() {
        assert_eq!(paths("grub/grub.cfg"), [root("grub/grub.cfg")]);
        assert_eq!(paths("//warewulf/./shim.efi"), [root("warewulf/shim.efi")]);
        assert_eq!(paths("\\warewulf\\shim.efi"), [root("warewulf/shim.efi")]);
        assert_eq!(paths("etc/passwd"), [root("etc/passwd")]);
    }

    #[test]
    fn a_name_that_leaves_the_root_or_names_no_file_is_refused() {
        for name in ["../etc/shadow", "warewulf/../../etc/shadow", "/..", "a\\..\\..\\b"] {
            assert_eq!(look(name.as_bytes(), &Conf::default()), Lookup::Escape, "{name}");
        }
        for name in ["", "/", ".", "warewulf/", "a\0b"] {
            assert_eq!(look(name.as_bytes(), &Conf::default()), Lookup::NoName, "{name:?}");
        }
    }
}
