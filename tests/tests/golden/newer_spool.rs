//! Spools of a later version: refused with a sentence that names them, and not touched.

use std::{fs, path::PathBuf};

use flowlog_tests::files_under;

use super::{
    newer::assert_refused,
    rig::{Rig, contents, copy, generations},
    spool::SIZES,
};

const NEWEST_MAGIC: &[u8; 8] = b"flowrun9";

#[test]
fn a_run_of_a_later_version_is_named_and_not_touched() {
    for part in ["epochs", "files"] {
        let rig = Rig::new();
        copy(&generations("spool-")[0].join("spool"), &rig.spool());
        let mut runs = files_under(&rig.spool().join(part));
        runs.retain(|path| path.extension().is_some_and(|extension| extension == "run"));
        let run = runs.pop().unwrap();
        let mut bytes = fs::read(&run).unwrap();
        let end = bytes.len() - NEWEST_MAGIC.len();
        bytes[..NEWEST_MAGIC.len()].copy_from_slice(NEWEST_MAGIC);
        bytes[end..].copy_from_slice(NEWEST_MAGIC);
        fs::write(&run, &bytes).unwrap();
        // Whether it goes on with the other runs, is not said here.
        let said = rig.run_for_a_while(SIZES).stderr;
        let there: Vec<PathBuf> = contents(&rig.spool())
            .into_iter()
            .filter_map(|(path, after)| (after == bytes).then_some(path))
            .collect();
        assert!(there.contains(&run), "not in its place but in {there:?}: {said}");
        let is_about_it =
            |line: &str| line.contains(run.to_str().unwrap()) && line.contains("newer");
        assert!(said.lines().any(is_about_it), "{said}");
    }
}

#[test]
fn a_spool_of_a_later_version_is_refused_and_not_touched() {
    let rig = Rig::new();
    // Made and left by this version, then relabelled.
    rig.run_for_a_while(SIZES);
    let small_files = fs::read_dir(rig.spool()).unwrap().map(|entry| entry.unwrap().path());
    let is_labelled =
        |path: &PathBuf| path.is_file() && fs::read(path).unwrap().starts_with(b"{\"format\":");
    let labelled: Vec<PathBuf> = small_files.filter(is_labelled).collect();
    assert!(!labelled.is_empty(), "nothing states the format of the spool");
    for path in labelled {
        let mut text = b"{\"format\":99,\"serial\":1000,\"value\":{}}\n".to_vec();
        let check = format!("crc32 {:08x}\n", crc32(&text));
        text.extend(check.bytes());
        fs::write(path, text).unwrap();
    }
    let before = contents(&rig.spool());
    let stored = contents(&rig.store());
    let refused = rig.refusal(SIZES);
    assert!(contents(&rig.spool()) == before, "the spool was touched");
    assert!(contents(&rig.store()) == stored, "the store was touched");
    assert_refused(refused, rig.spool().to_str().unwrap());
}

/// CRC-32 as of Ethernet, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let bit = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| bit(crc)))
}
