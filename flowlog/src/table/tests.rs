use super::TABLES;
use crate::generated::assert_fresh;

#[test]
fn generated_schema_page_is_fresh() {
    assert_fresh("docs/schema.md", &super::reference(TABLES));
}
