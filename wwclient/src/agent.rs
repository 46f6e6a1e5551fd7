//! The agent: waits until the controller can be reached, asks, applies, waits for its beat. One thread.
//!
//! Whatever goes wrong is said once and tried again; only what can never become right (no wwid, a second agent) ends
//! it.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep, sleep_until};

use crate::apply::{Applied, What, apply, drifted};
use crate::fetch::{Answer, Client, unpack};
use crate::log::{self, Trouble};
use crate::manifest::{Manifest, Validators};
use crate::net::{self, Missing, Reach};
use crate::presence;
use crate::rhythm::Rhythm;
use crate::settings::Settings;
use crate::steps::scripts::program;
use crate::tree::{Tree, shown};

/// A person who started it live by hand has this long to think again.
const SECOND_THOUGHTS: Duration = Duration::from_secs(5);
/// A server may ask for patience, but not for ever.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// The agent of one target.
#[derive(Debug)]
pub struct Agent {
    settings: Settings,
    rhythm: Rhythm,
    began: Instant,
    client: Client,
    tree: Tree,
    manifest: Manifest,
    signals: Signals,
    trouble: Trouble,
    unplaced: Trouble,
    failures: u32,
    /// Told to ask now while it was asking: what it gets may be older than that.
    again: bool,
}

#[derive(Debug)]
struct Signals {
    refresh: Signal,
    terminate: Signal,
    interrupt: Signal,
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
enum Wake {
    Due,
    Refresh,
    Leave,
}

/// How a heartbeat ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
enum Beat {
    Well,
    /// The server answered, and not with an overlay; it may have said when to come again.
    Refused(Option<Duration>),
    /// Nobody answered, or what came could not be used.
    Failed,
    Leave,
}

impl Agent {
    /// Within the event loop: signals and timers are its.
    pub fn new(settings: Settings) -> anyhow::Result<Agent> {
        let rhythm = Rhythm::new(settings.interval, &settings.wwid);
        let turn = u16::try_from(rhythm.next(Duration::ZERO).as_millis() % 0xffff).unwrap_or(0);
        Ok(Agent {
            rhythm,
            began: Instant::now(),
            client: Client::new(turn).context("the HTTP client")?,
            tree: Tree::open(&settings.target).with_context(|| format!("{}", settings.target.display()))?,
            manifest: Manifest::load(&settings.manifest),
            signals: Signals {
                refresh: signal(SignalKind::hangup())?,
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
            },
            trouble: Trouble::default(),
            unplaced: Trouble::default(),
            failures: 0,
            again: false,
            settings,
        })
    }

    /// Beats until it is told to leave, or once; `load` reads the settings again.
    pub async fn live(mut self, once: bool, load: &dyn Fn() -> anyhow::Result<Settings>) -> anyhow::Result<ExitCode> {
        presence::ready();
        log::debug(format_args!("asking {} every {} s", self.settings.url(), self.settings.interval.as_secs()));
        loop {
            if !once && self.network().await == Wake::Leave {
                return Ok(ExitCode::SUCCESS);
            }
            let beat = self.beat().await;
            self.failures = if beat == Beat::Failed { self.failures + 1 } else { 0 };
            if beat == Beat::Leave {
                return Ok(ExitCode::SUCCESS);
            }
            if once {
                return Ok(if beat == Beat::Well { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
            match self.pause(beat).await {
                Wake::Leave => return Ok(ExitCode::SUCCESS),
                Wake::Due => {}
                Wake::Refresh => self.reload(load),
            }
        }
    }

    /// Returns when a packet to the server would leave this machine: by events, never by looking again after a while.
    async fn network(&mut self) -> Wake {
        if self.failures == 0 && self.began.elapsed() > self.settings.interval {
            // The last heartbeat went well; the next will tell if that changed.
            return Wake::Due;
        }
        let Ok(server) = self.settings.server.parse() else { return Wake::Due };
        let watch = match net::Watch::open() {
            Ok(watch) => watch,
            Err(e) => {
                log::say(format_args!("network events cannot be heard ({e}); asking without waiting for them"));
                return Wake::Due;
            }
        };
        let mut waited = Trouble::default();
        loop {
            match net::reach(server) {
                Ok(Reach::Ready(device)) => {
                    waited.over(format_args!("{server} can be reached by {device}"));
                    return Wake::Due;
                }
                Ok(Reach::NotYet(missing)) => waited.is(waiting(&missing)),
                Err(e) => {
                    log::say(format_args!("rtnetlink: {e}"));
                    return Wake::Due;
                }
            }
            let woken = tokio::select! {
                changed = watch.change() => changed.is_ok().then_some(()),
                wake = self.signals.any() => {
                    if wake == Wake::Leave {
                        return wake;
                    }
                    Some(())
                }
                () = pulse() => Some(()),
            };
            if woken.is_none() {
                return Wake::Due;
            }
        }
    }

    /// One heartbeat: asks, and applies what came.
    async fn beat(&mut self) -> Beat {
        let known = self.known();
        match self.ask(&known).await {
            Ok(Answer::Unchanged) if known.is_empty() => {
                self.trouble.is("the server says that nothing changed, but was not asked so".to_owned());
                Beat::Failed
            }
            Ok(Answer::Unchanged) => {
                self.well();
                let touched = drifted(&self.tree, &self.manifest);
                let Some(first) = touched.first() else { return Beat::Well };
                log::debug(format_args!("{} was changed here (of {}): put right", shown(first), touched.len()));
                // The overlay is not kept in memory for this.
                match self.ask(&Validators::default()).await {
                    Ok(answer) => self.take(answer).await,
                    Err(beat) => beat,
                }
            }
            Ok(answer) => self.take(answer).await,
            Err(beat) => beat,
        }
    }

    async fn take(&mut self, answer: Answer) -> Beat {
        match answer {
            Answer::Unchanged => Beat::Failed,
            Answer::Refused { status, after } => {
                self.trouble.is(refusal(status, &self.settings));
                presence::status(&format!("the controller answered {status}"));
                Beat::Refused(after)
            }
            Answer::Overlay { body, validators } => match unpack(&body) {
                Ok(entries) => {
                    drop(body);
                    self.well();
                    if self.manifest.records.is_empty() && self.settings.live && std::io::stdin().is_terminal() {
                        log::say(format_args!("in {} s / will change", SECOND_THOUGHTS.as_secs()));
                        tokio::select! {
                            () = sleep(SECOND_THOUGHTS) => {}
                            wake = self.signals.any() => if wake == Wake::Leave { return Beat::Leave },
                        }
                    }
                    self.apply(&entries, validators);
                    Beat::Well
                }
                Err(e) => {
                    self.trouble
                        .is(format!("what {} sent is no overlay, nothing was changed: {e}", self.settings.server));
                    Beat::Failed
                }
            },
        }
    }

    /// Asks while the service manager hears that the agent lives, and leaves in the middle when told to.
    async fn ask(&mut self, known: &Validators) -> Result<Answer, Beat> {
        let fetched = {
            let fetch = self.client.runtime(&self.settings, known);
            tokio::pin!(fetch);
            loop {
                tokio::select! {
                    fetched = &mut fetch => break fetched,
                    wake = self.signals.any() => match wake {
                        Wake::Leave => return Err(Beat::Leave),
                        Wake::Refresh | Wake::Due => self.again = true,
                    },
                    () = pulse() => {}
                }
            }
        };
        presence::alive();
        fetched.map_err(|e| {
            self.trouble.is(e.to_string());
            presence::status(&e.to_string());
            Beat::Failed
        })
    }

    fn apply(&mut self, entries: &[archive::Entry], validators: Validators) {
        let labels = self.settings.live && Path::new("/sys/fs/selinux/enforce").exists();
        let applied = apply(&self.tree, entries, &self.manifest.records, labels);
        if labels {
            label_new(&applied);
        }
        report(&applied, &mut self.unplaced);
        let manifest = Manifest {
            source: self.settings.url(),
            validators: if applied.problems.is_empty() { validators } else { Validators::default() },
            records: applied.records,
        };
        // restorecon and its like change what lstat says; look once more.
        let manifest = if labels { restamped(&self.tree, manifest) } else { manifest };
        if manifest != self.manifest {
            if let Err(e) = manifest.store(&self.settings.manifest) {
                log::say(format_args!("{}: {e}", self.settings.manifest.display()));
            }
            self.manifest = manifest;
        }
    }

    /// What may be asked conditionally: an overlay of this server for this node that is all in place.
    fn known(&self) -> Validators {
        if self.manifest.source == self.settings.url() {
            self.manifest.validators.clone()
        } else {
            Validators::default()
        }
    }

    fn well(&mut self) {
        self.trouble.over(format_args!("{} answers again", self.settings.server));
        presence::status(&format!("in step with {}", self.settings.server));
    }

    /// Until the next beat, or sooner after a failure.
    async fn pause(&mut self, beat: Beat) -> Wake {
        if std::mem::take(&mut self.again) {
            return Wake::Refresh;
        }
        let now = self.began.elapsed();
        let at = match beat {
            Beat::Failed => now + self.rhythm.retry(self.failures),
            Beat::Refused(Some(after)) => now + after.clamp(Duration::from_secs(1), LONGEST_WAIT),
            Beat::Refused(None) | Beat::Well | Beat::Leave => self.rhythm.next(now),
        };
        let at = self.began + at;
        // After a failure the network may be why: its return is worth a try at once.
        let watch = if beat == Beat::Failed { self.lost() } else { None };
        loop {
            tokio::select! {
                () = sleep_until(at) => return Wake::Due,
                wake = self.signals.any() => return wake,
                () = changed(watch.as_ref()) => return Wake::Due,
                () = pulse() => {}
            }
        }
    }

    /// Something to listen to, when the server cannot be reached from here now.
    fn lost(&self) -> Option<net::Watch> {
        let server = self.settings.server.parse().ok()?;
        let watch = net::Watch::open().ok()?;
        matches!(net::reach(server), Ok(Reach::NotYet(_))).then_some(watch)
    }

    fn reload(&mut self, load: &dyn Fn() -> anyhow::Result<Settings>) {
        match load() {
            Ok(settings) => {
                if settings.interval != self.settings.interval || settings.wwid != self.settings.wwid {
                    self.rhythm = Rhythm::new(settings.interval, &settings.wwid);
                }
                // Where things go is decided once.
                let (target, manifest) = (self.settings.target.clone(), self.settings.manifest.clone());
                self.settings = Settings { target, manifest, live: self.settings.live, ..settings };
            }
            Err(e) => log::say(format_args!("the settings stay as they were: {e:#}")),
        }
    }
}

impl Signals {
    async fn any(&mut self) -> Wake {
        tokio::select! {
            _ = self.terminate.recv() => Wake::Leave,
            _ = self.interrupt.recv() => Wake::Leave,
            _ = self.refresh.recv() => Wake::Refresh,
        }
    }
}

/// Tells the service manager in time that the agent lives; never returns where nobody wants to hear.
async fn pulse() {
    match presence::pulse() {
        Some(every) => {
            presence::alive();
            sleep(every).await;
        }
        None => std::future::pending().await,
    }
}

async fn changed(watch: Option<&net::Watch>) {
    match watch {
        Some(watch) => {
            let _ = watch.change().await;
        }
        None => std::future::pending().await,
    }
}

fn waiting(missing: &Missing) -> String {
    presence::status(&format!("waiting for the network: {missing}"));
    format!("waiting for the network: {missing}")
}

fn refusal(status: u16, settings: &Settings) -> String {
    let hint = match status {
        400 => ": it knows no such node, or was asked wrongly",
        401 => ": the asset key differs from the node's, or it wants a port below 1024 (secure)",
        403 => ": it wants TLS",
        404 => ": it has no runtime overlay for this node and could build none",
        503 => ": it is busy or cannot read its node database",
        _ => "",
    };
    format!("{} answers {status}{hint}", settings.url())
}

/// Labels of new files, as the policy has them, by the image's own tool.
fn label_new(applied: &Applied) {
    let new: Vec<_> = applied.changes.iter().filter(|c| c.what == What::Created).map(|c| raw(&c.path)).collect();
    if new.is_empty() {
        return;
    }
    let Some(restorecon) = program("restorecon") else {
        return log::say(format_args!("no restorecon here: {} new files have no label of their own", new.len()));
    };
    match Command::new(restorecon).arg("-F").args(&new).status() {
        Ok(status) if status.success() => {}
        Ok(status) => log::say(format_args!("restorecon: {status}")),
        Err(e) => log::say(format_args!("restorecon: {e}")),
    }
}

fn raw(path: &[u8]) -> PathBuf {
    Path::new("/").join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(path))
}

fn restamped(tree: &Tree, mut manifest: Manifest) -> Manifest {
    for (path, record) in &mut manifest.records {
        if let Ok(Some(stamp)) = tree.stamp(path) {
            record.stamp = stamp;
        }
    }
    manifest
}

fn report(applied: &Applied, unplaced: &mut Trouble) {
    const NAMED: usize = 8;
    if !applied.changes.is_empty() {
        let names: Vec<_> =
            applied.changes.iter().take(NAMED).map(|c| format!("{} {}", verb(c.what), shown(&c.path))).collect();
        let more = applied.changes.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        log::say(format_args!("{}{more}", names.join(", ")));
    }
    if applied.problems.is_empty() {
        unplaced.over(format_args!("all files are in place again"));
    } else {
        let all: Vec<_> = applied.problems.iter().map(ToString::to_string).collect();
        unplaced.is(format!("not in place: {}", all.join("; ")));
    }
}

fn verb(what: What) -> &'static str {
    match what {
        What::Created => "made",
        What::Replaced => "replaced",
        What::Adjusted => "adjusted",
        What::Removed => "removed",
    }
}
