//! A flood of flows into maps that have no room for them: detail is lost, never a byte; memory is
//! bounded; and the next window is as if nothing had been.
//!
//! `cargo xtask test flood` sends 10 million flows for a minute; the other tests' level sends fewer.

use std::{
    os::fd::AsFd as _,
    path::Path,
    time::{Duration, Instant},
};

use flowlog::{
    demo::{Netns, Tun},
    record::clock::{self, Utc},
};
use flowlog_tests::{Counter, Daemon, Place, Side, Verdict, duckdb, flowlog, quiet_tun, wait_for};

const INTERFACE: &str = "fltun";
const MAX_FLOWS: u32 = 65_536;
const MAX_OVERFLOW: u32 = 4_096;
/// Fewer than the overflow map has room for.
const MEMBERS: u32 = 1_000;
/// More than that.
const TOO_MANY_MEMBERS: u32 = 50_000;

/// What the daemon may take, whatever there is.
const MEMORY: u64 = 64 << 20;
/// What it may take for each flow of a window.
const BYTES_A_FLOW: u64 = 150;
/// What it may take for each row of the hour so far, whose file it writes.
const BYTES_A_ROW_OF_THE_FILE: u64 = 20;

/// How much is sent, and how it is cut into windows.
struct Flood {
    flows: u32,
    lasts: Duration,
    window: Duration,
    drains_in_a_window: u32,
}

impl Flood {
    fn chosen() -> Self {
        if std::env::var_os("FLOWLOG_FLOOD").is_some_and(|length| length == "full") {
            Self {
                flows: 10_000_000,
                lasts: Duration::from_mins(1),
                window: Duration::from_secs(15),
                drains_in_a_window: 3,
            }
        } else {
            Self {
                flows: 1_500_000,
                lasts: Duration::from_secs(10),
                window: Duration::from_secs(5),
                drains_in_a_window: 2,
            }
        }
    }

    /// Rows that a window can have: what fits into the kernel's maps, as often as they are drained.
    fn most_rows(&self) -> u64 {
        // A daemon that is late drains into the next window what belongs to the one before.
        u64::from(self.drains_in_a_window + 1) * u64::from(MAX_FLOWS) + u64::from(MAX_OVERFLOW)
    }

    fn configuration(&self) -> String {
        let drain = self.window / self.drains_in_a_window;
        format!(
            "profile = \"flows\"\ninterfaces = [\"{INTERFACE}\"]\nwindow = \"{}ms\"\n\
             drain_interval = \"{}ms\"\nmax_flows_v4 = {MAX_FLOWS}\nmax_overflow = {MAX_OVERFLOW}\n",
            self.window.as_millis(),
            drain.as_millis(),
        )
    }
}

#[test]
fn a_flood_costs_detail_but_no_byte_and_the_next_window_is_whole_again() {
    let flood = Flood::chosen();
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let configuration = directory.path().join("flowlog.toml");
    std::fs::write(&configuration, flood.configuration()).unwrap();
    let (gateway, tun) = quiet_tun(INTERFACE);
    let daemon = start(&gateway, &configuration, &store);
    // Behind flowlog, another witness; nothing needs to go further up the stack.
    let witness = Counter::attach(&gateway, INTERFACE, Side::Ingress, Place::Last, Verdict::Drop);
    let before = memory(&daemon);

    let began = Instant::now();
    let mut members = Members::new(1, MEMBERS);
    members.flood(&tun, flood.flows, flood.lasts);
    let took = began.elapsed();
    // A window of its own, so that nobody else's address is lost for want of room.
    sleep_until_next(flood.window);
    let mut too_many = Members::new(2, TOO_MANY_MEMBERS);
    too_many.flood(&tun, 4 * TOO_MANY_MEMBERS, Duration::ZERO);
    let recovery = sleep_until_next(flood.window);
    let mut few = Members::new(3, 20);
    (0..3).for_each(|_| few.flood(&tun, 20, Duration::ZERO));

    let stored = format!("FROM ledger WHERE epoch_ms(window_end) = {}", recovery.ms());
    wait_for("the windows of the flood to be stored", || {
        store.join("ledger").exists() && !duckdb(&store, &stored).is_empty()
    });
    let most_memory = memory(&daemon);
    let ended = daemon.terminate();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    report(&store, &flood, took, [before, most_memory]);

    assert_every_packet_is_accounted_for(&store, [&members, &too_many, &few], &witness);
    assert_every_byte_has_its_member(&store, directory.path(), &members);
    assert_the_overflow_map_was_full_too(&store, &too_many);
    assert_whole_again(&store, recovery);
    let rows = &duckdb(&store, "SELECT count(*)::BIGINT AS rows FROM flows")[0];
    let bound =
        MEMORY + BYTES_A_FLOW * flood.most_rows() + BYTES_A_ROW_OF_THE_FILE * number(rows, "rows");
    assert!(most_memory < bound, "{most_memory} bytes of memory are more than {bound}");
}

#[test]
fn a_window_of_a_million_flows_takes_no_more_memory_than_promised() {
    const FLOWS: u32 = 1_000_000;
    const WINDOW: Duration = Duration::from_mins(1);
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let configuration = directory.path().join("flowlog.toml");
    let room = "max_flows_v4 = 1048576\nwindow = \"1m\"\ndrain_interval = \"10s\"\n";
    std::fs::write(
        &configuration,
        format!("profile = \"flows\"\ninterfaces = [\"{INTERFACE}\"]\n{room}"),
    )
    .unwrap();
    let (gateway, tun) = quiet_tun(INTERFACE);
    let daemon = start(&gateway, &configuration, &store);
    let _witness = Counter::attach(&gateway, INTERFACE, Side::Ingress, Place::Last, Verdict::Drop);
    let began = clock::now();
    // Not over the end of a window.
    if began.floor(WINDOW).plus(WINDOW).distance(began) < WINDOW / 2 {
        sleep_until_next(WINDOW);
    }
    Members::new(1, 1_000).flood(&tun, FLOWS, Duration::ZERO);
    // The window is made, written and put as it ends, so that it is looked at until it has.
    let id = daemon.id();
    let watch = std::thread::spawn(move || {
        std::iter::from_fn(|| {
            std::thread::sleep(Duration::from_millis(5));
            memory_of(id)
        })
        .max()
    });
    let ended = daemon.terminate();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let most = watch.join().unwrap().unwrap();
    let rows = duckdb(&store, "SELECT count(*)::INT AS rows FROM flows WHERE partial IS NULL");
    assert_eq!(number(&rows[0], "rows"), u64::from(FLOWS));
    let bound = MEMORY + BYTES_A_FLOW * u64::from(FLOWS);
    println!("{} MiB at most, of {} MiB", most >> 20, bound >> 20);
    assert!(most < bound, "{most} bytes of memory are more than {bound}");
}

fn start(gateway: &Netns, configuration: &Path, store: &Path) -> Daemon {
    let arguments =
        ["--config", configuration.to_str().unwrap(), "--store", store.to_str().unwrap()];
    let mut daemon = Daemon::start(gateway, &arguments);
    daemon.wait_for("attached");
    daemon
}

/// The most memory that the daemon had so far, as the kernel counts it.
fn memory(daemon: &Daemon) -> u64 {
    memory_of(daemon.id()).unwrap()
}

/// `None` once it has ended.
fn memory_of(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(most.trim().trim_end_matches(" kB").parse::<u64>().ok()? << 10)
}

/// Sleeps until the next window has begun, and returns when it did.
fn sleep_until_next(window: Duration) -> Utc {
    let start = clock::now().floor(window).plus(window);
    while clock::now() < start.plus(Duration::from_millis(50)) {
        std::thread::sleep(Duration::from_millis(10));
    }
    start
}

/// Members of a range of addresses, and what each of them sent.
struct Members {
    range: u8,
    sent: Vec<Sent>,
}

#[derive(Clone, Copy, Default)]
struct Sent {
    packets: u64,
    bytes: u64,
}

impl Members {
    fn new(range: u8, count: u32) -> Self {
        Self { range, sent: vec![Sent::default(); count as usize] }
    }

    /// Sends a packet of each of so many flows, spread over a time.
    fn flood(&mut self, tun: &Tun, flows: u32, lasts: Duration) {
        const BURST: u32 = 500;
        let began = Instant::now();
        for flow in 0..flows {
            let member = flow as usize % self.sent.len();
            let packet = self.packet(member, flow / u32::try_from(self.sent.len()).unwrap());
            assert_eq!(nix::unistd::write(tun.as_fd(), &packet).unwrap(), packet.len());
            self.sent[member].packets += 1;
            self.sent[member].bytes += packet.len() as u64;
            if flow % BURST == 0 {
                let due = lasts.mul_f64(f64::from(flow) / f64::from(flows));
                std::thread::sleep(due.saturating_sub(began.elapsed()));
            }
        }
    }

    /// A UDP packet, of a size by which its member can be told.
    fn packet(&self, member: usize, remote: u32) -> Vec<u8> {
        let [_, _, high, low] = u32::try_from(member).unwrap().to_be_bytes();
        let mut packet = vec![0; 28 + member % 97];
        let [length_high, length_low] = u16::try_from(packet.len()).unwrap().to_be_bytes();
        let headers = [0x45, 0, length_high, length_low, 0, 1, 0, 0, 64, 17, 0, 0];
        packet[..12].copy_from_slice(&headers);
        packet[12..16].copy_from_slice(&[10, self.range, high, low]);
        // A scan: ports of one address, then of the next.
        packet[16..20].copy_from_slice(&(0x6440_0000 + (remote >> 10)).to_be_bytes());
        packet[20..22].copy_from_slice(&40_000_u16.to_be_bytes());
        packet[22..24].copy_from_slice(&(1 + u16::try_from(remote & 0x3ff).unwrap()).to_be_bytes());
        packet
    }

    fn total(&self) -> Sent {
        self.sent.iter().fold(Sent::default(), |sum, sent| Sent {
            packets: sum.packets + sent.packets,
            bytes: sum.bytes + sent.bytes,
        })
    }
}

fn number(row: &serde_json::Value, column: &str) -> u64 {
    row[column].as_u64().unwrap_or_else(|| panic!("{column} of {row}"))
}

fn assert_every_packet_is_accounted_for(store: &Path, sent: [&Members; 3], witness: &Counter) {
    let verified = flowlog(&["verify", "--store", store.to_str().unwrap()]);
    assert_eq!(verified.code, 0, "{}", verified.stdout);
    let question = "SELECT sum(packets_seen)::BIGINT AS packets, sum(bytes_seen)::BIGINT AS bytes
         FROM ledger WHERE direction = 'up'";
    let seen = &duckdb(store, question)[0];
    let total = |of: fn(&Sent) -> u64| sent.map(|members| of(&members.total())).iter().sum::<u64>();
    let (packets, bytes) = (total(|sent| sent.packets), total(|sent| sent.bytes));
    assert_eq!((number(seen, "packets"), number(seen, "bytes")), (packets, bytes));
    let passed = witness.passed();
    assert_eq!((passed.buffers, passed.bytes), (packets, bytes));
}

fn assert_every_byte_has_its_member(store: &Path, directory: &Path, members: &Members) {
    let rows = members.sent.iter().enumerate().map(|(member, Sent { packets, bytes })| {
        format!("10.{}.{}.{},{packets},{bytes}\n", members.range, member >> 8, member & 255)
    });
    let table: String =
        std::iter::once("member_ip,packets,bytes\n".to_owned()).chain(rows).collect();
    let file = directory.join("sent.csv");
    std::fs::write(&file, table).unwrap();
    let wrong = duckdb(
        store,
        &format!(
            "FROM (SELECT member_ip, sum(packets_up) AS p, sum(bytes_up) AS b FROM flows
                WHERE member_ip LIKE '10.{}.%' GROUP BY member_ip)
             FULL JOIN read_csv('{}') USING (member_ip)
             SELECT * WHERE (p, b) IS DISTINCT FROM (packets, bytes)",
            members.range,
            file.display()
        ),
    );
    assert!(wrong.is_empty(), "{} members, such as {}", wrong.len(), wrong[0]);
    let flooded = "FROM ledger WHERE packets_overflow > 0 AND packets_remainder = 0";
    assert!(duckdb(store, flooded).len() >= 2, "this was no flood");
}

fn assert_the_overflow_map_was_full_too(store: &Path, members: &Members) {
    let question = format!(
        "SELECT (SELECT sum(packets_remainder) FROM ledger)::BIGINT AS remainder,
            (SELECT sum(packets_up) FROM flows WHERE member_ip LIKE '10.{}.%')::BIGINT AS rows",
        members.range
    );
    let counted = &duckdb(store, &question)[0];
    let (remainder, rows) = (number(counted, "remainder"), number(counted, "rows"));
    assert!(remainder > 0, "{counted}");
    assert_eq!(remainder + rows, members.total().packets);
}

/// The window that began at this instant has every flow in full.
fn assert_whole_again(store: &Path, window: Utc) {
    let question = format!(
        "SELECT packets_seen::INT AS seen, packets_flows::INT AS flows
         FROM ledger WHERE direction = 'up' AND epoch_ms(window_start) = {}",
        window.ms()
    );
    let ledger = duckdb(store, &question);
    assert_eq!(ledger.len(), 1);
    assert_eq!((number(&ledger[0], "seen"), number(&ledger[0], "flows")), (60, 60));
    let whole = "FROM flows WHERE member_ip LIKE '10.3.%' AND packets_up = 3 AND partial IS NULL
            AND remote_ip = '100.64.0.0' AND member_port = 40000 AND remote_port = 1";
    assert_eq!(duckdb(store, whole).len(), 20);
}

/// Shows the figures, to who asks for them (`--nocapture`).
fn report(store: &Path, flood: &Flood, took: Duration, [before, most]: [u64; 2]) {
    let windows = duckdb(
        store,
        "SELECT window_start, packets_seen, packets_flows, packets_overflow, packets_remainder
         FROM ledger WHERE direction = 'up' ORDER BY window_start",
    );
    for window in windows {
        println!("{window}");
    }
    println!(
        "{} flows in {took:.1?}; memory {} MiB before, {} MiB at most, for {} rows in a window at most",
        flood.flows,
        before >> 20,
        most >> 20,
        flood.most_rows(),
    );
}
