//! An answer for programs: one object of the schema `flowlog.flows/1`, written as it is read.

use flowlog::{
    ask::flows::{Ranked, Ranking, Report, Row},
    telemetry::with_causes,
};
use serde_json::{Value, json};

use super::{
    super::Output,
    Arguments, Measure, Top,
    page::{Buffer, Page},
};

pub struct Json {
    buffer: Buffer,
    question: Value,
    limit: Option<u64>,
    is_begun: bool,
}

/// Schema of the answer: later versions add keys and remove none.
const SCHEMA: &str = "flowlog.flows/1";

impl Json {
    pub fn new(arguments: &Arguments) -> Self {
        let Arguments { store: _, member, remote, port, protocol, gateway, .. } = arguments;
        let Arguments { at, from, to, outage, top, by, limit, .. } = arguments;
        let instant = |at: &Option<flowlog::record::clock::Utc>| at.map(|at| at.to_string());
        let addresses = |of: &Option<flowlog::ask::flows::Addresses>| of.map(|of| of.in_clear());
        let question = json!({
            "member": addresses(member),
            "remote": addresses(remote),
            "port": port,
            "protocol": protocol,
            "gateway": gateway.as_ref().map(flowlog::record::gateway::GatewayName::as_str),
            "at": instant(at),
            "from": instant(from),
            "to": instant(to),
            "outage_seconds": outage.as_secs(),
            "top": top.map(|top| match top {
                Top::Members => "members",
                Top::Remotes => "remotes",
                Top::Ports => "ports",
            }),
            "by": top.map(|_| match by {
                Measure::Bytes => "bytes",
                Measure::Packets => "packets",
                Measure::Flows => "flows",
            }),
            "limit": limit,
        });
        Self { buffer: Buffer::default(), question, limit: *limit, is_begun: false }
    }

    fn head(&mut self, list: &str) {
        let Self { buffer, question, .. } = self;
        let head = format!("{{\"schema\":\"{SCHEMA}\",\"question\":{question},\"{list}\":[");
        buffer.0.push_str(&head);
    }

    fn item(&mut self, out: &mut Output, item: &impl serde::Serialize) {
        if self.is_begun {
            self.buffer.0.push(',');
        }
        self.is_begun = true;
        self.buffer.0.push('\n');
        // Texts, numbers and nothing: none of it fails.
        self.buffer.0.push_str(&serde_json::to_string(item).unwrap_or_default());
        self.buffer.spill(out);
    }
}

impl Page for Json {
    fn begin(&mut self, _: &mut Output) {
        self.head("rows");
    }

    fn row(&mut self, out: &mut Output, row: &Row<'_>) {
        self.item(out, row);
    }

    fn begin_ranking(&mut self, _: &mut Output, _: &Ranking) {
        self.limit = None;
        self.head("top");
    }

    fn ranked(&mut self, out: &mut Output, place: &Ranked) {
        self.item(out, place);
    }

    fn end(&mut self, out: &mut Output, report: &Report, _: bool) {
        let Report { rows, gaps, unreadable, foreign, oddities, read } = report;
        let unreadable = unreadable
            .iter()
            .map(|of| json!({ "object": of.object, "error": with_causes(&of.error) }));
        let rest = [
            ("count", json!(rows)),
            ("is_cut", json!(self.limit.is_some_and(|limit| *rows >= limit))),
            ("gaps", json!(gaps)),
            ("unreadable", unreadable.collect()),
            ("foreign", json!(foreign)),
            ("oddities", json!(oddities)),
            ("read", json!(read)),
        ];
        self.buffer.0.push_str("\n]");
        for (key, value) in rest {
            let pair = format!(",\"{key}\":{value}");
            self.buffer.0.push_str(&pair);
        }
        self.buffer.0.push_str("}\n");
        self.buffer.flush(out);
    }
}
