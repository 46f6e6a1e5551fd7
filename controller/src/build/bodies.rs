//! Digests of what files hold. A body that many nodes share, such as the agent or a hosts file, is digested once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

/// From here on a digest is worth remembering, in bytes.
const LARGE: usize = 4 << 10;
/// The same for what nodes share.
const SHARED: usize = 128;
/// How many digests are remembered.
const KEPT: usize = 1024;

/// Digests of large bodies, by where the body lies in memory. The body is kept with its digest, so that no other one can
/// come to lie there.
#[derive(Debug, Default)]
pub struct Bodies(Mutex<HashMap<(usize, usize), Known>>);

/// A body and its digest.
type Known = (Arc<[u8]>, [u8; 32]);

impl Bodies {
    /// SHA-256 of a body; whether other nodes have it, too.
    pub fn digest(&self, body: &Arc<[u8]>, shared: bool) -> [u8; 32] {
        if body.len() < if shared { SHARED } else { LARGE } {
            return Sha256::digest(body).into();
        }
        let place = (body.as_ptr().addr(), body.len());
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = lock().get(&place) {
            return *known;
        }
        let digest = Sha256::digest(body).into();
        let mut kept = lock();
        if kept.len() >= KEPT {
            // What nobody else holds is of no further use; if that is not enough, all begin anew.
            kept.retain(|_, (body, _)| Arc::strong_count(body) > 1);
            if kept.len() >= KEPT {
                kept.clear();
            }
        }
        kept.insert(place, (Arc::clone(body), digest));
        digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_digested_once_and_never_taken_for_another() {
        let bodies = Bodies::default();
        let one: Arc<[u8]> = vec![1; LARGE].into();
        let two: Arc<[u8]> = vec![2; LARGE].into();
        for body in [&one, &two, &one] {
            assert_eq!(bodies.digest(body, false), <[u8; 32]>::from(Sha256::digest(body)));
        }
        let small: Arc<[u8]> = vec![3; SHARED].into();
        bodies.digest(&small, false);
        assert_eq!(bodies.0.lock().unwrap().len(), 2);
        bodies.digest(&small, true);
        assert_eq!(bodies.0.lock().unwrap().len(), 3);
        for n in 0..KEPT {
            bodies.digest(&vec![u8::try_from(n % 256).unwrap(); LARGE + n].into(), false);
        }
        assert!(bodies.0.lock().unwrap().len() <= KEPT);
    }
}
