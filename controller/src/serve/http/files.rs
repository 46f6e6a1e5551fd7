//! `/files/`: the site's own files for its nodes, as they are or rendered.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use boot::http::{Caller, Files, Refusal, decide};
use render::overlay::Script;

use crate::build::Workshop;
use crate::cluster::Cluster;
use crate::serve::http::answer::{base_name, refused};
use crate::serve::http::head::Head;
use crate::serve::http::inside::{self, Missing};
use crate::serve::http::reply::{self, Reply};

/// Far longer than a template that a person wrote.
const LONGEST: u64 = 4 << 20;

/// Answers a request below `/files/`. Rendering happens where it holds nobody up.
pub async fn answer(head: Head, cluster: Arc<Cluster>, ask: Files, caller: Caller) -> Reply {
    let answered = if ask.render.is_some() {
        let works = Arc::clone(&cluster.works);
        let done = works.aside(move || rendered(&cluster, &ask, &caller)).await;
        done.unwrap_or_else(|error| Err(Refusal::Broken(error.to_string())))
    } else {
        as_it_is(&head, &cluster, &ask, &caller)
    };
    answered.unwrap_or_else(|refusal| {
        tracing::info!("files: {refusal}");
        refused(&refusal)
    })
}

fn as_it_is(head: &Head, cluster: &Cluster, ask: &Files, caller: &Caller) -> Result<Reply, Refusal> {
    decide::files(ask, caller, &cluster.site.conf, cluster.known())?;
    // A file with a slash behind it is still found, and sent to its name.
    let path = Path::new(ask.path.trim_end_matches('/'));
    let file = inside::open(&cluster.site.conf.paths.wwfilesdir, path).map_err(why)?;
    if ask.path.ends_with('/') {
        let query = ask.query.as_deref().map_or_else(String::new, |query| format!("?{query}"));
        return Ok(Reply::redirect(301, format!("../{}{query}", base_name(path))));
    }
    Reply::file(head, file, reply::kind(&base_name(path))).map_err(|error| Refusal::Broken(error.to_string()))
}

/// What the template writes before its first `file`; an `abort` leaves what came before it. The name may be said without
/// its `.ww`; a plain file of that name does not count, and alone is refused as what it is.
fn rendered(cluster: &Cluster, ask: &Files, caller: &Caller) -> Result<Reply, Refusal> {
    let node = decide::files(ask, caller, &cluster.site.conf, cluster.known())?;
    let name = ask.path.strip_suffix(".ww").unwrap_or(&ask.path);
    let root = &cluster.site.conf.paths.wwfilesdir;
    let path = format!("{name}.ww");
    let mut text = Vec::new();
    let file = inside::open(root, Path::new(&path)).map_err(|missing| {
        let plain = !ask.path.ends_with(".ww") && inside::open(root, Path::new(&ask.path)).is_ok();
        if plain { Refusal::FilesNoTemplate(ask.path.clone()) } else { why(missing) }
    })?;
    file.take(LONGEST).read_to_end(&mut text).map_err(|error| Refusal::Broken(error.to_string()))?;
    let workshop = Workshop::of(cluster);
    let node = workshop.node(&node.id).map_err(|error| Refusal::Broken(error.to_string()))?;
    let script = Script::new(&root.join(&path).to_string_lossy(), name.as_bytes(), text.into());
    let rendered = workshop.job(&node).render(&"files".into(), &script);
    let output = rendered.map_err(|error| Refusal::Broken(error.to_string()))?.output;
    let text = output.files.first().map_or(&[][..], |file| &file.content);
    Ok(Reply::text(200, "application/octet-stream", text))
}

fn why(missing: Missing) -> Refusal {
    match missing {
        Missing::Other(error) => Refusal::Broken(error.to_string()),
        Missing::NotThere | Missing::DeadLink | Missing::LeadsOut => Refusal::NoFile,
    }
}
