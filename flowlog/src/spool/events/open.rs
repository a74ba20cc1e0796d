//! What a log has on the disk when a daemon starts, and what is to be done with it.
//!
//! Names, lengths and the file `log` are read, no event: what cannot be read of them turns out when they are.
//! Only of a segment that is shorter than it was the headers are read, to name what is gone.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    super::{
        Error, Spool, UNFINISHED,
        aside::Reason,
        copies::{Kept, Small},
        disk::{Kind, SharedDisk, list_any, read_small},
        error::{is_gone, report},
    },
    EventLog, SEGMENT_BYTES,
    segment::{End, SegmentHeader, SegmentName, read_header},
    state::{LostEvents, Segment, State},
};
use crate::record::epoch_set::EpochSet;

/// The file that states what counts.
const LOG: &str = "log";
const LOG_COPY: &str = "log.copy";

/// Something in the directory of a table.
struct Seen {
    path: PathBuf,
    bytes: u64,
    content: Content,
}

enum Content {
    /// A segment by its name.
    Segment(SegmentName),
    /// Not finished by a process that was killed.
    Unfinished,
    Log,
    Foreign,
}

impl Spool {
    /// Opens the log of a table, whose next events are of this gateway.
    pub fn events(self: &Arc<Self>, table: &str, gateway: &str) -> Result<EventLog, Error> {
        if table.is_empty() || !table.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_')) {
            return Err(Error::TableName { table: table.to_owned() });
        }
        self.clear_way(table)?;
        let directory = self.events_directory().join(table);
        // A process that was killed may have given the names that are read now, and not made them durable.
        match self.disk.sync_directory(&directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("sync", &directory)(error));
            }
            _ => {}
        }
        let kept = Kept::read(&*self.disk, directory.join(LOG))?;
        let found = kept.found;
        let seen = look(&self.disk, &directory)?;
        let mut log = EventLog {
            spool: Arc::clone(self),
            directory,
            table: table.to_owned(),
            gateway: gateway.to_owned(),
            kept,
            writer: None,
            segment_bytes: SEGMENT_BYTES,
        };
        log.refuse_newer(&seen)?;
        let was_damaged = found == Small::Damaged;
        if was_damaged {
            log.ensure_readable()?;
        }
        if found != Small::Sound(()) {
            log.kept.value = rebuild(&log, &seen)?;
        }
        log.recover(&seen, was_damaged)?;
        Ok(log)
    }

    /// Whether there may be events of a table.
    #[must_use]
    pub fn has_events(&self, table: &str) -> bool {
        let listed = self.disk.list(&self.events_directory().join(table));
        listed.is_ok_and(|listed| !listed.is_empty())
    }

    /// Moves aside what is no directory among those of the tables.
    fn clear_way(&self, table: &str) -> Result<(), Error> {
        let events = self.events_directory();
        let entries = list_any(&*self.disk, &events).map_err(Error::io("list", &events))?;
        for entry in entries.iter().filter(|entry| entry.kind != Kind::Directory) {
            let moved = self.set_aside(&events.join(&entry.name), Reason::Foreign);
            // Only in the place of this table it is in the way.
            if entry.name == table { moved? } else { report(moved) }
        }
        Ok(())
    }
}

fn look(disk: &SharedDisk, directory: &Path) -> Result<Vec<Seen>, Error> {
    let entries = list_any(&**disk, directory).map_err(Error::io("list", directory))?;
    let seen = entries.into_iter().map(|entry| {
        let path = directory.join(&entry.name);
        let is_unfinished = path.extension().is_some_and(|extension| extension == UNFINISHED);
        let content = match (entry.kind, SegmentName::parse(&path)) {
            (Kind::File, Some(name)) => Content::Segment(name),
            (Kind::File, None) if is_unfinished => Content::Unfinished,
            (Kind::File, None) if entry.name == LOG || entry.name == LOG_COPY => Content::Log,
            _ => Content::Foreign,
        };
        Seen { path, bytes: entry.bytes, content }
    });
    Ok(seen.collect())
}

impl EventLog {
    /// Fails where a copy of what is known cannot be read now: it may be sound.
    fn ensure_readable(&self) -> Result<(), Error> {
        for path in [LOG, LOG_COPY].map(|name| self.directory.join(name)) {
            match read_small(&*self.spool.disk, &path) {
                Err(error) if !is_gone(&error) => return Err(Error::io("read", &path)(error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Fails where a later version has been here.
    fn refuse_newer(&self, seen: &[Seen]) -> Result<(), Error> {
        let known = |id: &str| self.kept.value.segments.iter().any(|segment| segment.id == id);
        for Seen { path, content, .. } in seen {
            if let Content::Segment(name) = content
                && !known(&name.id)
                && let Err(error @ Error::Newer { .. }) = self.header(path)
            {
                return Err(error);
            }
        }
        Ok(())
    }

    /// What a segment states of itself, where that is what was written.
    fn header(&self, path: &Path) -> Result<Option<SegmentHeader>, Error> {
        let file = self.spool.disk.open(path).map_err(Error::io("read", path))?;
        Ok(read_header(&*file, path)?.map(|(header, _)| header))
    }

    /// Writes down what is lost, and then puts the directory in order.
    fn recover(&mut self, seen: &[Seen], was_damaged: bool) -> Result<(), Error> {
        let lost = self.look_for_losses(seen);
        if !self.kept.is_durable() || lost.iter().any(|(_, numbers)| !numbers.is_empty()) {
            self.prepare()?;
        }
        if was_damaged {
            for name in [LOG, LOG_COPY] {
                report(self.spool.set_aside(&self.directory.join(name), Reason::Damaged));
            }
        }
        self.lose(&lost)?;
        let known = self.kept.value.segments.clone();
        report(self.remove_released());
        for seen in seen {
            report(self.put_in_order(seen, &known, &lost));
        }
        Ok(())
    }

    /// What is not there any more of segments, as far as their names and lengths show it.
    fn look_for_losses(&self, seen: &[Seen]) -> Vec<(Segment, EpochSet)> {
        let mut lost = vec![];
        let released = self.released();
        for segment in self.kept.value.segments.iter().filter(|one| one.last > released) {
            let path = self.path(segment);
            let there = seen
                .iter()
                .find(|seen| seen.path == path && matches!(seen.content, Content::Segment(_)));
            let missing = match there {
                None => Ok(segment.numbers()),
                Some(seen) if seen.bytes < segment.bytes => self.missing_of(segment),
                Some(_) => continue,
            };
            match missing {
                Ok(missing) => lost.push((segment.clone(), missing)),
                // Whoever reads the events finds out.
                Err(error) => report(Err(error)),
            }
        }
        lost
    }

    fn missing_of(&self, segment: &Segment) -> Result<EpochSet, Error> {
        let Some(mut walk) = self.walk(segment)? else { return Ok(segment.numbers()) };
        while walk.next_header()?.is_some() {}
        Ok(walk.into_missing())
    }

    fn put_in_order(
        &self,
        seen: &Seen,
        known: &[Segment],
        lost: &[(Segment, EpochSet)],
    ) -> Result<(), Error> {
        let path = &seen.path;
        match &seen.content {
            Content::Log => Ok(()),
            Content::Unfinished => self.spool.disk.remove(path).map_err(Error::io("delete", path)),
            Content::Foreign => self.spool.set_aside(path, Reason::Foreign),
            Content::Segment(_) if known.iter().all(|segment| self.path(segment) != *path) => {
                self.spool.set_aside(path, Reason::Uncounted)
            }
            Content::Segment(name) => {
                let is_lost = |(segment, missing): &(Segment, EpochSet)| {
                    segment.id == name.id && *missing == segment.numbers()
                };
                if lost.iter().any(is_lost) {
                    self.spool.set_aside(path, Reason::Damaged)?;
                }
                Ok(())
            }
        }
    }
}

/// What counts, as far as the segments tell where nothing else does: all that can be read, but for the end of a
/// segment that another one does not follow there.
fn rebuild(log: &EventLog, seen: &[Seen]) -> Result<State, Error> {
    let mut segments = vec![];
    for Seen { path, bytes, content } in seen {
        if let Content::Segment(name) = content {
            segments.push((name, *bytes, log.header(path)?));
        }
    }
    segments.sort_by(|(a, ..), (b, ..)| (a.first, &a.id).cmp(&(b.first, &b.id)));
    let follows = segments.iter().filter_map(|(_, _, header)| header.as_ref()?.follows.as_ref());
    let ends: BTreeMap<&str, u64> = follows.map(|end| (end.segment.as_str(), end.last)).collect();
    let mut state = State::default();
    for (name, bytes, header) in &segments {
        let gateway = header.as_ref().map_or(&log.gateway, |header| &header.gateway).clone();
        let (first, last) = (name.first, ends.get(name.id.as_str()).copied());
        let (start_ns, end_ns) = (i64::MAX, i64::MIN);
        let segment = Segment {
            id: name.id.clone(),
            gateway,
            first,
            last: last.unwrap_or(u64::MAX),
            start_ns,
            end_ns,
            bytes: *bytes,
        };
        // What another one has, too, is nobody's.
        let is_double = state.end.as_ref().is_some_and(|end| first <= end.last);
        if !is_double && let Some(segment) = measured(log, segment)? {
            add(&mut state, segment);
        }
    }
    Ok(state)
}

/// A segment with its last number and its times; `None` where nothing of it can be read.
fn measured(log: &EventLog, mut segment: Segment) -> Result<Option<Segment>, Error> {
    let Some(mut walk) = log.walk(&segment)? else { return Ok(None) };
    let mut greatest = None;
    while let Some(record) = walk.next_header()? {
        greatest = Some(record.number);
        segment.start_ns = segment.start_ns.min(record.time_ns);
        segment.end_ns = segment.end_ns.max(record.time_ns);
    }
    let Some(greatest) = greatest else { return Ok(None) };
    if segment.last == u64::MAX {
        segment.last = greatest;
    }
    Ok(Some(segment))
}

/// Adds a segment behind the others; those that are missing in between are lost.
fn add(state: &mut State, segment: Segment) {
    match &state.end {
        None => state.released = segment.first.saturating_sub(1),
        Some(End { last, .. }) => {
            let numbers = EpochSet::range(last.saturating_add(1), segment.first.saturating_sub(1));
            let end_ns = state.segments.last().map_or(segment.start_ns, |before| before.end_ns);
            let gateway = segment.gateway.clone();
            let (start_ns, end_ns) = (end_ns.min(segment.start_ns), end_ns.max(segment.start_ns));
            if !numbers.is_empty() {
                state.lost.push(LostEvents { gateway, numbers, start_ns, end_ns });
            }
        }
    }
    state.count(segment);
}
