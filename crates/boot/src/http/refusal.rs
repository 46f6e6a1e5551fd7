//! Why a request gets nothing: each reason with its status code and what the status book says of it.

/// A reason to send an error. The wording is for the log and for a person with curl.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the request target is not a path, or an escape in it is broken")]
    BadTarget,
    #[error("no such stage; /provision takes ipxe, kernel, image, initramfs, system, runtime, grub")]
    BadStage,
    #[error("only GET and HEAD are answered here")]
    MethodNotAllowed,
    #[error("no such page")]
    Nowhere,
    #[error("runtime overlays go out over TLS only (warewulf.conf, warewulf: tls)")]
    NeedsTls,
    #[error("no wwid in path or query, and the peer's address is not in the neighbour table")]
    NoWwid,
    #[error("source port {0} is not below 1024 (warewulf.conf, warewulf: secure)")]
    HighPort(u16),
    #[error("nodes.conf could not be read so far; the log says why")]
    NoDatabase,
    #[error("no node has the address {0}")]
    UnknownNode(String),
    /// As [`Refusal::UnknownNode`] where stock says 404 and notes nothing.
    #[error("no node has the address {0}")]
    UnknownToGrub(String),
    #[error("the asset key differs from the node's")]
    WrongAssetKey,
    #[error("the node has no image name")]
    NoImageName,
    #[error("the name {0:?} in nodes.conf leads out of its folder")]
    UnsafeName(String),
    #[error("{0}")]
    NoKernel(String),
    /// A kernel that is named but cannot be opened.
    #[error("{0}")]
    KernelUnreadable(String),
    /// In an image or among the files.
    #[error("{0} is a link that leads out")]
    LeadsOut(String),
    #[error("{0}")]
    NoInitramfs(String),
    #[error("{0} was never built")]
    NotBuilt(String),
    #[error("{0}")]
    OverlayFailed(String),
    /// There is no earlier one to send meanwhile.
    #[error("{0}")]
    OverlayNotReady(String),
    #[error("there is no template {0}")]
    NoScript(String),
    /// As [`Refusal::NoScript`] for `/efiboot/grub.cfg`, where stock notes nothing.
    #[error("there is no template {0}")]
    NoGrubConfig(String),
    #[error("{0}")]
    ScriptFailed(String),
    #[error("there is no compressed form beside it")]
    NotCompressed,
    #[error("there is no form for compress={0}; gz is known, and zst for images that were built here")]
    UnknownCompression(String),
    #[error("the image holds no such boot loader")]
    NoLoader,
    #[error("there is no such boot file")]
    NoBootFile,
    #[error("files: no node was named, and the peer's address is not in the neighbour table")]
    FilesNoNode,
    #[error("files: unknown node")]
    FilesUnknownNode,
    #[error("files: source port {0} is not below 1024 (warewulf.conf, warewulf: secure files)")]
    FilesHighPort(u16),
    #[error("files: the node needs an asset key")]
    FilesNoKey,
    #[error("files: wrong asset key")]
    FilesWrongKey,
    #[error("files: render={0} is not the node that asks")]
    FilesForAnother(String),
    #[error("files: {0} is no template: what is rendered ends in .ww")]
    FilesNoTemplate(String),
    #[error("there is no such file")]
    NoFile,
    #[error("{0}")]
    Broken(String),
}

impl Refusal {
    /// The HTTP status code.
    pub fn code(&self) -> u16 {
        use Refusal::*;
        match self {
            BadTarget | BadStage | FilesForAnother(_) | FilesNoTemplate(_) | NoWwid | UnknownNode(_) | NoImageName
            | UnsafeName(_) | NoKernel(_) | NoInitramfs(_) => 400,
            HighPort(_) | WrongAssetKey | FilesNoNode | FilesUnknownNode | FilesNoKey => 401,
            NeedsTls | FilesHighPort(_) | FilesWrongKey => 403,
            Nowhere
            | UnknownToGrub(_)
            | LeadsOut(_)
            | NotBuilt(_)
            | OverlayFailed(_)
            | NoScript(_)
            | NoGrubConfig(_)
            | NotCompressed
            | UnknownCompression(_)
            | NoLoader
            | NoBootFile
            | NoFile => 404,
            MethodNotAllowed => 405,
            ScriptFailed(_) | KernelUnreadable(_) | Broken(_) => 500,
            NoDatabase | OverlayNotReady(_) => 503,
        }
    }

    /// What the status book says in place of a file's name; `None`: the book is left alone.
    pub fn mark(&self) -> Option<&'static str> {
        use Refusal::*;
        match self {
            WrongAssetKey => Some("BAD_ASSET"),
            UnknownNode(_) | NoImageName | UnsafeName(_) | NoKernel(_) | NoInitramfs(_) => Some("BAD_REQUEST"),
            LeadsOut(_) | NotBuilt(_) | OverlayFailed(_) | NoScript(_) | UnknownCompression(_) => Some("NOT_FOUND"),
            ScriptFailed(_) => Some("ERROR"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_by_port_or_tls_leave_the_book_alone() {
        assert_eq!((Refusal::HighPort(1024).code(), Refusal::HighPort(1024).mark()), (401, None));
        assert_eq!((Refusal::NeedsTls.code(), Refusal::NeedsTls.mark()), (403, None));
    }

    #[test]
    fn a_failed_script_is_an_error_that_somebody_learns_of() {
        let failed = Refusal::ScriptFailed("default.ipxe:3".into());
        assert_eq!((failed.code(), failed.mark()), (500, Some("ERROR")));
    }
}
