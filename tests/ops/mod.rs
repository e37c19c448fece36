//! Interpreters that decode any bytes as a sequence of operations and check it against a model. Shared by
//! `tests/regressions.rs` and the fuzz targets, so that `cargo test` replays the findings of a fuzzer.

#![allow(dead_code, unreachable_pub)] // Each user needs only a part.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)] // A panic fails the test.

mod bytes;
#[cfg(feature = "manager")]
pub mod driver;
#[cfg(all(feature = "manager", feature = "serde"))]
pub mod import;
#[cfg(feature = "manager")]
pub mod node_addr;
pub mod table;

use std::path::Path;

/// Runs every file of `folder` through `run`, and returns the number of files.
pub fn replay(folder: &Path, run: fn(&[u8])) -> usize {
    let Ok(files) = std::fs::read_dir(folder) else { return 0 };
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).filter(|path| path.is_file()).collect();
    paths.sort();
    for path in &paths {
        println!("replaying {}", path.display());
        run(&std::fs::read(path).unwrap());
    }
    paths.len()
}

/// Runs `cases` sequences of up to `len` random bytes, with the given seed.
pub fn replay_random(seed: u64, cases: usize, len: usize, run: fn(&[u8])) {
    let mut rng = fastrand::Rng::with_seed(seed);
    for _ in 0..cases {
        let bytes: Vec<u8> = (0..rng.usize(0..=len)).map(|_| rng.u8(..)).collect();
        run(&bytes);
    }
}
