//! An answer for spreadsheets and scripts: a header, and a line for each row (RFC 4180, without carriage returns).

use std::fmt::{Display, Write as _};

use flowlog::ask::flows::{Of, Ranked, Ranking, Report, Row};

use super::{
    super::Output,
    page::{Buffer, Page},
};

#[derive(Default)]
pub struct Csv(Buffer);

const COLUMNS: &str = "flow_start,flow_end,gateway,interface,member_ip,member_port,remote_ip,remote_port,protocol,\
    icmp_type,icmp_code,packets_up,bytes_up,packets_down,bytes_down,tcp_flags_up,tcp_flags_down,initiator,partial\n";

impl Page for Csv {
    fn begin(&mut self, _: &mut Output) {
        self.0.0.push_str(COLUMNS);
    }

    fn row(&mut self, out: &mut Output, row: &Row<'_>) {
        let Row { flow_start, flow_end, gateway, interface, member_ip, member_port, .. } = row;
        let Row { remote_ip, remote_port, protocol, icmp_type, icmp_code, .. } = row;
        let Row { packets_up, bytes_up, packets_down, bytes_down, .. } = row;
        let Row { tcp_flags_up, tcp_flags_down, initiator, partial, .. } = row;
        let mut line = Line::new(&mut self.0.0);
        line.value(flow_start).value(flow_end).text(Some(gateway)).text(Some(interface));
        line.text(Some(member_ip)).optional(*member_port);
        line.text(*remote_ip).optional(*remote_port);
        line.value(protocol).optional(*icmp_type).optional(*icmp_code);
        line.value(packets_up).value(bytes_up).value(packets_down).value(bytes_down);
        line.optional(*tcp_flags_up).optional(*tcp_flags_down);
        line.text(Some(initiator)).text(*partial).end();
        self.0.spill(out);
    }

    fn begin_ranking(&mut self, _: &mut Output, ranking: &Ranking) {
        let keys = match ranking.of {
            Of::Members => "gateway,interface,member_ip",
            Of::Remotes => "remote_ip",
            Of::Ports => "protocol,remote_port",
        };
        self.0.0.push_str(keys);
        self.0.0.push_str(",bytes,packets,flows\n");
    }

    fn ranked(&mut self, out: &mut Output, place: &Ranked) {
        let Ranked { gateway, interface, member_ip, remote_ip, protocol, remote_port, .. } = place;
        let Ranked { bytes, packets, flows, .. } = place;
        let mut line = Line::new(&mut self.0.0);
        for text in [gateway, interface, member_ip].into_iter().flatten() {
            line.text(Some(text));
        }
        if let Some(remote) = remote_ip {
            line.text(remote.as_deref());
        }
        if let Some(protocol) = protocol {
            line.value(protocol);
        }
        if let Some(port) = remote_port {
            line.optional(*port);
        }
        line.value(bytes).value(packets).value(flows).end();
        self.0.spill(out);
    }

    /// What is to be known beside the rows goes to standard error.
    fn end(&mut self, out: &mut Output, report: &Report, _: bool) {
        self.0.flush(out);
        for gap in &report.gaps {
            super::note(&format!("gap: {gap}"));
        }
    }
}

/// A line of values with commas between them.
struct Line<'a> {
    to: &'a mut String,
    is_begun: bool,
}

impl<'a> Line<'a> {
    const fn new(to: &'a mut String) -> Self {
        Self { to, is_begun: false }
    }

    fn value(&mut self, value: impl Display) -> &mut Self {
        self.comma();
        // A text takes whatever is written to it.
        write!(self.to, "{value}").unwrap_or_default();
        self
    }

    fn optional(&mut self, value: Option<impl Display>) -> &mut Self {
        match value {
            Some(value) => self.value(value),
            None => self.value(""),
        }
    }

    fn text(&mut self, text: Option<&str>) -> &mut Self {
        let text = text.unwrap_or_default();
        if text.contains(['"', ',', '\n', '\r']) {
            return self.value(format_args!("\"{}\"", text.replace('"', "\"\"")));
        }
        self.value(text)
    }

    fn comma(&mut self) {
        if self.is_begun {
            self.to.push(',');
        }
        self.is_begun = true;
    }

    fn end(&mut self) {
        self.to.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_with_a_comma_or_a_quote_is_one_value() {
        let mut text = String::new();
        let mut line = Line::new(&mut text);
        line.text(Some("wg0")).text(None).text(Some("a,\"b\"")).optional(None::<u8>).value(7).end();
        assert_eq!(text, "wg0,,\"a,\"\"b\"\"\",,7\n");
    }
}
