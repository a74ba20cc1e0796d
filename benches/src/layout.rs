//! Layouts of a file of `flows` beside each other: bytes a flow, and rows for a second of a
//! processor in user space.
//!
//! `chosen` is what flowlog writes; each other trial differs from it in what its name says.

use std::{cmp::Ordering, net::IpAddr, path::Path};

use flowlog::{
    record::{
        flow::FlowRecord,
        order::{self, MemberText},
    },
    table::{FlowsWriter, Layout, layout::Encoding},
};

use crate::{
    Measurement, Series, cpu,
    table::{Flows, Table},
};

const RUNS: usize = 3;

pub fn measure(flows: &Path) -> anyhow::Result<Vec<Measurement>> {
    let table = Table::read(flows)?;
    let mut series = Series::default();
    for _ in 0..RUNS {
        chosen(&table, &mut series)?;
        let mut rows = table.records();
        for (name, compare) in ORDERS {
            rows.sort_by(|one, other| compare(one, other));
            write(&rows, &format!("order {name}"), &Layout::default(), &mut series)?;
        }
        let ordered: Vec<_> = order::sorted(&mut rows).copied().collect();
        for (name, layout) in layouts() {
            write(&ordered, &name, &layout, &mut series)?;
        }
    }
    Ok(series.0)
}

/// What the daemon does with drained flows: both families are sorted, merged and written.
fn chosen(table: &Table, series: &mut Series) -> anyhow::Result<()> {
    let began = cpu::user();
    let (v4, v6) = (order::permutation(&table.v4.keys), order::permutation(&table.v6.keys));
    let sorted = cpu::user();
    let mut file = FlowsWriter::new(vec![])?;
    let mut v4_members = members(&table.v4, &v4).peekable();
    let mut v6_members = members(&table.v6, &v6).peekable();
    loop {
        let is_v4 = match (v4_members.peek(), v6_members.peek()) {
            (Some((one, _)), Some((other, _))) => one < other,
            (one, _) => one.is_some(),
        };
        if is_v4 {
            let Some((_, flows)) = v4_members.next() else { continue };
            flows.iter().try_for_each(|flow| file.push(&table.v4.record(*flow as usize)))?;
        } else {
            let Some((_, flows)) = v6_members.next() else { break };
            flows.iter().try_for_each(|flow| file.push(&table.v6.record(*flow as usize)))?;
        }
    }
    let bytes = file.finish(vec![])?.len();
    let written = cpu::user();
    let rows = number(table.rows())?;
    series.add("chosen", "bytes/flow", number(bytes)? / rows);
    series.add("chosen speed", "rows/CPU-s", rows / (written - began));
    series.add("sorting alone", "rows/CPU-s", rows / (sorted - began));
    series.add("writing alone", "rows/CPU-s", rows / (written - sorted));
    Ok(())
}

/// The flows of each member, as indexes in the order of a file.
fn members<'a, const A: usize>(
    flows: &'a Flows<A>,
    order: &'a [u32],
) -> impl Iterator<Item = (MemberText, &'a [u32])>
where
    IpAddr: From<[u8; A]>,
{
    let member = |flow: u32| flows.keys[flow as usize].member;
    order
        .chunk_by(move |one, other| member(*one) == member(*other))
        .map(move |group| (MemberText::from(IpAddr::from(member(group[0]))), group))
}

fn write(
    rows: &[FlowRecord<'_>],
    name: &str,
    layout: &Layout,
    series: &mut Series,
) -> anyhow::Result<()> {
    let began = cpu::user();
    let mut file = FlowsWriter::with_layout(vec![], layout)?;
    rows.iter().try_for_each(|row| file.push(row))?;
    let bytes = number(file.finish(vec![])?.len())?;
    let seconds = cpu::user() - began;
    let rows = number(rows.len())?;
    series.add(name, "bytes/flow", bytes / rows);
    series.add(format!("{name} speed"), "rows/CPU-s", rows / seconds);
    Ok(())
}

type Compare = fn(&FlowRecord<'_>, &FlowRecord<'_>) -> Ordering;

/// Other orders of the rows. Members and remotes are ordered by their bytes here, which costs or
/// saves nothing but the pruning.
const ORDERS: [(&str, Compare); 6] = [
    ("of start", |one, other| one.activity.start_ms.cmp(&other.activity.start_ms)),
    ("of remote, start", |one, other| {
        let place = |row: &FlowRecord<'_>| (row.remote, row.activity.start_ms);
        place(one).cmp(&place(other))
    }),
    ("of member, start", |one, other| {
        let place = |row: &FlowRecord<'_>| (row.member, row.activity.start_ms);
        place(one).cmp(&place(other))
    }),
    ("of member, remote, ports, protocol", |one, other| {
        let place = |row: &FlowRecord<'_>| {
            (row.member, row.remote, row.member_port, row.remote_port, row.protocol)
        };
        place(one).cmp(&place(other))
    }),
    ("of member, protocol, remote port, start", |one, other| {
        let place = |row: &FlowRecord<'_>| {
            (row.member, row.protocol, row.remote_port, row.activity.start_ms)
        };
        place(one).cmp(&place(other))
    }),
    ("of member, protocol, remote port, member port, remote", |one, other| {
        let place = |row: &FlowRecord<'_>| {
            (row.member, row.protocol, row.remote_port, row.member_port, row.remote)
        };
        place(one).cmp(&place(other))
    }),
];

/// Other settings of the file format.
fn layouts() -> Vec<(String, Layout)> {
    let chosen = Layout::default;
    let mut layouts = vec![("no statistics".to_owned(), Layout { statistics: false, ..chosen() })];
    for row_group in [65_536, 122_880, 245_760, 1 << 20] {
        layouts.push((format!("row group {row_group}"), Layout { row_group, ..chosen() }));
    }
    layouts.push(("pages of 20000 rows".to_owned(), Layout { page_rows: 20_000, ..chosen() }));
    for zstd_level in [1, 2, 4, 5, 6, 9] {
        layouts.push((format!("zstd {zstd_level}"), Layout { zstd_level, ..chosen() }));
    }
    for (name, bloom_fpp) in [
        ("none", None),
        ("0.005", Some(0.005)),
        ("0.02", Some(0.02)),
        ("0.05", Some(0.05)),
        ("0.1", Some(0.1)),
        ("0.2", Some(0.2)),
    ] {
        layouts.push((format!("bloom filter {name}"), Layout { bloom_fpp, ..chosen() }));
    }
    for column in [
        "flow_start",
        "flow_end",
        "remote_ip",
        "member_port",
        "remote_port",
        "protocol",
        "packets_up",
        "bytes_up",
        "packets_down",
        "bytes_down",
        "tcp_flags_up",
        "tcp_flags_down",
    ] {
        let others: &[_] = match column {
            "remote_ip" => &[
                ("plain", Some(Encoding::PLAIN)),
                ("delta length", Some(Encoding::DELTA_LENGTH_BYTE_ARRAY)),
                ("front coded", Some(Encoding::DELTA_BYTE_ARRAY)),
            ],
            _ => &[
                ("dictionary", None),
                ("plain", Some(Encoding::PLAIN)),
                ("delta", Some(Encoding::DELTA_BINARY_PACKED)),
            ],
        };
        for (name, encoding) in others {
            let mut layout = chosen();
            let known = layout.encodings.iter().find(|(known, _)| *known == column);
            if known.map(|(_, encoding)| *encoding) == *encoding {
                continue;
            }
            layout.encodings.retain(|(known, _)| *known != column);
            layout.encodings.extend(encoding.map(|encoding| (column, encoding)));
            layouts.push((format!("{column} {name}"), layout));
        }
    }
    layouts
}

fn number(count: usize) -> anyhow::Result<f64> {
    Ok(f64::from(u32::try_from(count)?))
}
