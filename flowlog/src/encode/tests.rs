/// Compares a generated file with what it should be, or rewrites it when asked to.
fn check_generated(path: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    if std::env::var_os("FLOWLOG_GENERATE").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == text, "{} is not fresh; run `cargo xtask generate`", path.display());
}

#[test]
fn generated_schema_page_is_fresh() {
    check_generated("docs/schema.md", &super::reference());
}

#[test]
fn generated_configuration_page_is_fresh() {
    check_generated("docs/config.md", &crate::config::reference());
}
