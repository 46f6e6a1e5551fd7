//! What must not stay behind when the program is told to stop in the middle: folders to remove, processes to end.
//!
//! Namespaces need no entry: ours have no name, so they are gone with the last process in them. Mounts are made in
//! private mount namespaces only. Children die with us (see `sys::tie`), also when we are killed.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

static FOLDERS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
static PROCESSES: Mutex<Vec<u32>> = Mutex::new(Vec::new());

static STOPPING: AtomicBool = AtomicBool::new(false);

/// A folder that is removed with all that is in it when this value goes, or the program is told to stop.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// A fresh folder in the system's place for temporary files.
    ///
    /// # Errors
    /// When none can be made.
    pub fn temporary(name: &str) -> anyhow::Result<Folder> {
        let made = tempfile::Builder::new().prefix(&format!("warewulf-{name}-")).tempdir()?;
        Ok(Folder::take(made.keep()))
    }

    /// Takes over a folder that stands, or soon will.
    pub fn take(path: PathBuf) -> Folder {
        locked(&FOLDERS).push(path.clone());
        Folder { path }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder stays after all.
    pub fn keep(self) -> PathBuf {
        forget(&FOLDERS, &self.path);
        let path = self.path.clone();
        std::mem::forget(self);
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
        forget(&FOLDERS, &self.path);
    }
}

/// This child is ended when the program is told to stop.
pub fn note_process(id: u32) {
    locked(&PROCESSES).push(id);
}

/// It has ended by itself.
pub fn forget_process(id: u32) {
    forget(&PROCESSES, &id);
}

/// From now on Ctrl-C, SIGTERM and SIGHUP tidy up and end the program with 130; so does its own end, as what is kept in
/// statics is never dropped. Asking twice changes nothing.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn on_stop() -> anyhow::Result<()> {
    static ONCE: AtomicBool = AtomicBool::new(false);
    if ONCE.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    crate::sys::at_exit_tidy();
    let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    crate::sys::stops_write_to(write)?;
    std::thread::spawn(move || {
        let mut byte = [0];
        if std::fs::File::from(read).read_exact(&mut byte).is_ok() {
            STOPPING.store(true, Ordering::SeqCst);
            eprintln!("\nstopped: tidying up");
            tidy();
            crate::sys::leave(130);
        }
    });
    Ok(())
}

/// What is left when the program ends by itself. Who was told to stop is tidying up already: the rest of the program,
/// which fails now that its machines are gone, must not end the process under it.
pub(crate) fn at_exit() {
    while STOPPING.load(Ordering::SeqCst) {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    tidy();
}

fn tidy() {
    for id in locked(&PROCESSES).drain(..) {
        if let Ok(id) = i32::try_from(id) {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), nix::sys::signal::Signal::SIGKILL);
        }
    }
    for folder in locked(&FOLDERS).drain(..) {
        // What still runs may still write into it for a moment.
        for _ in 0..10 {
            if std::fs::remove_dir_all(&folder).is_ok() || !folder.exists() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}

fn forget<T: PartialEq>(list: &Mutex<Vec<T>>, gone: &T) {
    locked(list).retain(|kept| kept != gone);
}

/// A list of things to undo is as good after a panic elsewhere as before it.
fn locked<T>(list: &Mutex<Vec<T>>) -> std::sync::MutexGuard<'_, Vec<T>> {
    list.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::Folder;

    #[test]
    fn a_temporary_folder_goes_with_its_value() {
        let folder = Folder::temporary("undo").unwrap();
        let path = folder.path().to_owned();
        std::fs::write(path.join("file"), "x").unwrap();
        drop(folder);
        assert!(!path.exists());
    }
}
