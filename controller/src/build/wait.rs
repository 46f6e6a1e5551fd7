//! Requests that wait for builds: a bounded time, and never in the threads that everybody's files come from.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use boot::http::Refusal;
use model::Node;
use tokio::time::Instant;

use super::files::Files;
use super::fresh::{self, Standing};
use super::line::{Order, Outcome};
use super::offer::{self, Offer};
use super::{BuildError, OverlayKind, Workshop};
use crate::cluster::{Cluster, Shared};

/// How long a request waits for a build before it gets the previous archive. GRUB gives up on a server that has not sent
/// a head after 30 s (grub-core/net/http.c: 100 rounds of 300 ms); iPXE, curl and the agents wait longer.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The archive when it is fresh and at hand: then nothing is waited for, neither a build nor, in all likelihood, a disk.
pub fn at_hand(cluster: &Cluster, node: &Node, kind: OverlayKind, packed: bool) -> Option<Offer> {
    let (_, at_hand) = fresh::settled(cluster, node, kind)?;
    let offered = at_hand.then(|| offer::offer(&cluster.site, node, kind, packed).ok())??;
    // Whoever waits can have it made.
    (!matches!(offered, Offer::Nothing(_))).then_some(offered)
}

/// The archive that a node gets now: fresh, or the previous one when that cannot be had in time or not at all.
///
/// # Errors
/// When there is none: [`Refusal::OverlayFailed`], or [`Refusal::OverlayNotReady`] while it is being built.
pub async fn overlay(shared: &Shared, cluster: &Cluster, node: &Node, kind: OverlayKind) -> Result<PathBuf, Refusal> {
    if let Some((archive, _)) = fresh::settled(cluster, node, kind) {
        return Ok(archive);
    }
    let until = Instant::now() + PATIENCE;
    let order = |kind| move || Archive::order(shared, &node.id, kind);
    // As in stock, who asks for one finds both; only the one that was asked for decides.
    let other = Files::of(&cluster.site, &node.id, kind.other());
    let besides = (!other.present()).then(|| cluster.works.line.order(&other.image, order(kind.other())));
    let asked = ordered(cluster, node, kind, PATIENCE, order(kind)).await;
    if let Some(besides) = besides {
        // Why it failed is in the log.
        let _ = besides.at_most(until.saturating_duration_since(Instant::now())).await;
    }
    asked
}

/// The archive after this order, or the previous one.
async fn ordered(
    cluster: &Cluster,
    node: &Node,
    kind: OverlayKind,
    patience: Duration,
    order: impl FnOnce() -> Arc<dyn Order>,
) -> Result<PathBuf, Refusal> {
    let files = Files::of(&cluster.site, &node.id, kind);
    let refused = |error: BuildError| Refusal::OverlayFailed(error.to_string());
    match cluster.works.line.order(&files.image, order).at_most(patience).await {
        // Nobody was left to note it.
        Some(Err(error @ BuildError::Died(_))) => {
            fresh::failed(&cluster.works, &files, node, kind, error).map_err(refused)
        }
        Some(outcome) => outcome.map_err(refused),
        None if files.present() => {
            tracing::warn!(
                "the {kind} overlay of {} is not ready after {} s: the previous one is sent",
                node.id,
                patience.as_secs()
            );
            Ok(files.image)
        }
        None => Err(Refusal::OverlayNotReady(format!("the {kind} overlay of {} is being built", node.id))),
    }
}

/// Looks once more at every archive that could not be built, so that what was mended is told as mended though the node
/// does not ask. Returns at once.
pub fn mend(shared: &Shared) {
    let cluster = shared.current();
    for trouble in cluster.works.troubles.to_mend() {
        let Some(node) = cluster.node(&trouble.node) else { continue };
        let archive = Files::of(&cluster.site, &node.id, trouble.kind).image;
        let _nobody_waits = cluster.works.line.order(&archive, || Archive::order(shared, &trouble.node, trouble.kind));
    }
}

/// One node's archive, as of when it is looked at.
struct Archive {
    shared: Shared,
    node: String,
    kind: OverlayKind,
}

impl Archive {
    fn order(shared: &Shared, node: &str, kind: OverlayKind) -> Arc<dyn Order> {
        Arc::new(Archive { shared: shared.clone(), node: node.to_owned(), kind })
    }

    /// The workshop of this moment, and the node in it.
    fn now(&self) -> Result<(Workshop, Arc<Node>), BuildError> {
        let shop = Workshop::of(&self.shared.current());
        let node = shop.node(&self.node)?;
        Ok((shop, node))
    }
}

impl Order for Archive {
    fn look(&self) -> Option<Outcome> {
        let (shop, node) = match self.now() {
            Ok(now) => now,
            Err(error) => return Some(Err(error)),
        };
        match fresh::look(&shop, &node, self.kind) {
            Standing::Fresh(archive) => Some(Ok(archive)),
            Standing::Stale => None,
            Standing::Failed(error) => Some(fresh::not_built(&shop, &node, self.kind, error)),
        }
    }

    fn build(&self) -> Outcome {
        let (shop, node) = self.now()?;
        fresh::make(&shop, &node, self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::tests::{BrokenOrder, EVER};
    use super::*;
    use crate::site::Site;
    use model::{Conf, NodesConf};
    use std::fs;

    #[tokio::test]
    async fn a_request_whose_build_dies_gets_the_previous_archive_at_once_and_the_trouble_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let mut conf = Conf::default();
        conf.paths.wwprovisiondir = dir.path().into();
        let site = Site { conf_path: "/none".into(), conf };
        let cluster = Cluster::new(site, NodesConf::parse("nodes: {n1: {}}").unwrap(), 1, Arc::default());
        let node = cluster.node("n1").unwrap();
        let kind = OverlayKind::System;
        let ask = || ordered(&cluster, node, kind, EVER, || Arc::new(BrokenOrder { looks: true }));

        let why = "the build died: a build on purpose (an error of wwctl itself; the log says where)";
        assert_eq!(ask().await, Err(Refusal::OverlayFailed(why.into())));
        let told = format!("the system overlay of n1 is not built: {why}");
        assert_eq!(cluster.works.problems(&cluster.merged), std::slice::from_ref(&told));
        let image = Files::of(&cluster.site, "n1", kind).image;
        fs::create_dir_all(image.parent().unwrap()).unwrap();
        fs::write(&image, "the last good one").unwrap();
        assert_eq!(ask().await, Ok(image));
        assert_eq!(cluster.works.problems(&cluster.merged), [told]);
        assert!(cluster.works.troubles.to_mend().is_empty(), "it would die again and again");
    }
}
