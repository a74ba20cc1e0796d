//! `flowlog demo`

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;
use flowlog::{
    ask::{
        duckdb::rows::{self, Row},
        open::Consultation,
        verify::{Depth, verify},
    },
    config::{Config, File},
    demo::{self, Vpn},
    service::{self, Options, Summary, Whereabouts},
    store::Store,
};

use super::{Failure, Format, Global, Outcome, Output, Signals, run, size};

#[derive(Args)]
pub struct Arguments {
    /// Keep the files in this directory; without this option the demo deletes them at its end.
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

pub fn run(arguments: &Arguments, global: &Global) -> Result<Outcome, Failure> {
    // Before anything is made that an interruption would have to clean up.
    let mut signals = Signals::block()?;
    signals.limit(PATIENCE, Whereabouts::default())?;
    let directory = StoreDirectory::new(arguments.store.as_deref())?;
    super::runtime()?.block_on(demonstrate(&directory.path, &signals, global))
}

/// How long it may take to end.
const PATIENCE: Duration = Duration::from_secs(30);

async fn demonstrate(
    directory: &Path,
    signals: &Signals,
    global: &Global,
) -> Result<Outcome, Failure> {
    let says = global.format == Format::Text;
    let mut out = Output::new();
    if says {
        out.line("The demo makes a VPN: two network namespaces and a tunnel between them.");
    }
    let summary = record(directory, signals).await?;
    let store = Store::open(&directory.display().to_string())?;
    let consultation = Consultation::begin(&store)?;
    let rows = tokio::task::spawn_blocking(move || rows::read(&consultation)).await??;
    let report = verify(&store, Depth::Sums, |_, _| ()).await?;
    let is_balanced = report.is_balanced() && report.unreadable.is_empty();
    if says {
        print(&mut out, &rows);
        out.line(run::line(&summary));
        let verdict = if is_balanced { "Every packet is accounted for" } else { "NOT BALANCED" };
        let (bytes, files) = (size::bytes(report.bytes), report.files);
        out.line(format_args!("{verdict}: `flowlog verify` added up {bytes} in {files} files."));
    } else {
        out.json(&serde_json::json!({
            "summary": summary,
            "balanced": is_balanced,
            "flows": rows,
        }));
    }
    out.finish();
    Ok(if is_balanced { Outcome::Done } else { Outcome::None })
}

/// Records the traffic of the demonstration within the gateway, which this thread enters.
async fn record(store: &Path, signals: &Signals) -> anyhow::Result<Summary> {
    // A text is quoted in TOML as it is in JSON.
    let [interface, store] = [demo::INTERFACE.into(), store.display().to_string().into()]
        .map(|text: serde_json::Value| text.to_string());
    let file = format!(
        "profile = \"flows\"\ninterfaces = [{interface}]\nstore = {store}\ndrain_interval = \"1s\"\nstatus_socket = \"\"\n"
    );
    let file = File::parse(&file).map_err(anyhow::Error::msg)?;
    let config = Config::from_file(file, "demo")?;
    let vpn = Vpn::new().context("cannot make the VPN of the demo; run as root")?;
    vpn.gateway.enter()?;
    let mut traffic = None;
    let options = Options::default();
    let generate = async {
        options.whereabouts.counted().await;
        tokio::task::spawn_blocking(move || demo::generate(&vpn)).await
    };
    let shutdown = async {
        tokio::select! {
            outcome = generate => traffic = Some(outcome),
            () = signals.stopped() => (),
        }
    };
    let summary = service::run(&config, &options, shutdown).await?;
    let sent = traffic.context("interrupted; everything is cleaned up")?;
    sent.context("the traffic ended unexpectedly")?
        .context("cannot send traffic through the tunnel")?;
    Ok(summary)
}

fn print(out: &mut Output, rows: &[Row]) {
    out.line(format_args!(
        "\n{:<10} {:>6}  {:<10} {:>6}  {:<8} {:>10} {:>12}  began",
        "member", "port", "remote", "port", "protocol", "up", "down"
    ));
    for row in rows {
        let port = |port: Option<u16>| port.map_or_else(|| "-".to_owned(), |port| port.to_string());
        out.line(format_args!(
            "{:<10} {:>6}  {:<10} {:>6}  {:<8} {:>10} {:>12}  {}",
            row.member_ip,
            port(row.member_port),
            row.remote_ip,
            port(row.remote_port),
            row.protocol_name(),
            size::bytes(row.bytes_up),
            size::bytes(row.bytes_down),
            row.initiator,
        ));
    }
    out.line("");
}

/// The directory that was asked for, or one of its own that is deleted at the end.
struct StoreDirectory {
    path: PathBuf,
    is_temporary: bool,
}

impl StoreDirectory {
    fn new(wanted: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(wanted) = wanted {
            return Ok(Self { path: wanted.to_owned(), is_temporary: false });
        }
        let path = std::env::temp_dir().join(format!("flowlog-demo-{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self { path, is_temporary: true })
    }
}

impl Drop for StoreDirectory {
    fn drop(&mut self) {
        if self.is_temporary
            && let Err(error) = self.remove()
        {
            tracing::warn!("cannot delete {}: {error}", self.path.display());
        }
    }
}

impl StoreDirectory {
    /// Removes it until it stays away: a store is used by a thread of its own, which makes a directory that
    /// somebody removed once more.
    fn remove(&self) -> std::io::Result<()> {
        for _ in 0..REMOVALS {
            match std::fs::remove_dir_all(&self.path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => break,
                removed => removed?,
            }
            std::thread::sleep(MOMENT);
        }
        Ok(())
    }
}

const REMOVALS: u32 = 10;
/// So long nothing of what was begun may come.
const MOMENT: Duration = Duration::from_millis(100);
