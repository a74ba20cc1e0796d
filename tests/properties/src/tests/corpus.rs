//! What the fuzzer found worth keeping.

use std::path::Path;

use crate::{hold_for_frame, hold_for_packet};

#[test]
fn the_properties_hold_for_the_fuzzers_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/packet");
    let mut inputs = 0;
    for entry in std::fs::read_dir(&corpus).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        hold_for_packet(&bytes);
        hold_for_frame(&bytes);
        inputs += 1;
    }
    assert!(inputs > 100, "{inputs} inputs in {}", corpus.display());
}
