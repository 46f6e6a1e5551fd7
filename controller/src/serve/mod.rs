//! The servers. Each is `run(socket, shared, shutdown)` and a dull loop: receive, parse, let `boot` decide, send.
//!
//! Sockets are bound in one place, `cli::server`. Nothing here decides what a node gets.

pub mod dhcp;
pub mod http;
pub mod link;
pub mod neighbour;
pub mod ra;
pub mod tftp;

use tokio::sync::watch;

/// Ends every server that holds the other end. Dropping it does the same.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

/// Asked by a server between two pieces of work: is it time to stop?
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// A switch and the line that it pulls.
pub fn shutdown() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (Trigger(sender), Shutdown(receiver))
}

impl Trigger {
    /// Tells everybody to stop. Work in flight may finish.
    pub fn pull(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Returns when it is time to stop.
    pub async fn requested(&self) {
        let mut receiver = self.0.clone();
        // An error means that the trigger is gone, and with it the daemon.
        let _ = receiver.wait_for(|stop| *stop).await;
    }

    /// Whether it is time to stop.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }
}
