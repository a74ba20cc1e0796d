//! A file of leases that is looked at again and again.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval};

use super::{Lease, parse};
use crate::{
    record::{
        clock::{self, Utc},
        session::{Content, PeerKey},
    },
    source::{
        Error,
        blocking::Blocking,
        changed::{File, Look},
        reporter::Reporter,
    },
};

/// A look at the file takes no longer.
const LIMIT: Duration = Duration::from_secs(3);

/// Looks at a file until nobody takes the reports.
pub(in crate::source) async fn run(
    path: PathBuf,
    poll: Duration,
    key: PeerKey,
    mut reporter: Reporter,
) {
    reporter.found();
    let watched = Arc::new(Mutex::new(Watched::new(path, key)));
    let mut blocking = Blocking::default();
    let mut ticks = interval(poll);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let at = clock::now();
        let watched = Arc::clone(&watched);
        let look = move || watched.lock().unwrap_or_else(PoisonError::into_inner).look(at);
        let outcome = blocking.run(LIMIT, look).await.flatten();
        if reporter.outcome(at, outcome).await.is_err() {
            return;
        }
    }
}

/// How many leases a file has.
pub(in crate::source) fn probe(path: PathBuf) -> Result<usize, Error> {
    match File::new(path).look().map_err(|source| Error::File { source })? {
        Look::Changed { content, .. } => {
            parse(&content).map(|leases| leases.len()).map_err(|source| Error::BadLease { source })
        }
        Look::Same => Ok(0),
    }
}

/// The file as it was read last.
struct Watched {
    file: File,
    key: PeerKey,
    /// The last one that could be read.
    leases: Vec<Lease>,
    /// Why the file that is there cannot be used.
    fault: Option<super::BadLine>,
    /// The list that was reported last holds from one instant up to another.
    holds: Option<(Utc, Option<Utc>)>,
}

impl Watched {
    fn new(path: PathBuf, key: PeerKey) -> Self {
        Self { file: File::new(path), key, leases: vec![], fault: None, holds: None }
    }

    fn look(&mut self, at: Utc) -> Result<Content, Error> {
        match self.file.look() {
            Err(source) => {
                self.holds = None;
                return Err(Error::File { source });
            }
            Ok(Look::Same) => {}
            Ok(Look::Changed { content, .. }) => {
                self.holds = None;
                match parse(&content) {
                    Ok(leases) => (self.leases, self.fault) = (leases, None),
                    Err(fault) => self.fault = Some(fault),
                }
            }
        }
        if let Some(source) = self.fault {
            return Err(Error::BadLease { source });
        }
        if self.holds.is_some_and(|(from, to)| from <= at && to.is_none_or(|to| at < to)) {
            return Ok(Content::Unchanged);
        }
        let later = self.leases.iter().flat_map(|lease| [Some(lease.from), lease.to]).flatten();
        self.holds = Some((at, later.filter(|change| *change > at).min()));
        let held = self.leases.iter().filter(|lease| lease.is_held(at));
        Ok(Content::Listing(held.map(|lease| lease.entry(&self.key)).collect()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn utc(text: &str) -> Utc {
        Utc::from(text.parse::<jiff::Timestamp>().unwrap())
    }

    fn listed(content: Result<Content, Error>) -> usize {
        match content.unwrap() {
            Content::Listing(entries) => entries.len(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_leases_of_the_instant_are_listed_when_the_file_or_the_time_changes_them() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("leases.csv");
        let mut watched = Watched::new(path.clone(), PeerKey::new(vec![7; 32]).unwrap());
        let noon = utc("2026-03-01T12:00:00Z");
        let missing = watched.look(noon).unwrap_err();
        assert!(matches!(missing, Error::File { .. }) && !missing.is_answered());

        let lines = "name,prefix,from,to\nada,10.0.0.7,2026-03-01T00:00:00Z,\nbob,10.0.0.8,2026-03-01T12:00:10Z,2026-03-01T12:00:20Z\n";
        fs::write(&path, lines).unwrap();
        assert_eq!(listed(watched.look(noon)), 1);
        let later = |seconds| noon.plus(Duration::from_secs(seconds));
        assert_eq!(watched.look(later(9)).unwrap(), Content::Unchanged);
        assert_eq!(listed(watched.look(later(10))), 2);
        assert_eq!(watched.look(later(19)).unwrap(), Content::Unchanged);
        assert_eq!(listed(watched.look(later(20))), 1);
        assert_eq!(watched.look(later(3_600)).unwrap(), Content::Unchanged);
        // The clock was set back.
        assert_eq!(listed(watched.look(later(15))), 2);

        fs::write(&path, "name,prefix,from,to\nada,10.0.0.7,yesterday,\n").unwrap();
        for at in [30, 35] {
            let bad = watched.look(later(at)).unwrap_err();
            assert!(bad.is_answered() && crate::telemetry::with_causes(&bad).contains("line 2"));
        }
        fs::write(&path, lines).unwrap();
        assert_eq!(listed(watched.look(later(40))), 1);
    }
}
