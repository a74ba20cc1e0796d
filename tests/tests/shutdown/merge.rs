//! Told to end while a window of many epochs is merged.

use std::{path::Path, time::Duration};

use flowlog::record::clock;
use flowlog_tests::{files_under, synthetic, wait_for};

use super::rig::{GRACE, Rig, last_line, terminate};

/// More than are merged at once.
const EPOCHS: u64 = 40;
/// Of each family, in each epoch.
const ROWS: u16 = 20_000;
/// Much less than it takes to merge them.
const SHORT: Duration = Duration::from_millis(50);

/// Whether a run is being written that a merge makes: of the first few epochs, or of all.
fn is_merging(spool: &str, is_of_all: bool) -> bool {
    files_under(&Path::new(spool).join("files")).iter().any(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.ends_with(".unfinished") && name.contains('~') != is_of_all
    })
}

#[test]
fn told_to_end_while_it_merges_many_epochs_it_is_gone_in_time_and_nothing_is_lost() {
    let rig = Rig::new();
    let (store, spool) = (rig.path("store"), rig.path("spool"));
    let hour = clock::now().minus(Duration::from_hours(2));
    let packets = synthetic::write_epochs(spool.as_ref(), "gw1", hour, EPOCHS, ROWS);
    rig.configure(SHORT);
    // In the middle of the first few epochs, and when these are put together.
    for is_of_all in [false, true] {
        let daemon = rig.start(&store, Some(&spool));
        wait_for("a merge", || is_merging(&spool, is_of_all));
        let ended = terminate(daemon, SHORT + GRACE);
        assert_eq!(ended.code, 3, "{ended:?}");
        for words in [&*spool, "stored when flowlog starts again"] {
            assert!(last_line(&ended).contains(words), "{words:?} is not in {}", ended.stderr);
        }
        let epochs = files_under(&Path::new(&spool).join("epochs"));
        let runs = epochs.iter().filter(|path| path.extension().is_some_and(|end| end == "run"));
        // The last step is a short one, and may have been done.
        assert!(is_of_all || runs.count() as u64 >= EPOCHS, "{epochs:?}");
    }
    rig.configure(Duration::from_mins(2));
    rig.assert_stored(u32::try_from(packets).unwrap());
}
