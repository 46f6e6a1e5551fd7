//! The functions that Warewulf adds to the template language, and the buffers that they switch.
//!
//! What a function means is in `text`; here it gets its arguments, its files and its effect on the output.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::Node;
use template::{Buffers, Context, Failure, Functions, Host, Param, Signature, Value};

use crate::ignition;
use crate::reads::{Read, Reads, Root};
use crate::source::Source;
use crate::text;

/// Names and parameters, for parsing.
pub const FUNCTIONS: &[(&str, Signature)] = &[
    ("Include", Signature::new(&[Param::Text])),
    ("IncludeFrom", Signature::new(&[Param::Text, Param::Text])),
    ("IncludeBlock", Signature::new(&[Param::Text, Param::Text])),
    ("ImportLink", Signature::new(&[Param::Text])),
    ("softlink", Signature::new(&[Param::Text])),
    ("readlink", Signature::new(&[Param::Text])),
    ("basename", Signature::new(&[Param::Text])),
    ("file", Signature::new(&[Param::Text])),
    ("abort", Signature::new(&[])),
    ("nobackup", Signature::new(&[])),
    ("inc", Signature::new(&[Param::Int])),
    ("dec", Signature::new(&[Param::Int])),
    ("IgnitionJson", Signature::new(&[])),
    ("UniqueField", Signature::new(&[Param::Text, Param::Int, Param::Text])),
    ("SystemdEscape", Signature::new(&[Param::Text])),
    ("SystemdEscapePath", Signature::new(&[Param::Text])),
];

/// The functions as the parser asks for them.
pub fn functions() -> impl Functions {
    FUNCTIONS
}

/// What one template wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// The buffers in the order in which they were started; the first one is the template's own, with an empty name.
    pub files: Vec<File>,
    /// The template asked to write nothing.
    pub aborted: bool,
    /// What is replaced is to be kept beside.
    pub backup: bool,
    /// What is odd but no error: files to include that are not there.
    pub warnings: Vec<String>,
}

/// One buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// As the template gave it.
    pub name: String,
    pub content: Arc<[u8]>,
    /// Instead of a file, a link to this.
    pub softlink: Option<String>,
}

impl Output {
    /// The buffers that become files: what stood before the first `file` counts only when there is none, or when it is
    /// a link.
    pub fn written(&self) -> impl Iterator<Item = &File> {
        let alone = self.files.len() == 1;
        let aborted = self.aborted;
        self.files
            .iter()
            .enumerate()
            .filter(move |(at, file)| !aborted && (*at > 0 || alone || file.softlink.is_some()))
            .map(|(_, file)| file)
    }
}

/// The host of one render.
#[derive(Debug)]
pub struct State<'a> {
    surroundings: Option<Surroundings<'a>>,
    buffers: Buffers,
    links: BTreeMap<usize, String>,
    aborted: bool,
    backup: bool,
    warnings: BTreeSet<String>,
}

/// The node that is rendered for, and the files that can be included.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    pub node: &'a Node,
    pub source: &'a dyn Source,
    pub reads: &'a Reads,
}

impl<'a> State<'a> {
    /// A host that has a node and files.
    pub fn new(surroundings: Surroundings<'a>) -> State<'a> {
        State { surroundings: Some(surroundings), ..State::bare() }
    }

    /// A host without node and files: functions that want them fail.
    pub fn bare() -> State<'a> {
        State {
            surroundings: None,
            buffers: Buffers::new(""),
            links: BTreeMap::new(),
            aborted: false,
            backup: true,
            warnings: BTreeSet::new(),
        }
    }

    /// What was written, also after an error.
    pub fn finish(mut self) -> Output {
        let files = self.buffers.finish().into_iter().enumerate();
        let files = files
            .map(|(at, (name, content))| File {
                name: name.to_str().into_owned(),
                content: content.into(),
                softlink: self.links.remove(&at),
            })
            .collect();
        Output { files, aborted: self.aborted, backup: self.backup, warnings: self.warnings.into_iter().collect() }
    }

    fn surroundings(&self) -> Result<Surroundings<'a>, Failure> {
        self.surroundings.ok_or_else(|| Failure::new("there are no files here"))
    }

    /// The file without one trailing line break; nothing when it is not there.
    fn include(&mut self, path: &str) -> Result<Option<Vec<u8>>, Failure> {
        let around = self.surroundings()?;
        around.reads.note(Read::File(path.to_owned()));
        let content = around.source.file(path)?;
        if content.is_none() {
            self.warnings.insert(format!("{path}: there is no such file to include"));
        }
        Ok(content)
    }

    fn include_from(&mut self, image: &str, path: &str) -> Result<Vec<u8>, Failure> {
        let around = self.surroundings()?;
        around.reads.note(Read::ImageFile { image: image.to_owned(), path: path.to_owned() });
        let content = around.source.image_file(image, path)?;
        if content.is_none() {
            self.warnings.insert(format!("image {image}: there is no file {path} to include"));
        }
        Ok(without_last_break(content.unwrap_or_default()))
    }

    fn resolve(&self, path: &str) -> Result<String, Failure> {
        let around = self.surroundings()?;
        around.reads.note(Read::Link(path.to_owned()));
        around.source.resolve(path).map_err(Failure::new)
    }

    fn ignition(&mut self) -> Result<String, Failure> {
        let around = self.surroundings()?;
        let own = around.reads.root(Root::Own);
        ["Disks", "FileSystems"].iter().for_each(|field| around.reads.mark_below(own, field));
        Ok(match ignition::document(around.node) {
            Ok(document) => document.unwrap_or_default(),
            Err(refused) => {
                self.warnings.insert(format!("no configuration for ignition: {refused}"));
                String::new()
            }
        })
    }
}

impl Host for State<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.buffers.write(bytes);
        Ok(())
    }

    fn call(&mut self, name: &str, args: &[Value], _: &Context<'_>) -> Result<Value, Failure> {
        let word = |at: usize| {
            let text = args.get(at).and_then(Value::as_text);
            text.map(|text| text.to_str()).ok_or_else(|| Failure::new("expected text"))
        };
        let number = |at: usize| match args.get(at) {
            Some(Value::Int(_, number)) => Ok(*number),
            _ => Err(Failure::new("expected an int")),
        };
        Ok(match name {
            "Include" => Value::text(without_last_break(self.include(&word(0)?)?.unwrap_or_default())),
            "IncludeFrom" => Value::text(self.include_from(&word(0)?, &word(1)?)?),
            "IncludeBlock" => {
                let content = self.include(&word(0)?)?.unwrap_or_default();
                text::block(&String::from_utf8_lossy(&content), &word(1)?).into()
            }
            "ImportLink" => {
                let target = self.resolve(&word(0)?)?;
                self.links.insert(self.buffers.index(), target);
                "".into()
            }
            "softlink" => {
                self.links.insert(self.buffers.index(), word(0)?.into_owned());
                "".into()
            }
            "readlink" => self.resolve(&word(0)?)?.into(),
            "basename" => text::basename(&word(0)?).into(),
            "file" => {
                self.buffers.switch(word(0)?);
                "".into()
            }
            "abort" => {
                self.aborted = true;
                return Err(Failure::Abort);
            }
            "nobackup" => {
                self.backup = false;
                "".into()
            }
            "inc" => Value::int(number(0)?.wrapping_add(1)),
            "dec" => Value::int(number(0)?.wrapping_sub(1)),
            "IgnitionJson" => self.ignition()?.into(),
            "UniqueField" => text::unique_field(&word(0)?, number(1)?, &word(2)?).into(),
            "SystemdEscape" => text::systemd_escape(&word(0)?).into(),
            "SystemdEscapePath" => text::systemd_escape_path(&word(0)?).into(),
            _ => return Err(Failure::new(format!("no function {name}"))),
        })
    }
}

fn without_last_break(mut content: Vec<u8>) -> Vec<u8> {
    if content.last() == Some(&b'\n') {
        content.pop();
    }
    content
}
