//! The kernel program as it is loaded, given packets by the kernel's own test run.

use std::{
    io::ErrorKind,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use aya::maps::MapData;
use flowlog::{
    capture::MapSizes,
    capture::drain,
    record::epoch::{Entries, Epoch},
};
use flowlog_common::{
    flow::{Direction, FlowCounters, FlowKeyV4, FlowKeyV6, detail, partial},
    total::Count,
};
use flowlog_tests::{Bpffs, Loaded, PinnedMap};

const FRAME_BYTES: usize = 14 + 28 + 22;
const PACKET_BYTES: u64 = 28 + 22;

fn load(flows_v4: u32) -> Loaded {
    load_with_overflow(flows_v4, 4096)
}

fn load_with_overflow(flows_v4: u32, overflow: u32) -> Loaded {
    Loaded::new(MapSizes { flows_v4, flows_v6: 16, overflow, interfaces: 4 })
}

/// A UDP packet from a member, in an Ethernet frame.
fn frame(member: u16) -> [u8; FRAME_BYTES] {
    frame_from_port(member, 40_000)
}

fn frame_from_port(member: u16, port: u16) -> [u8; FRAME_BYTES] {
    let [port_high, port_low] = port.to_be_bytes();
    let mut frame = [0; FRAME_BYTES];
    frame[12] = 8;
    let [high, low] = member.to_be_bytes();
    let headers = [
        0x45, 0, 0, 50, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, high, low, 192, 0, 2, 1, port_high,
        port_low, 0, 53, 0, 30, 0, 0,
    ];
    frame[14..42].copy_from_slice(&headers);
    frame
}

fn up(epoch: &Epoch) -> (Count, Count) {
    let totals = &epoch.totals[0].1[Direction::Up as usize];
    (totals.seen, totals.remainder)
}

fn in_flows(epoch: &Epoch) -> Count {
    sum(&epoch.flows_v4)
}

fn sum(entries: &Entries<FlowKeyV4, FlowCounters>) -> Count {
    let mut sum = Count::default();
    for (_, counters) in entries.iter() {
        sum.add(counters.packets_up, counters.bytes_up);
    }
    sum
}

#[test]
fn every_packet_goes_on_its_way_whatever_it_is() {
    let mut loaded = load(16);
    let mut malformed = frame(1);
    malformed[14] = 0x44;
    let mut not_ip = frame(1);
    not_ip[12..14].copy_from_slice(&[8, 6]);
    for entry_point in ["up_l2", "down_l2", "up_l3", "down_l3", "empty"] {
        for frame in [&frame(1), &malformed, &not_ip] {
            // TCX_NEXT and TC_ACT_UNSPEC.
            assert_eq!(loaded.run(entry_point, frame, 1), -1, "{entry_point}");
        }
    }
}

#[test]
fn what_is_no_flow_is_counted_by_its_reason() {
    let mut loaded = load(16);
    let mut malformed = frame(1);
    malformed[14] = 0x44;
    let mut not_ip = frame(1);
    not_ip[12..14].copy_from_slice(&[8, 6]);
    loaded.run("up_l2", &malformed, 3);
    loaded.run("up_l2", &not_ip, 5);
    let epoch = loaded.drain();
    let totals = &epoch.totals[0].1[Direction::Up as usize];
    assert_eq!(totals.seen, Count { packets: 8, bytes: 8 * PACKET_BYTES });
    assert_eq!(totals.malformed, Count { packets: 3, bytes: 3 * PACKET_BYTES });
    assert_eq!(totals.not_ip, Count { packets: 5, bytes: 5 * PACKET_BYTES });
    assert!(epoch.flows_v4.is_empty());
}

#[test]
fn an_interface_that_is_not_counted_leaves_no_trace() {
    let mut loaded = load(16);
    loaded.ignore_test_runs();
    loaded.run("up_l2", &frame(1), 10);
    let epoch = loaded.drain();
    assert_eq!(up(&epoch), (Count::default(), Count::default()));
    assert!(epoch.flows_v4.is_empty());
}

#[test]
fn a_drained_epoch_is_empty_when_it_comes_round_again() {
    let mut loaded = load(4096);
    for round in 1..=4 {
        for member in 0..round * 100 {
            loaded.run("up_l2", &frame(member), 2);
        }
        let epoch = loaded.drain();
        let packets = u64::from(round) * 200;
        assert_eq!(epoch.flows_v4.len(), usize::from(round) * 100);
        assert_eq!(in_flows(&epoch), Count { packets, bytes: packets * PACKET_BYTES });
        assert_eq!(up(&epoch).0, in_flows(&epoch));
    }
}

#[test]
fn a_full_map_costs_detail_but_every_byte_keeps_its_member() {
    let mut loaded = load(64);
    // A scan: two members, five hundred ports each.
    for port in 0..500 {
        for member in [1, 2] {
            loaded.run("up_l2", &frame_from_port(member, port), 1);
        }
    }
    let epoch = loaded.drain();
    let (seen, remainder) = up(&epoch);
    assert_eq!(seen, Count { packets: 1_000, bytes: 1_000 * PACKET_BYTES });
    assert_eq!(remainder, Count::default());
    let mut by_member = [Count::default(); 2];
    for (key, counters) in epoch.flows_v4.iter().chain(epoch.overflow_v4.iter()) {
        by_member[usize::from(key.member[3]) - 1].add(counters.packets_up, counters.bytes_up);
    }
    assert_eq!(by_member, [Count { packets: 500, bytes: 500 * PACKET_BYTES }; 2]);
    assert_eq!(epoch.overflow_v4.len(), 2);
    for (key, counters) in epoch.overflow_v4.iter() {
        assert_eq!((key.remote, key.remote_port, key.protocol), ([0; 4], [0; 2], 17));
        assert_eq!(key.detail, detail::OVERFLOW);
        assert_eq!(counters.partial(), partial::OVERFLOW);
    }
}

#[test]
fn when_the_overflow_map_is_full_too_packets_are_counted() {
    let mut loaded = load_with_overflow(64, 64);
    for _ in 0..2 {
        for member in 0..1_000 {
            loaded.run("up_l2", &frame(member), 1);
        }
        let epoch = loaded.drain();
        let (seen, mut sum_of_all) = up(&epoch);
        assert_eq!(seen, Count { packets: 1_000, bytes: 1_000 * PACKET_BYTES });
        assert!(sum_of_all.packets >= 1_000 - 4 * 64, "{sum_of_all:?}");
        for count in [in_flows(&epoch), sum(&epoch.overflow_v4)] {
            sum_of_all.add(count.packets, count.bytes);
        }
        assert_eq!(sum_of_all, seen);
    }
}

/// Two CPUs on one flow, while the epoch changes as fast as it can; ten times over.
#[test]
fn no_packet_is_lost_between_epochs_or_between_cpus() {
    let mut loaded = load(64);
    for run in 0..10 {
        swap_under_load(&mut loaded, run);
    }
}

/// Sends from two CPUs until the epoch has changed often enough, however slow the machine is.
fn swap_under_load(loaded: &mut Loaded, run: u32) {
    const EPOCHS: u32 = 10;
    // Short: the end of an epoch waits for every run that began in it.
    const REPEAT: u32 = 2_000;
    // Test runs go by file descriptor: they need the program only to look it up.
    let up = loaded.program.classifier("up_l2").unwrap().fd().unwrap().try_clone().unwrap();
    let enough = AtomicBool::new(false);
    let (mut seen, mut unbalanced, mut epochs_with_packets) = (Count::default(), 0, 0);
    let mut drain_and_sum = || {
        let epoch = loaded.drain();
        let (total, flows) = (self::up(&epoch).0, in_flows(&epoch));
        // Told at the end: the senders stop only then.
        unbalanced += u32::from(total != flows);
        seen.add(flows.packets, flows.bytes);
        epochs_with_packets += u32::from(flows.packets != 0);
    };
    let sent: u64 = std::thread::scope(|scope| {
        let senders = [0, 1].map(|cpu| {
            let (up, enough) = (&up, &enough);
            scope.spawn(move || {
                pin(cpu);
                let mut sent = 0;
                while !enough.load(Ordering::Relaxed) {
                    test_run(up, &frame(7), REPEAT);
                    sent += u64::from(REPEAT);
                }
                sent
            })
        });
        for _ in 0..EPOCHS {
            drain_and_sum();
        }
        enough.store(true, Ordering::Relaxed);
        senders.into_iter().map(|sender| sender.join().unwrap()).sum()
    });
    drain_and_sum();
    assert_eq!(unbalanced, 0, "run {run}: epochs that do not balance");
    assert_eq!(seen, Count { packets: sent, bytes: sent * PACKET_BYTES }, "run {run}");
    assert!(epochs_with_packets > EPOCHS / 2, "run {run}: {epochs_with_packets} epochs of traffic");
}

#[test]
fn an_announced_epoch_ends_at_its_instant_although_nobody_looks() {
    let mut loaded = load(64);
    loaded.run("up_l2", &frame(1), 1);
    let end = loaded.drainer.announce(Duration::from_millis(100));
    while flowlog::record::clock::monotonic_coarse() < end {
        std::thread::sleep(Duration::from_millis(1));
    }
    // The daemon is late; the packet belongs to the next epoch all the same.
    loaded.run("up_l2", &frame(2), 1);
    let first = loaded.drain();
    assert_eq!(first.flows_v4.keys.len(), 1);
    assert_eq!(first.flows_v4.keys[0].member, [10, 0, 0, 1]);
    assert_eq!(first.closed.ns().rem_euclid(100_000_000), 0);
    let second = loaded.drain();
    assert_eq!(second.opened, first.closed);
    assert_eq!(second.flows_v4.keys[0].member, [10, 0, 0, 2]);
}

fn pin(cpu: usize) {
    let mut cpus = nix::sched::CpuSet::new();
    cpus.set(cpu).unwrap();
    nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &cpus).unwrap();
}

/// `BPF_PROG_TEST_RUN` by file descriptor, so that several threads can run one program at once.
fn test_run(program: &aya::programs::ProgramFd, frame: &[u8], repeat: u32) {
    use std::os::fd::{AsFd as _, AsRawFd as _};

    #[derive(Default)]
    #[repr(C)]
    struct TestAttr {
        prog_fd: u32,
        retval: u32,
        data_size_in: u32,
        data_size_out: u32,
        data_in: u64,
        data_out: u64,
        repeat: u32,
        duration: u32,
        unused: [u64; 4],
    }
    const BPF_PROG_TEST_RUN: libc::c_int = 10;
    let mut attr = TestAttr {
        prog_fd: program.as_fd().as_raw_fd().cast_unsigned(),
        data_size_in: u32::try_from(frame.len()).unwrap(),
        data_in: frame.as_ptr().expose_provenance() as u64,
        repeat,
        ..TestAttr::default()
    };
    let size = size_of::<TestAttr>();
    // SAFETY: the attribute has the size that is said, and its pointers outlive the call.
    let outcome = unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_TEST_RUN, &raw mut attr, size) };
    assert_eq!(outcome, 0, "{}", std::io::Error::last_os_error());
}

/// The kernel writes and reads as many bytes as the map says, whatever type is asked for.
#[test]
fn a_map_of_other_entries_is_neither_read_nor_cleared() {
    const HASH: u32 = 1;
    let bpffs = Bpffs::mount();
    let pin = bpffs.base().with_file_name("other");
    let other = serde_json::json!({
        "type": HASH, "key_size": 16, "value_size": 8, "max_entries": 4, "flags": 0,
        "entries": [{ "key": "00".repeat(16), "value": {} }],
    });
    PinnedMap::from_json(&other).pin(&pin);
    let map = MapData::from_pin(&pin).unwrap();
    // Its keys are as long as those of flows of IPv4, its values are not.
    let kind = ErrorKind::InvalidInput;
    assert_eq!(drain::read::<FlowKeyV4, FlowCounters>(&map).unwrap_err().kind(), kind);
    assert_eq!(drain::read::<FlowKeyV6, u64>(&map).unwrap_err().kind(), kind);
    assert_eq!(drain::clear(&map, &[0_u64]).unwrap_err().kind(), kind);
    assert_eq!(drain::read::<u128, u64>(&map).unwrap().len(), 1);
}
