//! A store and a spool, from the same steps as the daemon's.

use std::{path::Path, sync::Arc, time::Duration};

use flowlog::{
    aggregate::ledger::GapReason,
    clock::Utc,
    config::{Policy, Profile},
    encode,
    spool::{
        Epochs, Files, Growing, Spool,
        files::merge,
        header::Header,
        merge::Same,
        recover::{Recording, recover},
        run::Run,
    },
    store::layout::{Dataset, ObjectName},
};

use serde_json::json;

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
        clock_step_ms: 0,
        gaps: &[],
    };
    numbers.iter().map(recorded).collect()
}

/// Two gateways: one changes its policy and has a gap of minutes, a neighbour that hid packets and took the
/// program away, and a clock that was set; the other one has a gap of weeks.
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

    // Seconds of the epoch, and why nothing is recorded of them.
    first[5].gaps = &[(100, 160, GapReason::Detached)];
    first[6].gaps = &[(30, 90, GapReason::NotReached)];
    first[6].clock_step_ms = -250;

    let spool = Arc::new(Spool::temporary().unwrap());
    let policy = Policy { profile: Profile::Attribution, ..Policy::FLOWS };
    record(&spool, "golden-a", &Policy::FLOWS, &first[..4]);
    record(&spool, "golden-a", &Policy::FLOWS, &first[4..]);
    let (_, files) = record(&spool, "golden-a", &policy, std::slice::from_ref(&attribution));
    write(&store, "golden-a", &files.growing());

    let spool = Arc::new(Spool::temporary().unwrap());
    record(&spool, "golden-b", &Policy::FLOWS, &second[..1]);
    let (_, files) = record(&spool, "golden-b", &Policy::FLOWS, &second[1..]);
    write(&store, "golden-b", &files.growing());

    first.push(attribution);
    let mut expected = expected(&[("golden-a", &first), ("golden-b", &second)]);
    let gaps = [
        ("golden-a", "wg0", NINE + 2_700, COUNTING_AGAIN, "down"),
        ("golden-a", "wg1", NINE + 2_700, COUNTING_AGAIN, "down"),
        ("golden-a", "wg0", NINE + 3_700, NINE + 3_760, "detached"),
        ("golden-a", "wg0", NINE + 4_530, NINE + 4_590, "not_reached"),
        ("golden-b", "tun0", OLD_HOUR + 3_600, NINE, "down"),
    ];
    expected["gaps"] = gaps
        .map(|(gateway, interface, start, end, _)| {
            json!([gateway, interface, start * 1_000, end * 1_000])
        })
        .into();
    expected["reasons"] = gaps
        .map(|(gateway, interface, start, _, reason)| {
            json!([gateway, interface, start * 1_000, reason])
        })
        .into();
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
    let (mut epochs, mut files) = record(&spool, "golden", &Policy::FLOWS, &recorded[..6]);
    let ten = files.growing().pop().unwrap();
    let directory = ten.runs[0].path.parent().unwrap().to_owned();
    let at = |epoch: &Recorded| [epoch.opened, epoch.closed].map(|seconds| seconds * 1_000);
    let name = format!("{:020}-{:020}-{}-{}.run", 5, 6, at(&recorded[4])[0], at(&recorded[5])[1]);
    let merged = merge(&ten.runs, directory.join(name), Same::Keep).unwrap();
    files.replace(&merged);
    gather(&mut files, append(&mut epochs, &recorded[6..]));

    let left = append(&mut epochs, &loose);
    let mut bytes = std::fs::read(&left[1].path).unwrap();
    bytes[100] ^= 4;
    std::fs::write(&left[1].path, bytes).unwrap();
    for directory in [&directory, &path.join("epochs")] {
        std::fs::write(
            directory.join(format!("{:020}.unfinished", 11)),
            "flowrun2, and then the end",
        )
        .unwrap();
    }
    drop((epochs, files, spool));
    std::fs::remove_dir(path.join("scratch")).unwrap();

    let sound = [&recorded[..], &loose[..1], &loose[2..]].concat();
    let mut expected = expected(&[("golden", &sound)]);
    let [since, until] = at(&loose[1]);
    expected["damaged"] = json!([["flgold0", since, until]]);
    write_json(&folder.join("expected.json"), &expected);
}

/// A daemon that has epochs go through the spool, window by window.
fn record(
    spool: &Arc<Spool>,
    gateway: &str,
    policy: &Policy,
    recorded: &[Recorded],
) -> (Epochs, Files) {
    let recording =
        Recording { gateway: gateway.to_owned(), policy: policy.hash(), window: WINDOW };
    let recovered = recover(spool, recording).unwrap();
    let (mut epochs, mut files) = (recovered.epochs, recovered.files);
    let since = recorded[0].opened;
    epochs.counting_since(Utc::from_ns(i64::try_from(since * SECOND).unwrap()));
    gather(&mut files, append(&mut epochs, recorded));
    (epochs, files)
}

fn append(epochs: &mut Epochs, recorded: &[Recorded]) -> Vec<Run> {
    let append =
        |epoch: &Recorded| epochs.append(&epoch.epoch(), Duration::from_millis(5)).unwrap();
    recorded.iter().map(append).collect()
}

/// Makes runs of windows of them.
fn gather(files: &mut Files, epochs: Vec<Run>) {
    for window in epochs
        .chunk_by(|one, other| one.header.windows[0].start_ns == other.header.windows[0].start_ns)
    {
        let header = Header::of(window).unwrap();
        let path = files.place(&header.windows[0], &header).unwrap();
        files.add(merge(window, path, Same::Combine).unwrap());
        window.iter().for_each(|run| run.remove().unwrap());
    }
}

fn write(store: &Path, gateway: &str, files: &[Growing]) {
    for file in files {
        let of_hour: Vec<_> = files.iter().filter(|other| other.hour() == file.hour()).collect();
        let part = of_hour.iter().position(|other| *other == file).unwrap();
        let encoded = encode::encode_file(file).unwrap();
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
