//! The source of randomness.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};

/// A source of randomness.
pub(crate) struct Random(Box<dyn FnMut() -> u64 + Send + Sync>);

impl Random {
    pub(crate) fn new(source: impl FnMut() -> u64 + Send + Sync + 'static) -> Self {
        Self(Box::new(source))
    }

    pub(crate) fn source(&mut self) -> &mut dyn FnMut() -> u64 {
        &mut self.0
    }
}

impl Default for Random {
    /// Creates a SplitMix64 generator (Steele, Lea, Flood: "Fast splittable pseudorandom number generators",
    /// 2014), seeded by the operating system through the standard library's hasher. Not suitable for secrets.
    fn default() -> Self {
        let mut state = RandomState::new().build_hasher().finish();
        Self::new(move || {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            mixed ^ (mixed >> 31)
        })
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Random").finish_non_exhaustive()
    }
}
