//! The fuzzer's corpus given to the loaded kernel program, against the oracle.

use flowlog_tests::{EntryPoint, Layer, assert_given_equal_to_oracle, corpus};

#[test]
fn packets_of_the_fuzzer_are_what_the_oracle_says() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("corpus.l3.pcap");
    let packets = corpus(Layer::L3, &file);
    for entry_point in [EntryPoint::UP_L3, EntryPoint::DOWN_L3] {
        let given = assert_given_equal_to_oracle(entry_point, &file);
        assert!(given.packets > 100 && given.packets + given.left_out == packets as u64);
    }
}

#[test]
fn frames_of_the_fuzzer_are_what_the_oracle_says() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("corpus.l2.pcap");
    let packets = corpus(Layer::L2, &file);
    for entry_point in [EntryPoint::UP_L2, EntryPoint::DOWN_L2] {
        let given = assert_given_equal_to_oracle(entry_point, &file);
        assert!(given.packets > 100 && given.packets + given.left_out == packets as u64);
    }
}
