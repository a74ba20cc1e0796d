//! Flows of a candidate around the instant. They are evidence: they make nobody a candidate, and drop nobody.

use std::{collections::BTreeSet, net::IpAddr, ops::ControlFlow, time::Duration};

use super::{Candidate, Error, Question, read};
use crate::{
    ask::{
        flows::{self, Addresses, Filter, Lasts, Row},
        open::{Consultation, Times},
    },
    record::{clock::Utc, redacted::Address},
    table::FLOWS,
};

/// Flows of the addresses of a candidate around the instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// How many rows of flows they are.
    pub flows: u64,
    /// The first packet of them.
    pub first: Option<Utc>,
    /// The last one.
    pub last: Option<Utc>,
    /// Bytes from the member.
    pub bytes_up: u64,
    /// Bytes to the member.
    pub bytes_down: u64,
}

/// Which flows are evidence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sought {
    /// Port of the member.
    pub port: Option<u16>,
    /// Number of the IP protocol.
    pub protocol: Option<u8>,
    /// The other side.
    pub remote: Option<Address>,
}

/// The evidence for each candidate, `None` where no flows of that time are kept; and what the profiles were that they
/// were recorded under.
pub fn evidence(
    consultation: &Consultation,
    question: &Question,
    sought: &Sought,
    candidates: &[Candidate],
) -> Result<(Vec<Option<Evidence>>, BTreeSet<String>), Error> {
    let (mut all, mut policies) = (vec![], BTreeSet::new());
    for candidate in candidates {
        let around = question.around(candidate.clock_error_ms);
        let to = around.to.plus(Duration::from_millis(1));
        let times = Times::new(around.from, to);
        let objects = read::objects(consultation, &FLOWS, &candidate.gateway, times)?;
        for object in &objects {
            let policy = read::read(consultation, &FLOWS, object, |reader| {
                Ok(reader.facts().policy.clone())
            })?;
            policies.extend(policy.filter(|policy| !policy.is_empty()));
        }
        let of = || flows_of(consultation, sought, candidate, times);
        all.push(if objects.is_empty() { None } else { Some(of()?) });
    }
    Ok((all, policies))
}

fn flows_of(
    consultation: &Consultation,
    sought: &Sought,
    candidate: &Candidate,
    times: Times,
) -> Result<Evidence, Error> {
    let addresses = |text: String| text.parse::<Addresses>().ok();
    let remote = sought.remote.map(|remote| remote.in_clear().to_string());
    let filter = Filter {
        member: addresses(candidate.prefix.in_clear().to_string()),
        remote: remote.and_then(addresses),
        port: None,
        protocol: sought.protocol,
        lasts: Some(Lasts::within(times)),
    };
    let gateway = candidate.gateway.parse().ok();
    let question = flows::Question { filter, gateway, outage: Duration::ZERO };
    let mut evidence = Evidence::default();
    let report = flows::rows(consultation, &question, |row| {
        if sought.port.is_none_or(|port| row.member_port == Some(port)) {
            evidence.add(row);
        }
        ControlFlow::Continue(())
    })?;
    match report.unreadable.into_iter().next() {
        Some(unreadable) => Err(unreadable.error.into()),
        None => Ok(evidence),
    }
}

impl Evidence {
    fn add(&mut self, row: &Row<'_>) {
        self.flows += 1;
        self.first = Some(self.first.map_or(row.flow_start, |first| first.min(row.flow_start)));
        self.last = Some(self.last.map_or(row.flow_end, |last| last.max(row.flow_end)));
        self.bytes_up = self.bytes_up.saturating_add(row.bytes_up);
        self.bytes_down = self.bytes_down.saturating_add(row.bytes_down);
    }
}

/// An address in any notation; an IPv6 address that maps an IPv4 one is that one.
pub fn parse_address(text: &str) -> Result<Address, String> {
    let address = text.trim().parse::<IpAddr>();
    let address = address.map_err(|_| "it is not an IP address".to_owned())?;
    Ok(address.to_canonical().into())
}
