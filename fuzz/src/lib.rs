//! The code of the fuzz targets. The interpreters are those of the crate's own tests.

#[path = "../../tests/ops/mod.rs"]
pub mod ops;

#[cfg(all(test, feature = "manager"))]
mod tests {
    use std::path::Path;

    use super::ops;

    #[test]
    fn regressions_stay_fixed() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
        assert!(ops::replay(&folder.join("table"), ops::table::run) > 0);
        assert!(ops::replay(&folder.join("node_addr"), ops::node_addr::run) > 0);
        assert!(ops::replay(&folder.join("driver"), ops::driver::run) > 0);
        #[cfg(feature = "serde")]
        assert!(ops::replay(&folder.join("import"), ops::import::run) > 0);
    }
}
