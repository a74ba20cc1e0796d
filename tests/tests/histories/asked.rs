//! Questions, and the answers of `trace` and of DuckDB.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    net::IpAddr,
    path::Path,
    process::Command,
    time::Duration,
};

use fastrand::Rng;
use flowlog::{
    ask::{
        open::{Consultation, Times},
        trace::{self, Basis, Candidate, Certainty, Outcome, Question, Recorded, instant, judge},
    },
    record::{
        clock::Utc,
        session::{CoverageRow, SessionRow, milliseconds},
    },
    store::Store,
    table::{
        COVERAGE, ObjectName, SESSIONS, coverage,
        sessions::{self, hex_of},
    },
};
use flowlog_tests::{ask_duckdb, duckdb_cli, flowlog};
use ipnet::IpNet;
use serde_json::Value;

use super::history::{History, midnight};

const DAY: Duration = Duration::from_hours(24);
/// The error of a clock that nothing keeps.
const UNSYNCHRONISED_MS: u32 = 16_000;

/// A question about a history.
#[derive(Debug)]
pub struct Asked<'a> {
    pub number: usize,
    pub history: &'a History,
    pub at: Utc,
    pub error_ms: u32,
}

/// A candidate of a question, as far as both report it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Answer {
    pub number: usize,
    pub session: String,
    pub segment: u32,
    pub certainty: String,
    subscriber: Option<String>,
    gateway: String,
    state: String,
    basis: String,
    prefix: String,
    outer: Option<String>,
    from_us: i64,
    to_us: i64,
    slacks: [u64; 2],
    continues: bool,
}

pub type Answers = BTreeSet<Answer>;

impl<'a> Asked<'a> {
    /// Some questions about a history: their numbers go on from those about the history before.
    pub fn about(history: &'a History, count: usize) -> Vec<Self> {
        let mut random = Rng::with_seed(history.number ^ 0x5eed);
        let starts = history.stays.iter().map(|of| of.held.start.ms());
        let ends = history.stays.iter().map(|of| of.held.possible_end().ms());
        let (first, last) = (starts.min().unwrap(), ends.max().unwrap());
        let place = usize::try_from(history.number).unwrap() % super::STORE;
        let question = |number| Self {
            number: place * count + number,
            history,
            at: Utc::from_ms(random.i64(first - 3_000..last + 3_000)),
            error_ms: if random.bool() { 0 } else { random.u32(0..1_500) },
        };
        (0..count).map(question).collect()
    }

    fn question(&self) -> Question {
        let Self { history, at, error_ms, .. } = *self;
        Question { address: history.address.into(), at, error_ms, realm: None }
    }
}

impl Answer {
    fn of(number: usize, candidate: &Candidate) -> Self {
        Self {
            number,
            session: candidate.session.hex(),
            segment: candidate.segment,
            certainty: match candidate.certainty {
                Certainty::Certain => "certain".to_owned(),
                Certainty::Possible => "possible".to_owned(),
            },
            subscriber: candidate.subscriber.as_ref().map(|of| of.in_clear().clone()),
            gateway: candidate.gateway.clone(),
            state: candidate.state.name().to_owned(),
            basis: match candidate.basis {
                Basis::Row => "row".to_owned(),
                Basis::SessionStart => "session_start".to_owned(),
            },
            prefix: candidate.prefix.in_clear().to_string(),
            outer: candidate.outer.map(|outer| outer.address.in_clear().to_string()),
            from_us: candidate.from.ns() / 1_000,
            to_us: candidate.to.ns() / 1_000,
            slacks: [candidate.from_slack_ms, candidate.to_slack_ms],
            continues: candidate.continues,
        }
    }

    fn of_row(row: &Value) -> Self {
        let text = |name: &str| row[name].as_str().map(str::to_owned);
        let number = |name: &str| row[name].as_i64().unwrap_or_else(|| panic!("{name}: {row}"));
        let count = |name: &str| u64::try_from(number(name)).unwrap();
        Self {
            number: usize::try_from(number("number")).unwrap(),
            session: text("session_id").unwrap(),
            segment: u32::try_from(number("segment")).unwrap(),
            certainty: text("certainty").unwrap(),
            subscriber: text("subscriber"),
            gateway: text("gateway").unwrap(),
            state: text("state").unwrap(),
            basis: text("basis").unwrap(),
            prefix: text("inner_prefix").unwrap(),
            outer: text("outer_ip"),
            from_us: number("from_us"),
            to_us: number("to_us"),
            slacks: [count("start_slack_ms"), count("end_slack_ms")],
            continues: row["continues"].as_bool().unwrap(),
        }
    }
}

/// The answers of `flowlog trace`, and the outcome of each question; the rows of the store are read once.
pub fn by_trace(store: &Path, asked: &[Asked<'_>]) -> (Answers, Vec<Outcome>) {
    let recorded = Rows::read(store);
    answers(asked, |of| judge(&of.question(), &recorded.around(of)))
}

/// The same where each question reads the store.
pub fn by_question(store: &Path, asked: &[Asked<'_>]) -> (Answers, Vec<Outcome>) {
    let consultation = consultation(store);
    answers(asked, |of| instant(&consultation, &of.question(), None, &|_, _| None).unwrap())
}

fn answers<'a>(
    asked: &[Asked<'a>],
    answer: impl Fn(&Asked<'a>) -> trace::Answer,
) -> (Answers, Vec<Outcome>) {
    let answers: Vec<_> = asked.iter().map(answer).collect();
    let candidates = asked.iter().zip(&answers).flat_map(|(of, answer)| {
        answer.candidates.iter().map(|candidate| Answer::of(of.number, candidate))
    });
    (candidates.collect(), answers.iter().map(|answer| answer.outcome).collect())
}

fn consultation(store: &Path) -> Consultation {
    let store = Store::open(store.to_str().unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { Consultation::begin(&store) }).unwrap()
}

/// All rows of a store.
struct Rows(Vec<OfGateway>);

struct OfGateway {
    gateway: String,
    /// By prefix, so that the rows of an address are found; those of the wider prefix beside the others.
    sessions: BTreeMap<IpNet, Vec<SessionRow>>,
    coverage: Vec<CoverageRow>,
    days: BTreeSet<Utc>,
}

impl Rows {
    fn read(store: &Path) -> Self {
        let consultation = consultation(store);
        let gateways = consultation.gateways(&[&SESSIONS]).unwrap();
        Self(gateways.into_iter().map(|gateway| OfGateway::read(&consultation, gateway)).collect())
    }

    /// Those that `trace` reads for a question: of the days around the instant, or of the oldest day.
    fn around(&self, of: &Asked<'_>) -> Vec<Recorded> {
        self.0.iter().map(|rows| rows.around(of)).collect()
    }
}

impl OfGateway {
    fn read(consultation: &Consultation, gateway: String) -> Self {
        let times = Times::new(midnight().minus(DAY), midnight().plus(DAY));
        let (mut sessions, mut days) = (BTreeMap::new(), BTreeSet::new());
        for object in consultation.objects(&SESSIONS, &gateway, times).unwrap().known {
            days.insert(ObjectName::parse(&object.location).unwrap().partition.start);
            for rows in consultation.open(&SESSIONS, &object).unwrap().batches().unwrap() {
                for row in sessions::rows(&rows.unwrap()).unwrap() {
                    let rows: &mut Vec<_> = sessions.entry(*row.prefix.in_clear()).or_default();
                    rows.push(row);
                }
            }
        }
        let mut coverage = vec![];
        for object in consultation.objects(&COVERAGE, &gateway, times).unwrap().known {
            for rows in consultation.open(&COVERAGE, &object).unwrap().batches().unwrap() {
                coverage.extend(coverage::rows(&rows.unwrap()).unwrap());
            }
        }
        Self { gateway, sessions, coverage, days }
    }

    fn around(&self, of: &Asked<'_>) -> Recorded {
        let error = milliseconds(of.error_ms + UNSYNCHRONISED_MS);
        let [from, to] = [of.at.minus(error), of.at.plus(error)].map(|at| at.floor(DAY));
        let oldest = self.days.first().copied();
        let is_kept = self.days.contains(&from) && self.days.contains(&to);
        let is_read = |row: &&SessionRow| {
            (from..=to).contains(&row.day()) || !is_kept && Some(row.day()) == oldest
        };
        let prefixes = of.history.prefixes.iter().map(|prefix| prefix.parse().unwrap());
        let rows = prefixes.filter_map(|prefix: IpNet| self.sessions.get(&prefix)).flatten();
        Recorded {
            gateway: self.gateway.clone(),
            sessions: rows.filter(is_read).cloned().collect(),
            coverage: self.coverage.clone(),
            oldest: oldest.filter(|_| !is_kept),
        }
    }
}

/// What an answer of `who_had` has, as [`Answer::of_row`] reads it.
const COLUMNS: &str = "session_id, segment, certainty, subscriber, gateway, state, basis, inner_prefix, outer_ip,
    epoch_us(held_start) AS from_us, epoch_us(held_end) AS to_us, start_slack_ms, end_slack_ms, continues";

/// The answers of the macro `who_had`, of one release of DuckDB.
pub fn by_macro(store: &Path, cli: &mut Command, asked: &[Asked<'_>]) -> Answers {
    let questions: Vec<String> = asked
        .iter()
        .map(|Asked { number, history, at, error_ms }| {
            let (address, us) = (history.address, at.ms() * 1_000);
            format!(
                "SELECT {number} AS number, {COLUMNS} FROM who_had('{address}', make_timestamptz({us}), slack := INTERVAL {error_ms} MILLISECOND)"
            )
        })
        .collect();
    rows(&views(store), cli, &questions.join(" UNION ALL "))
}

/// The answers of the macro's own query, for a table of questions: it takes one at a time.
pub fn by_tables(store: &Path, asked: &[Asked<'_>]) -> Answers {
    let views = views(store);
    let mut lines = "number,ip,hex,us,error_ms\n".to_owned();
    for Asked { number, history, at, error_ms } in asked {
        let (ip, us): (IpAddr, i64) = (history.address, at.ms() * 1_000);
        writeln!(lines, "{number},{ip},{},{us},{error_ms}", hex_of(ip)).unwrap();
    }
    let file = store.join("questions.csv");
    fs::write(&file, lines).unwrap();
    let question = format!("SELECT number, {COLUMNS} FROM ({})", of_tables(&views, &file));
    rows(&views, &mut duckdb_cli(), &question)
}

fn views(store: &Path) -> String {
    let views = flowlog(&["duckdb", "--store", store.to_str().unwrap()]);
    assert_eq!(views.code, 0, "{}", views.stderr);
    views.stdout
}

fn rows(views: &str, cli: &mut Command, question: &str) -> Answers {
    let rows = ask_duckdb(cli, views, question).unwrap_or_else(|error| panic!("{error}"));
    rows.iter().map(Answer::of_row).collect()
}

/// The query of `who_had` with the question as a part of the holder, by which all of it is grouped.
fn of_tables(views: &str, questions: &Path) -> String {
    let (_, query) = views.split_once("MACRO who_had(").expect("the macro");
    let (_, query) = query.split_once(" AS TABLE\n").expect("its query");
    let (query, _) = query.split_once(";\n").expect("the end of its query");
    let (near, rest) = query.split_once("placed AS (").expect("its first step");
    let (before, source) = near.split_once("FROM query(").expect("where its rows are from");
    let (_, source) = source.split_once('\n').expect("the line of these rows");
    let joined = format!(
        "FROM (SELECT s.*, true AS has_all, number, make_timestamptz(us) AS asked_at, to_milliseconds(error_ms) AS error
            FROM read_csv('{}') q JOIN sessions s
            ON inner_first <= hex AND inner_last >= hex AND contains(inner_prefix, ':') = contains(ip, ':'))\n",
        questions.display()
    );
    let near = [before, &joined, source].concat();
    let replace = |sql: &str, replaced: &[(&str, &str)]| {
        replaced.iter().fold(sql.to_owned(), |sql, (old, new)| {
            assert!(sql.contains(old), "{old:?} is not in {sql}");
            sql.replace(old, new)
        })
    };
    let near = replace(
        &near,
        &[
            (
                "peer, inner_prefix) AS holder",
                "peer, inner_prefix, number, asked_at, error) AS holder",
            ),
            ("in_utc(instant)", "in_utc(asked_at)"),
            ("slack::INTERVAL", "error"),
        ],
    );
    let rest = replace(
        rest,
        &[
            ("instant::TIMESTAMPTZ", "holder[9]"),
            ("slack::INTERVAL", "holder[10]"),
            ("holder[3], holder[4])", "holder[3], holder[4], holder[8])"),
            ("SELECT subscriber, holder[6]", "SELECT holder[8] AS number, subscriber, holder[6]"),
        ],
    );
    format!("{near}placed AS ({rest}")
}
