//! Whole: whether what the controller wrote is whole: archives as foreign programs read them, its own records to their last
//! line. What it was writing when it was killed may be there under a name of its own, and never under a file's name.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

/// A look at one site again and again: what has not changed since it was found whole is not read again.
#[derive(Debug, Default)]
pub struct Look {
    found: HashSet<(PathBuf, u64, u64, i64, i64)>,
    /// How many files were read in all.
    pub read: usize,
    /// The most unfinished files that were seen at once.
    pub unfinished: usize,
}

impl Look {
    /// Looks at every file below the folder of what is provisioned.
    ///
    /// # Errors
    /// The first file that is not whole, or of a kind that is not known here.
    pub fn at(&mut self, provision: &Path) -> anyhow::Result<()> {
        let mut unfinished = 0;
        let mut folders = vec![provision.to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
                let entry = entry?;
                let (path, data) = (entry.path(), entry.metadata()?);
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.starts_with('.') && (name.contains(".new-") || name.contains("tmp-")) {
                    unfinished += 1;
                } else if data.is_dir() {
                    folders.push(path);
                } else if data.is_file() {
                    let state = (path.clone(), data.ino(), data.size(), data.ctime(), data.ctime_nsec());
                    if !self.found.contains(&state) {
                        is_whole(&path, &name).with_context(|| format!("{} is not whole", path.display()))?;
                        self.read += 1;
                        self.found.insert(state);
                    }
                }
            }
        }
        self.unfinished = self.unfinished.max(unfinished);
        Ok(())
    }
}

fn is_whole(path: &Path, name: &str) -> anyhow::Result<()> {
    let unpack = match name.rsplit_once('.') {
        Some((_, "img")) => "cat",
        Some((_, "gz")) => "gzip -dc",
        Some((_, "zst")) => "zstd -qdc",
        _ if fs::metadata(path)?.len() == 0 => return Ok(()),
        _ => return ends_as_told(path),
    };
    // The listing must come from an archive with its end: cpio complains of one that is cut short.
    let script = format!("set -o pipefail; {unpack} \"$0\" | cpio --list --quiet > /dev/null");
    let mut bash = Command::new("bash");
    let output = bash.args(["-c", &script]).arg(path).stdin(Stdio::null()).output().context("cannot run bash")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.is_empty(), "{}", said.trim());
    Ok(())
}

/// Records and lists: text that ends with a whole line, and with the word for its end where the first line is a format's.
fn ends_as_told(path: &Path) -> anyhow::Result<()> {
    let Ok(text) = fs::read_to_string(path) else { bail!("neither an archive nor a text") };
    ensure!(text.ends_with('\n'), "its last line is cut: {:?}", text.lines().last());
    ensure!(!text.starts_with("overlay record") || text.ends_with("\nend of record\n"), "it has no end of record");
    Ok(())
}

/// The leases on disk, each a whole line: address and client of those that are bound.
///
/// # Errors
/// The line that is none.
pub fn leases(file: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let text = fs::read_to_string(file).unwrap_or_default();
    ensure!(text.is_empty() || text.ends_with('\n'), "the last lease is cut: {:?}", text.lines().last());
    let mut bound = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        let [address, state, until, client] = words.as_slice() else { bail!("no lease: {line:?}") };
        ensure!(address.parse::<std::net::Ipv4Addr>().is_ok() && until.ends_with('Z'), "no lease: {line:?}");
        if *state == "bound" {
            bound.push(((*address).to_owned(), (*client).to_owned()));
        }
    }
    Ok(bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_that_is_cut_short_is_found() {
        if crate::place::find("cpio").is_none() {
            crate::skip("cpio is not installed");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let make = "echo text > file; echo file | cpio -o --quiet -H newc > a.img; gzip -k a.img";
        assert!(Command::new("bash").args(["-c", make]).current_dir(folder.path()).status().unwrap().success());
        Look::default().at(folder.path()).unwrap();
        for name in ["a.img", "a.img.gz"] {
            let whole = fs::read(at(name)).unwrap();
            fs::write(at(name), &whole[..whole.len() / 3]).unwrap();
            let said = Look::default().at(folder.path()).unwrap_err().to_string();
            assert!(said.ends_with(&format!("{name} is not whole")), "{said}");
            fs::write(at(name), &whole).unwrap();
        }
        fs::write(at(".n1"), "overlay record 3\ninput x\n").unwrap();
        assert!(Look::default().at(folder.path()).is_err());
    }

    #[test]
    fn a_lease_that_is_cut_short_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("leases");
        let line = "10.10.0.100 bound 2099-01-01T00:00:00Z 02:00:00:00:00:09\n";
        fs::write(&file, format!("# text\n{line}")).unwrap();
        assert_eq!(leases(&file).unwrap(), [("10.10.0.100".to_owned(), "02:00:00:00:00:09".to_owned())]);
        fs::write(&file, &line[..30]).unwrap();
        assert!(leases(&file).is_err());
    }
}
