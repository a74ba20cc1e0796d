//! Arguments, exit codes, and one file per command.

#[cfg(feature = "capture")]
mod check;
mod config;
#[cfg(feature = "capture")]
mod demo;
mod duckdb;
mod flows;
#[cfg(feature = "capture")]
mod hook;
mod instant;
mod output;
mod protocol;
mod retention;
#[cfg(feature = "capture")]
mod run;
#[cfg(feature = "capture")]
mod signals;
mod size;
mod source;
mod status;
mod subscriber;
mod trace;
#[cfg(feature = "capture")]
mod uninstall;
mod verify;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use flowlog::telemetry;

use output::Output;
#[cfg(feature = "capture")]
use signals::Signals;

/// Logs who talked to whom through a VPN interface, in Parquet files that expire.
#[derive(Parser)]
#[command(name = "flowlog", version, after_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: Global,
}

const AFTER_HELP: &str = "\
Exit codes:
  0  done
  1  the check failed: the ledger does not balance, or the daemon needs attention; or no flow was found, or nobody had the address
  2  usage or configuration: nothing was done
  3  failed, or no daemon answers
  4  ambiguous: several subscribers may have had the address
  5  undetermined: the records do not prove who had it
  6  refused: nothing was deleted, since the clock may be wrong";

#[derive(Args)]
struct Global {
    /// Format of the answer on standard output.
    #[arg(long, global = true, value_enum, default_value_t)]
    format: Format,
    /// Log each step; give it twice for more detail
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON object.
    Json,
    /// For spreadsheets: `flowlog flows` alone.
    Csv,
}

#[derive(Subcommand)]
enum Command {
    #[cfg(feature = "capture")]
    /// Record the flows of VPN interfaces until SIGTERM or SIGINT.
    Run(run::Arguments),
    #[cfg(feature = "capture")]
    /// Check whether flowlog can run on this machine, and print a remedy for each fault.
    Check(check::Arguments),
    /// Show the configuration.
    #[command(subcommand)]
    Config(config::Command),
    /// Report the state of the running daemon, and each fault with its remedy.
    Status(status::Arguments),
    /// Check that the store accounts for every packet that the interfaces saw.
    ///
    /// verify adds up each window, and compares each ledger with its flows: their sums, and the
    /// digest of the file. The epochs of a gateway are numbered: verify names a number that is in
    /// no file or in two, and a file that is not what its name says. Files of a ledger of version 1
    /// have neither digests nor numbers, so that verify compares their sums only.
    ///
    /// verify may run while a daemon writes and while retention deletes: it reads changed files
    /// again.
    Verify(verify::Arguments),
    /// Answer who talked to whom, from the store alone.
    ///
    /// flows lists the flows that match all options, hour by hour, and within an hour by time; with
    /// --top it ranks members, remotes or ports. Without a time it reads the whole store. It needs
    /// no daemon and no root, only read access to the store.
    ///
    /// An answer without flows means that the store has none. It proves that there was none only if
    /// flowlog was counting: below the answer are the gaps in which it was not.
    Flows(flows::Arguments),
    /// Report who had an address at an instant, and how surely.
    ///
    /// trace reads the sessions in the store, and needs no daemon and no root, only read access to
    /// the store. It reports every candidate, with the evidence for each, and the times around the
    /// instant in which nobody looked: an answer is certain, or the answer is that it is not.
    ///
    /// With --from and --to the answer is a time line.
    Trace(trace::Arguments),
    /// Delete files whose time is over.
    #[command(subcommand)]
    Retention(retention::Command),
    /// Print SQL for DuckDB: views of the store, and macros for common questions.
    Duckdb(duckdb::Arguments),
    /// Find the pseudonyms of peers.
    #[command(subcommand)]
    Subscriber(subscriber::Command),
    #[cfg(feature = "capture")]
    /// Report a session to the daemon: for the scripts of OpenVPN and of control planes.
    #[command(subcommand)]
    Hook(hook::Hook),
    #[cfg(feature = "capture")]
    /// Remove the links, maps and filters that flowlog left in the kernel.
    Uninstall(uninstall::Arguments),
    #[cfg(feature = "capture")]
    /// Make a tunnel, send real traffic through it, and record it; needs no VPN.
    Demo(demo::Arguments),
    /// Use a local store for a daemon: only `flowlog run` starts this command.
    #[command(name = flowlog::store::WORKER_COMMAND, hide = true)]
    StoreWorker,
}

/// How a command ended, when nothing failed.
enum Outcome {
    Done,
    /// The check failed, or the answer is nobody.
    None,
    /// Several answers are possible.
    Ambiguous,
    /// The store does not prove an answer.
    Undetermined,
}

/// Why a command did not do what it was asked.
enum Failure {
    /// Usage or configuration: nothing was done.
    Usage(anyhow::Error),
    /// The clock cannot be trusted with a deletion: nothing was deleted.
    Refused(anyhow::Error),
    /// Anything else.
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Failure {
    fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self::Usage(error.into())
    }
}

pub fn main() -> ExitCode {
    #[cfg(feature = "capture")]
    if std::env::args_os().nth(1).is_some_and(|command| command == "hook") {
        return hook::main(std::env::args_os().skip(1).collect());
    }
    let Arguments { command, global } = Arguments::parse();
    telemetry::init(global.verbose);
    // What is recorded is for its owner alone.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    let is_refused = global.format == Format::Csv && !matches!(command, Command::Flows(_));
    let outcome = match command {
        _ if is_refused => Err(Failure::usage(anyhow::anyhow!(
            "--format csv is a format of `flowlog flows` alone; use text or json"
        ))),
        #[cfg(feature = "capture")]
        Command::Run(arguments) => run::run(&arguments, &global),
        #[cfg(feature = "capture")]
        Command::Check(arguments) => check::run(&arguments, &global),
        Command::Config(command) => config::run(&command, &global),
        Command::Status(arguments) => status::run(&arguments, &global),
        Command::Verify(arguments) => verify::run(&arguments, &global),
        Command::Flows(arguments) => flows::run(arguments, &global),
        Command::Trace(arguments) => trace::run(&arguments, &global),
        Command::Retention(command) => retention::run(&command, &global),
        Command::Subscriber(command) => subscriber::run(&command, &global),
        Command::Duckdb(arguments) => duckdb::run(&arguments),
        #[cfg(feature = "capture")]
        // With an option before the word.
        Command::Hook(hook) => {
            hook::run_parsed(hook);
            Ok(Outcome::Done)
        }
        #[cfg(feature = "capture")]
        Command::Uninstall(arguments) => uninstall::run(&arguments, &global),
        #[cfg(feature = "capture")]
        Command::Demo(arguments) => demo::run(&arguments, &global),
        Command::StoreWorker => {
            flowlog::store::serve().map(|()| Outcome::Done).map_err(Failure::usage)
        }
    };
    let code = match outcome {
        Ok(Outcome::Done) => 0,
        Ok(Outcome::None) => 1,
        Ok(Outcome::Ambiguous) => 4,
        Ok(Outcome::Undetermined) => 5,
        Err(Failure::Usage(error)) => fail(2, &error),
        Err(Failure::Refused(error)) => fail(6, &error),
        Err(Failure::Failed(error)) => fail(3, &error),
    };
    // Where nobody reads, the exit code has to do.
    telemetry::log().flush(telemetry::FLUSH);
    ExitCode::from(code)
}

fn fail(code: u8, error: &anyhow::Error) -> u8 {
    let remedy_of = |cause: &(dyn std::error::Error + 'static)| {
        let of_status = || cause.downcast_ref().map(flowlog::status::ask::Error::remedy);
        let error = cause.downcast_ref::<flowlog::store::Error>();
        error.and_then(flowlog::store::Error::remedy).or_else(of_status)
    };
    let remedy =
        error.chain().find_map(remedy_of).map_or(String::new(), |text| format!("; {text}"));
    let failure = telemetry::with_causes(error.as_ref());
    telemetry::log().line(&format!("flowlog: {failure}{remedy}"));
    code
}

/// A runtime of one thread: the work is in the kernel, the drain thread and the encoder.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn every_command_and_option_is_known_by_one_name() {
        super::Arguments::command().debug_assert();
    }
}
