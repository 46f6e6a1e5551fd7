//! An unknown address takes a discoverable node: one at a time, and on the disk before anybody is told.

use std::sync::Arc;

use boot::http::{Answer, Caller, StageAsk, decide, discovery};

use crate::build;
use crate::cluster::{Cluster, Shared};
use crate::store;

/// The snapshot to decide on. Where the decision would be to claim a node, that was done, or failed and was logged.
pub async fn settled(shared: &Shared, ask: &StageAsk, caller: &Caller) -> Arc<Cluster> {
    let cluster = shared.fresh().await;
    if !claims(ask, caller, &cluster) {
        return cluster;
    }
    // The second of two with one address finds it given when its turn comes.
    let _turn = shared.claiming().await;
    let (handle, ask, caller) = (shared.clone(), ask.clone(), caller.clone());
    let claimed = tokio::task::spawn_blocking(move || claim(&handle, &ask, &caller)).await;
    if let Err(error) = claimed {
        tracing::error!("discovery: {error}");
    }
    shared.current()
}

fn claims(ask: &StageAsk, caller: &Caller, cluster: &Cluster) -> bool {
    let decision = decide::stage(ask, caller, &cluster.site.conf, cluster.known());
    matches!(decision.verdict, Ok(Answer::Claim { .. }))
}

/// Decides once more on what is on the disk, with the file locked, and writes it.
fn claim(shared: &Shared, ask: &StageAsk, caller: &Caller) {
    let site = &shared.current().site;
    let wwid = caller.wwid.as_deref().unwrap_or("");
    match store::nodes::change(site, |nodes| Ok(discovery::claim(ask, caller, &site.conf, nodes))) {
        Ok((Some(node), _)) => {
            tracing::info!("discovery: {wwid} is {node} from now on");
            forget_archives(shared, &node);
        }
        Ok((None, _)) => {}
        Err(error) => tracing::error!("discovery: {wwid} stays unknown, nodes.conf was not changed: {error:#}"),
    }
    shared.refresh();
}

/// What was built for a machine that had this name before is not for this one.
fn forget_archives(shared: &Shared, node: &str) {
    if let Err(error) = build::forget(&shared.current().site, node) {
        tracing::warn!("what was built for {node} before is not removed: {error}");
    }
}
