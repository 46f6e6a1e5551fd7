//! Who gets what. The order of the checks stands here and nowhere else.

use std::sync::Arc;

use model::{Conf, Node};

use crate::http::directory::{self, Directory};
use crate::http::loader::{self, EfiFile, Loader};
use crate::http::refusal::Refusal;
use crate::http::target::{Compress, Files, Stage, StageAsk};

/// What only the connection knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The address that the request names, else the one that the neighbour table has for the peer.
    pub wwid: Option<String>,
    pub source_port: u16,
    pub tls: bool,
}

/// Nodes and their directory; `None` where nodes.conf could never be read.
pub type Nodes<'a> = Option<(&'a [Arc<Node>], &'a Directory)>;

/// Which of a node's two overlay archives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OverlayKind {
    System,
    Runtime,
}

/// What is to be sent, in words of the model. Names are safe to be joined to their folders.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub enum Answer<'a> {
    /// Render `<sysconfdir>/warewulf/ipxe/<template>.ipxe`; without a node only the address is there.
    Script {
        node: Option<&'a Node>,
        template: &'a str,
    },
    /// Give this node the caller's address, on the disk, then decide again.
    Claim {
        node: &'a Node,
    },
    /// Render `<sysconfdir>/warewulf/grub/grub.cfg.ww`.
    GrubConfig {
        node: &'a Node,
    },
    Kernel {
        node: &'a Node,
    },
    Initramfs {
        node: &'a Node,
    },
    Image {
        name: &'a str,
    },
    Overlay {
        node: &'a Node,
        kind: OverlayKind,
    },
    /// From the root of this image.
    Loader {
        image: &'a str,
        loader: Loader,
    },
}

/// An answer or a refusal, and whose line in the status book it concerns (`None`: the unknown one).
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Decision<'a> {
    pub node: Option<&'a Node>,
    pub verdict: Result<Answer<'a>, Refusal>,
}

/// Decides about one stage of a boot.
pub fn stage<'a>(ask: &StageAsk, caller: &Caller, conf: &Conf, nodes: Nodes<'a>) -> Decision<'a> {
    let nobody = |refusal| Decision { node: None, verdict: Err(refusal) };
    let runtime = ask.stage == Stage::Runtime;
    if runtime && conf.warewulf.tls && !caller.tls {
        return nobody(Refusal::NeedsTls);
    }
    let Some(wwid) = &caller.wwid else { return nobody(Refusal::NoWwid) };
    if runtime && conf.warewulf.secure && caller.source_port >= 1024 {
        return nobody(Refusal::HighPort(caller.source_port));
    }
    let Some((list, directory)) = nodes else { return nobody(Refusal::NoDatabase) };
    match directory.find(list, wwid) {
        Some(node) => Decision { node: Some(node), verdict: known(ask, node) },
        None => Decision { node: None, verdict: unknown(ask, wwid, list, directory) },
    }
}

fn known<'a>(ask: &StageAsk, node: &'a Node) -> Result<Answer<'a>, Refusal> {
    if !node.asset_key.is_empty() && node.asset_key != ask.asset_key {
        return Err(Refusal::WrongAssetKey);
    }
    match ask.stage {
        Stage::Ipxe => {
            script_has_one_form(ask)?;
            let template = &node.profile.ipxe_template;
            let template = if template.is_empty() { "default" } else { safe(template)? };
            Ok(Answer::Script { node: Some(node), template })
        }
        Stage::Grub => {
            script_has_one_form(ask)?;
            Ok(Answer::GrubConfig { node })
        }
        Stage::Efiboot => match loader::efi_file(&ask.file).ok_or(Refusal::NoLoader)? {
            EfiFile::Config => {
                script_has_one_form(ask)?;
                Ok(Answer::GrubConfig { node })
            }
            EfiFile::Loader(loader) => {
                let image = image_of(node).map_err(|_| Refusal::NoLoader)?;
                known_form(ask)?;
                Ok(Answer::Loader { image, loader })
            }
        },
        Stage::Kernel => {
            image_of(node)?;
            known_form(ask)?;
            Ok(Answer::Kernel { node })
        }
        Stage::Initramfs => {
            image_of(node)?;
            known_form(ask)?;
            Ok(Answer::Initramfs { node })
        }
        Stage::Image => {
            let name = image_of(node)?;
            known_form(ask)?;
            Ok(Answer::Image { name })
        }
        Stage::System => {
            known_form(ask)?;
            Ok(Answer::Overlay { node, kind: OverlayKind::System })
        }
        Stage::Runtime => {
            known_form(ask)?;
            Ok(Answer::Overlay { node, kind: OverlayKind::Runtime })
        }
    }
}

/// Only a script request may take a discoverable node: whoever asks for a kernel first has been told of one before, and
/// a browser's favicon is no node.
fn unknown<'a>(
    ask: &StageAsk,
    wwid: &str,
    list: &'a [Arc<Node>],
    directory: &Directory,
) -> Result<Answer<'a>, Refusal> {
    match ask.stage {
        Stage::Ipxe => {
            script_has_one_form(ask)?;
            match directory.claimable(list, &ask.asset_key) {
                Some(node) if directory::is_address(wwid) => Ok(Answer::Claim { node }),
                _ => Ok(UNCONFIGURED),
            }
        }
        Stage::Grub => Err(Refusal::UnknownToGrub(wwid.to_string())),
        _ => Err(Refusal::UnknownNode(wwid.to_string())),
    }
}

/// What an address gets that is nobody's.
pub const UNCONFIGURED: Answer<'static> = Answer::Script { node: None, template: "unconfigured" };

/// Decides about a file of `/files/`; the answer is the node that may have it. The order and the codes are others than
/// those of the stages.
///
/// # Errors
/// The reason why not.
pub fn files<'a>(ask: &Files, caller: &Caller, conf: &Conf, nodes: Nodes<'a>) -> Result<&'a Node, Refusal> {
    let wwid = caller.wwid.as_deref().ok_or(Refusal::FilesNoNode)?;
    let (list, directory) = nodes.ok_or(Refusal::NoDatabase)?;
    let node = directory.find(list, wwid).ok_or(Refusal::FilesUnknownNode)?;
    if conf.warewulf.secure_files && caller.source_port >= 1024 {
        return Err(Refusal::FilesHighPort(caller.source_port));
    }
    if !node.asset_key.is_empty() {
        if ask.asset_key.is_empty() {
            return Err(Refusal::FilesNoKey);
        }
        if ask.asset_key != node.asset_key {
            return Err(Refusal::FilesWrongKey);
        }
    }
    match &ask.render {
        Some(name) if !name.is_empty() && *name != node.id => Err(Refusal::FilesForAnother(name.clone())),
        _ => Ok(node),
    }
}

fn image_of(node: &Node) -> Result<&str, Refusal> {
    let name = &node.profile.image_name;
    if name.is_empty() { Err(Refusal::NoImageName) } else { safe(name) }
}

/// A name of nodes.conf that stays below the folder it is joined to.
fn safe(name: &str) -> Result<&str, Refusal> {
    let out = name.starts_with('/') || name.contains('\0') || name.split('/').any(|step| step == "..");
    if out { Err(Refusal::UnsafeName(name.to_string())) } else { Ok(name) }
}

fn script_has_one_form(ask: &StageAsk) -> Result<(), Refusal> {
    if ask.compress == Compress::No { Ok(()) } else { Err(Refusal::NotCompressed) }
}

fn known_form(ask: &StageAsk) -> Result<(), Refusal> {
    match &ask.compress {
        Compress::Other(word) => Err(Refusal::UnknownCompression(word.clone())),
        Compress::Zst if ask.stage != Stage::Image => Err(Refusal::UnknownCompression("zst".into())),
        Compress::No | Compress::Gz | Compress::Zst => Ok(()),
    }
}

#[cfg(test)]
mod tests;
