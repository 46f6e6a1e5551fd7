//! `wwctl server`: the daemon in front. The one place where sockets are bound and signals are heard.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Context;
use clap::Args;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use crate::cluster::{self, Shared};
use crate::serve::{self, Shutdown};
use crate::site::Site;
use crate::status::keep;

#[derive(Debug, Args)]
pub struct Arguments {}

/// Runs until it is told to stop. `from_file`: the site is what warewulf.conf says, and is to stay that.
pub fn run(site: Site, from_file: bool, _arguments: Arguments) -> anyhow::Result<()> {
    log_to_stderr();
    raise_descriptor_limit();
    let runtime = tokio::runtime::Runtime::new().context("start the runtime")?;
    runtime.block_on(daemon(site, from_file))
}

/// Binds every socket, starts every server, then listens to signals.
async fn daemon(site: Site, from_file: bool) -> anyhow::Result<()> {
    let (trigger, shutdown) = serve::shutdown();
    // Signals are caught before the first socket is open: whoever sees it open may send one.
    let mut stop = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let port = site.conf.warewulf.port;
    let begin = move || {
        let shared = Shared::new(site);
        if from_file {
            shared.catch_up();
        }
        shared
    };
    let shared = tokio::task::spawn_blocking(begin).await?;
    // A copy: the snapshot would keep 10,000 nodes of the first generation in memory for good.
    let conf = &shared.current().site.conf.clone();
    let mut servers = JoinSet::new();
    servers.spawn(serve::http::run(http_listener(port)?, shared.clone(), shutdown.clone()));
    servers.spawn(cluster::watch(shared.clone(), shutdown.clone()));
    servers.spawn(keep::run(shared.clone(), shutdown.clone()));
    servers.spawn(serve::dhcp::run(serve::dhcp::bind(conf)?, shared.clone(), shutdown.clone()));
    servers.spawn(serve::tftp::run(serve::tftp::bind(conf)?, shared.clone(), shutdown.clone()));
    servers.spawn(serve::ra::run(serve::ra::bind(conf)?, shared.clone(), shutdown.clone()));
    // Every socket is open: who waits for the unit may go on.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    tracing::info!("serving HTTP on port {port}, {} nodes", shared.current().merged.len());
    loop {
        tokio::select! {
            _ = stop.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => reload(&shared).await,
            Some(ended) = servers.join_next() => {
                // One server that cannot go on ends the daemon: half a controller that looks alive is worse than none.
                trigger.pull();
                drain(servers, &shutdown).await;
                return ended.context("a server died")?.context("a server failed");
            }
        }
    }
    tracing::info!("stopping");
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    trigger.pull();
    drain(servers, &shutdown).await;
    // After the last answer has left.
    tokio::task::spawn_blocking(move || keep::write(&shared)).await?.context("the status is forgotten")
}

async fn reload(shared: &Shared) {
    let shared = shared.clone();
    if let Err(error) = tokio::task::spawn_blocking(move || shared.reload()).await {
        tracing::error!("reload: {error}");
    }
}

async fn drain(mut servers: JoinSet<std::io::Result<()>>, shutdown: &Shutdown) {
    debug_assert!(shutdown.is_requested());
    while servers.join_next().await.is_some() {}
}

/// One socket for IPv6 and IPv4; for IPv4 alone where the kernel has no IPv6.
fn http_listener(port: u16) -> anyhow::Result<TcpListener> {
    let socket = match Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP)) {
        Ok(socket) => {
            socket.set_only_v6(false)?;
            bind(&socket, SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))?;
            socket
        }
        Err(_) => {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
            bind(&socket, SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))?;
            socket
        }
    };
    socket.set_nonblocking(true)?;
    Ok(TcpListener::from_std(socket.into())?)
}

fn bind(socket: &Socket, address: SocketAddr) -> anyhow::Result<()> {
    socket.set_reuse_address(true)?;
    socket.bind(&address.into()).with_context(|| {
        format!(
            "HTTP port {} (warewulf.conf, warewulf: port) is not to be had: is another daemon running?",
            address.port()
        )
    })?;
    // A room of nodes that is switched on at once comes within one accept loop's turn.
    socket.listen(4096)?;
    Ok(())
}

fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("WW_LOG").unwrap_or_else(|_| "info".into());
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    // Whoever set up a log before us keeps it.
    let _ = log.with_target(false).try_init();
}

/// Each connection that sends a file holds two descriptors; the shell's usual 1024 is soon gone.
fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard.min(1 << 20), hard));
    if let Err(error) = raised {
        tracing::warn!("limit of open files stays as it is: {error}");
    }
}
