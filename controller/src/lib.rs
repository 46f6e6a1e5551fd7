//! The controller: the shell with sockets and files around the thinking rooms. One binary, `wwctl`; `wwctl server` is
//! the daemon.

pub mod build;
pub mod cli;
pub mod cluster;
pub mod image;
pub mod power;
pub mod serve;
pub mod site;
pub mod status;
pub mod store;
mod sys;
