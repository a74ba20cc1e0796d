//! The sources of sessions, and the subscribers of peers.

use super::{Fault, Finding};
use crate::{
    config::{SourceConfig, SubscriberSettings},
    record::session::PeerKey,
    source::{
        probe::{Probe, probe},
        subscribers,
    },
    telemetry::with_causes,
};

/// Looks at the key of the pseudonyms, at the subscribers, and once at each source.
pub(super) async fn findings(
    sources: &[SourceConfig],
    settings: Option<&SubscriberSettings>,
) -> Vec<Finding> {
    let Some(settings) = settings else { return vec![] };
    let (finding, key) = of_subscribers(settings);
    let mut findings = vec![finding];
    if let Some(key) = key {
        for source in sources {
            let probes = probe(source.clone(), key.clone()).await;
            findings.extend(probes.into_iter().map(|found| of_source(source, found)));
        }
    }
    findings
}

fn of_subscribers(settings: &SubscriberSettings) -> (Finding, Option<PeerKey>) {
    match subscribers::read(settings) {
        Ok((key, subscribers)) => {
            let detail = format!("a key, and {} peers with a subscriber", subscribers.count());
            (Finding::sound("subscribers", detail), Some(key))
        }
        Err(error) => {
            let failed = Finding::failed("subscribers", with_causes(&error), error.remedy());
            let at_fault = Fault::Configuration;
            let key = subscribers::read_key(&settings.peer_key_file).ok();
            (Finding { at_fault, ..failed }, key)
        }
    }
}

fn of_source(source: &SourceConfig, Probe { part, outcome }: Probe) -> Finding {
    let kind = source.source().name();
    match outcome {
        Ok(detail) => Finding::sound("source", format!("{kind}, {part}: {detail}")),
        Err(error) => {
            let detail = format!("{kind}, {part}: {}", with_causes(&error));
            Finding::failed("source", detail, error.remedy())
        }
    }
}
