//! The oracle: an independent program that says what a capture file holds.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{duckdb, flowlog, python};

/// One-way flows out of the view `flows`, with the names of the oracle.
pub const FLOWS_AS_THE_ORACLE_SEES_THEM: &str = "
    SELECT member_ip AS src, remote_ip AS dst, protocol AS proto,
        coalesce(icmp_type, member_port, 0) AS sport, coalesce(icmp_code, remote_port, 0) AS dport,
        packets_up AS packets, bytes_up AS bytes, tcp_flags_up AS tcp_flags,
        epoch_ms(flow_start) AS first_ms, epoch_ms(flow_end) AS last_ms,
        packets_down > 0 AS both_ways
    FROM flows WHERE packets_up > 0
    UNION ALL
    SELECT remote_ip, member_ip, protocol,
        coalesce(icmp_type, remote_port, 0), coalesce(icmp_code, member_port, 0),
        packets_down, bytes_down, tcp_flags_down,
        epoch_ms(flow_start), epoch_ms(flow_end), packets_up > 0
    FROM flows WHERE packets_down > 0";

/// Real captures, where there are any: the folder that `FLOWLOG_CAPTURES` names.
pub fn captures() -> Vec<PathBuf> {
    let Some(folder) = std::env::var_os("FLOWLOG_CAPTURES") else { return vec![] };
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("FLOWLOG_CAPTURES {}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e.to_string_lossy().contains("cap")))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no captures in {}", folder.display());
    files
}

/// Cases of our own, for what real captures lack.
pub fn own_cases(directory: &Path) -> PathBuf {
    let file = directory.join("own.pcap");
    let status = python().arg("cases.py").arg(&file).status().unwrap();
    assert!(status.success());
    file
}

/// Puts captures into one file of raw IP packets and one of Ethernet frames, that can be sent.
pub fn normalise(captures: &[PathBuf], l3: &Path, l2: &Path) {
    let status = python().arg("normalise.py").arg(l3).arg(l2).args(captures).status().unwrap();
    assert!(status.success());
}

/// Fails unless the store holds the flows that the oracle finds in a capture file: keys, packets,
/// bytes and TCP flags, and first and last times to `within_ms` where that is given.
pub fn assert_equal_to_oracle(capture: &Path, store: &Path, within_ms: Option<u64>) -> Summary {
    compare(capture, store, FLOWS_AS_THE_ORACLE_SEES_THEM, within_ms)
}

/// The same of TCP and UDP only, and without times: for a capture of these elsewhere on the way,
/// where other interfaces greet their neighbours.
pub fn assert_tcp_and_udp_equal_to_oracle(capture: &Path, store: &Path) {
    let flows = format!("FROM ({FLOWS_AS_THE_ORACLE_SEES_THEM}) WHERE proto IN (6, 17)");
    compare(capture, store, &flows, None);
}

fn compare(capture: &Path, store: &Path, flows: &str, within_ms: Option<u64>) -> Summary {
    let want = store.with_extension("want.jsonl");
    let oracle = python()
        .args(["oracle.py", "--mode", "uni"])
        .arg(capture)
        .stdout(std::fs::File::create(&want).unwrap())
        .status()
        .unwrap();
    assert!(oracle.success(), "the oracle's own books do not balance");
    let views = flowlog(&["duckdb", "--store", store.to_str().unwrap()]);
    assert_eq!(views.code, 0, "{}", views.stderr);
    let mut compare = python();
    compare.args(["compare.py", "--show", "20"]).arg(&want);
    compare.arg("--sql").arg(format!("{}\n{flows}", views.stdout));
    if let Some(within_ms) = within_ms {
        compare.args(["--times-within-ms", &within_ms.to_string()]);
    }
    let output = compare.output().unwrap();
    assert!(
        output.status.success(),
        "the store differs from what the oracle finds in {}:\n{}{}",
        capture.display(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let answer = std::fs::read_to_string(want).unwrap();
    Summary(serde_json::from_str(answer.lines().last().unwrap()).unwrap())
}

/// What the oracle says of a capture as a whole.
pub struct Summary(Value);

impl Summary {
    /// Fails unless the ledger of a store has as many packets in all, and as many that are no flow,
    /// by reason. All of them must have gone one way.
    pub fn assert_equal_to_ledger(&self, store: &Path) {
        let Self(summary) = self;
        let sum = |of: &Value| -> u64 {
            of.as_object().unwrap().values().map(|packets| packets.as_u64().unwrap()).sum()
        };
        let orphans = summary["anomalies"]["frag_orphan"].as_u64().unwrap_or(0);
        let ledger =
            "SELECT sum(packets_seen)::BIGINT AS seen, sum(packets_not_ip)::BIGINT AS not_ip,
                sum(packets_malformed)::BIGINT AS malformed,
                sum(packets_fragments_without_first)::BIGINT AS orphans
            FROM ledger";
        let ledger = &duckdb(store, ledger)[0];
        assert_eq!(ledger["seen"], summary["packets"], "seen");
        assert_eq!(ledger["not_ip"], sum(&summary["nonip"]), "not IP: {}", summary["nonip"]);
        assert_eq!(ledger["malformed"], sum(&summary["malformed"]), "{}", summary["malformed"]);
        assert_eq!(ledger["orphans"], orphans, "fragments without first");
    }
}
