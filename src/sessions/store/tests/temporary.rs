use std::fs;
use std::path::{Path, PathBuf};

use crate::sync::atomic::{AtomicU64, Ordering};

/// A folder of its own, removed at the end.
pub(in crate::sessions::store) struct Temporary(PathBuf);

impl Temporary {
    pub(in crate::sessions::store) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let path = std::env::temp_dir().join(format!("switchboard-store-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(in crate::sessions::store) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
