use super::{TABLES, Table, trial::TRIAL};
use crate::generated::assert_fresh;

#[test]
fn generated_schema_page_is_fresh() {
    let tables: Vec<&Table> = TABLES.iter().copied().filter(|table| **table != TRIAL).collect();
    assert_fresh("docs/schema.md", &super::reference(&tables));
}
