//! `flowlog verify`

use std::io::{IsTerminal as _, Write as _};

use clap::Args;
use flowlog::{
    ask::verify::{Depth, InterfaceGap, Report, verify},
    record::ledger::Gap,
    store::Store,
    telemetry::with_causes,
};

use super::{Failure, Global, Outcome, Output, size, source::StoreArguments};

/// The store, and how deeply to read it; the help of the command is in `cli.rs`.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    store: StoreArguments,
    /// Read every page of every column too
    ///
    /// Without this option, verify decodes the columns of counts, and checks every byte by the
    /// digest of its file. With this option, verify decodes all columns, and checks each page by
    /// its checksum: this also finds damage in files without a digest, and rows that cannot be
    /// read.
    #[arg(long)]
    deep: bool,
}

pub fn run(arguments: &Arguments, global: &Global) -> Result<Outcome, Failure> {
    let store = Store::open(&arguments.store.read()?).map_err(Failure::usage)?;
    let depth = if arguments.deep { Depth::Pages } else { Depth::Sums };
    let shows_progress = std::io::stderr().is_terminal();
    let progress = |done: usize, all: usize| {
        // Where standard error cannot be written, nobody misses the progress.
        if shows_progress {
            write!(std::io::stderr(), "\r{done} of {all} files").unwrap_or_default();
        }
    };
    let report = super::runtime()?.block_on(verify(&store, depth, progress))?;
    if shows_progress {
        write!(std::io::stderr(), "\r\x1b[K").unwrap_or_default();
    }
    let mut out = Output::new();
    out.answer(global.format, || json(&report), |out| write_text(&report, out));
    // The exit code is that of the store, whoever reads of it.
    outcome(&report, store.url().as_str()).and_then(|outcome| {
        out.finish_answer()?;
        Ok(outcome)
    })
}

fn outcome(report: &Report, store: &str) -> Result<Outcome, Failure> {
    if let Some((object, error)) = report.unreadable.first() {
        return Err(Failure::Failed(anyhow::anyhow!(
            "{} files cannot be read, the first is {object}: {}",
            report.unreadable.len(),
            with_causes(error)
        )));
    }
    if report.is_of_nothing() {
        let line = format!("nothing to verify: no files of flowlog under {store}");
        // Where even this cannot be written, the exit code says it.
        writeln!(std::io::stderr(), "flowlog: {line}").unwrap_or_default();
        return Ok(Outcome::None);
    }
    Ok(if report.is_balanced() { Outcome::Done } else { Outcome::None })
}

fn json(report: &Report) -> serde_json::Value {
    let Report {
        windows,
        files,
        rows,
        packets,
        bytes,
        gaps,
        differences,
        missing,
        double,
        foreign,
        warnings,
        unreadable,
    } = report;
    serde_json::json!({
        "windows": windows,
        "files": files,
        "rows": rows,
        "packets": packets,
        "bytes": bytes,
        "gaps": gaps.iter().map(gap_json).collect::<Vec<_>>(),
        "differences": lines(differences),
        "missing": lines(missing),
        "double": lines(double),
        "foreign": lines(foreign),
        "warnings": lines(warnings),
        "unreadable": unreadable.iter().map(|(object, _)| object.to_string()).collect::<Vec<_>>(),
    })
}

fn lines<T: ToString>(all: &[T]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

fn write_text(report: &Report, out: &mut Output) {
    let Report { windows, files, rows, packets, bytes, gaps, .. } = report;
    let Report { differences, missing, double, foreign, warnings, unreadable, .. } = report;
    for gap in gaps {
        out.line(gap);
    }
    for warning in warnings {
        out.line(format!("warning: {warning}"));
    }
    for line in [lines(differences), lines(missing), lines(double), lines(foreign)].concat() {
        out.line(line);
    }
    for (object, error) in unreadable {
        out.line(format!("{object}: {}", with_causes(error)));
    }
    if report.is_of_nothing() && unreadable.is_empty() {
        out.line("NOTHING TO VERIFY");
        return;
    }
    let faults = [
        (differences.len(), "differences"),
        (missing.len(), "ranges of epochs missing"),
        (double.len(), "ranges of epochs double"),
        (foreign.len(), "foreign files"),
        (unreadable.len(), "unreadable files"),
    ];
    let faults: Vec<String> = faults
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{count} {name}"))
        .collect();
    let verdict = if faults.is_empty() {
        "balanced".to_owned()
    } else {
        format!("NOT BALANCED: {}", faults.join(", "))
    };
    out.line(format!(
        "{verdict}: {windows} windows, {rows} flow rows, {packets} packets, {}, in {files} files",
        size::bytes(*bytes)
    ));
    if !gaps.is_empty() {
        let count = gaps.len();
        out.line(format!(
            "{count} GAPS, listed above: packets in these times may not have been counted"
        ));
    }
}

fn gap_json(of: &InterfaceGap) -> serde_json::Value {
    let InterfaceGap { gateway, interface, gap: Gap { start, end, reason } } = of;
    let (start, end) = (start.to_string(), end.to_string());
    serde_json::json!({
        "gateway": gateway,
        "interface": interface,
        "gap_start": start,
        "gap_end": end,
        "gap_reason": reason,
    })
}
