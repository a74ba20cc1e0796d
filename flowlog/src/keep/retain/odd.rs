//! What is in the place of something of ours and is no object: a link, or what cannot be looked at.

use object_store::path::Path;

use super::Rule;
use crate::{
    record::{clock::EARLIEST, gateway::GatewayName},
    store::layout::{Dataset, ObjectName, Partition},
};

/// Whether there may be expired data of ours behind something that is left alone.
///
/// Nobody keeps data behind a name that flowlog does not write; but a folder that was moved to another
/// disk, and a link put in its place, has what retention cannot reach.
pub(super) fn may_hide_expired(path: &str, rule: &Rule<'_>) -> bool {
    let segments: Vec<&str> = path.split('/').collect();
    let is_dataset = |name: &str| Dataset::ALL.iter().any(|dataset| dataset.name() == name);
    let is_gateway = |folder: &str| {
        let name = folder.strip_prefix("gateway=");
        let long_ago = EARLIEST;
        name.is_some_and(|name| name.parse::<GatewayName>().is_ok() && rule.is_of(name, long_ago))
    };
    match segments.as_slice() {
        [dataset] => is_dataset(dataset),
        [dataset, gateway] => is_dataset(dataset) && is_gateway(gateway),
        [dataset, gateway, date] => {
            let first = Partition::parse([dataset, gateway, date, "hour=00"]);
            is_gateway(gateway) && first.is_some_and(|hour| rule.is_over(hour.end()))
        }
        [dataset, gateway, date, hour] => {
            let partition = Partition::parse([dataset, gateway, date, hour]);
            is_gateway(gateway) && partition.is_some_and(|hour| rule.is_over(hour.end()))
        }
        _ => Path::parse(path)
            .ok()
            .as_ref()
            .and_then(ObjectName::parse)
            .is_some_and(|name| is_of_rule(&name, rule)),
    }
}

fn is_of_rule(name: &ObjectName, rule: &Rule<'_>) -> bool {
    rule.is_of(&name.partition.gateway, name.partition.hour) && rule.is_over(name.partition.end())
}
