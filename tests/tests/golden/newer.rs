//! What a later version left behind: this one refuses it with a sentence that names it, and touches
//! nothing, so that the later version goes on as if nothing had been.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use flowlog::{
    record::policy::Policy,
    spool::{
        Spool,
        recover::{Recording, recover},
    },
};
use flowlog_tests::{Ended, PinnedMap, files_under};

use super::{
    pins::{SAME_SIZES, pin_again, pin_again_for, read_dump},
    rig::{GATEWAY, Rig, contents, copy, generations, verify},
    spool::SIZES,
};

#[test]
fn verify_names_a_file_of_a_later_schema_and_reads_the_others() {
    for dataset in ["flows", "ledger"] {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().join("store");
        copy(&generations("store-")[0].join("store"), &store);
        let file = files_under(&store.join(dataset)).remove(0);
        raise_schema(&file);
        let before = contents(&store);
        let ended = verify(&store);
        let said = [ended.stdout, ended.stderr].concat();
        assert_ne!(ended.code, 0, "{said}");
        assert!(said.contains("version 9"), "{said}");
        let object = file.strip_prefix(&store).unwrap().to_str().unwrap();
        assert!(said.contains(object), "{said}");
        assert!(contents(&store) == before);
    }
}

#[test]
fn a_file_of_a_later_schema_stays_as_it_is_when_its_hour_is_published() {
    let rig = Rig::new();
    copy(&generations("spool-")[0].join("spool"), &rig.spool());
    // The hour that the spool's first file is of too.
    let golden = generations("store-")[0].join("store");
    let mut files = vec![];
    for dataset in ["flows", "ledger"] {
        let path = |gateway: &str| -> PathBuf {
            let hour = format!("{dataset}/gateway={gateway}/date=2026-03-01/hour=09");
            [&hour, "20260301T090000Z-3600s-0.parquet"].iter().collect()
        };
        let (from, to) = (golden.join(path("golden-a")), rig.store().join(path(GATEWAY)));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, &to).unwrap();
        raise_schema(&to);
        files.push(to);
    }
    let before: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    // Whether it publishes the hour beside them or keeps it in the spool, is not said here.
    rig.run_for_a_while(SIZES);
    let after: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    assert!(before == after);
}

/// The layout of a version to come.
const NEWEST: &str = "v99-16-8-4-256";

/// What the gateway has in the kernel under the name that it had is not moved either.
#[test]
fn pins_of_a_later_version_under_a_former_name_are_refused_and_not_touched() {
    const FORMER: &str = "former";
    let (rig, dump) = (Rig::new(), read_dump(&generations("pins-")[0]));
    let spool = Arc::new(Spool::open(&rig.spool(), u64::MAX).unwrap());
    let recording = Recording {
        gateway: FORMER.to_owned(),
        policy: Policy::FLOWS.hash(),
        window: Duration::from_secs(1),
    };
    drop((recover(&spool, recording).unwrap(), spool));
    pin_again_for(FORMER, &dump, NEWEST, &rig.bpffs.base());
    let folder = rig.bpffs.base().join(FORMER).join(NEWEST);
    let before = maps(&folder);
    assert_refused(rig.refusal(SAME_SIZES), NEWEST);
    assert!(!before.is_empty() && maps(&folder) == before, "the pins were touched");
}

#[test]
fn pins_of_a_later_version_are_refused_and_not_touched() {
    let (rig, dump) = (Rig::new(), read_dump(&generations("pins-")[0]));
    pin_again(&dump, NEWEST, &rig.bpffs.base());
    let folder = rig.bpffs.base().join(GATEWAY).join(NEWEST);
    let before = maps(&folder);
    let refused = rig.refusal(SAME_SIZES);
    assert!(maps(&folder) == before, "the pins were touched");
    assert_refused(refused, NEWEST);
    assert_eq!(files_under(&rig.store()), Vec::<PathBuf>::new());
}

/// Each map of a layout, and what it holds; none where there is no such layout.
fn maps(folder: &Path) -> Vec<(PathBuf, PinnedMap)> {
    let pins = files_under(folder).into_iter();
    pins.map(|pin| (pin.clone(), PinnedMap::read(&pin))).collect()
}

pub fn assert_refused(ended: Option<Ended>, name: &str) {
    let ended = ended.expect("it runs, although what is there is not its own");
    assert!(ended.code != 0 && ended.stderr.contains("newer"), "{ended:?}");
    assert!(ended.stderr.contains(name), "{ended:?}");
}

/// Has a file say that it is of a schema to come.
fn raise_schema(file: &Path) {
    const KEY: &[u8] = b"flowlog.schema_version";
    let mut bytes = fs::read(file).unwrap();
    let key = bytes.windows(KEY.len()).position(|window| window == KEY).unwrap();
    // A text of one character follows.
    let value = &mut bytes[key + KEY.len()..key + KEY.len() + 3];
    assert_eq!(value[1], 1);
    value[2] = b'9';
    fs::write(file, bytes).unwrap();
}
