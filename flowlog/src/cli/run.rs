//! `flowlog run`

use std::time::Duration;

use super::{
    Failure, Global, Outcome, Output, Signals,
    source::{FileAndFlags, hostname},
};
use clap::Args;
use flowlog::{
    config::Config,
    record::policy::AttachMode,
    service::{self, Options, Summary, Whereabouts},
    status::Status,
};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    settings: FileAndFlags,
    /// Start even if an interface does not exist yet, and record it as soon as it exists.
    #[arg(long)]
    wait: bool,
    /// Way to attach the kernel program to an interface.
    #[arg(long, value_enum, default_value_t)]
    attach: AttachMode,
}

impl Arguments {
    /// The configuration that the file and the options make together.
    pub fn config(&self) -> Result<Config, Failure> {
        Config::from_file(self.settings.read()?, &hostname()).map_err(Failure::usage)
    }

    pub fn waits(&self) -> bool {
        self.wait
    }

    pub fn attach(&self) -> AttachMode {
        self.attach
    }
}

pub fn run(arguments: &Arguments, global: &Global) -> Result<Outcome, Failure> {
    let config = arguments.config()?;
    let mut signals = Signals::block()?;
    let whereabouts = Whereabouts::default();
    signals.limit(config.times.shutdown_timeout, whereabouts.clone())?;
    let status = Status::default();
    let options = Options { wait: arguments.wait, attach: arguments.attach, whereabouts, status };
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
