//! A store and a spool, from the same steps as the daemon's.

use std::{path::Path, sync::Arc, time::Duration};

use flowlog::{
    clock::Utc,
    config::{Policy, Profile},
    encode,
    spool::{Epochs, Files, Growing, Spool, epochs, files::merge, merge::Same, run::Run},
    store::layout::{Dataset, ObjectName},
};

use crate::{
    expected::expected,
    traffic::{Recorded, SECOND, WINDOW_SECONDS},
};

const WINDOW: Duration = Duration::from_secs(WINDOW_SECONDS);
const HOUR: Duration = Duration::from_hours(1);
/// 2026-01-10T23:00:00Z.
const OLD_HOUR: u64 = 1_768_086_000;
/// 2026-03-01T09:00:00Z.
const NINE: u64 = 1_772_355_600;
/// Ten minutes and more in which nobody counted.
const COUNTING_AGAIN: u64 = NINE + 3_010;

/// Epochs that begin at an hour: their numbers, and when each opens and closes.
fn epochs_of(
    hour: u64,
    interfaces: &'static [&'static str],
    numbers: &[(u64, u64, u64)],
) -> Vec<Recorded> {
    let recorded = |(number, opened, closed): &(u64, u64, u64)| Recorded {
        number: *number,
        opened: hour + opened,
        closed: hour + closed,
        interfaces,
        is_attribution: false,
    };
    numbers.iter().map(recorded).collect()
}

/// Two gateways: one changes its policy and has a gap of minutes, the other one of weeks.
pub fn make_store(folder: &Path) {
    let store = folder.join("store");
    let mut first = epochs_of(NINE, &["wg0"], &[(1, 0, 900), (2, 900, 1_350)]);
    let later = [
        (3, 1_350, 1_800),
        (4, 1_800, 2_700),
        (6, 3_010, 3_600),
        (7, 3_600, 4_500),
        (8, 4_500, 5_400),
    ];
    first.extend(epochs_of(NINE, &["wg0", "wg1"], &later));
    let attribution = Recorded {
        is_attribution: true,
        ..epochs_of(NINE, &["wg0", "wg1"], &[(9, 5_400, 6_300)]).remove(0)
    };
    let mut second = epochs_of(OLD_HOUR, &["tun0"], &[(1, 2_700, 3_600)]);
    second.extend(epochs_of(NINE, &["tun0"], &[(3, 0, 900)]));

    let spool = Arc::new(Spool::temporary().unwrap());
    let mut files = Files::open(Arc::clone(&spool), &mut vec![]).unwrap();
    let mut runs = record(&spool, &mut files, &Policy::FLOWS, &first[..4], vec![]);
    runs.extend(record(&spool, &mut files, &Policy::FLOWS, &first[4..], runs.iter().collect()));
    let policy = Policy { profile: Profile::Attribution, ..Policy::FLOWS };
    record(&spool, &mut files, &policy, std::slice::from_ref(&attribution), runs.iter().collect());
    write(&store, "golden-a", &files.growing());

    let spool = Arc::new(Spool::temporary().unwrap());
    let mut files = Files::open(Arc::clone(&spool), &mut vec![]).unwrap();
    let runs = record(&spool, &mut files, &Policy::FLOWS, &second[..1], vec![]);
    record(&spool, &mut files, &Policy::FLOWS, &second[1..], runs.iter().collect());
    write(&store, "golden-b", &files.growing());

    first.push(attribution);
    let mut expected = expected(&[("golden-a", &first), ("golden-b", &second)]);
    let of = |gateway, interface, start: u64, end: u64| {
        serde_json::json!([gateway, interface, start * 1_000, end * 1_000])
    };
    expected["gaps"] = serde_json::json!([
        of("golden-a", "wg0", NINE + 2_700, COUNTING_AGAIN),
        of("golden-a", "wg1", NINE + 2_700, COUNTING_AGAIN),
        of("golden-b", "tun0", OLD_HOUR + 3_600, NINE),
    ]);
    write_json(&folder.join("expected.json"), &expected);
}

/// What a daemon left that was killed at ten to eleven, and one before it that had found damage.
pub fn make_spool(folder: &Path) {
    let path = folder.join("spool");
    let recorded = epochs_of(
        NINE,
        &["flgold0"],
        &[
            (1, 0, 900),
            (2, 900, 1_800),
            (3, 1_800, 2_700),
            (4, 2_700, 3_600),
            (5, 3_600, 4_500),
            (6, 4_500, 5_400),
            (7, 5_400, 6_300),
        ],
    );
    let loose =
        epochs_of(NINE, &["flgold0"], &[(8, 6_300, 6_600), (9, 6_600, 6_720), (10, 6_720, 6_900)]);
    let spool = Arc::new(Spool::open(&path, u64::MAX).unwrap());
    let mut files = Files::open(Arc::clone(&spool), &mut vec![]).unwrap();
    let merged = record(&spool, &mut files, &Policy::FLOWS, &recorded[..6], vec![]);
    let ten = files.growing().pop().unwrap();
    let name = format!("{:020}-{:020}.run", 5, 6);
    let directory = ten.runs[0].path.parent().unwrap().to_owned();
    files.replace(&merge(&ten.runs, directory.join(name), Same::Keep).unwrap()).unwrap();
    let runs = record(&spool, &mut files, &Policy::FLOWS, &recorded[6..], merged.iter().collect());

    let mut writer =
        Epochs::new(Arc::clone(&spool), Policy::FLOWS.hash(), WINDOW, runs.iter().collect());
    let left: Vec<Run> = loose
        .iter()
        .map(|epoch| writer.append(&epoch.epoch(), Duration::from_millis(5)).unwrap())
        .collect();
    let mut bytes = std::fs::read(&left[1].path).unwrap();
    bytes[100] ^= 4;
    std::fs::write(&left[1].path, bytes).unwrap();
    assert_eq!(epochs::found(&spool).unwrap().len(), 2);
    for directory in [&directory, &path.join("epochs")] {
        std::fs::write(
            directory.join(format!("{:020}.unfinished", 11)),
            "flowrun1, and then the end",
        )
        .unwrap();
    }
    drop((writer, files, spool));
    std::fs::remove_dir(path.join("scratch")).unwrap();

    let sound = [&recorded[..], &loose[..1], &loose[2..]].concat();
    write_json(&folder.join("expected.json"), &expected(&[("golden", &sound)]));
}

/// Has epochs go through the spool, window by window, and answers what it had of them.
fn record(
    spool: &Arc<Spool>,
    files: &mut Files,
    policy: &Policy,
    recorded: &[Recorded],
    found: Vec<&Run>,
) -> Vec<Run> {
    let mut epochs = Epochs::new(Arc::clone(spool), policy.hash(), WINDOW, found);
    let since = recorded[0].opened;
    epochs.counting_since(Utc::from_ns(i64::try_from(since * SECOND).unwrap()));
    let runs: Vec<Run> = recorded
        .iter()
        .map(|epoch| epochs.append(&epoch.epoch(), Duration::from_millis(5)).unwrap())
        .collect();
    for window in runs
        .chunk_by(|one, other| one.header.windows[0].start_ns == other.header.windows[0].start_ns)
    {
        let header = flowlog::spool::header::Header::of(window).unwrap();
        let path = files.place(&header.windows[0], &header).unwrap();
        files.add(merge(window, path, Same::Combine).unwrap());
        window.iter().for_each(|run| run.remove().unwrap());
    }
    runs
}

fn write(store: &Path, gateway: &str, files: &[Growing]) {
    for file in files {
        let of_hour: Vec<_> = files.iter().filter(|other| other.hour() == file.hour()).collect();
        let part = of_hour.iter().position(|other| *other == file).unwrap();
        let encoded = encode::encode_file(file, gateway).unwrap();
        let both = [(Dataset::Flows, encoded.flows), (Dataset::Ledger, Some(encoded.ledger))];
        for (dataset, bytes) in both {
            let mut name = ObjectName::new(dataset, gateway, file.hour(), HOUR);
            name.part = u32::try_from(part).unwrap();
            let path = store.join(name.path().as_ref());
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes.unwrap()).unwrap();
        }
    }
}

pub fn write_json(path: &Path, value: &serde_json::Value) {
    // A row a line, so that a difference can be read.
    let mut text = String::from("{\n");
    for (index, (key, value)) in value.as_object().unwrap().iter().enumerate() {
        text.push_str(if index == 0 { "" } else { ",\n" });
        match value.as_array() {
            Some(rows) => {
                let rows: Vec<String> = rows.iter().map(|row| format!("  {row}")).collect();
                text.push_str(&format!("\"{key}\": [\n{}\n]", rows.join(",\n")));
            }
            None => text.push_str(&format!("\"{key}\": {value}")),
        }
    }
    text.push_str("\n}\n");
    std::fs::write(path, text).unwrap();
}
