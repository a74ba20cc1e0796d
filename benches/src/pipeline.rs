//! From drained epochs to Parquet.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use flowlog::{
    capture::presence::Observed,
    clock::{Offset, Utc},
    drain::{Entries, Epoch},
    encode,
    spool::{Epochs, Files, Spool, files::merge, merge::Same},
};
use flowlog_common::{
    flow::{Direction, FlowCounters, FlowKey, detail, marks},
    total::Totals,
};

use crate::Measurement;

const RUNS: usize = 5;
const FLOWS: usize = 1_000_000;
const MEMBERS: u64 = 2_000;
const REMOTES: u64 = 200_000;

pub fn measure() -> anyhow::Result<Vec<Measurement>> {
    let epoch = synthetic_epoch();
    let names = ["spool", "merge", "encode_parquet", "parquet_size"];
    let mut runs: [Vec<f64>; 4] = Default::default();
    let flows = f64::from(u32::try_from(FLOWS)?);
    for _ in 0..RUNS {
        let spool = Arc::new(Spool::temporary()?);
        let mut epochs = Epochs::new(Arc::clone(&spool), "0".repeat(64), WINDOW, vec![]);
        let mut files = Files::open(spool, &mut vec![])?;
        let began = Instant::now();
        let spooled = epochs.append(&epoch, Duration::ZERO)?;
        runs[0].push(flows / began.elapsed().as_secs_f64());
        let began = Instant::now();
        let path = files.place(&spooled.header.windows[0], &spooled.header)?;
        files.add(merge(&[spooled], path, Same::Combine)?);
        runs[1].push(flows / began.elapsed().as_secs_f64());
        let began = Instant::now();
        let encoded = encode::encode_file(&files.growing()[0], "bench")?;
        runs[2].push(flows / began.elapsed().as_secs_f64());
        let size = encoded.flows.map_or(0, |flows| flows.len());
        runs[3].push(f64::from(u32::try_from(size)?) / flows);
    }
    let units = ["flows/s", "flows/s", "rows/s", "bytes/flow"];
    let measured = names.into_iter().zip(units).zip(runs);
    Ok(measured.map(|((name, unit), runs)| Measurement::new(name, unit, runs)).collect())
}

/// An hour's worth of one drain: members and remotes are chosen unevenly, one flow in seven is
/// IPv6, counters and times spread as on a busy gateway. Always the same.
fn synthetic_epoch() -> Epoch {
    let mut random = Random(42);
    let mut v4 = Entries::default();
    let mut v6 = Entries::default();
    for _ in 0..FLOWS {
        let member = low_bytes(random.uneven(MEMBERS));
        // Addresses of remotes are scattered over the whole space.
        let remote = low_bytes(random.uneven(REMOTES).wrapping_mul(2_654_435_761));
        let is_udp = random.below(4) == 0;
        let counters = counters(&mut random, is_udp);
        let member_port = [0x80 | low_bytes(random.below(128))[3], low_bytes(random.below(256))[3]];
        let remote_port = if is_udp { [0, 53] } else { [1, 0xbb] };
        let protocol = if is_udp { 17 } else { 6 };
        let ports = (member_port, remote_port, protocol);
        if random.below(7) == 0 {
            let mut addresses = [[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]; 2];
            addresses[0][12..].copy_from_slice(&member);
            addresses[1][4..8].copy_from_slice(&remote);
            v6.keys.push(key(addresses[0], addresses[1], ports));
            v6.values.push(counters);
        } else {
            v4.keys.push(key([10, member[1], member[2], member[3]], remote, ports));
            v4.values.push(counters);
        }
    }
    let opened = Utc::from_ms(1_790_000_100_000);
    let end = u64::try_from(WINDOW.as_nanos()).unwrap_or(u64::MAX);
    let observed = Observed {
        slot: 0,
        name: "wg0".to_owned(),
        from: 0,
        to: end,
        interruptions: 0,
        was_counted: true,
    };
    Epoch {
        number: 1,
        opened,
        closed: opened.plus(WINDOW),
        offset: Offset::from_ns(opened.ns()),
        flows_v4: v4,
        flows_v6: v6,
        overflow_v4: Entries::default(),
        overflow_v6: Entries::default(),
        totals: vec![(observed, [Totals::default(); 2])],
    }
}

fn key<const A: usize>(
    member: [u8; A],
    remote: [u8; A],
    (member_port, remote_port, protocol): ([u8; 2], [u8; 2], u8),
) -> FlowKey<A> {
    FlowKey {
        member,
        remote,
        member_port,
        remote_port,
        interface: 0,
        protocol,
        detail: detail::FULL,
    }
}

const WINDOW: Duration = Duration::from_mins(5);

fn counters(random: &mut Random, is_udp: bool) -> FlowCounters {
    let first_ns = random.below(290) * 1_000_000_000 + random.below(1_000_000_000);
    let packets_up = if is_udp { 1 } else { 3 + random.uneven(200) };
    let packets_down = if is_udp { 1 } else { 2 + random.uneven(400) };
    FlowCounters {
        packets_up,
        bytes_up: packets_up * (52 + random.below(200)),
        packets_down,
        bytes_down: packets_down * (60 + random.below(1_380)),
        first_ns,
        last_ns: first_ns + random.uneven(9_000_000_000),
        marks: if is_udp {
            0
        } else {
            marks::of_packet(Direction::Up, 0x1b, 0) | marks::of_packet(Direction::Down, 0x1b, 0)
        },
    }
}

fn low_bytes(number: u64) -> [u8; 4] {
    let [.., a, b, c, d] = number.to_be_bytes();
    [a, b, c, d]
}

/// Xorshift; good enough to be uneven with.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// Small numbers far more often than large ones.
    fn uneven(&mut self, bound: u64) -> u64 {
        let (a, b) = (self.below(bound) + 1, self.below(bound) + 1);
        self.below(a.min(b))
    }
}
