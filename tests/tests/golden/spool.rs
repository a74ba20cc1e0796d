//! Spools of earlier versions, and of a later one.

use std::path::Path;

use super::rig::{
    Rig, assert_rows, assert_same, contents, copy, expected, generations, packets, rows, verify,
};

pub const SIZES: [u32; 3] = [1024, 1024, 64];

#[test]
fn a_spool_of_an_earlier_version_is_published_to_the_packet_and_once() {
    for generation in generations("spool-") {
        let (rig, expected) = (Rig::new(), expected(&generation));
        copy(&generation.join("spool"), &rig.spool());
        let all = packets(&expected["ledger"]);
        rig.run_until_stored(SIZES, all);
        assert_rows(&rig.store(), &expected);
        // And once more, so that nothing of it comes again.
        rig.run_until_stored(SIZES, all);
        assert_rows(&rig.store(), &expected);
        let verified = verify(&rig.store());
        assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
        assert_kept(&generation.join("spool"), &rig.spool());
        // An epoch that cannot be read is a gap, as long as it lasted; those of version 1 do not say.
        if let Some(damaged) = expected.get("damaged") {
            let found = rows(
                &rig.store(),
                "SELECT interface, epoch_ms(gap_start), epoch_ms(gap_end) FROM gaps()
                 WHERE gap_reason = 'damaged'",
            );
            assert_same(&found, damaged);
        }
    }
}

/// What an earlier version had set aside as damaged is still somewhere in the spool.
fn assert_kept(golden: &Path, spool: &Path) {
    let kept = contents(spool);
    for (path, bytes) in contents(golden) {
        if path.extension().is_some_and(|extension| extension == "damaged") {
            assert!(kept.values().any(|kept| *kept == bytes), "{} is gone", path.display());
        }
    }
}
