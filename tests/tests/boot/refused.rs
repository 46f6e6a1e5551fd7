//! Machines that are not let in: one that nobody knows, and one whose asset tag is not what its node says.

use tests::world::{Status, Wishes};
use tests::{Machine, Net, Vm, World};

use crate::scenario::{PATIENCE, Scenario};

const KNOWN: &str = "52:54:00:10:00:03";
const UNKNOWN: &str = "52:54:00:10:00:ee";

#[derive(Debug)]
struct Record {
    unknown_console: String,
    unknown_log: Vec<String>,
    wrong_log: Vec<String>,
    wrong_status: Status,
    wrong_table: String,
}

static REFUSED: Scenario<Record> = Scenario::new(|| {
    let net = Net::new()?;
    let mut world = World::new(&net, &Wishes::default())?;
    world.add_node("n3", KNOWN, "10.10.0.13", &["--asset", "the-right-one"])?;
    world.start()?;
    let mut unknown = Vm::start(&net, &Machine::bios(UNKNOWN))?;
    let wrong = Vm::start(&net, &Machine { asset: Some("a-wrong-one".to_owned()), ..Machine::bios(KNOWN) })?;
    let hyphens = UNKNOWN.replace(':', "-");
    world
        .wait_for_log(&[" 200 /ipxe/", &hyphens], 1, PATIENCE)
        .map_err(|error| error.context(unknown.console().last(20)))?;
    unknown.wait_for(UNKNOWN, PATIENCE)?;
    world.wait_for_log(&[" 401 /ipxe/"], 1, PATIENCE).map_err(|error| error.context(wrong.console().last(20)))?;
    Ok(Record {
        unknown_console: unknown.console().text(),
        unknown_log: world.log_lines(&["/ipxe/", &hyphens]),
        wrong_log: world.log_lines(&[&KNOWN.replace(':', "-"), " 200 "]),
        wrong_status: world.status("n3")?,
        wrong_table: world.wwctl(&["node", "status"])?,
    })
});

#[test]
fn unknown_mac_gets_the_unconfigured_script() {
    let Some(record) = REFUSED.record() else { return };
    assert!(record.unknown_log[0].contains(" 200 /ipxe/"), "{:?}", record.unknown_log);
    // The script names the address, so that a person can add the node.
    assert!(record.unknown_console.contains(UNKNOWN), "{}", record.unknown_console);
}

#[test]
fn a_wrong_asset_key_is_refused_and_shown_in_node_status() {
    let Some(record) = REFUSED.record() else { return };
    assert_eq!(record.wrong_log, Vec::<String>::new(), "something was sent all the same");
    assert_eq!((record.wrong_status.stage.as_str(), record.wrong_status.sent.as_str()), ("ipxe", "BAD_ASSET"));
    let row = record.wrong_table.lines().find(|line| line.starts_with("n3")).unwrap();
    assert_eq!(row.split_whitespace().take(3).collect::<Vec<_>>(), ["n3", "IPXE", "BAD_ASSET"]);
}
