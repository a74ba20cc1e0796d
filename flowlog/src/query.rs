//! SQL for analysts: views and macros for DuckDB over a store.

pub mod rows;

use crate::{
    encode::schema::{self, Column},
    store::{self, Store, layout::Dataset},
};

/// SQL that makes the views `flows` and `ledger` and the macros of [`MACROS`].
///
/// A table that has no file yet becomes an empty view, so that the SQL always runs.
pub async fn duckdb(store: &Store) -> Result<String, store::Error> {
    let mut parts = vec![HEAD.to_owned(), access(store).to_owned()];
    for dataset in Dataset::ALL {
        let is_empty = store.list_dataset(dataset).await?.is_empty();
        let select =
            |folders| if is_empty { empty(dataset) } else { files(store, dataset, folders) };
        let (name, all) = (dataset.name(), select("'*/*'"));
        parts.push(format!("CREATE OR REPLACE VIEW {name} AS {all};\n"));
        if dataset == Dataset::Flows {
            // What the view reads of some folders of each gateway: a date and an hour.
            let some = select("folders");
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
pub const MACROS: &str = "\
-- Where `day` is a date, only its folders are read, and it is an error when there is none:
-- nothing was recorded on it, or its time was over.
CREATE OR REPLACE MACRO folders_of(day) AS
    CASE WHEN day IS NULL THEN '*' ELSE strftime(day::DATE, 'date=%Y-%m-%d') END || '/*';
-- Members by volume:            FROM top_talkers(10);  FROM top_talkers(10, day := DATE '2026-11-22');
CREATE OR REPLACE MACRO top_talkers(n, day := NULL) AS TABLE
    SELECT member_ip, sum(bytes_up + bytes_down) AS bytes, sum(packets_up + packets_down) AS packets, count(*) AS flows
    FROM flows_in(folders_of(day)) GROUP BY member_ip ORDER BY bytes DESC, member_ip LIMIT n;
-- Who talked to an address:     FROM who_talked_to('192.0.2.1', day := DATE '2026-11-22');
CREATE OR REPLACE MACRO who_talked_to(address, day := NULL) AS TABLE
    SELECT member_ip, protocol, remote_port, min(flow_start) AS first_seen, max(flow_end) AS last_seen,
        sum(bytes_up) AS bytes_up, sum(bytes_down) AS bytes_down
    FROM flows_in(folders_of(day)) WHERE remote_ip = address GROUP BY ALL
    ORDER BY first_seen, last_seen, member_ip, protocol, remote_port;
-- What a member did:            FROM flows_of('10.0.0.7', day := DATE '2026-11-22');
CREATE OR REPLACE MACRO flows_of(address, day := NULL) AS TABLE
    FROM flows_in(folders_of(day)) WHERE member_ip = address
    ORDER BY flow_start, flow_end, protocol, remote_ip, remote_port, member_port, gateway, interface;
-- Who used a remote address and port at an instant, a second either way:
--                               FROM at_instant('192.0.2.1', 443, TIMESTAMPTZ '2026-11-22 09:57:31+00');
-- The instant cannot be a subquery: SET VARIABLE t = (SELECT ...), and at_instant(..., getvariable('t')).
-- Reads the hour of the instant and the next one. Where neither is there, nothing was recorded then, or
-- its time was over, and DuckDB may say that it finds no file. A row is in the hour of its window, but
-- what was counted while no daemon ran is in the hour in which one came back: after an outage of more
-- than an hour, say how long it was, as in at_instant(..., outage := INTERVAL 5 HOUR). The ledger shows
-- it, since it has rows there whose observed_start is before their window_start.
CREATE OR REPLACE MACRO in_utc(instant) AS make_timestamp(epoch_us(instant::TIMESTAMPTZ));
CREATE OR REPLACE MACRO hours_between(first, last) AS generate_series(date_trunc('hour', first), last, INTERVAL 1 HOUR);
-- One pattern, which has at each place the characters of all these hours there.
CREATE OR REPLACE MACRO folders_of_hours(hours) AS
    regexp_replace(list_aggregate(['[' || list_aggregate(list_distinct([strftime(hour, 'date=%Y-%m-%d/hour=%H')[place] for hour in hours]), 'string_agg', '') || ']'
        for place in range(1, 24)], 'string_agg', ''), '\\[(.)\\]', '\\1', 'g');
CREATE OR REPLACE MACRO rows_of_hours(address, port, instant, hours) AS TABLE
    FROM flows_in(folders_of_hours(hours)) WHERE remote_ip = address AND remote_port = port
        AND flow_start <= instant + INTERVAL 1 SECOND AND flow_end >= instant - INTERVAL 1 SECOND
        AND list_contains([date_part('hour', one) for one in hours], hour)
    ORDER BY flow_start, flow_end, member_ip, member_port, protocol, gateway, interface;
CREATE OR REPLACE MACRO at_instant(address, port, instant, outage := '1 hour') AS TABLE
    FROM rows_of_hours(address, port, instant::TIMESTAMPTZ, hours_between(in_utc(instant) - INTERVAL 1 SECOND, in_utc(instant) + INTERVAL 1 SECOND + outage::INTERVAL));
-- Volume by hour:               FROM volume_per_hour();
CREATE OR REPLACE MACRO volume_per_hour(day := NULL) AS TABLE
    SELECT gateway, date, hour, sum(bytes_up) AS bytes_up, sum(bytes_down) AS bytes_down, count(*) AS flows
    FROM flows_in(folders_of(day)) GROUP BY ALL ORDER BY ALL;
-- What was seen and not kept:   FROM losses();
CREATE OR REPLACE MACRO losses() AS TABLE
    SELECT gateway, window_start, interface, direction, packets_overflow, packets_remainder, packets_not_ip, packets_malformed, packets_excluded
    FROM ledger WHERE packets_seen <> packets_flows ORDER BY ALL;
-- When nothing was counted:     FROM gaps();
CREATE OR REPLACE MACRO gaps() AS TABLE
    SELECT DISTINCT gateway, interface, gap_start, gap_end FROM ledger WHERE gap_start IS NOT NULL ORDER BY ALL;
";

/// What DuckDB must load before it can read from the store.
fn access(store: &Store) -> &'static str {
    match store.url().scheme() {
        "file" => "",
        "az" | "azure" | "abfs" | "abfss" | "adl" => {
            "INSTALL azure; LOAD azure;\nCREATE OR REPLACE SECRET flowlog (TYPE azure, PROVIDER credential_chain);\n"
        }
        "gs" => {
            "INSTALL httpfs; LOAD httpfs;\n-- Google asks for an HMAC key: CREATE SECRET (TYPE gcs, KEY_ID '…', SECRET '…');\n"
        }
        _ => {
            "INSTALL httpfs; LOAD httpfs; INSTALL aws; LOAD aws;\nCREATE OR REPLACE SECRET flowlog (TYPE s3, PROVIDER credential_chain);\n"
        }
    }
}

/// `folders` is an expression of SQL.
fn files(store: &Store, dataset: Dataset, folders: &str) -> String {
    let url = store.url();
    let base = match url.to_file_path() {
        Ok(path) if url.scheme() == "file" => path.display().to_string(),
        _ => url.to_string(),
    };
    let tables =
        format!("{}/{}/*/", base.trim_end_matches('/'), dataset.name()).replace('\'', "''");
    // DuckDB takes the columns from the first file, which is right while there is one version of the
    // table. With a second one, `union_by_name = true` takes them from all files, and reads the
    // footer of each before it answers anything: three to six times as slow.
    let union = match dataset {
        Dataset::Flows => {
            const { assert!(matches!(schema::FLOWS_VERSION.as_bytes(), b"1"), "a second version") };
            ""
        }
        Dataset::Ledger => "union_by_name = true, ",
    };
    format!(
        "SELECT * FROM read_parquet('{tables}' || {folders} || '/*.parquet', {union}hive_partitioning = true, \
         hive_types = {{'gateway': VARCHAR, 'date': DATE, 'hour': UTINYINT}})"
    )
}

fn empty(dataset: Dataset) -> String {
    let columns: &[Column] = match dataset {
        Dataset::Flows => &schema::FLOWS,
        Dataset::Ledger => &schema::LEDGER,
    };
    let null = |name: &str, sql: &str| format!("CAST(NULL AS {sql}) AS {name}");
    let columns: Vec<String> = columns
        .iter()
        .map(|column| null(column.name, column.kind.sql()))
        .chain(
            [("gateway", "VARCHAR"), ("date", "DATE"), ("hour", "UTINYINT")]
                .map(|(n, t)| null(n, t)),
        )
        .collect();
    format!("SELECT {} WHERE false", columns.join(", "))
}
