//! What becomes of a file of the spool, given what the store has of its hour: pure.

use super::planted::{Bug, planted};
use crate::record::epoch_set::EpochSet;

/// A file of the store, as far as it matters to one of the spool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Its number among the files of its hour.
    pub part: u32,
    /// Its file of flows.
    pub flows: Option<Facts>,
    /// Its ledger.
    pub ledger: Option<Facts>,
}

/// What a stored file says of itself; nothing where it cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// What tells it from every other one.
    pub lineage: Option<String>,
    /// Whose the numbers of its epochs are.
    pub numbering: Option<String>,
    /// The epochs that it holds; `None` in version 1.
    pub epochs: Option<EpochSet>,
    /// Rows.
    pub rows: u64,
    /// A ledger's: rows of the flows that it accounts for; `None` where it does not tell.
    pub flow_rows: Option<u64>,
    /// The digest of the file of flows: of the one that is there, or of the one that a ledger accounts for.
    pub digest: Option<String>,
}

/// A file of the spool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ours<'a> {
    /// What tells it from every other one.
    pub lineage: &'a str,
    /// Whose the numbers of its epochs are.
    pub numbering: &'a str,
    /// The epochs that it has.
    pub epochs: &'a EpochSet,
    /// Rows of its flows, at least.
    pub rows: u64,
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is put under this number, where there is no file.
    Create(u32),
    /// It is put in the place of the file of this number, all of which it has.
    Replace(u32),
    /// These of its epochs are in the store; the rest is another file.
    Close(EpochSet),
    /// The ledger of this number does not account for all of its flows. The spool can for some of them, although it
    /// lost others: after that it is decided again. Where that cannot be done, these epochs are in the store.
    Complete(u32, EpochSet),
}

/// Decides. No file of the store is ever replaced by one that has less, and no epoch is put there twice.
#[must_use]
pub fn decide(ours: &Ours<'_>, stored: &[Stored]) -> Decision {
    let of_ours = |file: &&Stored| file.is_of(ours.lineage);
    let others: Vec<&Stored> = stored.iter().filter(|file| !of_ours(file)).collect();
    let elsewhere = elsewhere(ours, stored);
    let own: Vec<&Stored> = stored.iter().filter(of_ours).collect();
    let common = |theirs: &EpochSet| ours.epochs.minus(&ours.epochs.minus(theirs));
    let own_epochs = own.iter().fold(EpochSet::default(), |all, file| all.union(&file.safe(ours)));
    let has_all = ours.epochs.contains(&own_epochs)
        && own.iter().all(|file| file.fits(ours) && file.can_be_repaired(ours));
    if let ([own], true, false) = (&own[..], has_all, elsewhere.meets(ours.epochs)) {
        return Decision::Replace(own.part);
    }
    if let ([own], true) = (&own[..], planted(Bug::AlwaysReplace)) {
        return Decision::Replace(own.part);
    }
    let safe = common(&elsewhere.union(&own_epochs));
    let behind = match &own[..] {
        [] => others.iter().find(|file| file.can_be_completed(ours)),
        [own] => {
            Some(own).filter(|own| !elsewhere.meets(ours.epochs) && own.can_be_completed(ours))
        }
        _ => None,
    };
    if let Some(behind) = behind {
        return Decision::Complete(behind.part, safe);
    }
    if !own.is_empty() || !safe.is_empty() {
        return Decision::Close(safe);
    }
    // Whoever put flows and did not live to put their ledger has left nothing that counts, nor does a ledger whose
    // flows are gone. Flows that cannot be read stay for whoever wants to look at them.
    let unproven = others.iter().find(|file| {
        let claimed = file.claimed(ours.numbering);
        let is_unproven = file.proven(ours.numbering).is_none_or(|proven| proven.is_empty());
        is_unproven
            && !file.is_damaged()
            && claimed.meets(ours.epochs)
            && ours.epochs.contains(&claimed)
    });
    if let Some(unproven) = unproven {
        return Decision::Replace(unproven.part);
    }
    let is_taken = |part: &u32| stored.iter().any(|file| file.part == *part);
    Decision::Create((0..u32::MAX).find(|part| !is_taken(part)).unwrap_or(u32::MAX))
}

/// The epochs of our numbering that other files of the store hold.
#[must_use]
pub fn elsewhere(ours: &Ours<'_>, stored: &[Stored]) -> EpochSet {
    let others = stored.iter().filter(|file| !file.is_of(ours.lineage));
    others.fold(EpochSet::default(), |all, file| all.union(&file.safe(ours)))
}

impl Stored {
    fn facts(&self) -> impl Iterator<Item = &Facts> {
        self.flows.iter().chain(&self.ledger)
    }

    /// Whether it is the file that ours has been put as before.
    pub(crate) fn is_of(&self, lineage: &str) -> bool {
        self.facts().any(|facts| facts.lineage.as_deref() == Some(lineage))
    }

    /// The epochs that its flows or its ledger hold.
    fn claimed(&self, numbering: &str) -> EpochSet {
        self.facts().fold(EpochSet::default(), |all, facts| all.union(&facts.of(numbering)))
    }

    /// The epochs that a ledger accounts for and whose flows are there; `None` where there is no ledger. Flows may be
    /// gone or older although their ledger is not: a store is restored by halves, or a disk loses a file.
    pub(crate) fn proven(&self, numbering: &str) -> Option<EpochSet> {
        let ledger = self.ledger.as_ref()?;
        let claimed = ledger.of(numbering);
        if planted(Bug::LedgerAlone) {
            return Some(claimed);
        }
        Some(match (&self.flows, ledger.flow_rows) {
            // There were no flows, or it is of a version that does not tell.
            (_, Some(0)) | (None, None) => claimed,
            (Some(flows), _) if flows.digest.is_some() && flows.digest == ledger.digest => claimed,
            (Some(flows), _) => claimed.minus(&claimed.minus(&flows.of(numbering))),
            (None, Some(_)) => EpochSet::default(),
        })
    }

    /// Whether there are flows, and nobody can read them.
    fn is_damaged(&self) -> bool {
        self.flows.as_ref().is_some_and(|flows| flows.lineage.is_none() && flows.rows == 0)
    }

    /// Whether what is put in its place has all that it had, where nobody can read its flows.
    fn can_be_repaired(&self, ours: &Ours<'_>) -> bool {
        !self.is_damaged() || ours.epochs.contains(&self.claimed(ours.numbering))
    }

    /// The epochs that are not to be taken out of it: those that its ledger proves. What flows have beyond
    /// that was being put when somebody died. It stays where we have not all of the file, which can then not be
    /// replaced: else it would be there twice. But not where the file is ours, and still grows: then flows that
    /// the spool lost since are lost, and the ledger that is put with the rest claims a gap.
    fn safe(&self, ours: &Ours<'_>) -> EpochSet {
        let proven = self.proven(ours.numbering).unwrap_or_default();
        let is_whole = ours.epochs.contains(&self.claimed(ours.numbering));
        match &self.flows {
            Some(flows) if !is_whole && !self.is_of(ours.lineage) => {
                proven.union(&flows.of(ours.numbering))
            }
            _ => proven,
        }
    }

    /// Whether its ledger is behind its flows, and ours has some of what it lacks.
    fn can_be_completed(&self, ours: &Ours<'_>) -> bool {
        let (Some(flows), Some(ledger)) = (&self.flows, &self.ledger) else { return false };
        flows.of(ours.numbering).minus(&ledger.of(ours.numbering)).meets(ours.epochs)
    }

    /// Whether a file of version 1 can be one that has grown to ours.
    fn fits(&self, ours: &Ours<'_>) -> bool {
        let has_epochs = |facts: &Facts| facts.epochs.is_some();
        self.flows.as_ref().is_none_or(|flows| has_epochs(flows) || flows.rows <= ours.rows)
    }
}

impl Facts {
    fn of(&self, numbering: &str) -> EpochSet {
        let epochs = self.epochs.as_ref().filter(|_| self.numbering.as_deref() == Some(numbering));
        epochs.cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "every caller wants it so")]
    fn facts(lineage: &str, numbering: &str, epochs: &str) -> Option<Facts> {
        let epochs = Some(epochs.parse().unwrap());
        let (lineage, numbering) = (Some(lineage.to_owned()), Some(numbering.to_owned()));
        Some(Facts { lineage, numbering, epochs, rows: 1, flow_rows: Some(1), digest: None })
    }

    fn whole(part: u32, lineage: &str, epochs: &str) -> Stored {
        let facts = facts(lineage, "n", epochs);
        Stored { part, flows: facts.clone(), ledger: facts }
    }

    fn decided(epochs: &str, stored: &[Stored]) -> Decision {
        let epochs: EpochSet = epochs.parse().unwrap();
        decide(&Ours { lineage: "a", numbering: "n", epochs: &epochs, rows: 1 }, stored)
    }

    fn close(safe: &str) -> Decision {
        Decision::Close(safe.parse().unwrap())
    }

    #[test]
    fn a_file_is_put_where_none_is_and_again_in_the_place_of_less() {
        assert_eq!(decided("1-4", &[]), Decision::Create(0));
        assert_eq!(decided("1-4", &[whole(0, "b", "9-12")]), Decision::Create(1));
        assert_eq!(decided("1-4", &[whole(1, "b", "9-12")]), Decision::Create(0));
        assert_eq!(decided("1-4", &[whole(3, "a", "1-2")]), Decision::Replace(3));
        assert_eq!(decided("1-4", &[whole(3, "a", "1-4")]), Decision::Replace(3));
    }

    #[test]
    fn a_stored_file_is_never_replaced_by_less() {
        assert_eq!(decided("1-4", &[whole(0, "a", "1-5")]), close("1-4"));
        assert_eq!(decided("1-1,3-8", &[whole(0, "a", "1-5")]), close("1-1,3-5"));
        assert_eq!(decided("7-8", &[whole(0, "a", "1-5")]), close(""));
    }

    #[test]
    fn an_epoch_that_another_file_holds_is_not_put_again() {
        assert_eq!(decided("1-4", &[whole(0, "b", "2-3")]), close("2-3"));
        let both = [whole(0, "a", "1-2"), whole(1, "b", "3-9")];
        assert_eq!(decided("1-4", &both), close("1-4"));
    }

    #[test]
    fn numbers_of_another_numbering_are_other_epochs() {
        let other = facts("b", "m", "1-4");
        let file = Stored { part: 0, flows: other.clone(), ledger: other };
        assert_eq!(decided("1-4", &[file]), Decision::Create(1));
    }

    #[test]
    fn flows_without_a_ledger_prove_nothing_and_are_replaced_by_what_has_all_of_them() {
        let unproven =
            |lineage, epochs| Stored { part: 2, flows: facts(lineage, "n", epochs), ledger: None };
        assert_eq!(decided("1-4", &[unproven("a", "1-3")]), Decision::Replace(2));
        assert_eq!(decided("1-4", &[unproven("b", "1-3")]), Decision::Replace(2));
        assert_eq!(decided("1-4", &[unproven("b", "7-9")]), Decision::Create(0));
        assert_eq!(decided("1-4", &[unproven("b", "4-9")]), close("4-4"));
        let ahead = Stored { ledger: facts("a", "n", "1-4"), ..unproven("a", "1-5") };
        assert_eq!(decided("1-4", &[ahead]), Decision::Replace(2));
    }

    #[test]
    fn flows_of_ours_without_a_ledger_are_replaced_by_what_the_spool_still_has_of_them() {
        let unproven = Stored { part: 2, flows: facts("a", "n", "1-6"), ledger: None };
        assert_eq!(decided("1-4", std::slice::from_ref(&unproven)), Decision::Replace(2));
        let proven = Stored { ledger: facts("a", "n", "1-5"), ..unproven };
        assert_eq!(decided("1-4", &[proven]), close("1-4"));
    }

    #[test]
    fn a_ledger_that_is_behind_its_flows_is_completed_where_the_spool_lost_what_it_accounts_for() {
        let ledger = facts("a", "n", "1-4");
        let behind = Stored { part: 2, flows: facts("a", "n", "1-6"), ledger };
        let completed = Decision::Complete(2, "1-2".parse().unwrap());
        assert_eq!(decided("1-2,5-6", std::slice::from_ref(&behind)), completed);
        // What nobody has any more stays without an account.
        assert_eq!(decided("1-2,6-6", std::slice::from_ref(&behind)), completed);
        let ledger = facts("a", "n", "1-4,6-6");
        let without_5 = Stored { ledger, ..behind.clone() };
        assert_eq!(decided("1-2,6-6", &[without_5]), close("1-2,6-6"));
        assert_eq!(decided("1-6", &[behind]), Decision::Replace(2));
    }

    #[test]
    fn flows_of_another_file_ahead_of_their_ledger_are_not_put_again() {
        let ledger = facts("b", "n", "1-4");
        let ahead = [Stored { part: 2, flows: facts("b", "n", "1-6"), ledger }];
        assert_eq!(decided("5-6", &ahead), Decision::Complete(2, "5-6".parse().unwrap()));
        assert_eq!(decided("6-7", &ahead), Decision::Complete(2, "6-6".parse().unwrap()));
        assert_eq!(decided("7-8", &ahead), Decision::Create(0));
        assert_eq!(decided("4-6", &ahead), Decision::Complete(2, "4-6".parse().unwrap()));
    }

    #[test]
    fn a_ledger_proves_no_more_than_the_flows_that_are_there() {
        let file = |lineage, flows: Option<Facts>, ledger| {
            [Stored { part: 2, flows, ledger: facts(lineage, "n", ledger) }]
        };
        let damaged = || Some(Facts::default());
        // Gone, older, of another numbering, damaged: ours is put again.
        assert_eq!(decided("1-4", &file("a", None, "1-4")), Decision::Replace(2));
        assert_eq!(decided("1-4", &file("b", None, "1-4")), Decision::Replace(2));
        assert_eq!(decided("1-4", &file("a", facts("a", "n", "1-2"), "1-4")), Decision::Replace(2));
        assert_eq!(decided("1-4", &file("b", facts("b", "m", "1-4"), "1-4")), Decision::Replace(2));
        assert_eq!(decided("1-4", &file("a", damaged(), "1-4")), Decision::Replace(2));
        // What is damaged is not thrown away for less, nor where another file of ours put it.
        assert_eq!(decided("1-3", &file("a", damaged(), "1-4")), close(""));
        assert_eq!(decided("1-4", &file("b", damaged(), "1-4")), Decision::Create(0));
        // What is there stays, and only that leaves the spool.
        assert_eq!(decided("2-4", &file("a", facts("a", "n", "1-2"), "1-4")), close("2-2"));
        assert_eq!(decided("1-4", &file("b", facts("b", "n", "1-2"), "1-4")), close("1-2"));
    }

    #[test]
    fn a_ledger_of_no_flows_proves_its_epochs_and_so_does_a_digest() {
        let empty = facts("b", "n", "1-4").map(|facts| Facts { flow_rows: Some(0), ..facts });
        assert_eq!(decided("1-4", &[Stored { part: 0, flows: None, ledger: empty }]), close("1-4"));
        let digest = |facts: Option<Facts>| {
            facts.map(|facts| Facts { digest: Some("3f62".to_owned()), ..facts })
        };
        let flows = digest(Some(Facts::default()));
        let ledger = digest(facts("b", "n", "1-4"));
        assert_eq!(decided("1-4", &[Stored { part: 0, flows, ledger }]), close("1-4"));
    }

    #[test]
    fn a_file_that_cannot_be_read_keeps_its_place() {
        let damaged =
            Stored { part: 0, flows: Some(Facts::default()), ledger: Some(Facts::default()) };
        assert_eq!(decided("1-4", &[damaged]), Decision::Create(1));
    }

    #[test]
    fn a_file_of_version_1_is_replaced_unless_it_has_more_rows() {
        let old = |rows| {
            let facts = Facts { lineage: Some("a".to_owned()), rows, ..Facts::default() };
            Stored { part: 0, flows: Some(facts.clone()), ledger: Some(facts) }
        };
        assert_eq!(decided("1-4", &[old(1)]), Decision::Replace(0));
        assert_eq!(decided("1-4", &[old(2)]), close(""));
    }
}
