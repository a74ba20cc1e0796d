//! Real captures and cases of our own, replayed onto a tun and a veth, against the oracle.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use flowlog::demo::Netns;
use flowlog_tests::{
    Daemon, EntryPoint, Replay, assert_equal_to_oracle, assert_given_equal_to_oracle, captures,
    duckdb, flowlog, normalise, own_cases, quiet_tun, replay_into_interface, replay_into_tun,
    veth_pair,
};

/// Packets of a folder of captures, in the two forms in which they can be sent.
struct Packets {
    l3: PathBuf,
    l2: PathBuf,
}

/// Made once for all tests.
fn packets() -> &'static Packets {
    static PACKETS: OnceLock<Packets> = OnceLock::new();
    PACKETS.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let (l3, l2) = (directory.join("all.l3.pcap"), directory.join("all.l2.pcap"));
        let mut files = captures();
        files.push(own_cases(directory));
        normalise(&files, &l3, &l2);
        Packets { l3, l2 }
    })
}

fn store(directory: &Path) -> PathBuf {
    directory.join("store")
}

/// Counts all that `send` sends, and returns how much that was.
fn record(
    netns: &Netns,
    interface: &str,
    directory: &Path,
    send: impl FnOnce() -> Replay,
) -> Replay {
    let store = store(directory);
    let arguments =
        ["--store", store.to_str().unwrap(), "--window", "1m", "--drain-interval", "500ms"];
    let daemon = Daemon::attached(netns, interface, &arguments);
    let sent = send();
    // The last packets may still be on their way up the stack.
    std::thread::sleep(std::time::Duration::from_millis(300));
    let ended = daemon.terminate();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    sent
}

fn assert_balanced(directory: &Path, sent: Replay, direction: &str) {
    let verified = flowlog(&["verify", "--store", store(directory).to_str().unwrap()]);
    assert_eq!(verified.code, 0, "{}", verified.stdout);
    let question = format!(
        "SELECT sum(packets_seen)::BIGINT AS seen FROM ledger WHERE direction = '{direction}'"
    );
    assert_eq!(duckdb(&store(directory), &question)[0]["seen"], sent.packets);
}

#[test]
fn packets_written_into_a_tun_are_what_the_oracle_says() {
    let directory = tempfile::tempdir().unwrap();
    let packets = packets();
    let (gateway, tun) = quiet_tun("fltun");
    let send = || replay_into_tun(&tun, &packets.l3);
    let sent = record(&gateway, "fltun", directory.path(), send);
    assert_balanced(directory.path(), sent, "up");
    assert_equal_to_oracle(&packets.l3, &store(directory.path()), None);
}

#[test]
fn frames_that_arrive_on_a_veth_are_what_the_oracle_says() {
    let (gateway, peer) = veth_pair("flnear", "flfar");
    assert_frames_are_what_the_oracle_says(&gateway, (&peer, "flfar"), "up");
}

#[test]
fn frames_that_leave_by_a_veth_are_what_the_oracle_says() {
    let (gateway, _peer) = veth_pair("flnear", "flfar");
    assert_frames_are_what_the_oracle_says(&gateway, (&gateway, "flnear"), "down");
}

/// Counts on the near end of a cable what is sent out of either end of it.
fn assert_frames_are_what_the_oracle_says(
    gateway: &Netns,
    (sender, interface): (&Netns, &str),
    direction: &str,
) {
    let directory = tempfile::tempdir().unwrap();
    let frames = &packets().l2;
    let send = || replay_into_interface(sender, interface, frames);
    let sent = record(gateway, "flnear", directory.path(), send);
    assert_balanced(directory.path(), sent, direction);
    assert_equal_to_oracle(frames, &store(directory.path()), None);
}

#[test]
fn packets_given_to_the_program_as_from_a_member_are_what_the_oracle_says() {
    assert_all_given(EntryPoint::UP_L3, &packets().l3);
}

#[test]
fn packets_given_to_the_program_as_to_a_member_are_what_the_oracle_says() {
    assert_all_given(EntryPoint::DOWN_L3, &packets().l3);
}

#[test]
fn frames_given_to_the_program_as_from_a_member_are_what_the_oracle_says() {
    assert_all_given(EntryPoint::UP_L2, &packets().l2);
}

#[test]
fn frames_given_to_the_program_as_to_a_member_are_what_the_oracle_says() {
    assert_all_given(EntryPoint::DOWN_L2, &packets().l2);
}

fn assert_all_given(entry_point: EntryPoint, capture: &Path) {
    let given = assert_given_equal_to_oracle(entry_point, capture);
    assert!(given.left_out * 50 < given.packets, "all but a few can be given: {given:?}");
}

/// The oracle knows of later fragments only what came before them; and so do we.
#[test]
fn later_fragments_without_their_first_are_counted_as_such() {
    let directory = tempfile::tempdir().unwrap();
    let (gateway, tun) = quiet_tun("fltun");
    let (l3, l2) = (directory.path().join("own.l3.pcap"), directory.path().join("own.l2.pcap"));
    normalise(&[own_cases(directory.path())], &l3, &l2);
    record(&gateway, "fltun", directory.path(), || replay_into_tun(&tun, &l3));
    // Of the cases of our own, one fragment comes before its first.
    let ledger = "SELECT sum(packets_fragments_without_first)::INT AS n FROM ledger";
    assert_eq!(duckdb(&store(directory.path()), ledger)[0]["n"], 1);
    let rows = "SELECT packets_up::INT AS packets_up, member_port FROM flows WHERE partial = 'fragment without first'";
    let rows = duckdb(&store(directory.path()), rows);
    assert_eq!(rows.len(), 1);
    assert!(rows[0]["packets_up"] == 1 && rows[0]["member_port"].is_null(), "{rows:?}");
}
