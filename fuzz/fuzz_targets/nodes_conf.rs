//! Any text is a nodes.conf or a fault with a place; one that was read says the same when it is written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::nodes::NodesConf;

fuzz_target!(|text: &str| {
    let Ok(nodes) = NodesConf::parse(text) else { return };
    let _ = nodes.all_merged();
    let written = nodes.text();
    // YAML reads no key back that is longer; a change with such a key is refused (crates/model/src/edit.rs).
    if written.lines().any(|line| line.len() > 1024) {
        return;
    }
    let again = NodesConf::parse(&written).unwrap_or_else(|fault| panic!("{fault}\n{written}"));
    assert_eq!(again.text(), written);
});
