//! Checks in the sources that names reserved for one file are used only there.
//!
//! A lint cannot check this, because the facade re-exports the real atomics.

#![allow(clippy::unwrap_used)] // Tests.

use std::fs;
use std::path::{Path, PathBuf};

/// Collects all source files under `dir`.
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

/// Returns the code of a line, before any comment. Doc comments contain examples, which users compile.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or(line)
}

/// Returns the code lines under `src/` with one of `names`, except in the `allowed` files and folders.
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
        if name.ends_with("tests.rs") || name.contains("/tests/") {
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
    assert!(lines_in_allowed > 0, "no line of the allowed files contains {names:?}");
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

#[test]
fn only_the_map_of_sessions_names_papaya() {
    assert_eq!(trespassers(&["papaya"], &["sessions/map.rs"]), [""; 0]);
}

#[test]
fn only_the_facade_names_triomphe() {
    assert_eq!(trespassers(&["triomphe"], &["sync.rs", "docs/"]), [""; 0]);
}

/// The reason for this range: a header of a table is rewritten and published again as soon as its count says
/// that no reader holds it. The count is only right if a writer that finds no debt has looked in the order of
/// the sequentially consistent operations; this is the failure ordering of `Debt::pay`. Releases before 1.9
/// had a weaker ordering. Before the range is widened, the source of the new release must be reviewed:
/// `src/table/cell.rs`, step 4.
const RANGE: &str = "arc-swap = \">=1.9.3, <1.10\"";
const PAYMENT: &str = ".compare_exchange(ptr as usize, Self::NONE, SeqCst, SeqCst)";

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn arc_swap_is_of_the_range_that_was_read() {
    let manifest = read("Cargo.toml");
    let entries: Vec<_> = manifest.lines().filter(|line| line.starts_with("arc-swap")).collect();
    assert_eq!(entries, [RANGE; 2], "a dependency and a dev-dependency, both of the reviewed range");
    // A packaged crate has no lock file.
    if !Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock").exists() {
        return;
    }
    let version = locked_arc_swap();
    let patch = version.strip_prefix("1.9.").and_then(|patch| patch.parse::<u32>().ok());
    assert!(patch.is_some_and(|patch| patch >= 3), "arc-swap {version} is outside the reviewed range");
}

/// Returns the version of arc-swap in the lock file.
fn locked_arc_swap() -> String {
    let lock = read("Cargo.lock");
    let mut lines = lock.lines().skip_while(|line| *line != "name = \"arc-swap\"").skip(1);
    let version = lines.next().unwrap().strip_prefix("version = \"").unwrap();
    version.trim_end_matches('"').to_owned()
}

/// Checks the sources of the dependency, if cargo has unpacked them.
#[test]
fn a_payment_of_arc_swap_that_fails_is_sequentially_consistent() {
    let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo"));
    let Some(registries) =
        cargo_home.or(home).and_then(|cargo| fs::read_dir(cargo.join("registry/src")).ok())
    else {
        return;
    };
    let folder = format!("arc-swap-{}", locked_arc_swap());
    for registry in registries {
        let file = registry.unwrap().path().join(&folder).join("src/debt/mod.rs");
        if let Ok(source) = fs::read_to_string(&file) {
            let payments = source.lines().filter(|line| line.contains("compare_exchange")).map(str::trim);
            let payments: Vec<_> = payments.filter(|line| !line.starts_with("//")).collect();
            assert_eq!(payments, [PAYMENT], "{}: see `RANGE` for what depends on it", file.display());
        }
    }
}
