//! Since when a rendered file that nodes share is what it is. Nodes that are built at different times agree on it, so
//! that their archives have the same bytes there.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Contents remembered of one path: one for each kind of node.
const CONTENTS: usize = 16;
/// Paths remembered.
const PATHS: usize = 4096;

/// By path: the contents that were seen there.
#[derive(Debug, Default)]
pub struct Since(Mutex<HashMap<Vec<u8>, Contents>>);

/// Digests, and since when.
type Contents = Vec<(String, u64)>;

impl Since {
    /// Since when this content is at this path, as far as anybody knows; `known` when nobody said before.
    pub fn of(&self, path: &[u8], digest: &str, known: u64) -> u64 {
        let mut paths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(contents) = paths.get_mut(path) {
            if let Some((_, since)) = contents.iter().find(|(content, _)| content == digest) {
                return *since;
            }
            if contents.len() >= CONTENTS {
                contents.remove(0);
            }
            contents.push((digest.to_owned(), known));
            return known;
        }
        if paths.len() >= PATHS {
            paths.clear();
        }
        paths.insert(path.to_vec(), vec![(digest.to_owned(), known)]);
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_built_later_gets_the_time_of_who_was_first() {
        let since = Since::default();
        assert_eq!(since.of(b"etc/hosts", "a", 10), 10);
        assert_eq!(since.of(b"etc/hosts", "a", 11), 10);
        assert_eq!(since.of(b"etc/hosts", "b", 12), 12);
        assert_eq!(since.of(b"etc/motd", "a", 13), 13);
        for content in 0..CONTENTS {
            since.of(b"etc/hosts", &content.to_string(), 14);
        }
        assert_eq!(since.of(b"etc/hosts", "a", 15), 15, "forgotten");
    }
}
