//! From the command line to a running agent: settings, the one place, the background, the event loop.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::runtime;

use crate::agent::Agent;
use crate::facts::NoInterface;
use crate::log;
use crate::net;
use crate::presence::{self, Presence};
use crate::settings::{Options, Settings, Surroundings};

/// Runs until it is told to leave.
pub fn run(options: &Options) -> ExitCode {
    log::set_debug(options.debug);
    match live(options) {
        Ok(code) => code,
        Err(e) => {
            log::say(format_args!("{e:#}"));
            ExitCode::FAILURE
        }
    }
}

fn live(options: &Options) -> anyhow::Result<ExitCode> {
    let around = Surroundings {
        ww_ipaddr: std::env::var("WW_IPADDR").ok(),
        program: std::env::current_exe().unwrap_or_default(),
    };
    let load = || Settings::load(Path::new("/"), &options.warewulfconf, &around);
    let mut background = options.background && !options.once;
    let settings = match load() {
        Err(e) if e.is::<NoInterface>() && !options.once => {
            log::say(format_args!("{e:#}; waiting for it"));
            if background {
                presence::background()?;
                background = false;
            }
            when_there(&load)?
        }
        loaded => loaded?,
    };
    if !settings.live {
        log::say(format_args!(
            "{} is not the installed agent: what it does goes to {}, not to /",
            around.program.display(),
            settings.target.display()
        ));
        std::fs::create_dir_all(&settings.target).with_context(|| format!("{}", settings.target.display()))?;
    }
    let own = if settings.live { "/var/run/wwclient.pid" } else { "/var/run/wwclient-test.pid" };
    let pidfile = options.pidfile.clone().unwrap_or_else(|| PathBuf::from(own));
    let mut presence = Presence::take(&pidfile, &settings.target)?;
    if background {
        presence::background()?;
    }
    presence.announce()?;
    let done = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the event loop")?
        .block_on(async { Agent::new(settings)?.live(options.once, &load).await });
    presence::leaving();
    presence.leave();
    done
}

/// The settings, once the interface that names this node is there: its driver may be loaded long after the boot.
fn when_there(load: &dyn Fn() -> anyhow::Result<Settings>) -> anyhow::Result<Settings> {
    loop {
        // Open before looking, so that no link comes unheard between the two.
        let events = net::Socket::open(net::LINKS).context("rtnetlink")?;
        match load() {
            Err(e) if e.is::<NoInterface>() => {
                poll(&mut [PollFd::new(events.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE).context("poll")?;
            }
            loaded => return loaded,
        }
    }
}
