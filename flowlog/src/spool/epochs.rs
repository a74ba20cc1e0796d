//! Drained epochs: written before the kernel's maps are cleared, read when their window is over.

mod gaps;

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use flowlog_common::flow::{FlowCounters, FlowKey};

use super::{
    Error, Spool,
    entry::Entry,
    error::report,
    header::Header,
    identity::Lost,
    incidents::Incident,
    longest_table,
    name::RunName,
    planted::{Bug, planted},
    run::{Run, RunWriter},
};
use crate::record::{
    clock::{self, Utc},
    dated::Dated,
    epoch::{Entries, Epoch, EpochNumber},
    epoch_set::EpochSet,
    flow::Activity,
    ledger::{Gap, LedgerEntry},
    order,
    times::Times,
    window::WindowLedger,
};

/// Writes drained epochs.
#[derive(Debug)]
pub struct Epochs {
    spool: Arc<Spool>,
    policy: String,
    window: Duration,
    /// Interface names by their place; a name keeps its place as long as anything is in the spool.
    interfaces: Vec<String>,
    /// Those that were counted lately, when the daemon began.
    counted: BTreeSet<String>,
    /// Number and end of the last epoch.
    last: Option<(u64, Utc)>,
    /// The first and the last of numbers of which some never were.
    renumbered: Option<(u64, u64)>,
    /// Whether the spool may have lost epochs that the store has, without a trace: then a number that is left
    /// out is no gap before the store was asked.
    may_have_lost: bool,
    /// Numbers of epochs that the store may have, although their runs may be gone.
    reserved: EpochSet,
    /// When counting of the current interfaces began.
    counting_since: Option<Utc>,
    /// This start of the machine.
    boot: String,
}

/// How far apart two readings of one instant may be: the clock is corrected in between.
const CLOCK_DRIFT: Duration = Duration::from_millis(100);

impl Epochs {
    /// Writes into this spool, in which these runs were found.
    #[must_use]
    pub fn new(spool: Arc<Spool>, policy: String, window: Duration, found: Vec<&Run>) -> Self {
        let windows = found.iter().flat_map(|run| &run.header.windows);
        let rows = windows.flat_map(|window| &window.rows);
        let mut counted: BTreeSet<String> = rows.map(|row| row.interface.clone()).collect();
        let identity = spool.kept().value.clone();
        let may_have_lost = spool.kept().may_be_old;
        counted.extend(identity.lost.iter().flat_map(|lost| lost.interfaces.clone()));
        let by_run = found.iter().map(|run| (run.header.epochs.1, run.header.closed()));
        let stored = identity
            .numberings
            .values()
            .filter_map(|known| Some((known.stored.last()?, Utc::from_ns(known.stored_until_ns))));
        let lost = identity.lost.iter();
        let lost = lost.filter_map(|lost| Some((lost.epochs.last()?, Utc::from_ns(lost.end_ns))));
        // The first epoch of a numbering was about to be written when its number was.
        let begun = identity.numberings.values().filter_map(|known| {
            Some((known.first?.saturating_sub(1), Utc::from_ns(known.opened_ns)))
        });
        let ended = identity.numberings.values().filter_map(|known| {
            Some((known.last?, Utc::from_ns(known.until_ns.unwrap_or(known.stored_until_ns))))
        });
        let before = identity.counted.map(|(number, closed)| (number, Utc::from_ns(closed)));
        let known = by_run.chain(stored).chain(lost).chain(begun).chain(ended).chain(before);
        let known: Vec<(u64, Utc)> = known.collect();
        let number = known.iter().map(|(number, _)| *number).max();
        let closed = known.iter().map(|(_, closed)| *closed).max();
        Self {
            spool,
            policy,
            window,
            counted,
            interfaces: longest_table(found),
            last: number.zip(closed),
            renumbered: None,
            may_have_lost,
            reserved: EpochSet::default(),
            counting_since: None,
            boot: clock::boot(),
        }
    }

    /// Whether what is written outlives the process.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.spool.is_durable()
    }

    /// Size in bytes of the spool before the last epoch was written to it.
    #[must_use]
    pub fn measured_bytes(&self) -> u64 {
        self.spool.measured_bytes()
    }

    /// The number of the last epoch; zero where none is in the spool.
    #[must_use]
    pub fn last(&self) -> EpochNumber {
        self.last.map_or(EpochNumber::ZERO, |(number, _)| EpochNumber::new(number))
    }

    /// The numbers of the spool have nothing to do with those to come.
    pub(super) const fn forget_last(&mut self) {
        self.last = None;
    }

    /// The store may have these epochs.
    pub(super) fn reserved(&mut self, epochs: EpochSet) {
        self.reserved = epochs;
    }

    /// The open epoch of maps that go on, which began at an instant, has another number: those in between
    /// are not missing. Nor are they where a daemon died that had given it that number.
    pub fn renumbered(&mut self, from: EpochNumber, to: EpochNumber, opened: Utc) {
        let (from, to) = (from.get(), to.get());
        let Some((last, closed)) = self.last else { return };
        let has_counted_all_along = opened <= closed.plus(CLOCK_DRIFT);
        if last < to && (last.saturating_add(1) == from || has_counted_all_along) {
            self.renumbered = Some((last.saturating_add(1), to));
        }
    }

    /// The interfaces were looked at: those that there are, and those to come, are counted.
    pub const fn counting_since(&mut self, instant: Utc) {
        self.counting_since = Some(instant);
    }

    /// Makes an epoch durable.
    ///
    /// It belongs to the window of its last instant. It lies wholly inside it unless nobody drained
    /// for longer than a drain interval; then its rows are stored, and kept, with the later window.
    pub fn append(&mut self, epoch: &Epoch, clock_error: Duration) -> Result<Run, Error> {
        self.write(epoch, clock_error).inspect_err(|error| {
            if error.is_gone() {
                report(self.spool.make_way());
            }
        })
    }

    fn write(&mut self, epoch: &Epoch, clock_error: Duration) -> Result<Run, Error> {
        self.spool.ensure_room(size(epoch))?;
        self.spool.prepare_directories()?;
        let number = epoch.number.get();
        let (numbering, gateway) = self.numbering_of(epoch)?;
        let places = self.places(epoch);
        let times = Times::of(epoch);
        let mut ledger: Vec<LedgerEntry> = vec![];
        for (observed, totals) in &epoch.totals {
            let (from, to) = (times.utc(observed.from), times.end_utc(observed.to));
            let mut row = LedgerEntry::new(observed.name.clone(), from, to);
            row.observe(from, to, observed.interruptions, totals, clock_error);
            row.clock_step_ms = epoch.clock_step_ms;
            row.on_interface = observed.on_interface;
            for (span, reason) in &observed.gaps {
                let [since, until] = [span.since, span.until].map(|at| times.gap_utc(at));
                row.add_gap(Gap::between(since, until, *reason));
            }
            ledger.push(row);
        }
        let lost = self.unreported();
        let is_reported = self.add_gaps(&lost, epoch, &mut ledger, clock_error);
        let row_of = |name: &String| ledger.iter().position(|row| row.interface == *name);
        let rows: Vec<Option<usize>> = self.interfaces.iter().map(row_of).collect();
        let mut account = |place: u16, detail: u8, activity: &Activity| {
            let row = rows.get(usize::from(place)).copied().flatten();
            if let Some(row) = row.and_then(|row| ledger.get_mut(row)) {
                row.add_row(detail, activity);
            }
        };
        let mut writer = RunWriter::create(&self.spool.disk, self.path(epoch))?;
        let v4 = [&epoch.flows_v4, &epoch.overflow_v4];
        write_sorted(&mut writer, v4, &places, &times, &mut account)?;
        let v6 = [&epoch.flows_v6, &epoch.overflow_v6];
        write_sorted(&mut writer, v6, &places, &times, &mut account)?;
        let instant = epoch.closed.minus(Duration::from_nanos(1)).max(epoch.opened);
        let window = WindowLedger {
            start_ns: instant.floor(self.window).ns(),
            length_ms: u64::try_from(self.window.as_millis()).unwrap_or(u64::MAX),
            epochs: Some((number, number)),
            rows: ledger,
        };
        let run = writer.finish(Header {
            epochs: (number, number),
            numbers: None,
            closed_ns: epoch.closed.ns(),
            opened_ns: Some(epoch.opened.ns()),
            gateway,
            numbering: numbering.clone(),
            policy: self.policy.clone(),
            interfaces: self.interfaces.clone(),
            windows: vec![window],
            entries: (0, 0),
            dated: Some(Dated {
                boot: self.boot.clone(),
                offset_ns: epoch.offset.ns(),
                synchronised: epoch.is_synchronised,
            }),
        })?;
        report_step(epoch);
        if is_reported {
            self.reported(&lost, &(numbering, number));
        }
        let this = (number, epoch.closed);
        self.last =
            Some(self.last.map_or(this, |(last, closed)| (last.max(this.0), closed.max(this.1))));
        self.renumbered = self.renumbered.filter(|(_, to)| number < *to);
        Ok(run)
    }

    /// The numbering of the epoch that is next, and the gateway that counts. Where numbers are left out,
    /// another numbering begins, so that none is ever used twice: not even by a spool that was restored from a
    /// copy.
    fn numbering_of(&self, epoch: &Epoch) -> Result<(String, String), Error> {
        let number = epoch.number.get();
        let last = self.last;
        let goes_on = last.is_none_or(|(last, _)| number == last.saturating_add(1));
        let goes_on = goes_on || planted(Bug::OneNumbering);
        self.spool.know(|identity| {
            let current = identity.numbering.clone();
            let begins_here = identity.of(&current).first == Some(number);
            let is_new = identity.of(&current).first.is_none();
            if current.is_empty() {
                identity.numberings.remove(&current);
                identity.begin(Some(number), None);
            } else if is_new {
                identity.of(&current).first = Some(number);
            } else if !goes_on && !begins_here {
                identity.begin(Some(number), last);
            }
            if !goes_on && !begins_here {
                let numbering = identity.numbering.clone();
                // The store may have what is missing under the name that the gateway had then.
                let before = last.map(|(last, _)| last);
                let ended = identity.numberings.iter().find(|(other, known)| {
                    **other != numbering && before.is_some() && known.last == before
                });
                let gateway = ended.map_or(&identity.gateway, |(_, known)| &known.gateway).clone();
                let gap = self.gap_before(epoch);
                identity.lost.extend(gap.map(|gap| Lost { numbering, gateway, ..gap }));
            }
            let (current, gateway) = (identity.numbering.clone(), identity.gateway.clone());
            let numbering = identity.of(&current);
            if numbering.first == Some(number) {
                numbering.opened_ns = epoch.opened.ns();
                numbering.gateway.clone_from(&gateway);
            }
            (current, gateway)
        })
    }

    fn path(&self, epoch: &Epoch) -> PathBuf {
        let number = epoch.number.get();
        let times = Some((epoch.opened, epoch.closed));
        let name = RunName { first: number, last: number, times };
        self.spool.epochs_directory().join(name.file_name())
    }

    /// The place of each slot's interface name, by slot.
    fn places(&mut self, epoch: &Epoch) -> Vec<u16> {
        let mut places = vec![];
        for (observed, _) in &epoch.totals {
            let known = self.interfaces.iter().position(|name| *name == observed.name);
            let place = known.unwrap_or_else(|| {
                self.interfaces.push(observed.name.clone());
                self.interfaces.len() - 1
            });
            let slot = observed.slot.place();
            places.resize(places.len().max(slot + 1), u16::MAX);
            places[slot] = u16::try_from(place).unwrap_or(u16::MAX);
        }
        places
    }
}

fn report_step(epoch: &Epoch) {
    let Epoch { clock_step_ms: step_ms, opened, closed, .. } = *epoch;
    if step_ms != 0 {
        Incident::ClockStep { step_ms, opened, closed }.emit();
    }
}

/// Bytes that an epoch takes at most.
fn size(epoch: &Epoch) -> u64 {
    let entries = |count: usize, size: usize| (count * size) as u64;
    let Epoch { flows_v4, flows_v6, overflow_v4, overflow_v6, .. } = epoch;
    entries(flows_v4.len() + overflow_v4.len(), Entry::<4>::SIZE)
        + entries(flows_v6.len() + overflow_v6.len(), Entry::<16>::SIZE)
}

/// Entries that are fetched in one loop that does nothing else: they are all over the drained map, and
/// the processor waits for many of them at once.
const FETCHED: usize = 64;

fn write_sorted<const A: usize>(
    writer: &mut RunWriter,
    drained: [&Entries<FlowKey<A>, FlowCounters>; 2],
    places: &[u16],
    times: &Times,
    account: &mut impl FnMut(u16, u8, &Activity),
) -> Result<(), Error>
where
    std::net::IpAddr: From<[u8; A]>,
{
    let [flows, overflow] = drained;
    let mut keys: Vec<FlowKey<A>> = Vec::with_capacity(flows.len() + overflow.len());
    keys.extend(flows.keys.iter().chain(&overflow.keys).map(|key| FlowKey {
        interface: places.get(usize::from(key.interface)).copied().unwrap_or(u16::MAX),
        ..*key
    }));
    let mut fetched = Vec::with_capacity(FETCHED);
    for places in order::permutation(&keys).chunks(FETCHED) {
        fetched.extend(places.iter().filter_map(|place| {
            let index = *place as usize;
            let of_flow = flows.values.get(index);
            let counters = of_flow.or_else(|| overflow.values.get(index - flows.len()))?;
            Some((keys[index], *counters))
        }));
        for (key, counters) in fetched.drain(..) {
            let entry = Entry { key, activity: times.activity(&counters) };
            account(entry.key.interface, entry.key.detail, &entry.activity);
            writer.push(&entry)?;
        }
    }
    Ok(())
}
