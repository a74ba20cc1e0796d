//! Retention beside a clock that is wrong, and in stores and spools that are not as they should be.

#[path = "retention/clock.rs"]
mod clock;
#[path = "retention/odd.rs"]
mod odd;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};

use flowlog_tests::{Ended, WallClock, flowlog, flowlog_binary};

const DONE: i32 = 0;
const USAGE: i32 = 2;
const FAILED: i32 = 3;
const REFUSED: i32 = 6;

const YEAR: i64 = 365 * 86_400;

/// A store of a gateway, with files that retention does not look into.
struct Store {
    directory: tempfile::TempDir,
}

impl Store {
    /// With an hour of 2020 in both tables, and the hour that it is now: the clock is plausible.
    fn new() -> Self {
        let store = Self { directory: tempfile::tempdir().unwrap() };
        store.put("flows", "gw1", "2020-01-01T00");
        store.put("ledger", "gw1", "2020-01-01T00");
        store.put("flows", "gw1", &this_hour());
        store
    }

    fn path(&self) -> &str {
        self.directory.path().to_str().unwrap()
    }

    /// The path of the file of an hour (`2020-01-01T00`).
    fn file(&self, table: &str, gateway: &str, hour: &str) -> PathBuf {
        let (date, hour) = hour.split_once('T').unwrap();
        let name = format!("{}T{hour}0000Z-3600s-0.parquet", date.replace('-', ""));
        let folder = format!("{table}/gateway={gateway}/date={date}/hour={hour}");
        self.directory.path().join(folder).join(name)
    }

    fn put(&self, table: &str, gateway: &str, hour: &str) -> PathBuf {
        let path = self.file(table, gateway, hour);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "rows").unwrap();
        path
    }

    fn run(&self, more: &[&str]) -> Ended {
        flowlog(&[&["retention", "run", "--keep", "90d", "--store", self.path()], more].concat())
    }

    fn run_by(&self, clock: &WallClock, more: &[&str]) -> Ended {
        let mut command = Command::new(flowlog_binary());
        command.args(["retention", "run", "--keep", "90d", "--store", self.path()]).args(more);
        ended(command.envs(clock.variables()))
    }

    fn has_old(&self) -> bool {
        ["flows", "ledger"].iter().any(|table| self.file(table, "gw1", "2020-01-01T00").exists())
    }
}

fn ended(command: &mut Command) -> Ended {
    let output = command.stdin(Stdio::null()).output().unwrap();
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn this_hour() -> String {
    let now = flowlog::record::clock::now().floor(Duration::from_hours(1)).to_string();
    now[..13].to_owned()
}

fn set_modified(path: &Path, at: SystemTime) {
    fs::File::options().append(true).open(path).unwrap().set_modified(at).unwrap();
}

#[test]
fn a_period_in_minutes_or_hours_is_refused_with_what_was_meant() {
    let store = Store::new();
    let hour_ago = store.put("flows", "gw1", "2020-01-02T00");
    for (keep, advice) in [("6m", "6mo"), ("36h", "2d"), ("60s", "2d"), ("6 minutes", "6mo")] {
        let arguments = ["retention", "run", "--keep", keep, "--store", store.path()];
        let ended = flowlog(&arguments);
        assert_eq!(ended.code, USAGE, "{keep}: {ended:?}");
        assert!(ended.stderr.contains(advice), "{}", ended.stderr);
    }
    assert!(hour_ago.exists() && store.has_old());
    let config = store.directory.path().join("flowlog.toml");
    fs::write(&config, "profile = \"flows\"\n[retention]\nkeep = \"6m\"").unwrap();
    let config = config.to_str().unwrap();
    for command in ["run", "check"] {
        let ended = flowlog(&[command, "--interface", "lo", "--config", config]);
        assert_eq!(ended.code, USAGE, "{command}: {ended:?}");
        assert!(ended.stderr.contains("retention.keep") && ended.stderr.contains("6mo"));
    }
}

#[test]
fn a_gateway_that_is_not_there_is_refused_with_those_that_are() {
    let store = Store::new();
    store.put("flows", "gw2", "2020-01-01T00");
    let ended = store.run(&["--gateway", "gw3"]);
    assert_eq!(ended.code, USAGE, "{ended:?}");
    assert!(ended.stderr.contains("no gateway gw3 in this store; there are: gw1, gw2"));
    assert!(store.has_old());
    assert_eq!(store.run(&["--gateway", "gw1"]).code, DONE);
    assert!(!store.has_old() && store.file("flows", "gw2", "2020-01-01T00").exists());
}

#[test]
fn whoever_reads_the_report_decides_nothing() {
    let store = Store::new();
    for day in 1..=28 {
        for hour in 0..24 {
            store.put("flows", "gw1", &format!("2020-01-{day:02}T{hour:02}"));
        }
    }
    let mut command = Command::new(flowlog_binary());
    command.args(["retention", "run", "--keep", "90d", "--store", store.path()]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    // Nobody reads a word.
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(DONE));
    assert!(!store.has_old() && !store.file("flows", "gw1", "2020-01-28T23").exists());
}

#[test]
fn a_dry_run_reports_the_plan_and_programs_get_all_of_it() {
    let store = Store::new();
    fs::write(store.directory.path().join("notes.txt"), "somebody's").unwrap();
    let arguments = ["--keep", "90d", "--store", store.path()];
    let plan = flowlog(&[&["retention", "plan"][..], &arguments].concat());
    let dry = flowlog(&[&["retention", "run", "--dry-run"][..], &arguments].concat());
    assert_eq!((plan.code, &plan.stdout), (DONE, &dry.stdout));
    assert!(store.has_old());
    let ended = store.run(&["--format", "json"]);
    let answer: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(answer["deleted"], true);
    assert_eq!(answer["expired"].as_array().unwrap().len(), 2);
    assert_eq!(answer["foreign"], serde_json::json!(["notes.txt"]));
    assert_eq!(answer["kept_files"], 1);
    for key in ["staged", "spool", "odd", "misdated", "not_deleted"] {
        assert_eq!(answer[key], serde_json::json!([]), "{key}");
    }
    assert!(answer["clock"]["verdict"].is_string(), "{answer}");
}

#[test]
fn the_configuration_of_the_daemon_says_what_is_kept_and_where() {
    let store = Store::new();
    let spool = store.directory.path().with_extension("spool");
    let aside = spool.join("aside/damaged.run");
    fs::create_dir_all(aside.parent().unwrap()).unwrap();
    fs::write(&aside, "flows").unwrap();
    set_modified(&aside, SystemTime::now() - Duration::from_hours(24 * 100));
    let config = store.directory.path().with_extension("toml");
    let text = |retention: &str| {
        let (store, spool) = (store.path(), spool.to_str().unwrap());
        format!("profile = \"flows\"\nstore = \"{store}\"\nspool = \"{spool}\"\n{retention}")
    };
    let run = || flowlog(&["retention", "run", "--config", config.to_str().unwrap()]);
    fs::write(&config, text("")).unwrap();
    let ended = run();
    assert_eq!(ended.code, USAGE, "{ended:?}");
    assert!(ended.stderr.contains("no retention.keep"), "{}", ended.stderr);
    assert!(store.has_old() && aside.exists());
    fs::write(&config, text("[retention]\nkeep = \"90d\"")).unwrap();
    let ended = run();
    assert_eq!(ended.code, DONE, "{ended:?}");
    assert!(!store.has_old() && !aside.exists());
    fs::remove_dir_all(spool).unwrap();
    fs::remove_file(config).unwrap();
}
