//! A random history, and what must be true after it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use parquet::{
    file::reader::{FileReader as _, SerializedFileReader},
    record::Field,
    schema::types::Type,
};

use super::{
    events::{Events, Truth},
    halves::Halves,
    store::Trouble,
    world::{MINUTE, World},
};
use crate::{
    spool::{
        disk::SharedDisk,
        model::disk::{BadDisk, Fault, ModelDisk, ROOT},
        run::Run,
        tests::{copies_agree, is_known_to_go_to_a_store},
    },
    table::metadata,
};

type Objects = BTreeMap<object_store::path::Path, Bytes>;

/// What is in stores.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    /// Packets of each epoch's own flow.
    pub(super) packets: BTreeMap<u32, i64>,
    /// Times of which the ledger states that nothing is recorded.
    gaps: BTreeSet<(i64, i64)>,
    /// Packets in rows of flows, and seen by the ledger.
    rows: i64,
    seen: i64,
    /// Epochs in flows of which the ledger lacks some: that of another file may state that they are missing.
    unproven: BTreeSet<u32>,
}

/// Something that nothing may be known of in the end.
#[derive(Default)]
pub(super) struct Excused(pub(super) BTreeSet<u32>);

/// What happens in a history. A seed gives the same one as long as its range is the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Range {
    /// All that there is.
    #[default]
    All,
    /// Neither a store nor the spool loses a part of what belongs together.
    WithoutHalves,
    /// The same, and there are no events.
    EpochsAlone,
}

/// What a history is played with.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Setting {
    /// What the disk is bad at.
    pub(super) bad_disk: Option<BadDisk>,
    /// Whether the maps are cleared before their epoch is safe.
    pub(super) clears_early: bool,
    /// Whether the disk is a real one.
    pub(super) is_real: bool,
    /// What happens in it.
    pub(super) range: Range,
}

/// Plays a history; an error describes what is wrong after it.
pub(super) fn play(seed: u64, setting: Setting) -> Result<(), String> {
    let mut world = World::new(seed, setting.is_real);
    world.disk.set_bad(setting.bad_disk);
    world.clears_early = setting.clears_early;
    world.events = (setting.range != Range::EpochsAlone).then(|| Events::new(seed));
    let mut history = History {
        world,
        excused: Excused::default(),
        backup: None,
        is_store_fixed: false,
        before: None,
        steps: vec![],
        halves: (setting.range == Range::All).then(|| Halves::new(seed)),
        is_exact: true,
        unproven: 0,
        is_store_changed: false,
        either: BTreeSet::new(),
    };
    history.world.start();
    for _ in 0..history.world.random.usize(8..40) {
        history.step();
    }
    history.finish();
    history.check().map_err(|wrong| {
        format!("seed {seed}: {wrong}\n{}\n{}", history.steps.join("\n"), history.stored())
    })
}

/// A copy of the spool.
#[derive(Clone)]
struct Backup {
    disk: ModelDisk,
    /// The store that was configured.
    store: &'static str,
    /// The times of runs of which it was written down to which store they go.
    with_store: Vec<(i64, i64)>,
    events: Option<Truth>,
}

pub(super) struct History {
    pub(super) world: World,
    pub(super) excused: Excused,
    backup: Option<Backup>,
    /// A spool that was restored from a copy goes to the store that it went to: if it was made before the
    /// first put, nobody can know where else it was put.
    pub(super) is_store_fixed: bool,
    before: Option<(&'static str, Objects)>,
    steps: Vec<String>,
    /// What loses parts of what belongs together.
    pub(super) halves: Option<Halves>,
    /// Packets in flows that the store has without an account of them, since the spool that had it was set back:
    /// nobody else can know it.
    unproven: i64,
    /// Whether every gap must be one: a spool that was set back does not know what it had done.
    pub(super) is_exact: bool,
    /// Whether another store was configured at some time.
    pub(super) is_store_changed: bool,
    /// Epochs that may be there twice: a copy of the spool in which they went to no store does not know where they
    /// went after it was made; and flows that were damaged came back after the spool had put its part of them again.
    pub(super) either: BTreeSet<u32>,
}

impl History {
    fn note(&mut self, what: impl Into<String>) {
        let minutes = self.world.now / MINUTE % 1440;
        self.steps.push(format!("{:02}:{:02} {}", minutes / 60, minutes % 60, what.into()));
    }

    fn step(&mut self) {
        let choice = self.world.random.u8(..100);
        let what = match choice {
            0..40 => self.count(),
            40..55 => {
                self.world.publish(None);
                "publish".to_owned()
            }
            55..60 => self.end(),
            60..68 => {
                self.world.start();
                "start".to_owned()
            }
            68..80 => self.trouble_of_disk(),
            80..88 => self.trouble_of_store(),
            88..94 => self.damage(),
            94..97 => self.configure(),
            _ => self.set_back(),
        };
        self.note(what);
        if let Some(lost) = self.lose_a_half() {
            self.note(lost);
        }
        if !self.world.is_running() && self.world.random.bool() {
            self.world.start();
            self.note("start");
        }
    }

    fn count(&mut self) -> String {
        let seconds = match self.world.random.u8(..20) {
            0 => 1800,
            1..4 => 300,
            _ => self.world.random.i64(5..40),
        };
        self.world.advance(seconds * 1_000_000_000);
        self.world.drain();
        format!("{seconds} s, drain")
    }

    fn end(&mut self) -> String {
        match self.world.random.u8(..4) {
            0 => {
                self.world.kill();
                "kill".to_owned()
            }
            1 => {
                self.world.lose_power();
                "power loss".to_owned()
            }
            _ => {
                self.world.stop();
                "stop".to_owned()
            }
        }
    }

    fn trouble_of_disk(&mut self) -> String {
        let random = &mut self.world.random;
        let after = random.u64(..60);
        let disk = &self.world.disk;
        match random.u8(..10) {
            0 => {
                disk.set_read_only(Some(libc::ENOSPC));
                "disk full".to_owned()
            }
            1 => {
                disk.set_read_only(Some(libc::EROFS));
                "disk read only".to_owned()
            }
            2 | 3 => {
                disk.set_read_only(None);
                "disk well again".to_owned()
            }
            4 => {
                let limits = [u64::MAX, 2_000, 6_000];
                self.world.limit = limits[random.usize(..3)];
                format!("limit {}", self.world.limit)
            }
            5 | 6 => {
                let errors = [libc::EIO, libc::ENOSPC, libc::EMFILE, libc::EACCES];
                let code = errors[random.usize(..4)];
                disk.set_fault(after, Fault::Error(code));
                format!("error {code} after {after} operations")
            }
            _ => {
                disk.set_fault(after, Fault::Kill);
                format!("kill after {after} operations")
            }
        }
    }

    fn trouble_of_store(&mut self) -> String {
        let random = &mut self.world.random;
        let url = ["mem://one/", "mem://two/"][random.usize(..2)];
        let store = &self.world.stores[url];
        match random.u8(..8) {
            0 => store.set_away(true),
            1 | 2 => store.be_sound(),
            3 | 4 => store.set_trouble(random.u64(..12), Trouble::Lie),
            5 => store.set_trouble(random.u64(..12), Trouble::Before),
            _ => store.set_trouble(random.u64(..12), Trouble::After),
        }
        format!("trouble of {url}")
    }

    /// The paths of files of the spool, but for the second copies of small ones. While a kill between the two keeps
    /// them apart, there is only one that knows, and damage to it is damage to both.
    fn files(&self) -> Vec<PathBuf> {
        let disk = &self.world.disk;
        let mut files = disk.files();
        files.retain(|path| path.extension().is_none_or(|extension| extension != "copy"));
        files.retain(|path| copies_agree(disk, path));
        files
    }

    fn damage(&mut self) -> String {
        let files = self.files();
        if files.is_empty() {
            return "nothing to damage".to_owned();
        }
        let random = &mut self.world.random;
        let path = files[random.usize(..files.len())].clone();
        let disk = self.world.disk.clone();
        let name = path.display();
        let choice = random.u8(..6);
        if let Some(events) = &mut self.world.events {
            if choice == 5 {
                events.stray(&disk);
            } else if Events::owns(&path) && choice != 4 {
                events.damage(&path);
            }
        }
        match choice {
            0 | 1 => {
                let bit = random.usize(..);
                disk.damage(&path, |bytes| {
                    if !bytes.is_empty() {
                        let at = bit % (bytes.len() * 8);
                        bytes[at / 8] ^= 1 << (at % 8);
                    }
                });
                format!("a bit of {name}")
            }
            2 => {
                let length = random.usize(..);
                disk.damage(&path, |bytes| bytes.truncate(length % (bytes.len() + 1)));
                format!("end of {name}")
            }
            3 => {
                disk.delete(&path);
                format!("delete {name}")
            }
            4 => {
                let bytes = disk.read(&path).unwrap_or_default();
                let directory =
                    if random.bool() { path.parent().unwrap() } else { Path::new("/spool/epochs") };
                let file_name = path.file_name().unwrap().to_string_lossy().into_owned();
                let copy = directory.join(format!("0{file_name}"));
                disk.put(&copy, Some(bytes));
                format!("copy {name} to {}", copy.display())
            }
            _ => {
                let directory = ["epochs", "files", ""][random.usize(..3)];
                let stray = ["00000000000000000000.run", "notes.txt", "9.unfinished"];
                let stray = Path::new(ROOT).join(directory).join(stray[random.usize(..3)]);
                let content = random.bool().then(|| b"stray".to_vec());
                disk.put(&stray, content);
                format!("stray {}", stray.display())
            }
        }
    }

    fn configure(&mut self) -> String {
        self.world.stop();
        let random = &mut self.world.random;
        if random.bool() || self.is_store_fixed {
            self.world.gateway = ["gw1", "gw2"][random.usize(..2)];
        } else {
            let store = ["mem://one/", "mem://two/"][random.usize(..2)];
            self.is_store_changed |= store != self.world.store;
            self.world.store = store;
        }
        self.world.start();
        format!("now {} to {}", self.world.gateway, self.world.store)
    }

    /// Copies of spool and stores are made, and put in the place of what there is.
    fn set_back(&mut self) -> String {
        match self.world.random.u8(..6) {
            0..3 if self.world.disk.real.is_some() => "no copy of a real disk".to_owned(),
            0 => {
                let (disk, store) = (self.world.disk.copy(), self.world.store);
                let events = self.world.events.as_ref().map(|events| events.truth.clone());
                self.backup = Some(Backup { disk, store, with_store: self.with_store(), events });
                "back up the spool".to_owned()
            }
            1 | 2 => {
                let Some(Backup { disk, store, with_store, events: truth }) = self.backup.clone()
                else {
                    return "no backup".to_owned();
                };
                self.world.kill();
                // What was in no store, and in this spool, is gone with it.
                let stored = self.found();
                let lost = self.world.truth.keys().filter(|uid| !stored.packets.contains_key(uid));
                self.excused.0.extend(lost);
                self.unproven = self.unproven.max(stored.rows - stored.seen);
                self.world.disk.restore(&disk);
                if let Some((events, truth)) = self.world.events.as_mut().zip(truth) {
                    events.truth = truth;
                }
                if self.is_store_changed {
                    let either = self.world.truth.iter().filter(|(_, truth)| {
                        let is_in = |(start, end): &(i64, i64)| {
                            *start <= truth.opened && truth.closed <= *end
                        };
                        !with_store.iter().any(is_in)
                    });
                    self.either.extend(either.map(|(uid, _)| *uid));
                }
                self.world.store = store;
                self.is_store_fixed = true;
                self.is_exact = false;
                "restore the spool".to_owned()
            }
            3 => {
                let url = self.world.store;
                self.before = Some((url, self.world.stores[url].all()));
                format!("back up {url}")
            }
            4 => {
                let Some((url, before)) = self.before.clone() else { return "no copy".to_owned() };
                self.losing(|world| world.stores[url].restore(&before));
                format!("restore {url}")
            }
            _ => {
                let url = self.world.store;
                let flows: Vec<_> = self.world.stores[url].all().into_keys().collect();
                if flows.is_empty() {
                    return "nothing to lose".to_owned();
                }
                let one = flows[self.world.random.usize(..flows.len())].to_string();
                let pair = one.replacen("ledger/", "flows/", 1);
                self.losing(|world| {
                    for path in [pair.replacen("flows/", "ledger/", 1), pair.clone()] {
                        world.stores[url].remove(&path.into());
                    }
                });
                format!("delete {pair} and its ledger")
            }
        }
    }

    /// The times of runs of which it is written down to which store they go.
    fn with_store(&self) -> Vec<(i64, i64)> {
        let disk = SharedDisk(Arc::new(self.world.disk.clone()));
        let runs = self.files().into_iter().filter_map(|path| {
            if is_known_to_go_to_a_store(&self.world.disk, path.parent()?) {
                Run::open(&disk, &path).ok()
            } else {
                None
            }
        });
        runs.map(|run| (run.header.opened().ns(), run.header.closed_ns)).collect()
    }

    /// What a store loses nobody else can know, unless the spool still has it.
    fn losing(&mut self, change: impl FnOnce(&World)) {
        let before = self.found();
        change(&self.world);
        let after = self.found();
        let gone = before.packets.keys().filter(|uid| !after.packets.contains_key(uid));
        self.excused.0.extend(gone);
        for gap in before.gaps.difference(&after.gaps) {
            let within = self.world.truth.iter().filter(|(_, truth)| {
                truth.opened / 1_000_000 < gap.1 && gap.0 < truth.closed / 1_000_000
            });
            self.excused.0.extend(within.map(|(uid, _)| *uid));
        }
        // A gap that was told in what came back is told by nobody any more, or twice.
        self.is_exact = false;
    }

    /// All is well, for long enough.
    fn finish(&mut self) {
        self.world.disk.set_read_only(None);
        self.world.limit = u64::MAX;
        self.world.stores.values().for_each(super::store::ModelStore::be_sound);
        if self.world.is_running() {
            self.world.stop();
        }
        self.world.disk.revive();
        self.note("all is well");
        for _ in 0..3 {
            self.world.start();
            self.world.events_must_work();
            for minutes in [1, 61, 61, 1] {
                self.world.advance(minutes * MINUTE);
                self.world.drain();
                for _ in 0..6 {
                    if self.world.publish(None) {
                        break;
                    }
                }
            }
            self.world.stop();
        }
    }

    pub(super) fn found(&self) -> Contents {
        let mut found = Contents::default();
        for files in self.world.stores.values().map(super::store::ModelStore::all) {
            for (path, bytes) in &files {
                let is_ledger = path.as_ref().starts_with("ledger/");
                let ledger = files.get(&path.as_ref().replacen("flows/", "ledger/", 1).into());
                let is_proven = ledger.is_some_and(|ledger| has_epochs_of(ledger, bytes));
                let flows = files.get(&path.as_ref().replacen("ledger/", "flows/", 1).into());
                let is_backed = ledger.is_none_or(|ledger| is_backed(ledger, flows));
                let Ok(file) = SerializedFileReader::new(bytes.clone()) else { continue };
                for row in file.get_row_iter(Some(projection(&file))).unwrap() {
                    let row = row.unwrap();
                    let columns: BTreeMap<&str, &Field> =
                        row.get_column_iter().map(|(name, field)| (name.as_str(), field)).collect();
                    if is_ledger {
                        found.add_ledger(&columns, is_backed);
                    } else {
                        found.add_flow(&columns, is_proven, is_backed);
                    }
                }
            }
        }
        found
    }

    /// What the files in the stores state.
    fn stored(&self) -> String {
        let mut stored = String::new();
        for (url, store) in &self.world.stores {
            for (path, bytes) in store.all() {
                let Some(facts) = metadata::Facts::of(&bytes) else { continue };
                let (epochs, numbering) = (facts.epochs.unwrap_or_default(), facts.numbering);
                let numbering = numbering.unwrap_or_default();
                writeln!(stored, "{url}{path}: {epochs} of {numbering}").unwrap();
            }
        }
        stored
    }

    fn check(&self) -> Result<(), String> {
        if let Some(wrong) = self.world.events.as_ref().and_then(|events| events.wrong.clone()) {
            return Err(wrong);
        }
        let found = self.found();
        let mut unproven = self.unproven;
        for (uid, truth) in &self.world.truth {
            let packets = found.packets.get(uid).copied().unwrap_or(0);
            let (opened, closed) = (truth.opened / 1_000_000, truth.closed / 1_000_000);
            if packets > 1 && !self.either.contains(uid) {
                return Err(format!(
                    "epoch {uid} ({opened} to {closed}) is stored {packets} times"
                ));
            }
            let is_named = covers(&found.gaps, opened, closed);
            if packets == 0 && truth.is_drained && !is_named && !self.excused.0.contains(uid) {
                return Err(format!(
                    "epoch {uid} ({opened} to {closed}) is missing without a word"
                ));
            }
            let in_gap = found.gaps.iter().any(|gap| gap.0 + 1 < closed && opened + 1 < gap.1);
            if found.unproven.contains(uid) {
                // The ledger accounts for them nowhere, and does not where it states that they are missing.
                unproven += if is_named { EPOCH_PACKETS } else { 0 };
            } else if packets == 1 && in_gap && self.is_exact {
                return Err(format!(
                    "epoch {uid} ({opened} to {closed}) is stored, and in a gap: {:?}",
                    found.gaps
                ));
            }
        }
        if !(0..=unproven).contains(&(found.rows - found.seen)) {
            return Err(format!("{} packets in flows, {} in the ledger", found.rows, found.seen));
        }
        Ok(())
    }
}

/// Packets of an epoch: one of its own flow, and one of a flow that all of them have.
const EPOCH_PACKETS: i64 = 2;

/// The columns that are checked: to read the others takes longer than the rest of a history.
const CHECKED: [&str; 5] = ["packets_up", "remote_ip", "packets_seen", "gap_start", "gap_end"];

fn projection(file: &SerializedFileReader<Bytes>) -> Type {
    let schema = file.metadata().file_metadata().schema();
    let mut fields = schema.get_fields().to_vec();
    fields.retain(|field| CHECKED.contains(&field.name()));
    Type::group_type_builder(schema.name()).with_fields(fields).build().unwrap()
}

/// Whether a ledger accounts for all epochs that its flows hold.
fn has_epochs_of(ledger: &Bytes, flows: &Bytes) -> bool {
    let epochs = |file| metadata::Facts::of(file).and_then(|facts| facts.epochs);
    epochs(ledger).zip(epochs(flows)).is_some_and(|(ledger, flows)| ledger.contains(&flows))
}

/// Whether a ledger has the flows that it accounts for; else somebody lost them, and nobody can compare the two.
fn is_backed(ledger: &Bytes, flows: Option<&Bytes>) -> bool {
    let Some(ledger) = metadata::Facts::of(ledger) else { return false };
    let flows = flows.and_then(metadata::Facts::of).and_then(|facts| facts.epochs);
    ledger.flows_rows == Some(0)
        || flows.zip(ledger.epochs).is_some_and(|(flows, ledger)| flows.contains(&ledger))
}

/// Whether gaps cover all of a time.
fn covers(gaps: &BTreeSet<(i64, i64)>, opened: i64, closed: i64) -> bool {
    let mut until = opened;
    for (start, end) in gaps {
        if *start <= until + 1 {
            until = until.max(*end);
        }
    }
    until + 1 >= closed
}

impl Contents {
    fn add_flow(&mut self, columns: &BTreeMap<&str, &Field>, is_proven: bool, is_backed: bool) {
        let packets = number(columns["packets_up"]);
        self.rows += if is_backed { packets } else { 0 };
        let Field::Str(remote) = columns["remote_ip"] else { return };
        let Ok(remote) = remote.parse::<std::net::Ipv4Addr>() else { return };
        if remote.octets()[0] == 10 {
            let uid = u32::from(remote) & 0x00ff_ffff;
            *self.packets.entry(uid).or_default() += packets;
            if !is_proven {
                self.unproven.insert(uid);
            }
        }
    }

    fn add_ledger(&mut self, columns: &BTreeMap<&str, &Field>, is_backed: bool) {
        self.seen += if is_backed { number(columns["packets_seen"]) } else { 0 };
        if let (Field::TimestampMillis(start), Field::TimestampMillis(end)) =
            (columns["gap_start"], columns["gap_end"])
        {
            self.gaps.insert((*start, *end));
        }
    }
}

fn number(field: &Field) -> i64 {
    match field {
        Field::ULong(number) => i64::try_from(*number).unwrap(),
        Field::Long(number) => *number,
        _ => 0,
    }
}
