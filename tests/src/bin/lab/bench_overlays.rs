//! `cargo xtask bench overlays`: nodes a second until their overlays are ready to be served, with the lists of a fresh
//! installation, as recipes and as files, beside one node at a time and plain gzip. Then what an edit costs a daemon with
//! ten thousand nodes, and what a hosts template costs that is another one for each node.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::clock;
use crate::figures::{conditions, percentile};
use crate::load::{self, Manner};
use crate::site::{PORT, Site, mac, name};
use crate::wire::Server;

const SIZES: [u32; 4] = [1, 100, 1_000, 10_000];
/// Nodes of the site whose hosts template is each node's own: every one renders all of them.
const SQUARE: u32 = 1_000;
/// Nodes that are built one at a time, for comparison.
const SINGLE: u32 = 10;
const AT_ONCE: usize = 32;

/// Runs all and prints tables. A number says how many nodes at most, 10,000 without; with the word `edits` only what an
/// edit costs is measured.
///
/// # Errors
/// When something cannot be set up, or a build or a request fails.
pub fn run(words: &[&str]) -> anyhow::Result<()> {
    let (only, words) = words.strip_prefix(&["edits"]).map_or((false, words), |rest| (true, rest));
    let most = words.first().map_or(Ok(10_000), |word| word.parse()).context("how many nodes at most")?;
    if only {
        return after_edits(most);
    }
    println!("==> wwctl overlay build, nothing built before, default lists; {}", conditions());
    println!(
        "| nodes | as | wall s | CPU s | nodes/s | CPU ms a node | peak MiB | on disk MB |\n|---|---|---|---|---|---|---|---|"
    );
    for count in SIZES.into_iter().filter(|count| *count <= most) {
        for form in [Form::Recipes, Form::Files] {
            println!("{}", fresh(count, form)?);
        }
    }
    println!("\n==> the same one node at a time, {SINGLE} of 1000 nodes, and gzip of what came out; {}", conditions());
    singles()?;
    after_edits(most)?;
    println!("\n==> a site's hosts template that also reads the node, {} nodes; {}", SQUARE.min(most), conditions());
    square(SQUARE.min(most))?;
    println!("{}", conditions());
    Ok(())
}

#[derive(Clone, Copy, PartialEq)]
enum Form {
    Recipes,
    Files,
}

/// What one build took.
struct Built {
    wall: f64,
    cpu: f64,
    peak: f64,
}

impl Built {
    fn line(&self, count: u32, form: &str, disk: u64) -> String {
        let Built { wall, cpu, peak } = self;
        let nodes = f64::from(count);
        format!(
            "| {count} | {form} | {wall:.2} | {cpu:.2} | {:.0} | {:.2} | {peak:.0} | {:.1} |",
            nodes / wall,
            cpu / nodes * 1e3,
            disk as f64 / 1e6
        )
    }
}

/// A first build of all nodes.
fn fresh(count: u32, form: Form) -> anyhow::Result<String> {
    let site = Site::lay()?;
    if form == Form::Files {
        // Two archives of a node, plain and packed.
        let need = u64::from(count) * (9 << 19);
        let free = nix::sys::statvfs::statvfs(&site.at("provision"))?;
        let free = free.blocks_available() * free.fragment_size();
        if free < need {
            return Ok(format!("| {count} | files | not measured: {} GB would not fit | | | | | |", need >> 30));
        }
    }
    site.nodes(count)?;
    site.materialize(form == Form::Files)?;
    let built = build(&site, &["overlay", "build"])?;
    let word = if form == Form::Files { "files" } else { "recipes" };
    Ok(built.line(count, word, disk(&site.at("provision"))?))
}

fn build(site: &Site, words: &[&str]) -> anyhow::Result<Built> {
    let (before, began) = (clock::children()?, Instant::now());
    let mut process = Server::start(site.command(words).stdout(Stdio::null()))?;
    let mut peak: f64 = 0.0;
    let status = loop {
        peak = peak.max(process.peak());
        if let Some(status) = process.ended()? {
            break status;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    ensure!(status.success(), "wwctl {words:?} ended with {status}");
    Ok(Built { wall: began.elapsed().as_secs_f64(), cpu: clock::children()? - before, peak })
}

fn singles() -> anyhow::Result<()> {
    let site = Site::lay()?;
    site.nodes(1_000)?;
    site.materialize(true)?;
    let (before, began) = (clock::children()?, Instant::now());
    for serial in 1..=SINGLE {
        build(&site, &["overlay", "build", &name(serial)])?;
    }
    let nodes = f64::from(SINGLE);
    let (wall, cpu) = (began.elapsed().as_secs_f64() / nodes, (clock::children()? - before) / nodes);
    println!("one at a time, nothing shared: {:.1} nodes/s, {:.1} CPU ms a node", 1.0 / wall, cpu * 1e3);
    let archive = site.at(&format!("provision/overlays/{}/__SYSTEM__.img", name(1)));
    let before = clock::children()?;
    let status = Command::new("gzip").arg("-c").arg(&archive).stdout(Stdio::null()).status().context("gzip")?;
    ensure!(status.success(), "gzip ended with {status}");
    println!("gzip of one system archive alone: {:.1} CPU ms", (clock::children()? - before) * 1e3);
    Ok(())
}

/// What of the store tells builds and contents apart: recipes that were written, and the content that each names.
#[derive(Default)]
struct Store {
    recipes: BTreeMap<String, (u64, String)>,
    pieces: usize,
}

impl Store {
    fn look(site: &Site) -> anyhow::Result<Store> {
        let mut store = Store::default();
        let folder = site.at("provision/.overlays");
        let content = |recipe: &[u8]| {
            let beginning = String::from_utf8_lossy(recipe.get(..200).unwrap_or(recipe)).into_owned();
            beginning.lines().nth(1).unwrap_or_default().to_owned()
        };
        for entry in fs::read_dir(folder.join("shelves"))? {
            let entry = entry?;
            let (shelf, inode) = (fs::read(entry.path())?, entry.metadata()?.ino());
            for (name, recipe) in recipes_on(&shelf) {
                store.recipes.insert(name, (inode, content(recipe)));
            }
        }
        // What lies in a file of its own counts before the shelf.
        for entry in fs::read_dir(folder.join("recipes"))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            store.recipes.insert(name, (entry.metadata()?.ino(), content(&fs::read(entry.path())?)));
        }
        store.pieces = fs::read_dir(folder.join("pieces"))?.count();
        Ok(store)
    }

    /// How many recipes were written since, and how many archives are others.
    fn since(&self, before: &Store) -> (usize, usize) {
        let count = |other: fn(&(u64, String), &(u64, String)) -> bool| {
            let written =
                |(name, is): &(&String, &(u64, String))| before.recipes.get(*name).is_none_or(|was| other(is, was));
            self.recipes.iter().filter(written).count()
        };
        (count(|is, was| is.0 != was.0), count(|is, was| is.1 != was.1))
    }
}

fn after_edits(many: u32) -> anyhow::Result<()> {
    println!(
        "\n==> edits among {many} nodes, daemon up, {AT_ONCE} at once ask for /system and /runtime; {}",
        conditions()
    );
    edits(many)
}

/// The recipes of a shelf by name; nothing where it is not what it should be.
fn recipes_on(shelf: &[u8]) -> Vec<(String, &[u8])> {
    let Some(first) = shelf.iter().position(|byte| *byte == b'\n') else { return Vec::new() };
    let words = String::from_utf8_lossy(shelf.get(..first).unwrap_or_default()).into_owned();
    let index: usize = words.split(' ').nth(3).and_then(|bytes| bytes.parse().ok()).unwrap_or(0);
    let begin = first + 1 + index;
    let lines = String::from_utf8_lossy(shelf.get(first + 1..begin).unwrap_or_default()).into_owned();
    let one = |line: &str| {
        let mut words = line.strip_prefix("recipe ")?.splitn(3, ' ');
        let at: usize = begin + words.next()?.parse::<usize>().ok()?;
        let end = at + words.next()?.parse::<usize>().ok()?;
        Some((words.next()?.to_owned(), shelf.get(at..end)?))
    };
    lines.lines().filter_map(one).collect()
}

fn edits(many: u32) -> anyhow::Result<()> {
    let site = Site::lay()?;
    site.nodes(many)?;
    site.materialize(false)?;
    build(&site, &["overlay", "build"])?;
    let server = site.daemon()?;
    let start = server.seconds()?;
    println!(
        "| what | asked for | edited node fresh after s | all asked, wall s | CPU s | us a question | p50 ms | p99 ms | recipes written | archives changed | pieces | MiB |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    let (both, one) = (["system", "runtime"], ["runtime"]);
    ask(&site, &server, many, "nothing", &both, None)?;
    ask(&site, &server, many, "nothing", &both, None)?;
    ask(&site, &server, many, "nothing", &one, None)?;
    for (what, word, value) in [("a comment", "--comment", "edited"), ("an address", "--ipaddr", "10.200.1.1")] {
        let edit = ["node", "set", &name(many / 2), word, value, "-y"];
        ask(&site, &server, many, what, &both, Some(&edit))?;
        ask(&site, &server, many, "nothing", &one, None)?;
    }
    println!(
        "the daemon took {start:.2} CPU s to start, weighs {:.0} MiB now and {:.0} at most",
        server.resident(),
        server.peak()
    );
    Ok(())
}

/// One edit: the edited node asks at once, then everybody.
fn ask(
    site: &Site,
    server: &Server,
    many: u32,
    title: &str,
    stages: &[&str],
    edit: Option<&[&str]>,
) -> anyhow::Result<()> {
    let before = Store::look(site)?;
    let cpu = server.seconds()?;
    if let Some(words) = edit {
        site.wwctl(words)?;
    }
    let paths = |serial: u32| {
        let one = |stage: &&str| format!("/{stage}/{}?assetkey=&compress=gz", mac(serial));
        stages.iter().map(one).collect::<Vec<String>>()
    };
    let first = load::play(&site.net, &Manner::plain(PORT, 1), vec![paths(many / 2)])?.whole()?;
    let manner = Manner { drop: true, keep: true, ..Manner::plain(PORT, AT_ONCE) };
    let all = load::play(&site.net, &manner, (1..=many).map(paths).collect())?.whole()?;
    let cpu = server.seconds()? - cpu;
    let mut times: Vec<u32> = all.steps.into_iter().flatten().collect();
    let after = Store::look(site)?;
    let (builds, others) = after.since(&before);
    println!(
        "| {title} | {} | {:.2} | {:.1} | {cpu:.2} | {:.0} | {:.1} | {:.1} | {builds} | {others} | {} | {:.0} |",
        stages.join(", "),
        first.wall,
        all.wall,
        cpu / times.len().max(1) as f64 * 1e6,
        f64::from(percentile(&mut times, 50)) / 1e3,
        f64::from(percentile(&mut times, 99)) / 1e3,
        after.pieces,
        server.resident()
    );
    Ok(())
}

fn square(count: u32) -> anyhow::Result<()> {
    let site = Site::lay()?;
    site.nodes(count)?;
    site.materialize(false)?;
    let shipped = tests::place::dist()?.join("share/warewulf/overlays/hosts/rootfs/etc/hosts.ww");
    let text = fs::read_to_string(&shipped).with_context(|| shipped.display().to_string())?;
    let own = site.at("overlays/hosts/rootfs/etc");
    fs::create_dir_all(&own)?;
    fs::write(own.join("hosts.ww"), format!("{text}# these are the hosts that {{{{.Id}}}} knows\n"))?;
    let built = build(&site, &["overlay", "build"])?;
    println!(
        "| nodes | as | wall s | CPU s | nodes/s | CPU ms a node | peak MiB | on disk MB |\n|---|---|---|---|---|---|---|---|"
    );
    println!("{}", built.line(count, "recipes", disk(&site.at("provision"))?));
    Ok(())
}

/// Bytes that files below a folder take.
fn disk(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let data = entry.metadata()?;
        bytes += if data.is_dir() { disk(&entry.path())? } else { data.blocks() * 512 };
    }
    Ok(bytes)
}
