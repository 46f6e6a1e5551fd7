//! From a parsed head to a reply: asks `boot::http` what it comes to, and fetches that from disk, overlays or templates.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use boot::http::conditions::Identity;
use boot::http::loader::{self, Loader};
use boot::http::{Answer, Caller, Compress, Decision, OverlayKind, Refusal, Stage, StageAsk, Target, decide, target};
use model::Node;

use crate::build;
use crate::build::offer::Offer;
use crate::build::span::Span;
use crate::cluster::{Cluster, Shared};
use crate::image::kernels::{self, KernelError};
use crate::serve::http::head::{Head, Method};
use crate::serve::http::inside::{self, Missing};
use crate::serve::http::reply::{self, Reply};
use crate::serve::http::script::{self, Audience};
use crate::serve::http::{discover, files};
use crate::serve::neighbour;

/// A reply, and what the status book is to learn once it went out.
#[derive(Debug)]
pub struct Answered {
    pub reply: Reply,
    pub noted: Option<Noted>,
}

/// A line for the status book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    /// Empty: the line of the unknown addresses.
    pub node: String,
    pub stage: &'static str,
    pub sent: String,
    /// `sent` is a reason, not a file: it counts whatever becomes of the reply.
    pub refused: bool,
}

/// What was fetched, and the name under which it counts as sent.
enum Material {
    Text(Vec<u8>),
    File(File),
    Spans(Vec<Span>, Identity),
}

type Fetched = Result<(Material, String), Refusal>;

/// Answers one request.
pub async fn answer(head: &Head, peer: SocketAddr, tls: bool, shared: &Shared) -> Answered {
    if head.method == Method::Other {
        return plain(refused(&Refusal::MethodNotAllowed));
    }
    match target::read(&head.target) {
        Err(refusal) => plain(refused(&refusal)),
        Ok(Target::Redirect(to)) => plain(Reply::redirect(307, to)),
        Ok(Target::Nowhere | Target::Status) => plain(refused(&Refusal::Nowhere)),
        Ok(Target::BootFile(name)) => {
            let cluster = shared.fresh().await;
            plain(boot_file(head, &cluster, &name))
        }
        Ok(Target::Files(ask)) => {
            let caller = caller(ask.wwid.clone(), peer, tls).await;
            plain(files::answer(head.clone(), shared.fresh().await, ask, caller).await)
        }
        Ok(Target::Stage(ask)) => stage(head, ask, peer, tls, shared).await,
    }
}

async fn stage(head: &Head, ask: StageAsk, peer: SocketAddr, tls: bool, shared: &Shared) -> Answered {
    let caller = caller(ask.wwid.clone(), peer, tls).await;
    let cluster = discover::settled(shared, &ask, &caller).await;
    let over_ipv6 = peer.ip().to_canonical().is_ipv6();
    // Builds are waited for here, where waiting costs nothing, and never in the threads that everybody's files come from.
    let ready = match decide(&ask, &caller, &cluster).verdict {
        Ok(Answer::Overlay { node, kind }) => {
            if let Some(offer) = build::wait::at_hand(&cluster, node, kind_of(kind), ask.compress == Compress::Gz) {
                // Another thread would cost half as much again as the answer.
                return fetch(head, &ask, &caller, over_ipv6, &cluster, Ok(Some(offer)));
            }
            build::wait::overlay(shared, &cluster, node, kind_of(kind)).await.map(|_| None)
        }
        _ => Ok(None),
    };
    let head = head.clone();
    let fetch = move || fetch(&head, &ask, &caller, over_ipv6, &cluster, ready);
    let fetched = tokio::task::spawn_blocking(fetch).await;
    fetched.unwrap_or_else(|error| {
        tracing::error!("a request died: {error}");
        plain(refused(&Refusal::Broken("an error of ours; the log says more".into())))
    })
}

fn decide<'a>(ask: &StageAsk, caller: &Caller, cluster: &'a Cluster) -> Decision<'a> {
    decide::stage(ask, caller, &cluster.site.conf, cluster.known())
}

/// Whether there is an archive to send, where it is an overlay that is asked for, and that archive when it is at hand.
type Ready = Result<Option<Offer>, Refusal>;

/// Decides and carries out. Blocks.
fn fetch(head: &Head, ask: &StageAsk, caller: &Caller, over_ipv6: bool, cluster: &Cluster, ready: Ready) -> Answered {
    let decision = decide(ask, caller, cluster);
    let node = decision.node.map_or_else(String::new, |node| node.id.clone());
    let to = Audience { node: None, wwid: caller.wwid.as_deref().unwrap_or(""), over_ipv6 };
    let fetched = decision.verdict.and_then(|answer| material(&answer, ask, to, cluster, ready));
    let noted = |sent: String, refused| Noted { node, stage: ask.stage.name(), sent, refused };
    let refusal = match fetched {
        Ok((Material::Text(text), sent)) => {
            let reply = Reply::text(200, "text", text);
            return Answered { reply, noted: Some(noted(sent, false)) };
        }
        Ok((Material::File(file), sent)) => match Reply::file(head, file, reply::kind(&sent)) {
            Ok(reply) => return Answered { reply, noted: Some(noted(sent, false)) },
            Err(error) => Refusal::Broken(error.to_string()),
        },
        Ok((Material::Spans(spans, identity), sent)) => {
            let reply = Reply::spans(head, &spans, &identity, reply::kind(&sent));
            return Answered { reply, noted: Some(noted(sent, false)) };
        }
        Err(refusal) => refusal,
    };
    tracing::info!("{} for {:?}: {refusal}", ask.stage.name(), caller.wwid.as_deref().unwrap_or("nobody"));
    let noted = refusal.mark().map(|mark| noted(mark.to_string(), true));
    Answered { reply: refused(&refusal), noted }
}

fn material(answer: &Answer<'_>, ask: &StageAsk, to: Audience<'_>, cluster: &Cluster, ready: Ready) -> Fetched {
    let paths = &cluster.site.conf.paths;
    match answer {
        // Still claimable after the attempt to claim: it failed, and the log says why.
        Answer::Claim { .. } => match decide::UNCONFIGURED {
            Answer::Script { template, .. } => ipxe(cluster, template, to),
            _ => Err(Refusal::Nowhere),
        },
        Answer::Script { node, template } => ipxe(cluster, template, Audience { node: *node, ..to }),
        Answer::GrubConfig { node } => grub(cluster, ask.stage, Audience { node: Some(*node), ..to }),
        Answer::Kernel { node } => kernel(cluster, node, ask),
        Answer::Initramfs { node } => initramfs(cluster, node, ask),
        Answer::Image { name } => published(&paths.image_file(name), &ask.compress),
        Answer::Overlay { node, kind } => ready.and_then(|offer| overlay(cluster, node, *kind, ask, offer)),
        Answer::Loader { image, loader } => boot_loader(&paths.image_root(image), *loader, &ask.compress),
    }
}

fn ipxe(cluster: &Cluster, template: &str, audience: Audience<'_>) -> Fetched {
    let name = format!("{template}.ipxe");
    let text = script::render(cluster, "ipxe", &name, audience)?;
    Ok((Material::Text(text), base_name(Path::new(&name))))
}

fn grub(cluster: &Cluster, stage: Stage, audience: Audience<'_>) -> Fetched {
    let name = "grub.cfg.ww";
    let text = script::render(cluster, "grub", name, audience).map_err(|refusal| match refusal {
        Refusal::NoScript(name) if stage == Stage::Efiboot => Refusal::NoGrubConfig(name),
        other => other,
    })?;
    Ok((Material::Text(text), name.to_string()))
}

/// A file that was published whole, or the packed one beside it.
fn published(path: &Path, compress: &Compress) -> Fetched {
    let open = |path: &Path| {
        let file = File::open(path).ok()?;
        file.metadata().ok()?.is_file().then_some((Material::File(file), base_name(path)))
    };
    let name = || Refusal::NotBuilt(path.display().to_string());
    match compress {
        Compress::Gz => {
            let missing = || if path.is_file() { Refusal::NotCompressed } else { name() };
            open(&with_gz(path)).ok_or_else(missing)
        }
        Compress::Zst => {
            let missing = || if path.is_file() { Refusal::UnknownCompression("zst".into()) } else { name() };
            // It lies beside under a name that begins with a dot, as all that stock does not know; nobody else need see that.
            let packed = format!("{}.zst", base_name(path));
            let (file, _) = open(&path.with_file_name(format!(".{packed}"))).ok_or_else(missing)?;
            Ok((file, packed))
        }
        Compress::No | Compress::Other(_) => open(path).ok_or_else(name),
    }
}

/// The first of the loader's places that holds a file.
fn boot_loader(root: &Path, loader: Loader, compress: &Compress) -> Fetched {
    for place in loader::places(loader) {
        for path in expand(root, place) {
            if let Ok(file) = inside::open(root, &path) {
                return match compress {
                    Compress::Gz => match inside::open(root, &with_gz(&path)) {
                        Ok(file) => Ok((Material::File(file), base_name(&with_gz(&path)))),
                        Err(_) => Err(Refusal::NotCompressed),
                    },
                    Compress::No | Compress::Zst | Compress::Other(_) => Ok((Material::File(file), base_name(&path))),
                };
            }
        }
    }
    Err(Refusal::NoLoader)
}

/// A place with a `*` for a folder, as all the places that it stands for, by name.
fn expand(root: &Path, place: &str) -> Vec<PathBuf> {
    let Some((before, after)) = place.split_once("*/") else { return vec![PathBuf::from(place)] };
    let mut names: Vec<_> = std::fs::read_dir(root.join(before))
        .map(|entries| entries.filter_map(Result::ok).map(|entry| entry.file_name()).collect())
        .unwrap_or_default();
    names.sort();
    names.into_iter().map(|name| Path::new(before).join(name).join(after)).collect()
}

/// A file that the image or the site filled in.
fn from_image(root: &Path, relative: &Path, compress: &Compress) -> Fetched {
    let name = relative.display();
    let plain = inside::open(root, relative);
    let file = match (plain, compress) {
        (Ok(_), Compress::Gz) => {
            let packed = with_gz(relative);
            let file = inside::open(root, &packed).map_err(|_| Refusal::NotCompressed)?;
            return Ok((Material::File(file), base_name(&packed)));
        }
        (Ok(file), _) => file,
        (Err(Missing::LeadsOut), _) => return Err(Refusal::LeadsOut(name.to_string())),
        (Err(Missing::NotThere), _) => return Err(Refusal::NoKernel(format!("the image has no file {name}"))),
        (Err(Missing::DeadLink), _) => {
            return Err(Refusal::KernelUnreadable(format!("{name} is a link to nothing in the image")));
        }
        (Err(Missing::Other(error)), _) => return Err(Refusal::KernelUnreadable(format!("{name}: {error}"))),
    };
    Ok((Material::File(file), base_name(relative)))
}

/// A boot loader for firmware that asks by HTTP: those that TFTP serves, by the same names, and no others.
fn boot_file(head: &Head, cluster: &Cluster, name: &str) -> Reply {
    let places = boot::tftp::ipxe_program(name, &cluster.site.conf);
    match places.into_iter().find_map(|path| File::open(path).ok()) {
        Some(open) => Reply::file(head, open, reply::kind(name))
            .unwrap_or_else(|error| refused(&Refusal::Broken(error.to_string()))),
        None => refused(&Refusal::NoBootFile),
    }
}

async fn caller(named: Option<String>, peer: SocketAddr, tls: bool) -> Caller {
    let wwid = match named {
        Some(wwid) => Some(wwid),
        None => neighbour::address_of(peer.ip()).await.as_deref().and_then(target::wwid),
    };
    Caller { wwid, source_port: peer.port(), tls }
}

/// The reply to a refusal.
pub fn refused(refusal: &Refusal) -> Reply {
    let mut reply = match refusal {
        // As if there were no such thing, byte for byte: some clients take any body for the file.
        Refusal::UnknownCompression(_) | Refusal::NotCompressed => Reply::empty(refusal.code()),
        refusal => Reply::line(refusal.code(), &refusal.to_string()),
    };
    match refusal.code() {
        405 => reply.headers.push(("Allow", "GET, HEAD".into())),
        503 => reply.headers.push(("Retry-After", "5".into())),
        _ => {}
    }
    reply
}

fn plain(reply: Reply) -> Answered {
    Answered { reply, noted: None }
}

fn with_gz(path: &Path) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(".gz");
    path.into()
}

/// The last part of a path, as status and types want it.
pub fn base_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn kernel(cluster: &Cluster, node: &Node, ask: &StageAsk) -> Fetched {
    let root = cluster.site.conf.paths.image_root(&node.profile.image_name);
    match kernels::find(&root, &node.profile.kernel.version) {
        Ok(found) => from_image(&root, &found.inside, &ask.compress),
        // Looked at once more, to tell a link that leads out from one that leads nowhere.
        Err(KernelError::DeadLink { inside, .. }) => from_image(&root, &inside, &ask.compress),
        Err(error) => Err(Refusal::NoKernel(error.to_string())),
    }
}

fn initramfs(cluster: &Cluster, node: &Node, ask: &StageAsk) -> Fetched {
    let root = cluster.site.conf.paths.image_root(&node.profile.image_name);
    let found =
        kernels::find(&root, &node.profile.kernel.version).map_err(|error| Refusal::NoInitramfs(error.to_string()))?;
    let path = kernels::initramfs(&root, &found.release).ok_or_else(|| {
        Refusal::NoInitramfs(format!("the image has no initramfs for {}; build one in it", found.inside.display()))
    })?;
    published(&path, &ask.compress)
}

fn kind_of(kind: OverlayKind) -> build::OverlayKind {
    match kind {
        OverlayKind::System => build::OverlayKind::System,
        OverlayKind::Runtime => build::OverlayKind::Runtime,
    }
}

fn overlay(cluster: &Cluster, node: &Node, kind: OverlayKind, ask: &StageAsk, at_hand: Option<Offer>) -> Fetched {
    let offered = match at_hand {
        Some(offer) => Ok(offer),
        None => build::offered(cluster, node, kind_of(kind), ask.compress == Compress::Gz),
    };
    match offered.map_err(|error| Refusal::OverlayFailed(error.to_string()))? {
        // Stock knows gzip only, and so do those who made what lies there.
        _ if ask.compress == Compress::Zst => Err(Refusal::UnknownCompression("zst".into())),
        Offer::Known { spans, etag, modified, name } => Ok((Material::Spans(spans, Identity { etag, modified }), name)),
        Offer::Foreign { file, name } => Ok((Material::File(file), name)),
        Offer::NotPacked => Err(Refusal::NotCompressed),
        Offer::Nothing(path) => Err(Refusal::NotBuilt(path.display().to_string())),
    }
}
