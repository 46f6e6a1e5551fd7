//! The recipes that switch on machines or measure: what they need is made sure of here, then the tests' `lab` program takes
//! over.

use std::os::unix::process::CommandExt;
use std::process::ExitCode;

use anyhow::Context;

use crate::agent::Route;
use crate::place::Place;
use crate::shell::{self, say};
use crate::{dist, packages, root};

/// Makes the release, then becomes `lab RECIPE`.
///
/// # Errors
/// When something is absent that cannot be installed, or a build fails.
pub fn run(place: &Place, route: Route, recipe: &str, words: &[&str]) -> anyhow::Result<ExitCode> {
    let switches_on_machines = matches!(recipe, "demo" | "bench-boot");
    packages::ensure(if switches_on_machines { packages::BOOT } else { packages::BENCH })?;
    root::ensure(&place.target)?;
    let dist = dist::make(place, route)?;
    say("build lab");
    let mut cargo = shell::cargo();
    cargo.args(["build", "--locked", "--package", "tests", "--bin", "lab"]).current_dir(&place.root);
    // A load generator that is slow would measure itself.
    let built = if recipe.starts_with("bench-") { "release/lab" } else { "debug/lab" };
    if built == "release/lab" {
        cargo.arg("--release");
    }
    shell::run(&mut cargo)?;
    // Becoming it, and not waiting for it, leaves Ctrl-C to the one program that has something to tidy up.
    let lab = place.target.join(built);
    let mut lab = shell::as_root(lab);
    lab.arg(recipe).args(words).env("WW_DIST", dist).env("WW_BUILD_CACHE", &place.cache);
    let refused = lab.exec();
    Err(refused).with_context(|| format!("cannot become {}", shell::line(&lab)))
}
