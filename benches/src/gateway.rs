//! What a gateway carries: iperf3 through an interface, while flowlog records it and while it does
//! not, by turns.
//!
//! Member, gateway and the cable between them share the processors of one machine, which are all
//! busy: whatever flowlog takes of them is taken from the throughput. On a machine that others use
//! too, the throughput says more about them; how long processors worked for each byte still tells.

mod work;

use std::{
    io::{BufRead as _, BufReader, Lines},
    net::IpAddr,
    process::{Child, ChildStdout, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use flowlog::demo::{GATEWAY, Netns};
use flowlog_tests::{Daemon, WireGuard, cable, flowlog};
use serde_json::Value;

use crate::{Measurement, Series};

/// Odd, so that the median is one of them.
const PAIRS: usize = 9;
const SECONDS: &str = "4";
/// Linux's own default, whatever this machine's is: it sends until something is full, where others
/// estimate how much they should send.
const CONGESTION: &str = "cubic";
/// What the kernel does after a daemon has come or gone is over by then.
const SETTLE: Duration = Duration::from_millis(700);

pub fn measure() -> anyhow::Result<Vec<Measurement>> {
    let mut series = Series::default();
    through_wireguard(&mut series)?;
    through_a_cable(&mut series)?;
    Ok(series.0)
}

fn through_wireguard(series: &mut Series) -> anyhow::Result<()> {
    let keys = tempfile::tempdir()?;
    let tunnel = WireGuard::new(keys.path());
    let road = Road {
        gateway: &tunnel.vpn.gateway,
        member: &tunnel.vpn.member,
        interface: tunnel.interface(),
        address: GATEWAY[0],
        carriers: tunnel.process_ids(),
    };
    let names = Names {
        recorded: ["wireguard_up", "wireguard_down", "wireguard_work"],
        bare: ["bare_wireguard_up", "bare_wireguard_down", "bare_wireguard_work"],
    };
    compare(&road, &names, series)
}

/// No VPN: what takes the least besides flowlog. The kernel hands over super-packets, as for the
/// network card of a gateway.
fn through_a_cable(series: &mut Series) -> anyhow::Result<()> {
    let (gateway, member) = cable([("cable0", "10.67.0.1/24"), ("cable1", "10.67.0.2/24")]);
    let road = Road {
        gateway: &gateway,
        member: &member,
        interface: "cable0",
        address: [10, 67, 0, 1].into(),
        carriers: vec![],
    };
    let names = Names {
        recorded: ["cable_up", "cable_down", "cable_work"],
        bare: ["bare_cable_up", "bare_cable_down", "bare_cable_work"],
    };
    compare(&road, &names, series)
}

/// What is between a member and a gateway.
struct Road<'a> {
    gateway: &'a Netns,
    member: &'a Netns,
    /// The gateway's.
    interface: &'a str,
    /// The gateway's.
    address: IpAddr,
    /// The processes that carry packets, besides iperf3.
    carriers: Vec<u32>,
}

/// Of the measurements: from the member, to the member, and the work for both.
struct Names {
    recorded: [&'static str; 3],
    bare: [&'static str; 3],
}

fn compare(road: &Road<'_>, names: &Names, series: &mut Series) -> anyhow::Result<()> {
    for pair in 0..PAIRS {
        // Who is first alternates: a machine that gets slower and slower favours neither.
        let recorded_first = pair % 2 == 0;
        for is_recorded in [recorded_first, !recorded_first] {
            let ([up, down, work], carried) = if is_recorded {
                (names.recorded, while_recorded(road)?)
            } else {
                (names.bare, carry(road, None)?)
            };
            series.add(up, "Mbit/s", carried.up.bits_per_second / 1e6);
            series.add(down, "Mbit/s", carried.down.bits_per_second / 1e6);
            series.add(work, "ns/KiB", carried.nanoseconds_per_kibibyte());
        }
    }
    Ok(())
}

/// Carries beside a daemon with its own defaults, which has recorded all of it.
fn while_recorded(road: &Road<'_>) -> anyhow::Result<Carried> {
    let directory = tempfile::tempdir()?;
    let store = directory.path().join("store");
    let store = store.to_str().context("a folder without a name")?;
    let daemon = Daemon::attached(road.gateway, road.interface, &["--store", store]);
    let carried = carry(road, Some(&daemon))?;
    let ended = daemon.terminate();
    ensure!(ended.code == 0, "flowlog run: {}", ended.stderr);
    let verified = flowlog(&["verify", "--format", "json", "--store", store]);
    ensure!(verified.code == 0, "flowlog verify: {}", verified.stderr);
    let report: Value = serde_json::from_str(&verified.stdout)?;
    let recorded = report["bytes"].as_u64().context("flowlog verify does not tell the bytes")?;
    let arrived = carried.up.bytes + carried.down.bytes;
    ensure!(recorded > arrived, "flowlog recorded {recorded} bytes of the {arrived} that arrived");
    Ok(carried)
}

fn carry(road: &Road<'_>, daemon: Option<&Daemon>) -> anyhow::Result<Carried> {
    std::thread::sleep(SETTLE);
    let mut workers = road.carriers.clone();
    workers.extend(daemon.map(Daemon::id));
    let before = work::so_far(&workers)?;
    let (up, down) = (transfer(road, &[])?, transfer(road, &["--reverse"])?);
    Ok(Carried { up, down, work: work::so_far(&workers)?.saturating_sub(before) })
}

/// What was carried from the member, what to the member, and how long processors worked for it.
struct Carried {
    up: Sent,
    down: Sent,
    work: Duration,
}

impl Carried {
    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    fn nanoseconds_per_kibibyte(&self) -> f64 {
        self.work.as_secs_f64() * 1e9 * 1024.0 / (self.up.bytes + self.down.bytes) as f64
    }
}

/// What arrived of one TCP connection.
struct Sent {
    bytes: u64,
    bits_per_second: f64,
}

fn transfer(road: &Road<'_>, options: &[&str]) -> anyhow::Result<Sent> {
    let _server = Server::start(road)?;
    let output = road
        .member
        .command("iperf3")?
        .args(["--json", "--time", SECONDS, "--congestion", CONGESTION])
        .args(["--client", &road.address.to_string()])
        .args(options)
        .output()?;
    let report: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(output.status.success(), "iperf3: {}", report["error"]);
    let received = &report["end"]["sum_received"];
    Ok(Sent {
        bytes: received["bytes"].as_u64().context("iperf3 does not tell the bytes")?,
        bits_per_second: received["bits_per_second"]
            .as_f64()
            .context("iperf3 does not tell the rate")?,
    })
}

/// An iperf3 that waits at the gateway, for one transfer: after one it may still be busy with it when
/// the next begins.
struct Server {
    child: Child,
    /// Kept: it would end when nobody could read what it says.
    says: Lines<BufReader<ChildStdout>>,
}

impl Server {
    fn start(road: &Road<'_>) -> anyhow::Result<Self> {
        let mut child = road
            .gateway
            .command("iperf3")?
            .args(["--server", "--one-off", "--forceflush", "--bind", &road.address.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .context("iperf3; run `cargo xtask bench`, which installs it")?;
        let stdout = child.stdout.take().context("iperf3 has no standard output")?;
        let mut server = Self { child, says: BufReader::new(stdout).lines() };
        let mut lines = server.says.by_ref().map_while(Result::ok);
        ensure!(lines.any(|line| line.contains("Server listening")), "iperf3 does not listen");
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended is not there to be killed any more.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(|_| ()).unwrap_or_default();
    }
}
