//! Drained epochs: written before the kernel's maps are cleared, read when their window is over.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use flowlog_common::flow::{FlowCounters, FlowKey};

use super::{
    Error, RUN, Spool,
    entry::Entry,
    header::{Dated, Header, WindowLedger},
    longest_table,
    run::{Run, RunWriter},
    sound_runs,
};
use crate::{
    aggregate::{
        Activity, Times,
        ledger::{Gap, GapReason, LedgerEntry},
    },
    clock::{self, Utc},
    drain::{Entries, Epoch},
    encode::order,
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
    /// Since when the interfaces that there are are counted.
    counting_since: Option<Utc>,
    /// This start of the machine.
    boot: String,
}

impl Epochs {
    /// Writes into this spool, in which these runs were found.
    #[must_use]
    pub fn new(spool: Arc<Spool>, policy: String, window: Duration, found: Vec<&Run>) -> Self {
        let number = found.iter().map(|run| run.header.epochs.1).max();
        let closed = found.iter().map(|run| run.header.closed()).max();
        let windows = found.iter().flat_map(|run| &run.header.windows);
        let rows = windows.flat_map(|window| &window.rows);
        Self {
            spool,
            policy,
            window,
            counted: rows.map(|row| row.interface.clone()).collect(),
            interfaces: longest_table(found),
            last: number.zip(closed),
            counting_since: None,
            boot: clock::boot(),
        }
    }

    /// Whether what is written outlives the process.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.spool.is_durable()
    }

    /// The number of the last epoch; zero where none is in the spool.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.last.map_or(0, |(number, _)| number)
    }

    /// The open epoch has another number: those in between are not missing.
    pub const fn renumbered(&mut self, from: u64, to: u64) {
        if let Some((last, _)) = &mut self.last
            && *last + 1 == from
        {
            *last = to - 1;
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
        self.spool.has_room(size(epoch))?;
        let places = self.places(epoch);
        let times = Times::of(epoch);
        let mut ledger: Vec<LedgerEntry> = vec![];
        for (observed, totals) in &epoch.totals {
            let (from, to) = (times.utc(observed.from), times.end_utc(observed.to));
            let mut row = LedgerEntry::new(observed.name.clone(), from, to);
            row.observe(from, to, observed.interruptions, totals, clock_error);
            row.clock_step_ms = epoch.clock_step_ms;
            ledger.push(row);
        }
        let gap = self.gap_before(epoch);
        if let Some(gap) = gap {
            self.add_gap(gap, &mut ledger, clock_error);
        }
        let row_of = |name: &String| ledger.iter().position(|row| row.interface == *name);
        let rows: Vec<Option<usize>> = self.interfaces.iter().map(row_of).collect();
        let mut account = |place: u16, detail: u8, activity: &Activity| {
            let row = rows.get(usize::from(place)).copied().flatten();
            if let Some(row) = row.and_then(|row| ledger.get_mut(row)) {
                row.add_row(detail, activity);
            }
        };
        let mut writer = RunWriter::create(self.path(epoch.number))?;
        let v4 = [&epoch.flows_v4, &epoch.overflow_v4];
        write_sorted(&mut writer, v4, &places, &times, &mut account)?;
        let v6 = [&epoch.flows_v6, &epoch.overflow_v6];
        write_sorted(&mut writer, v6, &places, &times, &mut account)?;
        let last = epoch.closed.minus(Duration::from_nanos(1)).max(epoch.opened);
        let window = WindowLedger {
            start_ns: last.floor(self.window).ns(),
            length_ms: u64::try_from(self.window.as_millis()).unwrap_or(u64::MAX),
            epochs: Some((epoch.number, epoch.number)),
            rows: ledger,
        };
        let run = writer.finish(Header {
            epochs: (epoch.number, epoch.number),
            numbers: None,
            closed_ns: epoch.closed.ns(),
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
        if let Some(Gap { start, end, .. }) = gap {
            tracing::warn!(
                "nothing was counted from {start} to {end}; the ledger says so (gap_start, gap_end)"
            );
        }
        let this = (epoch.number, epoch.closed);
        self.last =
            Some(self.last.map_or(this, |(last, closed)| (last.max(this.0), closed.max(this.1))));
        Ok(run)
    }

    /// A number that is missing says that nobody counted in between, or that what was counted is lost.
    fn gap_before(&self, epoch: &Epoch) -> Option<Gap> {
        let (_, closed) = self.last.filter(|(last, _)| epoch.number > last + 1)?;
        Some(Gap::between(closed, self.counting_since.unwrap_or(epoch.closed), GapReason::Down))
    }

    /// Any interface may have been in use meanwhile, also one that has gone since.
    fn add_gap(&self, gap: Gap, ledger: &mut Vec<LedgerEntry>, clock_error: Duration) {
        for name in &self.counted {
            if !ledger.iter().any(|row| row.interface == *name) {
                let mut row = LedgerEntry::new(name.clone(), gap.end, gap.end);
                row.clock_error = clock_error;
                ledger.push(row);
            }
        }
        for row in ledger {
            row.add_gap(gap);
        }
    }

    fn path(&self, epoch: u64) -> PathBuf {
        self.spool.epochs_directory().join(format!("{epoch:020}.{RUN}"))
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
            let slot = usize::from(observed.slot);
            places.resize(places.len().max(slot + 1), u16::MAX);
            places[slot] = u16::try_from(place).unwrap_or(u16::MAX);
        }
        places
    }
}

/// The epochs that are in a spool.
pub fn found(spool: &Spool) -> Result<Vec<Run>, Error> {
    sound_runs(&spool.epochs_directory())
}

fn report_step(epoch: &Epoch) {
    if epoch.clock_step_ms != 0 {
        let step_ms = epoch.clock_step_ms;
        tracing::warn!(
            step_ms,
            "the wall clock was set; the ledger has it (clock_step_ms), and the counts of the \
             last {:?} are dated from {} on",
            epoch.opened.distance(epoch.closed),
            epoch.opened
        );
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
