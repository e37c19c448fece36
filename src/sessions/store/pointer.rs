//! Stores behind pointers, such as one that is selected when the program starts.

use super::{Keys, Saved, SessionStore, StoreError, Stored, Version};
use crate::sync::StdArc;

macro_rules! forward {
    ($pointer:ident) => {
        impl<K, D, S: SessionStore<K, D> + ?Sized> SessionStore<K, D> for $pointer<S> {
            fn opening(&self) -> u64 {
                (**self).opening()
            }

            fn load(&self, key: &K) -> Result<Option<Stored<D>>, StoreError> {
                (**self).load(key)
            }

            fn keys(&self) -> Result<Keys<K>, StoreError> {
                (**self).keys()
            }

            fn save(&self, key: &K, version: Version, data: &D) -> Result<Saved, StoreError> {
                (**self).save(key, version, data)
            }

            fn delete(&self, key: &K, version: Version) -> Result<Saved, StoreError> {
                (**self).delete(key, version)
            }
        }
    };
}

forward!(Box);
forward!(StdArc);
