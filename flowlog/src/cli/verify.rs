//! `flowlog verify`

use std::io::{IsTerminal as _, Write as _};

use clap::Args;
use flowlog::{
    aggregate::ledger::Gap,
    config::DEFAULT_STORE,
    store::Store,
    telemetry::with_causes,
    verify::{GapOf, Report, verify},
};

use super::{Failure, Format, Global, Outcome, size};

#[derive(Args)]
pub struct Arguments {
    /// The store: a directory or a URL.
    #[arg(long, short, value_name = "URL", default_value = DEFAULT_STORE)]
    store: String,
}

pub fn run(arguments: &Arguments, global: &Global) -> Result<Outcome, Failure> {
    let store = Store::open(&arguments.store).map_err(Failure::usage)?;
    let shows_progress = std::io::stderr().is_terminal();
    let progress = |done: usize, all: usize| {
        // Where standard error cannot be written, nobody misses the progress.
        if shows_progress {
            write!(std::io::stderr(), "\r{done} of {all} files").unwrap_or_default();
        }
    };
    let report = super::runtime()?.block_on(verify(&store, progress))?;
    if shows_progress {
        eprint!("\r\x1b[K");
    }
    print(&report, global.format)?;
    if let Some((object, error)) = report.unreadable.first() {
        return Err(Failure::Failed(anyhow::anyhow!(
            "{} files cannot be read, the first is {object}: {}",
            report.unreadable.len(),
            with_causes(error)
        )));
    }
    Ok(if report.differences.is_empty() { Outcome::Done } else { Outcome::None })
}

fn print(report: &Report, format: Format) -> anyhow::Result<()> {
    let Report { windows, files, rows, packets, bytes, gaps, differences, unreadable } = report;
    if format == Format::Json {
        return super::print_json(&serde_json::json!({
            "windows": windows,
            "files": files,
            "rows": rows,
            "packets": packets,
            "bytes": bytes,
            "gaps": gaps.iter().map(gap_json).collect::<Vec<_>>(),
            "differences": differences.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "unreadable": unreadable.iter().map(|(object, _)| object.to_string()).collect::<Vec<_>>(),
        }));
    }
    let mut out = std::io::stdout();
    for gap in gaps {
        writeln!(out, "{gap}")?;
    }
    for difference in differences {
        writeln!(out, "{difference}")?;
    }
    let verdict = if differences.is_empty() && unreadable.is_empty() {
        "balanced".to_owned()
    } else {
        format!(
            "NOT BALANCED: {} differences, {} unreadable files",
            differences.len(),
            unreadable.len()
        )
    };
    writeln!(
        out,
        "{verdict}: {windows} windows, {rows} flow rows, {packets} packets, {}, in {files} files",
        size::bytes(*bytes)
    )?;
    if !gaps.is_empty() {
        let count = gaps.len();
        writeln!(out, "{count} GAPS, listed above: what passed then may not have been counted")?;
    }
    Ok(())
}

fn gap_json(of: &GapOf) -> serde_json::Value {
    let GapOf { gateway, interface, gap: Gap { start, end, reason } } = of;
    let (start, end) = (start.to_string(), end.to_string());
    serde_json::json!({
        "gateway": gateway,
        "interface": interface,
        "gap_start": start,
        "gap_end": end,
        "gap_reason": reason,
    })
}
