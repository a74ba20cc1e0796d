//! The reports of one instance.

use std::time::Duration;

use tokio::sync::mpsc;

use super::{Error, Health, events::Event};
use crate::{
    record::{
        clock::{self, Utc},
        session::{Content, Instance, Receipt, Report},
    },
    telemetry::with_causes,
};

/// Sends the reports of one instance, and the events of its failures.
#[derive(Debug)]
pub(super) struct Reporter {
    pub(super) instance: Instance,
    realm: String,
    reports: mpsc::Sender<Report>,
    /// Reports that were sent, and those of them that are written down.
    sent: u64,
    receipt: Receipt,
    /// Why it failed last, until it does not any more.
    failure: Option<String>,
    health: Health,
    /// How far apart the answers may be, where nobody asks for them.
    pub(super) apart: Option<Duration>,
}

/// Nobody takes reports any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Closed;

impl Reporter {
    pub(super) fn new(
        instance: Instance,
        realm: &str,
        reports: mpsc::Sender<Report>,
        health: Health,
    ) -> Self {
        let (realm, receipt) = (realm.to_owned(), Receipt::default());
        Self { instance, realm, reports, sent: 0, receipt, failure: None, health, apart: None }
    }

    /// The instance is looked at from now on.
    pub(super) fn found(&self) {
        Event::Found { instance: &self.instance }.emit();
    }

    /// Sends a report about an instant.
    pub(super) async fn send(&mut self, at: Utc, content: Content) -> Result<(), Closed> {
        self.send_answer((at, at), content).await
    }

    /// Sends a report of a time that lies between two instants.
    pub(super) async fn send_answer(
        &mut self,
        (at, answered): (Utc, Utc),
        content: Content,
    ) -> Result<(), Closed> {
        let (instance, realm, apart) = (self.instance.clone(), self.realm.clone(), self.apart);
        let receipt = self.receipt.clone();
        let report = Report { instance, realm, at, answered, content, apart, receipt };
        self.reports.send(report).await.map_err(|_| Closed)?;
        self.sent += 1;
        Ok(())
    }

    /// Sends what was learnt at an instant, or that nothing was.
    pub(super) async fn outcome(
        &mut self,
        at: Utc,
        outcome: Result<Content, Error>,
    ) -> Result<(), Closed> {
        self.answer((at, at), outcome).await
    }

    /// Sends the answer to a question, with the instants of both, or that there was none.
    pub(super) async fn answer(
        &mut self,
        (at, answered): (Utc, Utc),
        outcome: Result<Content, Error>,
    ) -> Result<(), Closed> {
        let content = match outcome {
            Ok(content) => {
                self.recovered();
                content
            }
            Err(error) => {
                self.failed(&error, false);
                Content::Failed { is_answered: error.is_answered() }
            }
        };
        self.send_answer((at, answered), content).await
    }

    /// Some part of the source failed, while others have told enough; or none did.
    pub(super) fn part_failed(&mut self, error: Option<&Error>) {
        match error {
            Some(error) => self.failed(error, true),
            None => self.recovered(),
        }
    }

    fn failed(&mut self, error: &Error, is_part: bool) {
        let failure = with_causes(error);
        let is_first = self.failure.as_ref() != Some(&failure);
        self.failure = Some(failure);
        self.health.failed(&self.instance, error);
        Event::Failed { instance: &self.instance, error, is_first, is_part }.emit();
    }

    fn recovered(&mut self) {
        if self.failure.take().is_some() {
            self.health.recovered(&self.instance);
            Event::Recovered { instance: &self.instance }.emit();
        }
    }

    /// Whether all reports that were sent are in the spool.
    pub(super) fn are_recorded(&self) -> bool {
        self.receipt.given() >= self.sent
    }

    /// The instance is gone.
    pub(super) async fn gone(mut self) -> Result<(), Closed> {
        Event::Gone { instance: &self.instance }.emit();
        self.health.recovered(&self.instance);
        self.send(clock::now(), Content::Gone).await
    }
}
