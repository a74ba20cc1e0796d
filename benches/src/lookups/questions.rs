//! Questions to `flowlog flows` within one process, which keeps the footers that it has read: one question a line of
//! standard input, one answer a line of standard output, with the time that it took.

use std::{
    io::{BufRead as _, Write as _},
    ops::ControlFlow,
    time::Instant,
};

use anyhow::ensure;
use flowlog::{
    ask::{
        flows::{self, Addresses, By, Filter, Lasts, OUTAGE, Of, Question, Ranking, Report, Row},
        open::{Consultation, Times},
    },
    record::clock::Utc,
    store::Store,
};
use serde::Deserialize;

/// A question, as `lookups/ask.py` asks it.
#[derive(Deserialize)]
struct Asked {
    member: Option<String>,
    remote: Option<String>,
    port: Option<u16>,
    at_ms: Option<i64>,
    within_ms: Option<(i64, i64)>,
    top: Option<usize>,
}

/// Answers until standard input ends.
pub fn answer(store: &str) -> anyhow::Result<()> {
    let store = Store::open(store)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let consultation = runtime.block_on(async { Consultation::begin(&store) })?;
    for line in std::io::stdin().lock().lines() {
        let asked: Asked = serde_json::from_str(&line?)?;
        let began = Instant::now();
        let (rows, report) = ask(&consultation, &asked)?;
        let took_ms = began.elapsed().as_secs_f64() * 1e3;
        ensure!(report.unreadable.is_empty(), "{:?}", report.unreadable);
        let answer = serde_json::json!({ "ms": took_ms, "rows": rows });
        writeln!(std::io::stdout(), "{answer}")?;
    }
    Ok(())
}

fn ask(
    consultation: &Consultation,
    asked: &Asked,
) -> anyhow::Result<(Vec<serde_json::Value>, Report)> {
    let addresses = |of: &Option<String>| of.as_ref().map(|of| of.parse::<Addresses>()).transpose();
    let at = asked.at_ms.map(|ms| Lasts::at(Utc::from_ms(ms)));
    let within = asked
        .within_ms
        .map(|(from, to)| Lasts::within(Times::new(Utc::from_ms(from), Utc::from_ms(to))));
    let filter = Filter {
        member: addresses(&asked.member)?,
        remote: addresses(&asked.remote)?,
        port: asked.port,
        protocol: None,
        lasts: at.or(within),
    };
    let question = Question { filter, gateway: None, outage: OUTAGE };
    if let Some(limit) = asked.top {
        let ranking = Ranking { of: Of::Members, by: By::Bytes, limit };
        let (ranked, report) = flows::top(consultation, &question, &ranking)?;
        let rows = ranked.iter().map(|of| serde_json::json!([of.member_ip, of.bytes]));
        return Ok((rows.collect(), report));
    }
    let mut rows = vec![];
    let report = flows::rows(consultation, &question, |row| {
        let Row { flow_start, flow_end, member_ip, remote_ip, member_port, remote_port, .. } = row;
        let Row { protocol, packets_up, bytes_up, packets_down, bytes_down, .. } = row;
        rows.push(serde_json::json!([
            flow_start.ms(),
            flow_end.ms(),
            member_ip,
            remote_ip,
            member_port,
            remote_port,
            protocol,
            packets_up,
            bytes_up,
            packets_down,
            bytes_down
        ]));
        ControlFlow::Continue(())
    })?;
    Ok((rows, report))
}
