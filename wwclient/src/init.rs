//! PID 1: runs a plan, whatever it is, and never returns. A fatal step, a defect of this program, or an init that
//! cannot be run all end in the same place: [`console::rescue`].

use std::fs;
use std::path::Path;
use std::time::Instant;

use crate::cmdline::{self, Cmdline};
use crate::config::{self, Config};
use crate::plan::{self, Severity, Step};
use crate::steps::device::Drivers;
use crate::steps::scripts::Reaper;
use crate::steps::{Machine, init_name, switch};
use crate::{console, facts, log};

const CONFIG: &str = "/warewulf/config";

/// What a plan needs to become true.
pub trait Hands {
    /// Does one step, or says in words why it could not.
    fn perform(&mut self, step: &Step) -> Result<(), String>;
}

/// The step that a boot cannot do without, and why it failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{step}: {why}")]
pub struct Stopped {
    pub step: String,
    pub why: String,
}

/// From the kernel's hand to init's.
pub fn boot(arguments: &[String]) -> ! {
    start(arguments, |machine, config| {
        run("devices", &plan::devices(), machine, &mut say)?;
        Ok(plan_here(config, arguments))
    })
}

/// The same after somebody else chose and filled the root.
pub fn after_root(arguments: &[String]) -> ! {
    start(arguments, |machine, config| {
        machine.environment.push(("WWTWOSTAGE".to_owned(), "1".to_owned()));
        Ok(plan::after_root(config, arguments))
    })
}

/// The plan that this machine would get, for `--dry-run`.
pub fn dry_run() -> String {
    let mut text = String::new();
    let steps: Vec<_> = plan::devices().into_iter().chain(plan_here(&read_config(), &[])).collect();
    for (place, step) in steps.iter().enumerate() {
        text.push_str(&format!("{}/{} {step}\n", place + 1, steps.len()));
    }
    text
}

/// Does the steps in order; stops at the first fatal failure, reports the others.
pub fn run(name: &str, steps: &[Step], hands: &mut dyn Hands, say: &mut dyn FnMut(String)) -> Result<(), Stopped> {
    let began = Instant::now();
    for (place, step) in steps.iter().enumerate() {
        let number = format!("{name} {}/{}", place + 1, steps.len());
        say(format!("{number} {step}"));
        let step_began = Instant::now();
        if let Err(why) = hands.perform(step) {
            if step.severity() == Severity::Fatal {
                return Err(Stopped { step: step.to_string(), why });
            }
            say(format!("{number} failed and was passed over: {why}"));
        }
        let took = step_began.elapsed();
        if took.as_millis() >= 100 {
            say(format!("{number} took {:.1} s ({:.1} s so far)", took.as_secs_f64(), began.elapsed().as_secs_f64()));
        }
    }
    Ok(())
}

fn start(arguments: &[String], prepare: impl FnOnce(&mut Machine, &Config) -> Result<Vec<Step>, Stopped>) -> ! {
    std::panic::set_hook(Box::new(|info| console::rescue(&format!("a defect of wwclient: {info}"))));
    let reaper = match Reaper::new(true) {
        Ok(reaper) => reaper,
        Err(e) => console::rescue(&format!("cannot wait for children: {e}")),
    };
    let config = read_config();
    let mut machine = Machine { reaper, environment: environment(&config, arguments), drivers: Drivers::default() };
    let done = prepare(&mut machine, &config).and_then(|steps| run("boot", &steps, &mut machine, &mut say));
    match done {
        Ok(()) => console::rescue("the plan has no init"),
        Err(stopped) => console::rescue(&stopped.to_string()),
    }
}

fn plan_here(config: &Config, arguments: &[String]) -> Vec<Step> {
    let root = Path::new("/");
    let cmdline: Cmdline = cmdline::parse(&fs::read_to_string("/proc/cmdline").unwrap_or_default());
    plan::boot(&cmdline, &facts::machine(root, switch::kind(root)), config, arguments)
}

/// A node without the file boots as an empty one says.
fn read_config() -> Config {
    match fs::read(CONFIG) {
        Ok(bytes) => config::parse(&String::from_utf8_lossy(&bytes)),
        Err(_) => Config::default(),
    }
}

/// The configuration, a path to find programs by, and which init it will be.
fn environment(config: &Config, arguments: &[String]) -> Vec<(String, String)> {
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let init = init_name(&plan::candidates(config, arguments)).unwrap_or_default();
    let mut all = vec![("PATH".to_owned(), path.to_owned()), ("WWINITNAME".to_owned(), init)];
    // NUL cannot be in an environment.
    all.extend(config.assignments.iter().filter(|(_, value)| !value.contains('\0')).cloned());
    all
}

fn say(line: String) {
    log::say(format_args!("{line}"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Interpreter;

    /// Hands that fail where they are told to.
    struct Clumsy {
        fails: &'static str,
        did: Vec<String>,
    }

    impl Hands for Clumsy {
        fn perform(&mut self, step: &Step) -> Result<(), String> {
            self.did.push(step.to_string());
            if step.to_string() == self.fails { Err("it broke".to_owned()) } else { Ok(()) }
        }
    }

    fn tmpfs() -> Vec<Step> {
        let facts = facts::Facts { numa_nodes: 1, selinux: None, kernel_selinux: false, root: facts::RootKind::Memory };
        plan::boot(&Cmdline::default(), &facts, &config::parse("WWROOT=tmpfs"), &[])
    }

    fn ran(fails: &'static str) -> (Result<(), Stopped>, Vec<String>, usize) {
        let mut hands = Clumsy { fails, did: Vec::new() };
        let mut said = Vec::new();
        let end = run("boot", &tmpfs(), &mut hands, &mut |line| said.push(line));
        (end, said, hands.did.len())
    }

    #[test]
    fn every_step_is_counted_as_it_begins() {
        let (end, said, did) = ran("");
        assert_eq!((end, did), (Ok(()), 7));
        assert_eq!(
            said,
            [
                "boot 1/7 run /warewulf/wwinit.d",
                "boot 2/7 mount /newroot (tmpfs)",
                "boot 3/7 copy / to /newroot",
                "boot 4/7 switch to /newroot",
                "boot 5/7 loopback up",
                "boot 6/7 run /warewulf/init.d",
                "boot 7/7 exec /sbin/init",
            ]
        );
    }

    #[test]
    fn a_fatal_step_stops_the_boot_and_is_named() {
        let (end, _, did) = ran("mount /newroot (tmpfs)");
        assert_eq!(end, Err(Stopped { step: "mount /newroot (tmpfs)".into(), why: "it broke".into() }));
        assert_eq!(end.unwrap_err().to_string(), "mount /newroot (tmpfs): it broke");
        assert_eq!(did, 2);
    }

    #[test]
    fn a_step_that_a_node_can_do_without_is_reported_and_passed_over() {
        let (end, said, did) = ran("run /warewulf/init.d");
        assert_eq!((end, did), (Ok(()), 7));
        assert!(said.contains(&"boot 6/7 failed and was passed over: it broke".to_owned()), "{said:?}");
    }

    #[test]
    fn scripts_find_the_config_and_a_path_in_their_environment() {
        let config = config::parse("WWHOSTNAME=n1\nSITE='a b'");
        let environment = environment(&config, &[]);
        let names: Vec<_> = environment.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["PATH", "WWINITNAME", "WWHOSTNAME", "SITE"]);
        assert!(tmpfs().contains(&Step::Scripts { folder: "/warewulf/init.d", by: Interpreter::Sh }));
    }
}
