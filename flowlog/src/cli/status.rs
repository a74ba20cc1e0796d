//! `flowlog status`

mod text;

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use flowlog::{
    config::{StatusSettings, StoreSettings},
    record::period::parse_duration,
    status::{self, Snapshot, ask, judge},
};

use super::{
    Failure, Global, Outcome, Output,
    source::{ConfigFile, hostname},
};

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub struct Arguments {
    /// Socket of the daemon [default: from the configuration file, else /run/flowlog/HOSTNAME.sock,
    /// else the only socket in /run/flowlog].
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// How long to wait for the answer.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "5s")]
    timeout: Duration,
    #[command(flatten)]
    file: ConfigFile,
}

const AFTER_HELP: &str = "\
Exit codes:
  0  the daemon runs, and all is well
  1  the daemon runs and needs attention: each fault is listed with a remedy
  2  usage or configuration
  3  no daemon answers";

pub fn run(arguments: &Arguments, global: &Global) -> Result<Outcome, Failure> {
    let socket = socket(arguments)?;
    let asked = super::runtime()?.block_on(ask::ask(&socket, arguments.timeout));
    let snapshot = asked?;
    let judgement = judge::judge(&snapshot);
    let mut out = Output::new();
    let json = || answer(&snapshot, &judgement);
    out.answer(global.format, json, |out| out.text(text::describe(&snapshot, &judgement)));
    out.finish_answer()?;
    Ok(if judgement.attention.is_empty() { Outcome::Done } else { Outcome::None })
}

/// The snapshot, and what it means.
fn answer(snapshot: &Snapshot, judgement: &judge::Judgement) -> serde_json::Value {
    let mut answer = serde_json::to_value(snapshot).unwrap_or_default();
    if let (Some(answer), Ok(serde_json::Value::Object(judgement))) =
        (answer.as_object_mut(), serde_json::to_value(judgement))
    {
        answer.extend(judgement);
    }
    answer
}

fn socket(arguments: &Arguments) -> Result<PathBuf, Failure> {
    if let Some(socket) = &arguments.socket {
        return Ok(socket.clone());
    }
    let file = arguments.file.read()?;
    let StatusSettings { status_socket } = file.settings().map_err(Failure::usage)?;
    let StoreSettings { gateway, .. } = file.settings().map_err(Failure::usage)?;
    match (status_socket, gateway) {
        (Some(socket), _) if socket.as_os_str().is_empty() => Err(Failure::usage(anyhow::anyhow!(
            "the configuration has an empty status_socket: this daemon has no socket to ask"
        ))),
        (Some(socket), _) => Ok(socket),
        (None, Some(gateway)) => Ok(status::socket_of(&gateway)),
        (None, None) => only(status::socket_of(&hostname()), Path::new(status::DIRECTORY)),
    }
}

/// The socket that is expected, or else the only one that there is.
fn only(expected: PathBuf, directory: &Path) -> Result<PathBuf, Failure> {
    if expected.exists() {
        return Ok(expected);
    }
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut sockets: Vec<PathBuf> =
        paths.filter(|path| path.extension() == Some(OsStr::new("sock"))).collect();
    sockets.sort();
    match &sockets[..] {
        [] => Ok(expected),
        [socket] => Ok(socket.clone()),
        _ => {
            let names: Vec<String> =
                sockets.iter().map(|socket| socket.display().to_string()).collect();
            Err(Failure::usage(anyhow::anyhow!(
                "several daemons may run here; choose with --socket: {}",
                names.join(", ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_socket_is_meant_unless_one_has_the_name_of_the_host() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let chosen = || only(path("host.sock"), directory.path()).ok();
        assert_eq!(chosen(), Some(path("host.sock")));
        std::fs::write(path("gw1.sock"), "").unwrap();
        std::fs::write(path("something.else"), "").unwrap();
        assert_eq!(chosen(), Some(path("gw1.sock")));
        std::fs::write(path("gw2.sock"), "").unwrap();
        assert_eq!(chosen(), None);
        std::fs::write(path("host.sock"), "").unwrap();
        assert_eq!(chosen(), Some(path("host.sock")));
    }
}
