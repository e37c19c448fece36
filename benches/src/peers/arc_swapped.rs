//! Whole maps behind an `ArcSwap`, read through its `Cache`: a published table built by hand.

use std::any::Any;
use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};
use rpds::HashTrieMapSync;

use super::{Hasher, Peer, Read};
use crate::data::{Key, Value};

type Published<M> = Arc<ArcSwap<M>>;

/// One flat hashbrown map with the values inline, cloned as a whole by every publish. It is the limit for
/// reads.
pub struct Flat<K, V>(Side<hashbrown::HashMap<K, V, Hasher>>);

/// `imbl::HashMap`.
pub struct Imbl<K, V>(Side<ImblMap<K, V>>);

/// `rpds::HashTrieMapSync`.
pub struct Rpds<K: Key, V: Value>(Side<HashTrieMapSync<K, V, Hasher>>);

type ImblMap<K, V> = imbl::GenericHashMap<K, V, Hasher, imbl::shared_ptr::DefaultSharedPtr>;

struct Side<M> {
    staged: M,
    published: Published<M>,
}

impl<M: Clone> Side<M> {
    fn new(empty: M) -> Self {
        Self { published: Arc::new(ArcSwap::from_pointee(empty.clone())), staged: empty }
    }

    fn publish(&self) {
        self.published.store(Arc::new(self.staged.clone()));
    }
}

/// A `Cache`: one atomic load while nothing is published.
pub struct Cached<'a, M>(Cache<&'a ArcSwap<M>, Arc<M>>);

macro_rules! peer {
    ($name:ident, $text:literal, $map:ty, $empty:expr, $put:ident) => {
        impl<K: Key, V: Value> Peer<K, V> for $name<K, V> {
            const NAME: &'static str = $text;
            type Source = Published<$map>;
            type Reader<'a> = Cached<'a, $map>;

            fn new() -> Self {
                Self(Side::new($empty))
            }

            fn source(&self) -> Self::Source {
                self.0.published.clone()
            }

            fn reader(source: &Self::Source) -> Self::Reader<'_> {
                Cached(Cache::new(&**source))
            }

            fn put(&mut self, key: K, value: V) {
                self.0.staged.$put(key, value);
            }

            fn publish(&mut self) {
                self.0.publish();
            }

            fn hold(&self) -> Option<Box<dyn Any>> {
                Some(Box::new(self.0.published.load_full()))
            }

            fn fill(&mut self, entries: &[(K, V)]) {
                for (key, value) in entries {
                    self.put(key.clone(), value.clone());
                }
                self.publish();
            }
        }

        impl<K: Key, V: Value> Read<K, V> for Cached<'_, $map> {
            #[inline]
            fn with<R>(&mut self, key: &K, look: impl FnOnce(&V) -> R) -> Option<R> {
                self.0.load().get(key).map(look)
            }

            fn for_each(&mut self, mut visit: impl FnMut(&K, &V)) {
                self.0.load().iter().for_each(|(key, value)| visit(key, value));
            }
        }
    };
}

peer!(
    Flat,
    "ArcSwap + hashbrown (the limit)",
    hashbrown::HashMap<K, V, Hasher>,
    hashbrown::HashMap::default(),
    insert
);
peer!(Imbl, "ArcSwap + imbl", ImblMap<K, V>, ImblMap::with_hasher(Hasher::default()), insert);
peer!(
    Rpds,
    "ArcSwap + rpds",
    HashTrieMapSync<K, V, Hasher>,
    rpds::HashTrieMap::new_with_hasher_and_degree_and_ptr_kind(Hasher::default(), 64),
    insert_mut
);
