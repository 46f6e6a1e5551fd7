//! Net: a network of its own for one controller and its nodes: a bridge, and one tap a machine, in a namespace that has
//! no name and is gone with the last process in it.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, anyhow, bail};
use nix::sched::{CloneFlags, setns, unshare};

use crate::sys;

/// The controller's address on the bridge, and the network's prefix length.
pub const CONTROLLER: &str = "10.10.0.1";
const PREFIX: u8 = 24;
/// The bridge, which holds the controller's address.
pub const BRIDGE: &str = "br0";

#[derive(Clone, Debug)]
pub struct Net {
    namespace: Arc<OwnedFd>,
    taps: Arc<AtomicUsize>,
}

impl Net {
    /// Lays the network: loopback, the bridge, the controller's address.
    ///
    /// # Errors
    /// When namespaces are not ours to make, or `ip` fails.
    pub fn new() -> anyhow::Result<Net> {
        let net = Net::empty()?;
        // A bridge with spanning tree or a forward delay learns for 15 seconds, and PXE gives up before.
        let bridge =
            ["link", "add", BRIDGE, "type", "bridge", "stp_state", "0", "forward_delay", "0", "mcast_snooping", "0"];
        net.ip(&bridge)?;
        net.ip(&["addr", "add", &format!("{CONTROLLER}/{PREFIX}"), "dev", BRIDGE])?;
        // Without it the bridge's own link-local address is tentative for two seconds, and answers nobody.
        net.run(Command::new("sh").args(["-c", &format!("echo 0 > /proc/sys/net/ipv6/conf/{BRIDGE}/accept_dad")]))?;
        net.ip(&["link", "set", BRIDGE, "up"])?;
        Ok(net)
    }

    fn empty() -> anyhow::Result<Net> {
        let made = std::thread::spawn(|| -> anyhow::Result<OwnedFd> {
            unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace (root is needed)")?;
            Ok(File::open("/proc/thread-self/ns/net")?.into())
        });
        let namespace = made.join().map_err(|_| anyhow!("the thread that makes the namespace broke"))??;
        let net = Net { namespace: Arc::new(namespace), taps: Arc::default() };
        net.ip(&["link", "set", "lo", "up"])?;
        Ok(net)
    }

    /// A machine of its own on this network, without QEMU: `eth0` with this address, wired to the bridge.
    ///
    /// # Errors
    /// When namespaces are not ours to make, or `ip` fails.
    pub fn neighbour(&self, address: &str) -> anyhow::Result<Net> {
        let there = Net::empty()?;
        let port = format!("port{}", self.taps.fetch_add(1, Ordering::Relaxed));
        let space = format!("/proc/{}/fd/{}", std::process::id(), there.namespace.as_raw_fd());
        self.ip(&["link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &space])?;
        self.ip(&["link", "set", &port, "up", "master", BRIDGE])?;
        there.ip(&["addr", "add", &format!("{address}/{PREFIX}"), "dev", "eth0"])?;
        there.ip(&["link", "set", "eth0", "up"])?;
        Ok(there)
    }

    /// One more port of the bridge, for one machine.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn tap(&self) -> anyhow::Result<String> {
        let name = format!("tap{}", self.taps.fetch_add(1, Ordering::Relaxed));
        self.ip(&["tuntap", "add", &name, "mode", "tap"])?;
        self.ip(&["link", "set", &name, "up", "master", BRIDGE])?;
        Ok(name)
    }

    /// From now on a machine hears no more than this many megabits a second.
    ///
    /// # Errors
    /// When `tc` fails.
    pub fn slow_down(&self, tap: &str, megabits: u32) -> anyhow::Result<()> {
        let tc = crate::place::find("tc").context("there is no `tc`: package iproute2")?;
        let rate = format!("{megabits}mbit");
        let words =
            ["qdisc", "replace", "dev", tap, "root", "tbf", "rate", &rate, "burst", "256kb", "latency", "100ms"];
        self.run(Command::new(tc).args(words)).map(|_| ())
    }

    /// Bytes that a machine was sent so far.
    ///
    /// # Errors
    /// When the tap is gone.
    pub fn bytes_sent_to(&self, tap: &str) -> anyhow::Result<u64> {
        let output = self.run(Command::new("cat").arg("/proc/net/dev"))?;
        let table = String::from_utf8_lossy(&output.stdout).into_owned();
        let row = table.lines().find_map(|line| line.trim().strip_prefix(tap)?.strip_prefix(':'));
        let column =
            row.and_then(|row| row.split_whitespace().nth(8)).with_context(|| format!("no {tap} in {table}"))?;
        Ok(column.parse()?)
    }

    /// A program that runs inside, and not longer than the thread that starts it.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        sys::tie(&mut command, Some(Arc::clone(&self.namespace)));
        command
    }

    /// Runs a prepared command inside, to its end.
    ///
    /// # Errors
    /// When it cannot start or does not end with 0.
    pub fn run(&self, command: &mut Command) -> anyhow::Result<Output> {
        sys::tie(command, Some(Arc::clone(&self.namespace)));
        let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
        if !output.status.success() {
            bail!("{command:?} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(output)
    }

    /// Does something in a thread that stands inside: sockets opened there belong to this network.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn inside<T: Send + 'static>(&self, act: impl FnOnce() -> T + Send + 'static) -> anyhow::Result<T> {
        let namespace = Arc::clone(&self.namespace);
        let done = std::thread::spawn(move || -> nix::Result<T> {
            setns(&*namespace, CloneFlags::CLONE_NEWNET)?;
            Ok(act())
        });
        let done = done.join().map_err(|_| anyhow!("what ran inside the namespace broke"))?;
        done.context("cannot enter the network namespace")
    }

    fn ip(&self, words: &[&str]) -> anyhow::Result<()> {
        let ip = crate::place::find("ip").context("there is no `ip`: package iproute2")?;
        self.run(Command::new(ip).args(words)).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::{BRIDGE, CONTROLLER, Net};

    #[test]
    fn a_net_has_the_controllers_address_on_its_bridge_and_nothing_of_the_hosts() {
        if !nix::unistd::geteuid().is_root() || crate::place::find("ip").is_none() {
            crate::skip("a network namespace needs root and iproute2");
            return;
        }
        let net = Net::new().unwrap();
        let tap = net.tap().unwrap();
        let output = net.run(std::process::Command::new("ip").args(["-br", "link"])).unwrap();
        let mut links: Vec<String> = String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(|line| line.split_whitespace().next().unwrap().to_owned())
            .collect();
        links.sort();
        assert_eq!(links, [BRIDGE, "lo", &tap]);
        let bound = net.inside(|| std::net::UdpSocket::bind((CONTROLLER, 67)).map(|_| ())).unwrap();
        assert!(bound.is_ok(), "{bound:?}");
    }
}
