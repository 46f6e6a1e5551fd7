//! What templates may learn of the world outside: the clock, time zones, randomness, environment, addresses.

use std::fs::{self, File};
use std::io::Read;
use std::net::ToSocketAddrs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use render::template::{Failure, Text, Time, World, Zone};

const ZONES: &str = "/usr/share/zoneinfo";

/// This machine, now.
#[derive(Clone, Debug)]
pub struct Here {
    local: Zone,
}

impl Here {
    /// Looks up the local time zone.
    pub fn new() -> Here {
        let named = std::env::var("TZ").ok().filter(|name| !name.is_empty()).and_then(|name| zone(&name));
        let local = named.or_else(|| {
            let name = fs::canonicalize("/etc/localtime").ok()?;
            Zone::parse(&name.to_string_lossy(), &fs::read(&name).ok()?)
        });
        Here { local: local.unwrap_or(Zone::Utc) }
    }
}

impl Default for Here {
    fn default() -> Self {
        Here::new()
    }
}

impl World for Here {
    fn now(&self) -> Time {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Time::unix(i64::try_from(now.as_secs()).unwrap_or(i64::MAX), now.subsec_nanos(), self.local.clone())
    }

    fn random(&self, bytes: &mut [u8]) -> Result<(), Failure> {
        let read = File::open("/dev/urandom").and_then(|mut source| source.read_exact(bytes));
        read.map_err(|error| Failure::new(format!("/dev/urandom: {error}")))
    }

    fn environment(&self, name: &str) -> Option<Text> {
        std::env::var_os(name).map(|value| Text::new(value.as_bytes()))
    }

    fn addresses(&self, host: &str) -> Vec<String> {
        let found = (host, 0).to_socket_addrs().map(|all| all.map(|address| address.ip().to_string()).collect());
        found.unwrap_or_default()
    }

    fn zone(&self, name: &str) -> Option<Zone> {
        zone(name)
    }

    fn local_zone(&self) -> Zone {
        self.local.clone()
    }
}

fn zone(name: &str) -> Option<Zone> {
    if name == "UTC" {
        return Some(Zone::Utc);
    }
    // A name of the database is a path below it, and nothing else.
    let inside = !name.is_empty() && !name.starts_with('/') && !name.split('/').any(|part| part == "..");
    let content = inside.then(|| fs::read(Path::new(ZONES).join(name)).ok())??;
    Zone::parse(name, &content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_a_name_and_never_a_path_elsewhere() {
        assert!(zone("../../../etc/localtime").is_none());
        assert!(zone("/etc/localtime").is_none());
        assert!(matches!(zone("UTC"), Some(Zone::Utc)));
    }
}
