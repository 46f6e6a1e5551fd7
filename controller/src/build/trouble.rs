//! What stands between nodes and their fresh overlays, as long as it does: for `wwctl node status`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{Node, hostlist};

use super::{BuildError, OverlayKind};

/// An archive that could not be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub node: String,
    pub kind: OverlayKind,
    /// Without the node's name: many nodes have the same trouble.
    reasons: Vec<String>,
    /// Nothing that anybody edits mends it.
    ours: bool,
}

/// All that could not be built, by archive.
#[derive(Debug, Default)]
pub struct Troubles(Mutex<BTreeMap<PathBuf, Trouble>>);

impl Troubles {
    /// This archive could not be built.
    pub fn note(&self, archive: &Path, node: &str, kind: OverlayKind, error: &BuildError) {
        let ours = matches!(error, BuildError::Died(_));
        let trouble = Trouble { node: node.to_owned(), kind, reasons: error.reasons(), ours };
        self.lock().insert(archive.to_owned(), trouble);
    }

    /// This archive is as it should be.
    pub fn clear(&self, archive: &Path) {
        self.lock().remove(archive);
    }

    /// Those that are worth another look though nobody asks. A build that died is tried again when its node asks.
    pub fn to_mend(&self) -> Vec<Trouble> {
        self.lock().values().filter(|trouble| !trouble.ours).cloned().collect()
    }

    /// Forgets those of nodes that are gone.
    pub fn only(&self, is_node: impl Fn(&str) -> bool) {
        self.lock().retain(|_, trouble| is_node(&trouble.node));
    }

    /// A line for each reason, with all the nodes that have it. `nodes`, by name, are those that count.
    pub fn lines(&self, nodes: &[Arc<Node>]) -> Vec<String> {
        let known = |id: &str| nodes.binary_search_by(|node| node.id.as_str().cmp(id)).is_ok();
        let mut reasons: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
        let mut troubles = self.lock();
        troubles.retain(|_, trouble| known(&trouble.node));
        for trouble in troubles.values() {
            for reason in &trouble.reasons {
                let nodes = reasons.entry((trouble.kind.to_string(), reason.clone())).or_default();
                nodes.insert(trouble.node.clone());
            }
        }
        drop(troubles);
        let line = |((kind, reason), nodes): ((String, String), BTreeSet<String>)| {
            let nodes = hostlist::fold(&nodes.into_iter().collect::<Vec<_>>());
            format!("the {kind} overlay of {nodes} is not built: {reason}")
        };
        reasons.into_iter().map(line).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Trouble>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(names: &[&str]) -> Vec<Arc<Node>> {
        names.iter().map(|name| Arc::new(Node { id: (*name).into(), ..Node::default() })).collect()
    }

    #[test]
    fn nodes_with_the_same_trouble_share_a_line_until_it_is_gone() {
        let troubles = Troubles::default();
        for node in ["n1", "n2", "n3"] {
            let error =
                BuildError::UnknownOverlay { node: node.into(), overlay: "gone".into(), kind: OverlayKind::Runtime };
            troubles.note(Path::new(node), node, OverlayKind::Runtime, &error);
        }
        let all = nodes(&["n1", "n2", "n3"]);
        let line = |nodes: &str| {
            format!(
                "the runtime overlay of {nodes} is not built: there is no overlay gone: create it, or take it out of the \
                 node's runtime overlays"
            )
        };
        assert_eq!(troubles.lines(&all), [line("n[1-3]")]);
        troubles.clear(Path::new("n2"));
        assert_eq!(troubles.lines(&all), [line("n[1,3]")]);
        assert_eq!(troubles.lines(&nodes(&["n1"])), [line("n1")], "a node that is gone has no trouble");
    }
}
