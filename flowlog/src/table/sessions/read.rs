//! Rows of the table as rows of sessions.

use arrow::{
    array::Array as _,
    datatypes::{UInt16Type, UInt32Type, UInt64Type},
};

pub use super::columns::hex_of;
use crate::{
    record::{
        clock::Utc,
        session::{EndReason, Held, Instance, Outer, SessionRow, Source, State},
    },
    table::reader::{Error, Fault, Rows},
};

/// The rows of a batch that has all columns of the table.
pub fn rows(rows: &Rows) -> Result<Vec<SessionRow>, Error> {
    let text = |name: &str| rows.texts(name);
    let number = |name: &str| rows.numbers::<UInt32Type>(name);
    let (session, source, instance) = (text("session_id")?, text("source")?, text("instance")?);
    let (realm, peer, subscriber) = (text("realm")?, text("peer")?, text("subscriber")?);
    let (state, prefix, reason) = (text("state")?, text("inner_prefix")?, text("end_reason")?);
    let (outer, port) = (text("outer_ip")?, rows.numbers::<UInt16Type>("outer_port")?);
    let (start, end) = (rows.times("held_start")?, rows.times("held_end")?);
    let (start_slack, end_slack) = (number("start_slack_ms")?, number("end_slack_ms")?);
    let begun = rows.times("session_start")?;
    let (begun_slack, clock) = (number("session_start_slack_ms")?, number("clock_error_ms")?);
    let (segment, continues) = (number("segment")?, rows.booleans("continues")?);
    let (up, down) =
        (rows.numbers::<UInt64Type>("bytes_up")?, rows.numbers::<UInt64Type>("bytes_down")?);
    let mut read = Vec::with_capacity(rows.count());
    for row in 0..rows.count() {
        let word = |column: &str| rows.fault(Fault::Value(column.to_owned()));
        let maybe = |column: &arrow::array::StringArray| {
            column.is_valid(row).then(|| column.value(row).to_owned())
        };
        let outer_address = maybe(outer).map(|text| text.parse::<std::net::IpAddr>());
        let outer_address = outer_address.transpose().map_err(|_| word("outer_ip"))?;
        let end_reason = maybe(reason)
            .map(|name| EndReason::from_name(&name).ok_or_else(|| word("end_reason")))
            .transpose()?;
        read.push(SessionRow {
            session: session.value(row).parse().map_err(|_| word("session_id"))?,
            segment: segment.value(row),
            instance: Instance {
                source: Source::from_name(source.value(row)).ok_or_else(|| word("source"))?,
                name: instance.value(row).to_owned(),
            },
            realm: realm.value(row).to_owned(),
            peer: peer.value(row).parse().map_err(|_| word("peer"))?,
            subscriber: maybe(subscriber).map(Into::into),
            state: State::from_name(state.value(row)).ok_or_else(|| word("state"))?,
            prefix: prefix
                .value(row)
                .parse::<ipnet::IpNet>()
                .map_err(|_| word("inner_prefix"))?
                .into(),
            outer: outer_address.map(|address| Outer {
                address: address.into(),
                port: port.is_valid(row).then(|| port.value(row)),
            }),
            held: Held {
                start: Utc::from_ms(start.value(row)),
                end: Utc::from_ms(end.value(row)),
                start_slack_ms: start_slack.value(row),
                end_slack_ms: end_slack.value(row),
            },
            session_start: Utc::from_ms(begun.value(row)),
            session_start_slack_ms: begun_slack.value(row),
            continues: continues.value(row),
            end_reason,
            bytes: up.is_valid(row).then(|| [up.value(row), down.value(row)]),
            clock_error_ms: clock.value(row),
        });
    }
    Ok(read)
}
