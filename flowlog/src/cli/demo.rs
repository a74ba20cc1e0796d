//! `flowlog demo`

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Args;
use flowlog::{
    config::{Config, File, Profile},
    demo::{self, Vpn},
    query::rows::{self, Row},
    service::{self, Options, Summary},
    store::Store,
    verify::verify,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

use super::{Failure, Format, Global, Outcome, run, size};

#[derive(Args)]
pub struct Arguments {
    /// Keep the files in this directory, to look at them; else they are deleted at the end.
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

pub fn run(arguments: &Arguments, global: &Global) -> Result<Outcome, Failure> {
    let temporary = TemporaryStore::new(arguments.store.as_deref())?;
    let mut out = io::stdout();
    let says = global.format == Format::Text;
    if says {
        writeln!(out, "A VPN of its own: two network namespaces and a tunnel between them.")?;
    }
    let vpn = Vpn::new().context("cannot make a VPN of its own; run as root")?;
    let summary = record(&vpn, &temporary.0)?;
    drop(vpn);

    let store = Store::open(&temporary.0.display().to_string())?;
    let runtime = super::runtime()?;
    let rows = runtime.block_on(rows::read(&store))?;
    let report = runtime.block_on(verify(&store, |_, _| ()))?;
    if says {
        print(&rows)?;
        run::print(&summary, global.format)?;
        let verdict = if report.differences.is_empty() {
            "Every packet is accounted for"
        } else {
            "NOT BALANCED"
        };
        writeln!(
            out,
            "{verdict}: `flowlog verify` added up {} in {} files.",
            size::bytes(report.bytes),
            report.files
        )?;
    } else {
        super::print_json(&serde_json::json!({
            "summary": summary,
            "balanced": report.differences.is_empty(),
            "flows": rows,
        }))?;
    }
    Ok(if report.differences.is_empty() { Outcome::Done } else { Outcome::None })
}

/// Records the traffic of the demonstration within the gateway.
fn record(vpn: &Vpn, store: &Path) -> anyhow::Result<Summary> {
    let file = File {
        interfaces: Some(vec![demo::INTERFACE.to_owned()]),
        store: Some(store.display().to_string()),
        drain_interval: Some("1s".to_owned()),
        ..File::with_profile(Profile::Flows)
    };
    let config = Config::from_file(file, "demo")?;
    let (attached, is_attached) = std::sync::mpsc::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let daemon = vpn.gateway.spawn(move || {
        super::runtime().map_err(io::Error::other)?.block_on(async {
            let mut terminate = signal(SignalKind::terminate())?;
            let mut interrupt = signal(SignalKind::interrupt())?;
            let shutdown = async {
                // Polled for the first time when the interface is attached.
                attached.send(()).unwrap_or_default();
                tokio::select! {
                    _ = stopped => false,
                    _ = terminate.recv() => true,
                    _ = interrupt.recv() => true,
                }
            };
            let mut interrupted = false;
            let shutdown = async { interrupted = shutdown.await };
            let outcome = service::run(&config, Options::default(), shutdown).await;
            Ok((outcome, interrupted))
        })
    })?;
    // Fails when the daemon ended before it was attached, which it will say below.
    let traffic = is_attached.recv().map(|()| demo::generate(vpn));
    drop(stop);
    let (outcome, interrupted) =
        daemon.join().map_err(|_| anyhow::anyhow!("the daemon panicked"))??;
    let summary = outcome?;
    anyhow::ensure!(!interrupted, "interrupted; everything is cleaned up");
    traffic?.context("cannot send traffic through the tunnel")?;
    Ok(summary)
}

fn print(rows: &[Row]) -> anyhow::Result<()> {
    let mut out = io::stdout();
    writeln!(
        out,
        "\n{:<10} {:>6}  {:<10} {:>6}  {:<8} {:>10} {:>12}  began",
        "member", "port", "remote", "port", "protocol", "up", "down"
    )?;
    for row in rows {
        let port = |port: Option<u16>| port.map_or_else(|| "-".to_owned(), |port| port.to_string());
        writeln!(
            out,
            "{:<10} {:>6}  {:<10} {:>6}  {:<8} {:>10} {:>12}  {}",
            row.member_ip,
            port(row.member_port),
            row.remote_ip,
            port(row.remote_port),
            row.protocol_name(),
            size::bytes(row.bytes_up),
            size::bytes(row.bytes_down),
            row.initiator,
        )?;
    }
    writeln!(out)?;
    Ok(())
}

/// A directory of its own, deleted at the end; or the one that was asked for.
struct TemporaryStore(PathBuf, bool);

impl TemporaryStore {
    fn new(wanted: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(wanted) = wanted {
            return Ok(Self(wanted.to_owned(), false));
        }
        let path = std::env::temp_dir().join(format!("flowlog-demo-{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path, true))
    }
}

impl Drop for TemporaryStore {
    fn drop(&mut self) {
        if self.1
            && let Err(error) = std::fs::remove_dir_all(&self.0)
        {
            tracing::warn!("cannot delete {}: {error}", self.0.display());
        }
    }
}
