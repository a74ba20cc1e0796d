//! The same rows in nfdump's files: five minutes each, by when flows ended.

use std::{fs, path::Path, process::Command, time::Instant};

use anyhow::{Context as _, ensure};
use flowlog::record::clock::Utc;

use super::{
    collector::{self, Compression},
    rows::{DAY_MS, Hour, Row},
};

const FILE_MS: i64 = 300_000;

/// Gives nfcapd hours of rows, for files of five minutes; returns how many rows.
pub fn capture(hours: &[Hour], folder: &Path, by: Compression) -> anyhow::Result<usize> {
    fs::create_dir_all(folder)?;
    let mut count = 0;
    for hour in hours {
        let rows = hour.rows()?;
        count += rows.len();
        for rows in rows.chunk_by(|a, b| a.end_ms / FILE_MS == b.end_ms / FILE_MS) {
            capture_file(rows, FILE_MS, folder, by)?;
        }
    }
    let kept = records(folder)?;
    ensure!(kept == count, "nfcapd kept {kept} of {count} flows");
    Ok(count)
}

/// Gives nfcapd a thin day, for one file.
pub fn capture_day(hours: &[Hour], folder: &Path, by: Compression) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    let rows: Vec<Vec<Row>> = hours.iter().map(Hour::rows).collect::<Result<_, _>>()?;
    capture_file(&rows.concat(), DAY_MS, folder, by)
}

fn capture_file(rows: &[Row], length: i64, folder: &Path, by: Compression) -> anyhow::Result<()> {
    let Some(first) = rows.first() else { return Ok(()) };
    let begins = Utc::from_ms(first.end_ms - first.end_ms % length).to_string();
    let digits: String = begins.chars().filter(char::is_ascii_digit).take(12).collect();
    collector::capture(rows, &folder.join(format!("nfcapd.{digits}")), by)
}

/// How many flows nfdump finds in the files of a folder.
pub fn records(folder: &Path) -> anyhow::Result<usize> {
    let output = Command::new("nfdump").arg("-I").arg("-R").arg(folder).output()?;
    ensure!(output.status.success(), "nfdump -I: {}", output.status);
    let summary = String::from_utf8_lossy(&output.stdout);
    let flows = summary.lines().find_map(|line| line.strip_prefix("Flows: "));
    Ok(flows.context("nfdump does not tell how many flows there are")?.trim().parse()?)
}

/// Seconds in which nfdump reads all files of a folder, for a filter that nothing passes.
pub fn scan(folder: &Path) -> anyhow::Result<f64> {
    let began = Instant::now();
    let mut nfdump = Command::new("nfdump");
    nfdump.args(["-q", "-o", "null"]).arg("-R").arg(folder).arg("dst ip 192.0.2.1");
    let output = nfdump.output().context("cannot start nfdump")?;
    ensure!(output.status.success(), "nfdump: {}", output.status);
    Ok(began.elapsed().as_secs_f64())
}

/// Bytes of all files of a folder.
pub fn size(folder: &Path) -> anyhow::Result<u64> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.metadata()?.len())).sum()
}
