//! What PID 1 will do, as a list of values. Pure: command line, configuration and facts in, steps out.
//!
//! Two lists: [`devices`] is the same everywhere and makes it possible to look around; [`boot`] follows from what was
//! seen. Nothing here touches the machine, so a whole boot is one comparison in a test.

use std::fmt;
use std::time::Duration;

use crate::cmdline::Cmdline;
use crate::config::{self, Config};
use crate::facts::{Facts, RootKind, SelinuxMode};

/// Where the new root is built before it becomes `/`.
pub const NEW_ROOT: &str = "/newroot";
/// How long one script may take.
pub const SCRIPT_LIMIT: Duration = Duration::from_secs(60);
/// How long a disk may take to appear.
pub const DEVICE_LIMIT: Duration = Duration::from_secs(30);

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Mounts a file system of the kernel's; already mounted counts as done.
    Mount { kind: &'static str, target: &'static str, options: &'static str, strict: bool },
    /// Standard input, output and error become the console where they lead nowhere.
    Console,
    /// Nothing to do, but somebody should know.
    Say(String),
    /// Runs a folder's scripts in the order of their names, each at most [`SCRIPT_LIMIT`].
    Scripts { folder: &'static str, by: Interpreter },
    /// Loads the policy while still on the old root, without enforcing yet.
    LoadPolicy { policy: String, enforce: bool },
    /// Asks for the drivers of the devices that are there.
    Drivers,
    /// Mounts the new root.
    MountRoot(NewRoot),
    /// Copies `/` there.
    Copy { to: &'static str },
    /// Makes it `/`, takes these mounts along, and empties the old one.
    SwitchRoot { to: &'static str, along: Vec<&'static str> },
    /// Labels every file by the policy's file contexts.
    Label { policy: String, enforce: bool },
    /// From here on the policy holds.
    Enforce,
    /// The loopback device up.
    Loopback,
    /// Becomes init: the first of these that can be run.
    Exec { candidates: Vec<Vec<String>> },
}

/// Who runs the scripts of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpreter {
    /// Each itself; one without `#!` by sh.
    Itself,
    Sh,
}

/// What the new root is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewRoot {
    /// `tmpfs` or `ramfs` with these mount options.
    Memory { kind: &'static str, options: String, labelled: bool },
    /// A block device; its file system is whatever it carries.
    Device(String),
}

/// What it means when a step fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// No node without it: message, shell or reboot.
    Fatal,
    /// Reported, and the boot goes on.
    PassedOver,
}

/// The file systems without which nothing can be seen.
pub fn devices() -> Vec<Step> {
    let mount = |kind, target, options, strict| Step::Mount { kind, target, options, strict };
    vec![
        mount("proc", "/proc", "", true),
        mount("sysfs", "/sys", "", true),
        mount("devtmpfs", "/dev", "mode=755", true),
        mount("devpts", "/dev/pts", "mode=620,gid=5,ptmxmode=666", false),
        mount("tmpfs", "/dev/shm", "mode=1777", false),
        mount("tmpfs", "/run", "mode=755", true),
        Step::Console,
    ]
}

/// Everything after that, to the exec of init.
///
/// `arguments` are what the kernel passed on to `/init` (a run level, say).
pub fn boot(cmdline: &Cmdline, facts: &Facts, config: &Config, arguments: &[String]) -> Vec<Step> {
    let mut steps = Vec::new();
    for complaint in &config.complaints {
        steps.push(Step::Say(format!("/warewulf/config line {}: {}", complaint.line, complaint.reason)));
    }
    steps.push(Step::Scripts { folder: "/warewulf/wwinit.d", by: Interpreter::Itself });

    let root = config.value("WWROOT").unwrap_or("initramfs");
    let selinux = selinux(cmdline, facts, root);
    if let Selinux::Say(reason) = &selinux {
        steps.push(Step::Say(reason.clone()));
    }
    if let Selinux::Load { policy, enforce } = &selinux {
        steps.push(Step::LoadPolicy { policy: policy.clone(), enforce: *enforce });
    }
    if let Some(new) = new_root(root, facts, matches!(selinux, Selinux::Load { .. })) {
        if matches!(new, NewRoot::Device(_)) {
            steps.push(Step::Drivers);
        }
        steps.push(Step::MountRoot(new));
        steps.push(Step::Copy { to: NEW_ROOT });
        steps.push(Step::SwitchRoot { to: NEW_ROOT, along: vec!["/dev", "/proc", "/sys", "/run"] });
    }
    if let Selinux::Load { policy, enforce } = &selinux {
        steps.push(Step::Label { policy: policy.clone(), enforce: *enforce });
    }
    steps.push(Step::Loopback);
    steps.push(Step::Scripts { folder: "/warewulf/init.d", by: Interpreter::Sh });
    // Last: this process is in the kernel's domain, where a policy need not let it run a site's scripts.
    if let Selinux::Load { enforce: true, .. } = selinux {
        steps.push(Step::Enforce);
    }
    steps.push(Step::Exec { candidates: candidates(config, arguments) });
    steps
}

/// What comes after the root was chosen by somebody else (a two-stage boot's initramfs).
pub fn after_root(config: &Config, arguments: &[String]) -> Vec<Step> {
    vec![
        Step::Loopback,
        Step::Scripts { folder: "/warewulf/init.d", by: Interpreter::Sh },
        Step::Exec { candidates: candidates(config, arguments) },
    ]
}

/// WWINIT with its arguments, then the usual places.
pub fn candidates(config: &Config, arguments: &[String]) -> Vec<Vec<String>> {
    let configured = config.value("WWINIT").map(config::words).filter(|words| !words.is_empty());
    let usual = ["/sbin/init", "/etc/init", "/bin/init"].map(|path| vec![path.to_owned()]);
    let mut all: Vec<Vec<String>> = Vec::new();
    for mut candidate in configured.into_iter().chain(usual) {
        candidate.extend_from_slice(arguments);
        if !all.contains(&candidate) {
            all.push(candidate);
        }
    }
    all
}

fn new_root(root: &str, facts: &Facts, labelled: bool) -> Option<NewRoot> {
    match root {
        "initramfs" | "rootfs" => None,
        "tmpfs" => {
            let spread = if facts.numa_nodes > 1 { ",mpol=interleave" } else { "" };
            let options = format!("mode=755,size=100%{spread}");
            Some(NewRoot::Memory { kind: "tmpfs", options, labelled })
        }
        "ramfs" => Some(NewRoot::Memory { kind: "ramfs", options: "mode=755".to_owned(), labelled: false }),
        device => Some(NewRoot::Device(device.to_owned())),
    }
}

enum Selinux {
    Absent,
    Say(String),
    Load { policy: String, enforce: bool },
}

fn selinux(cmdline: &Cmdline, facts: &Facts, root: &str) -> Selinux {
    let Some(image) = &facts.selinux else { return Selinux::Absent };
    if image.mode == SelinuxMode::Disabled || cmdline.selinux == Some(false) || !facts.kernel_selinux {
        return Selinux::Absent;
    }
    let own_labels = match root {
        "initramfs" | "rootfs" => facts.root == RootKind::Other,
        "ramfs" => false,
        _ => true,
    };
    if !own_labels {
        return Selinux::Say(format!(
            "SELinux is on in the image and in the kernel, but {root} cannot hold labels: set root to tmpfs for this node"
        ));
    }
    let enforce = cmdline.enforcing.unwrap_or(image.mode == SelinuxMode::Enforcing);
    Selinux::Load { policy: image.policy.clone(), enforce }
}

impl Step {
    /// Whether a node can do without.
    pub fn severity(&self) -> Severity {
        match self {
            Step::Mount { strict: true, .. }
            | Step::LoadPolicy { enforce: true, .. }
            | Step::MountRoot(_)
            | Step::Copy { .. }
            | Step::SwitchRoot { .. }
            | Step::Label { enforce: true, .. }
            | Step::Enforce
            | Step::Exec { .. } => Severity::Fatal,
            Step::Mount { strict: false, .. }
            | Step::LoadPolicy { enforce: false, .. }
            | Step::Label { enforce: false, .. }
            | Step::Console
            | Step::Say(_)
            | Step::Scripts { .. }
            | Step::Drivers
            | Step::Loopback => Severity::PassedOver,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Mount { kind, target, .. } => write!(f, "mount {target} ({kind})"),
            Step::Console => write!(f, "open the console"),
            Step::Say(what) => write!(f, "{what}"),
            Step::Scripts { folder, .. } => write!(f, "run {folder}"),
            Step::LoadPolicy { policy, .. } => write!(f, "load SELinux policy {policy}"),
            Step::Drivers => write!(f, "load drivers"),
            Step::MountRoot(NewRoot::Memory { kind, .. }) => write!(f, "mount {NEW_ROOT} ({kind})"),
            Step::MountRoot(NewRoot::Device(device)) => write!(f, "mount {NEW_ROOT} ({device})"),
            Step::Copy { to } => write!(f, "copy / to {to}"),
            Step::SwitchRoot { to, .. } => write!(f, "switch to {to}"),
            Step::Label { policy, .. } => write!(f, "label files by policy {policy}"),
            Step::Enforce => write!(f, "enforce SELinux"),
            Step::Loopback => write!(f, "loopback up"),
            Step::Exec { candidates } => {
                write!(f, "exec {}", candidates.first().map(|words| words.join(" ")).unwrap_or_default())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Selinux as Image;

    fn config(text: &str) -> Config {
        config::parse(text)
    }

    fn facts() -> Facts {
        Facts { numa_nodes: 1, selinux: None, kernel_selinux: false, root: RootKind::Memory }
    }

    fn enforcing_image() -> Facts {
        Facts {
            selinux: Some(Image { mode: SelinuxMode::Enforcing, policy: "default".into() }),
            kernel_selinux: true,
            ..facts()
        }
    }

    fn lines(steps: &[Step]) -> Vec<String> {
        steps.iter().map(Step::to_string).collect()
    }

    #[test]
    fn an_empty_root_stays_where_the_kernel_unpacked_it() {
        for text in ["", "WWROOT=''", "WWROOT=initramfs"] {
            let plan = boot(&Cmdline::default(), &facts(), &config(text), &[]);
            assert_eq!(
                plan,
                vec![
                    Step::Scripts { folder: "/warewulf/wwinit.d", by: Interpreter::Itself },
                    Step::Loopback,
                    Step::Scripts { folder: "/warewulf/init.d", by: Interpreter::Sh },
                    Step::Exec {
                        candidates: vec![vec!["/sbin/init".into()], vec!["/etc/init".into()], vec!["/bin/init".into()],]
                    },
                ],
                "{text}"
            );
        }
    }

    #[test]
    fn tmpfs_is_mounted_filled_and_made_the_root_before_init_d() {
        let plan = boot(&Cmdline::default(), &facts(), &config("WWROOT=tmpfs WWINIT=/sbin/init"), &[]);
        assert_eq!(
            lines(&plan),
            [
                "run /warewulf/wwinit.d",
                "mount /newroot (tmpfs)",
                "copy / to /newroot",
                "switch to /newroot",
                "loopback up",
                "run /warewulf/init.d",
                "exec /sbin/init",
            ]
        );
    }

    #[test]
    fn only_a_machine_with_several_memory_nodes_interleaves() {
        for (numa_nodes, want) in
            [(0, "mode=755,size=100%"), (1, "mode=755,size=100%"), (2, "mode=755,size=100%,mpol=interleave")]
        {
            let plan = boot(&Cmdline::default(), &Facts { numa_nodes, ..facts() }, &config("WWROOT=tmpfs"), &[]);
            let root = Step::MountRoot(NewRoot::Memory { kind: "tmpfs", options: want.into(), labelled: false });
            assert!(plan.contains(&root), "{numa_nodes}: {plan:?}");
        }
    }

    #[test]
    fn ramfs_knows_neither_size_nor_policy_of_memory() {
        let plan = boot(&Cmdline::default(), &Facts { numa_nodes: 4, ..facts() }, &config("WWROOT=ramfs"), &[]);
        let root = Step::MountRoot(NewRoot::Memory { kind: "ramfs", options: "mode=755".into(), labelled: false });
        assert!(plan.contains(&root), "{plan:?}");
    }

    #[test]
    fn a_disk_gets_its_drivers_first() {
        let plan = boot(&Cmdline::default(), &facts(), &config("WWROOT=/dev/vda1"), &[]);
        let lines = lines(&plan);
        assert_eq!(
            lines.get(1..4),
            Some(&["load drivers".to_owned(), "mount /newroot (/dev/vda1)".into(), "copy / to /newroot".into()][..])
        );
    }

    #[test]
    fn wwinit_carries_arguments_and_the_kernels_words_follow() {
        let plan = boot(&Cmdline::default(), &facts(), &config("WWINIT='/sbin/init --x'"), &["3".into()]);
        let Some(Step::Exec { candidates }) = plan.last() else { panic!("{plan:?}") };
        let first: Vec<_> = candidates.iter().map(|c| c.join(" ")).collect();
        assert_eq!(first, ["/sbin/init --x 3", "/sbin/init 3", "/etc/init 3", "/bin/init 3"]);
    }

    #[test]
    fn selinux_loads_on_the_old_root_and_holds_after_the_labels() {
        let plan = boot(&Cmdline::default(), &enforcing_image(), &config("WWROOT=tmpfs"), &[]);
        assert_eq!(
            lines(&plan),
            [
                "run /warewulf/wwinit.d",
                "load SELinux policy default",
                "mount /newroot (tmpfs)",
                "copy / to /newroot",
                "switch to /newroot",
                "label files by policy default",
                "loopback up",
                "run /warewulf/init.d",
                "enforce SELinux",
                "exec /sbin/init",
            ]
        );
    }

    #[test]
    fn selinux_is_skipped_when_image_kernel_or_command_line_says_so() {
        let off = Cmdline { selinux: Some(false), ..Cmdline::default() };
        let mut disabled = enforcing_image();
        disabled.selinux = Some(Image { mode: SelinuxMode::Disabled, policy: "default".into() });
        let kernel = Facts { kernel_selinux: false, ..enforcing_image() };
        let plain = boot(&Cmdline::default(), &facts(), &config("WWROOT=tmpfs"), &[]);
        for (cmdline, facts) in
            [(&off, &enforcing_image()), (&Cmdline::default(), &disabled), (&Cmdline::default(), &kernel)]
        {
            assert_eq!(boot(cmdline, facts, &config("WWROOT=tmpfs"), &[]), plain);
        }
    }

    #[test]
    fn selinux_on_rootfs_is_impossible_and_says_what_to_do() {
        for root in ["initramfs", "ramfs"] {
            let plan = boot(&Cmdline::default(), &enforcing_image(), &config(&format!("WWROOT={root}")), &[]);
            let said: Vec<_> = plan.iter().filter(|s| matches!(s, Step::Say(_))).map(Step::to_string).collect();
            assert_eq!(
                said,
                [format!(
                    "SELinux is on in the image and in the kernel, but {root} cannot hold labels: set root to tmpfs for this node"
                )]
            );
        }
    }

    #[test]
    fn the_command_line_decides_whether_the_policy_holds() {
        let relaxed = Cmdline { enforcing: Some(false), ..Cmdline::default() };
        let plan = boot(&relaxed, &enforcing_image(), &config("WWROOT=tmpfs"), &[]);
        assert!(!plan.contains(&Step::Enforce), "{plan:?}");
    }

    #[test]
    fn a_bad_line_of_the_config_is_said_first() {
        let plan = boot(&Cmdline::default(), &facts(), &config("A=$(x)"), &[]);
        assert_eq!(
            plan.first(),
            Some(&Step::Say("/warewulf/config line 1: command substitution needs a shell".into()))
        );
    }

    #[test]
    fn a_node_can_do_without_scripts_but_not_without_its_root() {
        let plan = boot(&Cmdline::default(), &facts(), &config("WWROOT=tmpfs"), &[]);
        let fatal: Vec<_> = plan.iter().filter(|s| s.severity() == Severity::Fatal).map(Step::to_string).collect();
        assert_eq!(fatal, ["mount /newroot (tmpfs)", "copy / to /newroot", "switch to /newroot", "exec /sbin/init"]);
    }
}
