//! Replays the findings of the fuzz targets, and some random sequences, through their interpreters.

mod ops;

use std::path::Path;

/// The regression files are stored with the fuzz targets. A published package lacks them and runs only random
/// sequences.
fn folder(target: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/regressions").join(target)
}

fn replay(target: &str, len: usize, run: fn(&[u8])) {
    let is_checked_out = folder("").exists();
    assert!(ops::replay(&folder(target), run) > 0 || !is_checked_out, "no files for {target}");
    ops::replay_random(1, 300, len, run);
}

#[test]
fn tables_equal_their_models() {
    replay("table", 400, ops::table::run);
}

#[cfg(feature = "manager")]
#[test]
fn node_addresses_survive_their_text_form() {
    replay("node_addr", 30, ops::node_addr::run);
}

#[cfg(feature = "manager")]
#[test]
fn a_driver_keeps_its_promises_whatever_it_is_told() {
    replay("driver", 400, ops::driver::run);
}

#[cfg(all(feature = "manager", feature = "serde"))]
#[test]
fn an_export_is_refused_or_makes_a_manager_that_works() {
    replay("import", 120, ops::import::run);
}
