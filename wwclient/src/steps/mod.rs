//! Does one step. This folder alone makes the boot's system calls.

pub mod copy;
pub mod device;
pub mod scripts;
pub mod selinux;
pub mod switch;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::time::{ClockId, clock_gettime};

use crate::facts::RootKind;
use crate::init::Hands;
use crate::log;
use crate::net;
use crate::plan::{self, Interpreter, NewRoot, Step};
use scripts::{Reaper, exec, is_program, run_folder};

/// The hands of PID 1.
#[derive(Debug)]
pub struct Machine {
    pub reaper: Reaper,
    /// What scripts find in their environment.
    pub environment: Vec<(String, String)>,
    pub drivers: device::Drivers,
}

impl Hands for Machine {
    fn perform(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Mount { kind, target, options, .. } => mount_kernel(kind, target, options),
            Step::Console => console(),
            Step::Say(_) => Ok(()),
            Step::Scripts { folder, by } => self.scripts(Path::new(folder), *by),
            Step::LoadPolicy { policy, .. } => selinux::load(policy).map_err(in_words),
            Step::Drivers => self.drivers.load(&self.reaper, plan::DEVICE_LIMIT),
            Step::MountRoot(new) => self.mount_root(new),
            Step::Copy { to } => copy_root(Path::new(to)),
            Step::SwitchRoot { to, along } => {
                let notes = switch::switch(Path::new(to), along).map_err(in_words)?;
                notes.iter().for_each(|note| log::say(format_args!("{note}")));
                Ok(())
            }
            Step::Label { policy, .. } => selinux::label(policy, &self.reaper),
            Step::Enforce => selinux::enforce().map_err(in_words),
            Step::Loopback => net::links::set_up("lo").map_err(in_words),
            Step::Exec { candidates } => self.exec_init(candidates),
        }
    }
}

impl Machine {
    fn scripts(&mut self, folder: &Path, by: Interpreter) -> Result<(), String> {
        let problems = run_folder(folder, by, &self.environment, plan::SCRIPT_LIMIT, &self.reaper);
        if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
    }

    fn mount_root(&mut self, new: &NewRoot) -> Result<(), String> {
        let target = Path::new(plan::NEW_ROOT);
        fs::create_dir_all(target).map_err(|e| format!("{}: {e}", target.display()))?;
        match new {
            NewRoot::Memory { kind, options, labelled } => {
                let context =
                    if *labelled { format!("{options},{}", selinux::root_context()) } else { options.clone() };
                mount(Some(*kind), target, Some(*kind), MsFlags::empty(), Some(context.as_str()))
                    .map_err(|e| format!("{} (options {context})", e.desc()))
            }
            NewRoot::Device(device) => {
                // Disks behind slow controllers show up late, and may want a driver of their own then.
                let mut meanwhile = || drop(self.drivers.load(&self.reaper, plan::DEVICE_LIMIT));
                device::mount_device(device, target, plan::DEVICE_LIMIT, &mut meanwhile).map_err(in_words)
            }
        }
    }

    fn exec_init(&mut self, candidates: &[Vec<String>]) -> Result<(), String> {
        let mut tried = Vec::new();
        for words in candidates {
            let Some(program) = words.first() else { continue };
            if !is_program(Path::new(program)) {
                tried.push(format!("{program}: not there, or not executable"));
                continue;
            }
            log::say(format_args!("{program} takes over at {:.2} s of uptime", uptime()));
            self.reaper.release();
            tried.push(format!("{program}: {}", exec(words)));
        }
        Err(format!("no init can be run ({})", tried.join("; ")))
    }
}

/// Seconds since the kernel began.
fn uptime() -> f64 {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0.0, |time| Duration::from(time).as_secs_f64())
}

/// The name of the init that will be run, with links resolved: `systemd` for most images.
pub fn init_name(candidates: &[Vec<String>]) -> Option<String> {
    let program = candidates.iter().filter_map(|words| words.first()).find(|path| is_program(Path::new(path)))?;
    fs::canonicalize(program).ok()?.file_name()?.to_str().map(str::to_owned)
}

fn mount_kernel(kind: &str, target: &str, options: &str) -> Result<(), String> {
    fs::create_dir_all(target).map_err(|e| format!("{target}: {e}"))?;
    let options = (!options.is_empty()).then_some(options);
    let flags = match kind {
        "devtmpfs" | "devpts" => MsFlags::MS_NOSUID,
        "tmpfs" => MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        _ => MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
    };
    match mount(Some(kind), target, Some(kind), flags, options) {
        Ok(()) | Err(Errno::EBUSY) => Ok(()),
        Err(e) => Err(e.desc().to_owned()),
    }
}

/// The kernel gives PID 1 no standard files when its first root had no /dev/console; std then put /dev/null there.
fn console() -> Result<(), String> {
    let null = |fd: u8| {
        fs::metadata(format!("/proc/self/fd/{fd}"))
            .is_ok_and(|meta| meta.file_type().is_char_device() && meta.rdev() == libc::makedev(1, 3))
    };
    if !null(2) {
        return Ok(());
    }
    let console = OpenOptions::new().read(true).write(true).open("/dev/console").map_err(in_words)?;
    nix::unistd::dup2_stdin(&console).map_err(|e| e.to_string())?;
    nix::unistd::dup2_stdout(&console).map_err(|e| e.to_string())?;
    nix::unistd::dup2_stderr(&console).map_err(|e| e.to_string())
}

fn copy_root(to: &Path) -> Result<(), String> {
    let root = Path::new("/");
    // Only memory is freed: somebody's disk, or a container's layer, is left as it is.
    let free = switch::kind(root) == RootKind::Memory;
    let mut progress =
        |so_far: copy::Copied| log::say(format_args!("copied {} MB, {} files", so_far.bytes >> 20, so_far.files));
    let copied = copy::copy(root, to, free, &mut progress).map_err(|e| {
        let full = e.problem.raw_os_error() == Some(libc::ENOSPC);
        let hint = if full { ": the image does not fit; give the node more memory, or a disk as root" } else { "" };
        format!("{e}{hint}")
    })?;
    if copied.files == 0 {
        return Err(format!("nothing was there to copy to {}", to.display()));
    }
    log::say(format_args!("copied {} MB, {} files", copied.bytes >> 20, copied.files));
    Ok(())
}

fn in_words(e: std::io::Error) -> String {
    e.to_string()
}
