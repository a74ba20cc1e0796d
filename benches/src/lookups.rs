//! Size and speed of the store beside nfdump, on the same rows.
//!
//! Ninety days of hours: one dense day, and 89 thin ones before it. flowlog's encoder writes a file
//! an hour; nfcapd is sent the same rows as IPFIX over loopback, and writes files of five minutes
//! (the thin days, about which nfdump is never asked, a file a day). `lookups/ask.py` asks both the
//! same questions in turn, and fails when the answers differ: DuckDB by the macros and by the view, `flowlog flows` as a
//! process of its own and within one that keeps footers, and nfdump.
//!
//! nfdump is asked twice: with files by LZO, the setting that its size is compared by too, and by LZ4,
//! which it reads fastest of those that compress.

mod collector;
mod ipfix;
mod nfdump;
pub mod questions;
mod rows;
mod store;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context as _, ensure};
use flowlog::record::clock::Utc;

use crate::{Measurement, Series};
use collector::Compression;
use rows::{Hour, Tables};

/// What `cargo xtask bench` gives.
pub struct Arguments {
    /// Makes the rows.
    pub flows: PathBuf,
    /// A Python with numpy, pyarrow and DuckDB.
    pub python: PathBuf,
    /// Where tables, store and nfdump's files are kept.
    pub folder: PathBuf,
    /// Rows of the dense day, as `flows` counts them: it makes some less.
    pub rows: u64,
}

pub fn measure(arguments: &Arguments) -> anyhow::Result<Vec<Measurement>> {
    let Arguments { flows, python, folder, rows } = arguments;
    let tables = Tables::new(folder.join("rows"), *rows);
    eprintln!("making tables");
    tables.make(python, flows)?;
    let mut series = Series::default();
    eprintln!("sizes of the standard hour");
    standard_hour(&tables.standard(), folder, &mut series)?;
    let folder = folder.join(rows.to_string());
    eprintln!("writing the store");
    let (store, written) = write_store(&tables, &folder)?;
    series.add("rows", "rows", count(written)?);
    for (compression, suffix) in [(Compression::Lzo, ""), (Compression::Lz4, "_lz4")] {
        eprintln!("giving nfcapd the same rows, compressed by {}", compression.name());
        let captured = capture(&tables, &folder, compression)?;
        ensure!(captured == written, "nfdump has {captured} of {written} rows");
        eprintln!("asking");
        ask(python, &store, &captured_day(&folder, compression), suffix, &mut series)?;
    }
    ratios(&mut series);
    Ok(series.0)
}

/// Bytes a flow of the standard hour, and how fast nfdump reads it by each of its settings.
fn standard_hour(hour: &Hour, folder: &Path, series: &mut Series) -> anyhow::Result<()> {
    let rows = hour.rows()?;
    let million = count(rows.len())? / 1e6;
    for _ in 0..SCANS {
        let began = Instant::now();
        let file = store::encode(&rows, Utc::from_ms(hour.begins_ms))?;
        series.add("flowlog_write", "s/M rows", began.elapsed().as_secs_f64() / million);
        let bytes = count(file.len())?;
        series.add("flowlog_size", "bytes/flow", bytes / (million * 1e6));
    }
    drop(rows);
    for compression in Compression::ALL {
        let name = compression.name();
        let folder = folder.join("standard").join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        let began = Instant::now();
        nfdump::capture(std::slice::from_ref(hour), &folder, compression)?;
        let took = began.elapsed().as_secs_f64();
        series.add(format!("nfcapd_write_{name}"), "s/M rows", took / million);
        for _ in 0..SCANS {
            let bytes = f64::from(u32::try_from(nfdump::size(&folder)?)?);
            series.add(format!("nfdump_size_{name}"), "bytes/flow", bytes / (million * 1e6));
            let took = nfdump::scan(&folder)?;
            series.add(format!("nfdump_scan_{name}"), "ms", took * 1e3);
        }
    }
    Ok(())
}

const SCANS: usize = 3;

/// Writes all ninety days anew, since it is the encoder that is measured.
fn write_store(tables: &Tables, folder: &Path) -> anyhow::Result<(PathBuf, usize)> {
    let store = folder.join("store");
    if store.exists() {
        fs::remove_dir_all(&store)?;
    }
    let mut written = 0;
    for hour in tables.thin_days().iter().flatten().chain(&tables.dense_day()) {
        written += store::write(&store, hour)?;
    }
    Ok((store, written))
}

/// Has nfcapd write all ninety days, unless it did so before: nothing of ours is in that.
fn capture(tables: &Tables, folder: &Path, by: Compression) -> anyhow::Result<usize> {
    let day = captured_day(folder, by);
    let thin = day.with_file_name("thin");
    let complete = day.with_file_name("complete");
    if !complete.exists() {
        if let Some(part) = day.parent().filter(|part| part.exists()) {
            fs::remove_dir_all(part)?;
        }
        nfdump::capture(&tables.dense_day(), &day, by)?;
        for hours in tables.thin_days() {
            nfdump::capture_day(&hours, &thin, by)?;
        }
        fs::write(complete, [])?;
    }
    Ok(nfdump::records(&day)? + nfdump::records(&thin)?)
}

fn captured_day(folder: &Path, by: Compression) -> PathBuf {
    folder.join(format!("nfdump-{}", by.name())).join("day")
}

/// Asks both the same questions.
fn ask(
    python: &Path,
    store: &Path,
    nfdump: &Path,
    suffix: &str,
    series: &mut Series,
) -> anyhow::Result<()> {
    let benches = std::env::current_exe()?;
    let mut script = script(python, "ask.py");
    script.arg(benches.with_file_name("flowlog")).arg(&benches).arg(store).arg(nfdump);
    let output = script.stderr(std::process::Stdio::inherit()).output()?;
    ensure!(output.status.success(), "ask.py: {}", output.status);
    let answers: Vec<(String, Vec<f64>)> = serde_json::from_slice(&output.stdout)?;
    for (name, runs) in answers {
        for run in runs {
            series.add(format!("{name}{suffix}"), "ms", run);
        }
    }
    Ok(())
}

/// How many times smaller or faster flowlog was.
fn ratios(series: &mut Series) {
    for name in ["lzo", "lz4", "bz2"] {
        let (ours, theirs) = ("flowlog_size", format!("nfdump_size_{name}"));
        series.compare(format!("smaller_than_{name}"), ours, &theirs);
    }
    series.compare("written_faster_than_bz2", "flowlog_write", "nfcapd_write_bz2");
    for (suffix, than) in [("", ""), ("_lz4", "_than_lz4")] {
        for question in QUESTIONS {
            let [ours, theirs] =
                ["flowlog", "nfdump"].map(|whose| format!("{whose}_{question}{suffix}"));
            series.compare(format!("{question}_faster{than}"), &ours, &theirs);
            for way in ["", "_within"] {
                let ours = format!("flows_{question}{way}{suffix}");
                series.compare(format!("flows_{question}{way}_faster{than}"), &ours, &theirs);
            }
        }
    }
}

/// As `ask.py` calls them.
const QUESTIONS: [&str; 5] =
    ["instant_rare", "instant_common", "day_rare", "day_member", "day_top"];

/// A program of `benches/lookups`.
fn script(python: &Path, name: &str) -> Command {
    let mut command = Command::new(python);
    command.arg(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/lookups")).join(name));
    command
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().context("cannot start Python")?;
    ensure!(status.success(), "{status}: {command:?}");
    Ok(())
}

fn count(number: usize) -> anyhow::Result<f64> {
    Ok(f64::from(u32::try_from(number)?))
}
