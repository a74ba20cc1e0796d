//! An answer for people: a table, and below it what is to be known beside the rows.

use flowlog::{
    ask::flows::{Of, Ranked, Ranking, Report, Row},
    record::clock::Utc,
};

use super::{
    super::{Output, protocol, size},
    page::Page,
};

/// A table whose columns are as wide as the widest of its first rows.
#[derive(Default)]
pub struct Text {
    header: Vec<&'static str>,
    /// Columns of which the values end below each other.
    numbers: Vec<usize>,
    widths: Option<Vec<usize>>,
    waiting: Vec<Vec<String>>,
    bytes: u128,
    packets: u128,
    is_ranking: bool,
}

/// Rows that decide how wide columns are.
const FIRST: usize = 500;

impl Page for Text {
    fn begin(&mut self, _: &mut Output) {
        self.header = vec![
            "start",
            "end",
            "gateway",
            "interface",
            "member",
            "port",
            "",
            "remote",
            "port",
            "protocol",
            "packets up",
            "bytes up",
            "packets down",
            "bytes down",
            "partial",
        ];
        self.numbers = vec![5, 8, 10, 11, 12, 13];
    }

    fn row(&mut self, out: &mut Output, row: &Row<'_>) {
        let Row { flow_start, flow_end, gateway, interface, member_ip, member_port, .. } = row;
        let Row { remote_ip, remote_port, packets_up, bytes_up, .. } = row;
        let Row { packets_down, bytes_down, initiator, partial, .. } = row;
        for (packets, bytes) in [(packets_up, bytes_up), (packets_down, bytes_down)] {
            self.packets += u128::from(*packets);
            self.bytes += u128::from(*bytes);
        }
        let port = |port: &Option<u16>| port.map(|port| port.to_string()).unwrap_or_default();
        let arrow = if *initiator == "remote" { "<-" } else { "->" };
        let line = vec![
            instant(*flow_start),
            instant(*flow_end),
            (*gateway).to_owned(),
            (*interface).to_owned(),
            (*member_ip).to_owned(),
            port(member_port),
            arrow.to_owned(),
            remote_ip.unwrap_or("-").to_owned(),
            port(remote_port),
            protocol_of(row),
            packets_up.to_string(),
            bytes_up.to_string(),
            packets_down.to_string(),
            bytes_down.to_string(),
            partial.unwrap_or_default().to_owned(),
        ];
        self.add(out, line);
    }

    fn begin_ranking(&mut self, _: &mut Output, ranking: &Ranking) {
        self.is_ranking = true;
        self.header = match ranking.of {
            Of::Members => vec!["gateway", "interface", "member"],
            Of::Remotes => vec!["remote"],
            Of::Ports => vec!["protocol", "port"],
        };
        let keys = self.header.len();
        self.header.extend(["bytes", "", "packets", "flows"]);
        self.numbers = (keys..keys + 4).collect();
        if ranking.of == Of::Ports {
            self.numbers.push(1);
        }
    }

    fn ranked(&mut self, out: &mut Output, place: &Ranked) {
        let Ranked { gateway, interface, member_ip, remote_ip, protocol, remote_port, .. } = place;
        let Ranked { bytes, packets, flows, .. } = place;
        let texts = [gateway, interface, member_ip].into_iter().flatten().cloned();
        let remote = remote_ip.iter().map(|remote| remote.clone().unwrap_or("-".to_owned()));
        let protocol = protocol.iter().map(|number| protocol::name(*number));
        let port = remote_port.iter().map(|port| port.map_or("-".to_owned(), |p| p.to_string()));
        let counts =
            [bytes.to_string(), size::bytes(*bytes), packets.to_string(), flows.to_string()];
        let line = texts.chain(remote).chain(protocol).chain(port).chain(counts).collect();
        self.add(out, line);
    }

    fn end(&mut self, out: &mut Output, report: &Report, has_time: bool) {
        self.flush(out);
        let Report { rows, gaps, unreadable, read, .. } = report;
        let objects = format!("read {} of {} files", size::bytes(read.bytes), read.objects);
        let flows = if *rows == 1 { "1 flow".to_owned() } else { format!("{rows} flows") };
        match (*rows, self.is_ranking) {
            (0, _) => out.line(format!("no flow found; {objects}")),
            (_, true) => out.line(format!("\nof {flows}; {objects}")),
            (_, false) => {
                let bytes =
                    u64::try_from(self.bytes).map_or("more bytes than fit".to_owned(), size::bytes);
                out.line(format!("\n{flows}, {} packets, {bytes}; {objects}", self.packets));
            }
        }
        for gap in gaps {
            out.line(format!("gap: {gap}"));
        }
        if !gaps.is_empty() {
            out.line("In these gaps there may have been flows that the store does not have.");
        } else if has_time && *rows == 0 && unreadable.is_empty() {
            out.line("The ledger covers all of that time: flowlog was counting.");
        }
        for file in unreadable {
            out.line(format!("not read, so that flows may be missing: {}", file.object));
        }
    }
}

impl Text {
    fn add(&mut self, out: &mut Output, line: Vec<String>) {
        self.waiting.push(line);
        if self.waiting.len() >= FIRST {
            self.flush(out);
        }
    }

    fn flush(&mut self, out: &mut Output) {
        if self.waiting.is_empty() {
            return;
        }
        let lines = std::mem::take(&mut self.waiting);
        let mut text = String::new();
        if self.widths.is_none() {
            let width = |column: usize| {
                let values = lines.iter().filter_map(|line| Some(line.get(column)?.len()));
                values.chain(self.header.get(column).map(|name| name.len())).max().unwrap_or(0)
            };
            self.widths = Some((0..self.header.len()).map(width).collect());
            let header: Vec<String> = self.header.iter().map(|&name| name.to_owned()).collect();
            self.write(&header, &mut text);
        }
        for line in lines {
            self.write(&line, &mut text);
        }
        out.text(text);
    }

    fn write(&self, line: &[String], to: &mut String) {
        let begin = to.len();
        let widths = self.widths.iter().flatten();
        for ((column, value), width) in line.iter().enumerate().zip(widths) {
            let room = width.saturating_sub(value.len());
            let [before, after] =
                if self.numbers.contains(&column) { [room, 0] } else { [0, room] };
            to.extend(std::iter::repeat_n(' ', before));
            to.push_str(value);
            to.extend(std::iter::repeat_n(' ', after + 2));
        }
        to.truncate(begin + to.get(begin..).unwrap_or_default().trim_end().len());
        to.push('\n');
    }
}

/// An instant with all of its digits, so that those below each other compare.
fn instant(at: Utc) -> String {
    jiff::Timestamp::from(at).strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

fn protocol_of(row: &Row<'_>) -> String {
    let name = protocol::name(row.protocol);
    match (row.icmp_type, row.icmp_code) {
        (Some(kind), Some(code)) => format!("{name} {kind}/{code}"),
        _ => name,
    }
}
