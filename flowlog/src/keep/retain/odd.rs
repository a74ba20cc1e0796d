//! What is in the place of something of ours and is no object: a link, or what cannot be looked at.

use object_store::path::Path;

use super::Rule;
use crate::{
    record::{clock::EARLIEST, gateway::GatewayName},
    table::{ObjectName, Partition, Span, Table},
};

/// Whether there may be expired data of ours behind something that is left alone.
///
/// Nobody keeps data behind a name that flowlog does not write; but a folder that was moved to another
/// disk, and a link put in its place, has what retention cannot reach.
pub(super) fn may_hide_expired(path: &str, rule: &Rule<'_>) -> bool {
    let segments: Vec<&str> = path.split('/').collect();
    let is_gateway = |folder: &str| {
        let name = folder.strip_prefix("gateway=");
        let long_ago = EARLIEST;
        name.is_some_and(|name| name.parse::<GatewayName>().is_ok() && rule.is_of(name, long_ago))
    };
    let Some(table) = segments.first().and_then(|name| Table::named(name)) else { return false };
    match (table.span, segments.as_slice()) {
        (_, [_]) => true,
        (_, [_, gateway]) => is_gateway(gateway),
        (Span::Hour, [table, gateway, date]) => {
            is_gateway(gateway) && has_expired(&[table, gateway, date, "hour=00"], rule)
        }
        (Span::Day, [_, gateway, _]) | (Span::Hour, [_, gateway, _, _]) => {
            is_gateway(gateway) && has_expired(&segments, rule)
        }
        _ => Path::parse(path)
            .ok()
            .as_ref()
            .and_then(ObjectName::parse)
            .is_some_and(|name| is_of_rule(&name.partition, rule)),
    }
}

/// Whether a folder is that of a partition that has expired.
fn has_expired(segments: &[&str], rule: &Rule<'_>) -> bool {
    Partition::parse(segments)
        .is_some_and(|partition| rule.is_over(partition.table, partition.end()))
}

fn is_of_rule(partition: &Partition, rule: &Rule<'_>) -> bool {
    rule.is_of(&partition.gateway, partition.start)
        && rule.is_over(partition.table, partition.end())
}
