//! Who had an address: a store of sessions and coverage of twelve months, twenty gateways and ten thousand
//! subscribers, asked by the command, as a whole process.
//!
//! The store is made once, and stays in the folder of the benchmarks.

use std::{
    fs,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use flowlog::record::{clock::Utc, session::SessionRow};
use flowlog_tests::{
    holders::{polls, session, utc, write_day},
    stores::SlowBucket,
};
use serde_json::Value;

use crate::{Measurement, Series};

const DAYS: u16 = 365;
const GATEWAYS: u16 = 20;
const MEMBERS: u16 = 500;
const DAY: Duration = Duration::from_hours(24);
const MINUTE: Duration = Duration::from_mins(1);
const RUNS: u16 = 20;
const COLD_RUNS: u16 = 5;
/// How long a request to the bucket takes at least.
const REQUEST: Duration = Duration::from_millis(20);

pub fn measure(folder: &Path) -> anyhow::Result<Vec<Measurement>> {
    let store = make(folder)?;
    let mut series = Series::default();
    let directory = Store { location: store.display().to_string(), variables: vec![] };
    for run in 0..RUNS {
        add_instant(&directory, "trace_at", run, &mut series)?;
    }
    for run in 0..COLD_RUNS {
        // Only root can have the disk read again.
        if drop_caches().is_ok() {
            add_instant(&directory, "trace_cold_at", run, &mut series)?;
        }
    }
    for run in 0..3 {
        let subscriber = name(run * 7, run * 31);
        let Asked { answer, took, cpu, memory } = directory.ask(&[
            "--subscriber",
            &subscriber,
            "--from",
            "2025-11-27T00:00:00Z",
            "--to",
            "2026-11-27T00:00:00Z",
        ])?;
        let rows = answer["row_count"].as_u64().unwrap_or(0);
        ensure!(rows >= u64::from(DAYS), "{rows} rows of {subscriber}");
        series.add("trace_subscriber_year", "ms", took);
        series.add("trace_subscriber_year_cpu", "ms", cpu);
        series.add("trace_subscriber_memory", "MiB", memory);
    }
    let bucket = SlowBucket::start(&store, REQUEST);
    let bucket_store = Store { location: SlowBucket::location(), variables: bucket.variables() };
    for run in 0..COLD_RUNS {
        let before = bucket.requests();
        add_instant(&bucket_store, "trace_slow_bucket_at", run, &mut series)?;
        let requests = u32::try_from(bucket.requests() - before)?;
        series.add("trace_slow_bucket_requests", "requests", requests.into());
    }
    Ok(series.0)
}

/// Asks for an address at an instant at which its member is up, or at which nobody has it.
fn add_instant(store: &Store, label: &str, run: u16, series: &mut Series) -> anyhow::Result<()> {
    let (gateway, member) = (run * 7 % GATEWAYS, run * 131 % MEMBERS);
    let day = first().plus(DAY * u32::from(run * 67 % (DAYS - 2) + 1));
    let is_nobody = run % 4 == 3;
    let minutes = if is_nobody { 20 * 60 + 30 } else { 12 * 60 };
    let at = day.plus(MINUTE * minutes).to_string();
    let Asked { answer, took, cpu, memory } =
        store.ask(&["--ip", &address(gateway, member), "--at", &at])?;
    let expected = if is_nobody { "none" } else { "identified" };
    ensure!(answer["outcome"] == expected, "{at}: {answer}");
    let found = &answer["candidates"][0]["subscriber"];
    ensure!(is_nobody || *found == name(gateway, member), "{at}: {answer}");
    series.add(label, "ms", took);
    series.add(format!("{label}_cpu"), "ms", cpu);
    series.add("trace_memory", "MiB", memory);
    let objects = u32::try_from(answer["read"]["objects"].as_u64().unwrap_or(u64::MAX))?;
    series.add("trace_objects_of_a_gateway", "objects", f64::from(objects) / f64::from(GATEWAYS));
    Ok(())
}

fn first() -> Utc {
    utc("2025-11-27T00:00:00Z")
}

fn address(gateway: u16, member: u16) -> String {
    format!("10.{gateway}.{}.{}", member / 250, member % 250)
}

fn number(gateway: u16, member: u16) -> u16 {
    gateway * MEMBERS + member
}

fn name(gateway: u16, member: u16) -> String {
    format!("m-{:04}", number(gateway, member))
}

/// Makes the store, unless it is there.
fn make(folder: &Path) -> anyhow::Result<PathBuf> {
    let store = folder.join("store");
    if store.is_dir() {
        return Ok(store);
    }
    eprintln!("making a store of {DAYS} days and {GATEWAYS} gateways");
    let unfinished = folder.join("unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)?;
    }
    for day in 0..DAYS {
        let begins = first().plus(DAY * day.into());
        let looks = polls(begins, begins.plus(DAY));
        for gateway in 0..GATEWAYS {
            let gateway_name = format!("gw{gateway:02}");
            let of_member = |member| sessions(&gateway_name, gateway, member, begins);
            let rows: Vec<SessionRow> = (0..MEMBERS).flat_map(of_member).collect();
            write_day(&unfinished, &gateway_name, begins, &rows, &looks);
        }
    }
    fs::rename(&unfinished, &store).with_context(|| store.display().to_string())?;
    Ok(store)
}

/// The sessions of a member on a day: a long one, whose endpoint changes, and one in the evening.
fn sessions(gateway_name: &str, gateway: u16, member: u16, day: Utc) -> Vec<SessionRow> {
    let minutes = |count: u16| day.plus(MINUTE * u32::from(count));
    let prefix = format!("{}/32", address(gateway, member));
    let number = number(gateway, member);
    let of = |from, to| session(gateway_name, number, &prefix, from, to);
    let (morning, noon) = (minutes(300 + member % 240), minutes(700 + member % 7));
    let mut before = of(morning, noon);
    let mut after = of(noon, minutes(1_080 + member % 120));
    before.end_reason = Some(flowlog::record::session::EndReason::Roamed);
    (after.session, after.segment, after.session_start) = (before.session, 1, morning);
    vec![before, after, of(minutes(1_260 + member % 60), minutes(1_380))]
}

/// An answer, with the milliseconds and the MiB that it took.
struct Asked {
    answer: Value,
    took: f64,
    cpu: f64,
    memory: f64,
}

/// A store, as the command names it.
struct Store {
    location: String,
    variables: Vec<(String, String)>,
}

impl Store {
    fn ask(&self, question: &[&str]) -> anyhow::Result<Asked> {
        let mut flowlog = Command::new(flowlog_tests::flowlog_binary());
        flowlog.args(["trace", "--format", "json", "--store", &self.location]).args(question);
        let began = Instant::now();
        let mut child =
            flowlog.envs(self.variables.iter().cloned()).stdout(Stdio::piped()).spawn()?;
        let mut out = child.stdout.take().context("no standard output")?;
        let mut text = String::new();
        std::io::Read::read_to_string(&mut out, &mut text)?;
        let (status, cpu, memory) = wait(child.id())?;
        let took = began.elapsed().as_secs_f64() * 1e3;
        match status.code() {
            Some(0 | 1) => Ok(Asked { answer: serde_json::from_str(&text)?, took, cpu, memory }),
            _ => bail!("{status}: {text}"),
        }
    }
}

/// Waits for a child, and returns its time of a processor in ms, and the most memory that it had in MiB.
fn wait(id: u32) -> anyhow::Result<(ExitStatus, f64, f64)> {
    let mut status = 0;
    // SAFETY: zeroes are a valid usage.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both arguments outlive the call.
    let waited = unsafe { libc::wait4(i32::try_from(id)?, &raw mut status, 0, &raw mut usage) };
    ensure!(waited > 0, "{}", std::io::Error::last_os_error());
    let kib = u32::try_from(usage.ru_maxrss)?;
    let mut cpu = 0.0;
    for time in [usage.ru_utime, usage.ru_stime] {
        cpu += f64::from(u32::try_from(time.tv_sec)?) * 1e3;
        cpu += f64::from(u32::try_from(time.tv_usec)?) / 1e3;
    }
    Ok((ExitStatus::from_raw(status), cpu, f64::from(kib) / 1024.0))
}

fn drop_caches() -> std::io::Result<()> {
    // SAFETY: it takes nothing.
    unsafe { libc::sync() };
    fs::write("/proc/sys/vm/drop_caches", "3")
}
