//! What a store has of sessions.

use std::path::Path;

use flowlog_tests::duckdb;

/// A session in the store. Instants are milliseconds since 1970.
#[derive(Debug, PartialEq, Eq)]
pub struct Stored {
    session: String,
    pub address: String,
    pub subscriber: String,
    pub from: i64,
    pub from_slack: i64,
    pub to: i64,
    pub to_slack: i64,
    /// Between two rows of it, of which another endpoint may be the reason.
    pub longest_pause: i64,
    pub endpoints: Vec<String>,
    pub end_reason: String,
}

impl Stored {
    pub fn possible_to(&self) -> i64 {
        self.to + self.to_slack
    }
}

/// The sessions of IPv4 addresses, in order of these and of time; those of IPv6 addresses are the same.
pub fn stored(store: &Path) -> Vec<Stored> {
    let [v4, v6] = [".", ":"].map(|mark| of_family(store, mark));
    let times = |rows: &[Stored]| -> Vec<(String, i64, i64)> {
        let mut times: Vec<_> =
            rows.iter().map(|row| (row.session.clone(), row.from, row.to)).collect();
        times.sort();
        times
    };
    assert_eq!(times(&v4), times(&v6));
    v4
}

fn of_family(store: &Path, mark: &str) -> Vec<Stored> {
    let question = format!(
        "SELECT session_id, split_part(inner_prefix, '/', 1) AS address, subscriber, outer_ip, end_reason,
            epoch_ms(held_start) AS start, epoch_ms(held_end) AS stop, start_slack_ms, end_slack_ms
         FROM sessions WHERE contains(inner_prefix, '{mark}') ORDER BY session_id, held_start"
    );
    let mut all: Vec<Stored> = vec![];
    for row in duckdb(store, &question) {
        let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let number = |key: &str| row[key].as_i64().unwrap();
        let next = Stored {
            session: text("session_id"),
            address: text("address"),
            subscriber: text("subscriber"),
            from: number("start"),
            from_slack: number("start_slack_ms"),
            to: number("stop"),
            to_slack: number("end_slack_ms"),
            longest_pause: 0,
            endpoints: vec![text("outer_ip")],
            end_reason: text("end_reason"),
        };
        match all.last_mut() {
            Some(before) if before.session == next.session => before.go_on(next),
            _ => all.push(next),
        }
    }
    all.sort_by_key(|session| (session.address.clone(), session.from));
    all
}

impl Stored {
    fn go_on(&mut self, next: Self) {
        assert!(self.to <= next.from, "{self:?} and {next:?} overlap");
        assert_eq!((&self.address, &self.subscriber), (&next.address, &next.subscriber));
        self.longest_pause = self.longest_pause.max(next.from - self.to);
        self.endpoints.extend(next.endpoints);
        self.endpoints.dedup();
        (self.to, self.to_slack, self.end_reason) = (next.to, next.to_slack, next.end_reason);
    }
}

/// The times of which the coverage has a gap; of those that follow each other, one.
pub fn gaps(store: &Path) -> Vec<(i64, i64)> {
    let question = "SELECT epoch_ms(gap_start) AS start, epoch_ms(gap_end) AS stop FROM coverage
        WHERE gap_start IS NOT NULL ORDER BY gap_start";
    let mut all: Vec<(i64, i64)> = vec![];
    for row in duckdb(store, question) {
        let [from, to] =
            ["start", "stop"].map(|key| row[key].as_i64().unwrap_or_else(|| panic!("{row}")));
        match all.last_mut() {
            Some(before) if before.1 == from => before.1 = to,
            _ => all.push((from, to)),
        }
    }
    all
}
