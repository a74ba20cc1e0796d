//! Pages that are written by the tests of the tables and keys that they describe.

/// Compares a generated file with what it should be, or rewrites it when asked to.
pub(crate) fn assert_fresh(path: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    if std::env::var_os("FLOWLOG_GENERATE").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == text, "{} is not fresh; run `cargo xtask generate`", path.display());
}
