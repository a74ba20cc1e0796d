//! `flowlog hook`: what a server or a control plane calls when a session begins or ends.
//!
//! Whoever calls it waits for it, and takes its failure for a refusal of the session: so it ends with success whatever
//! happens, and after 15 ms wherever it is then; a copy of the process finishes the note. It has arguments of its own,
//! reads no configuration, and starts nothing else.

use std::{
    ffi::OsString,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use flowlog::source::{
    hook::{DIRECTORY, Fields, Kind, Stamp, leave, leave_within},
    openvpn::call_fields,
};

/// OpenVPN stands still meanwhile, and waits for the process to end besides.
const LIMIT: Duration = Duration::from_millis(15);

#[derive(Parser)]
#[command(name = "flowlog hook", version)]
struct Alone {
    #[command(subcommand)]
    hook: Hook,
}

#[derive(Subcommand)]
pub enum Hook {
    /// Report that a lease began or ended; always exits with 0, after 20 ms at most.
    #[command(subcommand)]
    Lease(Lease),
    /// Report what OpenVPN reports to a script: for client-connect, client-disconnect and
    /// learn-address; always exits with 0, after 20 ms at most.
    Openvpn(Openvpn),
}

#[derive(Subcommand)]
pub enum Lease {
    /// Somebody has addresses from now on.
    Open(LeaseArguments),
    /// Somebody has addresses no longer.
    Close(LeaseArguments),
}

#[derive(Args)]
pub struct LeaseArguments {
    /// Who: the name that is `lease:NAME` in the file of subscribers.
    #[arg(long)]
    name: String,
    /// The address or the prefix.
    #[arg(long)]
    prefix: String,
    /// The instant, with its time zone, such as 2026-03-01T00:00:00Z [default: now].
    #[arg(long, value_name = "INSTANT")]
    at: Option<String>,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
pub struct Openvpn {
    /// The server's name, where several of them call the hook: that of its status file or
    /// management socket, without the last extension.
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    #[command(flatten)]
    place: Place,
    /// What OpenVPN adds.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    added: Vec<OsString>,
}

#[derive(Args)]
struct Place {
    /// Directory of the notes, which the daemon reads.
    #[arg(long, default_value = DIRECTORY)]
    dir: PathBuf,
}

/// Does what the arguments behind `flowlog hook` ask for.
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    leave_within(LIMIT);
    // Whatever was wrong, nobody is to be refused for it.
    let done = std::panic::catch_unwind(move || match Alone::try_parse_from(arguments) {
        Ok(Alone { hook }) => run_parsed(hook),
        // Help and usage.
        Err(error) => report(&error.to_string()),
    });
    drop(done);
    ExitCode::SUCCESS
}

/// Does what was asked for, and reports where that fails.
pub fn run_parsed(hook: Hook) {
    if let Err(error) = run(hook) {
        report(&format!("flowlog hook: cannot leave a note: {error}\n"));
    }
}

/// A reader that does not read is no reason to wait: the time is limited.
fn report(text: &str) {
    io::stderr().write_all(text.as_bytes()).unwrap_or_default();
}

fn run(hook: Hook) -> io::Result<()> {
    let stamp = Stamp::now();
    match hook {
        Hook::Lease(Lease::Open(arguments)) => lease("open", arguments, stamp),
        Hook::Lease(Lease::Close(arguments)) => lease("close", arguments, stamp),
        Hook::Openvpn(Openvpn { server, place, added }) => {
            let added: Vec<String> =
                added.iter().map(|argument| argument.to_string_lossy().into_owned()).collect();
            let of = |name: &str| Some(std::env::var_os(name)?.to_string_lossy().into_owned());
            let fields = call_fields(of, &added);
            leave(&place.dir, Kind::Openvpn, server.as_deref(), stamp, &fields)
        }
    }
}

fn lease(action: &str, arguments: LeaseArguments, stamp: Stamp) -> io::Result<()> {
    let LeaseArguments { name, prefix, at, place } = arguments;
    let at = at.as_deref().map(instant).transpose()?;
    let fields = Fields::default()
        .with("action", Some(action))
        .with("name", Some(&name))
        .with("prefix", Some(&prefix))
        .with("at", at.as_deref());
    leave(&place.dir, Kind::Lease, None, stamp, &fields)
}

/// Nanoseconds since 1970.
fn instant(text: &str) -> io::Result<String> {
    let read = text.parse::<jiff::Timestamp>();
    read.map(|at| at.as_nanosecond().to_string()).map_err(|_| {
        let rule = "--at must be an instant with its time zone, such as 2026-03-01T00:00:00Z";
        io::Error::new(io::ErrorKind::InvalidInput, rule)
    })
}
