//! SQL for analysts: views and macros for DuckDB over a store.

mod access;
pub mod rows;

use crate::{
    store::{self, Store},
    table::{TABLES, Table},
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
    for table in TABLES {
        let is_empty = store.list_folder(table.name).await?.reported().is_empty();
        let (name, view) = (table.name, View { store, table, is_empty });
        let all = view.all_folders();
        parts.extend(is_empty.then(|| view.choice(&all)));
        parts.push(format!("CREATE OR REPLACE VIEW {name} AS {};\n", view.rows(&all)));
        if !table.sorted_by.is_empty() {
            // What the view reads of some folders of each gateway, such as a date and an hour: of a table that has
            // an order, few rows are asked for.
            let some = view.rows("folders");
            parts.push(format!("CREATE OR REPLACE MACRO {name}_in(folders) AS TABLE {some};\n"));
        }
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
/// passes over those that a condition on `date` alone or on `hour` alone excludes, and not one on both.
pub const MACROS: &str = include_str!("duckdb/macros.sql");

/// A table of a store, in SQL.
struct View<'a> {
    store: &'a Store,
    table: &'a Table,
    /// Whether it has no file yet.
    is_empty: bool,
}

impl View<'_> {
    /// All of its rows, of any version of the table.
    fn rows(&self, folders: &str) -> String {
        let rows = self.rows_of(folders);
        if self.table.version == 1 {
            return rows;
        }
        // Files of version 1 lack columns: where there are no others, those are there too.
        format!("{} UNION ALL BY NAME {rows}", self.none())
    }

    /// The folders of every partition of a gateway, an expression of SQL.
    fn all_folders(&self) -> String {
        format!("'{}'", vec!["*"; self.table.span.folders().len()].join("/"))
    }

    /// The rows of the files in some folders, an expression of SQL.
    fn rows_of(&self, folders: &str) -> String {
        if self.is_empty {
            let variable = self.variable();
            return format!(
                "FROM query(replace(getvariable('{variable}'), '{FOLDERS}', {folders}))"
            );
        }
        self.files(folders)
    }

    /// Chooses once for a session what its rows are: those of files, or none while there are no files,
    /// which DuckDB does not read.
    fn choice(&self, folders: &str) -> String {
        let (variable, none) = (self.variable(), self.none().replace('\'', "''"));
        let files = self.files(&format!("'{FOLDERS}'")).replace('\'', "''");
        let (name, pattern) = (self.table.name, self.pattern(folders));
        format!(
            "-- The store had no file of {name} when flowlog wrote this SQL. A session that began before the\n\
             -- first file must read this SQL again. When there is a file, run flowlog duckdb again.\n\
             SET VARIABLE {variable} = (SELECT CASE WHEN count(*) = 0 THEN '{none}' ELSE '{files}' END \
             FROM glob({pattern}));\n"
        )
    }

    fn variable(&self) -> String {
        format!("flowlog_{}", self.table.name)
    }

    fn files(&self, folders: &str) -> String {
        // DuckDB takes the columns from the first file, which is right while there is one version of the
        // table. With a second one, `union_by_name = true` takes them from all files, and reads the
        // footer of each before it answers anything: three to six times as slow.
        let union = if self.table.version == 1 { "" } else { "union_by_name = true, " };
        let types: Vec<String> =
            self.folders().map(|(name, sql)| format!("'{name}': {sql}")).collect();
        format!(
            "SELECT * FROM read_parquet({}, {union}hive_partitioning = true, hive_types = {{{}}})",
            self.pattern(folders),
            types.join(", ")
        )
    }

    /// The columns that folders add, with their types.
    fn folders(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        [("gateway", "VARCHAR")].into_iter().chain(self.table.span.folders().iter().copied())
    }

    /// Its files in some folders, an expression of SQL.
    fn pattern(&self, folders: &str) -> String {
        let base = access::base(self.store.url());
        let tables = format!("{}/{}/*/", base.trim_end_matches('/'), self.table.name);
        format!("'{}' || {folders} || '/*.parquet'", tables.replace('\'', "''"))
    }

    /// No row, with all of its columns.
    fn none(&self) -> String {
        let null = |(name, sql): (&str, &str)| format!("CAST(NULL AS {sql}) AS {name}");
        let columns = self.table.columns.iter().map(|column| (column.name, column.kind.sql()));
        let columns: Vec<String> = columns.chain(self.folders()).map(null).collect();
        format!("SELECT {} WHERE false", columns.join(", "))
    }
}

/// What stands for the folders in SQL that is kept in a variable.
const FOLDERS: &str = "{folders}";
