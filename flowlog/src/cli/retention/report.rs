//! The report of a plan or a run.

use std::{io, path::PathBuf};

use flowlog::{
    keep::retain::{
        Date, Deletion, RetentionPlan,
        aside::{Aside, AsideDeletion},
        guard::Verdict,
    },
    record::clock::{self, Utc},
    store::Oddity,
    telemetry::with_causes,
};
use serde_json::{Value, json};

use super::super::{Failure, Outcome, output::Output, size};

/// What the clock allows.
pub struct Clock {
    pub verdict: Verdict,
    pub newest: Option<Utc>,
    pub accepted: bool,
    /// The instant that somebody named: then the clock decides nothing.
    pub at: Option<Utc>,
}

impl Clock {
    /// Whether nothing may be deleted.
    pub fn refuses(&self) -> bool {
        self.verdict.is_refusal() && !self.accepted && self.at.is_none()
    }
}

/// What was deleted.
#[derive(Default)]
pub struct Done {
    pub store: Deletion,
    pub spool: AsideDeletion,
}

/// Everything there is to report.
pub struct Report {
    pub plan: RetentionPlan,
    pub aside: Aside,
    pub unreadable_spool: Option<(PathBuf, io::Error)>,
    pub clock: Clock,
    pub at: Utc,
    pub deletes: bool,
    /// `None` where nothing was to be deleted, or the clock did not allow it.
    pub done: Option<Done>,
}

/// Whether there is anything to delete.
pub fn has_expired(plan: &RetentionPlan, aside: &Aside) -> bool {
    !plan.expired.is_empty() || !plan.staged.is_empty() || !aside.expired.is_empty()
}

/// So many files of a kind are named; the rest is counted. Programs get all of them.
const NAMED: usize = 20;

impl Report {
    /// How the command ends: by its work.
    pub fn outcome(&self) -> Result<Outcome, Failure> {
        if let Some(doubt) = self.clock.verdict.doubt() {
            let is_asked = self.clock.at.is_none() && !self.clock.accepted;
            if is_asked && self.clock.verdict.is_refusal() && self.deletes && self.done.is_none() {
                return Err(Failure::Refused(anyhow::anyhow!(
                    "nothing is deleted: {doubt}; {}",
                    doubt.remedy()
                )));
            }
            if is_asked {
                tracing::warn!("{doubt}; {}", doubt.remedy());
            }
        }
        if !self.deletes {
            return Ok(Outcome::Done);
        }
        let not_deleted = self.not_deleted();
        let Some((path, reason)) = not_deleted.first() else { return Ok(Outcome::Done) };
        let (count, untried) = (not_deleted.len(), self.untried());
        let more = if untried == 0 { String::new() } else { format!(", and {untried} not tried") };
        Err(Failure::Failed(anyhow::anyhow!(
            "{count} could not be deleted{more}; the first is {path}: {reason}"
        )))
    }

    /// What should have been deleted and was not, and why.
    fn not_deleted(&self) -> Vec<(String, String)> {
        let odd = |oddity: &Oddity| (oddity.path.clone(), oddity.reason.clone());
        let mut all: Vec<_> = self.plan.undeletable.iter().map(odd).collect();
        if let Some(Done { store, spool }) = &self.done {
            let store = store.failed.iter().map(|(path, error)| (path.clone(), with_causes(error)));
            all.extend(store);
            let spool = spool.failed.iter();
            all.extend(spool.map(|(path, error)| (path.display().to_string(), error.to_string())));
        }
        let spool = self.unreadable_spool.iter();
        all.extend(spool.map(|(path, error)| (path.display().to_string(), error.to_string())));
        all
    }

    fn untried(&self) -> usize {
        self.done.as_ref().map_or(0, |done| done.store.untried)
    }

    pub fn print(&self, output: &mut Output) {
        let Self { plan, aside, .. } = self;
        for expired in &plan.expired {
            let (folder, files) = (expired.partition.folder(), expired.files.len());
            output
                .line(format!("expired  {folder}  {files} files, {}", size::bytes(expired.bytes)));
        }
        named(
            output,
            plan.staged.iter().map(|staged| {
                format!("expired  {}  never finished, {}", staged.path, size::bytes(staged.bytes))
            }),
        );
        named(
            output,
            aside
                .expired
                .iter()
                .map(|path| format!("expired  {}  set aside in the spool", path.display())),
        );
        for object in &plan.foreign {
            output.line(format!("kept     {object}  not a file of flowlog: its time is unknown"));
        }
        named(
            output,
            plan.misdated
                .iter()
                .map(|misdated| format!("note     {}  {}", misdated.path, by(misdated.date))),
        );
        for Oddity { path, reason } in plan.odd.iter().chain(&aside.odd) {
            output.line(format!("kept     {path}  {reason}"));
        }
        for (path, reason) in self.not_deleted() {
            output.line(format!("NOT DELETED  {path}  {reason}"));
        }
        output.line(self.sum());
    }

    /// The last line.
    fn sum(&self) -> String {
        let Self { plan, aside, .. } = self;
        let (verb, partitions, mut files, bytes) = if let Some(Done { store, spool }) = &self.done {
            ("deleted", store.partitions, store.files + store.staged + spool.files, store.bytes)
        } else {
            let files = plan.expired.iter().map(|expired| expired.files.len()).sum::<usize>();
            let bytes = plan.expired.iter().map(|expired| expired.bytes).sum();
            let verb = if self.deletes { "refused" } else { "to be deleted" };
            (verb, plan.expired.len(), files, bytes)
        };
        if self.done.is_none() {
            files += plan.staged.len() + aside.expired.len();
        }
        let sum = format!(
            "{verb}: {partitions} partitions, {files} files, {}; kept: {} files, and {} that are not flowlog's",
            size::bytes(bytes),
            plan.kept_files,
            plan.foreign.len() + plan.odd.len()
        );
        match self.not_deleted().len() + self.untried() {
            0 => sum,
            left => format!("{sum}; NOT DELETED: {left}, see above"),
        }
    }

    pub fn json(&self) -> Value {
        let Self { plan, aside, clock, at, .. } = self;
        let expired = plan.expired.iter().map(|expired| {
            json!({
                "partition": expired.partition.folder(),
                "files": texts(&expired.files),
                "bytes": expired.bytes,
            })
        });
        let misdated = plan.misdated.iter().map(
            |misdated| json!({ "path": misdated.path.to_string(), "judged": by(misdated.date) }),
        );
        let quality = clock::quality();
        let not_deleted = self.not_deleted();
        json!({
            "at": at.to_string(),
            "deleted": self.done.is_some(),
            "expired": expired.collect::<Vec<_>>(),
            "staged": plan.staged.iter().map(|staged| &staged.path).collect::<Vec<_>>(),
            "spool": aside.expired.iter().map(|path| path.display().to_string()).collect::<Vec<_>>(),
            "kept_files": plan.kept_files,
            "foreign": texts(&plan.foreign),
            "odd": plan.odd.iter().chain(&aside.odd).collect::<Vec<_>>(),
            "misdated": misdated.collect::<Vec<_>>(),
            "not_deleted": not_deleted
                .iter()
                .map(|(path, reason)| json!({ "path": path, "reason": reason }))
                .collect::<Vec<_>>(),
            "not_tried": self.untried(),
            "deleted_files": self.done.as_ref().map_or(0, |done| done.store.files),
            "clock": {
                "verdict": clock.verdict.name(),
                "reason": clock.verdict.doubt().map(|doubt| doubt.to_string()),
                "accepted": clock.accepted,
                "synchronised": quality.synchronised,
                "max_error_us": u64::try_from(quality.max_error.as_micros()).unwrap_or(u64::MAX),
                "newest_record": clock.newest.map(|newest| newest.to_string()),
            },
        })
    }
}

fn texts(paths: &[impl ToString]) -> Vec<String> {
    paths.iter().map(ToString::to_string).collect()
}

fn named(output: &mut Output, lines: impl ExactSizeIterator<Item = String>) {
    let more = lines.len().saturating_sub(NAMED);
    lines.take(NAMED).for_each(|line| output.line(line));
    if more > 0 {
        output.line(format!("         and {more} more of these (--format json names them)"));
    }
}

fn by(date: Date) -> String {
    match date {
        Date::Named(_) => "dated by its name".to_owned(),
        Date::Ahead(_) => "ahead of the clock; dated by its name".to_owned(),
        Date::Estimated(end) => {
            format!("its name cannot be true; its records are taken to have ended at {end}")
        }
        Date::Unknown => {
            "its name cannot be true; its retention period begins with the first run that sees it"
                .to_owned()
        }
    }
}
