//! A server that is looked at again and again: by the notes of its hooks, its status file and its management socket. The
//! three are one source, since a session has one key wherever it is seen.

use std::{path::PathBuf, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use super::{
    call::Calls,
    file::StatusFile,
    management,
    server::{Memory, Process},
    status::Status,
};
use crate::{
    record::{
        clock::{self, Utc},
        session::{Content, Entry, PeerKey},
    },
    source::{
        Error,
        hook::Notes,
        reporter::{Closed, Reporter},
    },
};

/// An answer takes no longer.
const LIMIT: Duration = Duration::from_secs(3);

/// The parts of a server that tell of its clients.
pub(in crate::source) struct Watch {
    pub(in crate::source) calls: Option<CallWatch>,
    pub(in crate::source) status: Option<StatusFile>,
    pub(in crate::source) management: Option<PathBuf>,
    pub(in crate::source) key: PeerKey,
}

/// The calls of a server's hooks.
pub(in crate::source) struct CallWatch {
    notes: Notes,
    memory: Memory,
    process: Option<Process>,
    calls: Calls,
}

/// A list, and the instants between which it was made.
type Listed = ((Utc, Utc), Status);

/// What a look at all parts gave.
#[derive(Default)]
struct Gathered {
    /// Each with the instants between which it was made.
    reports: Vec<((Utc, Utc), Content)>,
    /// Whether some part has confirmed what is known.
    is_confirmed: bool,
    failures: Vec<Error>,
}

impl Watch {
    /// Looks at the server until nobody takes the reports.
    pub(in crate::source) async fn run(mut self, poll: Duration, mut reporter: Reporter) {
        reporter.found();
        let mut ticks = interval(poll);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let at = clock::now();
            // Before the look: a list that comes after a silence does not excuse it.
            reporter.apart = self.status.as_ref().map(StatusFile::most_apart);
            let gathered = self.look(at, &reporter).await;
            if send(gathered, at, &mut reporter).await.is_err() {
                return;
            }
        }
    }

    async fn look(&mut self, at: Utc, reporter: &Reporter) -> Gathered {
        let mut gathered = Gathered::default();
        // The lists first: what a hook reports of the time before them is among the notes then.
        if let Some(socket) = &self.management {
            let answer = management::ask(socket, at, LIMIT).await;
            gathered.list(answer.map(Some), &self.key);
        }
        if let Some(status) = &mut self.status {
            let looked = status.look(at, LIMIT).await;
            let listed = looked.map(|new| new.map(|(at, status)| ((at, at), status)));
            gathered.list(listed, &self.key);
        }
        let is_listed = self.management.is_some() || self.status.is_some();
        if let Some(calls) = &mut self.calls {
            match calls.look(&self.key, is_listed, reporter, &mut gathered).await {
                Ok(()) => gathered.is_confirmed = true,
                Err(error) => gathered.failures.push(error),
            }
        }
        gathered
    }
}

impl Gathered {
    fn list(&mut self, listed: Result<Option<Listed>, Error>, key: &PeerKey) {
        match listed {
            Ok(Some(((at, answered), status))) => {
                let entry = |client: &super::client::Client| client.listed(key, answered);
                let entries: Vec<Entry> = status.clients.iter().map(entry).collect();
                self.reports.push(((at, answered), Content::Listing(entries)));
                self.is_confirmed = true;
            }
            // A file that was not written again since: neither news nor a failure.
            Ok(None) => {}
            Err(error) => self.failures.push(error),
        }
    }
}

async fn send(gathered: Gathered, at: Utc, reporter: &mut Reporter) -> Result<(), Closed> {
    let Gathered { mut reports, is_confirmed, failures } = gathered;
    reports.sort_by_key(|((at, _), _)| *at);
    for (times, content) in reports {
        reporter.send_answer(times, content).await?;
    }
    let mut failures = failures.into_iter();
    if is_confirmed {
        // The others have told enough.
        reporter.part_failed(failures.next().as_ref());
        return Ok(());
    }
    match failures.next() {
        Some(error) => reporter.outcome(at, Err(error)).await,
        None => Ok(()),
    }
}

impl CallWatch {
    pub(in crate::source) fn new(notes: Notes, memory: Memory) -> Self {
        Self { notes, memory, process: None, calls: Calls::default() }
    }

    async fn look(
        &mut self,
        key: &PeerKey,
        is_listed: bool,
        reporter: &Reporter,
        gathered: &mut Gathered,
    ) -> Result<(), Error> {
        self.notes.prepare().await?;
        if self.process.is_none() {
            self.process = self.memory.read()?;
        }
        // Of the notes that are read now, nobody has taken a report yet.
        let mut are_recorded = reporter.are_recorded();
        loop {
            let new = self.notes.read(std::mem::take(&mut are_recorded)).await?;
            for note in &new.notes {
                let at = note.stamp.utc;
                let process = Process::of(&note.fields);
                if process.is_some() && process != self.process {
                    self.calls.forget();
                    // The clients of the process before are gone with it. A list shows that better.
                    if !is_listed {
                        gathered.reports.push(((at, at), Content::Gone));
                    }
                    self.process = process;
                    process.map_or(Ok(()), |process| self.memory.write(process))?;
                }
                match self.calls.take(&note.fields, at, key) {
                    Ok(contents) => {
                        gathered
                            .reports
                            .extend(contents.into_iter().map(|content| ((at, at), content)));
                    }
                    Err(error) => self.notes.refuse(&error.into()),
                }
            }
            if !new.has_more {
                let process = self.process.ok_or(Error::NoCall)?;
                if !process.lives() {
                    return Err(Error::ServerGone);
                }
                gathered.reports.push(((new.until, new.until), Content::Unchanged));
                return Ok(());
            }
        }
    }
}
