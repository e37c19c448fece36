//! One staged change.

/// One operation: the key, its hash, and what it maps to afterwards.
pub(super) struct Op<K, V> {
    pub(super) hash: u64,
    pub(super) key: K,
    pub(super) value: Option<V>,
}
