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
                let path = entry.path();
                // What a controller that is up took away meanwhile is not torn.
                let Ok(data) = entry.metadata() else { continue };
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
        _ if name == ".status" => return Ok(serde_json::from_slice::<serde_json::Value>(&fs::read(path)?).map(drop)?),
        _ if path.parent().is_some_and(|folder| folder.ends_with("pieces")) => return is_piece(path, name),
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

/// A piece that archives share: its bytes packed, its bytes, how many the first are, and a word for the end. Its name is
/// the digest of its bytes.
fn is_piece(path: &Path, name: &str) -> anyhow::Result<()> {
    let whole = fs::read(path)?;
    let (bytes, footer) = whole.split_last_chunk::<16>().context("shorter than its end")?;
    let (packed, end) = footer.split_at(8);
    ensure!(end == b"whole\0\0\n", "it does not end as a piece does");
    let packed = usize::try_from(u64::from_le_bytes(packed.try_into()?))?;
    ensure!(packed <= bytes.len(), "more packed bytes than there are");
    let script = "head -c -16 \"$0\" | tail -c +$(($1 + 1)) | sha256sum";
    let output = Command::new("bash").args(["-c", script]).arg(path).arg(packed.to_string()).output()?;
    let digest = String::from_utf8_lossy(&output.stdout);
    ensure!(digest.starts_with(name), "its bytes are {digest}, not what its name says");
    Ok(())
}

/// Records, recipes and lists: a text that ends with a whole line, and with the word for its end where its first line names
/// a format. Behind a recipe's text come as many bytes as its last line says.
fn ends_as_told(path: &Path) -> anyhow::Result<()> {
    let whole = fs::read(path)?;
    if whole.starts_with(b"overlay recipe ") {
        let mut at = 0;
        for line in whole.split_inclusive(|byte| *byte == b'\n') {
            at += line.len();
            if let Some(total) = std::str::from_utf8(line).ok().and_then(|line| line.strip_prefix("end ")) {
                let total: usize = total.trim_end().parse()?;
                ensure!(at + total == whole.len(), "{} bytes after its text, not {total}", whole.len() - at);
                return Ok(());
            }
        }
        bail!("a recipe without an end");
    }
    let Ok(text) = String::from_utf8(whole) else { bail!("neither an archive nor a text") };
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
    fn a_piece_and_a_recipe_that_are_cut_short_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let pieces = folder.path().join("pieces");
        fs::create_dir(&pieces).unwrap();
        // `printf text | sha256sum`
        let piece = pieces.join("982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1");
        let whole = [&b"packedtext"[..], &6u64.to_le_bytes(), b"whole\0\0\n"].concat();
        fs::write(&piece, &whole).unwrap();
        let recipe = folder.path().join("n1.system");
        fs::write(&recipe, "overlay recipe 1\ncontent x\nend 3\nabc").unwrap();
        Look::default().at(folder.path()).unwrap();
        fs::write(&recipe, "overlay recipe 1\ncontent x\nend 3\nab").unwrap();
        assert!(Look::default().at(folder.path()).is_err());
        fs::remove_file(&recipe).unwrap();
        for torn in [&whole[1..], &whole[..20]] {
            fs::write(&piece, torn).unwrap();
            assert!(Look::default().at(folder.path()).is_err(), "{torn:?}");
        }
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
