//! Any text is a template or a fault, and running it ends: by itself, by an error, or out of fuel.
#![no_main]

use libfuzzer_sys::fuzz_target;
use template::{Limits, NoFunctions, Options, Template, Value};

fuzz_target!(|bytes: &[u8]| {
    let Ok(template) = Template::parse("fuzz", bytes, &NoFunctions) else { return };
    let data = Value::dict([("a", Value::from("text")), ("b", Value::int(3)), ("c", Value::texts(["x", "y"]))]);
    let options = Options { limits: Limits { steps: 20_000, bytes: 1 << 20 }, ..Options::default() };
    let _ = template.render(&data, &options);
});
