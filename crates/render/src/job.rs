//! One node's overlays of one kind, rendered and laid over one another.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use archive::{Entry, Kind};
use model::Node;
use sha2::{Digest, Sha256};
use template::Options;

use crate::host::{File, Output, State, Surroundings};
use crate::layer::{Clash, Ground, ImageLinks, NoImage, Piece, Placed};
use crate::overlay::{Item, Overlay, Remembered, Script};
use crate::reads::{Facet, Read, Reads};
use crate::source::Source;
use crate::view::{self, BuildTime, Frame, World};

/// A node in its world, with the files of the controller: all that a render depends on besides the overlays.
#[derive(Clone)]
pub struct Job {
    pub world: Arc<World>,
    pub node: Arc<Node>,
    pub source: Arc<dyn Source>,
    /// Clock, randomness, environment for the template language.
    pub outside: Arc<dyn template::World + Send + Sync>,
    pub build_time: BuildTime,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("node", &self.node.id).finish_non_exhaustive()
    }
}

/// What became of a job.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The tree, sorted by path.
    pub tree: Vec<Placed>,
    /// Everything that was read.
    pub reads: BTreeSet<Read>,
    pub warnings: Vec<String>,
    /// What failed; when there is any, the tree is not to be used.
    pub problems: Vec<Problem>,
}

/// Something that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    Template { node: String, overlay: String, error: Box<template::Error> },
    Clash { node: String, clash: Clash },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Template { node, overlay, error } => write!(f, "node {node}: overlay {overlay}: {error}"),
            Problem::Clash { node, clash } => write!(f, "node {node}: {clash}"),
        }
    }
}

impl std::error::Error for Problem {}

impl Job {
    /// Renders the overlays and lays them over one another, in order. A template that fails does not stop the others.
    pub fn run(&self, overlays: &[Arc<Overlay>]) -> Outcome {
        let image = &self.node.profile.image_name;
        let links: Box<dyn ImageLinks + '_> =
            if image.is_empty() { Box::new(NoImage) } else { self.source.image_links(image) };
        let mut ground = Ground::new(&*links);
        let mut outcome = Outcome::default();
        for overlay in overlays {
            for item in &overlay.items {
                for piece in self.pieces(overlay, item, &mut outcome) {
                    if let Err(clash) = ground.lay(&overlay.name, piece) {
                        outcome.problems.push(Problem::Clash { node: self.node.id.clone(), clash });
                    }
                }
            }
        }
        let (tree, warnings) = ground.finish();
        outcome.tree = tree;
        outcome.warnings.extend(warnings);
        outcome
    }

    /// One template, rendered for this node.
    ///
    /// # Errors
    /// What the template language says, with file, line and column.
    pub fn render(
        &self,
        overlay: &Arc<str>,
        script: &Script,
    ) -> Result<(Output, BTreeSet<Read>), Box<template::Error>> {
        if let Some(known) = script.recall(|reads| self.key(reads)) {
            return Ok((known.output.clone(), known.reads.clone()));
        }
        let parsed = script.parsed().map_err(|error| Box::new(error.clone()))?;
        let reads = Arc::new(Reads::default());
        let frame = Frame {
            world: Arc::clone(&self.world),
            node: Arc::clone(&self.node),
            source: Arc::clone(&self.source),
            reads: Arc::clone(&reads),
            overlay: Arc::clone(overlay),
            build_source: Arc::clone(&script.path),
            build_time: self.build_time.clone(),
        };
        let mut host = State::new(Surroundings { node: &self.node, source: &*self.source, reads: &reads });
        // An abort is known to the host, which took the call.
        let _ending = parsed.execute(&view::data(&frame), &mut host, &*self.outside, &Options::default())?;
        let output = host.finish();
        let reads = reads.all();
        // What names the node is this node's alone.
        if !reads.contains(&Read::Own(Facet::Id)) {
            let (key, output) = (self.key(&reads), output.clone());
            script.remember(Remembered { reads: reads.clone(), key, output });
        }
        Ok((output, reads))
    }

    /// A digest over the present state of what was read.
    pub fn key(&self, reads: &BTreeSet<Read>) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(self.world.conf_digest());
        for read in reads {
            digest.update(read.line().as_bytes());
            digest.update([0]);
            match read {
                Read::Own(facet) => digest.update(Sha256::digest(facet.of(&self.node))),
                Read::World(facet) => digest.update(self.world.digest(*facet)),
                file => digest.update(self.source.state(file)),
            }
        }
        digest.finalize().into()
    }

    fn pieces(&self, overlay: &Overlay, item: &Item, outcome: &mut Outcome) -> Vec<Piece> {
        let Some(script) = &item.script else {
            return vec![Piece { entry: item.entry.clone(), rendered: false, backup: true }];
        };
        match self.render(&overlay.name, script) {
            Ok((output, reads)) => {
                outcome.reads.extend(reads);
                let told = output.warnings.iter().map(|word| format!("{}: {word}", script.path));
                outcome.warnings.extend(told);
                output.written().map(|file| piece(&item.entry, script, file, output.backup)).collect()
            }
            Err(error) => {
                let (node, overlay) = (self.node.id.clone(), overlay.name.to_string());
                outcome.problems.push(Problem::Template { node, overlay, error });
                Vec::new()
            }
        }
    }
}

/// The entry that a buffer of a template becomes.
fn piece(template: &Entry, script: &Script, file: &File, backup: bool) -> Piece {
    let mut path = script.target.clone();
    if let Some(absolute) = file.name.strip_prefix('/') {
        path = absolute.as_bytes().to_vec();
    } else if !file.name.is_empty() {
        let folder = script.target.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at + 1);
        path.truncate(folder);
        path.extend_from_slice(file.name.as_bytes());
    }
    let (kind, mode) = match &file.softlink {
        Some(target) => (Kind::Symlink(target.as_bytes().to_vec()), 0o777),
        None => (Kind::File(Arc::clone(&file.content)), template.mode),
    };
    Piece { entry: Entry { path, mode, mtime: 0, kind, ..template.clone() }, rendered: true, backup }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::tests::Bare;
    use std::collections::BTreeMap;
    use template::Nowhere;

    fn file(path: &str, mode: u32, text: &str) -> Entry {
        let kind = Kind::File(text.as_bytes().into());
        Entry { path: path.into(), mode, uid: 0, gid: 0, mtime: 5, kind, xattrs: BTreeMap::new() }
    }

    fn run(overlays: &[(&str, Vec<Entry>)]) -> Outcome {
        let node = Node { id: "n1".into(), ..Node::default() };
        let job = Job {
            world: Arc::new(World::new(model::Conf::default(), std::slice::from_ref(&node), "head".into())),
            node: Arc::new(node),
            source: Arc::new(Bare),
            outside: Arc::new(Nowhere),
            build_time: BuildTime::default(),
        };
        let overlays: Vec<Arc<Overlay>> = overlays
            .iter()
            .map(|(name, entries)| Arc::new(Overlay::new(name, &format!("/overlays/{name}"), entries.clone())))
            .collect();
        job.run(&overlays)
    }

    fn paths(outcome: &Outcome) -> Vec<String> {
        outcome.tree.iter().map(|placed| String::from_utf8_lossy(&placed.entry.path).into_owned()).collect()
    }

    #[test]
    fn a_relative_file_makes_its_folders() {
        let outcome = run(&[("a", vec![file("etc/all.ww", 0o640, "{{file \"rel/y\"}}one{{file \"/deep/x\"}}two")])]);
        assert_eq!(outcome.problems, []);
        assert_eq!(paths(&outcome), ["deep", "deep/x", "etc", "etc/rel", "etc/rel/y"]);
    }

    #[test]
    fn a_template_that_fails_stops_no_other_and_is_named_with_its_place() {
        let outcome = run(&[(
            "a",
            vec![
                file("bad.ww", 0o644, "x\n{{if}}"),
                file("good.ww", 0o644, "{{.Id}}"),
                file("run.ww", 0o644, "{{.Nope}}"),
            ],
        )]);
        let said: Vec<String> = outcome.problems.iter().map(Problem::to_string).collect();
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].starts_with("node n1: overlay a: /overlays/a/bad.ww:2:"), "{said:?}");
        assert!(said[1].starts_with("node n1: overlay a: /overlays/a/run.ww:1:"), "{said:?}");
        assert_eq!(paths(&outcome), ["good"]);
    }

    #[test]
    fn what_was_read_is_noted_field_by_field() {
        let outcome = run(&[("a", vec![file("t.ww", 0o644, "{{.ClusterName}}{{range .AllNodes}}{{.Root}}{{end}}")])]);
        let lines: Vec<String> = outcome.reads.iter().map(Read::line).collect();
        assert_eq!(lines, ["own ClusterName", "world Id", "world Root"]);
    }
}
