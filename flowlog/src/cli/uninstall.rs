//! `flowlog uninstall`

use std::path::PathBuf;

use clap::Args;
use flowlog::{
    capture::{
        self,
        uninstall::{Attachment, Removal},
    },
    config::{CaptureSettings, StoreSettings},
    record::gateway::GatewayName,
};

use super::{Failure, Global, Outcome, Output, source::ConfigFile};

#[derive(Args)]
pub struct Arguments {
    /// Directory of the pinned links and maps [default: from the configuration file, else
    /// /sys/fs/bpf/flowlog].
    #[arg(long, value_name = "DIR")]
    pins: Option<PathBuf>,
    /// Remove only what belongs to this gateway [default: from the configuration
    /// file, else all gateways].
    #[arg(long, value_name = "NAME")]
    gateway: Option<GatewayName>,
    #[command(flatten)]
    file: ConfigFile,
    /// List what uninstall would remove, and remove nothing.
    #[arg(long)]
    dry_run: bool,
}

pub fn run(arguments: &Arguments, global: &Global) -> Result<Outcome, Failure> {
    let Arguments { pins, gateway, file, dry_run } = arguments;
    let file = file.read()?;
    let of_file: CaptureSettings = file.settings().map_err(Failure::usage)?;
    let pins = pins.clone().unwrap_or(of_file.pins);
    let StoreSettings { gateway: of_file, .. } = file.settings().map_err(Failure::usage)?;
    let gateway = gateway.clone().or(of_file);
    let removal = Removal::plan(&capture::reachable(&pins)?, gateway.as_ref())?;
    let found = serde_json::json!({ "removed": !dry_run, "found": &removal });
    let text = describe(&removal, *dry_run);
    if !dry_run {
        removal.run()?;
    }
    let mut out = Output::new();
    out.answer(global.format, || found, |out| out.text(text));
    out.finish();
    Ok(Outcome::Done)
}

fn describe(removal: &Removal, dry_run: bool) -> String {
    if removal.is_empty() {
        return "flowlog has nothing in the kernel\n".to_owned();
    }
    let verb = if dry_run { "to be removed" } else { "removed" };
    let mut lines = vec![];
    for found in &removal.gateways {
        let (gateway, maps, places) = (&found.gateway, found.maps, places(&found.attached));
        lines.push(format!("{verb}: gateway {gateway}, {maps} maps{places}"));
        match found.flows {
            Some(0) => {}
            Some(flows) => {
                lines.push(format!("  with {flows} flows that were not drained yet; {KEEP}"));
            }
            None => lines.push(format!(
                "  with flows of another version of flowlog that were not drained yet; {KEEP}"
            )),
        }
        for number in &found.not_here {
            lines.push(format!(
                "  its filters on interface number {number} are not in this network namespace: if the interface is in another one, run this command there too"
            ));
        }
    }
    if !removal.strays.is_empty() {
        let places = places(&removal.strays);
        lines.push(format!("{verb}: filters of a flowlog that was killed{places}"));
    }
    lines.join("\n") + "\n"
}

/// How not to lose what a daemon left for the next one.
const KEEP: &str = "to save these flows first, run flowlog once more, stop it, then uninstall";

fn places(attached: &[Attachment]) -> String {
    let places = attached.iter().map(|attachment| {
        let Attachment { direction, by, .. } = attachment;
        format!(", {} {direction} ({by})", attachment.interface())
    });
    places.collect()
}
