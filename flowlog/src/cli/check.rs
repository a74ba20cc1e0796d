//! `flowlog check`

use clap::Args;
use flowlog::service::check::{Fault, Finding, Options};

use super::{Failure, Global, Outcome, Output, run};

#[derive(Args)]
#[group(skip)]
pub struct Arguments {
    #[command(flatten)]
    run: run::Arguments,
    /// Write, read and delete a test object in the store; without this option check changes
    /// nothing.
    #[arg(long)]
    probe: bool,
}

pub fn run(arguments: &Arguments, global: &Global) -> Result<Outcome, Failure> {
    let Arguments { run, probe } = arguments;
    let config = run.config()?;
    let options = Options { attach: run.attach(), probe: *probe };
    let runtime = super::runtime()?;
    let mut findings = runtime.block_on(flowlog::service::check::check(&config, options));
    // A disk that hangs is not waited for.
    runtime.shutdown_background();
    if run.waits() {
        // Whoever waits for an interface does not mind that it is not there.
        for finding in findings.iter_mut().filter(|f| f.at_fault == Fault::Configuration) {
            finding.remedy = None;
        }
    }
    let mut out = Output::new();
    let json = || serde_json::json!({ "checks": findings });
    out.answer(global.format, json, |out| print(out, &findings));
    out.finish_answer()?;
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

fn print(out: &mut Output, findings: &[Finding]) {
    for Finding { name, detail, remedy, .. } in findings {
        let mark = if remedy.is_none() { "ok  " } else { "FAIL" };
        out.line(format_args!("{mark}  {name:<15} {detail}"));
        if let Some(remedy) = remedy {
            out.line(format_args!("      {:<15} → {remedy}", ""));
        }
    }
}
