//! What flowlog counts on one interface, beside what other witnesses of the same traffic say.

use std::path::{Path, PathBuf};

use flowlog::demo::Netns;

use super::{Capture, Counter, Daemon, Passed, Place, Side, Verdict, duckdb, flowlog};

/// Traffic as flowlog recorded it, and as others saw it.
pub struct Recording {
    pub store: PathBuf,
    /// A capture of its TCP and UDP elsewhere on the way.
    pub capture: PathBuf,
    /// What the hooks of the interface were given: from the member, and to the member.
    pub hooks: [Passed; 2],
}

/// Runs `traffic` while flowlog counts an interface, and tcpdump captures TCP and UDP on `witness`.
pub fn record(
    (gateway, interface): (&Netns, &str),
    witness: (&Netns, &str),
    directory: &Path,
    traffic: impl FnOnce(),
) -> Recording {
    let store = directory.join("store");
    let arguments =
        ["--store", store.to_str().unwrap(), "--window", "1m", "--drain-interval", "500ms"];
    let hooks = [Side::Ingress, Side::Egress]
        .map(|side| Counter::attach(gateway, interface, side, Place::First, Verdict::Next));
    let file = directory.join("witness.pcap");
    let capture = Capture::of(witness.0, witness.1, &file, "tcp or udp or vlan");
    let daemon = Daemon::attached(gateway, interface, &arguments);
    traffic();
    // The last packets may still be on their way: through the stack, and to tcpdump.
    std::thread::sleep(std::time::Duration::from_millis(300));
    let ended = daemon.terminate();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let verified = flowlog(&["verify", "--store", store.to_str().unwrap()]);
    assert_eq!(verified.code, 0, "{}", verified.stdout);
    let hooks = hooks.each_ref().map(Counter::passed);
    Recording { store, capture: capture.stop(), hooks }
}

/// All flows of a family and a protocol together, up and down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    pub packets: [u64; 2],
    pub bytes: [u64; 2],
}

impl Recording {
    /// What flowlog counted of a protocol, by IP version.
    pub fn counted(&self, version: u8, protocol: u8) -> Counted {
        let question = format!(
            "SELECT sum(packets_up)::BIGINT AS packets_up, sum(packets_down)::BIGINT AS packets_down,
                sum(bytes_up)::BIGINT AS bytes_up, sum(bytes_down)::BIGINT AS bytes_down
             FROM flows WHERE protocol = {protocol}
                AND contains(member_ip, ':') = ({version} = 6)"
        );
        let rows = duckdb(&self.store, &question);
        let number = |column: &str| rows[0][column].as_u64().unwrap_or_default();
        Counted {
            packets: [number("packets_up"), number("packets_down")],
            bytes: [number("bytes_up"), number("bytes_down")],
        }
    }
}

impl Counted {
    /// The payload each way, where every packet has headers of this size.
    pub fn payload(&self, headers: u64) -> [u64; 2] {
        [0, 1].map(|way| self.bytes[way] - self.packets[way] * headers)
    }
}

/// Sets a variable of the kernel, by its path under `net`, within a namespace.
pub fn sysctl(netns: &Netns, name: &str, value: &str) {
    let (path, value) = (format!("/proc/sys/net/{name}"), value.to_owned());
    // The file shows the namespace of the thread that opens it.
    netns.run(move || std::fs::write(path, value)).unwrap();
}
