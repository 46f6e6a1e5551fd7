//! The book on disk, `<wwprovisiondir>/.status`, so that a restart of the controller forgets nobody. Written whole at most
//! every ten seconds and once more at the end: what is lost by a power cut is the last moments, never the rest.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Book, Line};
use crate::cluster::Shared;
use crate::serve::Shutdown;
use crate::site::Site;
use crate::store::publish;

/// 10,000 nodes make 1.2 MB a writing.
const PAUSE: Duration = Duration::from_secs(10);

#[derive(Debug, Default, Deserialize, Serialize)]
struct Kept {
    /// Sorted by name; the shared line of the unknown addresses is nobody's memory.
    nodes: Vec<Line>,
}

fn file(site: &Site) -> PathBuf {
    site.conf.paths.wwprovisiondir.join(".status")
}

/// The book as the last controller left it. One that cannot be understood is an empty one, and told.
pub fn remembered(site: &Site) -> Book {
    let path = file(site);
    let kept = match read(&path) {
        Ok(kept) => kept,
        Err(error) => {
            tracing::warn!("{}: {error}; what nodes did before is forgotten", path.display());
            Kept::default()
        }
    };
    Book::of(kept.nodes)
}

fn read(path: &Path) -> io::Result<Kept> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Kept::default()),
        Err(error) => Err(error),
    }
}

/// Writes the book whenever it changed, with pauses. Ends on shutdown; the last writing is [`write`], after all servers.
///
/// # Errors
/// Never: a book that cannot be written is told once, and goes on in memory.
pub async fn run(shared: Shared, shutdown: Shutdown) -> io::Result<()> {
    let mut told = false;
    loop {
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = shutdown.requested() => return Ok(()),
        }
        let shared = shared.clone();
        let written = tokio::task::spawn_blocking(move || write(&shared)).await?;
        if let Err(error) = &written
            && !told
        {
            tracing::warn!("{error}; status is kept in memory only until that is mended");
        }
        told = written.is_err();
    }
}

/// Writes the book if it changed since it was last written. Blocks.
///
/// # Errors
/// When it is not on disk; the old one then still is.
pub fn write(shared: &Shared) -> io::Result<()> {
    let path = file(&shared.current().site);
    shared.status().unwritten(|lines| {
        let nodes = lines.values().filter(|line| !line.node.is_empty() && line.last_seen > 0).cloned().collect();
        let mut text = serde_json::to_vec(&Kept { nodes })?;
        text.push(b'\n');
        let folder = path.parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(folder)
            .and_then(|()| publish::replace_with(&path, 0o644, &text))
            .map_err(|error| io::Error::new(error.kind(), format!("write {}: {error}", path.display())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Event;

    const PEER: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 7));

    fn home() -> (tempfile::TempDir, Shared) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().display();
        let conf = format!("paths: {{sysconfdir: {root}, wwprovisiondir: {root}/provision}}\n");
        std::fs::create_dir(folder.path().join("warewulf")).unwrap();
        std::fs::write(folder.path().join("warewulf/warewulf.conf"), conf).unwrap();
        std::fs::write(folder.path().join("warewulf/nodes.conf"), "nodes: {c001: {}, c002: {}}\n").unwrap();
        let shared = again(&folder);
        (folder, shared)
    }

    fn again(folder: &tempfile::TempDir) -> Shared {
        Shared::new(Site::read(folder.path().join("warewulf/warewulf.conf")).unwrap())
    }

    fn seen(shared: &Shared) -> Vec<(String, String, u64)> {
        let nodes = shared.status().document(Vec::new()).nodes;
        nodes.into_iter().map(|(name, line)| (name, line.sent, line.last_seen)).collect()
    }

    fn lines(lines: &[(&str, &str, u64)]) -> Vec<(String, String, u64)> {
        lines.iter().map(|(name, sent, at)| ((*name).into(), (*sent).into(), *at)).collect()
    }

    #[test]
    fn the_next_controller_knows_what_the_last_one_saw() {
        let (folder, shared) = home();
        shared.status().note("c001", PEER, 5, Event::Done { stage: "image", sent: "oak.img".into() });
        shared.status().note("", PEER, 6, Event::Done { stage: "ipxe", sent: "unconfigured.ipxe".into() });
        write(&shared).unwrap();
        assert_eq!(seen(&again(&folder)), lines(&[("c001", "oak.img", 5), ("c002", "", 0)]));
    }

    #[test]
    fn a_node_that_is_gone_is_forgotten() {
        let (folder, shared) = home();
        shared.status().note("c001", PEER, 5, Event::Seen);
        write(&shared).unwrap();
        std::fs::write(folder.path().join("warewulf/nodes.conf"), "nodes: {c003: {}}\n").unwrap();
        assert_eq!(seen(&again(&folder)), lines(&[("c003", "", 0)]));
    }

    #[test]
    fn a_torn_file_is_an_empty_book() {
        let (folder, shared) = home();
        shared.status().note("c001", PEER, 5, Event::Seen);
        write(&shared).unwrap();
        let path = folder.path().join("provision/.status");
        let text = std::fs::read(&path).unwrap();
        // The last line break is for people who look at it, and no part of the book.
        for cut in 0..text.len() - 1 {
            std::fs::write(&path, &text[..cut]).unwrap();
            assert_eq!(seen(&again(&folder)), lines(&[("c001", "", 0), ("c002", "", 0)]), "{cut}");
        }
    }

    #[test]
    fn a_book_that_did_not_change_is_not_written_again() {
        let (folder, shared) = home();
        shared.status().note("c001", PEER, 5, Event::Seen);
        write(&shared).unwrap();
        std::fs::remove_file(folder.path().join("provision/.status")).unwrap();
        write(&shared).unwrap();
        assert!(!folder.path().join("provision/.status").exists());
        shared.status().note("c001", PEER, 6, Event::Seen);
        write(&shared).unwrap();
        assert!(folder.path().join("provision/.status").exists());
    }

    #[test]
    fn a_failed_writing_is_tried_again() {
        let (folder, shared) = home();
        shared.status().note("c001", PEER, 5, Event::Seen);
        let provision = folder.path().join("provision");
        std::fs::write(&provision, "in the way").unwrap();
        assert!(write(&shared).unwrap_err().to_string().contains(".status"));
        std::fs::remove_file(&provision).unwrap();
        write(&shared).unwrap();
        assert!(provision.join(".status").exists());
    }
}
