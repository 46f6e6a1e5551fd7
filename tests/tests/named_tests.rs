//! A document that says which test holds a promise is only as good as the test's name: each one must exist.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Names of all functions, and of the files that they stand in.
fn functions(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() && entry.file_name() != "target" && !entry.file_name().to_string_lossy().starts_with('.') {
            functions(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let heads =
                text.lines().filter_map(|line| line.trim_start().trim_start_matches("async ").strip_prefix("fn "));
            found.extend(heads.filter_map(|head| head.split_once('(')).map(|(name, _)| name.to_owned()));
            found.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
}

/// Words of letters, digits and underscores, at least one of these: how a test's name looks.
fn names(text: &str) -> Vec<&str> {
    let words = text.split(|letter: char| !(letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_'));
    words.filter(|word| word.contains('_')).collect()
}

#[test]
fn every_test_that_a_document_names_exists() {
    let mut found = BTreeSet::new();
    functions(&top(), &mut found);
    let mut missing = Vec::new();
    for document in ["QUIRKS.md", "docs/pains.md"] {
        let text = std::fs::read_to_string(top().join(document)).unwrap();
        for line in text.lines().filter(|line| line.starts_with('|') && !line.starts_with("|--")) {
            let last = line.trim_end_matches([' ', '|']).rsplit(" | ").next().unwrap();
            let gone = names(last).into_iter().filter(|name| !found.contains(*name));
            missing.extend(gone.map(|name| format!("{document}: {name}")));
        }
    }
    assert!(missing.is_empty(), "no such test:\n{}", missing.join("\n"));
}
