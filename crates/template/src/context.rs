//! What a running function may use besides its arguments: fuel, and the world outside through a trait.

use std::cell::Cell;
use std::sync::Arc;

use crate::error::Failure;
use crate::patterns::{InText, Patterns};
use crate::time::{Time, Zone};
use crate::value::Text;

/// How much one render may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Nodes executed, elements visited.
    pub steps: u64,
    /// Bytes written or allocated for values, counted up and never down.
    pub bytes: u64,
}

impl Default for Limits {
    /// Enough for a hosts file of a hundred thousand nodes.
    fn default() -> Self {
        Self { steps: 50_000_000, bytes: 512 << 20 }
    }
}

/// What is left of the limits.
#[derive(Debug)]
pub struct Fuel {
    limits: Limits,
    steps: Cell<u64>,
    bytes: Cell<u64>,
    /// Here because every function has it at hand.
    patterns: Patterns,
}

impl Fuel {
    pub fn new(limits: Limits) -> Self {
        Self::with_patterns(limits, Arc::default())
    }

    /// Fuel for a template with patterns in its text.
    pub(crate) fn with_patterns(limits: Limits, in_text: Arc<InText>) -> Self {
        let (steps, bytes) = (Cell::new(limits.steps), Cell::new(limits.bytes));
        Self { limits, steps, bytes, patterns: Patterns::new(in_text) }
    }

    /// Pays for `n` steps of work.
    ///
    /// # Errors
    /// [`Failure::Exhausted`] when there are not that many left.
    pub fn steps(&self, n: u64) -> Result<(), Failure> {
        match self.steps.get().checked_sub(n) {
            Some(left) => {
                self.steps.set(left);
                Ok(())
            }
            None => Err(Failure::Exhausted(format!("the template takes more than {} steps", self.limits.steps))),
        }
    }

    /// Pays for `n` bytes, before they are allocated.
    ///
    /// # Errors
    /// [`Failure::Exhausted`] when there are not that many left.
    pub fn bytes(&self, n: usize) -> Result<(), Failure> {
        match self.bytes.get().checked_sub(n as u64) {
            Some(left) => {
                self.bytes.set(left);
                Ok(())
            }
            None => Err(Failure::Exhausted(format!("the template makes more than {} bytes", self.limits.bytes))),
        }
    }

    pub(crate) fn patterns(&self) -> &Patterns {
        &self.patterns
    }

    pub fn spent(&self) -> Limits {
        Limits {
            steps: self.limits.steps.saturating_sub(self.steps.get()),
            bytes: self.limits.bytes.saturating_sub(self.bytes.get()),
        }
    }
}

/// What running functions get besides their arguments.
pub struct Context<'a> {
    pub fuel: &'a Fuel,
    pub world: &'a dyn World,
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("fuel", self.fuel).finish_non_exhaustive()
    }
}

/// Everything that is not a function of the arguments. Each method has a default that knows nothing.
pub trait World {
    /// `now`; in the zone that is local.
    fn now(&self) -> Time {
        Time::ZERO
    }

    /// Fills with bytes that cannot be guessed.
    ///
    /// # Errors
    /// Where there is no such source.
    fn random(&self, bytes: &mut [u8]) -> Result<(), Failure> {
        let _ = bytes;
        Err("there is no source of random bytes here".into())
    }

    /// `env`, `expandenv`
    fn environment(&self, name: &str) -> Option<Text> {
        let _ = name;
        None
    }

    /// `getHostByName`: addresses of a host, as text.
    fn addresses(&self, host: &str) -> Vec<String> {
        let _ = host;
        Vec::new()
    }

    /// A time zone by its name in the tz database, see [`Zone::parse`].
    fn zone(&self, name: &str) -> Option<Zone> {
        let _ = name;
        None
    }

    /// The zone that dates are shown in when the template names none.
    fn local_zone(&self) -> Zone {
        Zone::Utc
    }

    /// The keys and certificates of `genPrivateKey`, `genCA` and their kind, where the host can make them.
    fn keys(&self) -> Option<&dyn KeyMaker> {
        None
    }
}

/// A world in which nothing is known.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nowhere;

impl World for Nowhere {}

/// Makes keys and certificates. All texts are PEM, as Go writes them.
pub trait KeyMaker {
    /// # Errors
    /// Where a key of that kind cannot be made.
    fn private_key(&self, kind: KeyType) -> Result<String, Failure>;

    /// Issues a certificate.
    ///
    /// # Errors
    /// Where a key, a certificate or an address cannot be read.
    fn certificate(&self, request: &CertificateRequest<'_>) -> Result<KeyPair, Failure>;

    /// Whether a certificate and a key that the site brings can be used (`buildCustomCert`).
    ///
    /// # Errors
    /// Says which of the two cannot be read.
    fn check(&self, pair: &KeyPair) -> Result<(), Failure>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    /// 4096 bits, PKCS #1
    Rsa,
    Dsa,
    /// P-256, SEC 1
    Ecdsa,
    /// PKCS #8
    Ed25519,
}

/// What a certificate shall say.
#[derive(Debug, Clone)]
pub struct CertificateRequest<'a> {
    pub common_name: &'a str,
    pub addresses: &'a [std::net::IpAddr],
    pub names: &'a [String],
    /// Valid from now on for this long.
    pub days: i64,
    /// The key to certify; a new RSA key of 2048 bits where there is none.
    pub key: Option<&'a str>,
    /// Who signs; the key itself where there is none.
    pub authority: Option<&'a KeyPair>,
    /// Whether the new certificate may sign others.
    pub is_authority: bool,
}

/// A certificate and its private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPair {
    pub certificate: String,
    pub key: String,
}
