//! Site: where everything lies and what warewulf.conf says. The one thing passed everywhere.

use std::path::{Path, PathBuf};

use anyhow::Context;
use model::Conf;

use crate::cli::Global;

/// Where warewulf.conf lies when nobody says otherwise.
const DEFAULT: &str = "/etc/warewulf/warewulf.conf";

/// A site: its configuration, and the file that it came from.
#[derive(Clone, Debug)]
pub struct Site {
    /// The warewulf.conf that was read.
    pub conf_path: PathBuf,
    pub conf: Conf,
}

impl Site {
    /// Reads the configuration that the command line, the environment (both through `global`) or the default names.
    ///
    /// # Errors
    /// When the file cannot be read or understood; the message names file, line and column.
    pub fn load(global: &Global) -> anyhow::Result<Site> {
        let conf_path = named(global);
        if global.emptyconf {
            return Site::from_text(conf_path, "");
        }
        Site::read(conf_path)
    }

    /// The site without what its file says: for commands that are about the file itself.
    ///
    /// # Errors
    /// Never, as long as an empty file is a sound one.
    pub fn unread(global: &Global) -> anyhow::Result<Site> {
        Site::from_text(named(global), "")
    }

    /// Reads the configuration in this file.
    ///
    /// # Errors
    /// As [`Site::load`].
    pub fn read(conf_path: PathBuf) -> anyhow::Result<Site> {
        let bytes = std::fs::read(&conf_path).with_context(|| {
            format!("read {} (name another one with --warewulfconf or WAREWULFCONF)", conf_path.display())
        })?;
        let text = model::text_of(bytes).with_context(|| conf_path.display().to_string())?;
        Site::from_text(conf_path, &text)
    }

    fn from_text(conf_path: PathBuf, text: &str) -> anyhow::Result<Site> {
        let mut conf = Conf::parse(text).with_context(|| conf_path.display().to_string())?;
        if !conf.paths.datadir_given
            && let Some(beside) = std::env::current_exe().ok().as_deref().and_then(share_beside)
        {
            conf.paths.datadir = beside;
        }
        Ok(Site { conf_path, conf })
    }
}

/// The file that is meant; one that was named by an empty word was not named.
fn named(global: &Global) -> PathBuf {
    let named = global.warewulfconf.clone().filter(|path| !path.as_os_str().is_empty());
    named.unwrap_or_else(|| PathBuf::from(DEFAULT))
}

/// The `share` folder that came with this program, as in an unpacked release.
fn share_beside(program: &Path) -> Option<PathBuf> {
    let share = program.parent()?.join("share");
    share.join("warewulf").is_dir().then_some(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_beside_the_program_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("wwctl");
        assert_eq!(share_beside(&program), None);
        std::fs::create_dir_all(folder.path().join("share/warewulf")).unwrap();
        assert_eq!(share_beside(&program), Some(folder.path().join("share")));
    }

    #[test]
    fn a_broken_file_is_named_with_line_and_column() {
        let error = Site::from_text("/etc/x.conf".into(), "ipaddr: [").unwrap_err();
        assert!(format!("{error:#}").starts_with("/etc/x.conf: line 1, column "), "{error:#}");
    }
}
