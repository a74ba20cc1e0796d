//! What readers must find, from what was sent: nothing of this has been through flowlog.

use std::collections::BTreeMap;

use flowlog_common::flow::{Direction, detail, partial};
use serde_json::{Value, json};

use crate::traffic::{Recorded, Sent, WINDOW_SECONDS};

/// The rows of both tables, as DuckDB is asked for them.
pub fn expected(gateways: &[(&str, &[Recorded])]) -> Value {
    let mut flows = vec![];
    let mut ledger: BTreeMap<(String, u64, String, &str), (u64, u64)> = BTreeMap::new();
    for (gateway, epochs) in gateways {
        let mut rows: BTreeMap<(u64, usize, String), Sent> = BTreeMap::new();
        for epoch in *epochs {
            let window = start(epoch);
            for sent in epoch.flows() {
                let Sent { member, remote, ports, protocol, detail, .. } = &sent;
                let flow = format!("{member} {remote} {ports:?} {protocol} {detail}");
                let key = (window, sent.interface, flow);
                let added = rows.get(&key).map(|row| add(row, &sent));
                rows.insert(key, added.unwrap_or_else(|| sent.clone()));
                for (direction, count) in [("up", sent.up), ("down", sent.down)] {
                    let interface = epoch.interfaces[sent.interface].to_owned();
                    let key = ((*gateway).to_owned(), window, interface, direction);
                    let seen = ledger.entry(key).or_default();
                    *seen = (seen.0 + count.0, seen.1 + count.1);
                }
            }
            for interface in epoch.interfaces {
                for (direction, others) in ["up", "down"].into_iter().zip(epoch.others()) {
                    let key = ((*gateway).to_owned(), window, (*interface).to_owned(), direction);
                    let seen = ledger.entry(key).or_default();
                    for (packets, bytes) in others {
                        *seen = (seen.0 + packets, seen.1 + bytes);
                    }
                }
            }
        }
        let names = epochs.iter().map(|epoch| epoch.interfaces).max_by_key(|names| names.len());
        let names = names.unwrap_or_default();
        flows.extend(rows.values().map(|sent| row(gateway, names[sent.interface], sent)));
    }
    let ledger = ledger.into_iter().map(|((gateway, window, interface, direction), seen)| {
        json!([gateway, window * 1_000, interface, direction, seen.0, seen.1])
    });
    let mut windows: Vec<Value> =
        gateways.iter().flat_map(|(gateway, epochs)| windows(gateway, epochs)).collect();
    windows.sort_by_key(Value::to_string);
    flows.sort_by_key(Value::to_string);
    let mut ledger: Vec<Value> = ledger.collect();
    ledger.sort_by_key(Value::to_string);
    json!({ "flows": flows, "ledger": ledger, "windows": windows })
}

/// By window, interface and direction: the epochs, the interface's own counters, steps of the clock.
fn windows(gateway: &str, epochs: &[Recorded]) -> Vec<Value> {
    let mut rows = vec![];
    for window in epochs.chunk_by(|one, other| start(one) == start(other)) {
        let [first, last] = [&window[0], &window[window.len() - 1]];
        let step: i64 = window.iter().map(|epoch| epoch.clock_step_ms).sum();
        for (slot, interface) in last.interfaces.iter().enumerate() {
            for (place, direction) in ["up", "down"].into_iter().enumerate() {
                let own = window.iter().filter_map(|epoch| epoch.on_interface(slot));
                let own = own.map(|counts| counts[place]);
                let own = own.reduce(|one, other| (one.0 + other.0, one.1 + other.1));
                rows.push(json!([
                    gateway,
                    start(first) * 1_000,
                    interface,
                    direction,
                    first.number,
                    last.number,
                    own.map(|own| own.0),
                    own.map(|own| own.1),
                    (step != 0).then_some(step),
                ]));
            }
        }
    }
    rows
}

/// Beginning of the window of an epoch, in seconds.
fn start(epoch: &Recorded) -> u64 {
    (epoch.closed - 1) / WINDOW_SECONDS * WINDOW_SECONDS
}

fn add(row: &Sent, more: &Sent) -> Sent {
    let sum = |one: (u64, u64), other: (u64, u64)| (one.0 + other.0, one.1 + other.1);
    Sent {
        up: sum(row.up, more.up),
        down: sum(row.down, more.down),
        first: row.first.min(more.first),
        last: row.last.max(more.last),
        ..row.clone()
    }
}

fn row(gateway: &str, interface: &str, sent: &Sent) -> Value {
    let Sent { member, remote, ports, protocol, detail, up, down, first, last, .. } = sent;
    let is_icmp = matches!(protocol, 1 | 58);
    let has_ports = matches!(protocol, 6 | 17) && ports[0] != 0;
    let knows_remote = *detail == detail::FULL;
    let [kind, code] = ports[0].to_be_bytes();
    let of_tcp = |flags: u8| (*protocol == 6).then_some(flags);
    json!([
        gateway,
        interface,
        first * 1_000,
        last * 1_000,
        member.to_string(),
        knows_remote.then(|| remote.to_string()),
        has_ports.then_some(ports[0]),
        (has_ports && knows_remote).then_some(ports[1]),
        protocol,
        is_icmp.then_some(kind),
        is_icmp.then_some(code),
        up.0,
        up.1,
        down.0,
        down.1,
        of_tcp(sent.tcp_flags[0]),
        of_tcp(sent.tcp_flags[1]),
        if sent.initiator == Direction::Up { "member" } else { "remote" },
        match sent.partial {
            partial::OVERFLOW => Some("overflow"),
            partial::FRAGMENT_WITHOUT_FIRST => Some("fragment without first"),
            partial::TRANSPORT_HEADER_CUT => Some("transport header cut"),
            _ => None,
        },
    ])
}
