//! The status file of a server, which it writes again and again.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::status::{self, Status};
use crate::{
    record::clock::Utc,
    source::{
        Error,
        blocking::Blocking,
        changed::{File, Look},
    },
};

/// How often a server writes its status, unless it is told otherwise.
const USUAL: Duration = Duration::from_mins(1);
/// A server may be late by so much: without clients it wakes up every ten seconds.
const LATE: Duration = Duration::from_secs(12);
/// The file is written within a second of its time, which has whole seconds.
const WITHIN: Duration = Duration::from_secs(2);

/// The status file of a server.
pub(in crate::source) struct StatusFile {
    file: Arc<Mutex<File>>,
    blocking: Blocking<std::io::Result<Look>>,
    /// Its time when it was read last, and how long after the one before that was.
    last: Option<(i64, Option<Duration>)>,
}

impl StatusFile {
    pub(in crate::source) fn new(path: PathBuf) -> Self {
        let file = Arc::new(Mutex::new(File::new(path)));
        Self { file, blocking: Blocking::default(), last: None }
    }

    /// The status, and its instant, where it is another one than before.
    pub(super) async fn look(
        &mut self,
        now: Utc,
        limit: Duration,
    ) -> Result<Option<(Utc, Status)>, Error> {
        let file = Arc::clone(&self.file);
        let look = move || file.lock().unwrap_or_else(PoisonError::into_inner).look();
        match self.blocking.run(limit, look).await?.map_err(|source| Error::File { source })? {
            Look::Same => {}
            Look::Changed { content, modified } => {
                let parsed = status::parse(&content);
                // The next look reads it again.
                if parsed.is_err() {
                    self.file.lock().unwrap_or_else(PoisonError::into_inner).forget();
                }
                let status = parsed?;
                return self.take(now, status, modified);
            }
        }
        self.is_fresh(now).map(|()| None)
    }

    fn take(
        &mut self,
        now: Utc,
        status: Status,
        modified: Utc,
    ) -> Result<Option<(Utc, Status)>, Error> {
        let before = self.last.map(|(time, _)| time);
        if before != Some(status.time) {
            let apart = before.map(|before| Duration::from_secs(status.time.abs_diff(before)));
            self.last = Some((status.time, apart));
        }
        self.is_fresh(now)?;
        let written = Utc::from_ms(status.time.saturating_mul(1_000));
        // The time of the file is more exact, unless somebody copied it.
        let is_own = modified >= written && modified < written.plus(WITHIN);
        let at = if is_own { modified } else { written };
        Ok((before != Some(status.time)).then_some((at.min(now), status)))
    }

    /// How far apart two lists of a server that lives are at most.
    pub(super) fn most_apart(&self) -> Duration {
        let apart = self.last.and_then(|(_, apart)| apart);
        2 * apart.map_or(USUAL, |apart| apart.min(USUAL)) + LATE
    }

    /// A server that does not write any more is dead, or hangs.
    fn is_fresh(&self, now: Utc) -> Result<(), Error> {
        let Some((time, _)) = self.last else { return Ok(()) };
        let limit = self.most_apart();
        let is_old = now > Utc::from_ms(time.saturating_mul(1_000)).plus(limit);
        if is_old { Err(Error::Stale { limit }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const NOW: i64 = 1_772_366_400;

    fn at(seconds: i64) -> Utc {
        Utc::from_ms(seconds * 1_000)
    }

    fn text(time: i64) -> String {
        format!("TITLE,OpenVPN\nTIME,now,{time}\nEND\n")
    }

    #[tokio::test]
    async fn a_file_is_news_once_and_stale_when_the_server_is_late() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("status");
        let mut file = StatusFile::new(path.clone());
        let limit = Duration::from_secs(5);
        assert!(matches!(file.look(at(NOW), limit).await, Err(Error::File { .. })));
        fs::write(&path, text(NOW)).unwrap();
        let (first, _) = file.look(at(NOW + 1), limit).await.unwrap().unwrap();
        assert_eq!(first, at(NOW));
        assert_eq!(file.look(at(NOW + 5), limit).await.unwrap(), None);
        fs::write(&path, text(NOW + 10)).unwrap();
        assert_eq!(file.look(at(NOW + 11), limit).await.unwrap().unwrap().0, at(NOW + 10));
        // It came after ten seconds, so that it is late after twenty.
        assert_eq!(file.look(at(NOW + 42), limit).await.unwrap(), None);
        assert!(matches!(file.look(at(NOW + 43), limit).await, Err(Error::Stale { .. })));
        assert_eq!(file.most_apart(), Duration::from_secs(32));
        // Half of it.
        fs::write(&path, "TITLE,OpenVPN\nTIME").unwrap();
        assert!(matches!(
            file.look(at(NOW + 44), limit).await,
            Err(Error::Malformed { .. } | Error::Truncated)
        ));
        fs::write(&path, text(NOW + 44)).unwrap();
        assert!(file.look(at(NOW + 45), limit).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_file_of_a_server_that_died_long_ago_is_no_list() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("status");
        fs::write(&path, text(NOW)).unwrap();
        let mut file = StatusFile::new(path);
        let looked = file.look(at(NOW + 3_600), Duration::from_secs(5)).await;
        assert!(matches!(looked, Err(Error::Stale { .. })));
    }
}
