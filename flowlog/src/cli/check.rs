//! `flowlog check`

use std::io::Write as _;

use flowlog::check::{Fault, Finding};

use super::{Failure, Format, Global, Outcome, run};

pub fn run(arguments: &run::Arguments, global: &Global) -> Result<Outcome, Failure> {
    let config = arguments.config()?;
    let mut findings = super::runtime()?.block_on(flowlog::check::check(&config));
    if arguments.waits() {
        // Whoever waits for an interface does not mind that it is not there.
        for finding in findings.iter_mut().filter(|f| f.at_fault == Fault::Configuration) {
            finding.remedy = None;
        }
    }
    print(&findings, global.format)?;
    let failed: Vec<&Finding> = findings.iter().filter(|finding| !finding.is_sound()).collect();
    let summary = || anyhow::anyhow!("{} of {} checks failed", failed.len(), findings.len());
    match failed.first() {
        None => Ok(Outcome::Done),
        Some(_) if failed.iter().all(|f| f.at_fault == Fault::Configuration) => {
            Err(Failure::usage(summary()))
        }
        Some(_) => Err(Failure::Failed(summary())),
    }
}

fn print(findings: &[Finding], format: Format) -> anyhow::Result<()> {
    if format == Format::Json {
        return super::print_json(&serde_json::json!({ "checks": findings }));
    }
    let mut out = std::io::stdout();
    for Finding { name, detail, remedy, .. } in findings {
        let mark = if remedy.is_none() { "ok  " } else { "FAIL" };
        writeln!(out, "{mark}  {name:<15} {detail}")?;
        if let Some(remedy) = remedy {
            writeln!(out, "      {:<15} → {remedy}", "")?;
        }
    }
    Ok(())
}
