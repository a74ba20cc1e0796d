//! `flowlog subscriber`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use flowlog::{
    config::{File, SourcesSettings},
    record::{
        session::PeerKey,
        subscriber::{Fault, parse_peer},
    },
    source::subscribers,
};

use super::{Failure, Global, Outcome, Output};

#[derive(Subcommand)]
pub enum Command {
    /// Print the stored form of a peer: its pseudonym, by which the table `sessions` names it.
    Peer(PeerArguments),
}

#[derive(Args)]
pub struct PeerArguments {
    /// The peer: `wireguard:KEY`, `openvpn:NAME`, `lease:NAME`, or the stored form itself.
    peer: String,
    /// Configuration file of the daemon (TOML), which names the key of the pseudonyms.
    #[arg(long, short, value_name = "FILE")]
    config: PathBuf,
}

pub fn run(command: &Command, global: &Global) -> Result<Outcome, Failure> {
    let Command::Peer(PeerArguments { peer, config }) = command;
    let key = key(config)?;
    let stored = parse_peer(peer, Some(&key)).map_err(|fault: Fault| Failure::usage(fault))?;
    let mut out = Output::new();
    let json = || serde_json::json!({ "peer": stored.hex() });
    out.answer(global.format, json, |out| out.line(format_args!("{}", stored.hex())));
    out.finish_answer()?;
    Ok(Outcome::Done)
}

fn key(config: &std::path::Path) -> Result<PeerKey, Failure> {
    let file = File::read(config).map_err(Failure::usage)?;
    let SourcesSettings { subscribers, source: _ } = file.settings().map_err(Failure::usage)?;
    let Some(settings) = subscribers else {
        let config = config.display();
        return Err(Failure::usage(anyhow::anyhow!(
            "{config} has no table [subscribers]; name the key of the pseudonyms there, as peer_key_file"
        )));
    };
    subscribers::read_key(&settings.peer_key_file).map_err(|error| {
        let remedy = error.remedy();
        Failure::usage(anyhow::Error::new(error).context(remedy))
    })
}
