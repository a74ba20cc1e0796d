//! What an officer does with a store: what has expired is destroyed.

use std::{
    fs::File,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use flowlog_tests::{Daemon, files_under, flowlog, quiet_tun, wait_for};

use super::recorded;

#[test]
fn a_hundred_days_lose_exactly_what_has_expired() {
    let (_directory, recorded) = recorded();
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let file = std::fs::read(files_under(&recorded.join("flows")).pop().unwrap()).unwrap();
    for day in 0..100 {
        for (hour, dataset) in [(0, "flows"), (0, "ledger"), (23, "flows"), (23, "ledger")] {
            write_window(store, dataset, day, hour, &file);
        }
    }
    let note = "flows/gateway=gw1/date=2026-01-01/hour=00/note.txt";
    std::fs::write(store.join(note), "not flowlog's").unwrap();
    let store_argument = store.to_str().unwrap();
    // On the 5th of April at noon, what ended before the 5th of January at noon is 90 days old.
    let arguments = ["--keep", "90d", "--at", "2026-04-05T12:00:00Z", "--store", store_argument];
    let retention = |verb: &[&str]| {
        let ended = flowlog(&[&["retention"][..], verb, &arguments].concat());
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        ended.stdout
    };
    let expired = |said: &str| {
        let lines = said.lines().filter_map(|line| line.strip_prefix("expired  "));
        lines.map(|line| line.split("  ").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let mut expected = vec![];
    for day in 1..=5 {
        for (hour, dataset) in
            [("00", "flows"), ("00", "ledger"), ("23", "flows"), ("23", "ledger")]
        {
            expected.push(format!("{dataset}/gateway=gw1/date=2026-01-{day:02}/hour={hour}"));
        }
    }
    expected.truncate(4 * 4 + 2);

    let plan = retention(&["plan"]);
    assert_eq!(expired(&plan), expected);
    assert!(plan.contains(&format!("kept     {note}")), "{plan}");
    assert!(plan.contains("to be deleted: 18 partitions, 18 files"), "{plan}");
    assert_eq!(retention(&["run", "--dry-run"]), plan);
    let before = files_under(store);
    let run = retention(&["run"]);
    assert_eq!(expired(&run), expected);
    assert!(run.contains("deleted: 18 partitions"), "{run}");
    let left = files_under(store);
    let gone: Vec<_> = before.iter().filter(|file| !left.contains(file)).collect();
    assert_eq!(gone.len(), 18);
    let is_expired =
        |file: &PathBuf| expected.iter().any(|folder| file.starts_with(store.join(folder)));
    assert!(gone.into_iter().all(is_expired) && store.join(note).exists());
    assert!(!left.iter().filter(|file| !file.ends_with("note.txt")).any(is_expired));

    let again = retention(&["run"]);
    assert_eq!(expired(&again), Vec::<String>::new());
    assert_eq!(files_under(store), left);
}

#[test]
fn the_daemon_deletes_what_has_expired_when_it_is_configured_to() {
    let (_directory, store) = recorded();
    let file = std::fs::read(files_under(&store.join("flows")).pop().unwrap()).unwrap();
    let own = write_window(&store, "flows", 0, 0, &file);
    let others = own.to_str().unwrap().replace("gw1", "gw2");
    std::fs::create_dir_all(Path::new(&others).parent().unwrap()).unwrap();
    std::fs::write(&others, &file).unwrap();
    // What a spool sets aside is no partition, and has the same end.
    let spool = store.with_extension("spool");
    std::fs::create_dir_all(spool.join("epochs")).unwrap();
    let [old, young] = [31, 29].map(|days| {
        let path = spool.join(format!("epochs/{days}.damaged"));
        std::fs::write(&path, "flows").unwrap();
        let written = SystemTime::now() - Duration::from_hours(days * 24);
        File::options().append(true).open(&path).unwrap().set_modified(written).unwrap();
        path
    });
    let config = store.with_extension("toml");
    std::fs::write(&config, "profile = \"flows\"\n[retention]\nkeep = \"30d\"").unwrap();
    let (gateway, _tun) = quiet_tun("fltun");
    let arguments = [
        "--store",
        store.to_str().unwrap(),
        "--config",
        config.to_str().unwrap(),
        "--gateway",
        "gw1",
        "--spool",
        spool.to_str().unwrap(),
    ];
    let daemon = Daemon::attached(&gateway, "fltun", &arguments);
    wait_for("retention", || !own.exists() && !old.exists());
    assert_eq!(daemon.terminate().code, 0);
    assert!(young.exists());
    assert!(Path::new(&others).exists(), "another gateway's files are not this one's to delete");
}

fn write_window(store: &Path, dataset: &str, day: u32, hour: u32, file: &[u8]) -> PathBuf {
    let date = (31_u32..).zip([31, 28, 31, 30]);
    let mut rest = day;
    let mut month = 1;
    for (_, days) in date {
        if rest < days {
            break;
        }
        rest -= days;
        month += 1;
    }
    let day = rest + 1;
    let folder =
        store.join(format!("{dataset}/gateway=gw1/date=2026-{month:02}-{day:02}/hour={hour:02}"));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("2026{month:02}{day:02}T{hour:02}5500Z-300s-0.parquet"));
    std::fs::write(&path, file).unwrap();
    path
}
