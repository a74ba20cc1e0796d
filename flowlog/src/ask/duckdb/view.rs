//! A table of a store as SQL: a view of all its rows, and a macro for the rows of some folders.

use super::access;
use crate::{
    store::Store,
    table::{Span, Table, description::Kind},
};

/// A table of a store, in SQL.
pub(super) struct View<'a> {
    pub store: &'a Store,
    pub table: &'a Table,
    /// Whether it has no file yet.
    pub is_empty: bool,
    /// The beginning of a row's window, in SQL, where its table does not have it.
    pub window_start: Option<&'a str>,
}

impl View<'_> {
    /// Makes the view, and a macro `TABLE_in(folders, gateway := NULL)`: what the view reads of some folders of each
    /// gateway or of one, such as a date and an hour.
    pub(super) fn statements(&self) -> String {
        let name = self.table.name;
        let all = format!("'*/' || {}", self.all_folders());
        let choice = if self.is_empty { self.choice(&all) } else { String::new() };
        let (every, some) = (self.rows(&all), self.rows(OF_GATEWAY));
        let first_days =
            if self.table.span == Span::Day { self.first_days(&all) } else { String::new() };
        format!(
            "{choice}{first_days}CREATE OR REPLACE VIEW {name} AS {every};\n\
             CREATE OR REPLACE MACRO {name}_in(folders, gateway := NULL) AS TABLE {some};\n"
        )
    }

    /// Looks once for a session for the first day of each gateway that is kept.
    fn first_days(&self, folders: &str) -> String {
        let (variable, pattern) = (self.variable(), self.pattern(folders));
        format!(
            "SET VARIABLE {variable}_first = (SELECT map_from_entries(list((gateway, first))) FROM (\
             SELECT regexp_extract(file, '/gateway=([^/]+)/', 1) AS gateway, \
             min(regexp_extract(file, '/date=([0-9-]+)/', 1))::DATE AS first FROM glob({pattern}) GROUP BY gateway));\n"
        )
    }

    /// All of its rows, of any version of the table, as analysts want them: counters that can be subtracted, and the
    /// columns that are easier to ask for.
    fn rows(&self, folders: &str) -> String {
        let counters = self.table.columns.iter().filter(|column| column.kind == Kind::UInt64);
        let counters: Vec<String> =
            counters.map(|column| format!("{0}::BIGINT AS {0}", column.name)).collect();
        let replaced = match counters.join(", ") {
            none if none.is_empty() => none,
            some => format!(" REPLACE ({some})"),
        };
        let added = self.window_start.map_or_else(String::new, |window| {
            let columns = FLOWS.into_iter().chain([("window_start", window)]);
            columns.fold(String::new(), |sql, (name, column)| sql + ", " + column + " AS " + name)
        });
        format!("SELECT *{replaced}{added} FROM ({})", self.stored_rows(folders))
    }

    /// All of its rows, of any version of the table.
    fn stored_rows(&self, folders: &str) -> String {
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
        let table = format!("{}/{}/", base.trim_end_matches('/'), self.table.name);
        format!("'{}' || {folders} || '/*.parquet'", table.replace('\'', "''"))
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

/// The folders that the macro of a table is asked for, of a gateway or of each: an expression of SQL.
const OF_GATEWAY: &str = "coalesce('gateway=' || gateway || '/', '*/') || folders";

/// Columns that the view of `flows` has behind those of its table, but for the window: what people call a protocol
/// (names of IANA, `icmpv6` as Wireshark has it), and the version of IP.
const FLOWS: [(&str, &str); 2] = [
    (
        "protocol_name",
        "CASE protocol WHEN 1 THEN 'icmp' WHEN 2 THEN 'igmp' WHEN 4 THEN 'ipip' WHEN 6 THEN 'tcp' WHEN 17 THEN 'udp' \
         WHEN 41 THEN 'ipv6' WHEN 47 THEN 'gre' WHEN 50 THEN 'esp' WHEN 51 THEN 'ah' WHEN 58 THEN 'icmpv6' \
         WHEN 89 THEN 'ospf' WHEN 103 THEN 'pim' WHEN 112 THEN 'vrrp' WHEN 115 THEN 'l2tp' WHEN 132 THEN 'sctp' \
         WHEN 136 THEN 'udplite' ELSE protocol::VARCHAR END",
    ),
    ("family", "CASE WHEN contains(member_ip, ':') THEN 6 ELSE 4 END::UTINYINT"),
];
