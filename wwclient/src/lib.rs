//! wwclient: PID 1 of the initramfs, then the node's agent.
//!
//! Two programs in one static binary. As PID 1 it turns what the kernel unpacked into a root and becomes init:
//! `cmdline`, `config` and `facts` say what there is, `plan` says what to do about it, `init` runs that, `steps` does
//! it. As the agent it keeps the runtime overlay on the node as the controller has it: `agent` waits and asks through
//! `net` and `fetch`, `apply` puts in place what differs.

pub mod agent;
pub mod apply;
pub mod cmdline;
pub mod config;
pub mod console;
pub mod facts;
pub mod fetch;
pub mod init;
pub mod log;
pub mod manifest;
pub mod net;
pub mod plan;
pub mod presence;
pub mod rhythm;
pub mod role;
pub mod settings;
pub mod start;
pub mod steps;
pub mod sys;
pub mod tree;
