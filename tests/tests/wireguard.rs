//! The main job on a real VPN: WireGuard between two namespaces, against an independent capture.

use flowlog::demo;
use flowlog_tests::{Capture, Daemon, WireGuard, assert_equal_to_oracle, duckdb, flowlog};

/// A jiffy at HZ=100, and the rounding to whole milliseconds on both sides.
const JIFFY_MS: u64 = 11;

/// How far the times of the capture and of the kernel program may be apart. Where the processor is
/// emulated, the interrupt that moves the coarse clock comes late.
fn clock_step_ms() -> u64 {
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    if processor.contains("TCG") { 10 * JIFFY_MS } else { JIFFY_MS }
}

#[test]
fn every_flow_through_wireguard_is_what_an_independent_capture_says() {
    let directory = tempfile::tempdir().unwrap();
    let tunnel = WireGuard::new(directory.path());
    let store = directory.path().join("store");
    let interface = tunnel.interface();
    let arguments =
        ["--store", store.to_str().unwrap(), "--window", "1m", "--drain-interval", "500ms"];
    let gateway = &tunnel.vpn.gateway;
    let capture = Capture::start(gateway, interface, &directory.path().join("wg.pcap"));
    let before = tunnel.counters();
    let daemon = Daemon::attached(gateway, interface, &arguments);
    // Everybody looks: nothing was sent yet that only some have seen.
    tunnel.speak_ipv6();

    demo::generate(&tunnel.vpn).unwrap();

    std::thread::sleep(std::time::Duration::from_millis(300));
    tunnel.fall_silent();
    let after = tunnel.counters();
    let ended = daemon.terminate();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let pcap = capture.stop();

    assert_equal_to_oracle(&pcap, &store, Some(clock_step_ms()));
    let verified = flowlog(&["verify", "--store", store.to_str().unwrap()]);
    assert_eq!(verified.code, 0, "{}", verified.stdout);
    let kinds = duckdb(&store, "SELECT DISTINCT protocol FROM flows ORDER BY protocol");
    let kinds: Vec<_> = kinds.iter().map(|row| row["protocol"].as_u64().unwrap()).collect();
    assert_eq!(kinds, [1, 6, 17, 58]);
    if tunnel.is_of_the_kernel() {
        // Its interface counts WireGuard's own messages, handshakes too.
        return;
    }
    let totals = duckdb(
        &store,
        "SELECT sum(packets_seen)::BIGINT AS packets, sum(bytes_seen)::BIGINT AS bytes
         FROM ledger GROUP BY direction ORDER BY direction DESC",
    );
    // What the interface received is what the members sent.
    for (row, [packets, bytes]) in totals.iter().zip([0, 1].map(|i| difference(&before, &after, i)))
    {
        assert_eq!(row["packets"], packets, "{totals:?}");
        assert_eq!(row["bytes"], bytes, "{totals:?}");
    }
}

fn difference(before: &[[u64; 2]; 2], after: &[[u64; 2]; 2], way: usize) -> [u64; 2] {
    [after[way][0] - before[way][0], after[way][1] - before[way][1]]
}
