//! Reads the sources: what may be named in one file only is named in that file only.
//!
//! A lint cannot tell, because the atomics of the facade are re-exports of the real ones.

#![allow(clippy::unwrap_used)] // Tests.

use std::fs;
use std::path::{Path, PathBuf};

/// All source files under `dir`.
fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The code of a line: what comes before a comment. Doc comments hold examples, which users compile.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or(line)
}

/// The lines of code under `src/` that contain a word of `names`, outside of the `allowed` files and folders.
fn trespassers(names: &[&str], allowed: &[&str]) -> Vec<String> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut found = Vec::new();
    let mut lines_in_allowed = 0;
    assert!(files.len() > 10, "read only {} files", files.len());
    for file in files {
        let name = file.strip_prefix(&src).unwrap().to_str().unwrap().replace('\\', "/");
        // Unit tests run on real threads and are not part of a model.
        if name.ends_with("tests.rs") || name.contains("tests/") {
            continue;
        }
        let is_allowed = allowed.iter().any(|prefix| name.starts_with(prefix));
        for (number, line) in (1..).zip(fs::read_to_string(&file).unwrap().lines()) {
            if names.iter().any(|name| code(line).contains(name)) {
                lines_in_allowed += usize::from(is_allowed);
                if !is_allowed {
                    found.push(format!("src/{name}:{number}: {}", line.trim()));
                }
            }
        }
    }
    assert!(
        lines_in_allowed > 0,
        "nothing names {names:?} any more: is this test looking for the right words?"
    );
    found
}

#[test]
fn only_the_facade_names_what_it_stands_for() {
    let names = ["std::sync", "core::sync", "std::thread", "loom::", "shuttle::"];
    assert_eq!(trespassers(&names, &["sync.rs", "sync/"]), [""; 0]);
}

#[test]
fn only_the_cell_names_arc_swap() {
    assert_eq!(trespassers(&["arc_swap"], &["table/cell.rs", "table/cell/"]), [""; 0]);
}
