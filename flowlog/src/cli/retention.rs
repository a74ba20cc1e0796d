//! `flowlog retention plan` and `flowlog retention run`

use std::io::Write as _;

use clap::{Args, Subcommand};
use flowlog::{
    clock::{self, Utc},
    config::{DEFAULT_STORE, Period, parse_period},
    retain::{self, RetentionPlan},
    store::Store,
};

use super::{Failure, Format, Global, Outcome, size};

#[derive(Subcommand)]
pub enum Command {
    /// Say what has expired, and delete nothing.
    Plan(Arguments),
    /// Delete what has expired.
    Run {
        #[command(flatten)]
        arguments: Arguments,
        /// Print the plan, and delete nothing: the same as `retention plan`.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Args)]
pub struct Arguments {
    /// How long data are kept after their hour has ended: 90d, "12 months", 1y.
    #[arg(long, value_name = "PERIOD", value_parser = parse_period)]
    keep: Period,
    /// The instant to judge by, with its offset to UTC (2026-11-22T10:00:00Z); now where none is given.
    #[arg(long, value_name = "INSTANT", value_parser = parse_instant)]
    at: Option<Utc>,
    /// The store: a directory or a URL.
    #[arg(long, short, value_name = "URL", default_value = DEFAULT_STORE)]
    store: String,
    /// Only the files of this gateway.
    #[arg(long, value_name = "NAME")]
    gateway: Option<String>,
}

fn parse_instant(text: &str) -> Result<Utc, String> {
    text.parse::<jiff::Timestamp>()
        .map(Utc::from)
        .map_err(|_| format!("{text:?} is no instant; write for example 2026-11-22T10:00:00Z"))
}

pub fn run(command: &Command, global: &Global) -> Result<Outcome, Failure> {
    let (arguments, deletes) = match command {
        Command::Plan(arguments) => (arguments, false),
        Command::Run { arguments, dry_run } => (arguments, !dry_run),
    };
    let Arguments { keep, at, store, gateway } = arguments;
    let store = Store::open(store).map_err(Failure::usage)?;
    super::runtime()?.block_on(async {
        let at = at.unwrap_or_else(clock::now);
        let plan = retain::plan(&store.list().await?, keep, at, gateway.as_deref());
        if global.format == Format::Json {
            if deletes {
                retain::run(&store, &plan, |_| ()).await?;
            }
            super::print_json(&json(&plan, at, deletes))?;
            return Ok(Outcome::Done);
        }
        print(&plan)?;
        let mut partitions = 0;
        if deletes {
            let outcome = retain::run(&store, &plan, |_| partitions += 1).await;
            if let Err(error) = outcome {
                let of = plan.expired.len();
                return Err(Failure::Failed(
                    anyhow::Error::from(error)
                        .context(format!("{partitions} of {of} partitions are deleted; run it again")),
                ));
            }
        }
        let verb = if deletes { "deleted" } else { "to be deleted" };
        let files: usize = plan.expired.iter().map(|e| e.files.len()).sum();
        let bytes: u64 = plan.expired.iter().map(|e| e.bytes).sum();
        writeln!(
            std::io::stdout(),
            "{verb}: {} partitions, {files} files, {}; kept: {} files, and {} that are not flowlog's",
            plan.expired.len(),
            size::bytes(bytes),
            plan.kept_files,
            plan.foreign.len()
        )?;
        Ok(Outcome::Done)
    })
}

fn print(plan: &RetentionPlan) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    for expired in &plan.expired {
        let (folder, files) = (expired.partition.folder(), expired.files.len());
        writeln!(out, "expired  {folder}  {files} files, {}", size::bytes(expired.bytes))?;
    }
    for object in &plan.foreign {
        writeln!(out, "kept     {object}  not a file of flowlog, so that its time cannot be read")?;
    }
    Ok(())
}

fn json(plan: &RetentionPlan, at: Utc, deleted: bool) -> serde_json::Value {
    let expired = plan.expired.iter().map(|expired| {
        serde_json::json!({
            "partition": expired.partition.folder(),
            "files": expired.files.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "bytes": expired.bytes,
        })
    });
    serde_json::json!({
        "at": at.to_string(),
        "deleted": deleted,
        "expired": expired.collect::<Vec<_>>(),
        "kept_files": plan.kept_files,
        "foreign": plan.foreign.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}
