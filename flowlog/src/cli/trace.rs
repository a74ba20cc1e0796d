//! `flowlog trace`

mod json;
mod text;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use clap::{ArgGroup, Args};
use flowlog::{
    ask::{
        open::{Consultation, Times},
        trace::{self, Answer, Evidence, Line, LineQuestion, Question, Sought, Whose},
    },
    config::SourcesSettings,
    record::{
        clock::Utc,
        gateway::GatewayName,
        redacted::Address,
        session::{Peer, PeerKey, Subscriber},
        subscriber::{self, Subscribers},
    },
    store::Store,
};

use super::{
    Failure, Global, Outcome, Output, instant::parse_instant, protocol::parse_protocol,
    source::StoreArguments,
};

/// The question; the help of the command is in `cli.rs`.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
#[command(group(ArgGroup::new("whose").required(true).args(["ip", "subscriber"])))]
#[command(group(ArgGroup::new("when").required(true).args(["at", "from"])))]
pub struct Arguments {
    #[command(flatten)]
    store: StoreArguments,
    /// Who had this address? In any notation.
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<String>,
    /// What did this subscriber have? Needs --from and --to.
    #[arg(long, value_name = "REFERENCE", conflicts_with = "at")]
    subscriber: Option<String>,
    /// At this instant; with its offset from UTC (2026-11-22T10:00:00Z).
    #[arg(long, value_name = "INSTANT", value_parser = parse_instant, conflicts_with_all = ["from", "to"])]
    at: Option<Utc>,
    /// In the time from this instant on.
    #[arg(long, value_name = "INSTANT", value_parser = parse_instant, requires = "to")]
    from: Option<Utc>,
    /// In the time before this instant.
    #[arg(long, value_name = "INSTANT", value_parser = parse_instant, requires = "from")]
    to: Option<Utc>,
    /// By how much the clock of whoever asks may be wrong; the error of the gateway's clock is added.
    #[arg(long, value_name = "DURATION", value_parser = parse_error, default_value = "1s")]
    error: u32,
    /// Only this address space.
    #[arg(long, value_name = "NAME")]
    realm: Option<String>,
    /// Only the records of this gateway.
    #[arg(long, value_name = "NAME")]
    gateway: Option<GatewayName>,
    /// Most candidates that are listed; of more, only their number.
    #[arg(long, value_name = "N", default_value_t = 20)]
    max: usize,
    /// Subscribers for records that have none: a file with the columns `peer,subscriber,from,to`.
    /// Peers by their names need the configuration file, for its `peer_key_file`.
    #[arg(long, value_name = "FILE")]
    subscribers: Option<PathBuf>,
    /// As evidence, only flows with this port of the member.
    #[arg(long, value_name = "PORT", requires = "at")]
    port: Option<u16>,
    /// As evidence, only flows of this IP protocol: a name such as tcp, udp, or a number.
    #[arg(long, value_name = "PROTOCOL", value_parser = parse_protocol, requires = "at")]
    protocol: Option<u8>,
    /// As evidence, only flows to this address.
    #[arg(long, value_name = "ADDRESS", requires = "at")]
    remote: Option<String>,
}

const AFTER_HELP: &str = "\
Examples:
  flowlog trace --ip 10.0.0.7 --at 2026-11-22T09:57:31Z
  flowlog trace --ip 10.0.0.7 --at 2026-10-25T02:30:00+02:00 --error 0s
  flowlog trace --subscriber m-0007 --from 2026-11-01T00:00:00+01:00 --to 2026-12-01T00:00:00+01:00

Exit codes:
  0  identified: one subscriber, for certain; or a time line without gaps
  1  nobody, for certain
  2  usage or configuration: nothing was read
  3  failed, or an object cannot be read: no answer
  4  ambiguous: two subscribers or more
  5  undetermined: the records do not prove it";

/// What was asked, as the answer repeats it.
struct Asked {
    whose: Whose,
    gateway: Option<GatewayName>,
    realm: Option<String>,
    sought: Sought,
    max: usize,
    when: When,
}

enum When {
    At { at: Utc, error_ms: u32 },
    Within(Times),
}

/// An answer, and what was read for it.
enum Found {
    Instant { answer: Answer, evidence: Vec<Option<Evidence>>, policies: BTreeSet<String> },
    Line(Line),
}

pub fn run(arguments: &Arguments, global: &Global) -> Result<Outcome, Failure> {
    let asked = arguments.asked()?;
    let subscribers = arguments.mapping()?;
    let store = Store::open(&arguments.store.read()?).map_err(Failure::usage)?;
    let (found, read, asked) = super::runtime()?
        .block_on(async move {
            let consultation = Consultation::begin(&store)?;
            // Those who read may wait: the runtime does the requests meanwhile.
            let question = tokio::task::spawn_blocking(move || {
                let found = asked.ask(&consultation, &subscribers)?;
                Ok::<_, trace::Error>((found, consultation.read(), asked))
            });
            Ok::<_, anyhow::Error>(question.await?)
        })?
        .map_err(failure)?;
    let mut out = Output::new();
    out.answer(
        global.format,
        || json::answer(&asked, &found, read),
        |out| text::write(&asked, &found, out),
    );
    out.finish_answer()?;
    Ok(found.outcome())
}

fn failure(error: trace::Error) -> Failure {
    match error {
        trace::Error::Gateway(_) => Failure::usage(error),
        _ => error.into(),
    }
}

impl Found {
    fn outcome(&self) -> Outcome {
        let outcome = match self {
            Self::Instant { answer, .. } => answer.outcome,
            Self::Line(line) => line.outcome,
        };
        match outcome {
            trace::Outcome::Identified => Outcome::Done,
            trace::Outcome::None => Outcome::None,
            trace::Outcome::Ambiguous => Outcome::Ambiguous,
            trace::Outcome::Undetermined => Outcome::Undetermined,
        }
    }
}

impl Asked {
    fn ask(
        &self,
        consultation: &Consultation,
        subscribers: &Subscribers,
    ) -> Result<Found, trace::Error> {
        let mapping = |peer: Peer, at: Utc| subscribers.at(peer, at).cloned();
        let gateway = self.gateway.as_ref();
        match (&self.when, &self.whose) {
            (When::At { at, error_ms }, Whose::Address(address)) => {
                let realm = self.realm.clone();
                let question = Question { address: *address, at: *at, error_ms: *error_ms, realm };
                let answer = trace::instant(consultation, &question, gateway, &mapping)?;
                let listed = if self.is_listed(&answer) { &answer.candidates[..] } else { &[] };
                let (evidence, policies) =
                    trace::evidence(consultation, &question, &self.sought, listed)?;
                Ok(Found::Instant { answer, evidence, policies })
            }
            (When::At { at, .. }, Whose::Subscriber(_)) => {
                self.line(consultation, Times::new(*at, *at), gateway, &mapping)
            }
            (When::Within(times), _) => self.line(consultation, *times, gateway, &mapping),
        }
    }

    fn line(
        &self,
        consultation: &Consultation,
        times: Times,
        gateway: Option<&GatewayName>,
        mapping: trace::Mapping<'_>,
    ) -> Result<Found, trace::Error> {
        let question = LineQuestion { whose: self.whose.clone(), times, realm: self.realm.clone() };
        trace::line(consultation, &question, gateway, mapping).map(Found::Line)
    }

    fn is_listed(&self, answer: &Answer) -> bool {
        answer.candidates.len() <= self.max
    }
}

impl Arguments {
    fn asked(&self) -> Result<Asked, Failure> {
        let whose = match (&self.ip, &self.subscriber) {
            (Some(ip), _) => Whose::Address(address("--ip", ip)?),
            (None, Some(subscriber)) => Whose::Subscriber(reference(subscriber)?),
            (None, None) => return Err(usage("name an address by --ip, or --subscriber")),
        };
        let when = match (self.at, self.from, self.to) {
            (Some(at), ..) => When::At { at, error_ms: self.error },
            (None, Some(from), Some(to)) if from < to => When::Within(Times::new(from, to)),
            (None, Some(_), Some(_)) => return Err(usage("--to must be later than --from")),
            _ => return Err(usage("name an instant by --at, or a time by --from and --to")),
        };
        let remote =
            self.remote.as_deref().map(|remote| address("--remote", remote)).transpose()?;
        let sought = Sought { port: self.port, protocol: self.protocol, remote };
        let (gateway, realm) = (self.gateway.clone(), self.realm.clone());
        Ok(Asked { whose, gateway, realm, sought, max: self.max, when })
    }

    fn mapping(&self) -> Result<Subscribers, Failure> {
        let Some(path) = &self.subscribers else { return Ok(Subscribers::default()) };
        let SourcesSettings { subscribers, .. } =
            self.store.file()?.settings().map_err(Failure::usage)?;
        let key = subscribers.map(|settings| peer_key(&settings.peer_key_file)).transpose()?;
        let text = std::fs::read_to_string(path).map_err(|error| unusable(path, error))?;
        Subscribers::parse(&text, key.as_ref()).map_err(|line| unusable(path, line))
    }
}

fn peer_key(path: &Path) -> Result<PeerKey, Failure> {
    let bytes = std::fs::read(path).map_err(|error| unusable(path, error))?;
    PeerKey::new(bytes).map_err(|error| unusable(path, error))
}

fn unusable(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    let place = format!("cannot use {}", path.display());
    Failure::usage(anyhow::Error::new(error).context(place))
}

fn usage(text: &'static str) -> Failure {
    Failure::usage(anyhow::anyhow!(text))
}

/// The text is not repeated in the error: it may be one of a member, with a slip of the pen.
fn address(option: &str, text: &str) -> Result<Address, Failure> {
    trace::parse_address(text).map_err(|error| Failure::usage(anyhow::anyhow!("{option}: {error}")))
}

fn reference(text: &str) -> Result<Subscriber, Failure> {
    if subscriber::is_reference(text) {
        return Ok(text.to_owned().into());
    }
    Err(usage(
        "--subscriber: a reference has 1 to 64 letters, digits, dots, underscores and hyphens",
    ))
}

/// An error of a clock: a duration, or none, in milliseconds.
fn parse_error(text: &str) -> Result<u32, String> {
    let wrong = || format!("{text:?} is not a duration; write for example 1s, 250ms or 0s");
    let span: jiff::Span = text.trim().parse().map_err(|_| wrong())?;
    let duration = jiff::SignedDuration::try_from(span).map_err(|_| wrong())?;
    u32::try_from(duration.as_millis()).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::parse_error;

    #[test]
    fn a_clock_may_have_no_error_at_all() {
        assert_eq!(["0s", "250ms", "1s", " 2m"].map(parse_error), [0, 250, 1_000, 120_000].map(Ok));
        for text in ["", "5", "-1s", "2000h", "1d"] {
            assert!(parse_error(text).unwrap_err().contains("0s"), "{text}");
        }
    }
}
