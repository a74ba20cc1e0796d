//! Times in which flowlog may not have counted, by the ledger: "no rows" is not "nothing happened".

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use object_store::path::Path;
use serde::Serialize;

use super::{Lasts, columns::instant};
use crate::{
    ask::{
        open,
        verify::{ReadError, read},
    },
    record::clock::Utc,
    table::reader::Fault,
};

/// A time in which there may have been flows that the store does not have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Gap {
    /// The gateway; `None`: the store has none at all.
    pub gateway: Option<String>,
    /// The interface; `None`: all of them.
    pub interface: Option<String>,
    /// Its beginning.
    #[serde(serialize_with = "instant")]
    pub gap_start: Utc,
    /// Its end.
    #[serde(serialize_with = "instant")]
    pub gap_end: Utc,
    /// The reason by the ledger, or `no_ledger`.
    pub gap_reason: &'static str,
}

/// The store has no ledger of the time: it is not stored yet, has expired, or flowlog did not run.
pub const NO_LEDGER: &str = "no_ledger";

impl std::fmt::Display for Gap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { gateway, interface, gap_start, gap_end, gap_reason } = self;
        let Some(gateway) = gateway else {
            return write!(
                f,
                "the store has no gateway, and no ledger from {gap_start} to {gap_end}; is it the right store?"
            );
        };
        write!(f, "gateway {gateway}")?;
        if let Some(interface) = interface {
            write!(f, ", interface {interface}")?;
        }
        if *gap_reason == NO_LEDGER {
            return write!(f, ": the store has no ledger from {gap_start} to {gap_end}");
        }
        write!(f, ": not counted from {gap_start} to {gap_end} ({gap_reason})")
    }
}

/// What a file of the ledger tells of times.
pub(super) struct Account {
    gaps: Vec<(String, (Utc, Utc), &'static str)>,
    observed: Vec<(Utc, Utc)>,
}

impl Account {
    const fn none() -> Self {
        Self { gaps: vec![], observed: vec![] }
    }

    pub(super) fn read(object: &Path, file: &Bytes) -> Result<Self, open::Error> {
        let ledger = read::Ledger::read(object, file).map_err(|error| match error {
            ReadError::Store(error) => open::Error::Store(error),
            ReadError::File(fault) => open::Error::File(fault.of(object)),
            // A direction or a reason that this version does not know.
            _ => Fault::Foreign.of(object).into(),
        })?;
        let gap = |of: &read::NumberedGap| {
            (of.interface.clone(), (of.gap.start, of.gap.end), of.gap.reason.name())
        };
        Ok(Self {
            gaps: ledger.gaps.iter().map(gap).collect(),
            observed: ledger.observed.iter().map(|(_, _, observed)| *observed).collect(),
        })
    }
}

/// Which part of the time that is asked for the ledger covers.
pub(super) struct Coverage {
    lasts: Option<Lasts>,
    gateways: BTreeMap<Arc<str>, Account>,
}

/// What windows that adjoin may lack between them, since their times are whole milliseconds.
const SEAM_NS: i64 = 1_000_000_000;

impl Coverage {
    pub(super) fn new(gateways: &[Arc<str>], lasts: Option<Lasts>) -> Self {
        let gateways = gateways.iter().map(|gateway| (Arc::clone(gateway), Account::none()));
        let gateways = gateways.collect();
        Self { lasts, gateways }
    }

    pub(super) fn add(&mut self, gateway: &Arc<str>, account: Account) {
        if let Some(known) = self.gateways.get_mut(gateway) {
            known.gaps.extend(account.gaps);
            known.observed.extend(account.observed);
        }
    }

    /// The gaps in the time that is asked for, in the order of gateways and times.
    pub(super) fn gaps(&self) -> Vec<Gap> {
        let mut gaps = vec![];
        for (gateway, account) in &self.gateways {
            let is_asked = |(start, end): (Utc, Utc)| {
                self.lasts.is_none_or(|Lasts { first_ms, last_ms }| {
                    start.ms() <= last_ms && end.ms() >= first_ms
                })
            };
            let known = account.gaps.iter().filter(|(_, times, _)| is_asked(*times));
            gaps.extend(known.map(|(interface, (start, end), reason)| Gap {
                gateway: Some(gateway.to_string()),
                interface: Some(interface.clone()),
                gap_start: *start,
                gap_end: *end,
                gap_reason: reason,
            }));
            let holes =
                self.lasts.into_iter().flat_map(|lasts| holes(Some(gateway), account, lasts));
            gaps.extend(holes);
        }
        if self.gateways.is_empty() {
            gaps.extend(
                self.lasts.into_iter().flat_map(|lasts| holes(None, &Account::none(), lasts)),
            );
        }
        gaps.sort_unstable_by(|a, b| {
            (&a.gateway, a.gap_start, &a.interface, a.gap_end, a.gap_reason).cmp(&(
                &b.gateway,
                b.gap_start,
                &b.interface,
                b.gap_end,
                b.gap_reason,
            ))
        });
        gaps.dedup();
        gaps
    }
}

/// Parts of a time that are neither counted nor in a gap.
fn holes(gateway: Option<&str>, account: &Account, lasts: Lasts) -> Vec<Gap> {
    let of_gaps = account.gaps.iter().map(|(_, times, _)| *times);
    let mut known: Vec<(Utc, Utc)> = account.observed.iter().copied().chain(of_gaps).collect();
    known.sort_unstable();
    let end = Utc::from_ms(lasts.last_ms);
    known.push((end, end));
    let mut holes = vec![];
    let mut covered = Utc::from_ms(lasts.first_ms);
    for (start, until) in known {
        let start = start.min(end);
        if start.ns().saturating_sub(covered.ns()) >= SEAM_NS {
            holes.push(Gap {
                gateway: gateway.map(str::to_owned),
                interface: None,
                gap_start: covered,
                gap_end: start,
                gap_reason: NO_LEDGER,
            });
        }
        covered = covered.max(until);
    }
    holes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(gaps: &[(i64, i64)], observed: &[(i64, i64)]) -> Account {
        let times = |(from, to): &(i64, i64)| (Utc::from_ms(*from), Utc::from_ms(*to));
        let gap = |of: &(i64, i64)| ("wg0".to_owned(), times(of), "down");
        Account {
            gaps: gaps.iter().map(gap).collect(),
            observed: observed.iter().map(times).collect(),
        }
    }

    fn gaps(account: Account, lasts: Option<(i64, i64)>) -> Vec<(i64, i64, &'static str)> {
        let gateway: Arc<str> = "gw-1".into();
        let lasts = lasts.map(|(first_ms, last_ms)| Lasts { first_ms, last_ms });
        let mut coverage = Coverage::new(&[Arc::clone(&gateway)], lasts);
        coverage.add(&gateway, account);
        let gap = |gap: Gap| (gap.gap_start.ms(), gap.gap_end.ms(), gap.gap_reason);
        coverage.gaps().into_iter().map(gap).collect()
    }

    #[test]
    fn a_time_is_counted_or_in_a_gap_or_not_in_the_ledger() {
        let ledger =
            || account(&[(20_000, 30_000)], &[(0, 10_000), (10_001, 20_000), (30_000, 40_000)]);
        let [down, none] = ["down", NO_LEDGER];
        assert_eq!(gaps(ledger(), Some((5_000, 15_000))), []);
        assert_eq!(gaps(ledger(), Some((5_000, 20_000))), [(20_000, 30_000, down)]);
        assert_eq!(gaps(ledger(), Some((25_000, 35_000))), [(20_000, 30_000, down)]);
        assert_eq!(gaps(ledger(), Some((35_000, 50_000))), [(40_000, 50_000, none)]);
        assert_eq!(gaps(ledger(), Some((60_000, 62_000))), [(60_000, 62_000, none)]);
        assert_eq!(gaps(ledger(), None), [(20_000, 30_000, down)]);
        let empty = account(&[], &[]);
        assert_eq!(gaps(empty, Some((0, 9_000))), [(0, 9_000, none)]);
    }

    #[test]
    fn a_store_without_a_gateway_has_no_ledger_of_any_time() {
        let lasts = Lasts { first_ms: 0, last_ms: 9_000 };
        let gaps = Coverage::new(&[], Some(lasts)).gaps();
        let [Gap { gateway: None, interface: None, gap_reason: NO_LEDGER, .. }] = &gaps[..] else {
            panic!("{gaps:?}");
        };
        assert!(gaps[0].to_string().contains("the right store"), "{}", gaps[0]);
        assert_eq!(Coverage::new(&[], None).gaps(), []);
    }
}
