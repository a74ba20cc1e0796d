//! `flowlog run`

use std::{path::PathBuf, time::Duration};

use super::{Failure, Global, Outcome, Output, Signals};
use clap::Args;
use flowlog::{
    config::{Config, File},
    record::policy::{AttachMode, Order, Profile},
    service::{self, Options, Summary, Whereabouts},
};

#[derive(Args)]
pub struct Arguments {
    /// Record this: both sides of each conversation (flows), who used which address and port
    /// (attribution), or only members under an order (targeted). There is no default.
    #[arg(long, value_enum, value_name = "PROFILE")]
    profile: Option<Profile>,
    /// VPN interface to record; a name or a pattern (wg*), several separated by commas.
    #[arg(long, short, value_name = "NAME[,NAME…]", value_delimiter = ',')]
    interface: Vec<String>,
    /// Where the files go: a directory, or the URL of a bucket of S3, Google or Azure
    #[arg(long, short, value_name = "URL")]
    store: Option<String>,
    /// Length of a window: a flow gives one row in each window in which it was active.
    #[arg(long, value_name = "DURATION")]
    window: Option<String>,
    /// How often the kernel's maps are emptied.
    #[arg(long, value_name = "DURATION")]
    drain_interval: Option<String>,
    /// Directory on a local disk that keeps what was counted until the store has it: with it, a
    /// crash or an outage of the store loses nothing.
    #[arg(long, value_name = "DIR")]
    spool: Option<PathBuf>,
    /// Directory of a BPF file system where the counters outlive the daemon, with --spool.
    #[arg(long, value_name = "DIR")]
    pins: Option<PathBuf>,
    /// Name of this gateway in the store; the host's name where none is given.
    #[arg(long, value_name = "NAME")]
    gateway: Option<String>,
    /// Configuration file (TOML); the options above come before it.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Start although an interface does not exist yet, and record it when it does.
    #[arg(long)]
    wait: bool,
    /// How the kernel program is attached.
    #[arg(long, value_enum, default_value_t)]
    attach: AttachMode,
    /// Where, among the programs and filters of others: before them (first) or behind them (last).
    #[arg(long, value_enum, value_name = "ORDER")]
    order: Option<Order>,
}

impl Arguments {
    /// The configuration that the file and the options make together.
    pub fn config(&self) -> Result<Config, Failure> {
        let mut file = match &self.config {
            Some(path) => File::read(path).map_err(Failure::usage)?,
            None => File::default(),
        };
        file.profile = self.profile.or(file.profile);
        file.order = self.order.or(file.order);
        if !self.interface.is_empty() {
            file.interfaces = Some(self.interface.clone());
        }
        let options = [
            (&mut file.store, &self.store),
            (&mut file.window, &self.window),
            (&mut file.drain_interval, &self.drain_interval),
            (&mut file.gateway, &self.gateway),
        ];
        for (key, option) in options {
            if option.is_some() {
                key.clone_from(option);
            }
        }
        for (key, option) in [(&mut file.spool, &self.spool), (&mut file.pins, &self.pins)] {
            if option.is_some() {
                key.clone_from(option);
            }
        }
        Config::from_file(file, &hostname()).map_err(Failure::usage)
    }

    pub fn waits(&self) -> bool {
        self.wait
    }

    pub fn attach(&self) -> AttachMode {
        self.attach
    }
}

fn hostname() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    name.unwrap_or_default()
}

pub fn run(arguments: &Arguments, global: &Global) -> Result<Outcome, Failure> {
    let config = arguments.config()?;
    let mut signals = Signals::block()?;
    let whereabouts = Whereabouts::default();
    signals.limit(config.shutdown_timeout, whereabouts.clone())?;
    let options = Options { wait: arguments.wait, attach: arguments.attach, whereabouts };
    let runtime = super::runtime()?;
    let outcome = runtime.block_on(service::run(&config, &options, signals.stopped()));
    // Whatever still hangs is not waited for.
    runtime.shutdown_background();
    let summary = outcome.map_err(classify)?;
    let mut out = Output::with_patience(PATIENCE);
    let json = || serde_json::to_value(summary).unwrap_or_default();
    out.answer(global.format, json, |out| out.line(line(&summary)));
    out.finish();
    Ok(Outcome::Done)
}

/// What a configuration is to blame for is an error of usage.
fn classify(error: service::Error) -> Failure {
    match error {
        service::Error::NoInterface { .. }
        | service::Error::AlternativeName { .. }
        | service::Error::Capture(flowlog::capture::Error::Kind { .. })
        | service::Error::Store { source: flowlog::store::Error::Url { .. }, .. } => {
            Failure::usage(error)
        }
        _ => Failure::Failed(error.into()),
    }
}

/// How long the end waits for whoever reads the summary.
const PATIENCE: Duration = Duration::from_millis(500);

/// The summary in a line.
pub fn line(summary: &Summary) -> String {
    let Summary { packets, bytes, flows, files } = summary;
    format!("{packets} packets, {bytes} bytes, {flows} flows, {files} files")
}
