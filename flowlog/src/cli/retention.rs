//! `flowlog retention plan` and `flowlog retention run`

mod report;

use std::{
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
};

use clap::{Args, Subcommand};
use flowlog::{
    config::{File, KeepSettings, RetentionSettings, SpoolSettings, StoreSettings},
    keep::retain::{self, Inventory, Keep, Rule, Scope, aside::Aside, guard},
    record::{
        clock::{self, Utc},
        gateway::GatewayName,
        period::{Period, parse_period},
    },
    store::Store,
    table::{TABLES, Table},
    telemetry::with_causes,
};

use super::{Failure, Global, Outcome, instant::parse_instant, output::Output};
use report::{Clock, Done, Report};

#[derive(Subcommand)]
pub enum Command {
    /// Report what has expired, and delete nothing.
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
    /// How long to keep data after their hour has ended: 90d, 6mo, 1y.
    #[arg(long, value_name = "PERIOD", value_parser = parse_period, required_unless_present = "config")]
    keep: Option<Period>,
    /// Only this table, and the tables that are kept with it: `flows` with `ledger`, `sessions` with
    /// `coverage`. Without it, `--keep` is the period of `flows` and `ledger`.
    #[arg(long, value_name = "TABLE", value_parser = parse_table)]
    table: Option<&'static Table>,
    /// Take this instant for now, with its offset to UTC (2026-11-22T10:00:00Z), instead of the
    /// clock.
    #[arg(long, value_name = "INSTANT", value_parser = parse_instant)]
    at: Option<Utc>,
    /// The store: a directory or a URL.
    #[arg(long, short, value_name = "URL")]
    store: Option<String>,
    /// Only the files of this gateway.
    #[arg(long, value_name = "NAME")]
    gateway: Option<GatewayName>,
    /// Include the damaged files that the daemon moved to `aside` in this spool.
    #[arg(long, value_name = "DIR")]
    spool: Option<PathBuf>,
    /// Configuration file of the daemon (TOML): its store, its spool and the period of each table; an
    /// option overrides its key.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Delete even if the clock is not synchronised and far ahead of the newest record. Only for a
    /// clock that is right.
    #[arg(long)]
    accept_clock: bool,
}

/// What options and configuration file make together.
struct Settings {
    keep: Keep,
    store: String,
    spool: Option<PathBuf>,
}

impl Arguments {
    fn settings(&self) -> Result<Settings, Failure> {
        let file = match &self.config {
            Some(path) => File::read(path).map_err(Failure::usage)?,
            None => File::default(),
        };
        let StoreSettings { store, .. } = file.settings().map_err(Failure::usage)?;
        let SpoolSettings { spool, .. } = file.settings().map_err(Failure::usage)?;
        let KeepSettings { retention } = file.settings().map_err(Failure::usage)?;
        let keep = self.periods(retention.as_ref())?;
        let store = self.store.clone().unwrap_or_else(|| store.in_clear().to_owned());
        Ok(Settings { keep, store, spool: self.spool.clone().or(spool) })
    }
}

impl Arguments {
    /// The period of each table.
    fn periods(&self, configured: Option<&RetentionSettings>) -> Result<Keep, Failure> {
        match (self.table, self.keep, configured) {
            (Some(table), Some(keep), _) => Ok(Keep::only(table, keep)),
            (Some(table), None, Some(configured)) => {
                let period = Keep::configured(configured).of(table);
                let name = table.retention;
                period.map(|period| Keep::only(table, period)).ok_or_else(|| {
                    Failure::usage(anyhow::anyhow!(
                        "the configuration has no period for {name}, so that nothing of it expires; \
                         add `keep` under [retention.{name}], or use --keep"
                    ))
                })
            }
            (None, Some(keep), Some(configured)) => {
                Ok(Keep::configured(&RetentionSettings { keep, ..configured.clone() }))
            }
            (None, Some(keep), None) => Ok(Keep::flows(keep)),
            (None, None, Some(configured)) => Ok(Keep::configured(configured)),
            (_, None, None) => Err(Failure::usage(anyhow::anyhow!(
                "the configuration has no retention.keep, so that nothing expires; \
                 add `keep = \"90d\"` under [retention], or use --keep"
            ))),
        }
    }
}

fn parse_table(text: &str) -> Result<&'static Table, String> {
    let names = || TABLES.iter().map(|table| table.name).collect::<Vec<_>>().join(", ");
    Table::named(text).ok_or_else(|| format!("{text:?} is no table; the tables are {}", names()))
}

pub fn run(command: &Command, global: &Global) -> Result<Outcome, Failure> {
    let (arguments, deletes) = match command {
        Command::Plan(arguments) => (arguments, false),
        Command::Run { arguments, dry_run } => (arguments, !dry_run),
    };
    let settings = arguments.settings()?;
    let store = Store::open(&settings.store).map_err(Failure::usage)?;
    let report = super::runtime()?.block_on(retain(arguments, &settings, &store, deletes))?;
    // The work is done: whoever does not read of it changes nothing.
    let mut output = Output::new();
    output.answer(global.format, || report.json(), |output| report.print(output));
    if deletes {
        output.finish();
    } else {
        output.finish_answer()?;
    }
    report.outcome()
}

async fn retain(
    arguments: &Arguments,
    settings: &Settings,
    store: &Store,
    deletes: bool,
) -> Result<Report, Failure> {
    let now = clock::now();
    let at = arguments.at.unwrap_or(now);
    if let Some(gateway) = &arguments.gateway {
        expect_gateway(store, gateway).await?;
    }
    let gateways = arguments.gateway.clone().map(|gateway| [Scope::from(gateway)]);
    let gateways = gateways.as_ref().map(|gateways| &gateways[..]);
    let rule = Rule { keep: &settings.keep, at, now: now.max(at), gateways };
    let inventory = Inventory::of(store).await?;
    let plan = retain::plan(&inventory, &rule);
    let spool = settings.spool.as_deref();
    let looked = spool.map(|spool| Aside::of(spool, &rule)).transpose();
    let (aside, mut spool_error) = match looked {
        Ok(aside) => (aside.unwrap_or_default(), None),
        Err(error) => (Aside::default(), Some(error)),
    };
    let newest = inventory.newest(None, now);
    let verdict = guard::clock_guard(now, clock::quality(), newest);
    let clock = Clock { verdict, newest, accepted: arguments.accept_clock, at: arguments.at };
    let mut done = None;
    if deletes && (!clock.refuses() || !report::has_expired(&plan, &aside)) {
        let progress = Progress::new(plan.expired.len());
        let from_store = retain::run(store, &plan, |_| progress.step()).await;
        progress.end();
        let from_spool = spool.map(|spool| aside.delete(spool)).transpose();
        let from_spool = from_spool.unwrap_or_else(|error| {
            spool_error = Some(error);
            None
        });
        done = Some(Done { store: from_store, spool: from_spool.unwrap_or_default() });
    }
    if deletes && arguments.at.is_none() {
        remember(store, &inventory, &rule, &clock, &plan).await;
    }
    let unreadable_spool = settings.spool.clone().zip(spool_error);
    Ok(Report { plan, aside, unreadable_spool, clock, at, deletes, done })
}

/// What the next run has to know; where it cannot be written, that one knows less.
async fn remember(
    store: &Store,
    inventory: &Inventory,
    rule: &Rule<'_>,
    clock: &Clock,
    plan: &retain::RetentionPlan,
) {
    let memory = inventory.remember(rule, clock.refuses(), clock.newest, plan);
    if let Err(error) = memory.write(store, &inventory.memory).await {
        tracing::warn!("retention cannot record this run in the store: {}", with_causes(&error));
    }
}

async fn expect_gateway(store: &Store, gateway: &GatewayName) -> Result<(), Failure> {
    let names = store.gateways(&flowlog::table::folders()).await?;
    if names.contains(gateway) {
        return Ok(());
    }
    let names: Vec<&str> = names.iter().map(GatewayName::as_str).collect();
    let there = if names.is_empty() { "there is none".to_owned() } else { names.join(", ") };
    Err(Failure::usage(anyhow::anyhow!("no gateway {gateway} in this store; there are: {there}")))
}

/// How far a long run is, for whoever looks at a terminal.
struct Progress {
    of: usize,
    done: std::cell::Cell<usize>,
    is_shown: bool,
}

impl Progress {
    fn new(of: usize) -> Self {
        let is_shown = std::io::stderr().is_terminal();
        Self { of, done: std::cell::Cell::new(0), is_shown }
    }

    fn step(&self) {
        self.done.set(self.done.get() + 1);
        if self.is_shown {
            let (done, of) = (self.done.get(), self.of);
            // Where standard error cannot be written, nobody misses the progress.
            write!(std::io::stderr(), "\r{done} of {of} partitions").unwrap_or_default();
        }
    }

    fn end(&self) {
        if self.is_shown && self.done.get() > 0 {
            write!(std::io::stderr(), "\r\x1b[K").unwrap_or_default();
        }
    }
}
