//! Stores of many hours, each with a few rows, and spools of many epochs, written through the library in
//! no time.

use std::{path::Path, sync::Arc, time::Duration};

use flowlog::{
    record::{
        clock::{MonotonicNs, Offset, Utc},
        epoch::{Counters, Entries, Epoch, EpochNumber, Observed, Slot},
        policy::Policy,
    },
    spool::{
        Spool, encode,
        files::merge,
        merge::Duplicates,
        recover::{Recording, Recovered, recover},
    },
    table::{FLOWS, LEDGER, ObjectName},
};
use flowlog_common::{
    flow::{Direction, FlowCounters, FlowKeyV4, FlowKeyV6, detail, marks},
    total::Totals,
};

const HOUR: Duration = Duration::from_hours(1);
const HOUR_NS: u64 = 3_600_000_000_000;
const INTERFACE: &str = "wg0";

/// Writes so many hours of a gateway from an hour on, one after the other, each with this many rows
/// of each family: what a daemon would have written that drained once an hour.
pub fn write_hours(store: &Path, gateway: &str, first: Utc, hours: u64, rows: u16) {
    let spool = Arc::new(Spool::temporary().unwrap());
    let recording =
        Recording { gateway: gateway.to_owned(), policy: Policy::FLOWS.hash(), window: HOUR };
    let Recovered { mut epochs, mut files, .. } = recover(&spool, recording).unwrap();
    let first = u64::try_from(first.floor(HOUR).ns()).unwrap();
    for number in 1..=hours {
        let epoch = epoch(number, first + (number - 1) * HOUR_NS, HOUR_NS, rows);
        let run = epochs.append(&epoch, Duration::from_millis(1)).unwrap();
        let path = files.place(&run.header.windows[0], &run.header).unwrap();
        files.add(merge(std::slice::from_ref(&run), path, Duplicates::Merge).unwrap());
        run.remove().unwrap();
        let file = files.growing().pop().unwrap();
        let encoded = encode::encode(&file).unwrap();
        let both = [(&FLOWS, encoded.flows), (&LEDGER, Some(encoded.ledger))];
        for (table, bytes) in both {
            let name = ObjectName::new(table, gateway, file.hour(), HOUR);
            let path = store.join(name.path().as_ref());
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes.unwrap()).unwrap();
        }
        files.remove(&file).unwrap();
    }
}

/// Leaves a file of an hour in a spool of which a part went to a store at this URL, and an epoch that is lost
/// unless that store has it.
pub fn write_file_of_store(spool: &Path, gateway: &str, hour: Utc, url: &str) {
    let spool = Arc::new(Spool::open(spool, u64::MAX).unwrap());
    let recording =
        Recording { gateway: gateway.to_owned(), policy: Policy::FLOWS.hash(), window: HOUR };
    let Recovered { mut epochs, mut files, .. } = recover(&spool, recording).unwrap();
    let opened = u64::try_from(hour.floor(HOUR).ns()).unwrap();
    for number in 1..=3 {
        let lasts = HOUR_NS / 3;
        let epoch = epoch(number, opened + (number - 1) * lasts, lasts, 1);
        let run = epochs.append(&epoch, Duration::from_millis(1)).unwrap();
        let path = files.place(&run.header.windows[0], &run.header).unwrap();
        files.add(merge(std::slice::from_ref(&run), path, Duplicates::Merge).unwrap());
        run.remove().unwrap();
    }
    let file = files.growing().pop().unwrap();
    files.set_store(&file.identity.lineage, &url.into()).unwrap();
    std::fs::remove_file(&file.runs[1].path).unwrap();
}

/// Leaves so many epochs of an hour in a spool, each with this many rows of each family: what a daemon
/// leaves that is killed before the window is merged. Returns how many packets they have.
pub fn write_epochs(spool: &Path, gateway: &str, hour: Utc, epochs: u64, rows: u16) -> u64 {
    let spool = Arc::new(Spool::open(spool, u64::MAX).unwrap());
    let recording =
        Recording { gateway: gateway.to_owned(), policy: Policy::FLOWS.hash(), window: HOUR };
    let mut writer = recover(&spool, recording).unwrap().epochs;
    let hour = u64::try_from(hour.floor(HOUR).ns()).unwrap();
    let lasts = HOUR_NS / epochs;
    let mut packets = 0;
    for number in 1..=epochs {
        let epoch = epoch(number, hour + (number - 1) * lasts, lasts, rows);
        packets += epoch.totals.iter().flat_map(|(_, t)| t).map(|t| t.seen.packets).sum::<u64>();
        writer.append(&epoch, Duration::from_millis(1)).unwrap();
    }
    packets
}

/// A time in which each of so many members sent and got a few packets, over IPv4 and over IPv6.
fn epoch(number: u64, opened_ns: u64, lasts_ns: u64, members: u16) -> Epoch {
    let closed_ns = opened_ns + lasts_ns;
    let utc = |ns: u64| Utc::from_ns(i64::try_from(ns).unwrap());
    let mut totals = [Totals::default(); 2];
    let mut flows_v4 = Entries::default();
    let mut flows_v6 = Entries::default();
    for member in 0..members {
        let [high, low] = member.to_be_bytes();
        let number = number % 1_000;
        let counters = FlowCounters {
            packets_up: number + 1,
            bytes_up: 100 * (number + 1),
            packets_down: u64::from(low),
            bytes_down: 1_000 * u64::from(low),
            first_ns: opened_ns + 1_000_000 * u64::from(member),
            last_ns: closed_ns - 1_000_000 * u64::from(member + 1),
            marks: marks::of_initiator(Direction::Up) | marks::of_packet(Direction::Up, 2, 0),
        };
        flows_v4.keys.push(FlowKeyV4 {
            member: [10, 0, high, low],
            remote: [192, 0, 2, low],
            member_port: (40_000 + member).to_be_bytes(),
            remote_port: 443_u16.to_be_bytes(),
            interface: 0,
            protocol: 6,
            detail: detail::FULL,
        });
        let address =
            |first: u16| std::net::Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, member.max(1)).octets();
        flows_v6.keys.push(FlowKeyV6 {
            member: address(0xfd00),
            remote: address(0x2001),
            member_port: (40_000 + member).to_be_bytes(),
            remote_port: 53_u16.to_be_bytes(),
            interface: 0,
            protocol: 17,
            detail: detail::FULL,
        });
        flows_v4.values.push(counters);
        flows_v6.values.push(counters);
        for _ in 0..2 {
            totals[Direction::Up as usize].seen.add(counters.packets_up, counters.bytes_up);
            totals[Direction::Down as usize].seen.add(counters.packets_down, counters.bytes_down);
        }
    }
    let observed = Observed {
        slot: Slot::new(0),
        name: INTERFACE.to_owned(),
        from: MonotonicNs::from_ns(opened_ns),
        to: MonotonicNs::from_ns(closed_ns),
        interruptions: 0,
        was_counted: true,
        gaps: vec![],
        overtaken: vec![],
        on_interface: None,
        counters: Counters::default(),
    };
    Epoch {
        number: EpochNumber::new(number),
        opened: utc(opened_ns),
        closed: utc(closed_ns),
        offset: Offset::from_ns(0),
        clock_step_ms: 0,
        is_synchronised: true,
        flows_v4,
        flows_v6,
        overflow_v4: Entries::default(),
        overflow_v6: Entries::default(),
        totals: vec![(observed, totals)],
    }
}
