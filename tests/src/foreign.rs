//! Foreign: dnsmasq as the DHCP server of a site that keeps its own, on a machine beside the controller's.

use std::process::{Child, Stdio};

use anyhow::Context;

use crate::net::Net;
use crate::undo;

/// Its address, and the range that it gives from.
pub const SERVER: &str = "10.10.0.2";
const RANGE: &str = "10.10.0.50,10.10.0.60";

/// A running dnsmasq; it ends when this value goes.
#[derive(Debug)]
pub struct Foreign(Child);

impl Foreign {
    /// Starts it: addresses, and not a word about booting.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(net: &Net) -> anyhow::Result<Foreign> {
        let there = net.neighbour(SERVER)?;
        let dnsmasq = crate::place::find("dnsmasq").context("there is no dnsmasq: package dnsmasq-base")?;
        let mut command = there.command(dnsmasq);
        command.args(["--keep-in-foreground", "--port=0", "--conf-file=/dev/null", "--interface=eth0", "--pid-file="]);
        command.args(["--dhcp-leasefile=/dev/null", "--user=root", &format!("--dhcp-range={RANGE}")]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        undo::note_process(child.id());
        Ok(Foreign(child))
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        undo::forget_process(self.0.id());
    }
}
