//! For how many nodes a rendered file is the same, judged by what was read for it.
//!
//! An archive keeps apart what is everybody's, what nodes of one kind share, and what is one node's alone, so that the
//! first two are packed once. A wrong guess costs time and room, never a byte.

use crate::reads::{Read, ReadSet};

/// The parts of a node that as a rule no other node has.
const OWN: [&str; 7] = ["Id", "Comment", "AssetKey", "PrimaryNetDev", "Discoverable", "Ipmi", "NetDevs"];

/// Whose an entry of a tree is; the later, the fewer share it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Whose {
    /// A plain file of an overlay, or rendered from what all nodes have in common.
    #[default]
    Everybodys,
    /// Made from what mostly comes from a profile.
    Groups,
    /// Made from a name or an address.
    Own,
}

impl Whose {
    /// What these reads make of a file.
    pub fn of(reads: &ReadSet) -> Whose {
        reads.iter().map(Whose::of_one).max().unwrap_or_default()
    }

    fn of_one(read: &Read) -> Whose {
        let Read::Own(path) = read else { return Whose::Everybodys };
        match path.names().first().map(|name| name.as_deref()) {
            Some(Some(name)) if !OWN.contains(&name) => Whose::Groups,
            _ => Whose::Own,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_a_nodes_own_and_what_profiles_say_is_shared() {
        let whose =
            |lines: &[&str]| Whose::of(&ReadSet::new(lines.iter().map(|line| Read::parse(line).unwrap()).collect()));
        assert_eq!(whose(&[]), Whose::Everybodys);
        assert_eq!(whose(&["world NetDevs.*.Ipaddr", "file /etc/hosts", "conf Ipaddr"]), Whose::Everybodys);
        assert_eq!(whose(&["world Id", "own Resources.fstab"]), Whose::Groups);
        assert_eq!(whose(&["own Kernel.Args", "own NetDevs{}"]), Whose::Own);
        assert_eq!(whose(&["own Id"]), Whose::Own);
    }
}
