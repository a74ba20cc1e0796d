//! SQL for analysts: views and macros for DuckDB over a store.

mod access;
pub mod rows;
mod view;
mod windows;

use std::collections::BTreeMap;

use view::View;

use crate::{
    store::{self, Store},
    table::{FLOWS, LEDGER, TABLES},
};

/// SQL that makes a view of each table, and the macros of [`MACROS`], with the endpoint and the
/// region of S3 that these variables of the environment name.
///
/// Of a table that has no file yet, the SQL looks for files when it is read.
pub async fn duckdb(
    store: &Store,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<String, store::Error> {
    let mut parts = vec![HEAD.to_owned(), access::statements(store.url(), variables)];
    let mut listed = BTreeMap::new();
    for table in TABLES {
        listed.insert(table.name, store.list_folder(table.name).await?.reported());
    }
    let ledgers = listed.get(LEDGER.name).map_or(&[][..], Vec::as_slice);
    let window_start = windows::window_start(store, ledgers).await?;
    for table in TABLES {
        let objects = listed.remove(table.name).unwrap_or_default();
        let window_start = (table.name == FLOWS.name).then_some(&*window_start);
        parts.push(View { store, table, is_empty: objects.is_empty(), window_start }.statements());
    }
    parts.push(MACROS.to_owned());
    Ok(parts.concat())
}

const HEAD: &str = "\
-- Views and macros over a flowlog store, for DuckDB 1.4 or later.
-- What is known of a file is kept for the session; whether it has changed is looked at with each question.
SET parquet_metadata_cache = true;
";

/// The macros, each with an example.
///
/// Those that know the day or the hours make a glob of them, so that DuckDB lists no other folder: a
/// year has 8,760 of them, and it would look at each before it leaves them out. A list of globs would
/// be an error where one of them finds nothing, such as the hour that is yet to come. Of the files it
/// passes over those that a condition on `date` and `hour` excludes.
pub const MACROS: &str = concat!(
    include_str!("duckdb/addresses.sql"),
    include_str!("duckdb/folders.sql"),
    include_str!("duckdb/flows.sql"),
    include_str!("duckdb/recorded.sql"),
    include_str!("duckdb/patterns.sql"),
    include_str!("duckdb/sessions.sql"),
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_question_is_documented() {
        let page = include_str!("../../../docs/duckdb.md");
        let examples = MACROS.lines().filter(|line| line.starts_with("--"));
        let questions = examples.filter_map(|line| line.split_once("FROM ")?.1.split_once('('));
        let questions: Vec<&str> = questions.map(|(name, _)| name).collect();
        assert!(questions.len() > 15, "{questions:?}");
        for question in questions {
            assert!(page.contains(&format!("`{question}(")), "{question}");
        }
    }
}
