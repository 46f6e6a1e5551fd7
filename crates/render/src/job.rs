//! One node's overlays of one kind, rendered and laid over one another.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use archive::{Entry, Kind};
use model::Node;
use sha2::{Digest, Sha256};
use template::Options;

use crate::former;
use crate::host::{File, Output, State, Surroundings};
use crate::kept::{self, Drawn, Frozen, Kept, Key, Moment};
use crate::layer::{Clash, Ground, ImageLinks, NoImage, Piece, Placed};
use crate::overlay::{Item, Overlay, Remembered, Script};
use crate::reads::{Read, ReadSet, Reads};
use crate::source::Source;
use crate::view::{self, Frame, World};
use crate::whose::Whose;

/// A node in its world, with the files of the controller: all that a render depends on besides the overlays.
#[derive(Clone)]
pub struct Job {
    pub world: Arc<World>,
    pub node: Arc<Node>,
    pub source: Arc<dyn Source>,
    /// Clock, randomness, environment for the template language.
    pub outside: Arc<dyn template::World + Send + Sync>,
    /// Clocks and seeds that earlier renders of these inputs had.
    pub kept: Arc<Kept>,
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
    /// Everything that was read, also by what failed.
    pub reads: Arc<ReadSet>,
    /// What was no input, and is to be kept for the next time.
    pub drawn: Vec<Drawn>,
    /// Odd and no error, as a file to include that is not there.
    pub warnings: Vec<String>,
    /// What came to lie elsewhere, because the image has a link on the way.
    pub detours: Vec<String>,
    /// What failed; when there is any, the tree is not to be used.
    pub problems: Vec<Problem>,
}

/// What a template gave.
#[derive(Debug)]
pub struct Rendered {
    pub output: Output,
    pub reads: Arc<ReadSet>,
    /// When the template asked for the time, or for randomness.
    pub drawn: Option<Drawn>,
}

/// A template that failed.
#[derive(Debug)]
pub struct Broken {
    pub error: Box<template::Error>,
    /// What was read until then: as long as that stays, it will fail again.
    pub reads: BTreeSet<Read>,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Broken {}

/// Something that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    Template {
        node: String,
        overlay: String,
        error: Box<template::Error>,
    },
    Clash {
        node: String,
        clash: Clash,
        /// The template that wrote what cannot be laid.
        template: Option<Arc<str>>,
    },
}

impl Problem {
    /// What is wrong, without the node that met it: many may meet the same.
    pub fn told(&self) -> String {
        match self {
            Problem::Template { overlay, error, .. } => format!("overlay {overlay}: {error}"),
            Problem::Clash { clash, template: Some(template), .. } => format!("{clash} (written by {template})"),
            Problem::Clash { clash, template: None, .. } => clash.to_string(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Problem::Template { node, .. } | Problem::Clash { node, .. }) = self;
        write!(f, "node {node}: {}", self.told())
    }
}

impl std::error::Error for Problem {}

impl Job {
    /// Renders the overlays and lays them over one another, in order. A template that fails does not stop the others.
    pub fn run(&self, overlays: &[Arc<Overlay>]) -> Outcome {
        let image = &self.node.profile.image_name;
        let inner: Box<dyn ImageLinks + '_> =
            if image.is_empty() { Box::new(NoImage) } else { self.source.image_links(image) };
        let links = Noted { inner, looked: RefCell::default() };
        let mut ground = Ground::new(&links);
        let mut outcome = Outcome::default();
        let mut sets = Vec::new();
        for overlay in overlays {
            for item in &overlay.items {
                for piece in self.pieces(overlay, item, &mut sets, &mut outcome) {
                    if let Err(clash) = ground.lay(&overlay.name, piece) {
                        let template = item.script.as_ref().map(|script| Arc::clone(&script.path));
                        outcome.problems.push(Problem::Clash { node: self.node.id.clone(), clash, template });
                    }
                }
            }
        }
        (outcome.tree, outcome.detours) = ground.finish();
        let looked = if image.is_empty() { BTreeSet::new() } else { links.looked.into_inner() };
        outcome.reads = self.world.union(&sets, image, &looked);
        outcome
    }

    /// One template, rendered for this node. What was rendered from the same inputs before is not rendered again.
    ///
    /// # Errors
    /// What the template language says, with file, line and column.
    pub fn render(&self, overlay: &Arc<str>, script: &Script) -> Result<Rendered, Broken> {
        let mut start = None;
        if let Some(known) = self.recall(script, &mut start) {
            return Ok(known);
        }
        let turn = script.turn();
        if turn.is_some()
            && let Some(known) = self.recall(script, &mut start)
        {
            return Ok(known);
        }
        // Without these inputs in the books, the last ones are the best guess: a wrong one costs a second render.
        let mut guess = start.or_else(|| self.kept.latest(&script.id())).unwrap_or_default();
        let mut tries = 0;
        loop {
            let (output, reads, moment) = self.execute(overlay, script, guess)?;
            let reads = Arc::new(ReadSet::new(reads));
            let key = self.script_key(script, &reads);
            // The moment that belongs to these inputs; of new inputs, one of their own.
            let right = self.kept.find(&script.id(), &key).unwrap_or_default();
            let guessed = !right.is_empty() || !guess.is_empty();
            let fits =
                moment.is_empty() || !guessed || (known(right.time, moment.time) && known(right.seed, moment.seed));
            tries += 1;
            if fits || tries > 2 {
                script.remember(&reads, key, Remembered { output: output.clone(), moment });
                return Ok(Rendered { output, reads, drawn: drawn(script, key, moment) });
            }
            guess = right;
        }
    }

    /// What was rendered from the same inputs before. If nothing was, `start` is the moment that belongs to them.
    fn recall(&self, script: &Script, start: &mut Option<Moment>) -> Option<Rendered> {
        // Where nothing is kept of this template, only results can be found.
        for reads in script.sets(self.kept.latest(&script.id()).is_some()) {
            let key = self.script_key(script, &reads);
            let kept = self.kept.find(&script.id(), &key);
            let fits = |moment: &Moment| kept.is_none_or(|kept| kept.time == moment.time);
            if let Some(known) = script.recall(&reads, &key, fits) {
                let drawn = drawn(script, key, known.moment);
                return Some(Rendered { output: known.output.clone(), reads, drawn });
            }
            *start = start.or(kept);
        }
        None
    }

    fn execute(
        &self,
        overlay: &Arc<str>,
        script: &Script,
        moment: Moment,
    ) -> Result<(Output, BTreeSet<Read>, Moment), Broken> {
        let parsed =
            script.parsed().map_err(|error| Broken { error: Box::new(error.clone()), reads: BTreeSet::new() })?;
        let reads = Arc::new(Reads::default());
        let clock = Arc::new(Frozen::new(Arc::clone(&self.outside), Arc::clone(&reads), moment));
        let frame = Frame {
            world: Arc::clone(&self.world),
            node: Arc::clone(&self.node),
            source: Arc::clone(&self.source),
            reads: Arc::clone(&reads),
            overlay: Arc::clone(overlay),
            build_source: Arc::clone(&script.path),
            clock: Arc::clone(&clock),
        };
        let mut host = State::new(Surroundings { node: &self.node, source: &*self.source, reads: &reads });
        // An abort is known to the host, which took the call.
        match parsed.execute(&view::data(&frame), &mut host, &*clock, &Options::default()) {
            Ok(_ending) => Ok((host.finish(), reads.all(), clock.moment())),
            Err(error) => Err(Broken { error: former::explained(Box::new(error)), reads: reads.all() }),
        }
    }

    /// A digest over the present state of what was read.
    pub fn key(&self, reads: &ReadSet) -> [u8; 32] {
        let state = self.world.state(&self.node, reads, &*self.outside);
        let digest = Sha256::new().chain_update(reads.id()).chain_update(state);
        digest.chain_update(self.source.states(reads)).finalize().into()
    }

    /// The state of what a template read, for what is remembered of it.
    fn script_key(&self, script: &Script, reads: &ReadSet) -> Key {
        let state = self.world.compute(&self.node, reads, &*self.outside);
        let digest = Sha256::new()
            .chain_update(script.id())
            .chain_update(script.text_digest())
            .chain_update(reads.id())
            .chain_update(state);
        kept::short(&digest.chain_update(self.source.contents(reads)).finalize().into())
    }

    fn pieces(
        &self,
        overlay: &Overlay,
        item: &Item,
        sets: &mut Vec<Arc<ReadSet>>,
        outcome: &mut Outcome,
    ) -> Vec<Piece> {
        let Some(script) = &item.script else {
            return vec![Piece { entry: item.entry.clone(), rendered: false, whose: Whose::Everybodys, backup: true }];
        };
        match self.render(&overlay.name, script) {
            Ok(Rendered { output, reads, drawn }) => {
                // Random values are the node's own.
                let random = drawn.is_some_and(|drawn| drawn.moment.seed.is_some());
                let whose = if random { Whose::Own } else { Whose::of(&reads) };
                sets.push(reads);
                outcome.drawn.extend(drawn);
                let told = output.warnings.iter().map(|word| format!("{}: {word}", script.path));
                outcome.warnings.extend(told);
                output.written().map(|file| piece(&item.entry, script, file, whose, output.backup)).collect()
            }
            Err(Broken { error, reads }) => {
                sets.push(Arc::new(ReadSet::new(reads)));
                let (node, overlay) = (self.node.id.clone(), overlay.name.to_string());
                outcome.problems.push(Problem::Template { node, overlay, error });
                Vec::new()
            }
        }
    }
}

fn drawn(script: &Script, inputs: Key, moment: Moment) -> Option<Drawn> {
    (!moment.is_empty()).then(|| Drawn { script: script.id(), inputs, moment })
}

/// Whether what was used is what should have been, or was not used.
fn known<T: PartialEq>(right: Option<T>, used: Option<T>) -> bool {
    used.is_none() || right == used
}

/// The links of an image, and which paths were looked at.
struct Noted<'a> {
    inner: Box<dyn ImageLinks + 'a>,
    looked: RefCell<BTreeSet<Vec<u8>>>,
}

impl ImageLinks for Noted<'_> {
    fn folder_link(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.looked.borrow_mut().insert(path.to_vec());
        self.inner.folder_link(path)
    }
}

/// The entry that a buffer of a template becomes.
fn piece(template: &Entry, script: &Script, file: &File, whose: Whose, backup: bool) -> Piece {
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
    Piece { entry: Entry { path, mode, mtime: 0, kind, ..template.clone() }, rendered: true, whose, backup }
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
            kept: Arc::default(),
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
    fn a_file_that_leaves_the_tree_is_told_with_the_template_that_wrote_it() {
        let outcome = run(&[("a", vec![file("t.ww", 0o644, "{{file \"../../etc/shadow\"}}x")])]);
        let said: Vec<String> = outcome.problems.iter().map(Problem::to_string).collect();
        let why = "`/../../etc/shadow` names no file inside the tree (written by /overlays/a/t.ww)";
        assert_eq!(said, [format!("node n1: overlay a: {why}")]);
    }

    #[test]
    fn who_uses_a_name_of_an_earlier_release_is_told_what_it_is_now() {
        for (template, now) in [
            ("{{range .AllNodes}}{{.Id.Get}}{{end}}", "leave the method out"),
            ("{{.ThisNode.ClusterName.GetReal}}", "leave the method out"),
            ("{{.Kernel.Override}}", "the kernel's version has been .Kernel.Version since Warewulf 4.6"),
        ] {
            let said = run(&[("a", vec![file("t.ww", 0o644, template)])]).problems[0].to_string();
            assert!(said.contains("can't evaluate field ") && said.ends_with(now), "{said}");
        }
        let said = run(&[("a", vec![file("t.ww", 0o644, "{{.Getter}}")])]).problems[0].to_string();
        assert!(!said.contains("4.5"), "{said}");
    }

    #[test]
    fn what_was_read_is_noted_field_by_field() {
        let outcome = run(&[("a", vec![file("t.ww", 0o644, "{{.ClusterName}}{{range .AllNodes}}{{.Root}}{{end}}")])]);
        let lines: Vec<String> = outcome.reads.iter().map(Read::line).collect();
        assert_eq!(lines, ["own ClusterName", "world #", "world Root"]);
    }
}
