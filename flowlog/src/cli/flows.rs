//! `flowlog flows`

mod csv;
mod json;
mod page;
mod text;

use std::{io::Write as _, ops::ControlFlow, time::Duration};

use clap::{Args, ValueEnum};
use flowlog::{
    ask::{
        flows::{self, Addresses, By, Filter, Lasts, Of, Question, Ranking, Report},
        open::{Consultation, Times},
    },
    record::{clock::Utc, gateway::GatewayName, period::parse_duration},
    store::Store,
    telemetry::with_causes,
};

use super::{
    Failure, Format, Global, Outcome, Output, instant::parse_instant, protocol::parse_protocol,
    source::StoreArguments,
};
use page::Page;

/// The question; the help of the command is in `cli.rs`.
#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub struct Arguments {
    #[command(flatten)]
    store: StoreArguments,
    /// Address of a member, or a prefix such as 10.0.0.0/24; in any notation.
    #[arg(long, value_name = "ADDRESS")]
    member: Option<Addresses>,
    /// Address of the other side, or a prefix; in any notation.
    #[arg(long, value_name = "ADDRESS")]
    remote: Option<Addresses>,
    /// Port of the other side.
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// IP protocol: a name such as tcp, udp, icmp, icmpv6, or a number.
    #[arg(long, value_name = "PROTOCOL", value_parser = parse_protocol)]
    protocol: Option<u8>,
    /// Only the flows of this gateway.
    #[arg(long, value_name = "NAME")]
    gateway: Option<GatewayName>,
    /// Flows that lasted at this instant, a second either way; with its offset from UTC
    /// (2026-11-22T10:00:00Z).
    #[arg(long, value_name = "INSTANT", value_parser = parse_instant, conflicts_with_all = ["from", "to"])]
    at: Option<Utc>,
    /// Flows that ended at this instant or later.
    #[arg(long, value_name = "INSTANT", value_parser = parse_instant, requires = "to")]
    from: Option<Utc>,
    /// Flows that started before this instant.
    #[arg(long, value_name = "INSTANT", value_parser = parse_instant, requires = "from")]
    to: Option<Utc>,
    /// Look for flows of the time in hours up to so much later: after an outage of the daemon they
    /// are in the hour in which it came back.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "1h")]
    outage: Duration,
    /// Rank members, remotes or ports, instead of listing flows.
    #[arg(long, value_enum, value_name = "WHAT")]
    top: Option<Top>,
    /// Rank by the sum of both directions.
    #[arg(long, value_enum, requires = "top", default_value = "bytes")]
    by: Measure,
    /// The first N alone [default: 10 of a ranking, all flows].
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

const AFTER_HELP: &str = "\
Examples:
  flowlog flows --remote 192.0.2.1 --port 443 --at 2026-11-22T09:57:31Z
  flowlog flows --member 10.0.0.7 --from 2026-11-22T00:00:00+01:00 --to 2026-11-23T00:00:00+01:00
  flowlog flows --top members --by bytes --from 2026-11-22T00:00:00Z --to 2026-11-23T00:00:00Z

Exit codes:
  0  flows were found
  1  no flow was found; the answer lists gaps in which there may have been some
  2  usage or configuration: nothing was read
  3  failed, or a file could not be read: the answer may lack flows";

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Top {
    /// Addresses behind an interface of a gateway.
    Members,
    /// Addresses on the other side.
    Remotes,
    /// Protocols and ports of the other side.
    Ports,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Measure {
    Bytes,
    Packets,
    /// Rows of flows: a flow has one in each window of five minutes.
    Flows,
}

const TOP: u64 = 10;

pub fn run(arguments: Arguments, global: &Global) -> Result<Outcome, Failure> {
    let question = arguments.question()?;
    let store = Store::open(&arguments.store.read()?).map_err(Failure::usage)?;
    let mut page: Box<dyn Page> = match global.format {
        Format::Text => Box::<text::Text>::default(),
        Format::Json => Box::new(json::Json::new(&arguments)),
        Format::Csv => Box::<csv::Csv>::default(),
    };
    let report = super::runtime()?.block_on(async move {
        let consultation = Consultation::begin(&store)?;
        // Those who read may wait: the runtime does the requests meanwhile.
        let asked = tokio::task::spawn_blocking(move || {
            arguments.ask(&consultation, &question, &mut *page)
        });
        asked.await?
    })?;
    outcome(&report)
}

impl Arguments {
    fn question(&self) -> Result<Question, Failure> {
        let Self { member, remote, port, protocol, gateway, outage, .. } = self;
        let lasts = match (self.at, self.from, self.to) {
            (Some(at), ..) => Some(Lasts::at(at)),
            (None, Some(from), Some(to)) if from < to => Some(Lasts::within(Times::new(from, to))),
            (None, Some(_), Some(_)) => {
                return Err(Failure::usage(anyhow::anyhow!("--to must be later than --from")));
            }
            _ => None,
        };
        let filter =
            Filter { member: *member, remote: *remote, port: *port, protocol: *protocol, lasts };
        Ok(Question { filter, gateway: gateway.clone(), outage: *outage })
    }

    fn ranking(&self) -> Option<Ranking> {
        let of = match self.top? {
            Top::Members => Of::Members,
            Top::Remotes => Of::Remotes,
            Top::Ports => Of::Ports,
        };
        let by = match self.by {
            Measure::Bytes => By::Bytes,
            Measure::Packets => By::Packets,
            Measure::Flows => By::Flows,
        };
        let limit = usize::try_from(self.limit.unwrap_or(TOP)).unwrap_or(usize::MAX);
        Some(Ranking { of, by, limit })
    }

    /// Asks, and writes the answer.
    fn ask(
        &self,
        consultation: &Consultation,
        question: &Question,
        page: &mut dyn Page,
    ) -> Result<Report, Failure> {
        let mut out = Output::new();
        let report = if let Some(ranking) = self.ranking() {
            let (ranked, report) = ranked(consultation, question, &ranking)?;
            page.begin_ranking(&mut out, &ranking);
            for place in &ranked {
                page.ranked(&mut out, place);
            }
            report
        } else {
            page.begin(&mut out);
            let mut left = self.limit.unwrap_or(u64::MAX);
            let asked = flows::rows(consultation, question, |row| {
                page.row(&mut out, row);
                left = left.saturating_sub(1);
                let is_enough = left == 0 || out.is_closed();
                if is_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            asked.map_err(failure)?
        };
        page.end(&mut out, &report, question.filter.lasts.is_some());
        out.finish_answer()?;
        Ok(report)
    }
}

fn ranked(
    consultation: &Consultation,
    question: &Question,
    ranking: &Ranking,
) -> Result<(Vec<flows::Ranked>, Report), Failure> {
    flows::top(consultation, question, ranking).map_err(failure)
}

fn failure(error: flows::Error) -> Failure {
    match error {
        flows::Error::Gateway(_) => Failure::usage(error),
        // It has a remedy.
        flows::Error::Store(error) => error.into(),
        _ => error.into(),
    }
}

/// Writes a line to standard error.
fn note(line: &str) {
    // Where even this cannot be written, the exit code says it.
    writeln!(std::io::stderr(), "flowlog: {line}").unwrap_or_default();
}

/// The exit code, after what could not be read was named.
fn outcome(report: &Report) -> Result<Outcome, Failure> {
    let Report { rows, unreadable, foreign, oddities, .. } = report;
    for object in foreign {
        note(&format!("not read, since flowlog did not name it: {object}"));
    }
    for oddity in oddities {
        note(&format!("not read: {oddity}"));
    }
    for flows::Unreadable { object: _, error } in unreadable.iter().skip(1) {
        note(&with_causes(error));
    }
    if let Some(flows::Unreadable { error, .. }) = unreadable.first() {
        let count = unreadable.len();
        let files = if count == 1 { "1 file".to_owned() } else { format!("{count} files") };
        return Err(Failure::Failed(anyhow::anyhow!(
            "the answer may lack flows: {files} cannot be read: {}",
            with_causes(error)
        )));
    }
    Ok(if *rows == 0 { Outcome::None } else { Outcome::Done })
}
