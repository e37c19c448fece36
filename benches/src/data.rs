//! Keys, values, and the sequences in which they are looked up.

use std::hash::Hash;

/// A key made from a number: different numbers give different keys.
pub trait Key: Hash + Eq + Ord + Clone + Send + Sync + std::fmt::Debug + 'static {
    const NAME: &'static str;

    fn from_number(number: u64) -> Self;
}

/// A bijection, so that keys look random and stay distinct (splitmix64).
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Key for u64 {
    const NAME: &'static str = "u64";

    fn from_number(number: u64) -> Self {
        mix(number)
    }
}

impl Key for [u8; 16] {
    const NAME: &'static str = "16 bytes";

    fn from_number(number: u64) -> Self {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&mix(number).to_le_bytes());
        key[8..].copy_from_slice(&mix(!number).to_le_bytes());
        key
    }
}

impl Key for String {
    const NAME: &'static str = "String";

    fn from_number(number: u64) -> Self {
        format!("peer-{:016x}", mix(number))
    }
}

/// A value of a fixed size, of which one word is read.
pub trait Value: Hash + Eq + Clone + Send + Sync + std::fmt::Debug + 'static {
    const NAME: &'static str;

    fn with_word(number: u64) -> Self;

    fn word(&self) -> u64;
}

impl Value for u64 {
    const NAME: &'static str = "8 bytes";

    fn with_word(number: u64) -> Self {
        number
    }

    fn word(&self) -> u64 {
        *self
    }
}

impl Value for [u64; 4] {
    const NAME: &'static str = "32 bytes";

    fn with_word(number: u64) -> Self {
        [number; 4]
    }

    fn word(&self) -> u64 {
        self[0]
    }
}

impl Value for [u64; 16] {
    const NAME: &'static str = "128 bytes";

    fn with_word(number: u64) -> Self {
        [number; 16]
    }

    fn word(&self) -> u64 {
        self[0]
    }
}

/// The entries of every map, and the keys that are looked up and updated. Created once, before any
/// measurement.
#[derive(Debug)]
pub struct Data<K, V> {
    pub entries: Vec<(K, V)>,
    /// Uniformly random existing keys.
    pub hits: Vec<K>,
    /// Uniformly random missing keys.
    pub misses: Vec<K>,
    /// Uniformly random existing keys, with new values.
    pub updates: Vec<(K, V)>,
}

/// Number of lookups between two clock reads.
pub const CHUNK: usize = 256;

impl<K: Key, V: Value> Data<K, V> {
    #[must_use]
    pub fn new(len: usize) -> Self {
        let mut rng = fastrand::Rng::with_seed(len as u64);
        // Long enough for the processor not to learn the sequence of a large map.
        let asked = len.max(1 << 16).next_multiple_of(CHUNK);
        let len = len as u64;
        let entries = (0..len).map(|number| (K::from_number(number), V::with_word(number))).collect();
        let hits = (0..asked).map(|_| K::from_number(rng.u64(0..len))).collect();
        let misses = (0..asked).map(|_| K::from_number(len + rng.u64(0..len))).collect();
        let updates = (0..asked.min(1 << 18))
            .map(|_| (K::from_number(rng.u64(0..len)), V::with_word(rng.u64(..))))
            .collect();
        Self { entries, hits, misses, updates }
    }
}
