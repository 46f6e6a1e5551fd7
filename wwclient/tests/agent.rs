//! The agent for real: this program in network and mount namespaces of its own, against an HTTP server across a veth.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod world;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use world::{Served, World, overlay};

const WAIT: Duration = Duration::from_secs(20);

#[test]
fn a_heartbeat_lays_the_overlay_and_later_ones_ask_whether_it_changed() {
    let Some(world) = World::new("update interval: 1") else { return };
    world.serve(Served::Overlay(overlay(&[("etc/hosts", "one\n")])));
    world.network_up();
    let agent = world.agent(&[]);
    world.until(WAIT, || world.read("etc/hosts") == "one\n");
    world.until(WAIT, || world.requests().len() >= 3);
    let requests = world.requests();
    let first = &requests[0];
    assert!(first.line.starts_with("GET /runtime/52:54:00:10:00:01?assetkey="), "{}", first.line);
    assert!(first.line.ends_with("&compress=gz HTTP/1.1"), "{}", first.line);
    assert_eq!(first.header("user-agent"), Some(concat!("wwclient/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(first.header("if-none-match"), None);
    assert_eq!(requests[1].header("if-none-match"), Some("\"1\""));
    assert_eq!(requests[1].answer, 304);
    assert!(first.port >= 1024, "{}", first.port);
    assert_eq!(fs::read_dir(format!("/proc/{}/task", agent.pid())).unwrap().count(), 1, "one thread");
    agent.ends_well();
}

#[test]
fn it_asks_only_once_the_network_is_there_and_says_what_it_waits_for() {
    let Some(world) = World::new("update interval: 60") else { return };
    world.serve(Served::Overlay(overlay(&[("etc/a", "x")])));
    let agent = world.agent(&[]);
    world.until(WAIT, || agent.said().contains("waiting for the network: no route to 10.77.0.1"));
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(world.requests().len(), 0);
    let began = Instant::now();
    world.network_up();
    world.until(WAIT, || world.read("etc/a") == "x");
    assert!(began.elapsed() < Duration::from_secs(3), "an event, no sleep: {:?}", began.elapsed());
    assert!(agent.said().contains("10.77.0.1 can be reached by node"), "{}", agent.said());
    agent.ends_well();
}

#[test]
fn a_changed_file_arrives_and_the_others_keep_inode_and_times() {
    let Some(world) = World::new("update interval: 1") else { return };
    world.serve(Served::Overlay(overlay(&[("etc/hosts", "one\n"), ("etc/kept", "same\n"), ("etc/gone", "x")])));
    world.network_up();
    let agent = world.agent(&[]);
    world.until(WAIT, || world.read("etc/kept") == "same\n");
    let before = fs::metadata(world.path("etc/kept")).unwrap();
    world.serve(Served::Overlay(overlay(&[("etc/hosts", "two\n"), ("etc/kept", "same\n")])));
    world.until(WAIT, || world.read("etc/hosts") == "two\n" && !world.path("etc/gone").exists());
    let after = fs::metadata(world.path("etc/kept")).unwrap();
    let facts = |m: &fs::Metadata| (m.ino(), m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec(), m.atime_nsec());
    assert_eq!(facts(&after), facts(&before));
    agent.ends_well();
}

#[test]
fn a_local_edit_is_put_right_though_the_server_has_nothing_new() {
    let Some(world) = World::new("update interval: 1") else { return };
    world.serve(Served::Overlay(overlay(&[("etc/hosts", "one\n")])));
    world.network_up();
    let agent = world.agent(&[]);
    world.until(WAIT, || world.requests().iter().any(|r| r.answer == 304));
    fs::write(world.path("etc/hosts"), "edited\n").unwrap();
    world.until(WAIT, || world.read("etc/hosts") == "one\n");
    agent.ends_well();
}

#[test]
fn sighup_asks_now_and_the_interval_stays() {
    let Some(world) = World::new("update interval: 3600") else { return };
    world.serve(Served::Overlay(overlay(&[("etc/hosts", "one\n")])));
    world.network_up();
    let agent = world.agent(&[]);
    world.until(WAIT, || world.read("etc/hosts") == "one\n");
    world.serve(Served::Overlay(overlay(&[("etc/hosts", "two\n")])));
    agent.hangup();
    world.until(WAIT, || world.read("etc/hosts") == "two\n");
    agent.ends_well();
}

#[test]
fn a_controller_that_is_away_is_said_once_and_missed_until_it_is_back() {
    let Some(world) = World::new("update interval: 4") else { return };
    world.network_up();
    let agent = world.agent(&[]);
    world.until(WAIT, || agent.said().contains("10.77.0.1:9873 cannot be reached: Connection refused"));
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(agent.said().matches("cannot be reached").count(), 1, "{}", agent.said());
    world.serve(Served::Overlay(overlay(&[("etc/hosts", "one\n")])));
    world.until(WAIT, || world.read("etc/hosts") == "one\n");
    assert!(agent.said().contains("10.77.0.1 answers again"), "{}", agent.said());
    world.stop_serving();
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(world.read("etc/hosts"), "one\n");
    world.serve(Served::Overlay(overlay(&[("etc/hosts", "two\n")])));
    world.until(WAIT, || world.read("etc/hosts") == "two\n");
    agent.ends_well();
}

#[test]
fn answers_that_are_no_overlay_change_nothing() {
    let Some(world) = World::new("update interval: 1") else { return };
    let good = overlay(&[("etc/hosts", "one\n")]);
    world.serve(Served::Overlay(good.clone()));
    world.network_up();
    let agent = world.agent(&[]);
    world.until(WAIT, || world.read("etc/hosts") == "one\n");
    let other = overlay(&[("etc/hosts", &"two ".repeat(5000)), ("etc/new", "x")]);
    let bad = [
        (Served::CutShort(other.clone()), "the answer broke off"),
        (Served::Overlay(other[..other.len() / 2].to_vec()), "not gzip, or cut short"),
        (Served::Overlay(b"<html>no</html>".to_vec()), "not gzip, or cut short"),
        (Served::Overlay(world::gzip(b"no archive")), "the archive cannot be read"),
        (Served::Endless, "is no runtime overlay"),
        (Served::Status(404), "answers 404: it has no runtime overlay"),
        (Served::Status(401), "answers 401: the asset key differs"),
        (Served::Status(200), "not gzip, or cut short"),
    ];
    for (served, said) in bad {
        world.serve(served);
        agent.hangup();
        world.until(Duration::from_secs(60), || agent.said().contains(said));
        assert_eq!((world.read("etc/hosts"), world.path("etc/new").exists()), ("one\n".into(), false), "{said}");
        agent.forget();
    }
    world.serve(Served::Overlay(other));
    agent.hangup();
    world.until(WAIT, || world.path("etc/new").exists());
    agent.ends_well();
}

#[test]
fn a_secure_controller_is_asked_from_a_port_that_only_root_has() {
    let Some(world) = World::new("secure: true\n  update interval: 1") else { return };
    world.serve(Served::Overlay(overlay(&[("etc/hosts", "one\n")])));
    world.network_up();
    let agent = world.agent(&[]);
    world.until(WAIT, || world.requests().len() >= 4);
    let requests = world.requests();
    let ports: Vec<_> = requests.iter().map(|r| r.port).collect();
    assert!(ports.iter().all(|port| (512..=664).contains(port)), "{ports:?}");
    assert_eq!(requests[1].header("if-none-match"), Some("\"1\""));
    assert_eq!(requests[0].header("host"), Some("10.77.0.1:9873"));
    assert_eq!(world.read("etc/hosts"), "one\n");
    agent.ends_well();
}

#[test]
fn a_port_that_was_set_is_used_each_time() {
    let Some(world) = World::new("secure: true\n  update interval: 1\nwwclient:\n  port: 987") else { return };
    world.serve(Served::Overlay(overlay(&[("etc/hosts", "one\n")])));
    world.network_up();
    let agent = world.agent(&[]);
    world.until(WAIT, || world.requests().len() >= 4);
    let ports: Vec<_> = world.requests().iter().map(|r| r.port).collect();
    assert!(ports.iter().all(|port| *port == 987), "{ports:?}");
    agent.ends_well();
}

#[test]
fn once_asks_once_and_its_code_says_how_it_went() {
    let Some(world) = World::new("update interval: 60") else { return };
    world.network_up();
    assert_eq!(world.agent(&["--once"]).code(), Some(1));
    world.serve(Served::Overlay(overlay(&[("etc/hosts", "one\n")])));
    let agent = world.agent(&["--once"]);
    assert_eq!(agent.code(), Some(0));
    assert!(
        agent.said().contains("is not the installed agent: what it does goes to /warewulf/wwclient-test, not to /")
    );
    assert_eq!(world.read("etc/hosts"), "one\n");
}

#[test]
fn there_is_one_agent_and_a_second_is_told_so() {
    let Some(world) = World::new("update interval: 60") else { return };
    world.serve(Served::Overlay(overlay(&[("etc/hosts", "one\n")])));
    world.network_up();
    let agent = world.agent(&["-p", "/warewulf/pid"]);
    world.until(WAIT, || world.read("etc/hosts") == "one\n");
    assert_eq!(world.read("../pid").trim(), agent.pid().to_string());
    let second = world.agent(&["-p", "/warewulf/pid", "--once"]);
    assert_eq!(second.code(), Some(1));
    assert!(second.said().contains(&format!("an agent is running already, process {}", agent.pid())));
    agent.ends_well();
    assert!(!world.path("../pid").exists());
}

#[test]
fn in_the_background_it_leaves_its_caller_at_once() {
    let Some(world) = World::new("update interval: 60") else { return };
    world.serve(Served::Overlay(overlay(&[("etc/hosts", "one\n")])));
    let caller = world.agent(&["--background", "-p", "/warewulf/pid"]);
    assert_eq!(caller.code(), Some(0));
    world.network_up();
    world.until(WAIT, || world.read("etc/hosts") == "one\n");
    let pid: i32 = world.read("../pid").trim().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM).unwrap();
    world.until(WAIT, || !world.path("../pid").exists());
}

#[test]
fn from_where_it_is_installed_it_works_on_the_root() {
    let Some(world) = World::new("update interval: 1") else { return };
    world.serve(Served::Overlay(overlay(&[("warewulf/live/a", "one\n")])));
    world.network_up();
    let agent = world.installed_agent();
    world.until(WAIT, || world.read("../live/a") == "one\n");
    assert!(!agent.said().contains("is not the installed agent"), "{}", agent.said());
    world.until(WAIT, || world.requests().iter().any(|r| r.answer == 304));
    agent.ends_well();
    // What it knew is there after a restart: no second download.
    let asked = world.requests().len();
    let agent = world.installed_agent();
    world.until(WAIT, || world.requests().len() > asked);
    assert_eq!(world.requests()[asked].answer, 304);
    agent.ends_well();
}

#[test]
fn a_node_named_by_an_interface_waits_for_that_interface() {
    let Some(world) = World::new("update interval: 60") else { return };
    world.kernel_words("wwid=[late]");
    world.serve(Served::Overlay(overlay(&[("etc/hosts", "one\n")])));
    world.network_up();
    let agent = world.agent(&[]);
    world.until(WAIT, || agent.said().contains("wwid=[late]: "));
    world.interface("late", "52:54:00:10:00:77");
    world.until(WAIT, || world.read("etc/hosts") == "one\n");
    assert!(world.requests()[0].line.contains("/runtime/52:54:00:10:00:77?"), "{}", world.requests()[0].line);
    agent.ends_well();
}
