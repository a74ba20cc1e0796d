//! The events of sessions, as the spool keeps them: rows that open and close, and what was looked at.
//!
//! A body is JSON. Its kind is a number that keeps its meaning for ever.

use std::net::IpAddr;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::record::{
    clock::Utc,
    session::{
        CoverageGap, CoverageReason, EndReason, EntryKey, Held, Instance, Outer, SessionRow,
        Source, State,
    },
};

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A day begins: what follows up to the next one of its kind is of its file. Behind it are the instances and the
    /// open rows, so that nothing before it is needed to go on.
    Day(Utc),
    /// An instance, as it was when a day began.
    Instance(Looked),
    /// A row opened, or is open while a day begins.
    Opened(OpenRow),
    /// A row closed.
    Closed(ClosedRow),
    /// An instance was looked at.
    Looked(Looked),
    /// An instance was not looked at for a time.
    Gap {
        /// The instance.
        instance: Instance,
        /// Its space of addresses.
        realm: String,
        /// The time.
        gap: CoverageGap,
    },
}

/// An instance that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Looked {
    pub(super) instance: Instance,
    pub(super) realm: String,
    pub(super) at: Utc,
    pub(super) clock_error_ms: u32,
    pub(super) clock_step_ms: i64,
    /// Polls that failed since it was looked at before.
    pub(super) errors: u64,
}

/// A row that is open: when it is held until is known when it closes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OpenRow {
    /// Its number: no other row of this spool has it.
    pub(super) number: u64,
    /// Whose entry it is of.
    pub(super) key: EntryKey,
    /// The row, as if it ended where it begins.
    pub(super) row: SessionRow,
}

/// The end of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClosedRow {
    pub(super) number: u64,
    pub(super) end: Utc,
    pub(super) end_slack_ms: u32,
    pub(super) reason: Option<EndReason>,
    pub(super) continues: bool,
    pub(super) bytes: Option<[u64; 2]>,
}

/// A body that this version cannot read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
    /// Its kind is of a later version.
    #[error("an event is of kind {0}, which this version of flowlog does not know")]
    Kind(u16),
    /// It is no JSON of its kind.
    #[error("the body of an event of kind {0} cannot be read")]
    Body(u16),
}

impl Event {
    /// Its kind and its body.
    pub(super) fn write(&self) -> (u16, Vec<u8>) {
        match self {
            Self::Day(day) => (1, json(&StoredDay { day_ns: day.ns() })),
            Self::Instance(looked) => (2, json(&StoredLooked::of(looked))),
            Self::Opened(row) => (3, json(&StoredRow::of(row))),
            Self::Closed(row) => (4, json(&StoredEnd::of(row))),
            Self::Looked(looked) => (5, json(&StoredLooked::of(looked))),
            Self::Gap { instance, realm, gap } => {
                let stored = StoredGap {
                    source: instance.source.name().to_owned(),
                    instance: instance.name.clone(),
                    realm: realm.clone(),
                    start_ns: gap.start.ns(),
                    end_ns: gap.end.ns(),
                    reason: gap.reason.name().to_owned(),
                };
                (6, json(&stored))
            }
        }
    }

    /// Reads a body of a kind.
    pub(super) fn read(kind: u16, body: &[u8]) -> Result<Self, Unread> {
        let event = match kind {
            1 => parse(body).map(|stored: StoredDay| Self::Day(Utc::from_ns(stored.day_ns))),
            2 => parse(body).and_then(StoredLooked::looked).map(Self::Instance),
            3 => parse(body).and_then(StoredRow::row).map(Self::Opened),
            4 => parse(body).and_then(StoredEnd::end).map(Self::Closed),
            5 => parse(body).and_then(StoredLooked::looked).map(Self::Looked),
            6 => parse(body).and_then(StoredGap::gap),
            _ => return Err(Unread::Kind(kind)),
        };
        event.ok_or(Unread::Body(kind))
    }
}

fn json<T: Serialize>(stored: &T) -> Vec<u8> {
    // Numbers and texts always have a form in JSON.
    serde_json::to_vec(stored).unwrap_or_default()
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    serde_json::from_slice(body).ok()
}

#[derive(Serialize, Deserialize)]
struct StoredDay {
    day_ns: i64,
}

#[derive(Serialize, Deserialize)]
struct StoredLooked {
    source: String,
    instance: String,
    realm: String,
    at_ns: i64,
    #[serde(default)]
    clock_error_ms: u32,
    #[serde(default)]
    clock_step_ms: i64,
    #[serde(default)]
    errors: u64,
}

impl StoredLooked {
    fn of(looked: &Looked) -> Self {
        let Looked { instance, realm, at, clock_error_ms, clock_step_ms, errors } = looked;
        Self {
            source: instance.source.name().to_owned(),
            instance: instance.name.clone(),
            realm: realm.clone(),
            at_ns: at.ns(),
            clock_error_ms: *clock_error_ms,
            clock_step_ms: *clock_step_ms,
            errors: *errors,
        }
    }

    fn looked(self) -> Option<Looked> {
        Some(Looked {
            instance: instance(&self.source, self.instance)?,
            realm: self.realm,
            at: Utc::from_ns(self.at_ns),
            clock_error_ms: self.clock_error_ms,
            clock_step_ms: self.clock_step_ms,
            errors: self.errors,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct StoredGap {
    source: String,
    instance: String,
    realm: String,
    start_ns: i64,
    end_ns: i64,
    reason: String,
}

impl StoredGap {
    fn gap(self) -> Option<Event> {
        let gap = CoverageGap {
            start: Utc::from_ns(self.start_ns),
            end: Utc::from_ns(self.end_ns),
            reason: CoverageReason::from_name(&self.reason)?,
        };
        Some(Event::Gap {
            instance: instance(&self.source, self.instance)?,
            realm: self.realm,
            gap,
        })
    }
}

fn instance(source: &str, name: String) -> Option<Instance> {
    Some(Instance { source: Source::from_name(source)?, name })
}

#[derive(Serialize, Deserialize)]
struct StoredRow {
    row: u64,
    session: String,
    segment: u32,
    source: String,
    instance: String,
    realm: String,
    peer: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    discriminator: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subscriber: Option<String>,
    state: String,
    prefix: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outer_ip: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outer_port: Option<u16>,
    start_ns: i64,
    start_slack_ms: u32,
    session_start_ns: i64,
    session_start_slack_ms: u32,
    clock_error_ms: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl StoredRow {
    fn of(open: &OpenRow) -> Self {
        let OpenRow { number, key, row } = open;
        Self {
            row: *number,
            session: row.session.hex(),
            segment: row.segment,
            source: row.instance.source.name().to_owned(),
            instance: row.instance.name.clone(),
            realm: row.realm.clone(),
            peer: row.peer.hex(),
            discriminator: key.discriminator,
            subscriber: row.subscriber.as_ref().map(|subscriber| subscriber.in_clear().clone()),
            state: row.state.name().to_owned(),
            prefix: row.prefix.in_clear().to_string(),
            outer_ip: row.outer.map(|outer| *outer.address.in_clear()),
            outer_port: row.outer.and_then(|outer| outer.port),
            start_ns: row.held.start.ns(),
            start_slack_ms: row.held.start_slack_ms,
            session_start_ns: row.session_start.ns(),
            session_start_slack_ms: row.session_start_slack_ms,
            clock_error_ms: row.clock_error_ms,
        }
    }

    fn row(self) -> Option<OpenRow> {
        let start = Utc::from_ns(self.start_ns);
        let peer = self.peer.parse().ok()?;
        let row = SessionRow {
            session: self.session.parse().ok()?,
            segment: self.segment,
            instance: instance(&self.source, self.instance)?,
            realm: self.realm,
            peer,
            subscriber: self.subscriber.map(Into::into),
            state: State::from_name(&self.state)?,
            prefix: self.prefix.parse::<ipnet::IpNet>().ok()?.into(),
            outer: self
                .outer_ip
                .map(|address| Outer { address: address.into(), port: self.outer_port }),
            held: Held { start, end: start, start_slack_ms: self.start_slack_ms, end_slack_ms: 0 },
            session_start: Utc::from_ns(self.session_start_ns),
            session_start_slack_ms: self.session_start_slack_ms,
            continues: true,
            end_reason: None,
            bytes: None,
            clock_error_ms: self.clock_error_ms,
        };
        let key = EntryKey { peer, discriminator: self.discriminator };
        Some(OpenRow { number: self.row, key, row })
    }
}

#[derive(Serialize, Deserialize)]
struct StoredEnd {
    row: u64,
    end_ns: i64,
    #[serde(default)]
    end_slack_ms: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default)]
    continues: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes: Option<[u64; 2]>,
}

impl StoredEnd {
    fn of(closed: &ClosedRow) -> Self {
        let ClosedRow { number, end, end_slack_ms, reason, continues, bytes } = *closed;
        Self {
            row: number,
            end_ns: end.ns(),
            end_slack_ms,
            reason: reason.map(|reason| reason.name().to_owned()),
            continues,
            bytes,
        }
    }

    fn end(self) -> Option<ClosedRow> {
        let reason = match self.reason {
            Some(name) => Some(EndReason::from_name(&name)?),
            None => None,
        };
        Some(ClosedRow {
            number: self.row,
            end: Utc::from_ns(self.end_ns),
            end_slack_ms: self.end_slack_ms,
            reason,
            continues: self.continues,
            bytes: self.bytes,
        })
    }
}
